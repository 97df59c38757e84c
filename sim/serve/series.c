/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/series.h"

#include <math.h>

/* First step of an automatic series. A power-of-two multiple of it is what remains. */
#define AUTO_STEP_TK (KV_TICKS_PER_NS * INT64_C(1000000))

static size_t instance_count(const struct kv_series *s)
{
    return (size_t)s->serve->config->instance_count;
}

static struct kv_counters difference(const struct kv_counters *a, const struct kv_counters *b)
{
    return (struct kv_counters){
        .injected = a->injected - b->injected, .finished = a->finished - b->finished,
        .rejected = a->rejected - b->rejected, .failed = a->failed - b->failed,
        .steps = a->steps - b->steps, .prefill_tokens = a->prefill_tokens - b->prefill_tokens,
        .decode_tokens = a->decode_tokens - b->decode_tokens, .hit_tokens = a->hit_tokens - b->hit_tokens,
        .prompt_tokens = a->prompt_tokens - b->prompt_tokens,
        .recomputed_tokens = a->recomputed_tokens - b->recomputed_tokens,
        .preemptions = a->preemptions - b->preemptions,
        .blocks_allocated = a->blocks_allocated - b->blocks_allocated,
        .blocks_freed = a->blocks_freed - b->blocks_freed,
        .blocks_evicted = a->blocks_evicted - b->blocks_evicted,
    };
}

/* A bin holds the counters as they stood at its end until it is read: merging two is dropping the first. */
static void sample(struct kv_series *s, kv_tick now)
{
    struct kv_sim_state state;
    kv_sim_read(s->sim, &state);
    kv_vec_push(&s->bins, ((struct kv_bin){
        .start_tk = s->last_tk, .end_tk = now, .samples = 1, .grown = state.counters,
        .waiting = (double)state.waiting, .running = (double)state.running,
        .active_blocks = (double)state.active_blocks, .inactive_blocks = (double)state.inactive_blocks,
        .free_blocks = (double)state.free_blocks}));
    for (size_t i = 0; i < instance_count(s); i++) kv_vec_push(&s->busy_tk, kv_instance_busy_tk(&s->instances[i], now));
    s->last_tk = now;
}

static void merge_pairs(struct kv_series *s)
{
    size_t width = instance_count(s), pairs = s->bins.count / 2;
    for (size_t p = 0; p < pairs; p++) {
        const struct kv_bin *a = &s->bins.at[2 * p], *b = &s->bins.at[2 * p + 1];
        s->bins.at[p] = (struct kv_bin){
            .start_tk = a->start_tk, .end_tk = b->end_tk, .samples = a->samples + b->samples, .grown = b->grown,
            .waiting = a->waiting + b->waiting, .running = a->running + b->running,
            .active_blocks = a->active_blocks + b->active_blocks,
            .inactive_blocks = a->inactive_blocks + b->inactive_blocks,
            .free_blocks = a->free_blocks + b->free_blocks};
        for (size_t i = 0; i < width; i++) s->busy_tk.at[p * width + i] = s->busy_tk.at[(2 * p + 1) * width + i];
    }
    s->bins.count = pairs;
    s->busy_tk.count = pairs * width;
    s->step_tk *= 2;
}

static void fire(void *owner, uint32_t kind)
{
    struct kv_series *s = owner;
    (void)kind;
    sample(s, kv_engine_now(s->serve->engine));
    if (s->automatic && s->bins.count == KV_SERIES_BINS_AUTO) merge_pairs(s);
    if (s->bins.count > KV_SERIES_BINS_MAX) {
        kv_fail(s->err, KV_ECONFIG, "output.timeseries",
                "a step of %g s gives more than %d bins before %g s of simulated "
                "time: use a longer step, or auto", kv_tick_to_s(s->step_tk), KV_SERIES_BINS_MAX,
                kv_tick_to_s(kv_engine_now(s->serve->engine)));
        return;
    }
    /* Alone with itself the sampler would run for ever. */
    if (kv_engine_next_tk(s->serve->engine) != KV_TICK_NEVER)
        kv_timer_arm(s->serve->engine, s->timer, s->last_tk + s->step_tk);
}

void kv_series_open(struct kv_series *s, struct kv_serve *serve, struct kv_sim *sim,
                    const struct kv_instance *instances, struct kv_err *err)
{
    double step_s = serve->config->timeseries_s;
    *s = (struct kv_series){.serve = serve, .sim = sim, .instances = instances, .err = err};
    if (step_s < 0) return;
    s->automatic = step_s == 0;
    s->step_tk = s->automatic ? AUTO_STEP_TK : llround(step_s * 1e9) * KV_TICKS_PER_NS;
    if (s->step_tk < 1) s->step_tk = KV_TICKS_PER_NS;
    s->timer = kv_timer_new(serve->engine, KV_CLASS_SAMPLE, fire, s, 0);
    kv_timer_arm(serve->engine, s->timer, s->step_tk);
}

void kv_series_finish(struct kv_series *s, kv_tick end_tk)
{
    if (s->step_tk > 0 && end_tk > s->last_tk) sample(s, end_tk);
}

void kv_series_bin(const struct kv_series *s, int32_t index, struct kv_bin *bin)
{
    size_t width = instance_count(s), i = (size_t)index;
    struct kv_counters zero = {0};
    *bin = s->bins.at[i];
    bin->grown = difference(&s->bins.at[i].grown, i > 0 ? &s->bins.at[i - 1].grown : &zero);
    bin->busy_tk = &s->busy_tk.at[i * width];
}

void kv_series_close(struct kv_series *s)
{
    kv_vec_close(&s->bins);
    kv_vec_close(&s->busy_tk);
}
