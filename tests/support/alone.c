/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/alone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/oracle/naive.h"

void kv_alone_open(struct kv_alone *a)
{
    *a = (struct kv_alone){
        .model = {.name = "test", .attention = KV_ATTENTION_GQA, .layers = KV_ALONE_LAYERS, .hidden = 64, .heads = 1,
                  .kv_heads = 1, .head_dim = 64, .vocabulary = 10, .max_position_tokens = 4096, .dtype_bytes = 2,
                  .kv_dtype_bytes = 2},
        .compute = {.base_s = 1e-6, .token_s = 3e-7, .decode_s = 1e-6, .weights = 0x37f1a5c2},
        .store = {.delay_tk = KV_ALONE_DELAY, .limit = KV_RATE_UNLIMITED, .write_limit = KV_RATE_UNLIMITED,
                  .device = KV_ALONE_RATE},
        .bytes = {300, 40, 900, 1, 257}, .count = 2,
    };
    const struct kv_evict_ops *lru = kv_test_plugin("evict", "lru");
    a->config = (struct kv_sim_config){
        .seed = 1, .instance_count = 3, .tp = 1, .hbm_blocks = 1000,
        .engine = {.max_num_seqs = 8, .max_num_batched_tokens = 4096, .block_tokens = KV_ALONE_BLOCK,
                   .chunked_prefill = true, .enable_prefix_caching = true, .cache_outputs = true,
                   .host_overhead_s = 2e-7},
        .compute = &kv_test_compute, .compute_params = &a->compute, .compute_env = {.model = &a->model, .tp = 1},
        .evict = lru, .sched = kv_test_plugin("sched", "fcfs"), .route = kv_test_plugin("route", "round_robin"),
        .tier_count = 2, .read_layer_bytes = a->bytes, .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
        .network = {.gpus_per_node = 1, .nodes_per_rack = 1, .pcie_Bps = -1, .nic_Bps = -1, .gateway_Bps = -1,
                    .gateways = 1, .efficiency = 1, .fabric = -1},
        .fetch = {.mode = KV_DELIVERY_LAYERWISE, .policy = kv_test_plugin("fetch", "always"), .concurrency = 1},
    };
    a->config.tier[0].name = "hbm";
    a->config.tier[1] = (struct kv_tier_config){
        .name = "one", .store = &kv_test_store_local, .store_params = &a->store, .scope = KV_SCOPE_CLUSTER,
        .capacity_chunks = KV_CHUNKS_UNLIMITED, .chunk_tokens = KV_ALONE_BLOCK, .write = KV_WRITE_THROUGH,
        .evict = lru, .admit = kv_test_plugin("admit", "always"), .link = {-1, -1, -1},
    };
    for (int64_t i = 0; i < 3; i++)
        a->requests[i] = (struct kv_request){
            .index = i, .trace_row = i + 1, .arrival_ns = i > 0 ? 1000000000 : 0, .think_ns = -1, .elapsed_ns = -1,
            .input_tokens = KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK + 7, .output_tokens = 1,
            .prefix = {.own_stream = 5, .known_tokens = KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK + 7},
        };
}

int64_t kv_alone_bytes(const struct kv_alone *a)
{
    int64_t token = 0;
    for (int l = 0; l < KV_ALONE_LAYERS; l++) token += a->bytes[l];
    return token * KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK;
}

const struct kv_record *kv_alone_run(struct kv_alone *a)
{
    struct kv_err err;
    bool came[3];
    struct kv_sink sink = {.state = &a->told, .fetch = kv_told_fetch, .layers = kv_told_layers};
    assert_true(kv_oracle_run(&a->config, a->requests, a->count, a->records, came, &a->counters, NULL, NULL, &sink,
                              &err));
    for (int64_t i = 1; i < a->count; i++) {
        assert_int_equal(a->records[i].status, KV_STATUS_FINISHED);
        assert_int_equal(a->records[i].prompt_tokens_by_source[1], KV_ALONE_HIT_BLOCKS * KV_ALONE_BLOCK);
        assert_int_equal(a->records[i].fetched_bytes[1], kv_alone_bytes(a));
    }
    return &a->records[1];
}

void kv_alone_close(struct kv_alone *a)
{
    kv_told_close(&a->told);
}
