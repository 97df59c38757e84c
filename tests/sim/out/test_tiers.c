/* SPDX-License-Identifier: Apache-2.0 */
/* What results say about tiers and links, against numbers worked out by hand (fake_tiers.h).
 *
 * With KVSIM_TIERS_FILE set it only writes a results file of that name, for tests of readers and pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/out/read.h"
#include "tests/sim/out/fake_tiers.h"
#include "tests/support/near.h"

#define N 200

static char path[64];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/kvsim-tiers-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static double cell(const struct kv_totals *t, int32_t row, const char *column)
{
    const struct kv_fact *fact = kv_totals_cell(t, row, column);
    assert_non_null(fact);
    return fact->is_int ? (double)fact->count : fact->real;
}

static struct kv_results *run(struct tiers *t)
{
    struct kv_err err = {0};
    struct kv_results *r = tiers_run(t, path, &err);
    if (!r) fail_msg("%s: %s", err.where, err.text);
    return r;
}

/* vllm#30522: of 1,000 prompt tokens 600 are found locally, and of the 400 asked of the next tier 200. */
static void hit_ratios_are_of_all_tokens_and_of_those_asked(void **state)
{
    (void)state;
    static const double all[] = {0.6, 0.2, 0.1}, asked[] = {600 / 1000.0, 200 / 400.0, 100 / 200.0};
    struct tiers t;
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    for (int32_t i = 0; i < 3; i++) {
        char name[64];
        assert_close(cell(&r->tiers, i, "hit_ratio_token"), all[i], 1e-9);
        assert_close(cell(&r->tiers, i, "hit_ratio_token_cond"), asked[i], 1e-9);
        snprintf(name, sizeof name, "hit_ratio_token_cond.%s", tiers_sources[i]);
        assert_close(kv_summary_fact(&r->summary, name)->real, asked[i], 1e-9);
    }
    assert_close(cell(&r->tiers, 1, "asked_tokens"), 400.0 * N, 1e-9);
    assert_close(cell(&r->tiers, 2, "hit_tokens"), 100.0 * N, 1e-9);
    assert_close(kv_summary_fact(&r->summary, "hit_ratio_token")->real, 0.9, 1e-9);
    kv_results_close(r);
}

static void amplification_is_bytes_moved_over_bytes_of_use(void **state)
{
    (void)state;
    struct tiers t;
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    assert_true(isnan(cell(&r->tiers, 0, "read_amplification")));
    assert_close(cell(&r->tiers, 1, "read_amplification"), 1, 1e-9);            /* chunks of a block: nothing in vain */
    assert_close(cell(&r->tiers, 2, "read_amplification"), 256 / 100.0, 1e-9);    /* a chunk of 256 for 100 tokens */
    assert_close(cell(&r->tiers, 1, "write_amplification"), 10 / 8.0, 1e-9);      /* ten written, eight visible */
    assert_true(isnan(cell(&r->tiers, 2, "write_amplification")));
    assert_close(cell(&r->tiers, 2, "read_bytes"), 524288.0 * N, 1e-9);
    assert_close(cell(&r->tiers, 1, "wasted_bytes"), 65536.0 * N, 1e-9);
    kv_results_close(r);
}

static void occupancy_is_of_all_pools_and_unknown_without_a_limit(void **state)
{
    (void)state;
    struct tiers t;
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    assert_close(cell(&r->tiers, 0, "capacity_chunks"), 2000, 1e-9);
    assert_close(cell(&r->tiers, 0, "occupancy_mean"), 0.9, 1e-9);
    assert_close(cell(&r->tiers, 1, "capacity_chunks"), 1000, 1e-9);     /* two pools of 500 */
    assert_close(cell(&r->tiers, 1, "occupancy_peak"), 0.9, 1e-9);
    assert_close(cell(&r->tiers, 2, "capacity_chunks"), -1, 1e-9);
    assert_true(isnan(cell(&r->tiers, 2, "occupancy_mean")));
    assert_close(cell(&r->tiers, 2, "used_chunks_peak"), 50 + N - 1, 1e-9);
    assert_close(cell(&r->tiers, 2, "used_chunks_mean"), 50 + (N - 1) / 2.0, 1e-9);
    assert_close(cell(&r->tiers, 0, "evicted_chunks"), 3.0 * N, 1e-9);
    assert_close(cell(&r->tiers, 1, "evicted_chunks"), 11.0 * N, 1e-9);
    assert_close(cell(&r->tiers, 2, "waited_accesses"), 19.0 * N, 1e-9);
    kv_results_close(r);
}

