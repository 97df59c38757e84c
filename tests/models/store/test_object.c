/* SPDX-License-Identifier: Apache-2.0 */
/* The object store as a gateway: what was measured by size and connections, what it puts together itself, whom it
 * refuses, what it charges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/models/store/open_store.h"

#define MiB (1 << 20)

static const char *const file_names[] = {"first.csv", "ack.csv", "rate.csv", "part.csv"};
static char folder[256];

/* One of these files in the test's own folder. */
static const char *file_of(const char *name, const char *text)
{
    const char *path = kv_arena_text(&arena, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char first_bytes[] = "bytes,connections,first_byte_us\n"
                                  "65536,1,600\n65536,4,1200\n65536,16,4000\n"
                                  "1048576,1,900\n1048576,4,2700\n1048576,16,12000\n";
static const char acks[] = "bytes,connections,put_ack_us\n"
                           "65536,1,2000\n65536,16,8000\n1048576,1,5000\n1048576,16,9000\n";
static const char rates[] = "bytes,connections,rate_GBps\n"
                            "65536,1,0.5\n65536,4,1\n65536,16,1\n1048576,1,1\n1048576,4,3\n1048576,16,4\n";

static struct store with(const struct kv_store_env *env, const char *more)
{
    return store_of("object", env, kv_arena_text(&arena, "{streams: 4, stream_bandwidth: 2GB/s, first_byte_curve: %s, "
                    "put_ack_curve: %s, write_stream_bandwidth: 1GB/s%s}", file_of("first.csv", first_bytes),
                    file_of("ack.csv", acks), more));
}

static struct kv_access_plan plan_with(struct store s, bool write, enum kv_delivery delivery, int64_t chunks,
                                       int64_t under_way)
{
    struct kv_access a = { .write = write, .delivery = delivery, .chunks = chunks, .under_way = under_way };
    return s.ops->plan(s.state, &a);
}

static void a_first_byte_is_as_it_was_measured_by_size_and_connections(void **unused)
{
    (void)unused;
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = MiB;
    struct store s = with(&env, "");
    const struct { int64_t under_way; double us; } at[] = {{0, 900}, {1, 900}, {4, 2700}, {16, 12000}, {2, 1500},
                                                           {32, 24000}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct kv_access_plan p = plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, at[i].under_way);
        assert_close(kv_tick_to_s(p.delay_tk), at[i].us * 1e-6, 1e-6);   /* 2: a third of the way from 1 to 4 */
        assert_close(limit_Bps(p), 2e9, 1e-6);                           /* one request: nothing but its bytes */
        assert_int_equal(p.requests, 1);
    }
    /* A layer of it is small: the first row, whatever it is below. */
    /* 4 streams */
    assert_close(kv_tick_to_s(plan_with(s, false, KV_DELIVERY_LAYERWISE, 1, 1).delay_tk), 1.2e-3, 1e-6);
}

static void a_part_of_an_object_may_have_a_wait_of_its_own(void **unused)
{
    (void)unused;
    const char *parts = "bytes,connections,first_byte_us\n4096,1,800\n4096,4,1300\n";
    const char *more = kv_arena_text(&arena, ", range_first_byte_curve: %s", file_of("part.csv", parts));
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = MiB;
    struct store s = with(&env, more);
    assert_close(kv_tick_to_s(plan_with(s, false, KV_DELIVERY_LAYERWISE, 1, 1).delay_tk), 1.3e-3, 1e-6);
    assert_close(kv_tick_to_s(plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, 1).delay_tk), 0.9e-3, 1e-6);
    env.layout = KV_LAYOUT_PER_LAYER;    /* whole objects */
    s = with(&env, more);
    assert_close(kv_tick_to_s(plan_with(s, false, KV_DELIVERY_LAYERWISE, 1, 1).delay_tk), 1.2e-3, 1e-6);
}

static void further_requests_of_a_connection_wait_too(void **unused)
{
    (void)unused;
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = MiB;
    struct store s = with(&env, "");
    /* 12 objects over 4 connections: three times 2.7 ms, one of them before the first byte. */
    struct kv_access_plan p = plan_with(s, false, KV_DELIVERY_BULK, 12, 1);
    assert_close(kv_tick_to_s(p.delay_tk) + 12.0 * MiB / limit_Bps(p), 3 * (2.7e-3 + MiB / 2e9), 1e-6);
    assert_close(kv_tick_to_s(p.delay_tk), 2.7e-3, 1e-6);
    assert_int_equal(p.requests, 12);
    /* A write begins at once, and waits for its acknowledgements instead. */
    p = plan_with(s, true, KV_DELIVERY_BULK, 8, 4);
    assert_int_equal(p.delay_tk, 0);
    assert_close(kv_tick_to_s(p.ack_tk), 9e-3, 1e-6);
    assert_close(8.0 * MiB / limit_Bps(p), 9e-3 + 2 * MiB / 1e9, 1e-6);
}

