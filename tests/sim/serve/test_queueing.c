/* SPDX-License-Identifier: Apache-2.0 */
/* M/D/1 against theory: Poisson arrivals, constant service, one server. With max_num_seqs 1 and one-token outputs of
 * equal prompts an instance is that server, and the mean wait is
 *     W = rho / (2 (1 - rho)) * S                 (Pollaczek-Khinchine for constant service S)
 * The simulated mean must lie within its own 99.9 % confidence interval of W: batch means over 40 batches, so the
 * correlation of neighbours is kept inside a batch; Student's t with 39 degrees of freedom, 3.558 (two-sided).
 * The interval must be narrow too, or the test would say nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gsl/gsl_randist.h>

#include "tests/support/fast_run.h"
#include "tests/support/random_scenario.h"

#define BATCHES 40
#define T_999 3.558
#define WARMUP 20000
#define SERVICE_NS 1000000

/* Waits of request WARMUP and later, in units of the service time, in arrival order. */
static double *waits(double rho, int64_t count)
{
    struct kv_arena arena = {0};
    const struct kv_compute_ops *affine = kv_test_plugin("compute", "affine");
    void *params = kv_test_params(&arena, &affine->info);
    kv_test_param_set(&affine->info, params, "prefill_base", kv_test_exact_s(SERVICE_NS));
    struct kv_sim_config config = {
        .seed = 7, .instance_count = 1, .tp = 1, .hbm_blocks = 100,
        .engine = {.max_num_seqs = 1, .max_num_batched_tokens = 64, .block_tokens = 16, .chunked_prefill = true,
                   .enable_prefix_caching = true, .cache_outputs = true},
        .compute = affine, .compute_params = params, .evict = kv_test_plugin("evict", "lru"),
        .sched = kv_test_plugin("sched", "fcfs"), .route = kv_test_plugin("route", "round_robin"),
        .timeseries_s = -1, .time_limit_tk = KV_TICK_NEVER,
    };
    struct kv_request *requests = kv_arena_take(&arena, (size_t)count * sizeof *requests);
    double now_ns = 0;
    for (int64_t i = 0; i < count; i++) {
        struct kv_rng rng;
        gsl_rng *draw = kv_rng_at(&rng, config.seed, kv_stream("arrivals"), (uint64_t)i);
        now_ns += gsl_ran_exponential(draw, SERVICE_NS / rho);
        requests[i] = (struct kv_request){.index = i, .trace_row = i + 1, .arrival_ns = (int64_t)now_ns,
                                          .think_ns = -1, .elapsed_ns = -1, .input_tokens = 10, .output_tokens = 1};
    }
    struct kv_fast_run run;
    struct kv_err err = {0};
    if (!kv_fast_run(&run, &config, requests, count, NULL, &err)) fail_msg("%s", err.text);
    double *wait = kv_mem_take((size_t)count * sizeof *wait);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(run.records[i].prefill_tk, SERVICE_NS * KV_TICKS_PER_NS);
        wait[i] = (double)run.records[i].queue_tk / (double)KV_TICKS_PER_NS / SERVICE_NS;
    }
    kv_fast_run_close(&run);
    kv_arena_close(&arena);
    return wait;
}

static void compare_with_theory(double rho, int64_t batch, double widest)
{
    int64_t count = WARMUP + BATCHES * batch;
    double *wait = waits(rho, count), mean = 0, variance = 0, of_batch[BATCHES] = {0};
    for (int64_t i = WARMUP; i < count; i++) of_batch[(i - WARMUP) / batch] += wait[i] / (double)batch;
    for (int b = 0; b < BATCHES; b++) mean += of_batch[b] / BATCHES;
    for (int b = 0; b < BATCHES; b++) variance += (of_batch[b] - mean) * (of_batch[b] - mean) / (BATCHES - 1);
    kv_mem_give(wait, (size_t)count * sizeof *wait);

    double theory = rho / (2 * (1 - rho)), half = T_999 * sqrt(variance / BATCHES);
    print_message("  rho %.1f: mean wait %.4f S, theory %.4f S, 99.9 %% interval +- %.4f S\n", rho, mean, theory,
                  half);
    assert_true(fabs(mean - theory) <= half);
    assert_true(half <= widest * theory);
}

static void mean_waits_of_m_d_1_agree_with_pollaczek_khinchine(void **state)
{
    (void)state;
    compare_with_theory(0.3, 5000, 0.03);
    compare_with_theory(0.6, 5000, 0.04);
    compare_with_theory(0.9, 20000, 0.08);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_waits_of_m_d_1_agree_with_pollaczek_khinchine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
