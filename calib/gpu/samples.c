/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/gpu/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/lib/robust.h"
#include "sim/lib/writer.h"

/* ---- one point ---- */

struct sample { double time_s, spread_s, sum_s; int64_t batches; };

static double median_of(struct kv_arena *arena, const struct kv_gpu_visit *visit, size_t count,
                        double (*value)(const struct kv_gpu_visit *visit, double centre), double centre)
{
    double *at = kv_arena_take(arena, count * sizeof *at);
    for (size_t i = 0; i < count; i++) at[i] = value(&visit[i], centre);
    return kv_median(at, count);
}
static double time_of(const struct kv_gpu_visit *v, double unused) { (void)unused; return v->result.time_s; }
static double spread_of(const struct kv_gpu_visit *v, double unused) { (void)unused; return v->result.spread_s; }
static double sum_of(const struct kv_gpu_visit *v, double unused) { (void)unused; return v->result.sum_s; }
static double distance_of(const struct kv_gpu_visit *v, double centre) { return fabs(v->result.time_s - centre); }

static struct sample sample_of(struct kv_arena *arena, const struct kv_gpu_visit *visit, size_t count)
{
    struct sample s = { .time_s = median_of(arena, visit, count, time_of, 0),
                        .sum_s = median_of(arena, visit, count, sum_of, 0) };
    s.spread_s = fmax(median_of(arena, visit, count, spread_of, 0),
                      median_of(arena, visit, count, distance_of, s.time_s));
    for (size_t i = 0; i < count; i++) s.batches += visit[i].result.batches;
    return s;
}

/* ---- files ---- */

/* Kinds of one file, and their key columns. */
static const struct file { const char *name, *header; enum kv_gpu_op first, last; } files[] = {
    {"gemm.csv", "dtype,m,n,k", KV_GPU_GEMM, KV_GPU_GEMM},
    {"attention_prefill.csv", "kv_dtype,batch,new_tokens,cached_tokens,heads,kv_heads,head_dim,window", KV_GPU_PREFILL,
     KV_GPU_PREFILL},
    {"attention_decode.csv", "kv_dtype,batch,kv_tokens,heads,kv_heads,head_dim,window", KV_GPU_DECODE, KV_GPU_DECODE},
    {"elementwise.csv", "op,tokens,width", KV_GPU_NORM, KV_GPU_WRITE},
    {"copy.csv", "direction,bytes,count", KV_GPU_COPY, KV_GPU_COPY},
    {"all_reduce.csv", "mode,ranks,bytes", KV_GPU_REDUCE, KV_GPU_REDUCE},
    {"sm_share.csv", "op,share_permille", KV_GPU_SHARE, KV_GPU_SHARE},
    {"two_layers.csv", "model,batch,new_tokens,cached_tokens,direct,operators_us", KV_GPU_LAYERS, KV_GPU_LAYERS},
};

static void write_key(struct kv_writer *w, const struct kv_gpu_point *p, const struct sample *s)
{
    long long x[KV_GPU_X];
    for (int i = 0; i < KV_GPU_X; i++) x[i] = p->x[i];
    const char *type = kv_gpu_type_name(p->type);
    switch (p->op) {
    case KV_GPU_GEMM: kv_writer_text(w, "%s,%lld,%lld,%lld", type, x[0], x[1], x[2]); break;
    case KV_GPU_PREFILL:
        kv_writer_text(w, "%s,%lld,%lld,%lld,%lld,%lld,%lld,0", type, x[0], x[1], x[2], x[3], x[4], x[5]);
        break;
    case KV_GPU_DECODE:
        kv_writer_text(w, "%s,%lld,%lld,%lld,%lld,%lld,0", type, x[0], x[1], x[2], x[3], x[4]);
        break;
    case KV_GPU_COPY:
        kv_writer_text(w, "%s,%lld,%lld", kv_gpu_way_name((enum kv_gpu_way)x[0]), x[1], x[2]);
        break;
    case KV_GPU_REDUCE: kv_writer_text(w, "nccl,%lld,%lld", x[0], x[1]); break;
    case KV_GPU_SHARE:
        kv_writer_text(w, "%s,%lld", kv_gpu_shared_name((enum kv_gpu_shared)x[0]), x[1]);
        break;
    case KV_GPU_LAYERS:
        kv_writer_text(w, "%s,%lld,%lld,%lld,%lld,%.6g", p->model->name, x[0], x[1], x[2], x[3], s->sum_s * 1e6);
        break;
    default: kv_writer_text(w, "%s,%lld,%lld", kv_gpu_op_name(p->op), x[0], x[1]);
    }
}