static void links_tell_use_and_flows(void **state)
{
    (void)state;
    struct tiers t;
    int32_t count;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    assert_close(cell(&r->links, LINK_NIC, "utilization_mean"), 1, 1e-9);
    assert_close(cell(&r->links, LINK_NIC, "flows_mean"), 3, 1e-9);
    assert_close(cell(&r->links, LINK_PCIE, "utilization_peak"), (409600 + 524288) / (8 * TIERS_NIC_BPS), 1e-9);
    assert_close(cell(&r->links, LINK_FABRIC, "utilization_mean"), 0, 1e-9);
    const int32_t *order = kv_links_by_use(&r->links, 2, &count, &arena);
    assert_int_equal(count, 2);
    assert_true(order[0] == LINK_NIC && order[1] == LINK_PCIE);
    order = kv_links_by_use(&r->links, 9, &count, &arena);
    assert_true(count == 3 && order[2] == LINK_FABRIC);
    kv_arena_close(&arena);
    kv_results_close(r);
}

/* 900 tokens saved at 0.1 ms each on two GPUs; 0.2 + 0.05 s of stall. */
static void reuse_is_told_in_gpu_seconds_and_stall_seconds(void **state)
{
    (void)state;
    struct tiers t;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    assert_close(kv_summary_fact(&r->summary, "gpu_time_saved")->real, 900 * 1e-4 * 2 * N, 1e-9);
    assert_close(kv_summary_fact(&r->summary, "stall_time")->real, 0.25 * N, 1e-9);
    assert_close(r->summary.view[KV_METRIC_FETCH_STALL].p99, 0.2, 1e-9);
    assert_close(r->summary.view[KV_METRIC_INDUCED_STALL].mean, 0.05, 1e-9);
    assert_non_null(strstr(kv_results_table(r, &arena), "hits saved 36.00 GPU-s, cost 50.00 stall-s"));
    kv_arena_close(&arena);
    kv_results_close(r);
}

static bool has_limit(const struct kv_results *r, const char *words)
{
    for (int32_t i = 0; i < r->view.limit_count; i++) if (strstr(r->view.limit[i], words)) return true;
    return false;
}

static void the_verdict_names_what_is_at_its_limit(void **state)
{
    (void)state;
    struct tiers t;
    tiers_open(&t, N);
    struct kv_results *r = run(&t);
    assert_int_equal(r->view.saturation, KV_STABLE);
    assert_close(r->view.fetching_mean, 3, 1e-9);
    assert_close(r->view.waiting_mean, 1, 1e-9);
    assert_true(has_limit(r, "link nic.0.in carries 100.0 % of its rate"));
    assert_true(has_limit(r, "tier object lets 95.0 % of its accesses wait for their turn"));
    assert_int_equal(r->view.limit_count, 2);
    kv_results_close(r);
}

static void requests_that_wait_for_their_kv_are_backlog(void **state)
{
    (void)state;
    struct tiers t;
    tiers_open(&t, N);
    t.growing = true;
    struct kv_results *r = run(&t);
    assert_int_equal(r->view.saturation, KV_OVERLOADED);
    assert_close(r->view.backlog_slope_per_s, 1, 1e-9);
    kv_results_close(r);
}

static void a_stuck_run_names_link_flows_and_time(void **state)
{
    (void)state;
    struct tiers t;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    t.dead_from = 50;
    struct kv_results *r = run(&t);
    assert_string_equal(kv_results_stuck(r, &arena), "12 requests wait in queues and 7 for their KV; on link "
                        "fabric.0.in (0 B/s) 7 flows wait since 50 s");
    assert_true(has_limit(r, "link fabric.0.in moves nothing since 50 s, 7 flows wait on it"));
    assert_non_null(strstr(kv_results_table(r, &arena), "of simulated time, stuck"));
    assert_non_null(strstr(kv_results_json(r, &arena), "\"status\": \"stuck\""));
    kv_results_close(r);
    struct kv_h5in *in = kv_h5in_open(path, NULL);
    assert_string_equal(kv_h5in_attribute(in, "/meta", "status", &arena), "stuck");
    kv_h5in_close(in);
    kv_arena_close(&arena);
}

/* ---- the file ---- */

struct file { struct kv_h5in *in; struct kv_arena arena; };

static double *reals(struct file *f, const char *name, int64_t rows)
{
    int64_t count;
    struct kv_err err;
    double *value = kv_h5in_reals(f->in, name, &count, &f->arena, &err);
    if (!value) fail_msg("%s", err.text);
    assert_int_equal(count, rows);
    return value;
}

