/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/tier_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/lib/kvsize.h"

/* --- Plug-ins --- */

static bool compute_open(void *state, const void *params, const struct kv_compute_env *env, struct kv_err *err)
{
    (void)env; (void)err;
    *(const struct kv_bench_compute **)state = params;
    return true;
}

static const struct kv_bench_compute *compute_of(const void *state)
{
    return *(const struct kv_bench_compute *const *)state;
}

static kv_cost layer_cost(const struct kv_bench_compute *c, const struct kv_batch *batch, int32_t layer)
{
    if (batch->chunk_count == 0) return c->decode[layer];
    for (int i = 0; i < 8 && c->at[i].layer > 0; i++)
        if (c->at[i].ctx_tokens == batch->chunks[0].ctx_tokens) return c->at[i].layer;
    return c->chunk[layer];
}

static struct kv_run compute_price(const void *state, const struct kv_batch *batch)
{
    const struct kv_bench_compute *c = compute_of(state);
    kv_cost price = c->before + c->after;
    for (int32_t l = 0; l < c->layers; l++) price += layer_cost(c, batch, l);
    return (struct kv_run){.first = price, .steps = batch->chunk_count > 0 ? 1 : 1 << 30};
}

static void compute_layers(const void *state, const struct kv_batch *batch, kv_cost *layer, kv_cost *before,
                           kv_cost *after)
{
    const struct kv_bench_compute *c = compute_of(state);
    for (int32_t l = 0; l < c->layers; l++) layer[l] = layer_cost(c, batch, l);
    *before = c->before;
    *after = c->after;
}

static const struct kv_compute_ops compute_ops = {
    .state_bytes = sizeof(void *), .open = compute_open, .price = compute_price, .layers = compute_layers,
};

static bool store_open(void *state, const void *params, const struct kv_store_env *env, struct kv_err *err)
{
    (void)env; (void)err;
    *(const struct kv_bench_store **)state = params;
    return true;
}

static const struct kv_bench_store *store_of(const void *state)
{
    return *(const struct kv_bench_store *const *)state;
}

static struct kv_access_plan store_plan(const void *state, const struct kv_access *access)
{
    const struct kv_bench_store *s = store_of(state);
    return (struct kv_access_plan){.delay_tk = s->delay_tk + s->crowd_tk * access->under_way, .limit = s->limit,
                                   .ack_tk = access->write ? s->ack_tk : 0, .resume_delay_tk = s->resume_tk,
                                   .requests = s->requests * access->chunks};
}

static kv_rate store_device(const void *state)
{
    return store_of(state)->device;
}

static int64_t store_turns(const void *state)
{
    return store_of(state)->turns;
}

static int64_t store_line(const void *state)
{
    return store_of(state)->refuses ? store_of(state)->line : -1;
}

static kv_tick store_retry(const void *state, uint64_t number, int32_t attempt)
{
    (void)number;
    return store_of(state)->retry_tk + (attempt - 1) * store_of(state)->retry_more_tk;
}

static const struct kv_store_ops store_ops = {
    .state_bytes = sizeof(void *), .open = store_open, .plan = store_plan, .device_rate = store_device,
    .concurrency_limit = store_turns, .queue_limit = store_line, .retry_tk = store_retry,
};

static const struct kv_store_ops network_ops = {
    .state_bytes = sizeof(void *), .open = store_open, .plan = store_plan, .device_rate = store_device,
    .concurrency_limit = store_turns, .queue_limit = store_line, .retry_tk = store_retry, .network = true,
};

void kv_tier_bench_transfer(struct kv_tier_bench *b, const char *policy, kv_rate cap)
{
    const struct kv_transfer_ops *ops = kv_test_plugin("transfer", policy);
    b->config.tier[1].store = &network_ops;
    b->config.transfer = (struct kv_transfer_config){.policy = ops, .params = kv_test_params(&b->arena, &ops->info),
                                                     .cap = cap};
}

static struct kv_link_spec link_spec(const void *params)
{
    return ((const struct kv_bench_link *)params)->spec;
}

static kv_rate link_message_rate(const void *params, double message_bytes)
{
    kv_tick message_tk = ((const struct kv_bench_link *)params)->message_tk;
    return message_tk > 0 ? (kv_rate)(message_bytes * 0x1p32) / message_tk : KV_RATE_UNLIMITED;
}

static const struct kv_link_ops link_ops = {.spec = link_spec, .message_rate = link_message_rate};

void kv_tier_bench_link(struct kv_tier_bench *b, const struct kv_bench_link *link)
{
    int32_t i = b->config.network.link_count++;
    b->link[i] = (struct kv_link_config){.name = "link", .ops = &link_ops, .params = link, .scope = KV_SCOPE_CLUSTER,
                                         .duplex = true};
    b->config.network.links = b->link;
    b->config.tier[1].link[i] = i;
}

static struct kv_fetch_choice fetch_choose(const void *params, const struct kv_fetch_view *view)
{
    const struct kv_bench_fetch *f = params;
    return (struct kv_fetch_choice){kv_fetch_matched(view), f->timeout_tk};
}

static const struct kv_fetch_ops fetch_ops = {.choose = fetch_choose};

/* Requests say in `slo_class` where they go; where there is one instance, there. */
static struct kv_route route_pick(void *state, const void *params, const struct kv_route_view *view,
                                  const struct kv_request *request)
{
    (void)state; (void)params;
    int32_t instance = request->slo_class % view->instance_count;
    return (struct kv_route){instance, instance};
}

static const struct kv_route_ops route_ops = {.state_bytes = 1, .pick = route_pick};

