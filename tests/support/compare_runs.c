/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/compare_runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/compare.h"
#include "tests/support/fast_run.h"

/* Descriptions may be longer than what print_error takes. */
static void print_text(const char *text)
{
    for (size_t at = 0, length = strlen(text); at < length; at += 500) print_error("%.500s", text + at);
    print_error("\n");
}

/* --- Reading while it runs --- */

/* Looks at random instances at random ticks between events; whatever it sees must be what the oracle saw. */
struct reader {
    const struct kv_sim_config *config;
    const struct kv_oracle_history *history;
    const char *text;
    uint64_t drawn;
    int64_t compared;
};

static uint64_t draw(struct reader *r)
{
    return kv_mix64_pair(r->config->seed, r->drawn++);
}

static bool same(const struct reader *r, const char *what, kv_tick tick, int64_t fast, int64_t oracle)
{
    if (fast == oracle) return true;
    print_text(r->text);
    print_error("  read at tick %lld: %s: engine %lld, oracle %lld\n", (long long)tick, what, (long long)fast,
                (long long)oracle);
    return false;
}

static bool same_state(const struct reader *r, kv_tick tick, const struct kv_sim_state *fast,
                       const struct kv_oracle_instance *oracle)
{
    return same(r, "waiting", tick, fast->waiting, oracle->waiting)
           && same(r, "running", tick, fast->running, oracle->running)
           && same(r, "fetching", tick, fast->fetching, oracle->fetching)
           && same(r, "active blocks", tick, fast->active_blocks, oracle->active_blocks)
           && same(r, "inactive blocks", tick, fast->inactive_blocks, oracle->inactive_blocks)
           && same(r, "free blocks", tick, fast->free_blocks, oracle->free_blocks);
}

static bool same_tiers(const struct reader *r, struct kv_sim *sim, const struct kv_oracle_cluster *oracle)
{
    for (int32_t t = 1; t < r->config->tier_count; t++) {
        struct kv_sim_tier_state state;
        kv_tick now = kv_sim_now(sim);
        kv_sim_tier(sim, t, &state);
        if (!same(r, "used chunks", now, state.used_chunks, oracle->tier[t].used_chunks)) return false;
        if (!same(r, "pinned chunks", now, state.pinned_chunks, oracle->tier[t].pinned_chunks)) return false;
        if (!same(r, "waiting accesses", now, state.waiting_accesses, oracle->tier[t].waiting_accesses)) return false;
    }
    return true;
}

static bool read_cluster(struct reader *r, struct kv_sim *sim, bool settled)
{
    kv_tick now = kv_sim_now(sim);
    struct kv_sim_state state;
    kv_sim_read(sim, &state);
    if (!settled) return true;     /* more to come at this tick: reading must do no harm, but what it sees is open */
    struct kv_oracle_instance sum = {0};
    for (int32_t i = 0; i < r->config->instance_count; i++) {
        struct kv_oracle_instance one = kv_oracle_instance_at(r->history, i, now, r->config->hbm_blocks);
        sum.waiting += one.waiting;
        sum.running += one.running;
        sum.fetching += one.fetching;
        sum.active_blocks += one.active_blocks;
        sum.inactive_blocks += one.inactive_blocks;
        sum.free_blocks += one.free_blocks;
    }
    struct kv_oracle_cluster oracle = kv_oracle_cluster_at(r->history, now);
    struct kv_difference d;
    r->compared++;
    return same_state(r, now, &state, &sum) && same_tiers(r, sim, &oracle)
           && (kv_counters_equal(&state.counters, &oracle.counters, &d) || same(r, d.field, now, d.left, d.right));
}

static bool read_instance(struct reader *r, struct kv_sim *sim)
{
    kv_tick now = kv_sim_now(sim), next = kv_sim_next_tk(sim);
    if (r->config->time_limit_tk < next) next = r->config->time_limit_tk;
    if (next <= now) return true;
    kv_tick span = next == KV_TICK_NEVER ? 1000 : next - now;
    kv_tick at = now + (kv_tick)(draw(r) % (uint64_t)span);
    int32_t id = (int32_t)(draw(r) % (uint64_t)r->config->instance_count);
    struct kv_sim_state state = {0};
    kv_sim_peek(sim, id, at, &state);
    struct kv_oracle_instance oracle = kv_oracle_instance_at(r->history, id, at, r->config->hbm_blocks);
    r->compared++;
    return same_state(r, at, &state, &oracle);
}

static bool read_something(void *state, struct kv_sim *sim)
{
    struct reader *r = state;
    switch (draw(r) % 4) {
    case 0: return read_cluster(r, sim, kv_sim_next_tk(sim) > kv_sim_now(sim));
    case 1: case 2: return read_instance(r, sim);
    default: return true;
    }
}

/* --- One scenario --- */

static void print_record(const char *who, const struct kv_record *r)
{
    print_error("  %s: input %d, output %d, status %d, instance %d (prefill %d), arrival %lld, scheduled %lld, "
                "first token %lld, finish %lld; queue %lld, stall %lld, prefill %lld, decode %lld, "
                "preempted %lld (%d), induced %lld; recomputed %lld, from",
                who, r->prompt_tokens, r->output_tokens, r->status, r->instance, r->prefill_instance,
                (long long)r->arrival_tk, (long long)r->first_sched_tk,
                (long long)r->first_token_tk, (long long)r->finish_tk, (long long)r->queue_tk,
                (long long)r->fetch_stall_tk, (long long)r->prefill_tk, (long long)r->decode_tk,
                (long long)r->preempted_tk, r->preemptions, (long long)r->induced_stall_tk,
                (long long)r->recomputed_tokens);
    for (int i = 0; i < KV_SOURCES_MAX; i++) print_error(" %d", r->prompt_tokens_by_source[i]);
    print_error(", fetched");
    for (int i = 0; i < KV_TIERS_MAX; i++) print_error(" %lld", (long long)r->fetched_bytes[i]);
    print_error("\n");
}

