/* SPDX-License-Identifier: Apache-2.0 */
/* roce against packet arithmetic done by hand, against published measurements, and each term switched off. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/conf/bind.h"
#include "sim/lib/pipe.h"
#include "sim/plug.h"
#include "sim/scenario/shapes.h"
#include "tests/support/arena.h"
#include "tests/support/near.h"

static const struct kv_link_ops *roce(void)
{
    return kv_plugin_ops(link, kv_plugin_find(KV_FAMILY_link, "roce"));
}

/* Parameters as a scenario writes them, e.g. "bandwidth: 400Gbps, mtu: 1KiB". */
static const void *given(const char *keys)
{
    struct kv_diag diag = {0};
    const char *text = kv_arena_text(&arena, "{%s}", keys);
    struct kv_yaml *map = kv_yaml_parse(&arena, "test", text, strlen(text), &diag);
    void *params = kv_arena_take(&arena, roce()->info.params_bytes);
    assert_true(map && kv_bind(&arena, map, "test", roce()->info.params, params, &diag));
    kv_diag_close(&diag);
    roce()->info.prepare(params);
    return params;
}

static struct kv_link_spec spec_of(const char *keys)
{
    return roce()->spec(given(keys));
}

static kv_rate rate_of(const char *keys, double message_bytes)
{
    return roce()->message_rate(given(keys), message_bytes);
}

/* All that slows messages but their headers, off. */
#define PLAIN "bandwidth: 100Gbps, latency: 0s, message_cost: 0s, outstanding: 0"

/* 12.5 GB/s times payload / wire of full packets: frames counted byte by byte. */
static void capacity_is_the_payload_of_full_frames(void **unused)
{
    (void)unused;
    static const struct { const char *keys; double payload, wire; } frames[] = {
        {"", 4096, 4178}, {", mtu: 2KiB", 2048, 2130}, {", mtu: 1KiB", 1024, 1106}, {", mtu: 256B", 256, 338},
        {", vlan: true", 4096, 4182}, {", ipv6: true", 4096, 4198}, {", vlan: true, ipv6: true", 4096, 4202},
        {", operation: read", 4096, 4178}, {", headers: false", 4096, 4096},
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        double Bps = kv_rate_to_Bps(spec_of(kv_arena_text(&arena, PLAIN "%s", frames[i].keys)).capacity);
        double expected = 12.5e9 * frames[i].payload / frames[i].wire;
        assert_true(Bps <= expected && Bps > expected - 100);   /* the floor to units of 59.6 byte/s */
    }
}

/* Bytes on the wire of one message, in one packet and in several. */
static void messages_pay_for_their_packets(void **unused)
{
    (void)unused;
    static const struct { const char *keys; double message, wire; } messages[] = {
        {"", 4096, 4096 + 82 + 16}, {"", 4097, 4100 + 2 * 82 + 16}, {"", 1, 4 + 82 + 16}, {"", 4, 4 + 82 + 16},
        {"", 65536, 65536 + 16 * 82 + 16}, {", mtu: 1KiB", 65536, 65536 + 64 * 82 + 16},
        {", operation: read", 4096, 4096 + 82 + 4}, {", operation: read", 8192, 8192 + 2 * 82 + 8},
        {", operation: read", 12288, 12288 + 3 * 82 + 8}, {", vlan: true, ipv6: true", 8192, 8192 + 2 * 106 + 16},
        {", headers: false", 4097, 4097}, {", headers: false", 1, 1},
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        const char *keys = kv_arena_text(&arena, PLAIN "%s", messages[i].keys);
        double Bps = kv_rate_to_Bps(rate_of(keys, messages[i].message));
        double expected = 12.5e9 * messages[i].message / messages[i].wire;
        assert_true(Bps <= expected && Bps > expected - 100);
    }
}

