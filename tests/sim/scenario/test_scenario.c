/* SPDX-License-Identifier: Apache-2.0 */
/* From scenario files to a resolved configuration. */
#include "tests/sim/scenario/scenario_text.h"

#include "sim/conf/bind.h"
#include "sim/lib/kvsize.h"
#include "sim/scenario/sections.h"
#include "sim/scenario/shapes.h"

static void a_minimal_scenario_gets_every_default(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, MINIMAL, NULL, 0);
    assert_string_equal(s.name, "a");
    assert_int_equal(s.sim.seed, 42);
    assert_int_equal(s.sim.instance_count, 1);
    assert_int_equal(s.nodes, 1);
    assert_int_equal(s.gpus_per_node, 1);
    assert_int_equal(s.sim.engine.max_num_seqs, 256);
    assert_int_equal(s.sim.engine.max_num_batched_tokens, 8192);
    assert_int_equal(s.sim.engine.block_tokens, 16);
    assert_true(s.sim.engine.chunked_prefill && s.sim.engine.enable_prefix_caching && s.sim.engine.cache_outputs);
    assert_false(s.sim.engine.async_scheduling);
    assert_ptr_equal(s.sim.compute, kv_plugin_find(KV_FAMILY_compute, "roofline")->info);
    assert_ptr_equal(s.sim.evict, kv_plugin_find(KV_FAMILY_evict, "lru")->info);
    assert_ptr_equal(s.sim.sched, kv_plugin_find(KV_FAMILY_sched, "fcfs")->info);
    assert_ptr_equal(s.sim.route, kv_plugin_find(KV_FAMILY_route, "round_robin")->info);
    assert_ptr_equal(s.sim.compute_env.model, &s.model);
    assert_ptr_equal(s.sim.compute_env.gpu, &s.gpu);
    assert_string_equal(s.workload.reader_name, "burstgpt");
    assert_string_equal(s.workload.trace, TRACE);
    assert_int_equal(s.workload.prefix, KV_PREFIX_SESSIONS);
    assert_int_equal(s.workload.block_tokens, 16);
    assert_true(s.workload.rate_scale == 1 && s.workload.end_s < 0 && s.workload.start_s == 0);
    assert_true(s.sim.time_limit_tk == KV_TICK_NEVER && s.sim.timeseries_s == 0);
    assert_int_equal(s.slo_count, 0);
    assert_string_equal(s.hbm.rule, "auto");
    kv_scenario_close(&s);
}

static void the_shipped_scenarios_load(void **state)
{
    (void)state;
    static const char *const paths[] = {"configs/quickstart.yaml", "configs/smallest.yaml"};
    for (size_t i = 0; i < 2; i++) {
        struct kv_scenario s;
        struct kv_diag diag = {0};
        if (!kv_scenario_load(&s, paths[i], NULL, 0, &diag)) fail_msg("%s", kv_diag_text(&diag, false));
        assert_int_equal(diag.warnings, 0);
        assert_true(s.sim.hbm_blocks > 1000);
        assert_string_equal(s.workload.trace, "traces/sample/burstgpt_synth.csv.gz");
        kv_scenario_close(&s);
        kv_diag_close(&diag);
    }
}

#define PLAIN_POOL(rule) MINIMAL "tiers:\n  - {kind: hbm, " rule "}\n"

static void the_pool_is_sized_by_one_of_three_rules(void **state)
{
    (void)state;
    struct kv_scenario s;
    int64_t block = INT64_C(2) * 8 * 128 * 2 * 32 * 16;   /* K and V, heads, width, bf16, layers, tokens: 2 MiB */
    load(&s, PLAIN_POOL("num_gpu_blocks: 1000"), NULL, 0);
    assert_int_equal(s.sim.hbm_blocks, 1000);
    assert_int_equal(s.hbm.block_bytes, block);
    assert_int_equal(s.hbm.capacity_bytes, 1000 * block);
    kv_scenario_close(&s);

    load(&s, PLAIN_POOL("capacity: 5MiB"), NULL, 0);
    assert_int_equal(s.sim.hbm_blocks, 2);
    assert_int_equal(s.hbm.capacity_bytes, 5 << 20);
    kv_scenario_close(&s);

    load(&s, PLAIN_POOL("capacity: auto, gpu_memory_utilization: 0.5, activation: 1GiB"), NULL, 0);
    int64_t usable = (int64_t)((double)s.gpu.memory_bytes * 0.5);
    assert_int_equal(s.hbm.weight_bytes, kv_weight_bytes(&s.model));
    assert_int_equal(s.hbm.capacity_bytes, usable - kv_weight_bytes(&s.model) - (1 << 30));
    assert_int_equal(s.sim.hbm_blocks, s.hbm.capacity_bytes / block);
    kv_scenario_close(&s);

    load(&s, MINIMAL, (struct kv_override[]){{"cluster.instances.tp", "2"}, {"model.kv_dtype", "fp8"}}, 2);
    assert_int_equal(s.hbm.block_bytes, block / 4);   /* half the heads, half the bytes */
    assert_int_equal(s.hbm.weight_bytes, (kv_weight_bytes(&s.model) + 1) / 2);
    assert_int_equal(s.hbm.activation_bytes, kv_activation_bytes(&s.model, 2, 8192, 256));
    assert_int_equal(s.gpus_per_node, 2);
    kv_scenario_close(&s);
}

