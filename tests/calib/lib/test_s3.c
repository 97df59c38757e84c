/* SPDX-License-Identifier: Apache-2.0 */
/* The client of S3 against a small server of this process: what it gets, when, and what it says when all goes wrong.
 * That its signatures are right, only a real server can tell: tests/calib/storage/test_rgw.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "calib/lib/s3.h"
#include "tests/support/http_server.h"

#define MiB (1 << 20)

static struct http_server *server;
static struct http_conduct *conduct;
static struct kv_s3 *client;
static char endpoint[64];
static volatile sig_atomic_t stop;

static struct kv_s3 *open_client(double request_s, int slot)
{
    struct kv_s3_server s = { .endpoint = endpoint, .key = "me", .secret = "hush", .request_s = request_s,
                              .port_slot = slot, .stop = &stop };
    struct kv_err err = {0};
    struct kv_s3 *c = kv_s3_open(&s, &err);
    if (!c) fail_msg("%s: %s", err.where, err.text);
    return c;
}

static int start(void **unused)
{
    (void)unused;
    stop = 0;
    server = http_server_start("127.0.0.1", 0);
    if (!server) return -1;
    conduct = http_server_conduct(server);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", http_server_port(server));
    client = open_client(20, -1);
    struct kv_s3_answer a;
    struct kv_s3_request put = { .verb = KV_S3_PUT, .bucket = "kv", .object = "dir/one", .bytes = 3 * MiB };
    return kv_s3_make_bucket(client, "kv", &a) && kv_s3_do(client, &put, &a) ? 0 : -1;
}

static int end(void **unused)
{
    (void)unused;
    kv_s3_close(client);
    http_server_stop(server);
    return 0;
}

static const struct kv_s3_request whole = { .verb = KV_S3_GET, .bucket = "kv", .object = "dir/one", .whole = true };

static struct kv_s3_answer fails(struct kv_s3 *c, const struct kv_s3_request *r, enum kv_s3_outcome outcome,
                                 const char *text)
{
    struct kv_s3_answer a;
    assert_false(kv_s3_do(c, r, &a));
    if (a.outcome != outcome || !strstr(a.error, text))
        fail_msg("%s '%s', expected %s '%s'", kv_s3_outcome_name(a.outcome), a.error, kv_s3_outcome_name(outcome),
                 text);
    if (strstr(a.error, "hush")) fail_msg("the secret is in '%s'", a.error);
    assert_true(a.end_s >= a.start_s);
    return a;
}

struct seen { int64_t bytes; double last_s; bool wrong; };
static void look(void *context, const void *piece, int64_t length, int64_t offset, double now_s)
{
    struct seen *seen = context;
    for (int64_t i = 0; i < length; i++)
        if (((const unsigned char *)piece)[i] != (1000 + offset + i) % 251) seen->wrong = true;
    if (offset != seen->bytes || now_s < seen->last_s) seen->wrong = true;
    seen->bytes += length;
    seen->last_s = now_s;
}

static void a_range_is_exactly_what_was_asked_for_piece_by_piece(void **unused)
{
    (void)unused;
    struct seen seen = {0};
    struct kv_s3_request r = { .verb = KV_S3_GET, .bucket = "kv", .object = "dir/one", .offset = 1000, .bytes = MiB + 7,
                               .take = look, .context = &seen };
    struct kv_s3_answer a;
    assert_true(kv_s3_do(client, &r, &a));
    assert_int_equal(a.status, 206);
    assert_int_equal(a.bytes, MiB + 7);
    assert_false(seen.wrong);
    assert_string_equal(a.server, "small");
    assert_string_equal(a.error, "");
}

static void times_are_those_of_the_answer(void **unused)
{
    (void)unused;
    struct kv_s3_answer a;
    conduct->delay_us = 30000;
    conduct->rate_Bps = 30 * MiB;
    assert_true(kv_s3_do(client, &whole, &a));
    double first_s = a.first_byte_s - a.start_s, total_s = a.end_s - a.start_s;
    assert_true(first_s >= 0.030 && total_s >= 0.120 && total_s < 5);
    assert_true(total_s - first_s > 0.07);     /* 3 MiB at 30 MiB/s, less what lay in the first piece */
    assert_true(a.connect_s == 0);
    assert_int_equal(a.bytes, 3 * MiB);
}

static void a_connection_is_kept_and_its_port_tells_its_slot(void **unused)
{
    (void)unused;
    int before = conduct->connections;
    struct kv_s3_answer a;
    for (int i = 0; i < 5; i++) assert_true(kv_s3_do(client, &whole, &a));
    assert_int_equal(conduct->connections, before);
    /* Two of the same slot live side by side, at different ports. */
    struct kv_s3 *one = open_client(20, 5), *two = open_client(20, 5);
    assert_true(kv_s3_do(one, &whole, &a) && a.connect_s > 0);
    assert_true(kv_s3_do(two, &whole, &a));
    assert_int_equal(conduct->connections, before + 2);
    kv_s3_close(one);
    kv_s3_close(two);
}

