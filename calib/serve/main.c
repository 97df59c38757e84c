/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-serve: serves the workload of a scenario for real, on a GPU with random weights, so that what kvsim says
 * of the scenario can be compared with it (docs/calibration.md). `kvsim calib serve` runs it. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "calib/lib/options.h"
#include "calib/lib/today.h"
#include "calib/serve/check.h"
#include "calib/serve/log.h"
#include "calib/serve/reference.h"
#include "calib/serve_cuda/cuda.h"
#include "sim/base/version.h"
#include "sim/lib/writer.h"
#include "sim/serve/workload.h"

static const char *const kinds[] = {"cuda", "reference", "clock", NULL};
struct options {
    const char *output, *set, *model;
    int64_t device, layers, gpu, seed, layers_every, memory_bytes;
    double budget_s;
    bool force, quiet;
};
#define ROW(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct options, field), preset, min, max, NULL, help, NULL }
static const struct kv_param rows[] = {
    ROW("output", KV_DIM_TEXT, output, "", 0, 0, "folder for requests.csv, steps.csv, layers.csv and run.yaml"),
    { "device", KV_DIM_CHOICE, offsetof(struct options, device), "cuda", 0, 0, kinds,
      "cuda: a GPU; reference: double precision on the CPU, small models; clock: prices of the scenario", NULL },
    ROW("set", KV_DIM_TEXT, set, "", 0, 0, "KEY=VALUE: change a key of the scenario; may be repeated"),
    ROW("model", KV_DIM_TEXT, model, "", 0, 0, "name of models/data, or a file, in place of the scenario's"),
    ROW("layers", KV_DIM_COUNT, layers, "0", 0, 1024, "cut the model to so many layers; 0: all"),
    ROW("gpu", KV_DIM_COUNT, gpu, "0", 0, 1023, "which one"),
    ROW("seed", KV_DIM_COUNT, seed, "1", 0, 0x1p52, "of the weights"),
    ROW("layers_every", KV_DIM_COUNT, layers_every, "0", 0, 1e9, "time the layers of each so-many-th step; 0: of "
        "those that wait for loads"),
    ROW("memory", KV_DIM_BYTES, memory_bytes, "4GiB", 1, 1e15, "reference: at most so much"),
    ROW("budget", KV_DIM_TIME, budget_s, "10min", 1e-3, 1e6, "time of the run, filling host memory included"),
    ROW("force", KV_DIM_BOOL, force, "false", 0, 0, "overwrite files that are there"),
    ROW("quiet", KV_DIM_BOOL, quiet, "false", 0, 0, "no progress and no table"),
    KV_PARAM_END
};

static volatile sig_atomic_t stop, out_of_time;
static void on_signal(int number)
{
    if (number == SIGALRM) {
        out_of_time = 1;
    } else if (stop && !out_of_time) {
        /* Twice: at once. */
        signal(number, SIG_DFL);
        raise(number);
    }
    stop = 1;
}

static int told(const struct kv_err *err)
{
    fprintf(stderr, "kvsim-calib-serve: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    return (int)err->code;
}

/* ---- the command line ---- */

struct words { char **option; int count; struct kv_override *set; int32_t set_count; };

/* Each --set taken out of the words; the rest are options. */
static bool sort_words(struct kv_arena *arena, int count, char **word, struct words *w, struct kv_err *err)
{
    w->option = kv_arena_take(arena, ((size_t)count + 1) * sizeof *w->option);
    w->set = kv_arena_take(arena, ((size_t)count + 2) * sizeof *w->set);
    for (int i = 0; i < count; i++) {
        const char *text = !strncmp(word[i], "--set=", 6) ? word[i] + 6 : NULL, *equals;
        if (!strcmp(word[i], "--set") && i + 1 < count) text = word[++i];
        if (!text) {
            w->option[w->count++] = word[i];
            continue;
        }
        if (!(equals = strchr(text, '=')) || equals == text)
            return kv_fail(err, KV_EUSAGE, "--set", "'%s': expected KEY=VALUE, e.g. engine.max_num_seqs=64", text);
        w->set[w->set_count++] = (struct kv_override){ .key = kv_arena_copy(arena, text, (size_t)(equals - text)),
                                                       .value = equals + 1 };
    }
    return true;
}

/* ---- the scenario ---- */

static bool load(struct kv_scenario *s, const char *path, const struct words *w)
{
    struct kv_diag diag = {0};
    bool good = kv_scenario_load(s, path, w->set, w->set_count, &diag);
    fputs(kv_diag_text(&diag, false), stderr);
    kv_diag_close(&diag);
    return good;
}

static bool make_folder(const char *path, struct kv_err *err)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST
           || kv_fail(err, KV_EIO, path, "cannot make the folder: %s", strerror(errno));
}