static void queue_pairs_and_window_bound_a_message(void **unused)
{
    (void)unused;
    #define BARE "bandwidth: 100Gbps, headers: false, "
    /* 4 KiB every microsecond, in one and in three queue pairs; in four the wire is the least. */
    const char *cost = BARE "latency: 0s, outstanding: 0, message_cost: 1us, queue_pairs: %d";
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, cost, 1), 4096)), 4096e6, 1e-7);
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, cost, 3), 4096)), 3 * 4096e6, 1e-7);
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, cost, 4), 4096)), 12.5e9, 1e-7);
    /* Two of 12,500 bytes under way, each back after 2 * 4 us + 1 us on the wire + 1 us of cost. */
    const char *window = BARE "latency: 4us, outstanding: %d, message_cost: 1us, queue_pairs: %d";
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, window, 2, 1), 12500)), 2 * 12500 / 10e-6, 1e-7);
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, window, 1, 2), 12500)), 2 * 12500 / 10e-6, 1e-7);
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, window, 20, 1), 12500)), 12.5e9, 1e-7);
    assert_close(kv_rate_to_Bps(rate_of(kv_arena_text(&arena, window, 0, 1), 12500)), 12.5e9, 1e-7);
}

/* Never slower with bigger messages of whole packets, more queue pairs, a wider window, less cost and less latency. */
static void more_of_what_helps_never_slows(void **unused)
{
    (void)unused;
    kv_rate before[4] = {0};
    for (int step = 0; step < 12; step++) {
        long more = 1L << step, less = 4096 >> step;
        const char *keys[] = {
            "bandwidth: 400Gbps, outstanding: 4",
            kv_arena_text(&arena, "bandwidth: 400Gbps, outstanding: 1, queue_pairs: %ld", more),
            kv_arena_text(&arena, "bandwidth: 400Gbps, latency: 20us, message_cost: 0s, outstanding: %ld", more),
            kv_arena_text(&arena, "bandwidth: 400Gbps, outstanding: 16, latency: %ldns, message_cost: %ldns", less,
                          less),
        };
        for (int i = 0; i < 4; i++) {
            kv_rate rate = rate_of(keys[i], i == 0 ? 4096.0 * (double)more : 8192);
            assert_true(rate >= before[i]);
            assert_true(step == 0 || step == 11 || rate > 0);
            before[i] = rate;
        }
    }
    for (int i = 0; i < 4; i++) assert_close(kv_rate_to_Bps(before[i]), 50e9 * 0.97, 0.02);   /* the wire in the end */
}

/* With everything off it is a fair link, to the bit. */
static void switched_off_it_is_a_plain_link(void **unused)
{
    (void)unused;
    const struct kv_link_ops *fair = kv_plugin_ops(link, kv_plugin_find(KV_FAMILY_link, "fair"));
    struct kv_link_spec plain = fair->spec(&(struct kv_pipe_params){100e9, 0});
    struct kv_link_spec off = spec_of(PLAIN ", headers: false");
    assert_true(off.capacity == plain.capacity && off.latency_tk == plain.latency_tk && !off.in_order);
    assert_null(off.curve);
    assert_int_equal(off.curve_count, 0);
    assert_true(rate_of(PLAIN ", headers: false", 1) == off.capacity);
    assert_int_equal(spec_of("bandwidth: 0bps").capacity, 0);
    assert_int_equal(spec_of("bandwidth: 1Gbps").latency_tk, 1000 * 256);
}

static void shares_of_many_flows_are_straight_lines(void **unused)
{
    (void)unused;
    struct kv_link_spec spec = spec_of(PLAIN ", headers: false, incast_2: 0.9, incast_8: 0.6, incast_64: 0.4");
    static const struct { int32_t flows; double share; } points[] = {
        {1, 1}, {2, 0.9}, {3, 0.9}, {4, 0.9}, {6, 0.75}, {8, 0.6}, {9, 0.6}, {32, 0.6}, {48, 0.5}, {64, 0.4},
    };
    assert_int_equal(spec.curve_count, 64);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_close(kv_rate_to_Bps(spec.curve[points[i].flows - 1]), 12.5e9 * points[i].share, 1e-7);
    assert_true(spec.curve[0] == spec.capacity);
    /* A share that would rise again stays. */
    spec = spec_of(PLAIN ", headers: false, incast_2: 0.5, incast_4: 1");
    for (int32_t n = 2; n <= 64; n++) assert_close(kv_rate_to_Bps(spec.curve[n - 1]), 12.5e9 * 0.5, 1e-7);
}

