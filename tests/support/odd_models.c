/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/odd_models.h"

#include <math.h>

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
    int64_t others = access->under_way > 0 ? access->under_way - 1 : 0;
    kv_rate limit = access->write ? s->p.write_limit : s->p.limit;
    if (s->p.shared > 0 && limit < KV_RATE_UNLIMITED)
        limit = (kv_rate)((kv_service)limit * s->p.shared / (s->p.shared + others));
    return (struct kv_access_plan){.delay_tk = delay + s->p.crowd_delay_tk * others, .limit = limit,
                                   .ack_tk = access->write ? s->p.ack_tk : 0, .resume_delay_tk = s->p.resume_tk,
                                   .requests = 1 + s->p.chunk_requests * access->chunks};
}

static kv_rate store_device_rate(const void *state)
{
    return ((const struct store *)state)->p.device;
}

static int64_t store_concurrency(const void *state)
{
    return ((const struct store *)state)->p.concurrency;
}

static int64_t store_queue_limit(const void *state)
{
    const struct store *s = state;
    return s->p.refuses ? s->p.queue_limit : -1;
}

static kv_tick store_retry_tk(const void *state, uint64_t number, int32_t attempt)
{
    const struct store *s = state;
    uint64_t most = UINT64_C(1) << (attempt < 20 ? attempt : 20);
    return s->p.retry_tk * (kv_tick)(most / 2 + kv_mix64_pair(s->seed ^ number, (uint64_t)attempt) % most);
}

#define STORE(over_network, behind_gateways) { \
    .info = {.help = "test", .params_bytes = sizeof(struct kv_test_store_params)}, .network = over_network, \
    .gateways = behind_gateways, .state_bytes = sizeof(struct store), .open = store_open, .plan = store_plan, \
    .device_rate = store_device_rate, .concurrency_limit = store_concurrency, \
    .queue_limit = store_queue_limit, .retry_tk = store_retry_tk }

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

static kv_rate link_message_rate(const void *params, double message_bytes)
{
    double rate = ((const struct kv_test_link_params *)params)->byte_rate * message_bytes;
    return rate < 0x1p50 ? 1 + (kv_rate)rate : KV_RATE_UNLIMITED;
}

const struct kv_link_ops kv_test_message_link = {
    .info = {.help = "test", .params_bytes = sizeof(struct kv_test_link_params)}, .spec = link_spec,
    .message_rate = link_message_rate,
};

/* --- Transfer --- */

/* Shares by weight. */
static void share(int32_t count, double cap_Bps, double *grant_Bps)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++) sum += grant_Bps[i];
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = cap_Bps * (grant_Bps[i] / sum);
}

/* By the bytes that are left, and how long they have waited; part of it goes to nobody. */
static void grant_left(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                       double *grant_Bps)
{
    (void)params;
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = flow[i].left_bytes * (1 + flow[i].waited_s / flow[i].window_s);
    share(count, cap_Bps * 0.75, grant_Bps);
}

/* By the rate that avoids stalls, no more than the stream takes. */
static void grant_need(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                       double *grant_Bps)
{
    (void)params;
    for (int32_t i = 0; i < count; i++) grant_Bps[i] = kv_transfer_no_stall_Bps(&flow[i]);
    share(count, cap_Bps, grant_Bps);
    for (int32_t i = 0; i < count; i++)
        if (grant_Bps[i] > flow[i].limit_Bps) grant_Bps[i] = flow[i].limit_Bps;
}

/* The first to come take what they need, the others nothing; the first takes all where that is not enough. */
static void grant_first(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                        double *grant_Bps)
{
    (void)params;
    for (int32_t i = 0; i < count; i++) {
        double before = 0, need = 2 * kv_transfer_no_stall_Bps(&flow[i]);
        for (int32_t k = 0; k < count; k++)
            if (flow[k].serial < flow[i].serial) before += 2 * kv_transfer_no_stall_Bps(&flow[k]);
        grant_Bps[i] = before >= cap_Bps ? 0 : before + need > cap_Bps ? cap_Bps - before : need;
    }
}

/* Fetches of few bytes left go without, by a number drawn from all that is known of them. */
static void grant_turns(const void *params, const struct kv_transfer_flow *flow, int32_t count, double cap_Bps,
                        double *grant_Bps)
{
    (void)params;
    for (int32_t i = 0; i < count; i++) {
        uint64_t drawn = kv_mix64_pair((uint64_t)flow[i].left_bytes, (uint64_t)(flow[i].waited_s * 1e9));
        drawn = kv_mix64_pair(drawn, (uint64_t)flow[i].layers) % 8;
        grant_Bps[i] = cap_Bps / count * (double)(drawn % 4 + 1) / 4;
        if (count > 1 && drawn == 7) grant_Bps[i] = -1;
        if (count > 1 && drawn == 6) grant_Bps[i] = (double)NAN;
    }
}

const struct kv_transfer_ops kv_test_transfer[KV_TEST_TRANSFERS] = {
    {.info = {.help = "test: what is left"}, .grant = grant_left},
    {.info = {.help = "test: what is needed"}, .grant = grant_need},
    {.info = {.help = "test: first come"}, .grant = grant_first},
    {.info = {.help = "test: turns"}, .grant = grant_turns},
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
