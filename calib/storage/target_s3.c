/* SPDX-License-Identifier: Apache-2.0 */
/* An S3 server. Objects are kvsim-calib/BYTES-N; reads go over a few of each size, parts are taken of the largest,
 * each connection writes objects of its own. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "calib/lib/s3.h"
#include "calib/storage/storage.h"

#define MANY_BYTES (INT64_C(64) << 20)   /* of the objects of one size together, but at least one */
#define MANY 8

struct s3 {
    struct kv_s3 **connection;
    int32_t connections;
    const char *bucket;
    int64_t largest;
    struct made { int64_t bytes; int32_t count; } made[KV_STORAGE_LIST_MAX + 1];
    int32_t made_count;
    bool keep;
    char server[64];
};

static int32_t objects_of(int64_t bytes)
{
    int64_t many = MANY_BYTES / bytes;
    return many < 1 ? 1 : many > MANY ? MANY : (int32_t)many;
}

static bool prepare(void *state, int64_t bytes, struct kv_err *err)
{
    struct s3 *s = state;
    for (int32_t i = 0; i < s->made_count; i++)
        if (s->made[i].bytes == bytes) return true;
    struct made *made = &s->made[s->made_count++];
    *made = (struct made){ bytes, objects_of(bytes) };
    for (int32_t n = 0; n < made->count; n++) {
        char name[64];
        struct kv_s3_answer answer;
        snprintf(name, sizeof name, "kvsim-calib/%lld-%d", (long long)bytes, n);
        struct kv_s3_request put = { .verb = KV_S3_PUT, .bucket = s->bucket, .object = name, .bytes = bytes };
        if (!kv_s3_do(s->connection[0], &put, &answer)) return kv_fail(err, KV_EIO, name, "PUT: %s", answer.error);
    }
    return true;
}

static void request(void *state, int32_t connection, enum kv_access_op op, int64_t bytes, uint64_t number,
                    struct kv_storage_result *result)
{
    const struct s3 *s = state;
    char name[64];
    struct kv_s3_request r = { .verb = op == KV_OP_PUT ? KV_S3_PUT : KV_S3_GET, .bucket = s->bucket, .object = name,
                               .bytes = bytes, .whole = op == KV_OP_GET };
    int64_t of = op == KV_OP_RANGE ? s->largest : bytes;
    if (op == KV_OP_PUT) {
        snprintf(name, sizeof name, "kvsim-calib/%lld-w%d", (long long)bytes, connection);
    } else {
        snprintf(name, sizeof name, "kvsim-calib/%lld-%d", (long long)of,
                 (int)(number % (uint64_t)objects_of(of)));
        if (op == KV_OP_RANGE) r.offset = (int64_t)((number >> 8) % (uint64_t)(of / bytes)) * bytes;
    }
    struct kv_s3_answer a;
    kv_s3_do(s->connection[connection], &r, &a);
    *result = (struct kv_storage_result){ .start_s = a.start_s, .first_byte_s = a.first_byte_s - a.start_s,
                                          .sent_s = a.sent_s > 0 ? a.sent_s - a.start_s : 0, .end_s = a.end_s,
                                          .outcome = kv_s3_outcome_name(a.outcome) };
    if (a.first_byte_s <= 0) result->first_byte_s = 0;
    memcpy(result->error, a.error, sizeof result->error);
}

static void remove_object(struct s3 *s, const char *name)
{
    struct kv_s3_request r = { .verb = KV_S3_DELETE, .bucket = s->bucket, .object = name };
    struct kv_s3_answer answer;
    kv_s3_do(s->connection[0], &r, &answer);
}

static void close_target(void *state)
{
    struct s3 *s = state;
    char name[64];
    for (int32_t i = 0; i < s->made_count && !s->keep; i++) {
        for (int32_t n = 0; n < s->made[i].count; n++) {
            snprintf(name, sizeof name, "kvsim-calib/%lld-%d", (long long)s->made[i].bytes, n);
            remove_object(s, name);
        }
        for (int32_t n = 0; n < s->connections; n++) {
            snprintf(name, sizeof name, "kvsim-calib/%lld-w%d", (long long)s->made[i].bytes, n);
            remove_object(s, name);
        }
    }
    for (int32_t i = 0; i < s->connections; i++) kv_s3_close(s->connection[i]);
}

bool kv_storage_s3(struct kv_arena *arena, const struct kv_storage_s3_options *o, int32_t connections, int64_t largest,
                   const volatile sig_atomic_t *stop, struct kv_storage_target *target, struct kv_err *err)
{
    struct s3 *s = kv_arena_take(arena, sizeof *s);
    *s = (struct s3){ .bucket = o->bucket, .largest = largest, .keep = o->keep,
                      .connection = kv_arena_take(arena, (size_t)connections * sizeof *s->connection) };
    const char *library = curl_version();
    *target = (struct kv_storage_target){ s, prepare, request, close_target, s->server,
        kv_arena_text(arena, "GET and PUT over kept connections in closed loop, %s, signed requests, %.*s",
                      strncmp(o->endpoint ? o->endpoint : "", "https", 5) ? "http" : "https",
                      (int)strcspn(library, " "), library) };
    struct kv_s3_answer answer;
    for (int32_t i = 0; i < connections; i++) {
        struct kv_s3_server server = { .endpoint = o->endpoint, .key = o->key, .secret = o->secret, .region = o->region,
                                       .request_s = o->timeout_s, .stop = stop, .port_slot = -1 };
        if (o->port_slot >= 0) server.port_slot = (int)((o->port_slot + i) % 64);
        s->connection[i] = kv_s3_open(&server, err);
        if (!s->connection[i]) return false;
        s->connections = i + 1;
    }
    if (!kv_s3_make_bucket(s->connection[0], s->bucket, &answer))
        return kv_fail(err, KV_EIO, s->bucket, "%s", answer.error);
    memcpy(s->server, answer.server, sizeof s->server);
    return true;
}
