/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-storage: measures an S3 server, or a folder of files, and writes a store profile (docs/calibration.md).
 * `kvsim calib storage` runs it. Credentials come from the environment or options and are written nowhere. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "calib/lib/options.h"
#include "calib/lib/stop.h"
#include "calib/lib/today.h"
#include "calib/storage/session.h"
#include "sim/base/version.h"
#include "sim/scenario/store_profile.h"

struct options {
    const char *endpoint, *key, *secret, *region, *bucket, *files, *output, *sizes, *connections, *ops, *note;
    double budget_s, timeout_s, pause_s;
    int64_t samples, seed, port_slot;
    bool keep, quiet;
};
#define ROW(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct options, field), preset, min, max, NULL, help, NULL }
static const struct kv_param rows[] = {
    ROW("endpoint", KV_DIM_TEXT, endpoint, "", 0, 0, "S3 server, http://HOST:PORT; default: $S3_ENDPOINT"),
    ROW("key", KV_DIM_TEXT, key, "", 0, 0, "access key; default: $S3_KEY"),
    ROW("secret", KV_DIM_TEXT, secret, "", 0, 0, "secret key; default: $S3_SECRET, where others do not see it"),
    ROW("region", KV_DIM_TEXT, region, "us-east-1", 0, 0, "that requests are signed for"),
    ROW("bucket", KV_DIM_TEXT, bucket, "kvsim-calib", 0, 0, "made if need be; objects are below kvsim-calib/"),
    ROW("files", KV_DIM_TEXT, files, "", 0, 0, "measure files in this folder, not a server"),
    ROW("output", KV_DIM_TEXT, output, "", 0, 0, "folder of the profile; goes on where samples are there"),
    ROW("sizes", KV_DIM_TEXT, sizes, "4KiB,64KiB,512KiB,4MiB,32MiB", 0, 0, "of the requests"),
    ROW("connections", KV_DIM_TEXT, connections, "1,4,16", 0, 0, "at a time"),
    ROW("ops", KV_DIM_TEXT, ops, "get,range,put", 0, 0, "get: whole objects, range: parts, put; files: range, put"),
    ROW("budget", KV_DIM_TIME, budget_s, "60s", 0.1, 1e6, "time of this run"),
    ROW("samples", KV_DIM_COUNT, samples, "60", 3, 100000, "of each size and number of connections, then it is done"),
    ROW("timeout", KV_DIM_TIME, timeout_s, "30s", 0.01, 1e5, "longest time of a request"),
    ROW("pause", KV_DIM_TIME, pause_s, "0s", 0, 10, "before a request at most, times the connections: time of a packet"),
    ROW("seed", KV_DIM_COUNT, seed, "1", 0, 0x1p52, "which parts are read, which samples are held out"),
    ROW("port_slot", KV_DIM_COUNT, port_slot, "-1", -1, 63, "local port modulo 64 of the first connection; -1: any"),
    ROW("note", KV_DIM_TEXT, note, "", 0, 0, "text for the profile: settings of the server, hardware"),
    ROW("keep", KV_DIM_BOOL, keep, "false", 0, 0, "leave objects or files there"),
    ROW("quiet", KV_DIM_BOOL, quiet, "false", 0, 0, "no progress"),
    KV_PARAM_END
};

static volatile sig_atomic_t *stop;

