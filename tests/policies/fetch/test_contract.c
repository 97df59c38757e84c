/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sim/iface/fetch.h, held by every registered policy, and the rules of docs/tiers.md, T6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sim/iface/fetch_rule.h"
#include "tests/models/plugin_params.h"
#include "tests/support/arena.h"

#define SEGMENTS 6
/* A match and what its estimates say; counts how often they are asked. */
struct match {
    struct kv_fetch_segment segment[SEGMENTS];
    struct kv_fetch_view view;
    kv_tick load_tk[SEGMENTS + 1], compute_per_token_tk, compute_base_tk;
    int32_t asked;
};

static kv_tick load_tk(void *owner, int32_t count)
{
    struct match *m = owner;
    assert_in_range(count, 0, m->view.segment_count);
    m->asked++;
    return m->load_tk[count];
}

static kv_tick compute_tk(void *owner, int64_t from)
{
    struct match *m = owner;
    assert_in_range(from, 0, m->view.known_tokens - 1);
    m->asked++;
    return m->compute_base_tk + (m->view.known_tokens - from) * m->compute_per_token_tk;
}

static void match_of(struct match *m, int64_t block_tokens, const struct kv_fetch_segment *segments, int32_t count)
{
    *m = (struct match){ .compute_per_token_tk = 1 };
    memcpy(m->segment, segments, sizeof *segments * (size_t)count);
    m->view = (struct kv_fetch_view){ .block_tokens = block_tokens, .segments = m->segment, .segment_count = count,
                                      .owner = m, .load_tk = load_tk, .compute_tk = compute_tk };
    m->view.known_tokens = kv_fetch_matched(&m->view) * block_tokens + 1;
}

static void random_match(struct match *m, uint64_t *seed)
{
    struct kv_fetch_segment segments[SEGMENTS];
    int32_t count = (int32_t)(1 + draw_below(seed, SEGMENTS)), before = -1;
    for (int32_t i = 0; i < count; i++) {
        int32_t source;
        do source = (int32_t)draw_below(seed, 4); while (source == before || (count == 1 && source == 0));
        segments[i] = (struct kv_fetch_segment){ before = source, 1 + draw_below(seed, 300) };
    }
    match_of(m, INT64_C(1) << draw_below(seed, 8), segments, count);
    m->compute_per_token_tk = draw_below(seed, 1000);
    m->compute_base_tk = draw_below(seed, 100000);
    bool loads = false;
    for (int32_t i = 0; i < count; i++) {
        loads = loads || segments[i].source != 0;
        m->load_tk[i + 1] = m->load_tk[i] + (loads ? draw_below(seed, 100000) : 0);
    }
    if (draw_below(seed, 10) == 0) m->load_tk[count] = KV_TICK_NEVER;   /* a link that carries nothing */
}

static void every_choice_is_pure_and_within_the_match(void **unused)
{
    (void)unused;
    int32_t count, tested = 0;
    const struct kv_plugin *plugins = kv_plugins(&count);
    for (int32_t p = 0; p < count; p++) {
        if (plugins[p].family != KV_FAMILY_fetch) continue;
        const struct kv_fetch_ops *ops = kv_plugin_ops(fetch, &plugins[p]);
        assert_true(ops->info.help && *ops->info.help);
        for (uint64_t i = 0; i < 2000; i++) {
            struct match m;
            uint64_t seed = i;
            random_match(&m, &seed);
            const void *params = i % 2 ? plugin_defaults(&arena, plugins[p].info)
                                       : plugin_draw(&arena, plugins[p].info, 1e6, &seed);
            struct kv_fetch_choice first = ops->choose(params, &m.view), again = ops->choose(params, &m.view);
            assert_in_range(first.blocks, 0, kv_fetch_matched(&m.view));
            assert_true(first.blocks >= kv_fetch_leading_hbm(&m.view));   /* what is there already costs nothing */
            assert_true(first.timeout_tk >= 0);
            assert_true(first.blocks == again.blocks && first.timeout_tk == again.timeout_tk);
        }
        tested++;
    }
    assert_true(tested >= 6);
}

static struct kv_fetch_choice choose(const char *name, const void *params, const struct match *m)
{
    return kv_plugin_ops(fetch, kv_plugin_find(KV_FAMILY_fetch, name))->choose(params, &m->view);
}

/* 10 blocks of 16 in HBM, 4 in tier 1, 3 in HBM again, 12 in tier 2: 256 tokens below HBM. */
static const struct kv_fetch_segment spread[] = { {0, 10}, {1, 4}, {0, 3}, {2, 12} };

static void always_takes_all_and_waits(void **unused)
{
    (void)unused;
    struct match m;
    match_of(&m, 16, spread, 4);
    struct kv_fetch_choice c = choose("always", NULL, &m);
    assert_int_equal(c.blocks, 29);
    assert_true(c.timeout_tk == KV_TICK_NEVER && m.asked == 0);
}

