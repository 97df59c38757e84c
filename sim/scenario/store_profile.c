/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario/store_profile.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sim/base/rng.h"
#include "sim/conf/bind.h"
#include "sim/lib/writer.h"

/* ---- calibration ---- */

#define ROW(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct kv_store_calibration, field), preset, min, max, NULL, help, NULL }
#define ERROR(key, field, help) ROW(key, KV_DIM_NUMBER, field, "0", 0, 1e9, help)
static const struct kv_param rows[] = {
    ROW("version", KV_DIM_COUNT, version, NULL, 1, 1 << 20, "of this form"),
    ROW("date", KV_DIM_TEXT, date, NULL, 0, 0, "when it was measured"),
    ROW("server", KV_DIM_TEXT, server, "", 0, 0, "what the server calls itself"),
    ROW("client", KV_DIM_TEXT, client, "", 0, 0, "what it was measured from"),
    ROW("how", KV_DIM_TEXT, how, "", 0, 0, "how it was measured"),
    ROW("note", KV_DIM_TEXT, note, "", 0, 0, "what whoever measured it wanted to be known"),
    ROW("requests", KV_DIM_COUNT, requests, "0", 0, 1e15, "requests that were timed"),
    ROW("failed", KV_DIM_COUNT, failed, "0", 0, 1e15, "requests that went wrong, and were left out"),
    ROW("least_bytes", KV_DIM_BYTES, least_bytes, "0B", 0, 1e15, "smallest request"),
    ROW("most_bytes", KV_DIM_BYTES, most_bytes, "0B", 0, 1e15, "largest request"),
    ROW("most_connections", KV_DIM_COUNT, most_connections, "0", 0, 1 << 20, "most at a time"),
    ROW("holdout_permille", KV_DIM_COUNT, holdout_permille, "200", 0, 999, "samples held out of a fit, in thousandths"),
    ROW("holdout_seed", KV_DIM_COUNT, holdout_seed, "1", 0, 0x1p52, "which"),
    ERROR("first_byte_error", first_byte_error, "first byte of reads, mean over sizes and connections"),
    ERROR("first_byte_worst", first_byte_worst, "the worst of them"),
    ERROR("read_error", read_error, "reads to their last byte"), ERROR("read_worst", read_worst, "the worst of them"),
    ERROR("write_error", write_error, "writes to their end"), ERROR("write_worst", write_worst, "the worst of them"),
    ROW("stream_start", KV_DIM_TIME, stream_start_s, "0s", 0, 1e6, "one stream: before its bytes"),
    ROW("stream_rate", KV_DIM_BITS_PER_S, stream_bps, "0bps", 0, 1e18, "one stream: of its bytes"),
    KV_PARAM_END
};

/* ---- curves ---- */

const struct kv_store_curve kv_store_curves[] = {
    {"first_byte_curve", "first_byte.csv", "first_byte_us", offsetof(struct kv_access_fit, first_byte)},
    {"range_first_byte_curve", "range_first_byte.csv", "first_byte_us",
     offsetof(struct kv_access_fit, range_first_byte)},
    {"backend_curve", "backend.csv", "rate_GBps", offsetof(struct kv_access_fit, backend)},
    {"put_ack_curve", "put_ack.csv", "put_ack_us", offsetof(struct kv_access_fit, put_ack)},
    {NULL, NULL, NULL, 0},
};

bool kv_store_curve_read(struct kv_arena *arena, const char *folder, const struct kv_store_curve *curve,
                         struct kv_knots *knots, struct kv_err *err)
{
    struct kv_knots_form form = { .axis = {"bytes", "connections"}, .value = {curve->value} };
    return kv_knots_read(arena, kv_arena_text(arena, "%s/%s", folder, curve->file), &form, knots, err);
}

static bool write_curves(struct kv_arena *arena, const char *folder, const struct kv_access_fit *fit,
                         struct kv_err *err)
{
    for (const struct kv_store_curve *c = kv_store_curves; c->key; c++) {
        struct kv_knots_form form = { .axis = {"bytes", "connections"}, .value = {c->value} };
        const struct kv_knots *knots = kv_store_curve_of(c, fit);
        const char *path = kv_arena_text(arena, "%s/%s", folder, c->file);
        if (knots->rows && !kv_knots_write(path, &form, knots, err)) return false;
    }
    return true;
}

/* ---- reading ---- */

static const char *const about[] = {"kind", "source", "aliases", "name", "calibration", NULL};