/* The model with fewer layers, as a file beside the results: `kvsim run --set model.use=FILE` then simulates it. */
static bool cut_model(const struct kv_model_shape *m, int64_t layers, const char *path, struct kv_err *err)
{
    struct kv_writer file;
    if (layers > m->layers)
        return kv_fail(err, KV_EUSAGE, "--layers", "%lld; %s has %d", (long long)layers, m->name, m->layers);
    if (kv_llama_lacks(m))
        return kv_fail(err, KV_EUSAGE, "--layers", "%s has %s and cannot be cut", m->name, kv_llama_lacks(m));
    if (!kv_writer_open(&file, path, true, err)) return false;
    kv_writer_text(&file, "name: %s\nattention: gqa\nlayers: %lld\nhidden: %d\nheads: %d\nkv_heads: %d\nhead_dim: %d\n"
                   "intermediate: %d\nvocabulary: %d\nmax_position_tokens: %d\ntied_embeddings: %s\ndtype_bytes: %g\n"
                   "kv_dtype_bytes: %g\nsource: %s of models/data, cut by kvsim calib serve\n", m->name,
                   (long long)layers, m->hidden, m->heads, m->kv_heads, m->head_dim, m->intermediate, m->vocabulary,
                   m->max_position_tokens, m->tied_embeddings ? "true" : "false", m->dtype_bytes, m->kv_dtype_bytes,
                   m->name);
    bool good = kv_writer_commit(&file, err);
    kv_writer_close(&file);
    return good;
}

static void override(struct words *w, const char *key, const char *value)
{
    w->set[w->set_count++] = (struct kv_override){ key, value };
}

/* With the model that the options say. Told what is wrong; *code is the exit code then. */
static bool load_scenario(struct kv_scenario *s, const char *path, const struct options *o, struct words *w,
                          struct kv_arena *arena, int *code)
{
    struct kv_err err = {0};
    *code = KV_ECONFIG;
    if (*o->model) override(w, "model.use", o->model);
    if (!load(s, path, w)) return false;
    if (o->layers > 0) {
        char here[4096];
        const char *file = kv_arena_text(arena, "%s%s%s/model.yaml", *o->output == '/' ? "" : getcwd(here, sizeof here),
                                         *o->output == '/' ? "" : "/", o->output);
        if (!make_folder(o->output, &err) || !cut_model(&s->model, o->layers, file, &err))
            return *code = told(&err), false;
        kv_scenario_close(s);
        w->set_count -= *o->model != 0;
        override(w, "model.use", file);
        if (!load(s, path, w)) return false;
    }
    struct kv_diag diag = {0};
    bool good = kv_loop_check(s, (enum kv_loop_kind)o->device, &diag);
    fputs(kv_diag_text(&diag, false), stderr);
    kv_diag_close(&diag);
    return good;
}

/* ---- the run ---- */

struct progress { struct kv_loop_log log; int64_t ended; bool quiet, terminal; double last_s; };

static bool step_done(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                      const struct kv_loop_step *step, struct kv_err *err)
{
    struct progress *p = state;
    double at_s = kv_tick_to_s(step->end_tk);
    if (!p->quiet && p->terminal && at_s > p->last_s + 1) {
        fprintf(stderr, "\r\033[K%.0f s: %lld of %u requests, %lld steps", at_s, (long long)p->ended, loop->seq_count,
                (long long)loop->stats.steps);
        p->last_s = at_s;
    }
    return kv_loop_log_step(&p->log, loop, batch, step, err);
}

static bool request_ended(void *state, const struct kv_loop_seq *seq, struct kv_err *err)
{
    (void)seq, (void)err;
    ((struct progress *)state)->ended++;
    return true;
}

