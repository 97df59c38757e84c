/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of LLM calls of agents (Hugging Face set Exgentic/agent-llm-traces, as github.com/fnstggl/energy2 normalises
 * it): one call a line, with session_id, span_index, start_time_s, end_time_s (seconds, of any epoch), input_tokens,
 * output_tokens, and where there are request_model and is_error. A call that failed has no tokens.
 *
 * The file has session after session, so rows are far out of order; those of one session are in order of span_index and
 * of start. elapsed = end - start; think = the start less the end of the session's call before, at least 0 (calls of
 * one session may overlap). */
#include <string.h>

#include "sim/base/map.h"
#include "sim/iface/reader.h"
#include "sim/lib/hash.h"
#include "sim/lib/json_row.h"
#include "sim/lib/resort.h"
#include "sim/lib/rows.h"

struct params { double max_disorder_s; };
static const struct kv_param table[] = {
    {"max_disorder", KV_DIM_TIME, offsetof(struct params, max_disorder_s), "30d", 0, 1e8, NULL,
     "a row may start so much earlier than one before it; rows are put in order, and so many are held",
     "the shared file has sessions one after the other, up to 4.9 days back"},
    KV_PARAM_END,
};

enum key { SESSION, INDEX, START, END, INPUT, OUTPUT, REQUIRED, MODEL = REQUIRED, IS_ERROR };
static const char *const keys[] = {"session_id", "span_index", "start_time_s", "end_time_s", "input_tokens",
                                   "output_tokens", "request_model", "is_error", NULL};

/* What is kept of a row until its turn has come. */
struct span {
    int64_t line, start_ns, end_ns, think_ns, input_tokens, output_tokens, index;
    bool failed;
    char session[KV_JSON_TEXT_MAX + 1], model[KV_JSON_TEXT_MAX + 1];
};
struct session { int64_t index, start_ns, end_ns, line; };   /* of its last call */

struct spans {
    struct kv_rows rows;
    struct kv_resort resort;
    struct span span;          /* the line at hand */
    struct kv_map session_of;
    KV_VEC(struct session) sessions;
    bool ended;
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct spans *s = state;
    s->resort.disorder_ns = (int64_t)(((const struct params *)params)->max_disorder_s * 1e9 + 0.5);
    kv_map_open(&s->session_of, 64);
    return kv_rows_open(&s->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static bool read_value(void *state, struct kv_json_row *row, int32_t key)
{
    struct span *p = state;
    switch ((enum key)key) {
    case SESSION: return kv_json_row_name(row, p->session);
    case INDEX: return kv_json_row_whole(row, keys[key], INT32_MAX, &p->index);
    case START: return kv_json_row_ns(row, keys[key], 9, &p->start_ns);
    case END: return kv_json_row_ns(row, keys[key], 9, &p->end_ns);
    case INPUT: return kv_json_row_whole(row, keys[key], KV_FIELD_TOKENS_MAX, &p->input_tokens);
    case OUTPUT: return kv_json_row_whole(row, keys[key], KV_FIELD_TOKENS_MAX, &p->output_tokens);
    case MODEL: return kv_json_row_name(row, p->model);
    case IS_ERROR: return kv_json_bool(&row->json, &p->failed);
    }
    return false;
}
static const struct kv_json_form form = {keys, read_value};

/* Sets the think time; false when the row contradicts the session's last. */
static bool follow_session(struct spans *s, struct kv_err *err)
{
    struct span *p = &s->span;
    uint64_t key = kv_hash_text(p->session);
    uint32_t found = kv_map_get(&s->session_of, key);
    struct session now = {p->index, p->start_ns, p->end_ns, p->line};
    p->think_ns = -1;
    if (found == KV_NONE) {
        kv_map_put(&s->session_of, key, (uint32_t)s->sessions.count);
        kv_vec_push(&s->sessions, now);
        return true;
    }
    struct session *last = &s->sessions.at[found];
    if (p->index <= last->index)
        return kv_input_fail(&s->rows.in, err, "span_index %lld does not follow %lld of the same session in line %lld",
                             (long long)p->index, (long long)last->index, (long long)last->line);
    if (p->start_ns < last->start_ns)
        return kv_input_fail(&s->rows.in, err, "start_time_s %s is earlier than %s of the same session in line %lld",
                             kv_seconds_text(p->start_ns).text, kv_seconds_text(last->start_ns).text,
                             (long long)last->line);
    p->think_ns = p->start_ns > last->end_ns ? p->start_ns - last->end_ns : 0;
    *last = now;
    return true;
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct spans *s = state;
    struct kv_json_row row;
    struct span *p = &s->span;
    uint32_t seen;
    *p = (struct span){.line = s->rows.in.line_number};
    if (!kv_json_row_read(&row, &s->rows.in, &form, p, &seen, err)
        || !kv_json_row_has(&row, &form, seen, (UINT32_C(1) << REQUIRED) - 1))
        return KV_ROW_BAD;
    if (p->session[0] == '\0') return kv_json_row_fail(&row, "session_id is empty"), KV_ROW_BAD;
    if (p->end_ns < p->start_ns)
        return kv_json_row_fail(&row, "end_time_s %s is earlier than start_time_s %s", kv_seconds_text(p->end_ns).text,
                                kv_seconds_text(p->start_ns).text), KV_ROW_BAD;
    p->failed |= p->output_tokens == 0;
    if (!follow_session(s, err)) return KV_ROW_BAD;
    return kv_resort_push(&s->resort, &s->rows.in, p->start_ns, p, sizeof *p, err) ? KV_ROW_GOOD : KV_ROW_BAD;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct spans *s = state;
    const struct span *p;
    while (!(p = kv_resort_pop(&s->resort, s->ended))) {
        if (s->ended) return 0;
        int got = kv_rows_next(&s->rows, read_line, s, err);
        if (got < 0) return -1;
        s->ended = got == 0;
    }
    *row = (struct kv_row){
        .line = p->line, .time_ns = p->start_ns, .input_tokens = p->input_tokens, .output_tokens = p->output_tokens,
        .elapsed_ns = p->end_ns - p->start_ns, .think_ns = p->think_ns, .failed = p->failed, .model = p->model,
        .session = p->session, .turn = -1, .slo_class = "",
    };
    s->stats.rows++;
    s->stats.failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct spans *s = state;
    *out = s->stats;
    out->bad_rows = s->rows.bad;
    out->bytes = s->rows.in.bytes;
    memcpy(out->digest, s->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    struct spans *s = state;
    kv_resort_close(&s->resort);
    kv_map_close(&s->session_of);
    kv_vec_close(&s->sessions);
    kv_rows_close(&s->rows);
}

const struct kv_reader_ops kv_reader_spans = {
    .info = {.help = "JSONL of start and end of agents' LLM calls", .source = "Exgentic/agent-llm-traces",
             .params = table, .params_bytes = sizeof(struct params)},
    .has_sessions = true,
    .state_bytes = sizeof(struct spans),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};