/* n layers of c chunks asked for at a time: alone, over a network that is no bound, a layer takes the waits and bytes
 * of its c requests over k connections, whatever is a delay of it and what is in the rate. */
static void who_asks_for_each_layer_waits_again(void **unused)
{
    (void)unused;
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = 32 * MiB;                         /* 1 MiB a layer */
    const struct { int32_t ahead; int64_t chunks; double streams, us; } at[] = {
        {1, 1, 1, 900}, {1, 4, 4, 2700}, {1, 8, 4, 2700}, {2, 1, 2, 1500}, {3, 8, 4, 2700}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        env.lookahead_layers = at[i].ahead;
        struct kv_access_plan p = plan_with(with(&env, ""), false, KV_DELIVERY_LAYERWISE, at[i].chunks, 1);
        assert_int_equal(p.resume_delay_tk, p.delay_tk);
        assert_close(kv_tick_to_s(p.resume_delay_tk), at[i].us * 1e-6, 1e-6);
        assert_int_equal(p.requests, 32 * at[i].chunks);
        double rounds = (double)at[i].chunks / at[i].streams, layer_s = (double)at[i].chunks * MiB / limit_Bps(p);
        if (at[i].ahead == 1)
            assert_close(kv_tick_to_s(p.resume_delay_tk) + layer_s, rounds * (at[i].us * 1e-6 + MiB / 2e9), 1e-6);
        /* By request_cost: the first wait is a delay but for what each request has of it. */
        struct store s = store_of("object", &env, "{first_byte: 3ms, request_cost: 1ms, streams: 4}");
        p = plan_with(s, false, KV_DELIVERY_LAYERWISE, at[i].chunks, 1);
        assert_close(kv_tick_to_s(p.resume_delay_tk), 2e-3, 1e-6);
        assert_close((double)at[i].chunks * MiB / limit_Bps(p), rounds * (1e-3 + MiB / 1.2e9), 1e-6);
    }
    /* Not where all layers are asked for at once, nor in a delivery without layers, nor where a gateway pushes them. */
    env.lookahead_layers = 1;
    assert_int_equal(plan_with(with(&env, ""), false, KV_DELIVERY_BULK, 4, 1).resume_delay_tk, 0);
    assert_int_equal(plan_with(with(&env, ""), true, KV_DELIVERY_BULK, 4, 1).resume_delay_tk, 0);
    assert_int_equal(plan_with(with(&env, ", aggregate: true"), false, KV_DELIVERY_LAYERWISE, 4, 1).resume_delay_tk, 0);
    for (env.lookahead_layers = 0; env.lookahead_layers <= 64; env.lookahead_layers += 32)
        assert_int_equal(plan_with(with(&env, ""), false, KV_DELIVERY_LAYERWISE, 4, 1).resume_delay_tk, 0);
}

static void a_read_has_its_share_of_the_devices(void **unused)
{
    (void)unused;
    struct kv_store_env env = chunk_256;
    env.chunk_bytes = MiB;
    const char *more = kv_arena_text(&arena, ", backend_curve: %s", file_of("rate.csv", rates));
    struct store s = with(&env, more);
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, 1)), 1e9, 1e-6);
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, 4)), 3e9 / 4, 1e-6);
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, 64)), 4e9 / 64, 1e-6);   /* capped */
    /* four connections of one */
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_BULK, 4, 1)), 3e9, 1e-6);
    /* writes know nothing of it */
    assert_close(limit_Bps(plan_with(s, true, KV_DELIVERY_CHUNKWISE, 1, 64)), 1e9, 1e-6);
    env.chunk_bytes = 262144;                                                              /* half-way in logs */
    s = with(&env, more);
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_CHUNKWISE, 1, 1)), sqrt(0.5) * 1e9, 1e-6);
}

