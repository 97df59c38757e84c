/* SPDX-License-Identifier: Apache-2.0 */
/* Lower tiers, network, fetch, transfer and disaggregation: from scenario files to the values of kv_sim_config. */
#include "tests/sim/scenario/scenario_text.h"

#include <math.h>

#include "sim/lib/kvsize.h"
#include "sim/lib/pipe.h"

#define WITH(nodes, instances) \
    "model: {use: llama-3.1-8b}\ncluster: {nodes: {gpu: h100-sxm" nodes "}, instances: {" instances "}}\n" \
    "workload: {trace: " TRACE "}\n"
#define HBM "tiers:\n  - {kind: hbm, num_gpu_blocks: 1000}\n"
#define LOWER(text) MINIMAL HBM text
#define DRAM "  - {name: dram, kind: dram, capacity: 512GiB}\n"
#define OBJECT "  - {name: object, kind: object, capacity: 1TiB}\n"
#define TOKEN_BYTES (INT64_C(128) << 10)   /* Llama-3.1-8B in bf16: 2 * 8 * 128 * 2 * 32 */

static const void *plugin(enum kv_family family, const char *name)
{
    return kv_plugin_find(family, name)->info;
}

/* What a store says about one access of a chunk. */
static struct kv_access_plan plan_of(const struct kv_scenario *s, int32_t index, bool write)
{
    const struct kv_tier_config *t = &s->sim.tier[index];
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    struct kv_store_env env = kv_scenario_store_env(s, index);
    void *state = kv_arena_take(&arena, t->store->state_bytes + 1);
    assert_true(t->store->open(state, t->store_params, &env, &err));
    struct kv_access access = {.write = write, .delivery = (enum kv_delivery)s->sim.fetch.mode, .chunks = 1};
    struct kv_access_plan plan = t->store->plan(state, &access);
    if (t->store->close) t->store->close(state);
    kv_arena_close(&arena);
    return plan;
}

/* Semantics H, key by key. */
static void the_complete_scenario_loads(void **state)
{
    (void)state;
    struct kv_scenario s;
    struct kv_diag diag = {0};
    if (!kv_scenario_load(&s, "configs/three_tiers.yaml", NULL, 0, &diag)) fail_msg("%s", kv_diag_text(&diag, false));
    assert_int_equal(diag.warnings, 0);
    assert_int_equal(s.output.layers_sample, 200);
    const struct kv_sim_config *c = &s.sim;
    assert_int_equal(s.nodes, 4);
    assert_int_equal(c->instance_count, 4);
    assert_int_equal(c->tp, 1);
    assert_ptr_equal(c->route, plugin(KV_FAMILY_route, "prefix"));
    assert_int_equal(c->tier_count, 3);
    assert_string_equal(c->tier[0].name, "hbm");

    const struct kv_tier_config *dram = &c->tier[1], *object = &c->tier[2];
    assert_string_equal(dram->name, "dram");
    assert_ptr_equal(dram->store, plugin(KV_FAMILY_store, "dram"));
    assert_int_equal(dram->scope, KV_SCOPE_NODE);
    assert_int_equal(dram->chunk_tokens, 16);
    assert_int_equal(dram->capacity_chunks, (INT64_C(512) << 30) / (16 * TOKEN_BYTES));
    assert_int_equal(dram->write, KV_WRITE_THROUGH);
    assert_false(dram->write_decode || dram->write_blocking);
    assert_ptr_equal(dram->evict, plugin(KV_FAMILY_evict, "lru"));
    assert_ptr_equal(dram->admit, plugin(KV_FAMILY_admit, "always"));
    assert_int_equal(dram->fill, 0);

    assert_string_equal(object->name, "object");
    assert_ptr_equal(object->store, plugin(KV_FAMILY_store, "object"));
    assert_int_equal(object->scope, KV_SCOPE_CLUSTER);
    assert_int_equal(object->chunk_tokens, 256);
    assert_int_equal(object->capacity_chunks, (INT64_C(200) << 40) / (256 * TOKEN_BYTES));
    assert_int_equal(object->write, KV_WRITE_BACK);
    assert_int_equal(object->layout, KV_LAYOUT_LAYER_MAJOR);
    assert_int_equal(object->fill, 1 << 1);
    struct kv_access_plan put = plan_of(&s, 2, true);
    assert_int_equal(put.ack_tk, kv_pipe_ticks(2.4e-3));   /* of the profile */
    for (int32_t i = 0; i < KV_TIER_LINKS_MAX; i++) assert_int_equal(dram->link[i], -1);

    const struct kv_network_config *n = &c->network;
    assert_int_equal(n->gpus_per_node, 1);
    assert_int_equal(n->nodes_per_rack, 4);
    assert_true(n->nic_Bps == 12.5e9 && n->pcie_Bps == 55e9 && n->gateway_Bps == 12.5e9 && n->efficiency == 0.94);
    assert_int_equal(n->gateways, 2);
    assert_int_equal(n->link_count, 1);
    assert_int_equal(n->fabric, 0);
    assert_string_equal(n->links[0].name, "fabric");
    assert_ptr_equal(n->links[0].ops, plugin(KV_FAMILY_link, "fair"));
    assert_int_equal(n->links[0].scope, KV_SCOPE_CLUSTER);
    assert_true(n->links[0].duplex);
    struct kv_link_spec spec = n->links[0].ops->spec(n->links[0].params);
    assert_int_equal(spec.capacity, kv_rate_from_Bps(50e9));
    assert_int_equal(spec.latency_tk, 5000 * KV_TICKS_PER_NS);

    assert_int_equal(c->fetch.mode, KV_DELIVERY_LAYERWISE);
    assert_int_equal(c->fetch.release_after_layers, 1);
    assert_int_equal(c->fetch.lookahead_layers, 0);
    assert_ptr_equal(c->fetch.policy, plugin(KV_FAMILY_fetch, "always"));
    assert_int_equal(c->handover.prefill_instances, 0);
    assert_null(c->read_layer_bytes);
    assert_true(s.workload.warmup_s == 300 && s.slo[0].ttft_s == 2 && s.slo[0].tpot_s == 0.05);
    kv_scenario_close(&s);
    kv_diag_close(&diag);
}

