/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/series.h"

#include <math.h>
#include <string.h>

/* First step of an automatic series. A power-of-two multiple of it is what remains. */
#define AUTO_STEP_TK (KV_TICKS_PER_NS * INT64_C(1000000))

/* Counters are a row of numbers here: what is added to them is binned without a line in this file. */
#define TIER_WORDS (sizeof(struct kv_tier_counters) / sizeof(int64_t))
#define PLAIN_WORDS (offsetof(struct kv_counters, tier) / sizeof(int64_t))
_Static_assert(sizeof(struct kv_tier_counters) % sizeof(int64_t) == 0, "counters of a tier are int64");
_Static_assert(sizeof(struct kv_counters) == (PLAIN_WORDS + KV_TIERS_MAX * TIER_WORDS) * sizeof(int64_t),
               "counters are int64, those of the tiers last");

/* Sums of a row; after them tiers x {used, pinned, waiting}, then links x flows. */
enum { TIER_SUMS = 3 };
enum { SUM_WAITING, SUM_RUNNING, SUM_FETCHING, SUM_ACTIVE, SUM_INACTIVE, SUM_FREE, SUM_TIERS };

static size_t instance_count(const struct kv_series *s)
{
    return (size_t)s->serve->config->instance_count;
}

/* Totals of a row: counters, those of as many tiers as there are, busy time of instances, bytes of links. */
static size_t counter_words(const struct kv_series *s)
{
    return PLAIN_WORDS + s->tiers * TIER_WORDS;
}

/* At the first sample, when links are known whatever was opened first. */
static void lay_out(struct kv_series *s)
{
    int32_t tiers = s->serve->config->tier_count;
    s->tiers = tiers > 1 ? (size_t)tiers : 1;
    s->links = (size_t)kv_sim_link_count(s->sim);
    s->sums = SUM_TIERS + TIER_SUMS * s->tiers + s->links;
    s->width = s->sums + counter_words(s) + instance_count(s) + s->links;
}

static void sample(struct kv_series *s, kv_tick now)
{
    struct kv_sim_state state;
    kv_sim_read(s->sim, &state);
    if (!s->width) lay_out(s);
    kv_vec_push(&s->bins, ((struct kv_series_head){s->last_tk, now, 1}));
    kv_vec_reserve(&s->words, s->words.count + s->width);
    int64_t *row = s->words.at + s->words.count, *total = row + s->sums;
    s->words.count += s->width;
    row[SUM_WAITING] = state.waiting;
    row[SUM_RUNNING] = state.running;
    row[SUM_FETCHING] = state.fetching;
    row[SUM_ACTIVE] = state.active_blocks;
    row[SUM_INACTIVE] = state.inactive_blocks;
    row[SUM_FREE] = state.free_blocks;
    for (size_t t = 0; t < s->tiers; t++) {
        struct kv_sim_tier_state tier = {0};
        if (t) kv_sim_tier(s->sim, (int32_t)t, &tier);
        int64_t *sum = row + SUM_TIERS + TIER_SUMS * t;
        sum[0] = tier.used_chunks;
        sum[1] = tier.pinned_chunks;
        sum[2] = tier.waiting_accesses;
    }
    memcpy(total, &state.counters, counter_words(s) * sizeof *total);
    total += counter_words(s);
    for (size_t i = 0; i < instance_count(s); i++) total[i] = kv_instance_busy_tk(&s->instances[i], now);
    total += instance_count(s);
    for (size_t k = 0; k < s->links; k++) {
        struct kv_sim_link link;
        kv_sim_link(s->sim, (int32_t)k, &link);
        row[SUM_TIERS + TIER_SUMS * s->tiers + k] = link.flows;
        total[k] = link.carried_bytes;
    }
    s->last_tk = now;
}

static void merge_pairs(struct kv_series *s)
{
    size_t width = s->width, pairs = s->bins.count / 2;
    for (size_t p = 0; p < pairs; p++) {
        const struct kv_series_head *a = &s->bins.at[2 * p], *b = &s->bins.at[2 * p + 1];
        const int64_t *first = s->words.at + 2 * p * width, *second = first + width;
        int64_t *row = s->words.at + p * width;
        s->bins.at[p] = (struct kv_series_head){a->start_tk, b->end_tk, a->samples + b->samples};
        for (size_t i = 0; i < s->sums; i++) row[i] = first[i] + second[i];
        memmove(row + s->sums, second + s->sums, (width - s->sums) * sizeof *row);
    }
    s->bins.count = pairs;
    s->words.count = pairs * width;
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
    const struct kv_series_head *head = &s->bins.at[index];
    const int64_t *row = s->words.at + (size_t)index * s->width, *total = row + s->sums;
    int64_t grown[sizeof bin->grown / sizeof(int64_t)] = {0};
    *bin = (struct kv_bin){
        .start_tk = head->start_tk, .end_tk = head->end_tk, .samples = head->samples,
        .waiting = (double)row[SUM_WAITING], .running = (double)row[SUM_RUNNING],
        .fetching = (double)row[SUM_FETCHING], .active_blocks = (double)row[SUM_ACTIVE],
        .inactive_blocks = (double)row[SUM_INACTIVE], .free_blocks = (double)row[SUM_FREE],
        .link_flows = row + SUM_TIERS + TIER_SUMS * s->tiers, .busy_tk = total + counter_words(s),
        .link_bytes = total + counter_words(s) + instance_count(s),
    };
    for (size_t t = 0; t < s->tiers; t++) {
        const int64_t *sum = row + SUM_TIERS + TIER_SUMS * t;
        bin->tier_used[t] = (double)sum[0];
        bin->tier_pinned[t] = (double)sum[1];
        bin->tier_waiting[t] = (double)sum[2];
    }
    for (size_t i = 0; i < counter_words(s); i++) grown[i] = total[i] - (index ? (total - s->width)[i] : 0);
    memcpy(&bin->grown, grown, sizeof grown);
}

void kv_series_close(struct kv_series *s)
{
    kv_vec_close(&s->bins);
    kv_vec_close(&s->words);
}
