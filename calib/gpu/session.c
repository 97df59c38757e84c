/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/gpu/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calib/lib/mend.h"

/* ---- visits.csv ---- */

static bool begin(const char *path, struct kv_err *err)
{
    FILE *f = fopen(path, "w");
    bool good = f && kv_gpu_visits_header(f);
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

static int by_key(const void *a, const void *b)
{
    return kv_gpu_point_order(*(struct kv_gpu_point *const *)a, *(struct kv_gpu_point *const *)b);
}

bool kv_gpu_session_resume(struct kv_gpu_session *s, struct kv_err *err)
{
    if (access(s->path, F_OK) != 0) return begin(s->path, err);
    if (!kv_calib_mend(s->path, err)) return false;
    if (!has_rows(s->path)) return begin(s->path, err);
    if (!kv_gpu_visits_read(s->arena, s->path, &s->visits, err)) return false;
    struct kv_gpu_point **sorted = kv_arena_take(s->arena, (size_t)(s->count + 1) * sizeof *sorted);
    for (int32_t i = 0; i < s->count; i++) sorted[i] = &s->point[i];
    qsort(sorted, (size_t)s->count, sizeof *sorted, by_key);
    for (size_t i = 0; i < s->visits.at.count; i++) {
        const struct kv_gpu_point *key = &s->visits.at.at[i].point;
        struct kv_gpu_point **found = bsearch(&key, sorted, (size_t)s->count, sizeof *sorted, by_key);
        if (found) (*found)->visits++;
    }
    return true;
}

/* ---- rounds ---- */

/* Warm-up and batches are some twenty times the point's work, and the rest is small; a device that is slow today makes
 * 10 TFLOP/s, a copy 4 GB/s. */
double kv_gpu_visit_most_s(const struct kv_gpu_point *p)
{
    double bytes, flops;
    kv_gpu_point_work(p, &bytes, &flops);
    double Bps = p->op == KV_GPU_COPY || p->op == KV_GPU_REDUCE ? 4e9 : 200e9;
    return 0.002 + 20 * (bytes / Bps + flops / 10e12);
}

/* Each reason once. */
static void note_reason(struct kv_gpu_session *s, const struct kv_err *err)
{
    for (size_t i = 0; i < s->reason.count; i++)
        if (!strcmp(s->reason.at[i], err->text)) return;
    kv_vec_push(&s->reason, kv_arena_copy(s->arena, err->text, strlen(err->text)));
    if (s->tell) s->tell(err->text);
}

/* What is wrong in one point is not timed in any other of its kind. */
static void leave_out(struct kv_gpu_session *s, struct kv_gpu_point *point, bool all)
{
    for (int32_t i = 0; i < s->count; i++) {
        struct kv_gpu_point *p = &s->point[i];
        bool alike = p == point || (all && p->op == point->op && p->type == point->type);
        if (!alike || p->left_out) continue;
        p->left_out = true;
        s->left_out++;
    }
}

/* False when the session must end. */
static bool visit(struct kv_gpu_session *s, struct kv_gpu_point *point, int32_t round, FILE *f, struct kv_err *err)
{
    struct kv_gpu_visit v = { .point = *point, .round = round };
    struct kv_err why = {0};
    switch (s->measurer->measure(s->measurer->state, point, &v.result, &why)) {
    case KV_GPU_MEASURED:
        kv_vec_push(&s->visits.at, v);
        point->visits++;
        s->measured++;
        if (kv_gpu_visits_row(f, &v) && fflush(f) == 0) return true;
        return kv_fail(err, KV_EIO, s->path, "cannot write it: %s", strerror(errno));
    case KV_GPU_WRONG:
        s->wrong = true;
        note_reason(s, &why);
        leave_out(s, point, true);
        return true;
    case KV_GPU_LEFT_OUT:
        note_reason(s, &why);
        leave_out(s, point, false);
        return true;
    default:
        if (err) *err = why;
        return false;
    }
}

static void say(const struct kv_gpu_session *s, const struct kv_gpu_point *p, int32_t round, double left_s)
{
    if (!s->say) return;
    char line[200];
    struct kv_arena scratch = {0};
    snprintf(line, sizeof line, "round %d, %.0f s left, %d measured: %s", round, left_s, s->measured,
             kv_gpu_point_text(&scratch, p));
    kv_arena_close(&scratch);
    s->say(line);
}

/* One round: every point that has been visited less than `round` times. */
static bool go_round(struct kv_gpu_session *s, int32_t round, double end_s, FILE *f, struct kv_err *err)
{
    for (int32_t i = 0; i < s->count && !*s->stop; i++) {
        struct kv_gpu_point *p = &s->point[i];
        double left_s = end_s - s->measurer->now_s(s->measurer->state);
        if (p->left_out || p->visits >= round) continue;
        if (left_s <= 0 || kv_gpu_visit_most_s(p) > left_s) {
            s->timed_out = true;
            continue;
        }
        say(s, p, round, left_s);
        if (!visit(s, p, round, f, err)) return false;
    }
    return true;
}

bool kv_gpu_session_measure(struct kv_gpu_session *s, struct kv_err *err)
{
    double end_s = s->measurer->now_s(s->measurer->state) + s->budget_s;
    FILE *f = fopen(s->path, "a");
    if (!f) return kv_fail(err, KV_EIO, s->path, "cannot write it: %s", strerror(errno));
    bool good = true;
    for (int32_t round = 1; good && round <= s->visits_wanted && !*s->stop; round++) {
        good = go_round(s, round, end_s, f, err);
        if (fsync(fileno(f)) != 0 && errno != EINVAL && good)
            good = kv_fail(err, KV_EIO, s->path, "cannot write it: %s", strerror(errno));
    }
    if (fclose(f) != 0 && good) good = kv_fail(err, KV_EIO, s->path, "cannot write it: %s", strerror(errno));
    return good;
}

void kv_gpu_session_close(struct kv_gpu_session *s)
{
    kv_vec_close(&s->visits.at);
    kv_vec_close(&s->reason);
}
