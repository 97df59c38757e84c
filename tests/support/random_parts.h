/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that draw random scenarios share. Draws of a scenario are made one after another: a new one in the
 * middle would change all scenarios behind it. */
#ifndef KV_TESTS_SUPPORT_RANDOM_PARTS_H
#define KV_TESTS_SUPPORT_RANDOM_PARTS_H

#include "tests/support/random_scenario.h"

struct dice { uint64_t seed, thrown; };

static inline uint64_t throw(struct dice *d)
{
    return kv_mix64_pair(d->seed, d->thrown++);
}

/* Uniform in [low, high]. */
static inline int64_t between(struct dice *d, int64_t low, int64_t high)
{
    return low + (int64_t)(throw(d) % (uint64_t)(high - low + 1));
}

static inline bool chance(struct dice *d, int64_t percent)
{
    return between(d, 1, 100) <= percent;
}

static inline double uniform(struct dice *d)
{
    return (double)(throw(d) >> 11) * 0x1p-53;
}

#define PICK(dice, ...) \
    (((const int64_t[]){__VA_ARGS__})[between((dice), 0, (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8) - 1)])

/* What the load has to know of the cluster. */
struct plan {
    struct dice dice;
    int64_t unit_ns;                /* > 0: costs, delays and arrivals are whole multiples of it */
    double step_s, token_s;         /* about: a decode step, a prompt token */
    int64_t most_input, most_output;
    bool pressed;                   /* long outputs of many requests in a small pool: preemptions */
    int64_t mean_gap_ns;
    bool sharing;                   /* most requests share prefixes */
};

/* What tiers have to know beside. */
struct tiers_plan {
    struct plan p;
    double prompt_s;                /* about: computing a prompt */
    double prompt_bytes;            /* about: of one part */
    int64_t prompt_chunks;          /* in blocks */
};

/* About `times` as fast as prompts are computed, for the KV of one part. */
double kv_random_rate_Bps(const struct tiers_plan *t, double times);
kv_rate kv_random_rate(struct tiers_plan *t, int64_t unlimited_percent);
kv_tick kv_random_delay(struct tiers_plan *t, double share);
/* What docs/tiers.md says from T35 on, drawn over a scenario that has all the rest; its text. */
const char *kv_random_transfers(struct kv_random_scenario *s, struct tiers_plan *t);

void kv_random_cluster(struct kv_random_scenario *s, struct plan *p);
void kv_random_load(struct kv_random_scenario *s, struct plan *p);

#endif
