/* SPDX-License-Identifier: Apache-2.0 */
/* The loop over a device that is a clock, against kvsim's engine, request by request and to the tick. Both follow
 * docs/engine.md and docs/tiers.md, and share no code but keys, prices and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "calib/serve/clock.h"
#include "calib/serve/loop.h"
#include "tests/support/fast_run.h"

#define PAGES_MAX 50000   /* the loop's pages have places, which take memory */

/* What was met, so that no test passes because nothing happened. */
struct met { int64_t runs, requests, preemptions, rejected, failed, hit_tokens, loads, load_waits, host_tokens, chunks; };

struct array { const struct kv_request *at; int64_t count, next; };
static int next_of(void *state, struct kv_request *r, struct kv_err *err)
{
    struct array *a = state;
    (void)err;
    if (a->next == a->count) return 0;
    *r = a->at[a->next++];
    return 1;
}

static bool look(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                 const struct kv_loop_step *step, struct kv_err *err)
{
    struct met *met = state;
    (void)loop, (void)err;
    for (int32_t i = 0; i < batch->count; i++) met->chunks += batch->member[i].new_tokens > 1 && !batch->member[i].yields;
    met->load_waits += step->layer != NULL;
    return true;
}

static void compare(const struct kv_loop *loop, const struct kv_fast_run *run, const char *text, struct met *met)
{
    for (uint32_t i = 0; i < loop->seq_count; i++) {
        const struct kv_loop_seq *s = &loop->seq[i];
        const struct kv_record *r = &run->records[i];
        if (s->status != r->status || s->first_sched_tk != r->first_sched_tk || s->first_token_tk != r->first_token_tk
            || s->finish_tk != r->finish_tk || s->preemptions != r->preemptions
            || (r->first_sched_tk >= 0 && s->hbm_tokens != r->prompt_tokens_by_source[0])
            || (r->first_sched_tk >= 0 && loop->slot_count && s->host_tokens != r->prompt_tokens_by_source[1]))
            fail_msg("%s\nrequest %u: loop: status %d, %lld, %lld, %lld, %d preemptions, hits %d + %d\n"
                     "kvsim: status %d, %lld, %lld, %lld, %d, %d + %d", text, i, s->status,
                     (long long)s->first_sched_tk, (long long)s->first_token_tk, (long long)s->finish_tk,
                     s->preemptions, s->hbm_tokens, s->host_tokens, r->status, (long long)r->first_sched_tk,
                     (long long)r->first_token_tk, (long long)r->finish_tk, r->preemptions,
                     r->prompt_tokens_by_source[0], r->prompt_tokens_by_source[1]);
        met->requests++;
        met->preemptions += s->preemptions;
        met->rejected += s->status == KV_STATUS_REJECTED;
        met->failed += s->status == KV_STATUS_FAILED;
        met->hit_tokens += s->hbm_tokens;
        met->host_tokens += s->host_tokens;
    }
    assert_int_equal(loop->stats.steps, run->counters.steps);
    assert_int_equal(loop->stats.prefill_tokens, run->counters.prefill_tokens);
    assert_int_equal(loop->pool.evicted, run->counters.blocks_evicted);
    met->loads += loop->stats.loads;
    met->runs++;
}

static void run_both(struct kv_random_scenario *s, struct met *met)
{
    struct kv_err err = {0};
    struct kv_fast_run run;
    struct kv_loop loop;
    struct kv_loop_clock clock;
    struct kv_arena arena = {0};
    struct array source = { s->requests, s->count, 0 };
    bool complete = false;
    if (!kv_fast_run(&run, &s->config, s->requests, s->count, NULL, &err)) fail_msg("%s: %s", s->text, err.text);
    if (!kv_loop_open(&loop, &s->config, next_of, &source, &arena, &err)
        || !kv_loop_clock_open(&clock, &s->config, &arena, &err)) fail_msg("%s: %s", s->text, err.text);
    loop.device = (struct kv_loop_device){ &clock, &kv_loop_clock_ops };
    loop.sink = (struct kv_loop_sink){ met, look, NULL };
    if (!kv_loop_fill(&loop, &err) || !kv_loop_run(&loop, &complete, &err)) fail_msg("%s: %s", s->text, err.text);
    assert_true(complete);
    compare(&loop, &run, s->text, met);
    kv_loop_close(&loop);
    kv_loop_clock_close(&clock);
    kv_fast_run_close(&run);
    kv_arena_close(&arena);
}

/* What the loop can do, of what is drawn. */
static void one_instance(struct kv_random_scenario *s)
{
    s->config.instance_count = 1;
    s->config.time_limit_tk = KV_TICK_NEVER;
    s->config.sched = kv_test_plugin("sched", "fcfs");
    s->config.sched_params = kv_test_params(&s->arena, &s->config.sched->info);
    s->config.evict = kv_test_plugin("evict", "lru");
    s->config.evict_params = kv_test_params(&s->arena, &s->config.evict->info);
    s->config.replay = (struct kv_replay_config){ .mode = KV_REPLAY_OPEN };
    if (s->config.hbm_blocks > PAGES_MAX) s->config.hbm_blocks = PAGES_MAX;
}

