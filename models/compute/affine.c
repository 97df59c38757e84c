/* SPDX-License-Identifier: Apache-2.0 */
/* A step's time as an affine function of the work in it; no GPU, no model. For closed forms (M/D/1), for
 * fits of one's own measurements, and as the simplest compute model there is.
 *
 *   step      = constant + sum of prefill(chunk) + decode
 *   prefill   = b * new + c * (new * ctx + new * (new + 1) / 2)      the (query, key) pairs of a causal chunk
 *   decode    = per_seq * R + per_kv_token * ctx_sum
 *   constant  = prefill_base in a step with chunks, decode_base in one with decodes; a step with both is one
 *               launch of the same kernels, so it is charged the larger of the two, once
 *
 * Coefficients become integers of 2^-40 ns (one kv_cost unit) at open; pricing is exact integer arithmetic. */
#include "sim/iface/compute.h"

struct affine_params { double prefill_base_s, prefill_per_token_s, prefill_per_pair_s,
                              decode_base_s, decode_per_seq_s, decode_per_kv_token_s; };

struct affine { kv_cost prefill_base, per_token, per_pair, decode_base, per_seq, per_kv_token; };

/* The upper limits keep every product inside 127 bits: 1 ms = 2^60 units, times 2^62 pairs. */
#define ROW(key, field, max, help) \
    { key, KV_DIM_TIME, offsetof(struct affine_params, field), "0s", 0, max, NULL, help, NULL }
static const struct kv_param params[] = {
    ROW("prefill_base", prefill_base_s, 3600, "constant of a step with prefill (a)"),
    ROW("prefill_per_token", prefill_per_token_s, 1, "per new prompt token (b)"),
    ROW("prefill_per_pair", prefill_per_pair_s, 1e-3, "per (query, key) pair of causal attention in prefill (c)"),
    ROW("decode_base", decode_base_s, 3600, "constant of a step with decodes"),
    ROW("decode_per_seq", decode_per_seq_s, 1, "per decoding sequence"),
    ROW("decode_per_kv_token", decode_per_kv_token_s, 1e-3, "per cached token of the decoding sequences"),
    KV_PARAM_END
};

static bool open_state(void *state, const void *params_given, const struct kv_compute_env *env,
                       struct kv_err *err)
{
    (void)env;
    const struct affine_params *p = params_given;
    struct affine *a = state;
    *a = (struct affine){
        .prefill_base = kv_cost_from_s(p->prefill_base_s),
        .per_token = kv_cost_from_s(p->prefill_per_token_s),
        .per_pair = kv_cost_from_s(p->prefill_per_pair_s),
        .decode_base = kv_cost_from_s(p->decode_base_s),
        .per_seq = kv_cost_from_s(p->decode_per_seq_s),
        .per_kv_token = kv_cost_from_s(p->decode_per_kv_token_s),
    };
    if (a->prefill_base + a->per_token + a->per_pair + a->decode_base + a->per_seq + a->per_kv_token == 0)
        return kv_fail(err, KV_ECONFIG, "compute", "every coefficient of affine is zero: no step would take "
                       "any time; give at least one, e.g. prefill_per_token: 50us and decode_base: 10ms");
    return true;
}

static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    const struct affine *a = state;
    kv_cost constant = 1;   /* the contract's least cost, where a step has no constant of its own */
    if (batch->chunk_count > 0 && a->prefill_base > constant) constant = a->prefill_base;
    if (batch->decode_count > 0 && a->decode_base > constant) constant = a->decode_base;

    kv_cost first = constant + batch->decode_count * a->per_seq + batch->ctx_sum * a->per_kv_token;
    for (int32_t i = 0; i < batch->chunk_count; i++) {
        kv_cost fresh = batch->chunks[i].new_tokens, ctx = batch->chunks[i].ctx_tokens;
        first += fresh * a->per_token + (fresh * ctx + fresh * (fresh + 1) / 2) * a->per_pair;
    }
    if (batch->chunk_count > 0) return (struct kv_run){first, 0, 1};
    return (struct kv_run){first, batch->decode_count * a->per_kv_token, INT64_MAX};
}

const struct kv_compute_ops kv_compute_affine = {
    .info = { .help = "constant + linear in tokens, attention pairs, sequences and cached tokens",
              .params = params, .params_bytes = sizeof(struct affine_params) },
    .state_bytes = sizeof(struct affine),
    .open = open_state, .price = price,
};
