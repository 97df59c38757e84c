/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/layers/client.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "calib/lib/s3.h"

#define KEY_BYTES 256
#define FLOWS 64
#define WARM_UP_S 0.2   /* from the last connection being warm to the start: everybody is then at the barrier */

/* ---- what is asked for, in which order ---- */

int64_t kv_layers_pieces(const struct kv_layers_spec *spec)
{
    return spec->mode == KV_LAYERS_CHUNKWISE ? spec->objects : spec->objects * spec->layers;
}

struct kv_layers_piece kv_layers_piece_at(const struct kv_layers_spec *spec, int64_t p)
{
    if (spec->mode == KV_LAYERS_CHUNKWISE)
        return (struct kv_layers_piece){ p, 0, 0, spec->layers * spec->slice_bytes };
    int64_t layer = p / spec->objects;
    return (struct kv_layers_piece){ p % spec->objects, layer, layer * spec->slice_bytes, spec->slice_bytes };
}

bool kv_layers_may_ask(const struct kv_layers_spec *spec, int64_t layer, int64_t started)
{
    return spec->lookahead == 0 || spec->mode == KV_LAYERS_CHUNKWISE || layer < spec->lookahead + started;
}

/* ---- one client ---- */

void kv_layers_open(struct kv_layers_client *c, struct kv_arena *arena, const struct kv_layers_spec *spec,
                    const char *bucket)
{
    size_t layers = (size_t)spec->layers;
    *c = (struct kv_layers_client){ .spec = spec, .bucket = bucket,
        .layer = kv_arena_take(arena, layers * sizeof *c->layer),
        .left = kv_arena_take(arena, layers * sizeof *c->left) };
    for (int64_t p = 0; p < kv_layers_pieces(spec); p++) c->left[kv_layers_piece_at(spec, p).layer]++;
    for (size_t l = 0; l < layers; l++) c->layer[l].fetch_start_s = c->layer[l].first_byte_s = INFINITY;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
}

void kv_layers_close(struct kv_layers_client *c)
{
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
}

