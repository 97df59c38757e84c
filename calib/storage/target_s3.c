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
#define READ_NAME "kvsim-calib/%lld-%d"
#define WRITE_NAME "kvsim-calib/%lld-w%d"

struct s3 {
    struct kv_s3 **connection;
    int32_t connections;
    const char *bucket;
    const struct kv_storage_grid *grid;
    int64_t made[KV_STORAGE_LIST_MAX];   /* sizes of which there are objects to read */
    int32_t made_count;
    bool keep;
    bool server_known;
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
        if (s->made[i] == bytes) return true;
    for (int32_t n = 0; n < objects_of(bytes); n++) {
        char name[64];
        struct kv_s3_answer answer;
        snprintf(name, sizeof name, READ_NAME, (long long)bytes, n);
        struct kv_s3_request put = { .verb = KV_S3_PUT, .bucket = s->bucket, .object = name, .bytes = bytes };
        if (!kv_s3_do(s->connection[0], &put, &answer)) return kv_fail(err, KV_EIO, name, "PUT: %s", answer.error);
    }
    s->made[s->made_count++] = bytes;
    return true;
}

static void request(void *state, int32_t connection, const struct kv_storage_ask *ask, struct kv_storage_result *result)
{
    const struct s3 *s = state;
    char name[64];
    bool put = ask->op == KV_OP_PUT, ranged = ask->op == KV_OP_RANGE;
    struct kv_s3_request r = { .verb = put ? KV_S3_PUT : KV_S3_GET, .bucket = s->bucket, .object = name,
                               .bytes = ask->part_bytes, .whole = !ranged && ask->part_bytes == ask->bytes };
    int64_t of = ranged ? kv_storage_largest(s->grid) : ask->bytes;
    if (put) {
        snprintf(name, sizeof name, WRITE_NAME, (long long)of, connection);
    } else {
        snprintf(name, sizeof name, READ_NAME, (long long)of, (int)(ask->number % (uint64_t)objects_of(of)));
        if (ranged) r.offset = (int64_t)((ask->number >> 8) % (uint64_t)(of / ask->bytes)) * ask->bytes;
    }
    struct kv_s3_answer a;
    kv_s3_do(s->connection[connection], &r, &a);
    *result = (struct kv_storage_result){ .start_s = a.start_s, .first_byte_s = a.first_byte_s - a.start_s,
                                          .sent_s = a.sent_s > 0 ? a.sent_s - a.start_s : 0, .end_s = a.end_s,
                                          .outcome = kv_s3_outcome_name(a.outcome) };
    if (a.first_byte_s <= 0) result->first_byte_s = 0;
    memcpy(result->error, a.error, sizeof result->error);
}

/* False once the server does not answer: then it is not asked again. */
static bool remove_object(struct s3 *s, bool written, int64_t bytes, int32_t n)
{
    char name[64];
    struct kv_s3_answer answer;
    struct kv_s3_request r = { .verb = KV_S3_DELETE, .bucket = s->bucket, .object = name };
    if (written) snprintf(name, sizeof name, WRITE_NAME, (long long)bytes, n);
    else snprintf(name, sizeof name, READ_NAME, (long long)bytes, n);
    return kv_s3_do(s->connection[0], &r, &answer) || answer.outcome == KV_S3_MISSING;
}

static void close_target(void *state)
{
    struct s3 *s = state;
    const struct kv_storage_grid *g = s->grid;
    bool more = !s->keep && s->connections > 0 && s->server_known;
    for (int32_t i = 0; i < s->made_count; i++)
        for (int32_t n = 0; more && n < objects_of(s->made[i]); n++)
            more = remove_object(s, false, s->made[i], n);
    for (int32_t i = 0; g->puts && i < g->size_count; i++)
        for (int32_t n = 0; more && n < s->connections; n++) more = remove_object(s, true, g->bytes[i], n);
    for (int32_t i = 0; i < s->connections; i++) kv_s3_close(s->connection[i]);
}

bool kv_storage_s3(struct kv_arena *arena, const struct kv_storage_s3_options *o, const struct kv_storage_grid *grid,
                   const volatile sig_atomic_t *stop, struct kv_storage_target *target, struct kv_err *err)
{
    struct s3 *s = kv_arena_take(arena, sizeof *s);
    int32_t connections = kv_storage_widest(grid);
    *s = (struct s3){ .bucket = o->bucket, .grid = grid, .keep = o->keep,
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
    s->server_known = true;
    memcpy(s->server, answer.server, sizeof s->server);
    return true;
}