static bool open_device(struct kv_loop *loop, const struct kv_scenario *s, const struct options *o, const char **about,
                        struct kv_arena *arena, struct kv_err *err)
{
    if (o->device == KV_LOOP_CLOCK) {
        struct kv_loop_clock *clock = kv_arena_take(arena, sizeof *clock);
        loop->device = (struct kv_loop_device){ clock, &kv_loop_clock_ops };
        return kv_loop_clock_open(clock, &s->sim, arena, err);
    }
    if (o->device == KV_LOOP_REFERENCE) {
        struct kv_loop_reference *r = kv_arena_take(arena, sizeof *r);
        loop->device = (struct kv_loop_device){ r, &kv_loop_reference_ops };
        return kv_loop_reference_open(r, &s->sim, loop->slot_count, (uint64_t)o->seed, o->memory_bytes, arena, err);
    }
#ifdef KV_HAVE_CUDA
    struct kv_loop_cuda_options options = {
        .config = &s->sim, .slots = loop->slot_count, .gpu = (int32_t)o->gpu, .seed = (uint64_t)o->seed,
        .layers_every = o->layers_every, .warm_up = true, .stop = &stop,
    };
    kv_loop_longest(loop, &options.longest_tokens, &options.fill_tokens);
    return kv_loop_cuda_open(&loop->device, &options, about, arena, err);
#else
    (void)about;
    return kv_fail(err, KV_ENOHW, "--device cuda", "this program was built without CUDA (nvcc was not there); "
                   "--device reference computes a small model on the CPU, --device clock nothing");
#endif
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool serve(struct kv_loop *loop, struct progress *progress, const struct options *o, bool *complete,
                  double *fill_s, struct kv_err *err)
{
    double from_s = now_s(), whole_s = floor(o->budget_s);
    const struct itimerval budget = { .it_value = { (time_t)whole_s, (suseconds_t)((o->budget_s - whole_s) * 1e6) } };
    setitimer(ITIMER_REAL, &budget, NULL);
    loop->stop = &stop;
    loop->sink = (struct kv_loop_sink){ progress, step_done, request_ended };
    if (!kv_loop_fill(loop, err)) return false;
    *fill_s = now_s() - from_s;
    return kv_loop_run(loop, complete, err);
}

static int end(const struct kv_loop *loop, const struct progress *progress, const struct options *o, bool complete,
               const char *about, struct kv_arena *arena)
{
    struct kv_err err = {0};
    const char *status = complete ? "complete" : out_of_time ? "out of time" : "interrupted";
    about = kv_arena_text(arena, "status: %s\n%s", status, about);
    if (!kv_loop_log_write(&progress->log, loop, o->output, about, o->force, arena, &err)) return told(&err);
    if (!o->quiet) printf("%s", kv_loop_log_table(loop, arena));
    if (!complete) fprintf(stderr, "kvsim-calib-serve: %s; %s keeps the %lld requests that ended\n", status, o->output,
                           (long long)progress->ended);
    if (fflush(stdout) != 0) return KV_EIO;
    return complete ? KV_OK : out_of_time ? KV_ESTUCK : KV_EINTERRUPT;
}

static int run(struct kv_scenario *s, const char *path, const struct options *o, struct kv_arena *arena)
{
    struct kv_err err = {0};
    struct kv_loop loop = {0};
    struct progress progress = { .quiet = o->quiet, .terminal = isatty(2) };
    const char *about = "";
    bool complete = false;
    double fill_s = 0;
    struct kv_workload *workload = kv_workload_open(&s->workload, s->sim.seed, s->slo, s->slo_count, &err);
    if (!workload) return told(&err);
    bool good = kv_loop_open(&loop, &s->sim, kv_workload_next, workload, arena, &err)
                && open_device(&loop, s, o, &about, arena, &err) && make_folder(o->output, &err)
                && serve(&loop, &progress, o, &complete, &fill_s, &err);
    if (progress.terminal && !o->quiet) fprintf(stderr, "\r\033[K");
    about = kv_arena_text(arena, "program: kvsim calib serve %s\ndate: %s\nscenario: %s\ndevice: %s\n%smodel: %s\n"
                          "layers: %d\nseed: %lld\nblocks: %lld\nhost_blocks: %d\nfill_s: %.3f\n", KV_VERSION,
                          kv_calib_today(arena), path, kinds[o->device], about, s->model.name, s->model.layers,
                          (long long)o->seed, (long long)s->sim.hbm_blocks, loop.slot_count, fill_s);
    int code = good ? end(&loop, &progress, o, complete, about, arena) : told(&err);
    if (loop.device.ops) loop.device.ops->close(loop.device.state);
    kv_loop_log_close(&progress.log);
    kv_loop_close(&loop);
    kv_workload_close(workload);
    return code;
}

static int serve_scenario(struct kv_arena *arena, const char *path, int count, char **word)
{
    struct options o = {0};
    struct words w = {0};
    struct kv_err err = {0};
    struct kv_scenario s = {0};
    int code;
    if (!sort_words(arena, count, word, &w, &err)
        || !kv_options_read(arena, rows, w.count, w.option, &o, &err)) return told(&err);
    if (!*o.output) return kv_fail(&err, KV_EUSAGE, "", "-o FOLDER is missing: where the results go"), told(&err);
    if (!o.force && access(kv_arena_text(arena, "%s/run.yaml", o.output), F_OK) == 0)
        return kv_fail(&err, KV_EUSAGE, o.output, "has a run already; --force replaces it"), told(&err);
    code = load_scenario(&s, path, &o, &w, arena, &code) ? run(&s, path, &o, arena) : code;
    kv_scenario_close(&s);
    return code;
}

int main(int argc, char **argv)
{
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    int code;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        printf("usage: kvsim calib serve SCENARIO.yaml -o FOLDER [options]\n%s", kv_options_text(&arena, rows));
        code = KV_OK;
    } else if (argc < 2 || argv[1][0] == '-') {
        kv_fail(&err, KV_EUSAGE, "", "usage: kvsim calib serve SCENARIO.yaml -o FOLDER [options]; --help lists them");
        code = told(&err);
    } else {
        code = serve_scenario(&arena, argv[1], argc - 2, argv + 2);
    }
    kv_arena_close(&arena);
    return code;
}
