/* SPDX-License-Identifier: Apache-2.0 */
/* A step's time as an affine function of the work in it, for the compute models that begin with one (docs/models.md,
 * "affine"):
 *
 *   step      = constant + sum of prefill(chunk) + decode
 *   prefill   = b * new + c * (new * ctx + new * (new + 1) / 2)      the (query, key) pairs of a causal chunk
 *   decode    = per_seq * R + per_kv_token * ctx_sum
 *
 * Coefficients become integers of 2^-40 ns (one kv_cost unit) at open; pricing is exact integer arithmetic. */
#ifndef KV_IFACE_AFFINE_RULE_H
#define KV_IFACE_AFFINE_RULE_H

#include "sim/base/tick.h"

struct kv_affine_params { double prefill_base_s, prefill_per_token_s, prefill_per_pair_s,
                                 decode_base_s, decode_per_seq_s, decode_per_kv_token_s; };

/* Rows of a table whose struct `type` has them as member `affine`. The upper limits keep every product inside 127
 * bits: 1 ms = 2^60 units, times 2^62 pairs. */
#define KV_AFFINE_ROW(type, key, field, max, help) \
    { key, KV_DIM_TIME, offsetof(type, affine.field), "0s", 0, max, NULL, help, NULL }
#define KV_AFFINE_ROWS(type) \
    KV_AFFINE_ROW(type, "prefill_base", prefill_base_s, 3600, "constant of a step with prefill (a)"), \
    KV_AFFINE_ROW(type, "prefill_per_token", prefill_per_token_s, 1, "per new prompt token (b)"), \
    KV_AFFINE_ROW(type, "prefill_per_pair", prefill_per_pair_s, 1e-3, \
                  "per (query, key) pair of causal attention in prefill (c)"), \
    KV_AFFINE_ROW(type, "decode_base", decode_base_s, 3600, "constant of a step with decodes"), \
    KV_AFFINE_ROW(type, "decode_per_seq", decode_per_seq_s, 1, "per decoding sequence"), \
    KV_AFFINE_ROW(type, "decode_per_kv_token", decode_per_kv_token_s, 1e-3, \
                  "per cached token of the decoding sequences")

struct kv_affine { kv_cost prefill_base, per_token, per_pair, decode_base, per_seq, per_kv_token; };

static inline struct kv_affine kv_affine_of(const struct kv_affine_params *p)
{
    return (struct kv_affine){
        .prefill_base = kv_cost_from_s(p->prefill_base_s),
        .per_token = kv_cost_from_s(p->prefill_per_token_s),
        .per_pair = kv_cost_from_s(p->prefill_per_pair_s),
        .decode_base = kv_cost_from_s(p->decode_base_s),
        .per_seq = kv_cost_from_s(p->decode_per_seq_s),
        .per_kv_token = kv_cost_from_s(p->decode_per_kv_token_s),
    };
}

/* No step would take any time. */
static inline int kv_affine_is_zero(const struct kv_affine *a)
{
    return a->prefill_base + a->per_token + a->per_pair + a->decode_base + a->per_seq + a->per_kv_token == 0;
}

/* A chunk of `fresh` tokens behind `ctx` cached ones, without the constant. */
static inline kv_cost kv_affine_chunk(const struct kv_affine *a, kv_cost fresh, kv_cost ctx)
{
    return fresh * a->per_token + (fresh * ctx + fresh * (fresh + 1) / 2) * a->per_pair;
}

/* `count` decodes over `ctx_sum` cached tokens, without the constant. */
static inline kv_cost kv_affine_decodes(const struct kv_affine *a, int64_t count, int64_t ctx_sum)
{
    return count * a->per_seq + ctx_sum * a->per_kv_token;
}

#endif