static void a_gateway_that_aggregates_reads_pieces_for_one_stream(void **unused)
{
    (void)unused;
    struct store s = store_of("object", &chunk_256, "{first_byte: 54ms, request_cost: 0s, aggregate: true, "
                              "aggregate_bandwidth: 5GB/s, stream_bandwidth: 1GB/s}");
    struct kv_access_plan p = plan_with(s, false, KV_DELIVERY_LAYERWISE, 224, 4);   /* each: no less for the others */
    assert_close(limit_Bps(p), 5e9, 1e-6);
    assert_close(kv_tick_to_s(p.delay_tk), 54e-3, 1e-6);
    assert_int_equal(p.requests, 1);
    assert_close(limit_Bps(plan_with(s, true, KV_DELIVERY_BULK, 1, 1)), 1e9, 1e-6);
    /* Behind it: 4 reads at a time of a layer of a chunk, 1 MiB, give 3 GB/s; four of them share 4 GB/s. */
    s = store_of("object", &chunk_256, kv_arena_text(&arena, "{request_cost: 0s, aggregate: true, streams: 4, "
                 "aggregate_bandwidth: 5GB/s, backend_curve: %s}", file_of("rate.csv", rates)));
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_LAYERWISE, 224, 1)), 3e9, 1e-6);
    assert_close(limit_Bps(plan_with(s, false, KV_DELIVERY_LAYERWISE, 224, 4)), 1e9, 1e-6);
}

static void curves_keep_larger_accesses_slower(void **unused)
{
    (void)unused;
    const char *more = kv_arena_text(&arena, ", backend_curve: %s", file_of("rate.csv", rates));
    for (int64_t layout = KV_LAYOUT_LAYER_MAJOR; layout <= KV_LAYOUT_PER_LAYER; layout++) {
        struct kv_store_env env = chunk_256;
        env.layout = layout;
        struct store s = with(&env, more);
        for (int32_t kind = 0; kind < 3; kind++) {
            double before_s = 0;
            for (int64_t chunks = 1; chunks < 100; chunks++) {
                bool write = kind == 2;
                enum kv_delivery delivery = kind ? KV_DELIVERY_BULK : KV_DELIVERY_LAYERWISE;
                struct kv_access_plan p = plan_with(s, write, delivery, chunks, 3);
                double s_now = kv_tick_to_s(p.delay_tk + p.ack_tk) + (double)(chunks * env.chunk_bytes) / limit_Bps(p);
                assert_true(s_now > before_s * (1 - 1e-9));
                before_s = s_now;
            }
        }
    }
}

static void a_wrong_curve_is_refused_with_file_and_row(void **unused)
{
    (void)unused;
    const struct { const char *text, *where, *what; } wrong[] = {
        {"bytes,connections,first_byte_ms\n1,1,1\n", "first.csv:1", "'first_byte_ms', expected 'first_byte_us'"},
        {"bytes,connections,first_byte_us\n1,1,5\n1,2,-7\n", "first.csv:3", "'-7'"},
        {"bytes,connections,first_byte_us\n1,1,5\n1,2,4\n", "first.csv:3", "less than that of less work"},
        {"bytes,connections,first_byte_us\n1,1,0\n", "first.csv:2", "zero"},
        {"bytes,connections,first_byte_us\n", "first.csv", "no rows"},
        {NULL, "nowhere.csv", ""},
    };
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_store, "object");
    const struct kv_store_ops *ops = kv_plugin_ops(store, plugin);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct kv_diag diag = {0};
        struct kv_err err = {0};
        const char *path = wrong[i].text ? file_of("first.csv", wrong[i].text) : "/tmp/nowhere.csv";
        const char *yaml = kv_arena_text(&arena, "{first_byte_curve: %s}", path);
        struct kv_yaml *map = kv_yaml_parse(&arena, "t", yaml, strlen(yaml), &diag);
        void *params = kv_arena_take(&arena, plugin->info->params_bytes);
        void *state = kv_arena_take(&arena, ops->state_bytes);
        assert_true(kv_bind(&arena, map, "t", plugin->info->params, params, &diag));
        assert_false(ops->open(state, params, &chunk_256, &err));
        if (!strstr(err.where, wrong[i].where) || !strstr(err.text, wrong[i].what))
            fail_msg("%s: %s; expected %s: %s", err.where, err.text, wrong[i].where, wrong[i].what);
        kv_diag_close(&diag);
    }
}

