/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/requests.h"

#include <string.h>

#include "sim/base/arena.h"

#define STATUS_FLAGS "0=finished 1=rejected 2=failed 3=unfinished"
#define STAGE_FLAGS "0=queue 1=fetch_stall 2=prefill 3=decode 4=preempted 255=none"
#define SLO_FLAGS "0=missed 1=met 2=none"

/* One line a column: C type, file type, name, value of a record, units, what kind of number, flags, meaning.
 * Order = order in the file. The wide ones stand apart. */
#define COLUMNS(X) \
    X(int64_t, KV_I64, request, r->request, "1", PLAIN, NULL, "request number, in order of injection") \
    X(int64_t, KV_I64, trace_row, r->trace_row, "1", PLAIN, NULL, "data row of the trace, from 1") \
    X(int64_t, KV_I64, arrival, r->arrival_tk, "s", INSTANT, NULL, "arrival since the first arrival kept") \
    X(int64_t, KV_I64, first_sched, r->first_sched_tk, "s", INSTANT, NULL, "first step that the request is part of") \
    X(int64_t, KV_I64, first_token, r->first_token_tk, "s", INSTANT, NULL, "first output token") \
    X(int64_t, KV_I64, last_token, r->finish_tk, "s", INSTANT, NULL, "last output token, which completes the request") \
    X(int64_t, KV_I64, finish, r->finish_tk, "s", INSTANT, NULL, "last output token and completion") \
    X(uint8_t, KV_U8, status, r->status, "1", PLAIN, STATUS_FLAGS, "how the request ended") \
    X(uint16_t, KV_U16, slo_class, r->slo_class, "1", PLAIN, q->slo_flags, "service level class") \
    X(uint32_t, KV_U32, session, r->session, "1", PLAIN, NULL, "session, from 1; 0: none") \
    X(uint16_t, KV_U16, turn, r->turn, "1", PLAIN, NULL, "turn of the session, from 0") \
    X(uint16_t, KV_U16, instance, r->instance, "1", PLAIN, NULL, "instance that served it; 65535: none") \
    X(uint16_t, KV_U16, prefill_instance, r->prefill_instance, "1", PLAIN, NULL, \
      "instance that computed the prompt; the same unless the request was handed over; 65535: none") \
    X(int32_t, KV_I32, prompt_tokens, r->prompt_tokens, "token", PLAIN, NULL, "prompt tokens") \
    X(int32_t, KV_I32, output_tokens, r->output_tokens, "token", PLAIN, NULL, "output tokens asked for") \
    X(int32_t, KV_I32, generated_tokens, r->generated_tokens, "token", PLAIN, NULL, "output tokens generated") \
    X(int32_t, KV_I32, preemptions, r->preemptions, "1", PLAIN, NULL, "times it was preempted") \
    X(int32_t, KV_I32, restarts, r->preemptions, "1", PLAIN, NULL, \
      "times it lost its KV to a preemption and has to compute it again") \
    X(int64_t, KV_I64, recomputed_tokens, r->recomputed_tokens, "token", PLAIN, NULL, \
      "tokens computed again after preemptions; neither hits nor misses") \
    X(int64_t, KV_I64, t_queue, r->queue_tk, "s", TICKS, NULL, "arrival to first step, less t_fetch_stall") \
    X(int64_t, KV_I64, t_fetch_stall, r->fetch_stall_tk, "s", TICKS, NULL, "waiting only for its own cached tokens") \
    X(int64_t, KV_I64, t_prefill, r->prefill_tk, "s", TICKS, NULL, "other time until the first token") \
    X(int64_t, KV_I64, t_decode, r->decode_tk, "s", TICKS, NULL, "other time after the first token") \
    X(int64_t, KV_I64, t_preempt, r->preempted_tk, "s", TICKS, NULL, "from each preemption to the next step") \
    X(int64_t, KV_I64, t_induced_stall, r->induced_stall_tk, "s", TICKS, NULL, \
      "part of t_prefill and t_decode: waiting in steps for the layers of other requests") \
    X(uint8_t, KV_U8, slo_ok, (uint8_t)slo, "1", PLAIN, SLO_FLAGS, "all bounds of its service level class met") \
    X(uint8_t, KV_U8, limiting_stage, (uint8_t)kv_stage_limiting(r), "1", PLAIN, STAGE_FLAGS, "stage that took longest")

enum column_kind { PLAIN, TICKS, INSTANT /* ticks, -1 when it never came */ };
enum column {
#define X(ctype, type, name, value, units, kind, flags, meaning) COLUMN_##name,
    COLUMNS(X)
#undef X
    COLUMN_sources, COLUMN_bytes, COLUMN_COUNT
};

