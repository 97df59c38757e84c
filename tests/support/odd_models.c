/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/odd_models.h"

#include "sim/base/rng.h"

/* --- Store --- */

struct store { struct kv_test_store_params p; uint64_t seed; };

static bool store_open(void *state, const void *params, const struct kv_store_env *env, struct kv_err *err)
{
    (void)err;
    *(struct store *)state = (struct store){*(const struct kv_test_store_params *)params, env->seed};
    return true;
}

static struct kv_access_plan store_plan(const void *state, const struct kv_access *access)
{
    const struct store *s = state;
    kv_tick delay = s->p.delay_tk + s->p.chunk_delay_tk * (access->chunks - 1);
    if (s->p.jitter_tk > 0) delay += (kv_tick)(kv_mix64_pair(s->seed, access->number) % (uint64_t)s->p.jitter_tk);
    return (struct kv_access_plan){.delay_tk = delay, .limit = access->write ? s->p.write_limit : s->p.limit,
                                   .ack_tk = access->write ? s->p.ack_tk : 0};
}

static kv_rate store_device_rate(const void *state)
{
    return ((const struct store *)state)->p.device;
}

static int64_t store_concurrency(const void *state)
{
    return ((const struct store *)state)->p.concurrency;
}

#define STORE(over_network, behind_gateways) { \
    .info = {.help = "test", .params_bytes = sizeof(struct kv_test_store_params)}, .network = over_network, \
    .gateways = behind_gateways, .state_bytes = sizeof(struct store), .open = store_open, .plan = store_plan, \
    .device_rate = store_device_rate, .concurrency_limit = store_concurrency }

const struct kv_store_ops kv_test_store_local = STORE(false, false);
const struct kv_store_ops kv_test_store_remote = STORE(true, false);
const struct kv_store_ops kv_test_store_object = STORE(true, true);

/* --- Link --- */

static struct kv_link_spec link_spec(const void *params)
{
    return *(const struct kv_link_spec *)params;
}

const struct kv_link_ops kv_test_link = {
    .info = {.help = "test", .params_bytes = sizeof(struct kv_link_spec)}, .spec = link_spec,
};

/* --- Compute --- */

struct compute { kv_cost base, token, decode, context; uint64_t weights; int32_t layers; };

static bool compute_open(void *state, const void *params, const struct kv_compute_env *env, struct kv_err *err)
{
    (void)err;
    const struct kv_test_compute_params *p = params;
    *(struct compute *)state = (struct compute){
        .base = kv_cost_from_s(p->base_s) + 1, .token = kv_cost_from_s(p->token_s),
        .decode = kv_cost_from_s(p->decode_s), .context = kv_cost_from_s(p->context_s), .weights = p->weights,
        .layers = env->model->layers,
    };
    return true;
}

static struct kv_run compute_price(const void *state, const struct kv_batch *batch)
{
    const struct compute *c = state;
    kv_cost cost = c->base + c->decode * batch->decode_count + c->context * batch->ctx_sum;
    for (int32_t i = 0; i < batch->chunk_count; i++)
        cost += c->token * batch->chunks[i].new_tokens + c->context * (batch->chunks[i].ctx_tokens / 4);
    if (batch->chunk_count > 0) return (struct kv_run){cost, 0, 1};
    return (struct kv_run){cost, c->context * batch->decode_count, INT64_C(1) << 40};
}

static int64_t weight(const struct compute *c, int32_t i)
{
    return (int64_t)(c->weights >> 4 * (i % 16) & 15);
}

static void compute_layers(const void *state, const struct kv_batch *batch, kv_cost *layer, kv_cost *before,
                           kv_cost *after)
{
    const struct compute *c = state;
    kv_cost price = compute_price(state, batch).first, left = price;
    int64_t sum = 1;
    for (int32_t i = 0; i < c->layers + 2; i++) sum += weight(c, i);
    for (int32_t l = 0; l < c->layers; l++) left -= layer[l] = price * weight(c, l) / sum;
    left -= *before = price * weight(c, c->layers) / sum;
    if (weight(c, c->layers + 1) == 0) {           /* nothing after: the rest belongs to the last layer */
        layer[c->layers - 1] += left;
        left = 0;
    }
    *after = left;
}

const struct kv_compute_ops kv_test_compute = {
    .info = {.help = "test", .params_bytes = sizeof(struct kv_test_compute_params)},
    .state_bytes = sizeof(struct compute), .open = compute_open, .price = compute_price, .layers = compute_layers,
};