/* --- The cluster --- */

void kv_tier_bench_open(struct kv_tier_bench *b, int32_t layers)
{
    *b = (struct kv_tier_bench){
        .model = {.name = "bench", .attention = KV_ATTENTION_GQA, .layers = layers, .hidden = 8, .heads = 1,
                  .kv_heads = 1, .head_dim = 8, .kv_dtype_bytes = 1, .dtype_bytes = 2},
        .compute = {.layers = layers, .before = layers * KV_COST_PER_TICK},
        .fetch = {.timeout_tk = KV_TICK_NEVER},
        .config = {
            .seed = 1, .instance_count = 4, .tp = 1, .hbm_blocks = 1000,
            .engine = {.max_num_seqs = 16, .max_num_batched_tokens = 4096, .block_tokens = KV_BENCH_BLOCK,
                       .chunked_prefill = true, .enable_prefix_caching = true, .cache_outputs = true},
            .compute = &compute_ops, .route = &route_ops,
            .evict = kv_test_plugin("evict", "lru"), .sched = kv_test_plugin("sched", "fcfs"),
            .network = {.gpus_per_node = 4, .pcie_Bps = -1, .nic_Bps = -1, .gateway_Bps = -1, .gateways = 1,
                        .efficiency = 1, .fabric = -1},
            .fetch = {.mode = KV_DELIVERY_BULK, .release_after_layers = 1, .concurrency = 1, .policy = &fetch_ops},
            .tier_count = 1, .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
        },
    };
    b->config.tier[0].name = "hbm";
    b->config.compute_params = &b->compute;
    b->config.compute_env = (struct kv_compute_env){.model = &b->model, .tp = 1};
    b->config.fetch.params = &b->fetch;
    b->config.read_layer_bytes = b->layer_bytes;
    for (int32_t l = 0; l < layers; l++) b->layer_bytes[l] = kv_bytes_per_token_per_layer_per_gpu(&b->model, 1);
    kv_tier_bench_add_tier(b);
}

void kv_tier_bench_add_tier(struct kv_tier_bench *b)
{
    static const char *const names[] = {"hbm", "one", "two", "three"};
    int32_t tier = b->config.tier_count++;
    b->store[tier] = (struct kv_bench_store){.limit = KV_RATE_UNLIMITED, .device = KV_RATE_UNLIMITED};
    b->config.tier[tier] = (struct kv_tier_config){
        .name = names[tier], .store = &store_ops, .store_params = &b->store[tier], .scope = KV_SCOPE_NODE,
        .capacity_chunks = KV_CHUNKS_UNLIMITED, .chunk_tokens = KV_BENCH_BLOCK, .write = KV_WRITE_THROUGH,
        .evict = kv_test_plugin("evict", "lru"), .admit = kv_test_plugin("admit", "always"), .link = {-1, -1, -1},
    };
}

struct kv_request *kv_tier_bench_come(struct kv_tier_bench *b, int64_t arrival_ns, int32_t instance, uint64_t stream,
                                      int32_t input_tokens, int32_t output_tokens)
{
    assert_true(b->count < KV_BENCH_REQUESTS);
    struct kv_request *q = &b->request[b->count];
    *q = (struct kv_request){
        .index = b->count, .trace_row = b->count + 1, .arrival_ns = arrival_ns, .think_ns = -1, .elapsed_ns = -1,
        .input_tokens = input_tokens, .output_tokens = output_tokens, .slo_class = (uint16_t)instance,
        .prefix = {.own_stream = stream, .known_tokens = stream != 0 ? input_tokens : 0},
    };
    b->count++;
    return q;
}

const struct kv_record *kv_tier_bench_serve(struct kv_tier_bench *b)
{
    struct kv_err err = {0};
    if (!kv_fast_run(&b->run, &b->config, b->request, b->count, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(b->run.given, b->count);
    for (int64_t i = 0; i < b->count; i++) {
        const struct kv_record *r = &b->run.records[i];
        if (r->status != KV_STATUS_FINISHED) continue;
        assert_int_equal(r->queue_tk + r->fetch_stall_tk + r->prefill_tk + r->decode_tk + r->preempted_tk,
                         r->finish_tk - r->arrival_tk);
    }
    return b->run.records;
}

void kv_tier_bench_again(struct kv_tier_bench *b)
{
    kv_fast_run_close(&b->run);
}

void kv_tier_bench_close(struct kv_tier_bench *b)
{
    kv_fast_run_close(&b->run);
    kv_arena_close(&b->arena);
}

/* --- Arithmetic --- */

kv_cost kv_tier_bench_step(const struct kv_tier_bench *b, bool chunk)
{
    kv_cost sum = b->compute.before + b->compute.after;
    for (int32_t l = 0; l < b->compute.layers; l++) sum += chunk ? b->compute.chunk[l] : b->compute.decode[l];
    return sum;
}

kv_tick kv_bench_ticks(int64_t bytes, kv_rate rate)
{
    kv_service service = (kv_service)bytes * KV_SERVICE_PER_BYTE;
    return (kv_tick)(service / rate) + (service % rate != 0);
}

int64_t kv_bench_read_bytes(const struct kv_tier_bench *b, int32_t layers)
{
    int64_t sum = 0;
    for (int32_t l = 0; l < layers; l++) sum += b->layer_bytes[l];
    return sum;
}

int64_t kv_bench_chunk_written_bytes(const struct kv_tier_bench *b)
{
    return b->config.tier[1].chunk_tokens * b->model.layers * kv_bytes_per_token_per_layer_per_gpu(&b->model, 1);
}