const char *const kv_stage_names[KV_STAGE_COUNT] = {"queue", "fetch_stall", "prefill", "decode", "preempted"};
const char *const kv_status_names[KV_STATUS_COUNT] = {"finished", "rejected", "failed", "unfinished"};

struct segment { int32_t filled; char *at[COLUMN_COUNT]; };
/* Stands in the list for a segment that is in the file. */
static struct segment written;

struct kv_requests {
    struct kv_h5 *f;
    const char *slo_flags, *const *source;
    int32_t source_count, chunk_rows;   /* chunk_rows: of the columns, 0: there are none yet */
    struct kv_h5_column *column[COLUMN_COUNT];
    size_t row_bytes[COLUMN_COUNT], segment_bytes;
    KV_VEC(struct segment *) segment;   /* NULL: not begun; &written */
    int64_t rows_end;                   /* highest request + 1 */
    struct segment *spare;
};

enum kv_stage kv_stage_limiting(const struct kv_record *record)
{
    const kv_tick stage[KV_STAGE_COUNT] = {
        record->queue_tk, record->fetch_stall_tk, record->prefill_tk, record->decode_tk, record->preempted_tk,
    };
    enum kv_stage most = KV_STAGE_NONE;
    kv_tick most_tk = 0;
    for (int32_t i = 0; i < KV_STAGE_COUNT; i++) {
        if (stage[i] > most_tk) {
            most_tk = stage[i];
            most = (enum kv_stage)i;
        }
    }
    return most;
}

/* Columns, of q->row_bytes a row; with chunk_rows they are begun in the file too, else only measured. */
static void columns_begin(struct kv_requests *q, int32_t chunk_rows)
{
    const struct kv_h5_column_spec spec[] = {
#define X(ctype, ftype, name, value, units_, kind, flags_, meaning) \
        {.path = "/requests/" #name, .long_name = meaning, .units = units_, .type = ftype, .ticks = kind != PLAIN, \
         .fills = kind == INSTANT, .flags = flags_, .chunk_rows = chunk_rows},
        COLUMNS(X)
#undef X
        {.path = "/requests/prompt_tokens_by_source", .long_name = "prompt tokens by where their cache came from",
         .units = "token", .type = KV_I32, .width = q->source_count, .chunk_rows = chunk_rows},
        {.path = "/requests/bytes_by_tier", .long_name = "bytes delivered from each tier, those of no use included; of "
         "the first tier: handed over by another instance", .units = "B", .type = KV_I64,
         .width = q->source_count - 1, .chunk_rows = chunk_rows},
    };
    for (int32_t i = 0; i < COLUMN_COUNT; i++)
        q->row_bytes[i] = kv_h5_type_bytes(spec[i].type) * (size_t)(spec[i].width ? spec[i].width : 1);
    q->chunk_rows = chunk_rows;
    if (chunk_rows == 0) return;
    for (int32_t i = 0; i < COLUMN_COUNT; i++) q->column[i] = kv_h5_column_open(q->f, &spec[i]);
    kv_h5_texts(q->f, "/requests/source", "where cached prompt tokens came from", q->source, q->source_count);
    kv_h5_scale(q->f, "/requests/source", "source");
    kv_h5_texts(q->f, "/requests/tier", "tiers, from the fastest", q->source, q->source_count - 1);
    kv_h5_scale(q->f, "/requests/tier", "tier");
    kv_h5_scale(q->f, "/requests/request", "request");
    for (int32_t i = COLUMN_request + 1; i < COLUMN_COUNT; i++)
        kv_h5_attach(q->f, spec[i].path, "/requests/request", 0);
    kv_h5_attach(q->f, spec[COLUMN_sources].path, "/requests/source", 1);
    kv_h5_attach(q->f, spec[COLUMN_bytes].path, "/requests/tier", 1);
}

struct kv_requests *kv_requests_open(struct kv_h5 *f, const char *const *source, int32_t source_count,
                                     const char *slo_flags)
{
    struct kv_requests *q = kv_mem_take(sizeof *q);
    q->f = f;
    q->slo_flags = slo_flags;
    q->source = source;
    q->source_count = source_count;
    kv_h5_group(f, "/requests");
    columns_begin(q, 0);
    q->segment_bytes = sizeof(struct segment);
    for (int32_t i = 0; i < COLUMN_COUNT; i++) q->segment_bytes += q->row_bytes[i] * KV_H5_CHUNK_ROWS;
    return q;
}

static struct segment *segment_take(struct kv_requests *q)
{
    struct segment *s = q->spare ? q->spare : kv_mem_take(q->segment_bytes);
    q->spare = NULL;
    s->filled = 0;
    memset(s + 1, 0xff, q->row_bytes[COLUMN_request] * KV_H5_CHUNK_ROWS);   /* rows without a record: request -1 */
    char *at = (char *)(s + 1);
    for (int32_t i = 0; i < COLUMN_COUNT; at += q->row_bytes[i] * KV_H5_CHUNK_ROWS, i++) s->at[i] = at;
    return s;
}

