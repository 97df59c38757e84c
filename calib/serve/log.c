/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/log.h"

#include <math.h>
#include <stdlib.h>

#include "sim/base/arena.h"
#include "sim/lib/writer.h"

bool kv_loop_log_step(void *state, const struct kv_loop *loop, const struct kv_loop_batch *batch,
                      const struct kv_loop_step *step, struct kv_err *err)
{
    struct kv_loop_log *log = state;
    struct kv_loop_step_row row = {
        .before_tk = log->step.count > 0 ? log->step.at[log->step.count - 1].end_tk : 0, .begin_tk = step->begin_tk,
        .end_tk = step->end_tk, .device_s = step->device_s, .launch_s = step->launch_s, .members = batch->count,
        .tokens = batch->tokens,
    };
    (void)err;
    for (int32_t i = 0; i < batch->count; i++) {
        const struct kv_loop_member *m = &batch->member[i];
        row.chunks += m->new_tokens > 1;
        row.decodes += m->new_tokens == 1;
        row.decode_ctx_tokens += m->new_tokens == 1 ? m->ctx_tokens : 0;
    }
    for (int32_t l = 0; step->layer && l < loop->config->compute_env.model->layers; l++)
        kv_vec_push(&log->layer, ((struct kv_loop_layer_row){ (int64_t)log->step.count, l, step->layer[l] }));
    kv_vec_push(&log->step, row);
    return true;
}

void kv_loop_log_close(struct kv_loop_log *log)
{
    kv_vec_close(&log->step);
    kv_vec_close(&log->layer);
}

/* ---- times of a request ---- */

static double ttft_s(const struct kv_loop_seq *s) { return kv_tick_to_s(s->first_token_tk - s->arrival_tk); }
static double e2e_s(const struct kv_loop_seq *s) { return kv_tick_to_s(s->finish_tk - s->arrival_tk); }
static double tpot_s(const struct kv_loop_seq *s)   /* NaN: it has but one token */
{
    return s->request.output_tokens > 1
           ? kv_tick_to_s(s->finish_tk - s->first_token_tk) / (s->request.output_tokens - 1) : NAN;
}

/* ---- files ---- */

static void write_requests(struct kv_writer *w, const struct kv_loop_log *log, const struct kv_loop *loop)
{
    (void)log;
    kv_writer_text(w, "request_id,arrival_s,ttft_s,tpot_s,e2e_s,input_toks,output_toks,hbm_toks,host_toks,"
                   "preemptions\n");
    for (uint32_t i = 0; i < loop->seq_count; i++) {
        const struct kv_loop_seq *s = &loop->seq[i];
        if (s->status != KV_STATUS_FINISHED) continue;
        kv_writer_text(w, "%u,%.9f,%.9f,", i, kv_tick_to_s(s->arrival_tk), ttft_s(s));
        if (s->request.output_tokens > 1) kv_writer_text(w, "%.9f", tpot_s(s));
        kv_writer_text(w, ",%.9f,%d,%d,%d,%d,%d\n", e2e_s(s), s->request.input_tokens, s->request.output_tokens,
                       s->hbm_tokens, s->host_tokens, s->preemptions);
    }
}

static void write_steps(struct kv_writer *w, const struct kv_loop_log *log, const struct kv_loop *loop)
{
    (void)loop;
    kv_writer_text(w, "step,begin_s,end_s,gap_s,device_s,launch_s,members,decodes,chunks,tokens,decode_ctx_toks\n");
    for (size_t i = 0; i < log->step.count; i++) {
        const struct kv_loop_step_row *r = &log->step.at[i];
        kv_writer_text(w, "%zu,%.9f,%.9f,%.9f,%.9f,%.9f,%d,%d,%d,%lld,%lld\n", i, kv_tick_to_s(r->begin_tk),
                       kv_tick_to_s(r->end_tk), kv_tick_to_s(r->begin_tk - r->before_tk), r->device_s, r->launch_s,
                       r->members, r->decodes, r->chunks, (long long)r->tokens, (long long)r->decode_ctx_tokens);
    }
}

