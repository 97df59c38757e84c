/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/storage/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "calib/lib/mend.h"
#include "calib/lib/s3.h"

#define VISIT_S 0.1            /* what a visit is meant to take: short, so that rounds mix good and bad moments */
#define VISIT_LEAST 4
#define ROUNDS_LEAST 10        /* in which the samples of a cell are taken */
#define BUDGET_SHARE 6.0       /* a visit that takes more than this part of the time is left out */

/* ---- samples.csv ---- */

static bool begin(const char *path, struct kv_err *err)
{
    FILE *f = fopen(path, "w");
    bool good = f && fprintf(f, KV_ACCESS_SAMPLES_HEADER "\n") > 0;
    if (f && fclose(f) != 0) good = false;
    return good || kv_fail(err, KV_EIO, path, "cannot write it: %s", strerror(errno));
}

static bool has_rows(const char *path)
{
    FILE *f = fopen(path, "r");
    int lines = 0;
    for (int c; f && lines < 2 && (c = getc(f)) != EOF;) lines += c == '\n';
    if (f) fclose(f);
    return lines > 1;
}

bool kv_storage_resume(struct kv_storage_session *s, struct kv_err *err)
{
    struct kv_access_samples before;
    if (access(s->path, F_OK) != 0) return begin(s->path, err);
    if (!kv_calib_mend(s->path, err)) return false;
    if (!has_rows(s->path)) return begin(s->path, err);
    if (!kv_access_samples_read(s->arena, s->path, &before, err)) return false;
    s->rounds = before.rounds;
    for (size_t i = 0; i < before.count; i++) {
        for (int32_t c = 0; c < s->cell_count; c++) {
            struct kv_storage_cell *cell = &s->cell[c];
            const struct kv_access_sample *one = &before.at[i];
            cell->taken += one->op == cell->op && one->bytes == cell->bytes && one->connections == cell->connections;
        }
    }
    return true;
}

static bool append(const struct kv_storage_session *s, const struct kv_storage_visit *visit, struct kv_err *err)
{
    const struct kv_storage_cell *c = visit->cell;
    FILE *f = fopen(s->path, "a");
    bool good = f != NULL;
    for (int32_t i = 0; good && i < visit->taken; i++) {
        const struct kv_storage_result *r = &visit->result[i];
        good = fprintf(f, "%s,%lld,%d,%d,%.1f,%.1f,%.1f,%s\n", kv_access_op_name(c->op), (long long)c->bytes,
                       c->connections, s->rounds, r->first_byte_s * 1e6, r->sent_s * 1e6,
                       (r->end_s - r->start_s) * 1e6, r->outcome) > 0;
    }
    if (f && fclose(f) != 0) good = false;
    return good || kv_fail(err, KV_EIO, s->path, "cannot write it: %s", strerror(errno));
}

/* ---- rounds ---- */

/* Requests of the next visit: as many as the last one says will take VISIT_S, and no more than a round's part. */
static int32_t visit_requests(const struct kv_storage_session *s, const struct kv_storage_cell *cell, double per_s)
{
    int32_t most = s->samples_wanted / ROUNDS_LEAST, least = cell->connections, n;
    if (least < VISIT_LEAST) least = VISIT_LEAST;
    n = per_s > 0 ? (int32_t)(per_s * VISIT_S) : least;
    if (n > most) n = most;
    return n < least ? least : n;
}

/* A visit, its samples, and what it says of the cell. */
static bool visit(struct kv_storage_session *s, struct kv_storage_cell *cell, double *per_s,
                  struct kv_storage_result *room, int32_t room_count, struct kv_err *err)
{
    struct kv_storage_visit v = {
        .target = s->target, .cell = cell, .seed = s->seed + (uint64_t)s->rounds, .pause_s = s->pause_s,
        .stop = s->stop,
        .wanted = visit_requests(s, cell, *per_s), .room = room_count, .result = room,
    };
    if (v.wanted > room_count - 1) v.wanted = room_count - 1;
    kv_storage_visit(&v);
    bool good = append(s, &v, err);
    int32_t done = 0;
    for (int32_t i = 0; i < v.taken; i++) {
        const struct kv_storage_result *r = &v.result[i];
        if (!strcmp(r->outcome, "ok")) done++;
        else if (good && strcmp(r->outcome, "busy") != 0 && strcmp(r->outcome, "stopped") != 0)
            good = kv_fail(err, KV_EIO, kv_access_op_name(cell->op), "%s, %lld bytes, %d at a time: %s", r->outcome,
                           (long long)cell->bytes, cell->connections, r->error);
    }
    cell->taken += done;
    if (done && v.elapsed_s > 0) {
        *per_s = done / v.elapsed_s;
        double Bps = *per_s * (double)cell->bytes;
        if (Bps > s->best_Bps[cell->op]) s->best_Bps[cell->op] = Bps;
    }
    return good;
}

static void tell(const struct kv_storage_session *s, const struct kv_storage_cell *cell, double left_s)
{
    if (!s->say) return;
    char line[160];
    snprintf(line, sizeof line, "round %d, %.0f s left: %s of %lld bytes, %d at a time", s->rounds,
             left_s > 0 ? left_s : 0, kv_access_op_name(cell->op), (long long)cell->bytes, cell->connections);
    s->say(line);
}

bool kv_storage_measure(struct kv_storage_session *s, struct kv_err *err)
{
    double end_s = kv_s3_now_s() + s->budget_s;
    int32_t room = s->samples_wanted + KV_STORAGE_CONNECTIONS_MAX + 1;
    struct kv_storage_result *result = kv_arena_take(s->arena, (size_t)room * sizeof *result);
    double *per_s = kv_arena_take(s->arena, (size_t)s->cell_count * sizeof *per_s);
    for (bool more = true; more && !*s->stop;) {
        more = false;
        s->rounds++;
        for (int32_t i = 0; i < s->cell_count && !*s->stop; i++) {
            struct kv_storage_cell *cell = &s->cell[i];
            double left_s = end_s - kv_s3_now_s(), once = (double)cell->bytes * cell->connections;
            if (cell->taken >= s->samples_wanted || cell->left_out) continue;
            /* Warm-up, what is taken, and what keeps it company. */
            double best_Bps = s->best_Bps[cell->op], visit_s = best_Bps > 0 ? 3 * once / best_Bps : 0;
            if (visit_s > s->budget_s / BUDGET_SHARE) {
                cell->left_out = true;
                continue;
            }
            if (left_s <= 0 || visit_s > left_s) {
                s->timed_out = true;
                continue;
            }
            more = true;
            tell(s, cell, left_s);
            /* Objects that reads need are made when they are first needed. */
            if (cell->op != KV_OP_PUT && !per_s[i] && !s->target->prepare(s->target->state, cell->bytes, err))
                return *s->stop != 0;
            if (!visit(s, cell, &per_s[i], result, room, err)) return false;
        }
        if (kv_s3_now_s() >= end_s) break;
    }
    return true;
}
