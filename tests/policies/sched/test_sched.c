/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/sched.h for every registered policy, and what the shipped ones order by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/models/plugin_params.h"

static int64_t urgency(const char *name, struct kv_request request)
{
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_sched, name);
    assert_non_null(plugin);
    return kv_plugin_ops(sched, plugin)->urgency(NULL, &request);
}

static void urgency_is_pure_and_blind_to_the_output_length(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_sched || strstr(plugins[p].info->help, "oracle")) continue;
        const struct kv_sched_ops *ops = kv_plugin_ops(sched, &plugins[p]);
        struct kv_arena arena = {0};
        const void *params = plugin_defaults(&arena, plugins[p].info);
        uint64_t seed = 1;
        for (int32_t i = 0; i < 1000; i++) {
            struct kv_request r = { .index = i, .input_tokens = 1 + (int32_t)draw_below(&seed, 1 << 30),
                                    .priority = (int32_t)draw(&seed), .output_tokens = 1 };
            int64_t before = ops->urgency(params, &r);
            assert_int_equal(ops->urgency(params, &r), before);
            r.output_tokens = 1 + (int32_t)draw_below(&seed, 1 << 30);
            assert_int_equal(ops->urgency(params, &r), before);
        }
        kv_arena_close(&arena);
        tested++;
    }
    assert_true(tested >= 3);
}

static void fcfs_tells_no_request_from_another(void **unused)
{
    (void)unused;
    struct kv_request a = { .index = 1, .input_tokens = 5, .priority = -7 };
    struct kv_request b = { .index = 2, .input_tokens = 500, .priority = 7 };
    assert_int_equal(urgency("fcfs", a), urgency("fcfs", b));
}

static void priority_puts_the_smaller_number_first(void **unused)
{
    (void)unused;
    struct kv_request a = { .priority = INT32_MIN, .input_tokens = 9 }, b = { .priority = -1, .input_tokens = 1 };
    struct kv_request c = { .priority = INT32_MAX };
    assert_true(urgency("priority", a) < urgency("priority", b));
    assert_true(urgency("priority", b) < urgency("priority", c));
}

static void sjf_puts_the_shorter_prompt_first(void **unused)
{
    (void)unused;
    struct kv_request shorter = { .input_tokens = 10, .output_tokens = 900, .priority = 5 };
    struct kv_request longer = { .input_tokens = 11, .output_tokens = 1 };
    assert_true(urgency("sjf", shorter) < urgency("sjf", longer));
    longer.input_tokens = 10;
    assert_int_equal(urgency("sjf", shorter), urgency("sjf", longer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgency_is_pure_and_blind_to_the_output_length),
        cmocka_unit_test(fcfs_tells_no_request_from_another),
        cmocka_unit_test(priority_puts_the_smaller_number_first),
        cmocka_unit_test(sjf_puts_the_shorter_prompt_first),
    };
    return cmocka_run_group_tests_name("policies/sched", tests, NULL, NULL);
}
