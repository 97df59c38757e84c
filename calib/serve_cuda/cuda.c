/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve_cuda/cuda.h"

#include <time.h>

#include "calib/serve_cuda/gpu.h"

#define WARM_MEMBERS 64

/* ---- time ---- */

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static kv_tick now(void *state)
{
    const struct kv_gpu *g = state;
    return (clock_ns() - g->zero_ns) * KV_TICKS_PER_NS;
}

static void start(void *state)
{
    struct kv_gpu *g = state;
    g->zero_ns = clock_ns();
}

/* Sleeps while it is far off, and looks again and again when it is near or a load is on its way. */
static bool wait(void *state, kv_tick until_tk, int32_t load, int32_t layers, struct kv_err *err)
{
    struct kv_gpu *g = state;
    for (;;) {
        kv_tick left = until_tk - now(g);
        if (left <= 0 || (g->o.stop && *g->o.stop)) return true;
        if (load >= 0 && kv_gpu_arrived(g, load) >= layers) return true;
        if (g->failed.code != KV_OK) {
            *err = g->failed;
            return false;
        }
        int64_t left_ns = left / KV_TICKS_PER_NS, nap_ns = load >= 0 ? 0 : left_ns - 200000;
        if (nap_ns > 100000000) nap_ns = 100000000;
        if (nap_ns > 0) nanosleep(&(struct timespec){ 0, (long)nap_ns }, NULL);
    }
}

/* ---- steps ---- */

static kv_tick ticks(double s) { return (kv_tick)(s * (double)KV_TICKS_PER_S); }

/* When each layer was loaded and computed. Events are told apart from the step's first, which stands for the instant at
 * which the step was handed over: the stream was idle. */
static bool read_layers(struct kv_gpu *g, const struct kv_loop_batch *batch, kv_tick begin, struct kv_err *err)
{
    for (int32_t l = 0; l < g->shape->layers; l++) {
        double from_s, to_s, in_s, last_s = 0;
        bool any = false;
        if (!kv_cuda_elapsed_s(g->begin, g->layer_begin[l], &from_s, err)
            || !kv_cuda_elapsed_s(g->begin, g->layer_end[l], &to_s, err)) return false;
        for (int32_t i = 0; i < batch->count; i++)
            for (int32_t k = 0; k < batch->member[i].load_count; k++) {
                kv_cuda_event in = g->load.at[batch->member[i].load[k]].event[l];
                if (!kv_cuda_elapsed_s(g->begin, in, &in_s, err)) return false;
                if (!any || in_s > last_s) last_s = in_s;
                any = true;
            }
        g->times[l] = (struct kv_loop_layer){ any ? begin + ticks(last_s) : -1, begin + ticks(from_s),
                                              begin + ticks(to_s) };
    }
    return true;
}

/* Tokens came in the order of rows: those of chunks first. */
static void read_tokens(struct kv_gpu *g, const struct kv_loop_batch *batch)
{
    int32_t next = 0;
    for (int32_t pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < batch->count; i++)
            if ((batch->member[i].new_tokens > 1) == (pass == 0))
                g->token[i] = batch->member[i].yields ? g->picked_host[next++] : -1;
}

static bool step(void *state, const struct kv_loop_batch *batch, struct kv_loop_step *step, struct kv_err *err)
{
    struct kv_gpu *g = state;
    bool timed = g->o.layers_every > 0 && g->steps % g->o.layers_every == 0;
    for (int32_t i = 0; i < batch->count; i++) timed = timed || batch->member[i].load_count > 0;
    g->steps++;
    step->begin_tk = now(g);
    if (!kv_gpu_forward(g, batch, timed, true, err)) return false;
    step->launch_s = kv_tick_to_s(now(g) - step->begin_tk);
    if (!kv_cuda_wait_event(g->end, err)) return false;
    step->end_tk = now(g);
    read_tokens(g, batch);
    step->token = g->token;
    step->layer = timed ? g->times : NULL;
    return kv_cuda_elapsed_s(g->begin, g->end, &step->device_s, err)
           && (!timed || read_layers(g, batch, step->begin_tk, err));
}

