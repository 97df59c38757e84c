/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/store.h, held by every registered store model over random parameters, shapes of chunks and
 * accesses. Closed forms of each are in test_stores.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

static struct kv_store_env random_env(uint64_t *seed)
{
    int64_t block = INT64_C(1) << draw_below(seed, 8), layers = 1 + draw_below(seed, 128);
    int64_t chunk = block * (1 + draw_below(seed, 32));
    return (struct kv_store_env){
        .layers = layers, .chunk_tokens = chunk, .block_tokens = block,
        .chunk_bytes = chunk * layers * (1 + draw_below(seed, 16384)), .layout = draw_below(seed, 3),
        .concurrency = (int32_t)(1 + draw_below(seed, 64)),
        .lookahead_layers = (int32_t)(draw_below(seed, 2) * draw_below(seed, 130)), .seed = draw(seed),
    };
}

static struct kv_access random_access(uint64_t *seed)
{
    struct kv_access a = { .write = draw_below(seed, 2), .delivery = (enum kv_delivery)draw_below(seed, 3),
                           .chunks = 1 + draw_below(seed, INT64_C(1) << draw_below(seed, 16)), .number = draw(seed),
                           .under_way = draw_below(seed, 1 << draw_below(seed, 12)) };
    if (a.delivery == KV_DELIVERY_CHUNKWISE) a.chunks = 1;
    return a;
}

/* Seconds of an access that is alone, over a network that is no bound. */
static double alone_s(const struct kv_store_env *env, const struct kv_access *access, const struct kv_access_plan *plan)
{
    double bytes = (double)access->chunks * (double)env->chunk_bytes;
    return kv_tick_to_s(plan->delay_tk) + bytes / kv_rate_to_Bps(plan->limit);
}

static void check_access(const struct kv_store_ops *ops, const void *state, const struct kv_store_env *env,
                         uint64_t *seed)
{
    struct kv_access access = random_access(seed);
    struct kv_access_plan plan = ops->plan(state, &access), again = ops->plan(state, &access);
    assert_memory_equal(&plan, &again, sizeof plan);
    assert_true(plan.delay_tk >= 0 && plan.delay_tk < KV_TICK_LIMIT);
    assert_true(plan.ack_tk >= 0 && plan.ack_tk < KV_TICK_LIMIT);
    assert_true(plan.limit >= 1 && plan.limit <= KV_RATE_UNLIMITED);
    if (!access.write) assert_int_equal(plan.ack_tk, 0);
    assert_true(plan.resume_delay_tk >= 0 && plan.resume_delay_tk < KV_TICK_LIMIT);
    if (access.write || access.delivery != KV_DELIVERY_LAYERWISE || env->lookahead_layers == 0)
        assert_int_equal(plan.resume_delay_tk, 0);
    assert_true(plan.requests >= 1);
    if (access.delivery == KV_DELIVERY_CHUNKWISE) return;

    /* More chunks of the same kind: never a lower rate, never done sooner (but for the rounding of rates: a part in
     * 2^50). */
    struct kv_access larger = access;
    larger.chunks += 1 + draw_below(seed, larger.chunks + 4);
    struct kv_access_plan more = ops->plan(state, &larger);
    if (more.limit < plan.limit - (plan.limit >> 50) - 1)
        fail_msg("limit %lld, of more chunks %lld", (long long)plan.limit, (long long)more.limit);
    double before_s = alone_s(env, &access, &plan), after_s = alone_s(env, &larger, &more);
    double slack = 1e-9 + 4 / (double)plan.limit;
    if (more.limit == KV_RATE_UNLIMITED && plan.limit > KV_RATE_UNLIMITED >> 17) return;   /* from PB/s to no bound */
    if (after_s < before_s * (1 - slack) - 1e-11) 
        fail_msg("%s: %lld chunks in %.12g s, %lld in %.12g s (delays %lld, %lld; limits %lld, %lld)", ops->info.help,
                 (long long)access.chunks, before_s, (long long)larger.chunks, after_s, (long long)plan.delay_tk,
                 (long long)more.delay_tk, (long long)plan.limit, (long long)more.limit);
    assert_int_equal(more.ack_tk, plan.ack_tk);
    assert_true(more.requests >= plan.requests);
}

/* Refused accesses: never at once, the same again for the same, other times for others. */
static void check_refusals(const struct kv_store_ops *ops, const void *state, uint64_t *seed)
{
    if (ops->queue_limit) assert_true(ops->queue_limit(state) >= -1);
    assert_true(!ops->queue_limit || ops->retry_tk);
    for (int32_t attempt = 1; ops->retry_tk && attempt < 200; attempt += 1 + (int32_t)draw_below(seed, 20)) {
        uint64_t number = draw(seed);
        kv_tick tk = ops->retry_tk(state, number, attempt);
        assert_true(tk > 0 && tk < KV_TICK_LIMIT);
        assert_int_equal(tk, ops->retry_tk(state, number, attempt));
    }
    if (!ops->price) return;
    struct kv_store_price price = ops->price(state);
    assert_true(price.read_request >= 0 && price.write_request >= 0 && price.GiB_month >= 0);
}

static void every_store_plans_purely_and_larger_accesses_take_longer(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_store) continue;
        const struct kv_store_ops *ops = kv_plugin_ops(store, &plugins[p]);
        assert_true(ops->info.help && *ops->info.help);
        assert_true(ops->preset_chunk_tokens >= 0);
        assert_true(!ops->gateways || ops->network);   /* gateways stand in the network */
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t seed = 7919 * i + (uint64_t)p;
            struct kv_store_env env = random_env(&seed);
            void *params = i % 3 ? plugin_draw(&arena, plugins[p].info, 1e18, &seed)
                                 : plugin_defaults(&arena, plugins[p].info);
            void *state = kv_arena_take(&arena, ops->state_bytes + 1);
            struct kv_err err = {0};
            if (!ops->open(state, params, &env, &err)) fail_msg("%s: %s", plugins[p].name, err.text);
            assert_true(ops->device_rate(state) >= 1 && ops->device_rate(state) <= KV_RATE_UNLIMITED);
            assert_true(ops->concurrency_limit(state) >= 0);
            for (int32_t k = 0; k < 20; k++) check_access(ops, state, &env, &seed);
            check_refusals(ops, state, &seed);
            if (ops->close) ops->close(state);
        }
        tested++;
    }
    assert_true(tested >= 4);
}

/* Two that open with the same arguments answer alike, whatever was asked of the first. */
static void a_store_has_no_memory(void **unused)
{
    (void)unused;
    int32_t count;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_store) continue;
        const struct kv_store_ops *ops = kv_plugin_ops(store, &plugins[p]);
        uint64_t seed = (uint64_t)p;
        struct kv_store_env env = random_env(&seed);
        void *params = plugin_draw(&arena, plugins[p].info, 1e18, &seed);
        void *used = kv_arena_take(&arena, ops->state_bytes + 1), *fresh = kv_arena_take(&arena, ops->state_bytes + 1);
        struct kv_err err = {0};
        assert_true(ops->open(used, params, &env, &err) && ops->open(fresh, params, &env, &err));
        for (int32_t k = 0; k < 100; k++) {
            struct kv_access other = random_access(&seed);
            ops->plan(used, &other);
        }
        struct kv_access access = random_access(&seed);
        struct kv_access_plan a = ops->plan(used, &access), b = ops->plan(fresh, &access);
        assert_memory_equal(&a, &b, sizeof a);
        if (ops->close) ops->close(used), ops->close(fresh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_store_plans_purely_and_larger_accesses_take_longer),
        cmocka_unit_test(a_store_has_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}