static void the_scenarios_with_tiers_load_without_a_word(void **state)
{
    (void)state;
    static const struct { const char *path; int32_t tiers, prefill; } files[] = {
        {"configs/tiers_dram.yaml", 2, 0}, {"configs/four_tiers.yaml", 4, 0}, {"configs/mixed_4.yaml", 1, 0},
        {"configs/disaggregated_2p2d.yaml", 1, 2},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct kv_scenario s;
        struct kv_diag diag = {0};
        if (!kv_scenario_load(&s, files[i].path, NULL, 0, &diag) || diag.warnings)
            fail_msg("%s", kv_diag_text(&diag, false));
        assert_int_equal(s.sim.tier_count, files[i].tiers);
        assert_int_equal(s.sim.handover.prefill_instances, files[i].prefill);
        assert_int_equal(s.sim.instance_count, 4);
        assert_string_equal(s.workload.trace, "traces/sample/burstgpt_synth.csv.gz");
        kv_scenario_close(&s);
        kv_diag_close(&diag);
    }
}

static void without_tiers_nothing_is_added(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, MINIMAL, NULL, 0);
    assert_int_equal(s.sim.tier_count, 1);
    assert_string_equal(s.sim.tier[0].name, "hbm");
    assert_ptr_equal(s.sim.fetch.policy, plugin(KV_FAMILY_fetch, "always"));
    assert_true(s.sim.network.fabric == -1 && s.sim.network.link_count == 0 && s.sim.network.gateways == 1);
    assert_true(s.sim.network.nic_Bps < 0 && s.sim.network.gateway_Bps < 0 && s.sim.network.efficiency == 1);
    const char *text = kv_scenario_resolved(&s, false);
    static const char *const absent[] = {"network:", "fetch:", "transfer:", "disaggregation:", "nic:", "pcie:",
                                         "rack:"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) assert_null(strstr(text, absent[i]));
    kv_scenario_close(&s);
}