static void what_was_put_is_there_and_can_go(void **unused)
{
    (void)unused;
    struct kv_s3_request put = { .verb = KV_S3_PUT, .bucket = "kv", .object = "two", .bytes = 5 * MiB },
                         head = { .verb = KV_S3_HEAD, .bucket = "kv", .object = "two" },
                         gone = { .verb = KV_S3_DELETE, .bucket = "kv", .object = "two" };
    struct kv_s3_answer a;
    assert_true(kv_s3_do(client, &put, &a));
    assert_int_equal(a.bytes, 5 * MiB);
    assert_true(a.sent_s >= a.start_s && a.sent_s <= a.end_s);
    assert_true(kv_s3_do(client, &head, &a));
    assert_int_equal(a.object_bytes, 5 * MiB);
    assert_true(kv_s3_do(client, &gone, &a));
    fails(client, &head, KV_S3_MISSING, "404");
}

static void wrong_answers_are_told_apart(void **unused)
{
    (void)unused;
    const struct { int status; enum kv_s3_outcome outcome; const char *text; } cases[] = {
        {403, KV_S3_DENIED, "wrong credentials"}, {401, KV_S3_DENIED, "wrong credentials"},
        {503, KV_S3_BUSY, "SlowDown"}, {429, KV_S3_BUSY, "fewer requests"}, {404, KV_S3_MISSING, "NoSuchKey"},
        {500, KV_S3_REFUSED, "HTTP 500"}, {403, KV_S3_DENIED, "as the test wants it"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conduct->status = cases[i].status;
        assert_int_equal(fails(client, &whole, cases[i].outcome, cases[i].text).status, cases[i].status);
    }
    conduct->status = 0;
    strcpy(conduct->key, "you");
    fails(client, &whole, KV_S3_DENIED, "SignatureDoesNotMatch");
    strcpy(conduct->key, "me");
    struct kv_s3_answer a;
    assert_true(kv_s3_do(client, &whole, &a));    /* and the connection is good for the next */
    conduct->no_range = 1;
    struct kv_s3_request part = { .verb = KV_S3_GET, .bucket = "kv", .object = "dir/one", .bytes = 10 };
    fails(client, &part, KV_S3_REFUSED, "whole object");
    struct kv_s3_request odd = { .verb = KV_S3_GET, .bucket = "kv", .object = "a b", .whole = true };
    fails(client, &odd, KV_S3_REFUSED, "no name");
}

static void a_body_that_ends_early_is_told(void **unused)
{
    (void)unused;
    conduct->cut_after = MiB;
    assert_int_equal(fails(client, &whole, KV_S3_TRUNCATED, "ended after 1048576 bytes").bytes, MiB);
    conduct->cut_after = 0;
    struct kv_s3_request more = whole;
    more.bytes = 4 * MiB;
    fails(client, &more, KV_S3_TRUNCATED, "3145728 bytes where 4194304");
}

static void a_slow_server_ends_in_a_time_out(void **unused)
{
    (void)unused;
    struct kv_s3 *hasty = open_client(0.2, -1);
    conduct->delay_us = 2000000;
    struct kv_s3_answer a = fails(hasty, &whole, KV_S3_TIMEOUT, "not done after 0.2");
    assert_true(a.end_s - a.start_s < 1.5);
    kv_s3_close(hasty);
}

static void a_server_that_goes_away_is_told(void **unused)
{
    (void)unused;
    conduct->vanish_after = conduct->requests + 1;
    struct kv_s3_answer a;
    assert_true(kv_s3_do(client, &whole, &a));
    fails(client, &whole, KV_S3_VANISHED, "no answer from http://127.0.0.1");
    fails(client, &whole, KV_S3_VANISHED, "no answer from http://127.0.0.1");
}

static void a_request_under_way_can_be_stopped(void **unused)
{
    (void)unused;
    stop = 1;
    fails(client, &whole, KV_S3_STOPPED, "stopped");
}

static void what_is_no_server_is_refused_at_once(void **unused)
{
    (void)unused;
    const char *wrong[] = {NULL, "", "localhost:7480", "ftp://x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct kv_s3_server s = { .endpoint = wrong[i], .port_slot = -1 };
        struct kv_err err = {0};
        assert_null(kv_s3_open(&s, &err));
        assert_int_equal(err.code, KV_EUSAGE);
    }
    struct kv_s3_server s = { .endpoint = "http://x", .port_slot = 64 };
    assert_null(kv_s3_open(&s, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        TEST(a_range_is_exactly_what_was_asked_for_piece_by_piece), TEST(times_are_those_of_the_answer),
        TEST(a_connection_is_kept_and_its_port_tells_its_slot), TEST(what_was_put_is_there_and_can_go),
        TEST(wrong_answers_are_told_apart), TEST(a_body_that_ends_early_is_told),
        TEST(a_slow_server_ends_in_a_time_out), TEST(a_server_that_goes_away_is_told),
        TEST(a_request_under_way_can_be_stopped), TEST(what_is_no_server_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
