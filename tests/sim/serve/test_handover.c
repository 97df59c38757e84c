/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are prefilled on one instance and decoded on another, in closed form (docs/tiers.md T27 to T31). One
 * node, or two and their NICs; X_l = the transfer of layer l of the prompt, S_l and C_l as in test_layered:
 *   on_arrival, bulk      the decode instance has the KV at the first token + sum X_l
 *   at_route, bulk        the same, but it holds the memory from the arrival on
 *   at_route, layerwise   at max_l(S_l + C_l + sum_{j >= l} X_j)
 * Its next token is decoded from there on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/tier_bench.h"

#define TICK KV_COST_PER_TICK
#define INPUT 48
#define OUTPUT 11

static uint64_t dice_state;
static int64_t dice(int64_t low, int64_t high)
{
    return low + (int64_t)(kv_mix64_pair(78, dice_state++) % (uint64_t)(high - low + 1));
}

/* Layers of any cost and size, links of any rate. Returns the rate of the way. */
static kv_rate draw(struct kv_tier_bench *b, bool nodes, int64_t push, int64_t reserve)
{
    kv_tier_bench_open(b, (int32_t)dice(1, KV_BENCH_LAYERS));
    b->config.tier_count = 1;
    b->config.instance_count = 2;
    b->config.handover = (struct kv_handover_config){.prefill_instances = 1, .push = push, .reserve = reserve};
    int64_t most = dice(1, 3000);
    for (int32_t l = 0; l < b->model.layers; l++) {
        b->compute.chunk[l] = dice(0, most) * TICK + dice(0, UINT32_MAX);
        b->compute.decode[l] = b->compute.chunk[l] / 2;
        b->layer_bytes[l] = dice(1, 60);
    }
    b->compute.after = dice(0, 900) * TICK + dice(0, UINT32_MAX);
    b->config.network.pcie_Bps = (double)dice(100, 1000) * 1e9;
    kv_rate rate = kv_rate_from_Bps(b->config.network.pcie_Bps);
    if (!nodes) return rate;
    b->config.network.gpus_per_node = 1;
    b->config.network.nic_Bps = (double)dice(100, 1000) * 1e9;
    kv_rate nic = kv_rate_from_Bps(b->config.network.nic_Bps);
    return nic < rate ? nic : rate;
}

/* First token at `first_tk`, KV there at `there_tk`. */
static void expect(const struct kv_tier_bench *b, const struct kv_record *r, kv_tick there_tk)
{
    kv_tick first_tk = kv_cost_ceil_tk(kv_tier_bench_step(b, true));
    kv_tick wait_tk = there_tk > first_tk ? there_tk - first_tk : 0;
    kv_tick decode_tk = kv_cost_ceil_tk((OUTPUT - 1) * kv_tier_bench_step(b, false));
    assert_int_equal(r->prefill_instance, 0);
    assert_int_equal(r->instance, 1);
    assert_int_equal(r->first_token_tk, first_tk);
    assert_int_equal(r->fetch_stall_tk, wait_tk);
    assert_int_equal(r->finish_tk, first_tk + wait_tk + decode_tk);
    assert_int_equal(r->decode_tk, decode_tk);
    assert_int_equal(r->prompt_tokens_by_source[1], INPUT);
    assert_int_equal(r->fetched_bytes[0], INPUT * kv_bench_read_bytes(b, b->model.layers));
    assert_int_equal(b->run.counters.handed_over, 1);
    assert_int_equal(b->run.state.active_blocks, 0);
}

static void in_bulk_it_comes_after_the_first_token(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct kv_tier_bench b;
        kv_rate rate = draw(&b, i / 2 % 2, KV_PUSH_BULK, i % 2 ? KV_RESERVE_AT_ROUTE : KV_RESERVE_ON_ARRIVAL);
        kv_tier_bench_come(&b, 0, 0, 5, INPUT, OUTPUT);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        kv_tick transfer_tk = kv_bench_ticks(INPUT * kv_bench_read_bytes(&b, b.model.layers), rate);
        expect(&b, r, r->first_token_tk + transfer_tk);
        kv_tier_bench_close(&b);
    }
}

/* The flow stands still where it has all that is computed; what is left of a byte's tick is then lost, so the closed
 * form is walked with the restarts. */