static void every_kind_has_defaults_of_its_own(void **state)
{
    (void)state;
    static const struct { const char *kind; int64_t scope, chunk_tokens; } kinds[] = {
        {"dram", KV_SCOPE_NODE, 16}, {"disk", KV_SCOPE_NODE, 16}, {"remote", KV_SCOPE_CLUSTER, 16},
        {"object", KV_SCOPE_CLUSTER, 256},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct kv_scenario s;
        char text[512];
        snprintf(text, sizeof text, LOWER("  - {name: x, kind: %s, capacity: unlimited}\n"), kinds[i].kind);
        load(&s, text, NULL, 0);
        const struct kv_tier_config *t = &s.sim.tier[1];
        assert_int_equal(t->scope, kinds[i].scope);
        assert_int_equal(t->chunk_tokens, kinds[i].chunk_tokens);
        assert_true(t->capacity_chunks == KV_CHUNKS_UNLIMITED);
        assert_int_equal(t->write, KV_WRITE_THROUGH);
        assert_int_equal(t->layout, KV_LAYOUT_LAYER_MAJOR);
        assert_non_null(t->evict);
        assert_ptr_equal(t->admit, plugin(KV_FAMILY_admit, "always"));
        assert_int_equal(s.sim.fetch.mode, KV_DELIVERY_LAYERWISE);
        assert_int_equal(s.sim.fetch.release_after_layers, 1);
        assert_int_equal(s.sim.fetch.lookahead_layers, 0);
        assert_true(s.sim.network.pcie_Bps == 51e9);   /* of models/gpus/h100-sxm.yaml */
        kv_scenario_close(&s);
        expect_fixpoint(text, NULL, 0);
    }
}

static void a_pool_holds_whole_chunks(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, LOWER("  - {name: a, kind: dram, capacity: 4194303B}\n"), NULL, 0);
    assert_int_equal(s.sim.tier[1].capacity_chunks, 1);          /* a chunk takes 2 MiB */
    kv_scenario_close(&s);
    expect_error(LOWER("  - {name: a, kind: dram, capacity: 2097151B}\n"), "holds no chunk: 16 tokens take 2MiB");
    /* One copy is stored, whatever the number of GPUs; narrower numbers take less. */
    load(&s, LOWER("  - {name: a, kind: dram, capacity: 1GiB, chunk_tokens: 64}\n"),
         (struct kv_override[]){{"cluster.instances.tp", "8"}, {"model.kv_dtype", "fp8"}}, 2);
    assert_int_equal(s.sim.tier[1].capacity_chunks, (1 << 30) / (64 * TOKEN_BYTES / 2));
    assert_int_equal(kv_scenario_store_env(&s, 1).chunk_bytes, 64 * TOKEN_BYTES / 2);
    assert_int_equal(kv_scenario_store_env(&s, 1).layers, 32);
    kv_scenario_close(&s);
    /* An object's 256 tokens become the next multiple of the block. */
    load(&s, LOWER(OBJECT), (struct kv_override[]){{"engine.block_tokens", "48"}}, 1);
    assert_int_equal(s.sim.tier[1].chunk_tokens, 288);
    kv_scenario_close(&s);
    load(&s, LOWER(OBJECT), (struct kv_override[]){{"engine.block_tokens", "512"}}, 1);
    assert_int_equal(s.sim.tier[1].chunk_tokens, 512);
    kv_scenario_close(&s);
}

static void the_keys_of_a_tier_say_what_they_say(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, LOWER("  - {name: host, kind: dram, scope: gpu, capacity: 8GiB, evict: {kind: fifo}, write: on_evict,\n"
                   "     write_decode: true, write_blocking: true, store: {latency: 9us, stream_bandwidth: 20GB/s}}\n"
                   "  - {name: drive, kind: disk, scope: rack, capacity: 1TiB, chunk_tokens: 32, layout: per_layer,\n"
                   "     write: none, admit: {kind: second_hit, ghost_chunks: 7}}\n"
                   "  - {name: far, kind: remote, scope: node, capacity: 1TiB, layout: block_major, fill: []}\n"),
         NULL, 0);
    const struct kv_tier_config *host = &s.sim.tier[1], *drive = &s.sim.tier[2], *far = &s.sim.tier[3];
    assert_int_equal(host->scope, KV_SCOPE_GPU);
    assert_ptr_equal(host->evict, plugin(KV_FAMILY_evict, "fifo"));
    assert_int_equal(host->write, KV_WRITE_ON_EVICT);
    assert_true(host->write_decode && host->write_blocking);
    assert_int_equal(plan_of(&s, 1, false).delay_tk, kv_pipe_ticks(9e-6));
    assert_int_equal(plan_of(&s, 1, false).limit, kv_rate_from_Bps(20e9));
    assert_int_equal(drive->scope, KV_SCOPE_RACK);
    assert_int_equal(drive->chunk_tokens, 32);
    assert_int_equal(drive->layout, KV_LAYOUT_PER_LAYER);
    assert_int_equal(drive->write, KV_WRITE_NONE);
    assert_int_equal(drive->fill, 1 << 1);
    assert_ptr_equal(drive->admit, plugin(KV_FAMILY_admit, "second_hit"));
    assert_int_equal(*(const int64_t *)drive->admit_params, 7);
    assert_int_equal(far->scope, KV_SCOPE_NODE);
    assert_int_equal(far->layout, KV_LAYOUT_BLOCK_MAJOR);
    assert_int_equal(far->fill, 0);
    kv_scenario_close(&s);
}