static int told(const struct kv_err *err)
{
    fprintf(stderr, "kvsim-calib-storage: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    return (int)err->code;
}

static bool terminal;
static void say_progress(const char *text)
{
    fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", text);
}

/* ---- what is known of both sides ---- */

static const char *client(struct kv_arena *arena)
{
    struct utsname u;
    if (uname(&u) != 0) return "kvsim " KV_VERSION;
    return kv_arena_text(arena, "kvsim " KV_VERSION ", %s %s %s, %ld processors", u.sysname, u.release, u.machine,
                         sysconf(_SC_NPROCESSORS_ONLN));
}

static const char *or_environment(const char *text, const char *name)
{
    const char *there = getenv(name);
    return *text ? text : there ? there : "";
}

/* ---- the profile ---- */

static void print_error(const char *what, const struct kv_access_error *e)
{
    if (e->cells)
        printf("  %-12s mean %5.1f %%, worst %5.1f %%, of %d medians\n", what, 100 * e->mean, 100 * e->worst, e->cells);
}

static void print_cells(struct kv_arena *arena, const struct kv_access_samples *samples,
                        const struct kv_store_fitted *fitted)
{
    struct kv_access_cell *cell;
    int32_t count = kv_access_cells(arena, samples->at, samples->count, NULL, &cell);
    printf("%-6s %10s %5s %7s | %11s %11s | %11s %11s | %9s\n", "op", "bytes", "conn", "samples", "first, us", "model",
           "total, us", "model", "MB/s");
    for (int32_t i = 0; i < count; i++) {
        const struct kv_access_cell *c = &cell[i];
        struct kv_access_times m = kv_access_model(&fitted->fit, c);
        printf("%-6s %10lld %5d %7d | %11.1f %11.1f | %11.1f %11.1f | %9.1f\n", kv_access_op_name(c->op),
               (long long)c->bytes, c->connections, c->count, c->first_byte_s * 1e6, m.first_byte_s * 1e6,
               c->total_s * 1e6, m.total_s * 1e6, (double)c->bytes * c->connections / c->mean_s / 1e6);
    }
    printf("held-out samples against a fit without them:\n");
    print_error("first byte", &fitted->first_byte);
    print_error("reads", &fitted->read);
    print_error("writes", &fitted->write);
}

/* From what is in samples.csv now. */
static bool make_profile(struct kv_arena *arena, const struct options *o, const struct kv_storage_target *target,
                         const char *samples_path, struct kv_err *err)
{
    const char *kind = *o->files ? "disk" : "object";
    struct kv_access_samples samples;
    struct kv_store_fitted fitted;
    struct kv_store_calibration c = {
        .date = kv_calib_today(arena), .server = target->server, .client = client(arena), .how = target->how,
        .note = o->note, .holdout_permille = 200, .holdout_seed = o->seed,
    };
    if (!kv_access_samples_read(arena, samples_path, &samples, err)
        || !kv_store_profile_fit(arena, kind, &samples, c.holdout_permille, c.holdout_seed, &fitted, err)
        || !kv_store_profile_write(arena, o->output, kind, "measured with kvsim calib storage", &samples, &fitted, &c,
                                   err)) return false;
    print_cells(arena, &samples, &fitted);
    if (samples.failed) printf("%lld requests failed and were left out\n", (long long)samples.failed);
    printf("wrote %s\n", o->output);
    return fflush(stdout) == 0;
}

/* ---- the run ---- */

static bool check_options(struct options *o, struct kv_storage_grid *grid, struct kv_arena *arena, struct kv_err *err)
{
    const bool files = *o->files;
    o->endpoint = or_environment(o->endpoint, "S3_ENDPOINT");
    o->key = or_environment(o->key, "S3_KEY");
    o->secret = or_environment(o->secret, "S3_SECRET");
    if (!*o->output) return kv_fail(err, KV_EUSAGE, "", "-o FOLDER is missing: where the profile goes");
    if (!files && !*o->endpoint)
        return kv_fail(err, KV_EUSAGE, "", "no server: give --endpoint or S3_ENDPOINT, or --files FOLDER");
    if (!kv_storage_grid_read(arena, o->sizes, o->connections, grid, err)) return false;
    for (const char *op = o->ops; *op;) {
        size_t n = strcspn(op, ",");
        if (n == 3 && !strncmp(op, "get", 3)) grid->gets = !files;
        else if (n == 5 && !strncmp(op, "range", 5)) grid->ranges = true;
        else if (n == 3 && !strncmp(op, "put", 3)) grid->puts = true;
        else return kv_fail(err, KV_EUSAGE, "--ops", "'%.*s' is none of get, range, put", (int)n, op);
        op += n + (op[n] == ',');
    }
    for (int32_t i = 0; files && i < grid->size_count; i++)
        if (grid->bytes[i] % 4096)
            return kv_fail(err, KV_EUSAGE, "--sizes", "%lld: files are read past the page cache in multiples of 4096",
                           (long long)grid->bytes[i]);
    return mkdir(o->output, 0777) == 0 || errno == EEXIST
           || kv_fail(err, KV_EIO, o->output, "cannot make the folder: %s", strerror(errno));
}

static bool open_target(struct kv_arena *arena, const struct options *o, const struct kv_storage_grid *grid,
                        struct kv_storage_target *target, struct kv_err *err)
{
    const struct kv_storage_s3_options s3 = {
        .endpoint = o->endpoint, .key = o->key, .secret = o->secret, .region = o->region, .bucket = o->bucket,
        .timeout_s = o->timeout_s, .port_slot = o->port_slot, .keep = o->keep,
    };
    return *o->files ? kv_storage_files(arena, o->files, o->keep, grid, target, err)
                     : kv_storage_s3(arena, &s3, grid, stop, target, err);
}

static int measure(struct kv_arena *arena, struct options *o)
{
    struct kv_storage_grid grid = {0};
    struct kv_storage_target target = {0};
    struct kv_err err = {0}, unfit = {0};
    if (!check_options(o, &grid, arena, &err)) return told(&err);
    bool good = open_target(arena, o, &grid, &target, &err);
    struct kv_storage_session session = {
        .arena = arena, .target = &target, .path = kv_arena_text(arena, "%s/samples.csv", o->output),
        .samples_wanted = (int32_t)o->samples, .budget_s = o->budget_s, .seed = (uint64_t)o->seed, .pause_s = o->pause_s,
        .stop = stop,
        .say = o->quiet ? NULL : say_progress,
    };
    session.cell_count = kv_storage_plan(arena, &grid, &session.cell);
    /* Parts are taken of the largest object. */
    good = good && kv_storage_resume(&session, &err)
           && (!grid.ranges || target.prepare(target.state, kv_storage_largest(&grid), &err))
           && kv_storage_measure(&session, &err);
    if (terminal && !o->quiet) fprintf(stderr, "\r\033[K");
    bool interrupted = *stop;
    *stop = 0;   /* what was made can still be removed */
    if (target.state) target.close(target.state);
    if (!good && !interrupted) {
        told(&err);
        if (access(session.path, F_OK) == 0)
            fprintf(stderr, "kvsim-calib-storage: what was measured before is kept in %s; the same command goes on "
                    "from there\n", session.path);
        return (int)err.code;
    }
    bool made = make_profile(arena, o, &target, session.path, &unfit);
    if (session.timed_out) printf("the time was over before all had %lld samples; the same command goes on\n",
                                  (long long)o->samples);
    for (int32_t i = 0; i < session.cell_count; i++)
        if (session.cell[i].left_out)
            printf("left out, for it takes too much of the time: %s of %lld bytes, %d at a time\n",
                   kv_access_op_name(session.cell[i].op), (long long)session.cell[i].bytes,
                   session.cell[i].connections);
    if (!made) told(&unfit);
    return interrupted ? KV_EINTERRUPT : made ? KV_OK : (int)unfit.code;
}

int main(int argc, char **argv)
{
    struct kv_arena arena = {0};
    struct options o = {0};
    struct kv_err err = {0};
    int code;
    signal(SIGPIPE, SIG_IGN);
    stop = kv_calib_stop();
    terminal = isatty(2);
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        printf("usage: kvsim calib storage -o FOLDER [options]\n%s", kv_options_text(&arena, rows));
        code = KV_OK;
    } else {
        code = kv_options_read(&arena, rows, argc - 1, argv + 1, &o, &err) ? measure(&arena, &o) : told(&err);
    }
    kv_arena_close(&arena);
    return code;
}