static void sleep_until(double when_s)
{
    struct timespec t = { .tv_sec = (time_t)when_s, .tv_nsec = (long)((when_s - floor(when_s)) * 1e9) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static void give_up(struct kv_layers_client *c, const char *key, const char *what)
{
    pthread_mutex_lock(&c->lock);
    if (!c->failed) kv_fail(&c->err, KV_EIO, key, "%s", what);
    c->failed = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* The next piece, once it may be asked for. False when there are none left or something failed. */
static bool take_piece(struct kv_layers_client *c, struct kv_layers_piece *piece)
{
    bool more = false;
    pthread_mutex_lock(&c->lock);
    while (!c->failed && c->next_piece < kv_layers_pieces(c->spec)) {
        *piece = kv_layers_piece_at(c->spec, c->next_piece);
        if ((more = kv_layers_may_ask(c->spec, piece->layer, c->started))) break;
        pthread_cond_wait(&c->changed, &c->lock);
    }
    if (more) c->next_piece++;
    pthread_mutex_unlock(&c->lock);
    return more;
}

static void arrive(struct kv_layers_client *c, const struct kv_layers_piece *piece, const struct kv_s3_answer *a)
{
    struct kv_layers_times *t = &c->layer[piece->layer];
    pthread_mutex_lock(&c->lock);
    t->fetch_start_s = fmin(t->fetch_start_s, a->start_s - c->origin_s);
    t->first_byte_s = fmin(t->first_byte_s, a->first_byte_s - c->origin_s);
    c->left[piece->layer]--;
    int64_t before = c->arrived;
    while (c->arrived < c->spec->layers && c->left[c->arrived] == 0)
        c->layer[c->arrived++].fetch_end_s = a->end_s - c->origin_s;
    if (c->arrived != before) pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

struct connection { struct kv_layers_client *client; struct kv_s3 *s3; pthread_t thread; };

static bool get(struct connection *n, const struct kv_layers_piece *piece, int64_t bytes, struct kv_s3_answer *answer)
{
    struct kv_layers_client *c = n->client;
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s.%lld", c->spec->key, (long long)piece->object);
    struct kv_s3_request request = { .verb = KV_S3_GET, .bucket = c->bucket, .object = key,
                                     .offset = piece->from_byte, .bytes = bytes };
    if (kv_s3_do(n->s3, &request, answer)) return true;
    give_up(c, key, answer->error);
    return false;
}

/* A first byte before the start: a serving engine's connections are open, and its server knows the user. */
static bool warm_up(struct connection *n)
{
    struct kv_s3_answer answer;
    struct kv_layers_piece first = kv_layers_piece_at(n->client->spec, 0);
    bool good = get(n, &first, 1, &answer);
    pthread_mutex_lock(&n->client->lock);
    n->client->warm++;
    pthread_cond_broadcast(&n->client->changed);
    while (n->client->origin_s == 0) pthread_cond_wait(&n->client->changed, &n->client->lock);
    pthread_mutex_unlock(&n->client->lock);
    return good;
}

static void *connection_runs(void *context)
{
    struct connection *n = context;
    struct kv_layers_client *c = n->client;
    if (!warm_up(n)) return NULL;
    sleep_until(c->origin_s + c->spec->start_s);
    struct kv_layers_piece piece;
    struct kv_s3_answer answer;
    while (take_piece(c, &piece)) {
        if (!get(n, &piece, piece.bytes, &answer)) break;
        arrive(c, &piece, &answer);
    }
    return NULL;
}

/* The consumer. What it waits for is there when it starts; it holds a layer asleep, so that many fit on a processor. */
static void *consumer_runs(void *context)
{
    struct kv_layers_client *c = context;
    pthread_mutex_lock(&c->lock);
    while (c->origin_s == 0) pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    sleep_until(c->origin_s + c->spec->start_s);
    c->start_s = kv_s3_now_s() - c->origin_s;
    for (int64_t l = 0; l < c->spec->layers; l++) {
        pthread_mutex_lock(&c->lock);
        while (!c->failed && c->arrived <= l) pthread_cond_wait(&c->changed, &c->lock);
        bool failed = c->failed;
        c->layer[l].compute_start_s = kv_s3_now_s() - c->origin_s;
        c->started = l + 1;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        if (failed) return NULL;
        sleep_until(c->origin_s + c->layer[l].compute_start_s + c->spec->compute_s);
        c->layer[l].compute_end_s = kv_s3_now_s() - c->origin_s;
    }
    return NULL;
}

/* ---- all of them ---- */

static bool open_connections(struct kv_layers_client *client, int32_t count, struct connection *n, struct kv_err *err)
{
    for (int32_t i = 0; i < count; i++)
        for (int64_t k = 0; k < client[i].spec->connections; k++, n++) {
            int64_t flow = client[i].spec->flow + (client[i].spec->flow_each ? k : 0);
            struct kv_s3_server server = { .endpoint = getenv("S3_ENDPOINT"), .key = getenv("S3_KEY"),
                .secret = getenv("S3_SECRET"), .port_slot = (int)(flow % FLOWS) };
            n->client = &client[i];
            if (!(n->s3 = kv_s3_open(&server, err))) return false;
        }
    return true;
}

/* Waits until every connection of every client is warm, and gives all of them one origin. */
static void give_start(struct kv_layers_client *client, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        pthread_mutex_lock(&client[i].lock);
        while (client[i].warm < client[i].spec->connections) pthread_cond_wait(&client[i].changed, &client[i].lock);
        pthread_mutex_unlock(&client[i].lock);
    }
    double origin_s = kv_s3_now_s() + WARM_UP_S;
    for (int32_t i = 0; i < count; i++) {
        pthread_mutex_lock(&client[i].lock);
        client[i].origin_s = origin_s;
        pthread_cond_broadcast(&client[i].changed);
        pthread_mutex_unlock(&client[i].lock);
    }
}

bool kv_layers_run(struct kv_layers_client *client, int32_t count, struct kv_arena *arena, struct kv_err *err)
{
    int64_t total = 0;
    for (int32_t i = 0; i < count; i++) total += client[i].spec->connections;
    struct connection *n = kv_arena_take(arena, (size_t)total * sizeof *n);
    pthread_t *consumer = kv_arena_take(arena, (size_t)count * sizeof *consumer);
    bool good = open_connections(client, count, n, err);
    int64_t running = 0, consumers = 0;
    if (good) {
        for (; running < total && good; running += good)
            good = pthread_create(&n[running].thread, NULL, connection_runs, &n[running]) == 0;
        for (; consumers < count && good; consumers += good)
            good = pthread_create(&consumer[consumers], NULL, consumer_runs, &client[consumers]) == 0;
        /* Threads that do run wait for those that do not. */
        if (!good) return kv_fail(err, KV_EIO, "threads", "no more than %lld could be started", (long long)running);
        give_start(client, count);
    }
    for (int64_t i = 0; i < running; i++) pthread_join(n[i].thread, NULL);
    for (int64_t i = 0; i < consumers; i++) pthread_join(consumer[i], NULL);
    for (int64_t i = 0; i < total; i++)
        if (n[i].s3) kv_s3_close(n[i].s3);
    for (int32_t i = 0; i < count && good; i++)
        if (client[i].failed) {
            *err = client[i].err;
            good = false;
        }
    return good;
}