static void fill_names_tiers_in_host_memory(void **state)
{
    (void)state;
    struct kv_scenario s;
    const char *four = LOWER(DRAM "  - {name: more, kind: dram, capacity: 1TiB}\n"
                             "  - {name: disk, kind: disk, capacity: 1TiB}\n" OBJECT);
    load(&s, four, NULL, 0);
    assert_int_equal(s.sim.tier[1].fill, 0);
    assert_int_equal(s.sim.tier[2].fill, 1 << 1);
    assert_int_equal(s.sim.tier[3].fill, 1 << 1 | 1 << 2);
    assert_int_equal(s.sim.tier[4].fill, 1 << 1 | 1 << 2);   /* not the disk */
    kv_scenario_close(&s);
    expect_fixpoint(four, NULL, 0);
    load(&s, four, (struct kv_override[]){{"tiers[4].fill", "more"}, {"tiers[3].fill", "[dram]"}}, 2);
    assert_int_equal(s.sim.tier[4].fill, 1 << 2);
    assert_int_equal(s.sim.tier[3].fill, 1 << 1);
    kv_scenario_close(&s);
    expect_fixpoint(four, (struct kv_override[]){{"tiers[4].fill", "more"}, {"tiers[3].fill", "[]"}}, 2);
}

static void links_are_found_by_name(void **state)
{
    (void)state;
    struct kv_scenario s;
    const char *text = LOWER("  - {name: a, kind: remote, capacity: 1TiB, link: [up, spine]}\n"
                             "  - {name: b, kind: dram, capacity: 1TiB, link: numa}\n")
        "network: {links: {spine: {kind: fifo, bandwidth: 1Tbps, scope: rack, duplex: false},\n"
        "  fabric: {bandwidth: 0bps}, numa: {bandwidth: 40GB/s, scope: node},\n"
        "  up: {bandwidth: 200Gbps, latency: 2us, scope: gpu}}}\n";
    load(&s, text, NULL, 0);
    const struct kv_network_config *n = &s.sim.network;
    assert_int_equal(n->link_count, 4);
    assert_int_equal(n->fabric, 1);
    assert_int_equal(s.sim.tier[1].link[0], 3);
    assert_int_equal(s.sim.tier[1].link[1], 0);
    assert_int_equal(s.sim.tier[1].link[2], -1);
    assert_int_equal(s.sim.tier[2].link[0], 2);
    assert_ptr_equal(n->links[0].ops, plugin(KV_FAMILY_link, "fifo"));
    assert_int_equal(n->links[0].scope, KV_SCOPE_RACK);
    assert_false(n->links[0].duplex);
    assert_int_equal(n->links[1].ops->spec(n->links[1].params).capacity, 0);
    assert_int_equal(n->links[2].scope, KV_SCOPE_NODE);
    assert_int_equal(n->links[3].scope, KV_SCOPE_GPU);
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
}

static void nodes_have_rates_where_something_crosses_them(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, WITH(", nic: 50Gbps, pcie: unlimited", "count: 2") HBM OBJECT, NULL, 0);
    assert_true(s.sim.network.nic_Bps == 6.25e9 && s.sim.network.pcie_Bps < 0);
    kv_scenario_close(&s);
    load(&s, WITH(", nic: unlimited, pcie: 20GB/s", "count: 2") HBM OBJECT, NULL, 0);
    assert_true(s.sim.network.nic_Bps < 0 && s.sim.network.pcie_Bps == 20e9);
    kv_scenario_close(&s);
    load(&s, WITH(", gpus: 2, rack: 2", "count: 8")
         HBM "  - {name: d, kind: remote, capacity: 1TiB, scope: rack}\n", NULL, 0);
    assert_int_equal(s.sim.network.gpus_per_node, 2);
    assert_int_equal(s.sim.network.nodes_per_rack, 2);
    kv_scenario_close(&s);
    /* Without a GPU nobody knows its PCIe link. */
    load(&s, "model: {use: llama-3.1-8b}\nworkload: {trace: " TRACE "}\ncompute: {kind: affine, decode_base: 1ms}\n"
         HBM DRAM, NULL, 0);
    assert_true(s.sim.network.pcie_Bps < 0);
    kv_scenario_close(&s);

    expect_warnings(WITH(", nic: 50Gbps, pcie: 20GB/s, rack: 3", "count: 2"), 3, "nothing leaves a node");
    expect_warnings(WITH(", nic: 50Gbps, pcie: 20GB/s", "count: 2") HBM DRAM, 1, "cluster.nodes.nic has no effect");
    expect_warnings(WITH(", nic: 50Gbps", "count: 2") "disaggregation: {prefill_instances: 1}\n", 1,
                    "nothing leaves a node");   /* both on one node */
    expect_warnings(WITH(", nic: 50Gbps, gpus: 1", "count: 2") "disaggregation: {prefill_instances: 1}\n", 0, "");
}