/* What others measured, with the defaults and the bounds that docs/models.md states for each. */
static void published_rates_are_met(void **unused)
{
    (void)unused;
    static const struct { const char *keys; double message, Gbps, relative; } points[] = {
        /* NVIDIA/nccl issue 2409: ib_write_bw, 400G RoCE, one and eight queue pairs. */
        {"bandwidth: 400Gbps", 16384, 380.0, 0.001}, {"bandwidth: 400Gbps", 131072, 392.1, 0.001},
        {"bandwidth: 400Gbps, queue_pairs: 8", 16384, 391.8, 0.001},
        {"bandwidth: 400Gbps, queue_pairs: 8", 131072, 391.8, 0.002},
        {"bandwidth: 400Gbps, queue_pairs: 8", 1 << 20, 391.5, 0.002},
        /* J. Synchrotron Rad. 27 (2020) 1297, table 2: 100G, RDMA writes by path MTU. */
        {"bandwidth: 100Gbps, mtu: 2KiB", 1 << 20, 95.2, 0.011}, {"bandwidth: 100Gbps", 1 << 20, 97.5, 0.006},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_close(kv_rate_to_Bps(rate_of(points[i].keys, points[i].message)) * 8e-9, points[i].Gbps,
                    points[i].relative);
}

/* Keys of a profile as text, its parameters only. */
static const char *profile_keys(const char *name)
{
    static const char *const about[] = {"kind", "source", "aliases"};
    struct kv_diag diag = {0};
    struct kv_yaml *tree = kv_link_profile_load(&arena, name, "", (struct kv_pos){0}, &diag);
    const char *keys = "";
    assert_non_null(tree);
    assert_string_equal(kv_yaml_get(tree, "kind")->text, "roce");
    for (const struct kv_yaml *c = tree->child; c; c = c->next) {
        bool parameter = true;
        for (int i = 0; i < 3; i++) parameter = parameter && strcmp(c->key, about[i]);
        if (parameter) keys = kv_arena_text(&arena, "%s%s%s: %s", keys, *keys ? ", " : "", c->key, c->text);
    }
    kv_diag_close(&diag);
    return keys;
}

/* Rates in GB/s that the profiles' own comments state, and how far they are from what was measured. */
static void profiles_give_what_they_say(void **unused)
{
    (void)unused;
    static const struct { const char *name; double message, said_GBps, measured_GBps, off; } profiles[] = {
        {"mooncake-8x400", 65536, 182.0, 190, 0.043}, {"mooncake-4x200", 65536, 91.0, 87, 0.047},
        {"roce-400g", 16384, 48.97, 48.98, 0.001}, {"roce-400g", 1 << 20, 49.02, 48.94, 0.002},
        {"objectcache-testbed", 1 << 20, 12.25, 12.19, 0.006},
    };
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        double GBps = kv_rate_to_Bps(rate_of(profile_keys(profiles[i].name), profiles[i].message)) * 1e-9;
        assert_close(GBps, profiles[i].said_GBps, 0.0005);
        assert_close(GBps, profiles[i].measured_GBps, profiles[i].off);
    }
    /* Every profile that ships is one of a link, with parameters in order. */
    const struct kv_shape_entry *entry;
    struct kv_diag diag = {0};
    int32_t count = kv_link_profile_list(&arena, &entry, &diag);
    assert_int_equal(diag.errors, 0);
    assert_true(count >= 4);
    for (int32_t i = 0; i < count; i++) assert_true(spec_of(profile_keys(entry[i].name)).capacity > 0);
    kv_diag_close(&diag);
}

static int end(void **unused)
{
    (void)unused;
    kv_arena_close(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity_is_the_payload_of_full_frames), cmocka_unit_test(messages_pay_for_their_packets),
        cmocka_unit_test(queue_pairs_and_window_bound_a_message), cmocka_unit_test(more_of_what_helps_never_slows),
        cmocka_unit_test(switched_off_it_is_a_plain_link), cmocka_unit_test(shares_of_many_flows_are_straight_lines),
        cmocka_unit_test(published_rates_are_met), cmocka_unit_test(profiles_give_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