static void segment_write(struct kv_requests *q, int64_t number, int32_t rows)
{
    struct segment *s = q->segment.at[number];
    if (q->chunk_rows == 0) columns_begin(q, rows);   /* a short run has short chunks: nothing is packed but its rows */
    for (int32_t i = 0; i < COLUMN_COUNT; i++) kv_h5_column_write(q->column[i], number, s->at[i], rows);
    q->segment.at[number] = &written;
    if (q->spare) kv_mem_give(s, q->segment_bytes); else q->spare = s;
}

static struct segment *segment_of(struct kv_requests *q, int64_t number)
{
    while (q->segment.count <= (size_t)number) kv_vec_push(&q->segment, NULL);
    if (!q->segment.at[number]) q->segment.at[number] = segment_take(q);
    return q->segment.at[number];
}

void kv_requests_add(struct kv_requests *q, const struct kv_record *r, enum kv_slo_verdict slo)
{
    int64_t number = r->request / KV_H5_CHUNK_ROWS;
    int32_t row = (int32_t)(r->request % KV_H5_CHUNK_ROWS);
    struct segment *s = segment_of(q, number);
    int64_t *request = (int64_t *)(void *)s->at[COLUMN_request];
    kv_assert(s != &written && request[row] == -1);
#define X(ctype, ftype, name, value, units, kind, flags, meaning) ((ctype *)(void *)s->at[COLUMN_##name])[row] = value;
    COLUMNS(X)
#undef X
    int32_t *by_source = (int32_t *)(void *)s->at[COLUMN_sources] + (ptrdiff_t)row * q->source_count;
    memcpy(by_source, r->prompt_tokens_by_source, sizeof *by_source * (size_t)q->source_count);
    int64_t *bytes = (int64_t *)(void *)s->at[COLUMN_bytes] + (ptrdiff_t)row * (q->source_count - 1);
    memcpy(bytes, r->fetched_bytes, sizeof *bytes * (size_t)(q->source_count - 1));
    if (r->request >= q->rows_end) q->rows_end = r->request + 1;
    if (++s->filled == KV_H5_CHUNK_ROWS) segment_write(q, number, KV_H5_CHUNK_ROWS);
}

/* A run that was stopped may have read requests that never arrived (later turns of a session): unfinished, and
 * without any instant. */
static void segment_fill(struct kv_requests *q, int64_t number, int32_t rows)
{
    struct segment *s = segment_of(q, number);
    for (int32_t row = 0; row < rows && s != &written; row++) {
        const int64_t *request = (const int64_t *)(const void *)s->at[COLUMN_request];
        struct kv_record none = {
            .request = number * KV_H5_CHUNK_ROWS + row, .arrival_tk = -1, .first_sched_tk = -1, .first_token_tk = -1,
            .finish_tk = -1, .instance = KV_NO_INSTANCE, .prefill_instance = KV_NO_INSTANCE,
            .status = KV_STATUS_UNFINISHED,
        };
        if (request[row] != -1) continue;
        kv_requests_add(q, &none, KV_SLO_NONE);
        s = q->segment.at[number];
    }
}

int64_t kv_requests_end(struct kv_requests *q)
{
    int64_t whole = q->rows_end / KV_H5_CHUNK_ROWS;
    int32_t rest = (int32_t)(q->rows_end % KV_H5_CHUNK_ROWS);
    for (int64_t i = 0; i < whole; i++) segment_fill(q, i, KV_H5_CHUNK_ROWS);
    if (rest) {
        segment_fill(q, whole, rest);
        struct segment *s = q->segment.at[whole];
        for (int32_t i = 0; i < COLUMN_COUNT && q->chunk_rows > 0; i++)
            kv_h5_clear_rest(s->at[i], q->row_bytes[i], rest);
        segment_write(q, whole, rest);
    }
    if (q->chunk_rows == 0) columns_begin(q, KV_H5_CHUNK_ROWS);
    for (int32_t i = 0; i < COLUMN_COUNT; i++) kv_h5_column_close(q->column[i]);
    return q->rows_end;
}

void kv_requests_close(struct kv_requests *q)
{
    if (!q) return;
    for (size_t i = 0; i < q->segment.count; i++) {
        struct segment *s = q->segment.at[i];
        if (s && s != &written) kv_mem_give(s, q->segment_bytes);
    }
    if (q->spare) kv_mem_give(q->spare, q->segment_bytes);
    kv_vec_close(&q->segment);
    kv_mem_give(q, sizeof *q);
}