static void instances_fill_nodes_or_nodes_fill_instances(void **state)
{
    (void)state;
    static const struct { const char *instances; int64_t gpus, nodes; } cases[] = {
        {"count: 3, tp: 1", 3, 1}, {"count: 12, tp: 1", 8, 2}, {"count: 4, tp: 4", 8, 2}, {"count: 3, tp: 4", 8, 2},
        {"count: 2, tp: 16", 8, 4}, {"count: 1, tp: 2", 2, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_scenario s;
        char text[512];
        snprintf(text, sizeof text, WITH("", "%s"), cases[i].instances);
        load(&s, text, NULL, 0);
        assert_int_equal(s.gpus_per_node, cases[i].gpus);
        assert_int_equal(s.nodes, cases[i].nodes);
        assert_int_equal(s.sim.network.gpus_per_node, cases[i].gpus);
        kv_scenario_close(&s);
    }
    expect_error(WITH(", gpus: 3", "count: 2, tp: 2"), "3 GPUs of a node and 2 of an instance (tp) do not divide");
    expect_error(WITH(", gpus: 2", "count: 1, tp: 4") HBM DRAM, "no node has a pool of its own");
}

static void fetch_says_how_and_how_much(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, LOWER(DRAM) "fetch: {mode: chunkwise, concurrency: 4, policy: {kind: timeout, min_tokens: 512, base: 1s,\n"
         "  per_ki_token: 10ms, max: 3s}}\n", NULL, 0);
    assert_int_equal(s.sim.fetch.mode, KV_DELIVERY_CHUNKWISE);
    assert_int_equal(s.sim.fetch.concurrency, 4);
    assert_ptr_equal(s.sim.fetch.policy, plugin(KV_FAMILY_fetch, "timeout"));
    const struct { int64_t min_tokens; double base_s, per_ki_token_s, max_s; } *p = s.sim.fetch.params;
    assert_true(p->min_tokens == 512 && p->base_s == 1 && p->per_ki_token_s == 0.01 && p->max_s == 3);
    kv_scenario_close(&s);
    load(&s, LOWER(DRAM) "fetch: {release_after_layers: 0, lookahead_layers: 3, policy: cost_model}\n", NULL, 0);
    assert_int_equal(s.sim.fetch.mode, KV_DELIVERY_LAYERWISE);
    assert_int_equal(s.sim.fetch.release_after_layers, 0);
    assert_int_equal(s.sim.fetch.lookahead_layers, 3);
    assert_true(s.sim.fetch.concurrency >= 1);
    assert_null(s.sim.fetch.params);
    kv_scenario_close(&s);
    expect_fixpoint(LOWER(DRAM) "fetch: {mode: chunkwise}\n", NULL, 0);
    expect_fixpoint(LOWER(DRAM) "fetch: {mode: bulk, policy: {policy: threshold}}\n", NULL, 0);
    expect_warnings(LOWER(DRAM) "fetch: {mode: bulk}\n", 0, "");
    expect_warnings(LOWER(DRAM) "fetch: {mode: bulk, release_after_layers: 1, lookahead_layers: unlimited}\n", 2,
                    "belongs to mode: layerwise");
    expect_warnings(LOWER(DRAM) "fetch: {concurrency: 3}\n", 1, "belongs to mode: chunkwise");
    expect_warnings(MINIMAL "fetch: {policy: always}\n", 1, "there is no tier below the first");
}