static void bins_and_requests_add_up_to_the_totals(void **state)
{
    (void)state;
    struct tiers t;
    struct file f = {NULL, {0}};
    tiers_open(&t, N);
    t.wave = true;
    kv_results_close(run(&t));
    f.in = kv_h5in_open(path, NULL);
    const double *source = reals(&f, "/requests/prompt_tokens_by_source", N);
    const double *prompt = reals(&f, "/requests/prompt_tokens", N), *bytes = reals(&f, "/requests/bytes_by_tier", N);
    const double *hits = reals(&f, "/timeseries/tier_hits_tokens", N);
    const double *read = reals(&f, "/timeseries/tier_read_bytes", N);
    const double *asked = reals(&f, "/timeseries/tier_asked_tokens", N), *all_read = reals(&f, "/tiers/read_bytes", 3);
    const double *active = reals(&f, "/timeseries/tier_active", N), *idle = reals(&f, "/timeseries/tier_inactive", N);
    const double *room = reals(&f, "/timeseries/tier_free", N), *held = reals(&f, "/timeseries/tier_occupancy", N);
    const double *in_line = reals(&f, "/timeseries/tier_waiting_accesses", N);
    double sum_read[3] = {0};
    for (int64_t i = 0; i < N; i++) {
        double sum = source[4 * i + 3], left = prompt[i];
        for (int k = 0; k < 3; k++) {
            assert_close(asked[3 * i + k], left, 1e-9);
            assert_close(hits[3 * i + k], source[4 * i + k], 1e-9);
            assert_close(read[3 * i + k], bytes[3 * i + k], 1e-9);
            sum += source[4 * i + k];
            left -= source[4 * i + k];
            sum_read[k] += read[3 * i + k];
        }
        assert_close(sum, prompt[i], 1e-9);
        assert_close(active[3 * i] + idle[3 * i] + room[3 * i], 2000, 1e-9);
        assert_close(active[3 * i + 1] + idle[3 * i + 1] + room[3 * i + 1], 1000, 1e-9);
        assert_true(isnan(room[3 * i + 2]) && isnan(held[3 * i + 2]));
        assert_close(active[3 * i + 2] + idle[3 * i + 2], (double)(50 + i), 1e-9);
        assert_close(held[3 * i + 1], 0.9, 1e-9);
        assert_true(in_line[3 * i + 1] == 0 && in_line[3 * i + 2] == (double)(i % 7));
    }
    for (int k = 0; k < 3; k++) assert_close(sum_read[k], all_read[k], 1e-9);
    kv_h5in_close(f.in);
    kv_arena_close(&f.arena);
}

static void links_over_time_add_up_to_what_they_carried(void **state)
{
    (void)state;
    struct tiers t;
    struct file f = {NULL, {0}};
    tiers_open(&t, N);
    t.wave = true;
    kv_results_close(run(&t));
    f.in = kv_h5in_open(path, NULL);
    const double *bytes = reals(&f, "/timeseries/link_bytes", N), *util = reals(&f, "/timeseries/link_util", N);
    const double *carried = reals(&f, "/links/bytes", LINKS), *rate = reals(&f, "/links/capacity", LINKS);
    for (int k = 0; k < LINKS; k++) {
        double sum = 0;
        for (int64_t i = 0; i < N; i++) {
            sum += bytes[LINKS * i + k];
            assert_close(util[LINKS * i + k] * rate[k], bytes[LINKS * i + k], 1e-9);
        }
        assert_close(sum, carried[k], 1e-9);
    }
    assert_string_equal(kv_h5in_labels(f.in, "/timeseries/link_util", &f.arena)[LINK_NIC], "nic.0.in");
    assert_close(*reals(&f, "/quality/net_progressive", 1), 70, 1e-9);
    kv_h5in_close(f.in);
    kv_arena_close(&f.arena);
}

static void the_table_fits_80_columns_with_tiers_and_links(void **state)
{
    (void)state;
    struct tiers t;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    t.growing = true;
    t.dead_from = 100;
    struct kv_results *r = run(&t);
    const char *table = kv_results_table(r, &arena), *json = kv_results_json(r, &arena);
    for (const char *at = table; *at; at += strcspn(at, "\n") + 1) assert_true(strcspn(at, "\n") <= 80);
    assert_non_null(strstr(table, "fetch stall"));
    assert_non_null(strstr(table, "nic.0.in"));
    assert_non_null(strstr(json, "\"object\": {"));
    assert_non_null(strstr(json, "\"capacity_chunks\": null"));
    assert_true(json[strlen(json) - 1] == '}' && !strchr(json, '\n'));
    kv_arena_close(&arena);
    kv_results_close(r);
}