static bool same_records(const char *text, const struct kv_fast_run *fast, const struct kv_record *oracle,
                         const bool *came)
{
    struct kv_difference d;
    for (int64_t i = 0; i < fast->count; i++) {
        if (fast->came[i] == came[i] && (!came[i] || kv_records_equal(&fast->records[i], &oracle[i], &d))) continue;
        if (fast->came[i] != came[i]) d = (struct kv_difference){"came", fast->came[i], came[i], -1};
        print_text(text);
        print_error("  request %lld: %s: engine %lld, oracle %lld\n", (long long)i, d.field, (long long)d.left,
                    (long long)d.right);
        print_record("engine", &fast->records[i]);
        print_record("oracle", &oracle[i]);
        return false;
    }
    if (fast->given_twice) {
        print_text(text);
        print_error("  a record was given twice\n");
    }
    return !fast->given_twice;
}

static void print_fetch(const char *who, const struct kv_told *told, size_t i)
{
    if (i >= told->fetches.count) {
        print_error("  %s: has told of %zu fetches alone\n", who, told->fetches.count);
        return;
    }
    const struct kv_fetch_record *r = &told->fetches.at[i];
    print_error("  %s: request %lld, instance %d, tier %d, mode %d%s, %lld of %lld bytes, begin %lld, granted %lld, "
                "first %lld, end %lld, grant %.17g, limit %.17g, regrants %d, refused %d\n", who, (long long)r->request,
                r->instance, r->tier, r->mode, r->cut ? ", cut" : "", (long long)r->delivered_bytes,
                (long long)r->bytes, (long long)r->begin_tk, (long long)r->granted_tk, (long long)r->first_tk,
                (long long)r->end_tk, r->grant_Bps, r->limit_Bps, r->regrants, r->refused);
}

static bool same_told(const char *text, const struct kv_told *fast, const struct kv_told *oracle)
{
    struct kv_difference d = {.field = "number of fetches", .left = (int64_t)fast->fetches.count,
                              .right = (int64_t)oracle->fetches.count};
    size_t i = 0;
    while (i < fast->fetches.count && i < oracle->fetches.count
           && kv_fetches_equal(&fast->fetches.at[i], &oracle->fetches.at[i], &d)) i++;
    if (i < fast->fetches.count || i < oracle->fetches.count) {
        print_text(text);
        print_error("  fetch %zu: %s: engine %lld, oracle %lld\n", i, d.field, (long long)d.left, (long long)d.right);
        print_fetch("engine", fast, i);
        print_fetch("oracle", oracle, i);
        return false;
    }
    d = (struct kv_difference){"number of records", (int64_t)fast->layers.count, (int64_t)oracle->layers.count, -1};
    for (i = 0; i < fast->layers.count && i < oracle->layers.count; i++)
        if (!kv_layers_equal(&fast->layers.at[i], &oracle->layers.at[i], &d)) break;
    if (i == fast->layers.count && i == oracle->layers.count) return true;
    print_text(text);
    print_error("  layers %zu: %s: engine %lld, oracle %lld\n", i, d.field, (long long)d.left, (long long)d.right);
    return false;
}

static bool agrees(const char *text, const struct kv_sim_config *config, const struct kv_request *requests,
                   int64_t count, const struct kv_compared *oracle, const struct kv_between *between)
{
    struct kv_fast_run fast;
    struct kv_err err = {0};
    struct kv_difference d;
    bool good = kv_fast_run(&fast, config, requests, count, between, &err);
    if (!good) {
        print_text(text);
        print_error("  the engine failed: %s %s\n", err.where, err.text);
    }
    good = good && same_records(text, &fast, oracle->records, oracle->came);
    good = good && same_told(text, &fast.told, &oracle->told);
    if (good && !kv_counters_equal(&fast.counters, &oracle->counters, &d)) {
        print_text(text);
        print_error("  counter %s (tier %d): engine %lld, oracle %lld\n", d.field, d.tier, (long long)d.left,
                    (long long)d.right);
        good = false;
    }
    kv_fast_run_close(&fast);
    return good;
}

bool kv_compare_runs(const char *text, const struct kv_sim_config *config, const struct kv_request *requests,
                     int64_t count, bool read, struct kv_compared *oracle)
{
    struct kv_arena arena = {0};
    struct kv_err err = {0};
    oracle->records = kv_arena_take(&arena, (size_t)count * sizeof *oracle->records);
    oracle->came = kv_arena_take(&arena, (size_t)count * sizeof *oracle->came);
    struct kv_sink sink = {.state = &oracle->told, .fetch = kv_told_fetch, .layers = kv_told_layers};
    bool good = kv_oracle_run(config, requests, count, oracle->records, oracle->came, &oracle->counters,
                              read ? &oracle->history : NULL, &oracle->coverage, &sink, &err);
    if (!good) {
        print_text(text);
        print_error("  the oracle failed: %s\n", err.text);
    }
    struct reader reader = {.config = config, .history = &oracle->history, .text = text};
    struct kv_between between = {.state = &reader, .call = read_something, .events = 1};
    good = good && agrees(text, config, requests, count, oracle, NULL);
    good = good && (!read || agrees(text, config, requests, count, oracle, &between));
    kv_oracle_history_close(&oracle->history);
    kv_told_close(&oracle->told);
    kv_arena_close(&arena);
    return good;
}
