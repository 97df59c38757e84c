/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of a coding agent with sub-agents, think and API times (github.com/callanjfox/kv-cache-tester): one session
 * a line, as sim/lib/agent_session.h describes it; a file in the origin's own form is one line.
 *
 * The trace says when a session's calls came, but not when the session began. Sessions begin in the order of the file
 * at `session_rate`, the first at 0. Their calls are merged by time, so rows come in order, and memory is that of the
 * sessions under way: a range of 16 bytes for every run of ids, about three a call. */
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/base/rng.h"
#include "sim/iface/reader.h"
#include "sim/lib/agent_session.h"
#include "sim/lib/hash.h"
#include "sim/lib/pqueue.h"
#include "sim/lib/rows.h"

/* A session that begins later than this has no place in simulated time (2^62 ticks). */
#define START_MAX_S 1.8e7

struct params { double rate_per_s; int64_t gaps, subagent_t; bool share_system; };
enum gaps { GAPS_EXPONENTIAL, GAPS_EQUAL };
static const char *const gaps[] = {"exponential", "equal", NULL};
enum subagent_t { T_IS_END, T_IS_START };
static const char *const ends[] = {"end", "start", NULL};
static const struct kv_param table[] = {
    {"session_rate", KV_DIM_PER_S, offsetof(struct params, rate_per_s), "0.01req/s", 1e-7, 1e6, NULL,
     "sessions that begin in a second", "assumed: the trace has no start times"},
    {"session_gaps", KV_DIM_CHOICE, offsetof(struct params, gaps), "exponential", 0, 0, gaps,
     "time from one beginning to the next: drawn, or all equal", NULL},
    {"share_system", KV_DIM_BOOL, offsetof(struct params, share_system), "false", 0, 0, NULL,
     "sessions with as many tool tokens share their tools' blocks, and their system prompt's where that is as long too",
     "assumed: the trace keeps sessions apart"},
    {"subagent_t", KV_DIM_CHOICE, offsetof(struct params, subagent_t), "end", 0, 0, ends,
     "what the t of a sub-agent is: when its result was back (it started duration_ms earlier), or when it started",
     "measured: t - duration_ms is 0.09 to 1.05 s after the end of the call before, for all 42"},
    KV_PARAM_END,
};

struct session {
    struct kv_agent_session parsed;
    int64_t start_ns, line;
    size_t next;               /* its next call */
};