static kv_tick pushed_end(const struct kv_tier_bench *b, kv_rate rate)
{
    kv_tick flow_tk = 0, end_tk = 0;
    int64_t flowed = 0, permitted = 0;
    kv_cost at = b->compute.before;
    for (int32_t l = 0; l < b->model.layers; l++) {
        at += b->compute.chunk[l];
        if (kv_cost_ceil_tk(at) >= end_tk) {
            flow_tk = kv_cost_ceil_tk(at);
            flowed = permitted;
        }
        permitted += INPUT * b->layer_bytes[l];
        end_tk = flow_tk + kv_bench_ticks(permitted - flowed, rate);
    }
    return end_tk;
}

static void layer_by_layer_it_comes_while_the_rest_is_computed(void **state)
{
    (void)state;
    int waited = 0;
    for (int i = 0; i < 300; i++) {
        struct kv_tier_bench b;
        kv_rate rate = draw(&b, i % 2, KV_PUSH_LAYERWISE, KV_RESERVE_AT_ROUTE);
        kv_tier_bench_come(&b, 0, 0, 5, INPUT, OUTPUT);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        kv_tick end_tk = pushed_end(&b, rate);
        expect(&b, r, end_tk);
        waited += r->fetch_stall_tk > 0;
        kv_tier_bench_close(&b);
    }
    assert_in_range(waited, 100, 299);
}

/* A byte a tick and costs of whole ticks: the closed form as it stands. A byte more in the last layer is a tick more,
 * one in a layer that has time to spare none. */
static void the_closed_form_of_a_push_holds_to_the_byte(void **state)
{
    (void)state;
    for (int spare = 0; spare <= 1; spare++)
        for (int64_t more = 0; more <= 1; more++) {
            struct kv_tier_bench b;
            draw(&b, false, KV_PUSH_LAYERWISE, KV_RESERVE_AT_ROUTE);
            b.config.engine.block_tokens = 1;
            b.config.network.pcie_Bps = 256e9 * (1 + 1e-12);     /* a byte a tick; no less for the rounding down */
            assert_int_equal(kv_rate_from_Bps(b.config.network.pcie_Bps), KV_SERVICE_PER_BYTE);
            b.compute.before = 0;
            b.compute.after = TICK;
            for (int32_t l = 0; l < b.model.layers; l++) b.layer_bytes[l] = 10, b.compute.chunk[l] = 1000 * TICK;
            b.layer_bytes[spare ? 0 : b.model.layers - 1] += more;
            kv_tier_bench_come(&b, 0, 0, 5, 2, 2);
            const struct kv_record *r = kv_tier_bench_serve(&b);
            bool last = !spare || b.model.layers == 1;
            assert_int_equal(r->first_token_tk, b.model.layers * 1000 + 1);
            assert_int_equal(r->fetch_stall_tk, 20 - 1 + (last ? 2 * more : 0));    /* `after` is a tick */
            kv_tier_bench_close(&b);
        }
}

/* What the decode instance has it need not be sent: the second of a kind sends its last tokens only. */
static void what_the_decode_instance_has_is_not_sent(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct kv_tier_bench b;
        bool pushed = i % 2;
        draw(&b, i / 2 % 2, pushed ? KV_PUSH_LAYERWISE : KV_PUSH_BULK,
             pushed ? KV_RESERVE_AT_ROUTE : KV_RESERVE_ON_ARRIVAL);
        kv_tier_bench_come(&b, 0, 0, 5, INPUT, OUTPUT);
        kv_tier_bench_come(&b, 100000000, 0, 5, INPUT + 20, OUTPUT);
        const struct kv_record *r = kv_tier_bench_serve(&b);
        assert_int_equal(r[1].fetched_bytes[0], 20 * kv_bench_read_bytes(&b, b.model.layers));
        assert_int_equal(r[1].prompt_tokens_by_source[0], INPUT);     /* at the prefill instance */
        kv_tier_bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_bulk_it_comes_after_the_first_token),
        cmocka_unit_test(layer_by_layer_it_comes_while_the_rest_is_computed),
        cmocka_unit_test(the_closed_form_of_a_push_holds_to_the_byte),
        cmocka_unit_test(what_the_decode_instance_has_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