static void set_and_extends_lay_over_each_other(void **state)
{
    (void)state;
    struct kv_scenario s;
    char b[256];
    snprintf(b, sizeof b, "%s", write_file("b.yaml", MINIMAL "seed: 5\nengine: {max_num_seqs: 32, "
                                                         "block_tokens: 32}\n"));
    load(&s, "extends: b.yaml\nname: over\nengine: {block_tokens: 64}\n",
         (struct kv_override[]){{"engine.sched", "sjf"}, {"seed", "6"}, {"engine.block_tokens", "null"}}, 3);
    assert_string_equal(s.name, "over");
    assert_int_equal(s.sim.engine.max_num_seqs, 32);
    assert_int_equal(s.sim.engine.block_tokens, 16);   /* --set KEY=null: back to the default */
    assert_int_equal(s.sim.seed, 6);
    assert_ptr_equal(s.sim.sched, kv_plugin_find(KV_FAMILY_sched, "sjf")->info);
    assert_null(strstr(kv_scenario_resolved(&s, false), "extends"));
    const char *origin = kv_scenario_resolved(&s, true);
    assert_non_null(strstr(origin, b));
    assert_non_null(strstr(origin, "# --set engine.sched=sjf"));
    assert_non_null(strstr(origin, "# default"));
    kv_scenario_close(&s);
}

static void the_resolved_scenario_resolves_to_itself(void **state)
{
    (void)state;
    expect_fixpoint(MINIMAL, NULL, 0);
    expect_fixpoint(MINIMAL "name: \"a: b # c\"\nslo: {chat: {ttft: 1s}, default: {e2e: 1min}}\n", NULL, 0);
    expect_fixpoint(PLAIN_POOL("num_gpu_blocks: 10, evict: {kind: fifo}"), NULL, 0);
    expect_fixpoint(MINIMAL, (struct kv_override[]){{"compute", "{kind: affine, decode_base: 10ms}"}}, 1);
    expect_fixpoint(MINIMAL, (struct kv_override[]){
        {"workload.replay", "{mode: closed, clients: 3, think: {kind: lognormal, mean: 2s, sigma: 0.5}}"},
        {"workload.window", "{start: 10s, end: 1h}"},
        {"workload.frontend_overhead", "{kind: exponential, mean: 5ms}"},
        {"workload.prefix", "{model: sessions, system: 100, system_prompts: {count: 7, zipf: 1.1}}"},
        {"output.timeseries", "10s"}, {"route", "least_loaded"}, {"engine.sched", "{policy: priority}"}}, 7);
    expect_fixpoint(MINIMAL, (struct kv_override[]){
        {"workload.replay", "{mode: closed, clients: 3, clients_take: session}"}}, 1);
    expect_fixpoint(MINIMAL, (struct kv_override[]){{"workload.prefix", "{infer: true}"}}, 1);
    expect_fixpoint(MINIMAL, (struct kv_override[]){{"workload.prefix.infer", "{extends: 50%, window: 600s}"}}, 1);
    expect_fixpoint("extends: b.yaml\n", NULL, 0);   /* written by the test before */
}

