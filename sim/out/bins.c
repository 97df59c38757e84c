/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/bins.h"

#include <math.h>
#include <string.h>

#include "sim/base/arena.h"

const char *const kv_saturation_names[KV_SATURATION_COUNT] = {"STABLE", "BACKLOGGED", "OVERLOADED", "UNKNOWN"};

/* C type, file type, name, value of bin b of `span` seconds, units, time in ticks?, meaning. */
#define COLUMNS(X) \
    X(int64_t, KV_I64, time, b->start_tk, "s", true, "start of the bin") \
    X(int64_t, KV_I64, time_end, b->end_tk, "s", true, "end of the bin") \
    X(int64_t, KV_I64, samples, b->samples, "1", false, "readings behind the gauges of the bin") \
    X(double, KV_F64, queue_depth, gauge(b, b->waiting), "1", false, "waiting requests, mean") \
    X(double, KV_F64, running_seqs, gauge(b, b->running), "1", false, "running requests, mean") \
    X(double, KV_F64, active_blocks, gauge(b, b->active_blocks), "1", false, "KV blocks in use, mean") \
    X(double, KV_F64, inactive_blocks, gauge(b, b->inactive_blocks), "1", false, "cached, evictable KV blocks, mean") \
    X(double, KV_F64, free_blocks, gauge(b, b->free_blocks), "1", false, "free KV blocks, mean") \
    X(int64_t, KV_I64, injected, b->grown.injected, "1", false, "requests injected") \
    X(int64_t, KV_I64, finished, b->grown.finished, "1", false, "requests finished") \
    X(int64_t, KV_I64, rejected, b->grown.rejected, "1", false, "requests rejected") \
    X(int64_t, KV_I64, failed, b->grown.failed, "1", false, "failed rows of the trace") \
    X(int64_t, KV_I64, steps, b->grown.steps, "1", false, "engine steps") \
    X(double, KV_F64, batch_tokens, batch_tokens(b), "token", false, "tokens computed in a step, mean") \
    X(int64_t, KV_I64, prefill_tokens, b->grown.prefill_tokens, "token", false, "prompt tokens computed") \
    X(int64_t, KV_I64, decode_tokens, b->grown.decode_tokens, "token", false, "tokens computed one by one") \
    X(double, KV_F64, prefill_tokens_per_s, rate(b, b->grown.prefill_tokens), "token/s", false, \
      "prompt tokens computed a second") \
    X(double, KV_F64, decode_tokens_per_s, rate(b, b->grown.decode_tokens), "token/s", false, \
      "tokens computed one by one a second") \
    X(int64_t, KV_I64, prompt_tokens, b->grown.prompt_tokens, "token", false, "prompt tokens of admitted requests") \
    X(int64_t, KV_I64, recomputed_tokens, b->grown.recomputed_tokens, "token", false, \
      "tokens computed again after preemptions") \
    X(int64_t, KV_I64, preemptions, b->grown.preemptions, "1", false, "preemptions") \
    X(int64_t, KV_I64, blocks_allocated, b->grown.blocks_allocated, "1", false, "KV blocks taken") \
    X(int64_t, KV_I64, blocks_freed, b->grown.blocks_freed, "1", false, "KV blocks that lost their last reference")

enum column {
#define X(ctype, ftype, name, value, units, ticks, meaning) COLUMN_##name,
    COLUMNS(X)
#undef X
    COLUMN_gpu_util, COLUMN_tier_occupancy, COLUMN_tier_hits_tokens, COLUMN_tier_evictions, COLUMN_COUNT
};

static double gauge(const struct kv_bin *b, double sum)
{
    return b->samples ? sum / (double)b->samples : (double)NAN;
}

static double rate(const struct kv_bin *b, int64_t grown)
{
    return b->end_tk > b->start_tk ? (double)grown / kv_tick_to_s(b->end_tk - b->start_tk) : (double)NAN;
}

/* A bin without steps has no batch. */
static double batch_tokens(const struct kv_bin *b)
{
    double tokens = (double)(b->grown.prefill_tokens + b->grown.decode_tokens);
    return b->grown.steps ? tokens / (double)b->grown.steps : (double)NAN;
}

static double occupancy(const struct kv_bin *b)
{
    double held = b->active_blocks + b->inactive_blocks, blocks = held + b->free_blocks;
    return blocks > 0 ? held / blocks : (double)NAN;
}

/* ---- writing ---- */

struct writer {
    const struct kv_bins *bins;
    int32_t tier_count;
    struct kv_h5_column *column[COLUMN_COUNT];
    char *at[COLUMN_COUNT];
    size_t row_bytes[COLUMN_COUNT];
    int32_t chunk_rows;
    kv_tick *busy_tk;    /* of each instance at the end of the bin before */
};

