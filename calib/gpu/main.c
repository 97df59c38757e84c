/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-gpu: times the operators of a transformer on this GPU, and writes raw samples of which
 * `kvsim calib import samples` makes a profile (docs/calibration.md). `kvsim calib gpu` runs it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calib/gpu/bench.h"
#include "calib/gpu/samples.h"
#include "calib/lib/options.h"
#include "calib/lib/stop.h"
#include "calib/lib/today.h"
#include "sim/base/version.h"
#include "sim/scenario/shapes.h"

struct options {
    const char *output, *gpu, *model, *ops, *types, *note;
    double budget_s;
    int64_t device, visits;
    bool list, quiet;
};
#define ROW(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct options, field), preset, min, max, NULL, help, NULL }
static const struct kv_param rows[] = {
    ROW("output", KV_DIM_TEXT, output, "", 0, 0, "folder of samples; goes on where it holds some"),
    ROW("device", KV_DIM_COUNT, device, "0", 0, 1023, "which GPU, as CUDA counts them"),
    ROW("gpu", KV_DIM_TEXT, gpu, "", 0, 0, "its name in models/gpus; default: by what the driver calls it"),
    ROW("model", KV_DIM_TEXT, model, "", 0, 0, "models whose shapes are measured, NAME,NAME; default: all that ship"),
    ROW("ops", KV_DIM_TEXT, ops, "", 0, 0, "gemm,prefill,decode,rmsnorm,rotary,scatter_kv,silu_mul,write_kv,copy,"
        "all_reduce,sm_share,two_layers; default: all"),
    ROW("dtype", KV_DIM_TEXT, types, "", 0, 0, "bf16,fp8; default: both"),
    ROW("budget", KV_DIM_TIME, budget_s, "8min", 1, 1e6, "time of this run"),
    ROW("visits", KV_DIM_COUNT, visits, "3", 1, 1000, "to each point, a median each, spread over the run"),
    ROW("list", KV_DIM_BOOL, list, "false", 0, 0, "print what would be measured, in order; needs no GPU"),
    ROW("note", KV_DIM_TEXT, note, "", 0, 0, "text for the samples: settings of the machine"),
    ROW("quiet", KV_DIM_BOOL, quiet, "false", 0, 0, "no progress"),
    KV_PARAM_END
};

static volatile sig_atomic_t *stop;