static void prefill_may_stand_apart_from_decode(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, WITH("", "count: 6") "disaggregation: {prefill_instances: 2, push: layerwise, reserve: at_route}\n"
         "transfer: {efficiency: 90%}\n", NULL, 0);
    assert_int_equal(s.sim.handover.prefill_instances, 2);
    assert_int_equal(s.sim.handover.push, KV_PUSH_LAYERWISE);
    assert_int_equal(s.sim.handover.reserve, KV_RESERVE_AT_ROUTE);
    assert_true(s.sim.network.efficiency == 0.9 && s.sim.network.pcie_Bps == 51e9);
    kv_scenario_close(&s);
    load(&s, WITH("", "count: 2") "disaggregation: {prefill_instances: 1}\n", NULL, 0);
    assert_int_equal(s.sim.handover.push, KV_PUSH_BULK);
    assert_int_equal(s.sim.handover.reserve, KV_RESERVE_ON_ARRIVAL);
    kv_scenario_close(&s);
    expect_fixpoint(WITH("", "count: 2") "disaggregation: {prefill_instances: 1}\n", NULL, 0);
    expect_warnings(MINIMAL "disaggregation: {push: layerwise, reserve: at_route}\n", 1,
                    "disaggregation.push has no effect");
    expect_warnings(MINIMAL "disaggregation: {reserve: at_route}\n", 1, "disaggregation.reserve has no effect");
}

static void a_link_takes_kind_and_parameters_of_a_profile(void **state)
{
    (void)state;
    struct kv_scenario s;
    #define LINKS(keys) \
        LOWER("  - {name: r, kind: remote, capacity: 1TiB}\n") "network: {links: {fabric: {" keys "}}}\n"
    load(&s, LINKS("profile: roce-400g, scope: node, queue_pairs: 1"), NULL, 0);
    const struct kv_link_config *link = &s.sim.network.links[0];
    assert_ptr_equal(link->ops, plugin(KV_FAMILY_link, "roce"));
    assert_int_equal(link->scope, KV_SCOPE_NODE);
    assert_int_equal(link->ops->spec(link->params).capacity, kv_rate_from_Bps(50e9 * 4096 / 4178));
    assert_int_equal(link->ops->spec(link->params).latency_tk, kv_pipe_ticks(2e-6));
    /* What is said beside it counts: one queue pair, not eight. */
    assert_true(fabs(kv_rate_to_Bps(link->ops->message_rate(link->params, 4096)) - 4096 / 345e-9) < 1000);
    kv_scenario_close(&s);

    /* A folder as `kvsim calib` leaves it (here the one of the scenario); what it says about itself is no parameter. */
    write_file("profile.yaml", "kind: fifo\nsource: measured\nbandwidth: 1GB/s\ncalibration: {date: 2026-01-01}\n");
    load(&s, LINKS("kind: fifo, profile: ./."), NULL, 0);
    assert_true(s.sim.network.links[0].ops->spec(s.sim.network.links[0].params).in_order);
    kv_scenario_close(&s);

    expect_error(LINKS("kind: fair, profile: roce-400g"),
                 "roce-400g is a profile of kind roce; this link is of kind fair");
    expect_error(LINKS("profile: roce-400"), "unknown link profile 'roce-400'");
    expect_error(LINKS("profile: [a]"), "expected the name of a link profile");
    expect_fixpoint(LINKS("profile: roce-400g"), NULL, 0);
}

static void a_profile_presets_what_is_not_said(void **state)
{
    (void)state;
    struct kv_scenario s;
    const char *text = LOWER("  - {name: o, kind: object, capacity: 1TiB,\n"
                             "     store: {profile: rgw-loopback, put_ack: 7ms}}\n");
    load(&s, text, NULL, 0);
    assert_int_equal(plan_of(&s, 1, true).ack_tk, kv_pipe_ticks(7e-3));
    const char *origin = kv_scenario_resolved(&s, true);
    assert_non_null(strstr(origin, "stream_bandwidth: 1.2GB/s"));
    assert_non_null(strstr(origin, "models/stores/rgw-loopback.yaml:"));
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
    /* A name alone, an alias, a file beside the scenario. */
    load(&s, LOWER("  - {name: d, kind: disk, capacity: 1TiB, store: nvme}\n"), NULL, 0);
    assert_int_equal(plan_of(&s, 1, false).delay_tk, kv_pipe_ticks(80e-6));
    kv_scenario_close(&s);
    expect_fixpoint(LOWER("  - {name: d, kind: disk, capacity: 1TiB, store: nvme}\n"), NULL, 0);
    write_file("b.yaml", "kind: dram\nsource: a test\nlatency: 2us\n");
    load(&s, LOWER("  - {name: d, kind: dram, capacity: 1TiB, store: {profile: b.yaml}}\n"), NULL, 0);
    assert_int_equal(plan_of(&s, 1, false).delay_tk, kv_pipe_ticks(2e-6));
    kv_scenario_close(&s);
}