static void write_layers(struct kv_writer *w, const struct kv_loop_log *log, const struct kv_loop *loop)
{
    (void)loop;
    kv_writer_text(w, "step,layer,loaded_s,begin_s,end_s\n");
    for (size_t i = 0; i < log->layer.count; i++) {
        const struct kv_loop_layer_row *r = &log->layer.at[i];
        kv_writer_text(w, "%lld,%d,", (long long)r->step, r->layer);
        if (r->at.loaded_tk >= 0) kv_writer_text(w, "%.9f", kv_tick_to_s(r->at.loaded_tk));
        kv_writer_text(w, ",%.9f,%.9f\n", kv_tick_to_s(r->at.begin_tk), kv_tick_to_s(r->at.end_tk));
    }
}

static int64_t with_status(const struct kv_loop *loop, enum kv_status status)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < loop->seq_count; i++) count += loop->seq[i].status == status;
    return count;
}

static bool write_about(const struct kv_loop *loop, const char *path, const char *about, bool force,
                        struct kv_err *err)
{
    const struct kv_loop_stats *t = &loop->stats;
    struct kv_writer w;
    if (!kv_writer_open(&w, path, force, err)) return false;
    kv_writer_text(&w, "%s", about);
    kv_writer_text(&w, "requests: {finished: %lld, rejected: %lld, failed: %lld, unfinished: %lld}\n",
                   (long long)with_status(loop, KV_STATUS_FINISHED), (long long)with_status(loop, KV_STATUS_REJECTED),
                   (long long)with_status(loop, KV_STATUS_FAILED), (long long)with_status(loop, KV_STATUS_UNFINISHED));
    kv_writer_text(&w, "steps: %lld\nprefill_tokens: %lld\ndecode_tokens: %lld\npreemptions: %lld\nloads: %lld\n"
                   "loaded_blocks: %lld\nevicted_blocks: %lld\n", (long long)t->steps, (long long)t->prefill_tokens,
                   (long long)t->decode_tokens, (long long)t->preemptions, (long long)t->loads,
                   (long long)t->loaded_blocks, (long long)loop->pool.evicted);
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

bool kv_loop_log_write(const struct kv_loop_log *log, const struct kv_loop *loop, const char *folder,
                       const char *about, bool force, struct kv_arena *arena, struct kv_err *err)
{
    static const struct {
        const char *name;
        void (*write)(struct kv_writer *w, const struct kv_loop_log *log, const struct kv_loop *loop);
    } file[] = { { "requests.csv", write_requests }, { "steps.csv", write_steps }, { "layers.csv", write_layers } };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        struct kv_writer w;
        if (!kv_writer_open(&w, kv_arena_text(arena, "%s/%s", folder, file[i].name), force, err)) return false;
        file[i].write(&w, log, loop);
        bool good = kv_writer_commit(&w, err);
        kv_writer_close(&w);
        if (!good) return false;
    }
    return write_about(loop, kv_arena_text(arena, "%s/run.yaml", folder), about, force, err);
}

/* ---- the table ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation at q (n - 1). */
static double quantile(const double *sorted, size_t count, double q)
{
    double at = q * (double)(count - 1), whole = floor(at);
    size_t i = (size_t)whole;
    return i + 1 < count ? sorted[i] + (at - whole) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

const char *kv_loop_log_table(const struct kv_loop *loop, struct kv_arena *arena)
{
    static const struct { const char *name; double (*of)(const struct kv_loop_seq *); } line[] = {
        { "TTFT", ttft_s }, { "TPOT", tpot_s }, { "E2E", e2e_s },
    };
    const char *text = "ms         mean        p50        p90        p99\n";
    double *value = kv_arena_take(arena, ((size_t)loop->seq_count + 1) * sizeof *value);
    for (size_t k = 0; k < sizeof line / sizeof *line; k++) {
        size_t count = 0;
        double sum = 0;
        for (uint32_t i = 0; i < loop->seq_count; i++) {
            if (loop->seq[i].status != KV_STATUS_FINISHED) continue;
            double x = line[k].of(&loop->seq[i]);
            if (isnan(x)) continue;
            value[count++] = x;
            sum += x;
        }
        if (count == 0) continue;
        qsort(value, count, sizeof *value, by_value);
        text = kv_arena_text(arena, "%s%-5s %10.3f %10.3f %10.3f %10.3f\n", text, line[k].name,
                             sum / (double)count * 1e3, quantile(value, count, 0.5) * 1e3,
                             quantile(value, count, 0.9) * 1e3, quantile(value, count, 0.99) * 1e3);
    }
    return text;
}