/* The plug-in opens what the parameters name, and says what is wrong with it. */
static bool try_parameters(struct kv_arena *arena, const struct kv_store_profile *p, struct kv_err *err)
{
    const struct kv_store_ops *ops = kv_plugin_ops(store, p->plugin);
    const struct kv_store_env env = { .layers = 32, .chunk_tokens = 256, .block_tokens = 16, .chunk_bytes = 32 << 20,
                                      .concurrency = 8, .seed = 1 };
    void *state = kv_arena_take(arena, ops->state_bytes + 1);
    if (!ops->open(state, p->params, &env, err)) return false;
    if (ops->close) ops->close(state);
    return true;
}

static bool bind_profile(struct kv_arena *arena, struct kv_store_profile *p, struct kv_diag *diag)
{
    struct kv_yaml *calibration = kv_yaml_get(p->root, "calibration"), *kind = kv_yaml_get(p->root, "kind");
    p->kind = kind->text;
    p->source = kv_yaml_get(p->root, "source")->text;
    p->plugin = kv_plugin_find(KV_FAMILY_store, p->kind);
    if (!p->plugin)
        return kv_diag_add(diag, KV_ERROR, kind->pos, NULL, "unknown kind of store '%s'; known: %s", p->kind,
                           kv_plugin_names(KV_FAMILY_store));
    const struct kv_plugin_info *info = p->plugin->info;
    p->params = kv_arena_take(arena, info->params_bytes + 1);
    bool good = kv_bind(arena, p->root, "", info->params, p->params, diag);
    good = kv_bind_unknown(p->root, kv_arena_text(arena, "a profile of kind %s", p->kind), info->params, about, NULL,
                           diag) && good;
    p->calibrated = calibration != NULL;
    if (!calibration) return good;
    good = kv_bind(arena, calibration, "calibration", rows, &p->calibration, diag) && good;
    return kv_bind_unknown(calibration, "calibration", rows, NULL, NULL, diag) && good;
}

bool kv_store_profile_read(struct kv_arena *arena, const char *name, struct kv_store_profile *profile,
                           struct kv_err *err)
{
    struct kv_diag diag = {0};
    const struct kv_pos at = { .file = name };
    *profile = (struct kv_store_profile){ .root = kv_store_profile_load(arena, name, "", at, &diag) };
    bool good = profile->root && bind_profile(arena, profile, &diag);
    if (!good && diag.errors) kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    if (!good) return false;
    profile->path = profile->root->pos.file;
    const char *slash = strrchr(profile->path, '/');
    profile->folder = slash ? kv_arena_copy(arena, profile->path, (size_t)(slash - profile->path)) : ".";
    return try_parameters(arena, profile, err);
}

/* ---- fitting ---- */

bool kv_store_profile_fit(struct kv_arena *arena, const char *kind, const struct kv_access_samples *samples,
                          int64_t holdout_permille, int64_t holdout_seed, struct kv_store_fitted *fitted,
                          struct kv_err *err)
{
    bool object = !strcmp(kind, "object");
    bool *kept = kv_arena_take(arena, samples->count + 1), *held = kv_arena_take(arena, samples->count + 1);
    for (size_t i = 0; i < samples->count; i++) {
        held[i] = (int64_t)(kv_mix64_pair((uint64_t)holdout_seed, i) % 1000) < holdout_permille;
        kept[i] = !held[i];
    }
    struct kv_access_cell *cell;
    *fitted = (struct kv_store_fitted){0};
    bool (*fit)(struct kv_arena *, const struct kv_access_sample *, size_t, const bool *, struct kv_access_fit *,
                struct kv_err *) = object ? kv_access_fit_object : kv_access_fit_files;
    if (!fit(arena, samples->at, samples->count, kept, &fitted->fit, err)) return false;
    int32_t cells = kv_access_cells(arena, samples->at, samples->count, held, &cell), told = 0;
    /* A median of one or two says more of them than of the model. */
    for (int32_t i = 0; i < cells; i++)
        if (cell[i].count > 2) cell[told++] = cell[i];
    kv_access_score(&fitted->fit, cell, told, &fitted->first_byte, &fitted->read, &fitted->write);
    return fit(arena, samples->at, samples->count, NULL, &fitted->fit, err);
}

/* ---- writing ---- */

/* Six digits: more than anybody can measure, and none of the noise behind them. */
static void say(struct kv_arena *arena, void (*visit)(void *, const char *, const char *), void *context,
                const char *key, double value, const char *unit)
{
    visit(context, key, kv_arena_text(arena, "%.6g%s", value, unit));
}