static void the_workload_says_what_was_asked(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, MINIMAL, (struct kv_override[]){
        {"workload.replay",
         "{mode: closed, clients: 3, clients_take: session, think: {kind: lognormal, mean: 2s, sigma: 0.5}}"},
        {"workload.window", "{start: 10s, end: 1h}"}, {"workload.frontend_overhead", "5ms"},
        {"workload.prefix", "{model: sessions, system: 100, system_prompts: {count: 7, zipf: 1.1, tokens: 64}}"},
        {"workload.rate_scale", "6"}, {"workload.time_scale", "2"}, {"workload.limit", "9"},
        {"workload.jitter", "1s"},
        {"workload.skip_bad_rows", "true"}, {"output", "{requests: none, timeseries: none, flows: all}"}}, 10);
    const struct kv_workload_config *w = &s.workload;
    assert_int_equal(w->replay.mode, KV_REPLAY_CLOSED);
    assert_int_equal(w->replay.clients, 3);
    assert_int_equal(w->replay.clients_take, KV_TAKE_SESSION);
    assert_int_equal(w->replay.think.kind, KV_DELAY_LOGNORMAL);
    assert_true(w->replay.think.mean_s == 2 && w->replay.think.sigma == 0.5);
    assert_true(w->replay.frontend_overhead.kind == KV_DELAY_CONSTANT && w->replay.frontend_overhead.mean_s == 0.005);
    assert_memory_equal(&w->replay, &s.sim.replay, sizeof w->replay);
    assert_true(w->start_s == 10 && w->end_s == 3600 && w->rate_scale == 3 && w->jitter_s == 1 && w->skip_bad_rows);
    assert_int_equal(w->limit_requests, 9);
    assert_int_equal(w->system_tokens, 100);
    assert_int_equal(w->system_prompts.count, 7);
    assert_int_equal(w->system_prompts.tokens, 64);
    assert_true(w->system_prompts.zipf == 1.1);
    assert_int_equal(s.output.requests, KV_REQUESTS_NONE);
    assert_int_equal(s.output.flows, KV_FLOWS_ALL);
    assert_int_equal(s.output.layers_sample, 0);
    assert_true(s.sim.timeseries_s < 0);
    kv_scenario_close(&s);
}

static void sessions_are_drawn_when_asked_for(void **state)
{
    (void)state;
    struct kv_scenario s;
    const struct kv_infer_config *infer = &s.workload.infer;
    load(&s, MINIMAL, (struct kv_override[]){{"workload.prefix.infer", "false"}}, 1);
    assert_false(infer->on);
    assert_non_null(strstr(kv_scenario_resolved(&s, false), "    infer: false\n"));
    kv_scenario_close(&s);
    const char *const all_defaults[] = {"true", "{}"};
    for (int i = 0; i < 2; i++) {   /* azure names no sessions: auto would be none */
        load(&s, MINIMAL, (struct kv_override[]){{"workload.format", "azure"},
                                                 {"workload.prefix.infer", all_defaults[i]}}, 2);
        assert_int_equal(s.workload.prefix, KV_PREFIX_SESSIONS);
        assert_true(infer->on && infer->turns_mean == 2.72 && infer->extends_frac == 0.73 && infer->window_s == 1800);
        assert_true(infer->gap_median_s == 123 && infer->gap_sigma == 1.92);
        const char *text = kv_scenario_resolved(&s, false);
        assert_non_null(strstr(text, "    model: sessions\n"));
        assert_non_null(strstr(text, "    infer:\n      turns_mean: 2.72\n      extends: 0.73\n"
                                     "      gap_median: 123s\n      gap_sigma: 1.92\n      window: 30min\n"));
        kv_scenario_close(&s);
    }
    load(&s, MINIMAL, (struct kv_override[]){
        {"workload.prefix.infer", "{turns_mean: 1.12, extends: 50%, gap_median: 1min, gap_sigma: 0, window: 2h}"}}, 1);
    assert_true(infer->on && infer->turns_mean == 1.12 && infer->extends_frac == 0.5 && infer->window_s == 7200);
    assert_true(infer->gap_median_s == 60 && infer->gap_sigma == 0);
    kv_scenario_close(&s);
    expect_error("workload: {trace: " TRACE ", format: mooncake, prefix: {infer: true}}\n",
                 "workload.prefix.infer: belongs to model: sessions; the model here is trace");
}

static void a_generator_needs_no_trace(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, MINIMAL, (struct kv_override[]){{"workload", "{format: synth}"}}, 1);
    assert_null(s.workload.trace);
    assert_non_null(s.workload.reader_params);
    kv_scenario_close(&s);
    expect_error("model: {use: llama-3.1-8b}\ncluster: {nodes: {gpu: h100-sxm}}\n"
                 "workload: {format: synth, trace: " TRACE "}\n",
                 "workload.trace: synth generates its requests and reads no file");
}

static void slo_classes_start_with_default(void **state)
{
    (void)state;
    struct kv_scenario s;
    load(&s, MINIMAL "slo: {chat: {ttft: 500ms}, default: {tpot: 50ms}, batch: {e2e: 1h}}\n", NULL, 0);
    assert_int_equal(s.slo_count, 3);
    assert_string_equal(s.slo[0].name, "default");
    assert_true(s.slo[0].tpot_s == 0.05 && s.slo[0].ttft_s == 0);
    assert_string_equal(s.slo[1].name, "chat");
    assert_true(s.slo[2].e2e_s == 3600);
    kv_scenario_close(&s);
    load(&s, MINIMAL "slo: {chat: {ttft: 500ms}}\n", NULL, 0);
    assert_int_equal(s.slo_count, 2);
    assert_true(s.slo[0].ttft_s == 0 && s.slo[1].ttft_s == 0.5);
    kv_scenario_close(&s);
}

