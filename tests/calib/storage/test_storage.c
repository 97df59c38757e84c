/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-storage as a user runs it, against a small server of this process that is late, slow, wrong or gone.
 *   test_storage --serve ADDRESS PORT      is that server alone, for tests/calib/storage/test_link.sh */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "sim/scenario/store_profile.h"
#include "tests/support/arena.h"
#include "tests/support/http_server.h"
#include "tests/support/sanitized.h"

#define SECRET "hush-hush-4711"

static struct http_server *server;
static struct http_conduct *conduct;
static char folder[256], program[4096];

/* ---- running it ---- */

struct run { int code; char text[8192]; };

static const char *in_folder(const char *name) { return kv_arena_text(&arena, "%s/%s", folder, name); }

static char *read_all(const char *path)
{
    char *text = kv_arena_take(&arena, 1 << 20);
    FILE *f = fopen(path, "r");
    if (f) text[fread(text, 1, (1 << 20) - 1, f)] = 0, fclose(f);
    return text;
}

static pid_t start_program(int port, const char *const *option)
{
    const char *word[32] = {program, "--quiet", "-o", in_folder("p"), "--endpoint",
                            kv_arena_text(&arena, "http://127.0.0.1:%d", port), "--key", "me"};
    int count = 8;
    for (; *option; option++) word[count++] = *option;
    fflush(NULL);
    pid_t pid = fork();
    if (pid) return pid;
    int out = open(in_folder("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    setenv("S3_SECRET", SECRET, 1);
    execv(program, (char **)(void *)word);
    _exit(126);
}

static struct run ended(pid_t pid)
{
    int status = 0;
    struct run r = {0};
    waitpid(pid, &status, 0);
    r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    snprintf(r.text, sizeof r.text, "%s", read_all(in_folder("out")));
    assert_null(strstr(r.text, SECRET));
    return r;
}
#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct run measure(int port, const char *const *option) { return ended(start_program(port, option)); }

static int64_t rows(void)
{
    int64_t lines = 0;
    for (const char *c = read_all(in_folder("p/samples.csv")); *c; c++) lines += *c == '\n';
    return lines - 1;
}

static struct kv_store_profile profile(void)
{
    struct kv_store_profile p;
    struct kv_err err = {0};
    if (!kv_store_profile_read(&arena, in_folder("p"), &p, &err)) fail_msg("%s: %s", err.where, err.text);
    return p;
}

#define assert_within(value, expected, share) \
    do { \
        if (!(fabs((value) / (expected) - 1) <= (share))) \
            fail_msg("%s = %g, expected %g", #value, (double)(value), (double)(expected)); \
    } while (0)

static void assert_told(struct run r, int code, const char *text)
{
    if (r.code != code || !strstr(r.text, text)) fail_msg("exit code %d: %s", r.code, r.text);
}

/* ---- what it finds out ---- */

#define SMALL "--sizes", "4KiB,256KiB,4MiB", "--connections", "1", "--ops", "get"

/* Large enough that milliseconds which a busy machine adds are few beside the 168 of the largest. */
#define LARGE "--sizes", "4KiB,1MiB,16MiB", "--connections", "1", "--ops", "get"

/* Rate and first byte of the large sizes at `port`. */
static struct kv_store_profile large(int port)
{
    unlink(in_folder("p/samples.csv"));
    assert_told(measure(port, OPTIONS(LARGE, "--samples", "12", "--budget", "30s")), 0, "wrote");
    return profile();
}

static bool within(double value, double expected, double share)
{
    bool is = fabs(value / expected - 1) <= share;
    if (!is) print_message("found %g, expected %g within %g\n", value, expected, share);
    return is;
}

/* Five times at most, with longer and longer pauses: other work on the machine delays whole requests or only their
 * first bytes, which makes the rest of them look faster. Under the sanitizers the programs take a larger part of it
 * themselves: there this is about memory, and the limits are wide. */
static void a_rate_and_an_added_wait_are_found(void **unused)
{
    (void)unused;
    enum { WAIT_US = 40000, TRIES = 5 };
    const double rate_share = KV_SANITIZED ? 0.2 : 0.03, wait_share = KV_SANITIZED ? 0.3 : 0.10;
    bool found = false;
    conduct->rate_Bps = 100000000;
    for (int i = 0; i < TRIES && !found; i++) {
        if (i > 0) sleep(1u << i);
        struct kv_store_profile direct = large(http_server_port(server));
        assert_int_equal(direct.calibration.requests, rows());
        assert_string_equal(direct.calibration.server, "small");
        assert_int_equal(direct.calibration.most_bytes, 16 << 20);
        struct relay *relay = relay_start(http_server_port(server), WAIT_US);
        assert_non_null(relay);
        struct kv_store_profile late = large(relay_port(relay));
        relay_stop(relay);
        found = within(direct.calibration.stream_bps / 8, 100e6, rate_share)
                && within(late.calibration.stream_start_s - direct.calibration.stream_start_s, WAIT_US * 1e-6,
                          wait_share);
    }
    assert_true(found);
}

/* The plug-in says of the profile what the fit said of the samples. */
static void a_profile_prices_as_it_was_measured(void **unused)
{
    (void)unused;
    conduct->delay_us = 3000;
    conduct->rate_Bps = 200000000;
    assert_told(measure(http_server_port(server), OPTIONS("--sizes", "64KiB,1MiB", "--connections", "1,4", "--samples",
                        "24", "--budget", "20s")), 0, "wrote");
    struct kv_store_profile p = profile();
    struct kv_access_samples samples;
    struct kv_access_cell *cell;
    struct kv_err err = {0};
    assert_true(kv_access_samples_read(&arena, in_folder("p/samples.csv"), &samples, &err));
    struct kv_store_fitted fitted;
    assert_true(kv_store_profile_fit(&arena, "object", &samples, 200, 1, &fitted, &err));
    int32_t count = kv_access_cells(&arena, samples.at, samples.count, NULL, &cell), compared = 0;
    const struct kv_store_ops *ops = kv_plugin_ops(store, p.plugin);
    for (int32_t i = 0; i < count; i++) {
        const struct kv_access_cell *c = &cell[i];
        struct kv_store_env env = { .layers = 1, .chunk_tokens = 16, .block_tokens = 16, .chunk_bytes = c->bytes };
        struct kv_access access = { .write = c->op == KV_OP_PUT, .delivery = KV_DELIVERY_CHUNKWISE, .chunks = 1,
                                    .under_way = c->connections };
        void *state = kv_arena_take(&arena, ops->state_bytes);
        struct kv_access_times model = kv_access_model(&fitted.fit, c);
        if (c->op == KV_OP_RANGE) continue;   /* one layer has no parts */
        double sigma = 0;
        for (const struct kv_param *row = p.plugin->info->params; row->key; row++)
            if (!strcmp(row->key, "first_byte_sigma")) memcpy((char *)p.params + row->offset, &sigma, sizeof sigma);
        assert_true(ops->open(state, p.params, &env, &err));
        struct kv_access_plan plan = ops->plan(state, &access);
        double first_s = kv_tick_to_s(plan.delay_tk), bytes_s = (double)c->bytes / kv_rate_to_Bps(plan.limit);
        double total_s = first_s + bytes_s + kv_tick_to_s(plan.ack_tk);
        double busy_s = (double)(c->bytes * c->connections) / kv_rate_to_Bps(ops->device_rate(state));
        if (!access.write) assert_within(first_s, model.first_byte_s, 1e-4);
        assert_within(total_s > busy_s ? total_s : busy_s, model.total_s, 1e-4);
        ops->close(state);
        compared++;
    }
    assert_int_equal(compared, 8);
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Three visits to each of two cells: four connections make a request that is not taken, three of them a part of it, and
 * one that is. */
static void connections_neither_end_at_once_nor_follow_at_once(void **unused)
{
    (void)unused;
    enum { VISITS = 6, CONNECTIONS = 4, PAUSE_MS = 50 };
    const char *const grid[] = {"--sizes", "4KiB,4MiB", "--connections", "1,4", "--ops", "get", "--samples", "12",
                                "--budget", "30s", NULL, NULL, NULL};
    conduct->delay_us = 10000;   /* nobody is done before all have begun, but on a very busy machine */
    assert_told(measure(http_server_port(server), grid), 0, "wrote");
    assert_in_range(conduct->ranges, VISITS * (CONNECTIONS - 2), VISITS * (CONNECTIONS - 1));
    conduct->delay_us = 0;
    const char *rested[13];
    memcpy(rested, grid, sizeof grid);
    rested[10] = "--pause";
    rested[11] = "50ms";
    unlink(in_folder("p/samples.csv"));
    double before_s = clock_s();
    assert_told(measure(http_server_port(server), rested), 0, "wrote");
    /* The longest of four pauses of up to 200 ms is 160 in the mean; the seed says which they are. */
    assert_true(clock_s() - before_s > VISITS * CONNECTIONS * PAUSE_MS * 1e-3 / 2);
}

/* ---- what goes wrong ---- */

#define QUICK SMALL, "--samples", "30", "--budget", "10s"

static void wrong_credentials_are_told_and_nothing_is_measured(void **unused)
{
    (void)unused;
    strcpy(conduct->key, "somebody-else");
    struct run r = measure(http_server_port(server), OPTIONS(QUICK));
    assert_told(r, KV_EIO, "wrong credentials");
    assert_int_not_equal(access(in_folder("p/profile.yaml"), F_OK), 0);
}

static void a_server_that_vanishes_leaves_the_samples_and_the_same_command_goes_on(void **unused)
{
    (void)unused;
    int port = http_server_port(server);
    conduct->vanish_after = 60;
    assert_told(measure(port, OPTIONS(QUICK)), KV_EIO, "no answer from");
    int64_t kept = rows();
    assert_true(kept > 4);
    char *before = read_all(in_folder("p/samples.csv"));
    /* A break in the middle of a line, on top of it. */
    FILE *f = fopen(in_folder("p/samples.csv"), "a");
    fputs("get,4096,1,9", f);
    fclose(f);
    http_server_stop(server);
    server = http_server_start("127.0.0.1", port);
    assert_non_null(server);
    conduct = http_server_conduct(server);
    assert_told(measure(port, OPTIONS(QUICK)), 0, "wrote");
    char *after = read_all(in_folder("p/samples.csv"));
    assert_memory_equal(before, after, strlen(before));
    assert_true(rows() > kept && !strstr(after, "1,9\n"));
    assert_int_equal(profile().calibration.failed, 1);
    assert_null(strstr(after, SECRET));
    assert_null(strstr(read_all(in_folder("p/profile.yaml")), SECRET));
}

static void a_slow_server_and_a_body_cut_off_are_told_with_what_was_asked(void **unused)
{
    (void)unused;
    int port = http_server_port(server);
    conduct->delay_us = 1000000;
    assert_told(measure(port, OPTIONS(QUICK, "--timeout", "200ms")), KV_EIO, "timeout, ");
    conduct->delay_us = 0;
    conduct->cut_after = 100000;
    struct run r = measure(port, OPTIONS(QUICK));
    assert_told(r, KV_EIO, "truncated, ");
    assert_non_null(strstr(r.text, "the same command goes on"));
    assert_true(rows() >= 2);
}

static void a_server_that_asks_for_fewer_requests_is_no_failure(void **unused)
{
    (void)unused;
    int port = http_server_port(server);
    assert_told(measure(port, OPTIONS("--sizes", "4KiB,1MiB", "--connections", "1", "--ops", "get", "--samples", "9",
                                      "--budget", "5s")), 0, "wrote");
    conduct->busy_every = 10;
    assert_told(measure(port, OPTIONS("--sizes", "4KiB,1MiB", "--connections", "1,2", "--ops", "put", "--samples", "9",
                                      "--budget", "5s")), 0, "requests failed and were left out");
    assert_true(profile().calibration.failed > 0);
}

static void an_interruption_keeps_all_and_makes_a_profile_of_it(void **unused)
{
    (void)unused;
    conduct->delay_us = 2000;
    pid_t pid = start_program(http_server_port(server), OPTIONS(SMALL, "--samples", "5000", "--budget", "60s"));
    for (int tries = 0; tries < 200 && rows() < 60; tries++) nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    kill(pid, SIGINT);
    assert_told(ended(pid), KV_EINTERRUPT, "wrote");
    assert_true(rows() >= 60);
    assert_int_equal(profile().calibration.requests + profile().calibration.failed, rows());
}

static void files_are_measured_too(void **unused)
{
    (void)unused;
    mkdir(in_folder("d"), 0700);
    assert_told(measure(1, OPTIONS("--files", in_folder("d"), "--sizes", "4KiB,64KiB,1MiB", "--connections", "1,2",
                                   "--samples", "12", "--budget", "5s")), 0, "wrote");
    struct kv_store_profile p = profile();
    assert_string_equal(p.kind, "disk");
    assert_true(p.calibration.stream_bps > 0);
    assert_int_equal(rmdir(in_folder("d")), 0);     /* nothing is left in it */
}

static void what_cannot_be_meant_is_refused_at_once(void **unused)
{
    (void)unused;
    assert_told(measure(1, OPTIONS("--sizes", "4KiB,big")), KV_EUSAGE, "--sizes");
    assert_told(measure(1, OPTIONS("--connections", "0")), KV_EUSAGE, "--connections");
    assert_told(measure(1, OPTIONS("--ops", "get,post")), KV_EUSAGE, "'post'");
    assert_told(measure(1, OPTIONS("--bugdet", "3s")), KV_EUSAGE, "did you mean '--budget'");
    assert_told(measure(1, OPTIONS("--budget", "3")), KV_EUSAGE, "unit");
}

/* ---- the test ---- */

static int begin(void **unused)
{
    (void)unused;
    const char *root = getenv("TMPDIR"), *kvsim = getenv("KVSIM");
    snprintf(folder, sizeof folder, "%.200s/kvsim-storage-XXXXXX", root ? root : "/tmp");
    const char *path = kvsim ? kvsim : "build/release/kvsim", *slash = strrchr(path, '/');
    snprintf(program, sizeof program, "%.*s/kvsim-calib-storage", slash ? (int)(slash - path) : 1, slash ? path : ".");
    server = http_server_start("127.0.0.1", 0);
    if (!server || !mkdtemp(folder)) return -1;
    conduct = http_server_conduct(server);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    static const char *const left[] = {"p/samples.csv", "p/profile.yaml", "p/first_byte.csv",
                                       "p/range_first_byte.csv", "p/backend.csv", "p/put_ack.csv", "out"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) unlink(in_folder(left[i]));
    rmdir(in_folder("p"));
    int gone = rmdir(folder);
    http_server_stop(server);
    kv_arena_close(&arena);
    return gone;
}

static int serve(const char *address, const char *port)
{
    struct http_server *alone = http_server_start(address, atoi(port));
    if (!alone) return 1;
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "--serve")) return serve(argv[2], argv[3]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_rate_and_an_added_wait_are_found), TEST(a_profile_prices_as_it_was_measured),
        TEST(connections_neither_end_at_once_nor_follow_at_once),
        TEST(wrong_credentials_are_told_and_nothing_is_measured),
        TEST(a_server_that_vanishes_leaves_the_samples_and_the_same_command_goes_on),
        TEST(a_slow_server_and_a_body_cut_off_are_told_with_what_was_asked),
        TEST(a_server_that_asks_for_fewer_requests_is_no_failure),
        TEST(an_interruption_keeps_all_and_makes_a_profile_of_it), TEST(files_are_measured_too),
        TEST(what_cannot_be_meant_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