/* The bins know the first tier alone: only it has a pool of its own so far. */
static void put_tiers(struct writer *w, const struct kv_bin *b, int32_t row)
{
    ptrdiff_t at = (ptrdiff_t)row * w->tier_count;
    double *share = (double *)(void *)w->at[COLUMN_tier_occupancy] + at;
    int64_t *hits_tokens = (int64_t *)(void *)w->at[COLUMN_tier_hits_tokens] + at;
    int64_t *evictions = (int64_t *)(void *)w->at[COLUMN_tier_evictions] + at;
    for (int32_t i = 0; i < w->tier_count; i++) {
        share[i] = i ? (double)NAN : occupancy(b);
        hits_tokens[i] = i ? 0 : b->grown.hit_tokens;
        evictions[i] = i ? 0 : b->grown.blocks_evicted;
    }
}

static void put_bin(struct writer *w, const struct kv_bin *b, int32_t row)
{
#define X(ctype, ftype, name, value, units, ticks, meaning) ((ctype *)(void *)w->at[COLUMN_##name])[row] = value;
    COLUMNS(X)
#undef X
    double *util = (double *)(void *)w->at[COLUMN_gpu_util] + (ptrdiff_t)row * w->bins->instance_count;
    double span_tk = (double)(b->end_tk - b->start_tk);
    for (int32_t i = 0; i < w->bins->instance_count; i++) {
        util[i] = span_tk > 0 ? (double)(b->busy_tk[i] - w->busy_tk[i]) / span_tk : (double)NAN;
        w->busy_tk[i] = b->busy_tk[i];
    }
    put_tiers(w, b, row);
}

static void write_bins(struct writer *w)
{
    struct kv_bin bin;
    int32_t count = w->bins->count, rows = w->chunk_rows;
    for (int32_t first = 0, chunk = 0; first < count; first += rows, chunk++) {
        int32_t here = count - first < rows ? count - first : rows;
        for (int32_t row = 0; row < here; row++) {
            w->bins->read(w->bins->state, first + row, &bin);
            put_bin(w, &bin, row);
        }
        for (int32_t i = 0; i < COLUMN_COUNT; i++) {
            memset(w->at[i] + w->row_bytes[i] * (size_t)here, 0, w->row_bytes[i] * (size_t)(rows - here));
            kv_h5_column_write(w->column[i], chunk, w->at[i], here);
        }
    }
}

static void write_instances(struct kv_h5 *f, int32_t count)
{
    int32_t *id = kv_mem_take((size_t)count * sizeof *id);
    for (int32_t i = 0; i < count; i++) id[i] = i;
    struct kv_h5_column_spec spec = {.path = "/timeseries/instance", .long_name = "instance", .units = "1",
                                     .type = KV_I32, .chunk_rows = count};
    kv_h5_column_all(f, &spec, id, count);
    kv_mem_give(id, (size_t)count * sizeof *id);
    kv_h5_scale(f, spec.path, "instance");
}

void kv_bins_write(struct kv_h5 *f, const struct kv_bins *bins, const char *const *tier, int32_t tier_count)
{
    if (!bins->count) return;
    kv_h5_group(f, "/timeseries");
    int32_t chunk_rows = bins->count < KV_H5_CHUNK_ROWS ? bins->count : KV_H5_CHUNK_ROWS;
    const struct kv_h5_column_spec spec[] = {
#define X(ctype, ftype, name, value, units_, ticks_, meaning) \
        {.path = "/timeseries/" #name, .long_name = meaning, .units = units_, .type = ftype, .ticks = ticks_, \
         .fills = ftype == KV_F64, .chunk_rows = chunk_rows},
        COLUMNS(X)
#undef X
        {.path = "/timeseries/gpu_util", .long_name = "share of the bin that an instance was busy", .units = "1",
         .type = KV_F64, .fills = true, .width = bins->instance_count, .chunk_rows = chunk_rows},
        {.path = "/timeseries/tier_occupancy", .long_name = "blocks of the tier in use or cached, of all, mean",
         .units = "1", .type = KV_F64, .fills = true, .width = tier_count, .chunk_rows = chunk_rows},
        {.path = "/timeseries/tier_hits_tokens", .long_name = "prompt tokens of admitted requests found in the tier",
         .units = "token", .type = KV_I64, .width = tier_count, .chunk_rows = chunk_rows},
        {.path = "/timeseries/tier_evictions", .long_name = "cached KV blocks evicted from the tier", .units = "1",
         .type = KV_I64, .width = tier_count, .chunk_rows = chunk_rows},
    };
    struct writer w = {.bins = bins, .tier_count = tier_count, .chunk_rows = chunk_rows};
    for (int32_t i = 0; i < COLUMN_COUNT; i++) {
        w.column[i] = kv_h5_column_open(f, &spec[i]);
        w.row_bytes[i] = kv_h5_type_bytes(spec[i].type) * (size_t)(spec[i].width ? spec[i].width : 1);
        w.at[i] = kv_mem_take(w.row_bytes[i] * (size_t)chunk_rows);
    }
    write_instances(f, bins->instance_count);
    kv_h5_texts(f, "/timeseries/tier", "tiers, from the fastest", tier, tier_count);
    kv_h5_scale(f, "/timeseries/tier", "tier");
    kv_h5_scale(f, "/timeseries/time", "time");
    for (int32_t i = COLUMN_time + 1; i < COLUMN_COUNT; i++) kv_h5_attach(f, spec[i].path, "/timeseries/time", 0);
    kv_h5_attach(f, "/timeseries/gpu_util", "/timeseries/instance", 1);
    for (int32_t i = COLUMN_tier_occupancy; i < COLUMN_COUNT; i++) kv_h5_attach(f, spec[i].path, "/timeseries/tier", 1);

    w.busy_tk = kv_mem_take((size_t)bins->instance_count * sizeof *w.busy_tk);
    write_bins(&w);
    kv_mem_give(w.busy_tk, (size_t)bins->instance_count * sizeof *w.busy_tk);
    for (int32_t i = 0; i < COLUMN_COUNT; i++) {
        kv_h5_column_close(w.column[i]);
        kv_mem_give(w.at[i], w.row_bytes[i] * (size_t)chunk_rows);
    }
}