/* Said outright, so that nobody has to be told that it was taken. */
#define IDEAL "transfer: {efficiency: 1}\n"
#define FABRIC "network: {links: {fabric: {bandwidth: 80Gbps}}}\n"

static void a_policy_divides_a_cap(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, LOWER(OBJECT) FABRIC "transfer: {efficiency: 0.9}\n", NULL, 0);
    assert_null(s.sim.transfer.policy);
    kv_scenario_close(&s);
    const char *text = LOWER(OBJECT) FABRIC "transfer: {policy: equal, efficiency: 0.9}\n";
    load(&s, text, NULL, 0);
    assert_ptr_equal(s.sim.transfer.policy, plugin(KV_FAMILY_transfer, "equal"));
    assert_int_equal(s.sim.transfer.cap, kv_rate_from_Bps(80e9 / 8));
    assert_int_equal(s.sim.transfer.period_tk, 0);
    assert_false(s.sim.transfer.work_conserving);
    assert_int_equal(s.sim.transfer.min_grant, kv_rate_from_Bps(0.8e9 / 8));
    assert_non_null(strstr(kv_scenario_resolved(&s, true), "cap: 80Gbps"));
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
    text = LOWER(OBJECT) "transfer: {policy: {kind: stall_opt_cal, delta: 1Gbps}, cap: 10Gbps, epoch: 10ms,\n"
           "  work_conserving: true}\n";
    load(&s, text, NULL, 0);
    assert_int_equal(s.sim.transfer.cap, kv_rate_from_Bps(10e9 / 8));
    assert_int_equal(s.sim.transfer.period_tk, 10000000 * KV_TICKS_PER_NS);
    assert_true(s.sim.transfer.work_conserving);
    assert_int_equal(s.sim.transfer.min_grant, 0);
    assert_true(*(const double *)s.sim.transfer.params == 1e9);
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
    text = LOWER(OBJECT) "transfer: {policy: equal, cap: 10Gbps, min_grant: 1Gbps}\n";
    load(&s, text, NULL, 0);
    assert_int_equal(s.sim.transfer.min_grant, kv_rate_from_Bps(1e9 / 8));
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
    expect_warnings(LOWER(OBJECT) "transfer: {policy: equal, cap: 1Gbps, min_grant: 1Mbps, work_conserving: true,\n"
                    "  efficiency: 1}\n", 1, "transfer.min_grant has no effect with work_conserving");
    expect_error(LOWER(OBJECT) "transfer: {policy: equal}\n", "the policy needs a bandwidth to divide");
    expect_warnings(LOWER(OBJECT) "transfer: {cap: 1Gbps, epoch: on_arrival, work_conserving: true, efficiency: 1}\n",
                    3, "has no effect with policy: none");
    expect_warnings(LOWER(DRAM) "transfer: {policy: equal, cap: 1Gbps, efficiency: 1}\n", 1,
                    "transfer.policy has no effect");
    expect_warnings(LOWER(OBJECT), 1, "links to object carry all of their rate as payload");
    expect_warnings(LOWER(DRAM), 0, "");
}

static void a_load_may_choose_its_delivery(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, LOWER(OBJECT) "fetch: {mode: auto}\n", NULL, 0);
    assert_int_equal(s.sim.fetch.mode, KV_DELIVERY_AUTO);
    assert_int_equal(s.sim.fetch.auto_bytes, 512000000);
    assert_int_equal(s.sim.fetch.release_after_layers, 1);
    assert_int_equal(s.sim.fetch.concurrency, 16);
    kv_scenario_close(&s);
    static const char text[] = LOWER(DRAM) "fetch: {mode: auto, auto_threshold: 1GiB, lookahead_layers: 2, "
                                           "concurrency: 3}\n";
    expect_fixpoint(text, NULL, 0);
    expect_warnings(text, 0, "");
    expect_warnings(LOWER(DRAM) "fetch: {auto_threshold: 1GiB}\n", 1, "belongs to mode: auto");
}

static void rows_may_bring_what_a_tier_holds(void **state)
{
    (void)state;
    struct kv_scenario s;
    struct kv_override in = {"workload.resident_in", "object"};
    load(&s, LOWER(DRAM OBJECT), &in, 1);
    assert_int_equal(s.sim.resident_tier, 2);
    assert_true(s.workload.resident);
    kv_scenario_close(&s);
    expect_fixpoint(LOWER(DRAM OBJECT), &in, 1);
    load(&s, LOWER(DRAM OBJECT), NULL, 0);
    assert_int_equal(s.sim.resident_tier, 0);
    assert_false(s.workload.resident);
    kv_scenario_close(&s);
}