struct claude_code {
    struct params p;
    struct kv_rows rows;       /* counts sessions */
    struct kv_pool sessions;
    struct kv_pqueue live;     /* sessions by the time of their next call */
    uint64_t seed, gap_stream, tool_stream, system_stream;
    int64_t next_start_ns;     /* of the session that is read next */
    bool drained;              /* all sessions have been read */
    struct session *current;   /* whose row was given last */
    uint32_t current_index;
    uint32_t reading;          /* record for the session being read; KV_NONE */
    struct kv_ids ids, first;
    int64_t subagents;
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct claude_code *c = state;
    c->p = *(const struct params *)params;
    c->seed = env->seed;
    c->gap_stream = kv_stream("claude_code.session_gap");
    c->tool_stream = kv_stream("claude_code.tools");
    c->system_stream = kv_stream("claude_code.system");
    c->reading = KV_NONE;
    kv_pool_open(&c->sessions, sizeof(struct session));
    return kv_rows_open(&c->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

static struct session *session_at(const struct claude_code *c, uint32_t index)
{
    return kv_pool_at(&c->sessions, index);
}

static void push_live(struct claude_code *c, uint32_t index)
{
    const struct session *s = session_at(c, index);
    int64_t due_ns = s->start_ns + s->parsed.calls.at[s->next].time_ns;
    kv_pqueue_push(&c->live, (struct kv_pentry){due_ns, s->line, index});
}

static enum kv_row_kind read_session(void *state, struct kv_err *err)
{
    struct claude_code *c = state;
    if (c->reading == KV_NONE) c->reading = kv_pool_take(&c->sessions);
    struct session *s = session_at(c, c->reading);
    if (!kv_agent_session_read(&s->parsed, &c->rows.in, c->p.subagent_t == T_IS_END, err)) return KV_ROW_BAD;
    s->line = c->rows.in.line_number;
    return KV_ROW_GOOD;
}

/* One more session under way. 1; 0: there is none; -1 with *err. */
static int start_session(struct claude_code *c, struct kv_err *err)
{
    int got = kv_rows_next(&c->rows, read_session, c, err);
    if (got <= 0) {
        c->drained = got == 0;
        return got;
    }
    struct kv_rng rng;
    double mean_s = 1 / c->p.rate_per_s, gap_s = mean_s;
    if (c->p.gaps == GAPS_EXPONENTIAL)
        gap_s = gsl_ran_exponential(kv_rng_at(&rng, c->seed, c->gap_stream, (uint64_t)c->rows.good), mean_s);
    struct session *s = session_at(c, c->reading);
    s->start_ns = c->next_start_ns;
    s->next = 0;
    push_live(c, c->reading);
    c->subagents += (int64_t)s->parsed.lines.count - 1;
    c->reading = KV_NONE;
    if ((double)c->next_start_ns / 1e9 + gap_s < START_MAX_S) {
        c->next_start_ns += llround(gap_s * 1e9);
        return 1;
    }
    return kv_input_fail(&c->rows.in, err, "the session after this one begins %g days after the first; raise "
                         "session_rate", ((double)c->next_start_ns / 1e9 + gap_s) / 86400), -1;
}

/* Ids of one space for all sessions: those of the tools' and the system prompt's blocks, as far as the call begins with
 * them as the first call of its line does, by their place; the others by their session. */
static void share_prefix(struct claude_code *c, const struct session *s, const struct kv_agent_call *call)
{
    const struct kv_agent_line *line = &s->parsed.lines.at[call->line];
    const struct kv_agent_call *first = s->parsed.calls.at;
    while (first->line != call->line) first++;
    c->first.count = 0;
    kv_agent_session_ids(&s->parsed, first, &c->first);
    int64_t prefix = line->tool_tokens + line->system_tokens, end = s->parsed.block_tokens;
    uint64_t own = kv_hash_text(s->parsed.id);
    uint64_t tools = kv_mix64_pair(c->tool_stream, (uint64_t)line->tool_tokens);
    uint64_t system = kv_mix64_pair(tools ^ c->system_stream, (uint64_t)line->system_tokens);
    bool inside = true;
    for (size_t i = 0; i < c->ids.count; i++, end += s->parsed.block_tokens) {
        inside = inside && end <= prefix && i < c->first.count && c->first.at[i] == c->ids.at[i];
        c->ids.at[i] = inside ? kv_mix64_pair(end <= line->tool_tokens ? tools : system, i)
                              : kv_mix64_pair(own, c->ids.at[i]);
    }
}

static void make_row(struct claude_code *c, const struct session *s, const struct kv_agent_call *call,
                     struct kv_row *row)
{
    c->ids.count = 0;
    kv_agent_session_ids(&s->parsed, call, &c->ids);
    kv_vec_reserve(&c->ids, 1);   /* NULL would say that the trace has no ids */
    if (c->p.share_system) share_prefix(c, s, call);
    *row = (struct kv_row){
        .line = s->line, .time_ns = s->start_ns + call->time_ns, .input_tokens = call->input_tokens,
        .output_tokens = call->output_tokens, .elapsed_ns = call->elapsed_ns, .think_ns = call->think_ns,
        .failed = call->output_tokens == 0, .model = s->parsed.models.at[call->model].name, .session = s->parsed.id,
        .turn = -1, .branch = call->line, .slo_class = "", .ids = c->ids.at, .ids_count = (int64_t)c->ids.count,
        .ids_tokens = s->parsed.block_tokens, .known_tokens = (int64_t)c->ids.count * s->parsed.block_tokens,
        .ids_local = !c->p.share_system,
    };
}

/* Forgets the session whose last row was given by the call before. */
static void drop_ended(struct claude_code *c)
{
    if (!c->current || c->current->next < c->current->parsed.calls.count) return;
    kv_agent_session_close(&c->current->parsed);
    kv_pool_give(&c->sessions, c->current_index);
    c->current = NULL;
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct claude_code *c = state;
    drop_ended(c);
    while (!c->drained && (c->live.count == 0 || c->live.at[0].key > c->next_start_ns)) {
        int got = start_session(c, err);
        if (got < 0) return -1;
    }
    if (c->live.count == 0) return 0;
    c->current_index = kv_pqueue_pop(&c->live).value;
    struct session *s = c->current = session_at(c, c->current_index);
    make_row(c, s, &s->parsed.calls.at[s->next++], row);
    if (s->next < s->parsed.calls.count) push_live(c, c->current_index);
    c->stats.rows++;
    c->stats.failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct claude_code *c = state;
    *out = c->stats;
    out->bad_rows = c->rows.bad;
    out->bytes = c->rows.in.bytes;
    memcpy(out->digest, c->rows.in.digest, sizeof out->digest);
    snprintf(out->note, sizeof out->note, "%lld sessions, %lld sub-agents", (long long)c->rows.good,
             (long long)c->subagents);
}

static void close_file(void *state)
{
    struct claude_code *c = state;
    for (size_t i = 0; i < c->live.count; i++) kv_agent_session_close(&session_at(c, c->live.at[i].value)->parsed);
    if (c->reading != KV_NONE) kv_agent_session_close(&session_at(c, c->reading)->parsed);
    if (c->current && c->current->next == c->current->parsed.calls.count) kv_agent_session_close(&c->current->parsed);
    kv_pool_close(&c->sessions);
    kv_pqueue_close(&c->live);
    kv_vec_close(&c->ids);
    kv_vec_close(&c->first);
    kv_rows_close(&c->rows);
}

const struct kv_reader_ops kv_reader_claude_code = {
    .info = {.help = "coding-agent sessions with sub-agents, JSONL", .source = "github.com/callanjfox/kv-cache-tester",
             .params = table, .params_bytes = sizeof(struct params)},
    .has_ids = true,
    .has_sessions = true,
    .state_bytes = sizeof(struct claude_code),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};
