/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a client asks, what it waits for, and when it computes; against a server made of sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "calib/layers/client.c"
#include "calib/layers/plan.c"

/* ---- a server: each byte takes a microsecond; it tells what was asked for and when ---- */

#define ASKED_MAX 256

struct kv_s3 { int port_slot; };
static struct asked { char object[32]; int64_t offset, bytes; double start_s, end_s; int port_slot; } asked[ASKED_MAX];
static int asked_count;
static const char *refuses;   /* an object that is not there */
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;

double kv_s3_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct kv_s3 *kv_s3_open(const struct kv_s3_server *server, struct kv_err *err)
{
    (void)err;
    struct kv_s3 *c = kv_mem_take(sizeof *c);
    c->port_slot = server->port_slot;
    return c;
}

void kv_s3_close(struct kv_s3 *c)
{
    kv_mem_give(c, sizeof *c);
}

bool kv_s3_do(struct kv_s3 *c, const struct kv_s3_request *request, struct kv_s3_answer *answer)
{
    *answer = (struct kv_s3_answer){ .start_s = kv_s3_now_s(), .bytes = request->bytes };
    answer->first_byte_s = answer->start_s;
    sleep_until(answer->start_s + (double)request->bytes * 1e-6);
    answer->end_s = kv_s3_now_s();
    pthread_mutex_lock(&asked_lock);
    struct asked *a = &asked[asked_count++];
    snprintf(a->object, sizeof a->object, "%s", request->object);
    a->offset = request->offset;
    a->bytes = request->bytes;
    a->start_s = answer->start_s;
    a->end_s = answer->end_s;
    a->port_slot = c->port_slot;
    pthread_mutex_unlock(&asked_lock);
    if (!refuses || strcmp(refuses, request->object)) return true;
    snprintf(answer->error, sizeof answer->error, "no such object");
    return false;
}

/* ---- one client, run to its end ---- */

struct ran { struct kv_arena arena; struct kv_layers_client client; struct kv_err err; bool good; };

static void run_client(struct ran *r, const struct kv_layers_spec *spec)
{
    asked_count = 0;
    kv_layers_open(&r->client, &r->arena, spec, "bucket");
    r->good = kv_layers_run(&r->client, 1, &r->arena, &r->err);
}

static void end(struct ran *r)
{
    kv_layers_close(&r->client);
    kv_arena_close(&r->arena);
    refuses = NULL;
}

/* 3 layers of 2 objects, 2000 bytes each: 4 ms a layer over one connection. */
static struct kv_layers_spec small(void)
{
    return (struct kv_layers_spec){ .key = "k", .objects = 2, .layers = 3, .slice_bytes = 2000, .connections = 1 };
}

static void layers_are_asked_for_in_order_object_by_object(void **state)
{
    (void)state;
    struct ran r = {0};
    struct kv_layers_spec spec = small();
    run_client(&r, &spec);
    assert_true(r.good);
    assert_int_equal(asked_count, 1 + 6);   /* the first is the byte that warms the connection up */
    assert_int_equal(asked[0].bytes, 1);
    for (int p = 0; p < 6; p++) {
        assert_string_equal(asked[1 + p].object, p % 2 ? "k.1" : "k.0");
        assert_int_equal(asked[1 + p].offset, p / 2 * 2000);
        assert_int_equal(asked[1 + p].bytes, 2000);
    }
    end(&r);
}

static void chunkwise_asks_for_whole_objects_and_computes_when_all_are_in(void **state)
{
    (void)state;
    struct ran r = {0};
    struct kv_layers_spec spec = small();
    spec.mode = KV_LAYERS_CHUNKWISE;
    run_client(&r, &spec);
    assert_true(r.good);
    assert_int_equal(asked_count, 1 + 2);
    assert_int_equal(asked[2].bytes, 6000);
    for (int l = 0; l < 3; l++)
        assert_true(r.client.layer[l].compute_start_s + r.client.origin_s >= asked[2].end_s);
    end(&r);
}

static void a_layer_computes_when_it_is_there_and_the_one_before_has_ended(void **state)
{
    (void)state;
    struct ran r = {0};
    struct kv_layers_spec spec = small();
    spec.compute_s = 0.006;
    run_client(&r, &spec);
    assert_true(r.good);
    const struct kv_layers_times *t = r.client.layer;
    for (int l = 0; l < 3; l++) {
        assert_true(t[l].compute_start_s >= t[l].fetch_end_s);
        assert_true(t[l].compute_end_s >= t[l].compute_start_s + 0.006);
        if (l) assert_true(t[l].compute_start_s >= t[l - 1].compute_end_s);
        if (l) assert_true(t[l].fetch_end_s >= t[l - 1].fetch_end_s);
    }
    end(&r);
}