static void a_refused_access_backs_off_by_twos_with_jitter(void **unused)
{
    (void)unused;
    struct store s = store_of("object", &chunk_256, "{queue_limit: 8, retry_first: 100ms, retry_max: 1s, "
                              "retry_jitter: 0}");
    assert_int_equal(s.ops->queue_limit(s.state), 8);
    for (int32_t attempt = 1; attempt < 70; attempt++)
        assert_close(kv_tick_to_s(s.ops->retry_tk(s.state, 7, attempt)),
                    attempt > 4 ? 1 : 0.1 * (double)(1 << (attempt - 1)), 1e-6);
    s = store_of("object", &chunk_256, "{retry_first: 100ms, retry_max: 1s, retry_jitter: 0.5}");
    assert_int_equal(s.ops->queue_limit(s.state), -1);
    double sum_s = 0, least_s = 1, most_s = 0;
    enum { DRAWS = 10000 };
    for (uint64_t n = 0; n < DRAWS; n++) {
        double s_now = kv_tick_to_s(s.ops->retry_tk(s.state, n, 2));
        sum_s += s_now;
        least_s = s_now < least_s ? s_now : least_s;
        most_s = s_now > most_s ? s_now : most_s;
    }
    assert_true(least_s >= 0.1 && least_s < 0.101 && most_s <= 0.2 && most_s > 0.199);
    assert_true(fabs(sum_s / DRAWS - 0.15) < 0.001);
    struct kv_store_env other = chunk_256;
    other.seed = 43;
    struct store t = store_of("object", &other, "{retry_first: 100ms, retry_max: 1s, retry_jitter: 0.5}");
    assert_true(s.ops->retry_tk(s.state, 1, 1) != t.ops->retry_tk(t.state, 1, 1));
    assert_true(s.ops->retry_tk(s.state, 1, 1) != s.ops->retry_tk(s.state, 2, 1));
}

static void what_it_charges_is_as_it_was_told(void **unused)
{
    (void)unused;
    struct store s = store_of("object", &chunk_256, "{price_read_request: 0.0000004, price_write_request: 0.000005, "
                              "price_GiB_month: 0.023}");
    struct kv_store_price p = s.ops->price(s.state);
    assert_close(p.read_request, 4e-7, 1e-6);
    assert_close(p.write_request, 5e-6, 1e-6);
    assert_close(p.GiB_month, 0.023, 1e-6);
}

/* 3 chunks of 32 layers in 16 blocks, 32 MiB each. */
static void every_store_counts_its_requests(void **unused)
{
    (void)unused;
    const struct { const char *kind, *yaml; enum kv_delivery delivery; int64_t layout, reads, writes; } cases[] = {
        {"object", "{}", KV_DELIVERY_BULK, KV_LAYOUT_LAYER_MAJOR, 3, 3},
        {"object", "{}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_LAYER_MAJOR, 96, 3},
        {"object", "{}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_BLOCK_MAJOR, 96 * 16, 3},
        {"object", "{}", KV_DELIVERY_BULK, KV_LAYOUT_PER_LAYER, 96, 96},
        {"object", "{aggregate: true}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_BLOCK_MAJOR, 1, 1},
        {"dram", "{}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_LAYER_MAJOR, 96, 3},
        {"disk", "{block_bytes: 1MiB}", KV_DELIVERY_BULK, KV_LAYOUT_LAYER_MAJOR, 96, 96},
        {"disk", "{block_bytes: 32MiB}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_BLOCK_MAJOR, 96 * 16, 3},
        {"remote", "{message_bytes: 1MiB}", KV_DELIVERY_LAYERWISE, KV_LAYOUT_BLOCK_MAJOR, 96, 96},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_store_env env = chunk_256;
        env.layout = cases[i].layout;
        struct store s = store_of(cases[i].kind, &env, cases[i].yaml);
        assert_int_equal(plan_of(s, false, cases[i].delivery, 3).requests, cases[i].reads);
        assert_int_equal(plan_of(s, true, cases[i].delivery, 3).requests, cases[i].writes);
    }
}

static int make_folder(void **unused)
{
    (void)unused;
    const char *root = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.200s/kvsim-curves-XXXXXX", root ? root : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names; i++)
        unlink(kv_arena_text(&arena, "%s/%s", folder, file_names[i]));
    rmdir(folder);
    return close_stores(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_byte_is_as_it_was_measured_by_size_and_connections),
        cmocka_unit_test(a_part_of_an_object_may_have_a_wait_of_its_own),
        cmocka_unit_test(further_requests_of_a_connection_wait_too),
        cmocka_unit_test(who_asks_for_each_layer_waits_again),
        cmocka_unit_test(a_read_has_its_share_of_the_devices),
        cmocka_unit_test(a_gateway_that_aggregates_reads_pieces_for_one_stream),
        cmocka_unit_test(curves_keep_larger_accesses_slower),
        cmocka_unit_test(a_wrong_curve_is_refused_with_file_and_row),
        cmocka_unit_test(a_refused_access_backs_off_by_twos_with_jitter),
        cmocka_unit_test(what_it_charges_is_as_it_was_told),
        cmocka_unit_test(every_store_counts_its_requests),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