static void what_does_nothing_is_told(void **state)
{
    (void)state;
    expect_warnings(LOWER("  - {name: a, kind: dram, capacity: 1TiB, write: none}\n"), 1, "stays empty: write is none");
    expect_warnings(LOWER("  - {name: a, kind: dram, capacity: 1TiB, write: none}\n" OBJECT) IDEAL, 0, "");
    expect_warnings(LOWER("  - {name: a, kind: dram, capacity: 1TiB, write: none, write_decode: true}\n" OBJECT) IDEAL,
                    1, "write_decode has no effect with write: none");
    expect_warnings(LOWER("  - {name: a, kind: dram, capacity: unlimited, evict: fifo}\n"), 1,
                    "evict has no effect with capacity: unlimited");
    expect_warnings(LOWER("  - {name: a, kind: dram, capacity: 1TiB, chunk_tokens: 16016}\n"), 1,
                    "a chunk of 16016 tokens is more than the 16000 of hbm");
    expect_warnings(LOWER(OBJECT) IDEAL "engine: {chunked_prefill: false, max_num_batched_tokens: 240, "
                    "max_num_seqs: 8}\n", 1, "no request has more tokens than max_num_batched_tokens (240), a chunk "
                    "has 256");
    expect_warnings(LOWER(OBJECT) IDEAL "engine: {chunked_prefill: false, max_num_batched_tokens: 256, "
                    "max_num_seqs: 8}\n", 0, "");
    expect_warnings(LOWER(DRAM) "network: {links: {up: {bandwidth: 1Gbps}, fabric: {bandwidth: 1Gbps}}}\n", 2,
                    "network.links.up has no effect: no tier names it");
    expect_warnings(LOWER(DRAM) "network: {gateway: {count: 2}}\n", 1, "no tier is an object store behind gateways");
    expect_warnings(MINIMAL "transfer: {efficiency: 0.9}\n", 1, "transfer has no effect");
    expect_warnings(WITH(", gpus: 1", "count: 2") HBM "  - {name: a, kind: dram, capacity: 1TiB, scope: cluster}\n", 1,
                    "lies inside the node");
    expect_warnings(WITH("", "count: 2") HBM "  - {name: a, kind: dram, capacity: 1TiB, scope: cluster}\n", 0, "");
}

static void six_tiers_are_the_most_below_hbm(void **state)
{
    (void)state;
    struct kv_scenario s;
    char text[2048];
    int length = snprintf(text, sizeof text, "%s", LOWER(""));
    for (int i = 1; i < KV_TIERS_MAX; i++)
        length += snprintf(text + length, sizeof text - (size_t)length,
                           "  - {name: t%d, kind: %s, capacity: 1TiB}\n", i, i < 3 ? "dram" : "disk");
    load(&s, text, NULL, 0);
    assert_int_equal(s.sim.tier_count, KV_TIERS_MAX);
    assert_string_equal(s.sim.tier[KV_TIERS_MAX - 1].name, "t6");
    kv_scenario_close(&s);
    expect_fixpoint(text, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_complete_scenario_loads), cmocka_unit_test(the_scenarios_with_tiers_load_without_a_word),
        cmocka_unit_test(without_tiers_nothing_is_added), cmocka_unit_test(every_kind_has_defaults_of_its_own),
        cmocka_unit_test(a_pool_holds_whole_chunks), cmocka_unit_test(the_keys_of_a_tier_say_what_they_say),
        cmocka_unit_test(fill_names_tiers_in_host_memory), cmocka_unit_test(links_are_found_by_name),
        cmocka_unit_test(nodes_have_rates_where_something_crosses_them),
        cmocka_unit_test(instances_fill_nodes_or_nodes_fill_instances), cmocka_unit_test(fetch_says_how_and_how_much),
        cmocka_unit_test(prefill_may_stand_apart_from_decode), cmocka_unit_test(a_profile_presets_what_is_not_said),
        cmocka_unit_test(a_link_takes_kind_and_parameters_of_a_profile),
        cmocka_unit_test(a_policy_divides_a_cap), cmocka_unit_test(a_load_may_choose_its_delivery),
        cmocka_unit_test(rows_may_bring_what_a_tier_holds), cmocka_unit_test(what_does_nothing_is_told),
        cmocka_unit_test(six_tiers_are_the_most_below_hbm),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