/* Visits of the same point as the one at `at`, which lie behind it. */
static size_t alike(const struct kv_gpu_visits *visits, size_t at)
{
    size_t count = 1;
    while (at + count < visits->at.count
           && kv_gpu_point_order(&visits->at.at[at].point, &visits->at.at[at + count].point) == 0) count++;
    return count;
}

/* Whether a part of the SMs was measured beside all of them. */
static bool has_whole(const struct kv_gpu_visits *visits, const struct kv_gpu_point *p)
{
    for (size_t i = 0; i < visits->at.count; i++) {
        const struct kv_gpu_point *other = &visits->at.at[i].point;
        if (other->op == KV_GPU_SHARE && other->x[0] == p->x[0] && other->x[1] == 1000) return true;
    }
    return false;
}

/* The points of one file; no file without one. */
static bool write_file(struct kv_arena *arena, const char *folder, const struct file *file,
                       const struct kv_gpu_visits *visits, int32_t *points, struct kv_err *err)
{
    struct kv_writer w;
    const char *path = kv_arena_text(arena, "%s/%s", folder, file->name);
    int32_t before = *points;
    for (size_t i = 0, count; i < visits->at.count; i += count) {
        const struct kv_gpu_visit *v = &visits->at.at[i];
        count = alike(visits, i);
        if (v->point.op < file->first || v->point.op > file->last) continue;
        if (v->point.op == KV_GPU_SHARE && !has_whole(visits, &v->point)) continue;
        if (*points == before) {
            if (!kv_writer_open(&w, path, true, err)) return false;
            kv_writer_text(&w, "%s,time_us,spread_us,samples\n", file->header);
        }
        struct sample s = sample_of(arena, v, count);
        write_key(&w, &v->point, &s);
        kv_writer_text(&w, ",%.6g,%.6g,%lld\n", s.time_s * 1e6, s.spread_s * 1e6, (long long)s.batches);
        ++*points;
    }
    if (*points == before) return true;
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

static void write_text(struct kv_writer *w, const char *key, const char *text)
{
    kv_writer_text(w, "%s: \"", key);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c >= ' ') kv_writer_text(w, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    kv_writer_text(w, "\"\n");
}

static bool write_about(struct kv_arena *arena, const char *folder, const struct kv_gpu_about *a, struct kv_err *err)
{
    struct kv_writer w;
    if (!kv_writer_open(&w, kv_arena_text(arena, "%s/samples.yaml", folder), true, err)) return false;
    kv_writer_text(&w, "kvsim_samples: 1\n");
    write_text(&w, "gpu", a->gpu);
    kv_writer_text(&w, "sms: %d\nlabel: measured\ndate: %s\n", a->sms, a->date);
    write_text(&w, "driver", a->driver);
    write_text(&w, "cuda", a->cuda);
    write_text(&w, "clocks", a->clocks);
    write_text(&w, "engine", a->engine);
    write_text(&w, "origin", "kvsim calib gpu");
    write_text(&w, "commit", a->commit);
    kv_writer_text(&w, "licence: Apache-2.0\nunit: us\n");
    write_text(&w, "note", a->note);
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

/* ---- all ---- */

static int by_order(const void *a, const void *b)
{
    const struct kv_gpu_visit *x = a, *y = b;
    int order = kv_gpu_point_order(&x->point, &y->point);
    return order ? order : x->round - y->round;
}

int32_t kv_gpu_samples_write(struct kv_arena *arena, const char *folder, struct kv_gpu_visits *visits,
                             const struct kv_gpu_about *about, struct kv_err *err)
{
    int32_t points = 0;
    if (visits->at.count) qsort(visits->at.at, visits->at.count, sizeof *visits->at.at, by_order);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!write_file(arena, folder, &files[i], visits, &points, err)) return -1;
    return write_about(arena, folder, about, err) ? points : -1;
}

const char *kv_gpu_clocks_seen(struct kv_arena *arena, const struct kv_gpu_visits *visits)
{
    int32_t low = 0, high = 0;
    const char *slowed = "";
    for (size_t i = 0; i < visits->at.count; i++) {
        const struct kv_gpu_result *r = &visits->at.at[i].result;
        if (r->sm_MHz && (!low || r->sm_MHz < low)) low = r->sm_MHz;
        if (r->sm_MHz > high) high = r->sm_MHz;
        if (!strcmp(r->throttle, "none") || !strcmp(r->throttle, "unknown") || strstr(slowed, r->throttle)) continue;
        slowed = kv_arena_text(arena, "%s%s%s", slowed, *slowed ? ", " : "; slowed by: ", r->throttle);
    }
    if (!high) return "not known";
    return kv_arena_text(arena, "SM %d to %d MHz seen%s", low, high, slowed);
}