static void each_request_is_served_as_kvsim_says_to_the_tick(void **state)
{
    struct met met = {0};
    (void)state;
    for (uint64_t number = 0; number < 400; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        one_instance(&s);
        run_both(&s, &met);
        kv_random_scenario_close(&s);
    }
    assert_int_equal(met.runs, 400);
    print_message("%lld requests, %lld preemptions, %lld rejected, %lld failed, %lld hit, %lld chunks\n",
                  (long long)met.requests, (long long)met.preemptions, (long long)met.rejected,
                  (long long)met.failed, (long long)met.hit_tokens, (long long)met.chunks);
    assert_true(met.requests > 20000 && met.preemptions > 1000 && met.rejected > 100 && met.failed > 100);
    assert_true(met.hit_tokens > 100000 && met.chunks > 1000);
}

/* ---- host memory ---- */

static double some(uint64_t number, uint64_t what)
{
    return (double)(kv_mix64_pair(number, what) >> 11) / 0x1p53;
}

/* The beginnings of some prompts lie in host memory when they come; a copy engine brings them, one after another. */
static void add_host_memory(struct kv_random_scenario *s, uint64_t number)
{
    struct kv_sim_config *c = &s->config;
    struct kv_link_config *link = kv_arena_take(&s->arena, sizeof *link);
    const struct kv_link_ops *fifo = kv_test_plugin("link", "fifo");
    const struct kv_store_ops *dram = kv_test_plugin("store", "dram");
    void *link_params = kv_test_params(&s->arena, &fifo->info), *store = kv_test_params(&s->arena, &dram->info);
    int64_t last_ns = s->requests[s->count - 1].arrival_ns, block = c->engine.block_tokens;
    double token_bytes = 2.0 * s->model.kv_heads * s->model.head_dim * 2 * s->model.layers;
    /* A block takes from a hundredth of a gap between arrivals to ten of them. */
    double gap_s = (double)last_ns / (double)s->count * 1e-9 + 1e-9;
    double Bps = token_bytes * (double)block / (gap_s * 0.01 * __builtin_pow(1000, some(number, 1)));
    kv_test_param_set(&fifo->info, link_params, "bandwidth", 8 * (Bps < 1e4 ? 1e4 : Bps > 1e13 ? 1e13 : Bps));
    kv_test_param_set(&dram->info, store, "latency", some(number, 2) < 0.5 ? 0 : gap_s * 0.1 < 10 ? gap_s * 0.1 : 10);
    *link = (struct kv_link_config){ "copies", fifo, link_params, KV_SCOPE_NODE, true };
    c->tp = 1;
    c->compute_env.tp = 1;
    c->engine.enable_prefix_caching = true;
    c->hbm_blocks = PAGES_MAX;   /* T13 is never needed */
    c->network = (struct kv_network_config){ .gpus_per_node = 1, .nodes_per_rack = 1, .pcie_Bps = -1, .nic_Bps = -1,
        .gateway_Bps = -1, .gateways = 1, .efficiency = 1, .fabric = -1, .links = link, .link_count = 1 };
    c->tier_count = 2;
    c->tier[0].name = "hbm";
    c->tier[1] = (struct kv_tier_config){ .name = "dram", .store = dram, .store_params = store,
        .scope = KV_SCOPE_NODE, .capacity_chunks = KV_CHUNKS_UNLIMITED, .chunk_tokens = block,
        .write = KV_WRITE_NONE, .link = {0, -1, -1} };
    c->tier[1].evict = c->evict;
    c->tier[1].evict_params = c->evict_params;
    c->tier[1].admit = kv_test_plugin("admit", "always");
    c->tier[1].admit_params = kv_test_params(&s->arena, &c->tier[1].admit->info);
    bool threshold = some(number, 3) < 0.25;
    c->fetch = (struct kv_fetch_config){ .mode = some(number, 4) < 0.3 ? KV_DELIVERY_BULK : KV_DELIVERY_LAYERWISE,
        .release_after_layers = (int64_t)(some(number, 5) * 4), .concurrency = 1,
        .policy = kv_test_plugin("fetch", threshold ? "threshold" : "always") };
    void *policy = kv_test_params(&s->arena, &c->fetch.policy->info);
    if (threshold) kv_test_param_set(&c->fetch.policy->info, policy, "min_tokens", 3.0 * (double)block);
    c->fetch.params = policy;
    c->resident_tier = 1;
    for (int64_t i = 0; i < s->count; i++)
        if (some(number, 100 + (uint64_t)i) < 0.5)
            s->requests[i].resident_tokens = (int32_t)(some(number, 5000 + (uint64_t)i) * s->requests[i].input_tokens);
}

static void loads_from_host_memory_overlap_as_kvsim_says_to_the_tick(void **state)
{
    struct met met = {0};
    (void)state;
    for (uint64_t number = 1000; number < 1400; number++) {
        struct kv_random_scenario s;
        kv_random_scenario_draw(&s, number);
        one_instance(&s);
        add_host_memory(&s, number);
        run_both(&s, &met);
        kv_random_scenario_close(&s);
    }
    assert_int_equal(met.runs, 400);
    print_message("%lld loads, %lld layered steps, %lld + %lld hit\n", (long long)met.loads, (long long)met.load_waits,
                  (long long)met.hit_tokens, (long long)met.host_tokens);
    assert_true(met.loads > 2000 && met.load_waits > 500 && met.host_tokens > 20000 && met.hit_tokens > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_served_as_kvsim_says_to_the_tick),
        cmocka_unit_test(loads_from_host_memory_overlap_as_kvsim_says_to_the_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