void kv_store_profile_parameters(struct kv_arena *arena, const char *kind, const struct kv_access_fit *f,
                                 void (*visit)(void *context, const char *key, const char *text), void *context)
{
#define TIME(key, s) say(arena, visit, context, key, (s) * 1e6, "us")
#define RATE(key, Bps) say(arena, visit, context, key, (Bps) * 1e-6, "MB/s")
    if (!strcmp(kind, "disk")) {
        RATE("read_bandwidth", f->stream_Bps);
        if (f->write_stream_Bps > 0) RATE("write_bandwidth", f->write_stream_Bps);
        TIME("read_latency", f->first_byte_s);
        if (f->write_stream_Bps > 0) TIME("write_latency", f->write_start_s), TIME("ack", f->put_ack_s);
        return;
    }
    TIME("first_byte", f->first_byte_s);
    say(arena, visit, context, "first_byte_sigma", f->sigma, "");
    TIME("request_cost", f->first_byte_s);
    if (f->stream_Bps > 0) RATE("stream_bandwidth", f->stream_Bps);
    else visit(context, "stream_bandwidth", "0bps");
    if (f->write_stream_Bps > 0) RATE("write_stream_bandwidth", f->write_stream_Bps);
    RATE("bandwidth", f->bandwidth_Bps);
    if (f->put_ack_s > 0) TIME("put_ack", f->put_ack_s);
    for (const struct kv_store_curve *c = kv_store_curves; c->key; c++)
        if (kv_store_curve_of(c, f)->rows) visit(context, c->key, c->file);
#undef TIME
#undef RATE
}

static void write_line(void *context, const char *key, const char *text)
{
    kv_writer_text(context, "%s: %s\n", key, text);
}

static void fill(struct kv_store_calibration *c, const struct kv_access_samples *samples,
                 const struct kv_store_fitted *fitted)
{
    c->version = 1;
    c->requests = (int64_t)samples->count;
    c->failed = samples->failed;
    c->stream_start_s = (double)(int64_t)(fitted->fit.line_start_s * 1e9 + 0.5) / 1e9;
    c->stream_bps = (double)(int64_t)(fitted->fit.line_Bps / 1e3 + 0.5) * 8e3;
    for (size_t i = 0; i < samples->count; i++) {
        const struct kv_access_sample *s = &samples->at[i];
        if (!c->least_bytes || s->bytes < c->least_bytes) c->least_bytes = s->bytes;
        if (s->bytes > c->most_bytes) c->most_bytes = s->bytes;
        if (s->connections > c->most_connections) c->most_connections = s->connections;
    }
    const struct { double *mean, *worst; const struct kv_access_error *error; } told[] = {
        {&c->first_byte_error, &c->first_byte_worst, &fitted->first_byte},
        {&c->read_error, &c->read_worst, &fitted->read}, {&c->write_error, &c->write_worst, &fitted->write},
    };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        *told[i].mean = (double)(int64_t)(told[i].error->mean * 1e4 + 0.5) / 1e4;
        *told[i].worst = (double)(int64_t)(told[i].error->worst * 1e4 + 0.5) / 1e4;
    }
}

bool kv_store_profile_write(struct kv_arena *arena, const char *folder, const char *kind, const char *source,
                            const struct kv_access_samples *samples, const struct kv_store_fitted *fitted,
                            struct kv_store_calibration *calibration, struct kv_err *err)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return kv_fail(err, KV_EIO, folder, "cannot make the folder: %s", strerror(errno));
    const struct kv_access_fit *f = &fitted->fit;
    if (!write_curves(arena, folder, f, err)) return false;
    fill(calibration, samples, fitted);
    struct kv_writer w;
    if (!kv_writer_open(&w, kv_arena_text(arena, "%s/profile.yaml", folder), true, err)) return false;
    kv_writer_text(&w, "# A store profile measured by `kvsim calib storage`; its requests are in samples.csv.\n"
                   "kind: %s\nsource: %s\n", kind, kv_text_quoted(arena, source));
    kv_store_profile_parameters(arena, kind, f, write_line, &w);
    kv_writer_text(&w, "calibration:\n");
    for (const struct kv_param *row = rows; row->key; row++) {
        const void *value = (const char *)calibration + row->offset;
        const char *text = row->dim == KV_DIM_TEXT ? *(const char *const *)value : NULL;
        kv_writer_text(&w, "  %s: %s\n", row->key, row->dim != KV_DIM_TEXT ? kv_value_text(arena, row, value)
                                                   : kv_text_quoted(arena, text ? text : ""));
    }
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}
