/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "calib/storage/storage.h"
#include "sim/base/rng.h"

struct shared {
    struct kv_storage_visit *visit;
    pthread_barrier_t start;
    atomic_int begun, ended;       /* of the requests that are taken */
    atomic_bool failed;
};
struct worker { struct shared *shared; int32_t connection; pthread_t thread; double first_s, last_s; };

static bool over(const struct shared *s)
{
    const struct kv_storage_visit *v = s->visit;
    return *v->stop || atomic_load(&s->failed) || atomic_load(&s->ended) >= v->wanted;
}

/* Of the first request of a connection: the parts of all rise evenly up to the whole. */
static int64_t first_part(const struct kv_storage_cell *cell, int32_t connection)
{
    int64_t part = cell->bytes * (connection + 1) / cell->connections;
    return part > 0 ? part : 1;
}

/* A part of `most_s`, drawn evenly. */
static void rest(double most_s, uint64_t drawn)
{
    double s = most_s * ldexp((double)(drawn >> 11), -53);
    struct timespec t = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - floor(s)) * 1e9) };
    nanosleep(&t, NULL);
}

static void *work(void *context)
{
    struct worker *w = context;
    struct shared *s = w->shared;
    const struct kv_storage_visit *v = s->visit;
    const struct kv_storage_target *t = v->target;
    struct kv_storage_result spare;
    pthread_barrier_wait(&s->start);
    for (uint64_t n = 0; !over(s); n++) {
        int32_t place = n ? atomic_fetch_add(&s->begun, 1) : v->room;
        bool taken = place < v->wanted;
        struct kv_storage_result *r = taken ? &v->result[place] : &spare;
        struct kv_storage_ask ask = { .op = v->cell->op, .bytes = v->cell->bytes, .part_bytes = v->cell->bytes,
            .number = kv_mix64_pair(v->seed, n * KV_STORAGE_CONNECTIONS_MAX + (uint64_t)w->connection) };
        if (!n) ask.part_bytes = first_part(v->cell, w->connection);
        else if (v->pause_s > 0) rest(v->pause_s * v->cell->connections, kv_mix64(ask.number));
        t->request(t->state, w->connection, &ask, r);
        bool good = !strcmp(r->outcome, "ok"), busy = !strcmp(r->outcome, "busy");
        /* Why it failed is worth a place of its own, behind those that were wanted. */
        if (!good && !busy && !atomic_exchange(&s->failed, true) && !taken) v->result[v->wanted] = *r;
        if (!taken) continue;
        if (w->first_s <= 0) w->first_s = r->start_s;
        w->last_s = r->end_s;
        atomic_fetch_add(&s->ended, 1);
    }
    return NULL;
}

void kv_storage_visit(struct kv_storage_visit *v)
{
    static struct worker worker[KV_STORAGE_CONNECTIONS_MAX];
    struct shared shared = { .visit = v };
    int32_t count = v->cell->connections;
    memset(v->result, 0, (size_t)v->room * sizeof *v->result);
    pthread_barrier_init(&shared.start, NULL, (unsigned)count);
    for (int32_t i = 0; i < count; i++) {
        worker[i] = (struct worker){ .shared = &shared, .connection = i };
        pthread_create(&worker[i].thread, NULL, work, &worker[i]);
    }
    double first_s = 0, last_s = 0;
    for (int32_t i = 0; i < count; i++) {
        pthread_join(worker[i].thread, NULL);
        if (worker[i].first_s > 0 && (first_s <= 0 || worker[i].first_s < first_s)) first_s = worker[i].first_s;
        if (worker[i].last_s > last_s) last_s = worker[i].last_s;
    }
    pthread_barrier_destroy(&shared.start);
    v->elapsed_s = last_s - first_s;
    /* Those that were begun and ended, in order; the reason of a failure last. */
    v->taken = 0;
    for (int32_t i = 0; i < v->room; i++)
        if (v->result[i].outcome) v->result[v->taken++] = v->result[i];
}
