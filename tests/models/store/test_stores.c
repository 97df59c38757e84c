/* SPDX-License-Identifier: Apache-2.0 */
/* The four store models by their closed forms, at the points where these change. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sim/lib/chunk_ranges.h"
#include "sim/lib/pipe.h"
#include "tests/models/store/open_store.h"

static void dram_is_as_fast_as_the_links_unless_it_is_told(void **unused)
{
    (void)unused;
    struct store plain = store_of("dram", &chunk_256, "{}");
    assert_true(plain.ops->device_rate(plain.state) == KV_RATE_UNLIMITED);
    struct kv_access_plan plan = plan_of(plain, false, KV_DELIVERY_BULK, 7);
    assert_true(plan.limit == KV_RATE_UNLIMITED);
    assert_int_equal(plan.delay_tk, 3300 * 256);
    assert_true(plain.ops->fills && !plain.ops->network && plain.ops->preset_chunk_tokens == 0);
    struct store told = store_of("dram", &chunk_256, "{bandwidth: 200GB/s, stream_bandwidth: 10GB/s, latency: 1us}");
    assert_near(kv_rate_to_Bps(told.ops->device_rate(told.state)), 200e9);
    assert_near(limit_Bps(plan_of(told, true, KV_DELIVERY_BULK, 1)), 10e9);
    assert_int_equal(plan_of(told, true, KV_DELIVERY_BULK, 1).delay_tk, 1000 * 256);
    assert_int_equal(plan_of(told, true, KV_DELIVERY_BULK, 1).ack_tk, 0);
}

static void a_chunk_is_read_in_as_many_pieces_as_its_layout_says(void **unused)
{
    (void)unused;
    struct kv_chunk_ranges c = { .layers = 32, .blocks = 16 };
    assert_int_equal(kv_chunk_ranges(&c), 1);                            /* a whole object */
    c.by_layer = true;
    assert_int_equal(kv_chunk_ranges(&c), 32);                           /* [layer][block]: one a layer */
    c.block_major = true;
    assert_int_equal(kv_chunk_ranges(&c), 32 * 16);                      /* [block][layer]: one a layer and block */
    c.by_layer = false;
    assert_int_equal(kv_chunk_ranges(&c), 1);
    c.object_per_layer = true;
    assert_int_equal(kv_chunk_ranges(&c), 32);                           /* an object a layer, in any order */
}

#define DRIVE "{read_bandwidth: 8GB/s, write_bandwidth: 4GB/s, read_latency: 80us, write_latency: 20us, "

static void a_deep_queue_of_large_blocks_reaches_the_drives_rate(void **unused)
{
    (void)unused;
    struct store s = store_of("disk", &chunk_256, DRIVE "queue_depth: 32, block_bytes: 128KiB, ack: 5us}");
    struct kv_access_plan read = plan_of(s, false, KV_DELIVERY_BULK, 4), write = plan_of(s, true, KV_DELIVERY_BULK, 4);
    assert_near(limit_Bps(read), 8e9);
    assert_int_equal(read.delay_tk, 80000 * 256);    /* the first block's latency, then the stream */
    assert_int_equal(read.ack_tk, 0);
    assert_near(limit_Bps(write), 4e9);
    assert_int_equal(write.delay_tk, 20000 * 256);
    assert_int_equal(write.ack_tk, 5000 * 256);
    assert_near(kv_rate_to_Bps(s.ops->device_rate(s.state)), 8e9);
}

static void a_shallow_queue_of_small_blocks_does_not(void **unused)
{
    (void)unused;
    /* 64 KB in 80 us + 8 us each: two at a time are 2 * 64 KB / 88 us. */
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = 32 * 64000;
    struct store s = store_of("disk", &env, DRIVE "queue_depth: 2, block_bytes: 64KB}");
    struct kv_access_plan plan = plan_of(s, false, KV_DELIVERY_BULK, 1);
    assert_near(limit_Bps(plan), 2 * 64000 / 88e-6);
    assert_int_equal(plan.delay_tk, 0);              /* 32 blocks, two by two, hide the first latency */
    /* Never more than there is to read: one block alone takes latency + bytes / bandwidth. */
    env.chunk_bytes = 64000;
    s = store_of("disk", &env, DRIVE "queue_depth: 32, block_bytes: 64KB}");
    plan = plan_of(s, false, KV_DELIVERY_BULK, 1);
    assert_near(limit_Bps(plan), 64000 / 88e-6);
    assert_near(kv_tick_to_s(plan.delay_tk) + 64000 / limit_Bps(plan), 88e-6);
}