/* ---- export and pictures ---- */

static const char *text_of(struct kv_arena *arena, const char *kind, const char *table)
{
    char *text = NULL;
    size_t bytes = 0;
    struct kv_err err = {0};
    FILE *out = open_memstream(&text, &bytes);
    struct kv_plot_options options = {.csv = true, .request = -1};
    bool ok = table ? kv_results_export(path, kind, table, NULL, out, &err)
                    : kv_results_plot(path, kind, &options, out, &err);
    fclose(out);
    if (!ok) fail_msg("%s", err.text);
    const char *copy = kv_arena_copy(arena, text, bytes);
    free(text);
    return copy;
}

static void columns_are_named_by_tier_and_link(void **state)
{
    (void)state;
    struct tiers t;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    kv_results_close(run(&t));
    const char *requests = text_of(&arena, "csv", "requests"), *bins = text_of(&arena, "csv", "timeseries");
    assert_non_null(strstr(requests, ",hbm_toks,dram_toks,object_toks,compute_toks,"
                                     "hbm_bytes,dram_bytes,object_bytes\n"));
    assert_non_null(strstr(requests, ",600,200,100,100,0,409600,524288\n"));
    assert_non_null(strstr(bins, ",tier_occupancy_hbm,tier_occupancy_dram,tier_occupancy_object,"));
    assert_non_null(strstr(bins, ",link_util_pcie.0.in,link_util_nic.0.in,link_util_fabric.0.in,"));
    assert_non_null(strstr(text_of(&arena, "jsonl", "links"), "{\"link\": \"nic.0.in\", \"capacity\": 524288, "));
    assert_non_null(strstr(text_of(&arena, "jsonl", "tiers"), "\"capacity_chunks\": null"));
    kv_arena_close(&arena);
}

static void pictures_draw_the_numbers_of_the_file(void **state)
{
    (void)state;
    struct tiers t;
    struct kv_arena arena = {0};
    tiers_open(&t, N);
    kv_results_close(run(&t));
    const char *split = text_of(&arena, "waterfall", NULL), *tokens = text_of(&arena, "tokens-by-source", NULL);
    for (const char *const *want = (const char *const[]){
             "Time to first token,queue,mean,0.1\n", "Time to first token,fetch stall,p99,0.2\n",
             "Time to first token,prefill,p50,0.3\n", "Time to first token,preempted,p90,0\n",
             "End to end,computing,mean,0.65\n", "End to end,induced stall,p99,0.05\n", NULL}; *want; want++) {
        if (!strstr(split, *want)) fail_msg("no %s", *want);
    }
    assert_non_null(strstr(tokens, "Prompt tokens by source,hbm 60.0 %,0.5,600\n"));
    assert_non_null(strstr(tokens, "Share of each source,compute 10.0 %,199.5,0.1\n"));
    assert_non_null(strstr(text_of(&arena, "util", NULL), "Links,nic.0.in 100.0 %,0.5,1\n"));
    assert_non_null(strstr(text_of(&arena, "overview", NULL), "Requests in the cluster,fetching,0.5,3\n"));
    kv_arena_close(&arena);
}

int main(void)
{
    const char *file = getenv("KVSIM_TIERS_FILE");
    if (file) {
        struct tiers t;
        struct kv_arena arena = {0};
        tiers_open(&t, 600);
        t.wave = true;
        struct kv_results *r = tiers_run(&t, file, NULL);
        if (r) fputs(kv_results_table(r, &arena), stdout);
        kv_results_close(r);
        kv_arena_close(&arena);
        return r ? 0 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hit_ratios_are_of_all_tokens_and_of_those_asked),
        cmocka_unit_test(amplification_is_bytes_moved_over_bytes_of_use),
        cmocka_unit_test(occupancy_is_of_all_pools_and_unknown_without_a_limit),
        cmocka_unit_test(links_tell_use_and_flows),
        cmocka_unit_test(reuse_is_told_in_gpu_seconds_and_stall_seconds),
        cmocka_unit_test(the_verdict_names_what_is_at_its_limit),
        cmocka_unit_test(requests_that_wait_for_their_kv_are_backlog),
        cmocka_unit_test(a_stuck_run_names_link_flows_and_time),
        cmocka_unit_test(bins_and_requests_add_up_to_the_totals),
        cmocka_unit_test(links_over_time_add_up_to_what_they_carried),
        cmocka_unit_test(the_table_fits_80_columns_with_tiers_and_links),
        cmocka_unit_test(columns_are_named_by_tier_and_link),
        cmocka_unit_test(pictures_draw_the_numbers_of_the_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