static void a_model_may_be_a_file_beside_the_scenario(void **state)
{
    (void)state;
    struct kv_scenario s;
    write_file("my-model.yaml", "attention: gqa\nlayers: 2\nhidden: 64\nheads: 4\nkv_heads: 2\nhead_dim: 16\n"
               "intermediate: 128\nvocabulary: 1000\nmax_position_tokens: 4096\n");
    load(&s, MINIMAL, (struct kv_override[]){{"model.use", "my-model.yaml"}}, 1);
    assert_string_equal(s.model.name, "my-model");
    assert_int_equal(s.hbm.block_bytes, 2 * 2 * 16 * 2 * 2 * 16);
    kv_scenario_close(&s);
    expect_error("model: {use: META-LLAMA/llama-3.1-8b}\n", "cluster.nodes.gpu: missing");   /* the alias is known */
}

static void every_shape_that_ships_loads_and_has_a_source(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    struct kv_diag diag = {0};
    const struct kv_shape_entry *entry;
    int32_t models = kv_model_list(&arena, &entry, &diag);
    assert_true(models >= 5);
    for (int32_t i = 0; i < models; i++) {
        struct kv_model_shape shape;
        if (!kv_model_load(&arena, entry[i].name, "", (struct kv_pos){0}, &shape, &diag))
            fail_msg("%s", kv_diag_text(&diag, false));
        assert_string_equal(shape.name, entry[i].name);
        assert_true(*entry[i].source && kv_bytes_per_token_per_gpu(&shape, 1) > 0 && shape.dtype_bytes > 0);
    }
    int32_t gpus = kv_gpu_list(&arena, &entry, &diag);
    assert_true(gpus >= 5);
    for (int32_t i = 0; i < gpus; i++) {
        struct kv_gpu_spec gpu;
        if (!kv_gpu_load(&arena, entry[i].name, "", (struct kv_pos){0}, &gpu, &diag))
            fail_msg("%s", kv_diag_text(&diag, false));
        assert_true(*entry[i].source && gpu.memory_bytes > INT64_C(10000000000) && gpu.memory_Bps > 1e11
                    && gpu.memory_Bps < 1e14 && gpu.pcie_Bps >= 20e9 && gpu.pcie_Bps < 64e9);
    }
    assert_int_equal(diag.errors, 0);
    kv_arena_close(&arena);
    kv_diag_close(&diag);
}

/* The tables agree with themselves: a default parses and lies in its own range, keys are told apart and explained. */
static void every_row_of_the_tables_is_sound(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    int32_t count, rows = 0;
    const struct kv_section *section = kv_sections(&count);
    for (int32_t i = 0; i < count; i++) {
        for (const struct kv_param *p = section[i].params; p && p->key; p++, rows++) {
            int64_t space[2];
            const char *why = "";
            if (p->preset && !kv_value_parse(&arena, p, p->preset, space, &why))
                fail_msg("%s.%s: %s", section[i].path, p->key, why);
            for (const struct kv_param *q = section[i].params; q < p; q++) assert_string_not_equal(p->key, q->key);
            assert_true(p->help && *p->help);
        }
        for (const struct kv_special *s = section[i].specials; s && s->param.key; s++, rows++) {
            for (const struct kv_param *p = section[i].params; p && p->key; p++)
                assert_string_not_equal(p->key, s->param.key);
            assert_true(s->param.help && *s->param.help);
            if (s->section && s->form != KV_FORM_PLUGIN) assert_non_null(kv_section_find(s->section));
        }
    }
    assert_true(rows > 60);
    kv_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimal_scenario_gets_every_default),
        cmocka_unit_test(the_shipped_scenarios_load), cmocka_unit_test(the_pool_is_sized_by_one_of_three_rules),
        cmocka_unit_test(set_and_extends_lay_over_each_other),
        cmocka_unit_test(the_resolved_scenario_resolves_to_itself),
        cmocka_unit_test(the_workload_says_what_was_asked), cmocka_unit_test(sessions_are_drawn_when_asked_for),
        cmocka_unit_test(a_generator_needs_no_trace),
        cmocka_unit_test(slo_classes_start_with_default), cmocka_unit_test(a_model_may_be_a_file_beside_the_scenario),
        cmocka_unit_test(every_shape_that_ships_loads_and_has_a_source),
        cmocka_unit_test(every_row_of_the_tables_is_sound),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