/* ---- looking ---- */

#define GROWTH_OF_ARRIVALS_MAX 0.05
#define GROWTH_REQUESTS_MAX 10

/* Running sums of a least-squares line through (bin centre, waiting), and of the means beside it. */
struct window { double n, x, y, xx, xy, running, injected, from_s, to_s; };

static void window_add(struct window *w, const struct kv_bin *b)
{
    double at_s = (kv_tick_to_s(b->start_tk) + kv_tick_to_s(b->end_tk)) / 2, waiting = gauge(b, b->waiting);
    if (!w->n) w->from_s = kv_tick_to_s(b->start_tk);
    w->to_s = kv_tick_to_s(b->end_tk);
    at_s -= w->from_s;
    w->n += 1;
    w->x += at_s;
    w->y += waiting;
    w->xx += at_s * at_s;
    w->xy += at_s * waiting;
    w->running += gauge(b, b->running);
    w->injected += (double)b->grown.injected;
}

static void window_judge(const struct window *w, struct kv_bins_view *view)
{
    if (w->n < 4) return;
    double spread = w->n * w->xx - w->x * w->x;
    view->backlog_slope_per_s = spread > 0 ? (w->n * w->xy - w->x * w->y) / spread : 0;
    view->waiting_mean = w->y / w->n;
    view->running_mean = w->running / w->n;
    double growth = view->backlog_slope_per_s * (w->to_s - w->from_s);
    if (growth > GROWTH_OF_ARRIVALS_MAX * w->injected && growth > GROWTH_REQUESTS_MAX) {
        view->saturation = KV_OVERLOADED;
    } else {
        view->saturation = view->waiting_mean > view->running_mean ? KV_BACKLOGGED : KV_STABLE;
    }
}

struct kv_bins_view kv_bins_look(const struct kv_bins *bins, kv_tick from_tk, kv_tick to_tk)
{
    double none = (double)NAN;
    struct kv_bins_view view = {KV_SATURATION_UNKNOWN, none, none, none, none, none, none};
    struct window window = {0};
    double used = 0, time_s = 0, peak = none, busy_s = 0;
    struct kv_bin b = {0};
    for (int32_t i = 0; i < bins->count; i++) {
        bins->read(bins->state, i, &b);
        if (!b.samples) continue;
        double blocks = b.active_blocks + b.inactive_blocks + b.free_blocks;
        double share = blocks > 0 ? b.active_blocks / blocks : 0, span_s = kv_tick_to_s(b.end_tk - b.start_tk);
        used += share * span_s;
        time_s += span_s;
        if (!(share <= peak)) peak = share;
        if (b.start_tk >= from_tk && b.end_tk <= to_tk) window_add(&window, &b);
    }
    if (!bins->count) return view;
    for (int32_t i = 0; i < bins->instance_count; i++) busy_s += kv_tick_to_s(b.busy_tk[i]);
    view.kv_utilization_mean = time_s > 0 ? used / time_s : none;
    view.kv_utilization_peak = peak;
    if (b.end_tk > 0) view.gpu_busy_frac = busy_s / (kv_tick_to_s(b.end_tk) * bins->instance_count);
    window_judge(&window, &view);
    return view;
}