static void with_a_look_ahead_a_layer_is_asked_for_when_compute_has_come_so_far(void **state)
{
    (void)state;
    for (int ahead = 1; ahead <= 2; ahead++) {
        struct ran r = {0};
        struct kv_layers_spec spec = small();
        spec.layers = 5;
        spec.lookahead = ahead;
        spec.compute_s = 0.02;   /* compute is slow, so every layer has to wait for it */
        run_client(&r, &spec);
        assert_true(r.good);
        for (int l = ahead; l < 5; l++)
            assert_true(r.client.layer[l].fetch_start_s >= r.client.layer[l - ahead].compute_start_s);
        end(&r);
    }
}

static void may_ask_follows_the_layers_started(void **state)
{
    (void)state;
    struct kv_layers_spec spec = small();
    assert_true(kv_layers_may_ask(&spec, 2, 0));
    spec.lookahead = 1;
    assert_true(kv_layers_may_ask(&spec, 0, 0));
    assert_false(kv_layers_may_ask(&spec, 1, 0));
    assert_true(kv_layers_may_ask(&spec, 1, 1));
    spec.lookahead = 2;
    assert_true(kv_layers_may_ask(&spec, 1, 0));
    assert_false(kv_layers_may_ask(&spec, 2, 0));
    spec.mode = KV_LAYERS_CHUNKWISE;
    assert_true(kv_layers_may_ask(&spec, 2, 0));
}

static void connections_share_a_flow_or_have_one_each(void **state)
{
    (void)state;
    for (int each = 0; each <= 1; each++) {
        struct ran r = {0};
        struct kv_layers_spec spec = small();
        spec.connections = 2;
        spec.flow = 63;
        spec.flow_each = each;
        run_client(&r, &spec);
        assert_true(r.good);
        bool other = false;
        for (int i = 0; i < asked_count; i++) {
            other = other || asked[i].port_slot != 63;
            assert_true(asked[i].port_slot == 63 || (each && asked[i].port_slot == 0));
        }
        assert_int_equal(other, each);
        end(&r);
    }
}

static void an_object_that_is_not_there_ends_the_run_with_its_name(void **state)
{
    (void)state;
    struct ran r = {0};
    struct kv_layers_spec spec = small();
    spec.lookahead = 1;
    refuses = "k.1";
    run_client(&r, &spec);
    assert_false(r.good);
    assert_string_equal(r.err.where, "k.1");
    assert_string_equal(r.err.text, "no such object");
    end(&r);
}

/* ---- plans ---- */

static bool read_plan(struct kv_arena *arena, const char *text, struct kv_layers_plan *plan, struct kv_diag *diag)
{
    char path[512];
    snprintf(path, sizeof path, "%s/kvsim-plan-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    bool good = kv_layers_plan_read(arena, path, plan, diag);
    remove(path);
    return good;
}

static void a_plan_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    struct kv_diag diag = {0};
    struct kv_layers_plan plan = {0};
    assert_true(read_plan(&arena, "bucket: kv0\nclients:\n  - {key: a, objects: 2, layers: 3, slice: 4KiB}\n"
                          "  - {key: b, objects: 1, layers: 1, slice: 1MiB, mode: chunkwise, compute: 2ms}\n",
                          &plan, &diag));
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.client[0].slice_bytes, 4096);
    assert_int_equal(plan.client[0].connections, 1);
    assert_int_equal(plan.client[0].mode, KV_LAYERS_LAYERWISE);
    assert_int_equal(plan.client[1].mode, KV_LAYERS_CHUNKWISE);
    assert_true(plan.client[1].compute_s == 0.002);
    kv_diag_close(&diag);
    kv_arena_close(&arena);
}

static void all_errors_of_a_plan_are_told_at_once(void **state)
{
    (void)state;
    struct kv_arena arena = {0};
    struct kv_diag diag = {0};
    struct kv_layers_plan plan = {0};
    assert_false(read_plan(&arena, "bucket: kv0\nclients:\n  - {key: a, objects: 0, layers: 3, slice: 4KiB}\n"
                           "  - {key: b, objects: 1, layers: 1, slice: 1MiB, lookhead: 2}\n", &plan, &diag));
    assert_int_equal(diag.errors, 2);
    const char *text = kv_diag_text(&diag, false);
    assert_non_null(strstr(text, ":3:"));
    assert_non_null(strstr(text, "did you mean 'lookahead'"));
    kv_diag_close(&diag);
    kv_arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_asked_for_in_order_object_by_object),
        cmocka_unit_test(chunkwise_asks_for_whole_objects_and_computes_when_all_are_in),
        cmocka_unit_test(a_layer_computes_when_it_is_there_and_the_one_before_has_ended),
        cmocka_unit_test(with_a_look_ahead_a_layer_is_asked_for_when_compute_has_come_so_far),
        cmocka_unit_test(may_ask_follows_the_layers_started),
        cmocka_unit_test(connections_share_a_flow_or_have_one_each),
        cmocka_unit_test(an_object_that_is_not_there_ends_the_run_with_its_name),
        cmocka_unit_test(a_plan_is_read_with_its_defaults),
        cmocka_unit_test(all_errors_of_a_plan_are_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
