/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/link.h, held by every registered link model; fair and fifo by closed forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/lib/pipe.h"
#include "tests/models/plugin_params.h"

/* The curve lies inside the parameters, falls from `capacity` at most, and stays a rate. */
static void check_curve(const struct kv_link_spec *spec, const char *params, size_t params_bytes)
{
    if (!spec->curve) {
        assert_int_equal(spec->curve_count, 0);
        return;
    }
    const char *curve = (const char *)spec->curve;
    assert_true(curve >= params);
    assert_true(curve + (size_t)spec->curve_count * sizeof *spec->curve <= params + params_bytes);
    assert_true(spec->curve_count >= 1 && spec->curve[0] <= spec->capacity);
    for (int32_t n = 0; n < spec->curve_count; n++) {
        assert_true(spec->curve[n] >= 0);
        assert_true(n == 0 || spec->curve[n] <= spec->curve[n - 1]);
    }
}

/* An access that is on its way moves, at any size of its messages, and a function answers alike twice. */
static void check_messages(const struct kv_link_ops *ops, const void *params, uint64_t *seed)
{
    for (int i = 0; i < 8; i++) {
        double bytes = 1 + (double)draw_below(seed, INT64_C(1) << (1 + draw_below(seed, 50))) / 2;
        kv_rate rate = ops->message_rate(params, bytes);
        assert_true(rate >= 1 && rate <= KV_RATE_UNLIMITED);
        assert_true(rate == ops->message_rate(params, bytes));
    }
}

static void every_link_is_a_pure_function_within_its_ranges(void **unused)
{
    (void)unused;
    struct kv_arena arena = {0};
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_link) continue;
        const struct kv_link_ops *ops = kv_plugin_ops(link, &plugins[p]);
        assert_true(ops->info.help && *ops->info.help);
        for (uint64_t seed = 0, i = 0; i < 2000; i++) {
            void *params = plugin_draw(&arena, plugins[p].info, 1e18, &seed);
            struct kv_link_spec first = ops->spec(params), again = ops->spec(params);
            assert_true(first.capacity >= 0 && first.capacity <= KV_RATE_UNLIMITED);
            assert_true(first.latency_tk >= 0 && first.latency_tk < KV_TICK_LIMIT);
            assert_true(first.capacity == again.capacity && first.latency_tk == again.latency_tk
                        && first.in_order == again.in_order && first.curve == again.curve
                        && first.curve_count == again.curve_count);
            check_curve(&first, (const char *)params, ops->info.params_bytes);
            if (ops->message_rate) check_messages(ops, params, &seed);
        }
        tested++;
    }
    assert_true(tested >= 3);
    kv_arena_close(&arena);
}

static struct kv_link_spec spec_of(const char *name, double bps, double latency_s)
{
    const struct kv_link_ops *ops = kv_plugin_ops(link, kv_plugin_find(KV_FAMILY_link, name));
    return ops->spec(&(struct kv_pipe_params){bps, latency_s});
}

static void capacity_is_the_floor_and_latency_the_ceiling(void **unused)
{
    (void)unused;
    /* 256 GB/s is one byte a tick. */
    assert_int_equal(spec_of("fair", 8 * 256e9, 0).capacity, INT64_C(1) << 32);
    assert_int_equal(spec_of("fifo", 8 * 128e9, 0).capacity, INT64_C(1) << 31);
    assert_int_equal(spec_of("fair", 0, 0).capacity, 0);
    assert_int_equal(spec_of("fair", 100e9, 0).capacity, (int64_t)(12.5e9 * 0x1p32 / 256e9));
    assert_int_equal(spec_of("fair", 8, 0).capacity, 0);   /* 1 byte/s is less than the least rate: floor */
    assert_int_equal(spec_of("fair", 1, 5e-6).latency_tk, 5000 * 256);
    assert_int_equal(spec_of("fair", 1, 0.1e-12).latency_tk, 1);   /* a part of a tick takes a tick */
    assert_false(spec_of("fair", 1, 0).in_order);
    assert_true(spec_of("fifo", 1, 0).in_order);
}

static void rates_and_times_of_parameters_have_edges(void **unused)
{
    (void)unused;
    assert_int_equal(kv_pipe_rate(1e-3), 1);               /* a store that moves at all moves */
    assert_true(kv_pipe_rate(KV_PIPE_BPS_MAX / 8) == KV_RATE_UNLIMITED);
    assert_true(kv_pipe_rate(KV_PIPE_BPS_MAX / 16) < KV_RATE_UNLIMITED);
    assert_int_equal(kv_pipe_ticks(0), 0);
    assert_int_equal(kv_pipe_ticks(1), KV_TICKS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_link_is_a_pure_function_within_its_ranges),
        cmocka_unit_test(capacity_is_the_floor_and_latency_the_ceiling),
        cmocka_unit_test(rates_and_times_of_parameters_have_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