static int told(const struct kv_err *err)
{
    fprintf(stderr, "kvsim-calib-gpu: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    return (int)err->code;
}

static double now_s(void *unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#define SAID_EVERY_S 10.0   /* into a file; a terminal shows every point */
static bool terminal;
static void say_progress(const char *text)
{
    static double last_s;
    double now = now_s(NULL);
    if (!terminal && now - last_s < SAID_EVERY_S) return;
    last_s = now;
    fprintf(stderr, terminal ? "\r\033[K%.100s" : "%s\n", text);
}

static void tell_reason(const char *reason)
{
    fprintf(stderr, "%skvsim-calib-gpu: %s\n", terminal ? "\r\033[K" : "", reason);
}

/* ---- what is measured ---- */

/* The shapes of models: those named, else all. */
static bool load_models(struct kv_arena *arena, const char *list, struct kv_gpu_grid *grid, struct kv_err *err)
{
    enum { MODELS_MOST = 256 };
    struct kv_diag diag = {0};
    const struct kv_shape_entry *entry;
    const struct kv_model_shape **model = kv_arena_take(arena, MODELS_MOST * sizeof *model);
    const char *name[MODELS_MOST];
    int32_t count = 0;
    for (const char *word = list; *word && count < MODELS_MOST;) {
        size_t length = strcspn(word, ",");
        name[count++] = kv_arena_copy(arena, word, length);
        word += length + (word[length] == ',');
    }
    if (!*list) {
        count = kv_model_list(arena, &entry, &diag);
        if (count > MODELS_MOST) count = MODELS_MOST;
        for (int32_t i = 0; i < count; i++) name[i] = entry[i].name;
    }
    for (int32_t i = 0; i < count; i++) {
        struct kv_model_shape *shape = kv_arena_take(arena, sizeof *shape);
        model[i] = shape;
        kv_model_load(arena, name[i], "", (struct kv_pos){ .file = "--model" }, shape, &diag);
    }
    grid->model = model;
    grid->model_count = count;
    grid->general = !*list;
    bool good = !diag.errors || kv_diag_fail(&diag, err);
    kv_diag_close(&diag);
    return good;
}

/* One line a kind, then one a point. */
static void print_plan(const struct kv_gpu_point *point, int32_t count)
{
    for (int32_t op = 0; op < KV_GPU_OPS; op++) {
        int32_t of_op = 0;
        for (int32_t i = 0; i < count; i++) of_op += point[i].op == (enum kv_gpu_op)op;
        if (of_op) printf("%-10s %6d points\n", kv_gpu_op_name((enum kv_gpu_op)op), of_op);
    }
    printf("%-10s %6d points, in this order (rank first):\n", "all", count);
    for (int32_t i = 0; i < count; i++) {
        struct kv_arena scratch = {0};
        printf("%d %s\n", point[i].rank, kv_gpu_point_text(&scratch, &point[i]));
        kv_arena_close(&scratch);
    }
}

/* ---- the device and its folder ---- */

/* Names of models/gpus for what drivers say: a part of the name is enough. PCIe cards of the same chips are others. */
static const char *const known_gpus[][2] = {
    {"H200", "h200-sxm"}, {"H100 80GB HBM3", "h100-sxm"}, {"A100-SXM4-80GB", "a100-sxm"}, {"B200", "b200-sxm"},
    {"L40S", "l40s"}, {"RTX 4090", "rtx-4090"}, {"RTX PRO 6000", "rtx-pro-6000"},
};

static bool name_gpu(struct kv_arena *arena, struct options *o, const char *device, struct kv_err *err)
{
    struct kv_gpu_spec spec;
    struct kv_diag diag = {0};
    for (size_t i = 0; !*o->gpu && i < sizeof known_gpus / sizeof *known_gpus; i++)
        if (strstr(device, known_gpus[i][0])) o->gpu = known_gpus[i][1];
    if (!*o->gpu)
        return kv_fail(err, KV_EUSAGE, "--gpu", "which of `kvsim list gpus` is '%s'? A file of your own will do",
                       device);
    bool good = kv_gpu_load(arena, o->gpu, "", (struct kv_pos){ .file = "--gpu" }, &spec, &diag)
                || kv_diag_fail(&diag, err);
    if (good) o->gpu = spec.name;
    kv_diag_close(&diag);
    return good;
}

/* Samples of one folder are of one kind of device, whose name stands in device.txt. */
static bool open_folder(struct kv_arena *arena, const char *folder, const char *device, struct kv_err *err)
{
    const char *path = kv_arena_text(arena, "%s/device.txt", folder);
    char before[256] = "";
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return kv_fail(err, KV_EIO, folder, "cannot make the folder: %s", strerror(errno));
    FILE *f = fopen(path, "r");
    if (f) {
        if (!fgets(before, sizeof before, f)) *before = 0;
        fclose(f);
        before[strcspn(before, "\n")] = 0;
    }
    if (*before && strcmp(before, device) != 0)
        return kv_fail(err, KV_EUSAGE, folder, "holds samples of '%s', and this is '%s'; choose another folder", before,
                       device);
    if (*before) return true;
    f = fopen(path, "w");
    bool good = f && fprintf(f, "%s\n", device) > 0;
    if (f && fclose(f) != 0) good = false;
    return good || kv_fail(err, KV_EIO, path, "cannot write it: %s", strerror(errno));
}

/* ---- the run ---- */

static const char *version_text(struct kv_arena *arena, int64_t version)
{
    return kv_arena_text(arena, "%lld.%lld", (long long)version / 1000, (long long)version % 1000 / 10);
}

static int write_samples(struct kv_arena *arena, const struct options *o, struct kv_gpu_bench *b,
                         struct kv_gpu_session *s)
{
    struct kv_err err = {0};
    const char *driver = kv_gpu_clocks_driver(b->clocks), *nccl = kv_reduce_version();
    long long lt = (long long)kv_gemm_version();
    const struct kv_gpu_about about = {
        .gpu = o->gpu, .date = kv_calib_today(arena),
        .driver = *driver ? driver : kv_arena_text(arena, "of CUDA %s", version_text(arena, b->device.driver)),
        .cuda = version_text(arena, b->device.runtime),
        .clocks = kv_arena_text(arena, "%s; %s", kv_gpu_clocks_text(arena, b->clocks),
                                kv_gpu_clocks_seen(arena, &s->visits)),
        .engine = kv_arena_text(arena, "cuBLASLt %lld.%lld.%lld%s%s, kernels of kvsim " KV_VERSION, lt / 10000,
                                lt / 100 % 100, lt % 100, *nccl ? ", " : "", nccl),
        .commit = KV_VERSION, .note = o->note, .sms = b->device.sms,
    };
    int32_t points = kv_gpu_samples_write(arena, o->output, &s->visits, &about, &err);
    if (points < 0) return told(&err);
    printf("%d points in %s, %d visits of them by this run\n", points, o->output, s->measured);
    for (size_t i = 0; i < s->reason.count; i++) printf("  left out: %s\n", s->reason.at[i]);
    if (s->timed_out) printf("the time was over before all had %lld visits; the same command goes on\n",
                             (long long)o->visits);
    printf("a profile of them: kvsim calib import samples %s -o PROFILE\n", o->output);
    return fflush(stdout) == 0 ? KV_OK : KV_EIO;
}

static int run_session(struct kv_arena *arena, struct options *o, struct kv_gpu_grid *grid, struct kv_gpu_bench *b)
{
    struct kv_err err = {0};
    const struct kv_gpu_measurer measurer = { b, now_s, kv_gpu_bench_measure };
    struct kv_gpu_session s = {
        .arena = arena, .measurer = &measurer, .path = kv_arena_text(arena, "%s/visits.csv", o->output),
        .visits_wanted = (int32_t)o->visits, .budget_s = o->budget_s, .stop = stop,
        .say = o->quiet ? NULL : say_progress, .tell = tell_reason,
    };
    grid->gpus = b->devices;
    grid->sms = b->device.sms;
    grid->memory_bytes = b->device.memory_bytes;
    s.count = kv_gpu_plan(arena, grid, &s.point);
    if (grid->op[KV_GPU_REDUCE] && grid->gpus < 2)
        kv_vec_push(&s.reason, "all-reduce: it needs two GPUs, and one is here");
    bool good = kv_gpu_session_resume(&s, &err) && kv_gpu_session_measure(&s, &err);
    if (terminal && !o->quiet) fprintf(stderr, "\r\033[K");
    int code = write_samples(arena, o, b, &s);
    if (!good) {
        code = told(&err);
        fprintf(stderr, "kvsim-calib-gpu: %s keeps what was measured; the same command goes on from there\n", s.path);
    }
    if (code == KV_OK && *stop) code = KV_EINTERRUPT;
    if (code == KV_OK && s.wrong) code = KV_ECHECK;
    kv_gpu_session_close(&s);
    return code;
}

static int measure(struct kv_arena *arena, struct options *o)
{
    struct kv_gpu_grid grid = {0};
    struct kv_gpu_point *point;
    struct kv_gpu_bench bench = {0};
    struct kv_err err = {0};
    if (!kv_gpu_grid_read(o->ops, o->types, &grid, &err) || !load_models(arena, o->model, &grid, &err))
        return told(&err);
    if (o->list) {
        int32_t count = kv_gpu_plan(arena, &grid, &point);
        print_plan(point, count);
        return fflush(stdout) == 0 ? KV_OK : KV_EIO;
    }
    if (!*o->output) return kv_fail(&err, KV_EUSAGE, "", "-o FOLDER is missing: where the samples go"), told(&err);
    bool good = kv_gpu_bench_open(&bench, (int32_t)o->device, &err) && name_gpu(arena, o, bench.device.name, &err)
                && open_folder(arena, o->output, bench.device.name, &err);
    int code = good ? run_session(arena, o, &grid, &bench) : told(&err);
    kv_gpu_bench_close(&bench);
    return code;
}

int main(int argc, char **argv)
{
    struct kv_arena arena = {0};
    struct options o = {0};
    struct kv_err err = {0};
    int code;
    stop = kv_calib_stop();
    terminal = isatty(2);
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        printf("usage: kvsim calib gpu -o FOLDER [options]\n%s", kv_options_text(&arena, rows));
        code = KV_OK;
    } else {
        code = kv_options_read(&arena, rows, argc - 1, argv + 1, &o, &err) ? measure(&arena, &o) : told(&err);
    }
    kv_arena_close(&arena);
    return code;
}
