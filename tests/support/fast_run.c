/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fast_run.h"

static bool keep(void *state, const struct kv_record *record, struct kv_err *err)
{
    struct kv_fast_run *run = state;
    if (record->request < 0 || record->request >= run->count)
        return kv_fail(err, KV_EINTERNAL, "sink", "a record of request %lld", (long long)record->request);
    run->given_twice |= run->recorded[record->request];
    run->recorded[record->request] = true;
    run->came[record->request] = record->arrival_tk >= 0;
    run->records[record->request] = *record;
    run->given++;
    return true;
}

static bool keep_fetch(void *state, const struct kv_fetch_record *record, struct kv_err *err)
{
    return kv_told_fetch(&((struct kv_fast_run *)state)->told, record, err);
}

static bool keep_layers(void *state, const struct kv_layers_record *record, struct kv_err *err)
{
    return kv_told_layers(&((struct kv_fast_run *)state)->told, record, err);
}

bool kv_fast_run(struct kv_fast_run *run, const struct kv_sim_config *config, const struct kv_request *requests,
                 int64_t count, const struct kv_between *between, struct kv_err *err)
{
    *run = (struct kv_fast_run){.count = count};
    run->records = kv_mem_take((size_t)count * sizeof *run->records);
    run->recorded = kv_mem_take((size_t)count * sizeof *run->recorded);
    run->came = kv_mem_take((size_t)count * sizeof *run->came);
    struct kv_array_source source = {.requests = requests, .count = count};
    struct kv_sink sink = {.state = run, .record = keep, .fetch = keep_fetch, .layers = keep_layers};
    struct kv_sim *sim = kv_sim_open(config, kv_array_source(&source), sink, err);
    if (!sim) return false;

    bool good = true;
    while (!kv_sim_run(sim, between ? between->events : 0, &run->end, err))
        if (between && !between->call(between->state, sim)) {
            good = kv_fail(err, KV_ECHECK, "reader", "stopped between events");
            break;
        }
    if (good && run->end == KV_SIM_FAILED) good = false;
    if (good) {
        kv_sim_read(sim, &run->state);
        run->counters = run->state.counters;
        good = kv_sim_finish(sim, err);
        /* Waits end with the run (T31), and prompts whose sources nobody knew yet are counted (T44). */
        struct kv_sim_state at_end;
        kv_sim_read(sim, &at_end);
        run->counters.fetch_stall_tk = at_end.counters.fetch_stall_tk;
        run->counters.prompt_tokens = at_end.counters.prompt_tokens;
        for (int t = 0; t < KV_TIERS_MAX; t++)
            run->counters.tier[t].asked_tokens = at_end.counters.tier[t].asked_tokens;
        /* Rule 23. */
        run->end_tk = run->end == KV_SIM_TIME_LIMIT ? config->time_limit_tk : kv_sim_now(sim);
        run->events = kv_sim_events(sim);
    }
    kv_sim_close(sim);
    return good;
}

void kv_fast_run_close(struct kv_fast_run *run)
{
    kv_mem_give(run->records, (size_t)run->count * sizeof *run->records);
    kv_mem_give(run->recorded, (size_t)run->count * sizeof *run->recorded);
    kv_mem_give(run->came, (size_t)run->count * sizeof *run->came);
    kv_told_close(&run->told);
    *run = (struct kv_fast_run){0};
}
