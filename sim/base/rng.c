/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/base/rng.h"

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a Weyl sequence from a keyed start, finalised. */
static uint64_t next64(struct kv_rng *rng)
{
    uint64_t z = rng->state[0] += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* GSL hands its own state pointer; it points at the kv_rng itself. */
static void set(void *state, unsigned long seed)
{
    ((struct kv_rng *)state)->state[0] = seed;
}

static unsigned long get(void *state)
{
    return (unsigned long)(next64(state) >> 32);
}

static double get_double(void *state)
{
    return (double)(next64(state) >> 11) * 0x1p-53;
}

static const gsl_rng_type substream = {
    .name = "kv_substream", .max = 0xffffffffUL, .min = 0, .size = sizeof(struct kv_rng),
    .set = set, .get = get, .get_double = get_double,
};

gsl_rng *kv_rng_at(struct kv_rng *rng, uint64_t seed, uint64_t stream, uint64_t index)
{
    rng->gsl.type = &substream;
    rng->gsl.state = rng;
    rng->state[0] = kv_mix64_pair(kv_mix64_pair(seed, stream), index);
    rng->state[1] = 0;
    return &rng->gsl;
}

uint64_t kv_stream(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}
