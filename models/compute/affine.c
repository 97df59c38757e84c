/* SPDX-License-Identifier: Apache-2.0 */
/* A step's time as an affine function of the work in it (sim/iface/affine_rule.h); no GPU, no model. For closed forms
 * (M/D/1), for fits of one's own measurements, and as the simplest compute model there is.
 *
 * The constant is prefill_base in a step with chunks, decode_base in one with decodes; a step with both is one launch
 * of the same kernels, so it is charged the larger of the two, once. */
#include "sim/iface/compute.h"
#include "sim/iface/affine_rule.h"

struct params { struct kv_affine_params affine; };
static const struct kv_param params[] = { KV_AFFINE_ROWS(struct params), KV_PARAM_END };

static bool open_state(void *state, const void *params_given, const struct kv_compute_env *env,
                       struct kv_err *err)
{
    (void)env;
    struct kv_affine *a = state;
    *a = kv_affine_of(&((const struct params *)params_given)->affine);
    if (kv_affine_is_zero(a))
        return kv_fail(err, KV_ECONFIG, "compute", "every coefficient of affine is zero: no step would take "
                       "any time; give at least one, e.g. prefill_per_token: 50us and decode_base: 10ms");
    return true;
}

static struct kv_run price(const void *state, const struct kv_batch *batch)
{
    const struct kv_affine *a = state;
    kv_cost constant = 1;   /* the contract's least cost, where a step has no constant of its own */
    if (batch->chunk_count > 0 && a->prefill_base > constant) constant = a->prefill_base;
    if (batch->decode_count > 0 && a->decode_base > constant) constant = a->decode_base;

    kv_cost first = constant + kv_affine_decodes(a, batch->decode_count, batch->ctx_sum);
    for (int32_t i = 0; i < batch->chunk_count; i++)
        first += kv_affine_chunk(a, batch->chunks[i].new_tokens, batch->chunks[i].ctx_tokens);
    if (batch->chunk_count > 0) return (struct kv_run){first, 0, 1};
    return (struct kv_run){first, batch->decode_count * a->per_kv_token, INT64_MAX};
}

const struct kv_compute_ops kv_compute_affine = {
    .info = { .help = "constant + linear in tokens, attention pairs, sequences and cached tokens",
              .params = params, .params_bytes = sizeof(struct params) },
    .state_bytes = sizeof(struct kv_affine),
    .open = open_state, .price = price,
};