/* A prefix by chunks, as prompts are; only what is new of it is kept. */
static bool fill(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    struct kv_gpu *g = state;
    int32_t all = load->count * g->block_tokens, most = (int32_t)g->o.config->engine.max_num_batched_tokens;
    for (int32_t done = 0, n; done < all; done += n) {
        n = all - done < most ? all - done : most;
        struct kv_loop_member m = { .request = load->request, .new_tokens = n, .ctx_tokens = done, .page = load->page };
        struct kv_loop_batch batch = { &m, 1, n };
        if (!kv_gpu_forward(g, &batch, false, false, err) || !kv_cuda_wait_event(g->end, err)) return false;
    }
    return kv_gpu_save(g, load, err);
}

/* ---- before the start ---- */

/* One step of chunks or decodes, whose KV goes to pages that nobody has taken yet. */
static bool try_step(struct kv_gpu *g, const struct kv_request *r, int32_t members, int32_t tokens, int32_t *page,
                     struct kv_err *err)
{
    struct kv_loop_member m[WARM_MEMBERS];
    struct kv_loop_batch batch = { m, members, (int64_t)members * tokens };
    for (int32_t i = 0; i < members; i++)
        m[i] = (struct kv_loop_member){ .request = r, .new_tokens = tokens, .yields = true, .page = page };
    return kv_gpu_forward(g, &batch, true, true, err) && kv_cuda_wait_event(g->end, err);
}

/* The first launch of a kernel loads it. */
static bool warm_up(struct kv_gpu *g, struct kv_arena *arena, struct kv_err *err)
{
    const struct kv_engine_config *e = &g->o.config->engine;
    const struct kv_request request = { .input_tokens = 1, .output_tokens = 1 };
    int64_t most = g->o.config->hbm_blocks * g->block_tokens;
    if (most > e->max_num_batched_tokens) most = e->max_num_batched_tokens;
    if (!kv_gpu_prepare_products(g, e->max_num_batched_tokens, e->max_num_seqs, err)) return false;
    if (most > g->o.longest_tokens) most = g->o.longest_tokens;
    int32_t *page = kv_arena_take(arena, ((size_t)(most / g->block_tokens) + 1) * sizeof *page);
    for (int32_t i = 0; i * g->block_tokens < most; i++) page[i] = i;
    for (int32_t n = (int32_t)most; n > 1; n /= 2)
        if (!try_step(g, &request, 1, n, page, err)) return false;
    for (int32_t n = 1; n <= e->max_num_seqs && n <= WARM_MEMBERS; n *= 2)
        if (!try_step(g, &request, n, 1, page, err)) return false;
    return true;
}

/* ---- the rest ---- */

static bool begin_load(void *state, const struct kv_loop_load *load, struct kv_err *err)
{
    return kv_gpu_begin_load(state, load, err);
}

static int32_t arrived(void *state, int32_t load) { return kv_gpu_arrived(state, load); }
static void close_gpu(void *state) { kv_gpu_give(state); }

static const struct kv_loop_device_ops ops = {
    .help = "one NVIDIA GPU",
    .now = now, .wait = wait, .fill = fill, .start = start, .load = begin_load, .arrived = arrived, .step = step,
    .close = close_gpu,
};

bool kv_loop_cuda_open(struct kv_loop_device *device, const struct kv_loop_cuda_options *options, const char **about,
                       struct kv_arena *arena, struct kv_err *err)
{
    struct kv_gpu *g = kv_arena_take(arena, sizeof *g);
    g->o = *options;
    g->zero_ns = clock_ns();
    if (!kv_cuda_open(options->gpu, &g->device, err)) return false;
    *device = (struct kv_loop_device){ g, &ops };
    if (!kv_gpu_take(g, arena, err) || (options->warm_up && !warm_up(g, arena, err))) return false;
    *about = kv_arena_text(arena, "gpu: %s\ncompute_capability: %d.%d\nsms: %d\ncuda: {driver: %d, runtime: %d, "
                           "cublaslt: %lld}\ngpu_bytes: %lld\n", g->device.name, g->device.major, g->device.minor,
                           g->device.sms, g->device.driver, g->device.runtime, (long long)kv_gemm_version(),
                           (long long)g->taken_bytes);
    return true;
}
