/* SPDX-License-Identifier: Apache-2.0 */
/* Random variates without hidden state: variate i of stream s is a pure function of (seed, s, i).
 *
 * Each variate draws from a sub-stream of its own, so rejection inside a GSL distribution, or one more draw in
 * one component, never shifts anybody else's numbers. Typical use:
 *
 *     struct kv_rng rng;
 *     double gap_s = gsl_ran_gamma(kv_rng_at(&rng, seed, kv_stream("arrivals"), i), shape, scale_s);
 */
#ifndef KV_BASE_RNG_H
#define KV_BASE_RNG_H

#include <gsl/gsl_rng.h>
#include <stdint.h>

struct kv_rng { gsl_rng gsl; uint64_t state[2]; };

/* Points *rng at the start of sub-stream (seed, stream, index) and returns the GSL view of it. */
gsl_rng *kv_rng_at(struct kv_rng *rng, uint64_t seed, uint64_t stream, uint64_t index);
/* Stream number of a name: FNV-1a, stable for ever. */
uint64_t kv_stream(const char *name);
/* 64-bit finaliser (bijective); also used to make block keys. */
static inline uint64_t kv_mix64(uint64_t x)
{
    x ^= x >> 32; x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32; x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    return x;
}
static inline uint64_t kv_mix64_pair(uint64_t a, uint64_t b)
{
    return kv_mix64(kv_mix64(a + UINT64_C(0x9e3779b97f4a7c15)) ^ (b * UINT64_C(0xff51afd7ed558ccd)));
}

#endif