static void a_threshold_counts_the_tokens_below_hbm(void **unused)
{
    (void)unused;
    struct match m;
    match_of(&m, 16, spread, 4);
    static const char *const names[] = {"threshold", "lmcache"};
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(choose(names[i], &(int64_t){256}, &m).blocks, 29);
        assert_int_equal(choose(names[i], &(int64_t){257}, &m).blocks, 10);   /* the leading HBM blocks */
        assert_true(choose(names[i], &(int64_t){0}, &m).timeout_tk == KV_TICK_NEVER);
    }
    match_of(&m, 16, spread + 1, 1);
    assert_int_equal(choose("threshold", &(int64_t){65}, &m).blocks, 0);
    assert_int_equal(choose("threshold", &(int64_t){64}, &m).blocks, 4);
    assert_int_equal(choose("lmcache", plugin_defaults(&arena, kv_plugin_find(KV_FAMILY_fetch, "lmcache")->info),
                            &m).blocks, 4);   /* off */
}

static void a_timeout_grows_with_the_tokens_up_to_its_most(void **unused)
{
    (void)unused;
    struct match m;
    match_of(&m, 16, spread, 4);
    static const char *const names[] = {"timeout", "sglang_hicache"};
    for (int32_t i = 0; i < 2; i++) {
        struct kv_fetch_timeout_params p = { .threshold = { 256 }, .timeout = { 2, 0.1, 30 } };
        struct kv_fetch_choice c = choose(names[i], &p, &m);
        assert_int_equal(c.blocks, 29);
        assert_int_equal(c.timeout_tk, kv_cost_ceil_tk(kv_cost_from_s(2 + 0.1 * 256 / 1024.0)));
        p.timeout.max_s = 2.025;               /* exactly what it comes to */
        assert_int_equal(choose(names[i], &p, &m).timeout_tk, kv_cost_ceil_tk(kv_cost_from_s(2.025)));
        p.timeout.max_s = 1;
        assert_int_equal(choose(names[i], &p, &m).timeout_tk, KV_TICKS_PER_S);
        p.threshold.min_tokens = 257;
        assert_int_equal(choose(names[i], &p, &m).blocks, 10);
    }
    /* The defaults of SGLang's rule: min(30 s, 2 s + 0.1 s/Ki token), from 256 tokens on. */
    struct kv_fetch_timeout_params *sglang = plugin_defaults(&arena, kv_plugin_find(KV_FAMILY_fetch,
                                                                                   "sglang_hicache")->info);
    assert_int_equal(sglang->threshold.min_tokens, 256);
    assert_int_equal(kv_fetch_rule_timeout_tk(&sglang->timeout, 10 * 1024), 3 * KV_TICKS_PER_S);
    assert_int_equal(kv_fetch_rule_timeout_tk(&sglang->timeout, 280 * 1024), 30 * KV_TICKS_PER_S);
    assert_int_equal(kv_fetch_rule_timeout_tk(&sglang->timeout, 1 << 30), 30 * KV_TICKS_PER_S);
    assert_int_equal(kv_fetch_rule_timeout_tk(&sglang->timeout, 0), 2 * KV_TICKS_PER_S);
}

static void the_cost_model_takes_the_cheapest_end_of_a_segment(void **unused)
{
    (void)unused;
    struct match m;
    match_of(&m, 16, spread, 4);               /* a token computed: 1 tick */
    m.load_tk[2] = 64, m.load_tk[3] = 64, m.load_tk[4] = 64 + 192;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 29);   /* all cost the same: the longest */
    m.load_tk[4]++;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 17);   /* the HBM blocks behind tier 1 come with it */
    m.load_tk[2] = m.load_tk[3] = 64 + 48 + 1, m.load_tk[4] = 1000;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 10);
    m.load_tk[4] = KV_TICK_NEVER;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 10);   /* never is not added to */
    match_of(&m, 16, spread + 1, 1);
    m.load_tk[1] = 65;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 0);    /* nothing at all */
    m.load_tk[1] = 64;
    assert_int_equal(choose("cost_model", NULL, &m).blocks, 4);
}

/* Against all candidates, one by one. */
static void the_cost_model_is_the_least_of_all(void **unused)
{
    (void)unused;
    for (uint64_t i = 0; i < 5000; i++) {
        struct match m;
        uint64_t seed = i;
        random_match(&m, &seed);
        int64_t blocks = 0, best_blocks = -1;
        double best = 0;
        for (int32_t k = 0; k <= m.view.segment_count; k++) {
            if (k > 0) blocks += m.segment[k - 1].blocks;
            if (k == 0 && m.segment[0].source == 0) continue;
            double cost = (double)m.load_tk[k] + (double)compute_tk(&m, blocks * m.view.block_tokens);
            if (best_blocks < 0 || cost <= best) best = cost, best_blocks = blocks;
        }
        assert_int_equal(choose("cost_model", NULL, &m).blocks, best_blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_choice_is_pure_and_within_the_match), cmocka_unit_test(always_takes_all_and_waits),
        cmocka_unit_test(a_threshold_counts_the_tokens_below_hbm),
        cmocka_unit_test(a_timeout_grows_with_the_tokens_up_to_its_most),
        cmocka_unit_test(the_cost_model_takes_the_cheapest_end_of_a_segment),
        cmocka_unit_test(the_cost_model_is_the_least_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, close_arena);
}