static void layers_of_blocks_make_small_reads(void **unused)
{
    (void)unused;
    const struct { int64_t layout; enum kv_delivery delivery; double io_bytes; } cases[] = {
        { KV_LAYOUT_LAYER_MAJOR, KV_DELIVERY_BULK, 1 << 20 }, { KV_LAYOUT_LAYER_MAJOR, KV_DELIVERY_LAYERWISE, 1 << 20 },
        { KV_LAYOUT_BLOCK_MAJOR, KV_DELIVERY_BULK, 1 << 20 }, { KV_LAYOUT_BLOCK_MAJOR, KV_DELIVERY_LAYERWISE, 1 << 16 },
        { KV_LAYOUT_PER_LAYER, KV_DELIVERY_BULK, 1 << 20 }, { KV_LAYOUT_PER_LAYER, KV_DELIVERY_LAYERWISE, 1 << 20 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_store_env env = chunk_256;
        env.layout = cases[i].layout;
        struct store s = store_of("disk", &env, DRIVE "queue_depth: 1, block_bytes: 1MiB}");
        double io = cases[i].io_bytes;
        assert_near(limit_Bps(plan_of(s, false, cases[i].delivery, 3)), io / (80e-6 + io / 8e9));
    }
}

static void remote_pays_for_messages_and_registration(void **unused)
{
    (void)unused;
    struct store s = store_of("remote", &chunk_256, "{registration: 30us, latency: 5us, message_bytes: 64KB, "
                              "message_cost: 1us, stream_bandwidth: 16GB/s, bandwidth: 40GB/s, concurrency_limit: 3}");
    struct kv_access_plan read = plan_of(s, false, KV_DELIVERY_LAYERWISE, 9);
    struct kv_access_plan write = plan_of(s, true, KV_DELIVERY_BULK, 1);
    assert_near(limit_Bps(read), 64000 / 5e-6);      /* 1 us + 4 us */
    assert_int_equal(read.delay_tk, 35000 * 256);
    assert_int_equal(write.ack_tk, 5000 * 256);
    assert_int_equal(s.ops->concurrency_limit(s.state), 3);
    assert_near(kv_rate_to_Bps(s.ops->device_rate(s.state)), 40e9);
    s = store_of("remote", &chunk_256, "{message_cost: 0s}");
    assert_true(plan_of(s, false, KV_DELIVERY_BULK, 1).limit == KV_RATE_UNLIMITED);
    s = store_of("remote", &chunk_256, "{}");        /* Mooncake's 64 KiB and 100 ns */
    assert_near(limit_Bps(plan_of(s, false, KV_DELIVERY_BULK, 1)), 65536 / 100e-9);
}

#define GATEWAY "{first_byte: 2ms, request_cost: 1ms, stream_bandwidth: 1GB/s, "

static void an_objects_requests_share_the_streams(void **unused)
{
    (void)unused;
    double MiB = 1 << 20;
    struct store s = store_of("object", &chunk_256, GATEWAY "streams: 4, put_ack: 3ms}");
    struct kv_access_plan one = plan_of(s, false, KV_DELIVERY_BULK, 1), many = plan_of(s, false, KV_DELIVERY_BULK, 10);
    assert_near(limit_Bps(one), 32 * MiB / (1e-3 + 32 * MiB / 1e9));         /* one GET, one stream */
    assert_near(limit_Bps(many), 4 * 32 * MiB / (1e-3 + 32 * MiB / 1e9));
    assert_int_equal(one.delay_tk, 1000000 * 256);                           /* first byte less what the rate has */
    struct kv_access_plan layers = plan_of(s, false, KV_DELIVERY_LAYERWISE, 1);
    assert_near(limit_Bps(layers), 4 * MiB / (1e-3 + MiB / 1e9));            /* 32 ranges of 1 MiB */
    struct kv_access_plan put = plan_of(s, true, KV_DELIVERY_LAYERWISE, 1);
    assert_near(limit_Bps(put), limit_Bps(one));                             /* written whole */
    assert_int_equal(put.ack_tk, 3000000 * 256);

    struct kv_store_env env = chunk_256;
    env.layout = KV_LAYOUT_BLOCK_MAJOR;
    s = store_of("object", &env, GATEWAY "streams: 4}");
    assert_near(limit_Bps(plan_of(s, false, KV_DELIVERY_LAYERWISE, 1)), 4 * MiB / 16 / (1e-3 + MiB / 16 / 1e9));
    s = store_of("object", &env, GATEWAY "streams: 4, aggregate: true}");
    assert_near(limit_Bps(plan_of(s, false, KV_DELIVERY_LAYERWISE, 5)), 160 * MiB / (1e-3 + 160 * MiB / 1e9));
    assert_true(s.ops->network && s.ops->gateways && !s.ops->fills && s.ops->preset_chunk_tokens == 256);
}

static void an_object_may_have_no_bound_of_its_own(void **unused)
{
    (void)unused;
    struct store s = store_of("object", &chunk_256, "{first_byte: 0s, request_cost: 0s, stream_bandwidth: 0bps, "
                              "write_stream_bandwidth: 2GB/s, streams: 1}");
    struct kv_access_plan read = plan_of(s, false, KV_DELIVERY_BULK, 3);
    assert_true(read.limit == KV_RATE_UNLIMITED && read.delay_tk == 0);
    assert_near(limit_Bps(plan_of(s, true, KV_DELIVERY_BULK, 3)), 2e9);
    s = store_of("object", &chunk_256, "{first_byte: 1ms, request_cost: 2ms}");
    assert_int_equal(plan_of(s, false, KV_DELIVERY_BULK, 1).delay_tk, 0);
}

/* The draw is what GSL gives for (seed, "store.object.first_byte", number); median and sigma are those asked for. */
static void first_bytes_are_log_normal_and_numbered(void **unused)
{
    (void)unused;
    enum { DRAWS = 20000 };
    struct store s = store_of("object", &chunk_256, "{first_byte: 100ms, first_byte_sigma: 0.5, request_cost: 0s}");
    double sum = 0, square = 0;
    for (uint64_t n = 0; n < DRAWS; n++) {
        struct kv_access access = { .delivery = KV_DELIVERY_BULK, .chunks = 1, .number = n };
        kv_tick tk = s.ops->plan(s.state, &access).delay_tk;
        struct kv_rng rng;
        gsl_rng *at = kv_rng_at(&rng, 42, kv_stream("store.object.first_byte"), n);
        assert_int_equal(tk, kv_pipe_ticks(gsl_ran_lognormal(at, log(0.1), 0.5)));
        double deviation = log(kv_tick_to_s(tk) / 0.1);
        sum += deviation;
        square += deviation * deviation;
    }
    assert_true(fabs(sum / DRAWS) < 0.02 && fabs(square / DRAWS - 0.25) < 0.02);
}

/* ---- what ships ---- */

static void a_profile_gives_what_was_measured(void **unused)
{
    (void)unused;
    struct kv_diag diag = {0};
    const char *text, *path = "models/stores/rgw-loopback.yaml";
    size_t length;
    assert_true(kv_yaml_read(&arena, path, &text, &length, &diag));
    const char *body = strstr(text, "first_byte"), *end = strstr(text, "source:");
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = 1 << 20;
    struct store s = store_of("object", &env, kv_arena_copy(&arena, body, (size_t)(end - body)));
    struct kv_access_plan get = plan_of(s, false, KV_DELIVERY_BULK, 1), put = plan_of(s, true, KV_DELIVERY_BULK, 1);
    double get_s = kv_tick_to_s(get.delay_tk) + (1 << 20) / limit_Bps(get);
    double put_s = kv_tick_to_s(put.delay_tk + put.ack_tk) + (1 << 20) / limit_Bps(put);
    assert_true(get_s > 1.2e-3 && get_s < 1.6e-3);   /* measured: 1.34 ms */
    assert_true(put_s > 6e-3 && put_s < 8e-3);       /* measured: 7 ms */
    kv_diag_close(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dram_is_as_fast_as_the_links_unless_it_is_told),
        cmocka_unit_test(a_chunk_is_read_in_as_many_pieces_as_its_layout_says),
        cmocka_unit_test(a_deep_queue_of_large_blocks_reaches_the_drives_rate),
        cmocka_unit_test(a_shallow_queue_of_small_blocks_does_not), cmocka_unit_test(layers_of_blocks_make_small_reads),
        cmocka_unit_test(remote_pays_for_messages_and_registration),
        cmocka_unit_test(an_objects_requests_share_the_streams),
        cmocka_unit_test(an_object_may_have_no_bound_of_its_own),
        cmocka_unit_test(first_bytes_are_log_normal_and_numbered), cmocka_unit_test(a_profile_gives_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, close_stores);
}
