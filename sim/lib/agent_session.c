/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/agent_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(key) (UINT32_C(1) << (key))

/* What is known of the requests read so far in one list. */
struct list {
    uint32_t line;
    int64_t count;             /* entries so far */
    int64_t t_ns;              /* of the entry before */
    size_t parent;             /* index + 1 of the last call of this list; 0: none */
};

struct reading {
    struct kv_agent_session *s;
    bool t_is_end;
    struct list *list;
};

/* The entry at hand: a call, or a sub-agent. */
struct entry {
    struct reading *r;
    int64_t t_ns, duration_ns;
    bool subagent, has_type;
    struct kv_agent_call call;
    struct kv_agent_line own;  /* a sub-agent's */
    size_t first_call;         /* index of a sub-agent's first call */
};

/* --- ids ----------------------------------------------------------------------------------------------------- */

static void add_range(struct kv_agent_session *s, struct kv_agent_call *call, uint64_t first, uint64_t last)
{
    struct kv_id_range range = {first, last};
    kv_vec_push(&s->ranges, range);
    call->ranges++;
    call->ids += (int64_t)(last - first + 1);
}

/* A number of at most 18 digits at *at; false: there is none. */
static bool take_number(const char **at, const char *end, uint64_t *value)
{
    const char *from = *at;
    for (*value = 0; *at < end && **at >= '0' && **at <= '9'; ++*at) *value = *value * 10 + (uint64_t)(**at - '0');
    return *at > from && *at - from <= 18;
}

static bool read_range_text(struct entry *e, struct kv_json_row *row)
{
    struct kv_slice text;
    if (!kv_json_plain_text(&row->json, &text)) return false;
    const char *at = text.text, *end = at + text.length;
    while (at < end) {
        const char *from = at;
        uint64_t first, last;
        bool good = take_number(&at, end, &first);
        last = first;
        if (good && at < end && *at == '-') {
            at++;
            good = take_number(&at, end, &last);
        }
        size_t length = (size_t)(at - from);
        if (!good || (at < end && *at != ','))
            return kv_json_row_fail(row, "hash_ids '%s' is no list of ranges; expected one such as 1-258,300",
                                    kv_excerpt(from, (size_t)(end - from)).text);
        if (last < first)
            return kv_json_row_fail(row, "hash_ids: the range '%s' runs backwards", kv_excerpt(from, length).text);
        if (last - first > KV_FIELD_TOKENS_MAX)
            return kv_json_row_fail(row, "hash_ids: the range '%s' has %llu ids, more than tokens fit a prompt",
                                    kv_excerpt(from, length).text, (unsigned long long)(last - first + 1));
        add_range(e->r->s, &e->call, first, last);
        if (at < end && ++at == end) return kv_json_row_fail(row, "hash_ids ends with a comma");
    }
    return true;
}

static bool read_ids(struct entry *e, struct kv_json_row *row)
{
    e->call.range = e->r->s->ranges.count;
    if (kv_json_kind(&row->json) == KV_JSON_TEXT) return read_range_text(e, row);
    struct kv_ids ids = {0};
    bool good = kv_json_ids(&row->json, &ids);
    for (size_t i = 0, from = 0; good && i < ids.count; i++) {
        if (i + 1 < ids.count && ids.at[i + 1] == ids.at[i] + 1) continue;
        add_range(e->r->s, &e->call, ids.at[from], ids.at[i]);
        from = i + 1;
    }
    kv_vec_close(&ids);
    return good;
}

void kv_agent_session_ids(const struct kv_agent_session *s, const struct kv_agent_call *call, struct kv_ids *ids)
{
    kv_vec_reserve(ids, ids->count + (size_t)call->ids);
    for (size_t i = call->range; i < call->range + call->ranges; i++)
        for (uint64_t id = s->ranges.at[i].first;; id++) {
            ids->at[ids->count++] = id;
            if (id == s->ranges.at[i].last) break;
        }
}

/* --- requests ------------------------------------------------------------------------------------------------ */

enum request_key { T, TYPE, MODEL, IN, OUT, HASH_IDS, API_TIME, THINK_TIME, DURATION, TOOLS, SYSTEM, REQUESTS };
static const char *const request_keys[] = {"t", "type", "model", "in", "out", "hash_ids", "api_time", "think_time",
                                           "duration_ms", "tool_tokens", "system_tokens", "requests", NULL};

static bool read_list(struct reading *r, struct kv_json_row *row, uint32_t line);

static bool read_model(struct entry *e, struct kv_json_row *row)
{
    struct kv_agent_session *s = e->r->s;
    struct kv_agent_model model = {""};
    if (!kv_json_row_name(row, model.name)) return false;
    for (e->call.model = 0; e->call.model < s->models.count; e->call.model++)
        if (!strcmp(s->models.at[e->call.model].name, model.name)) return true;
    kv_vec_push(&s->models, model);
    return true;
}

static bool read_type(struct entry *e, struct kv_json_row *row)
{
    char type[KV_JSON_TEXT_MAX + 1] = "";
    if (!kv_json_row_name(row, type)) return false;
    e->subagent = !strcmp(type, "subagent");
    return e->subagent || !strcmp(type, "n") || !strcmp(type, "s")
           || kv_json_row_fail(row, "type '%s'; expected n, s or subagent", kv_excerpt(type, strlen(type)).text);
}

static bool read_calls_of_subagent(struct entry *e, struct kv_json_row *row)
{
    if (e->r->list->line) return kv_json_row_fail(row, "a sub-agent inside a sub-agent; one level is known");
    e->first_call = e->r->s->calls.count;
    struct kv_agent_line line = {0};
    kv_vec_push(&e->r->s->lines, line);
    return read_list(e->r, row, (uint32_t)e->r->s->lines.count - 1);
}

static bool read_request_value(void *state, struct kv_json_row *row, int32_t key)
{
    struct entry *e = state;
    const char *name = request_keys[key];
    switch ((enum request_key)key) {
    case T: return kv_json_row_ns(row, name, 9, &e->t_ns);
    case TYPE: return read_type(e, row);
    case MODEL: return read_model(e, row);
    case IN: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &e->call.input_tokens);
    case OUT: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &e->call.output_tokens);
    case HASH_IDS: return read_ids(e, row);
    case API_TIME: return kv_json_row_ns(row, name, 9, &e->call.elapsed_ns);
    case THINK_TIME: return kv_json_row_ns(row, name, 9, &e->call.think_ns);
    case DURATION: return kv_json_row_ns(row, name, 6, &e->duration_ns);
    case TOOLS: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &e->own.tool_tokens);
    case SYSTEM: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &e->own.system_tokens);
    case REQUESTS: return read_calls_of_subagent(e, row);
    }
    return false;
}
static const struct kv_json_form request_form = {request_keys, read_request_value};

static bool check_ids(const struct kv_agent_session *s, const struct kv_agent_call *call, struct kv_json_row *row)
{
    int64_t needed = call->input_tokens / s->block_tokens;
    return call->ids == needed
           || kv_json_row_fail(row, "hash_ids has %lld ids but in %lld with %lld-token blocks needs %lld",
                               (long long)call->ids, (long long)call->input_tokens, (long long)s->block_tokens,
                               (long long)needed);
}

static bool end_call(struct entry *e, struct kv_json_row *row)
{
    struct kv_agent_session *s = e->r->s;
    if (s->block_tokens > 0 && !check_ids(s, &e->call, row)) return false;
    e->call.time_ns = e->t_ns;
    e->call.line = e->r->list->line;
    e->call.place = (int64_t)s->calls.count;
    kv_vec_push(&s->calls, e->call);
    e->r->list->parent = s->calls.count;
    return true;
}

/* Moves the sub-agent's calls to where it started. */
static bool end_subagent(struct entry *e, struct kv_json_row *row)
{
    struct kv_agent_session *s = e->r->s;
    if (e->first_call == s->calls.count) return kv_json_row_fail(row, "a sub-agent without requests");
    if (!e->r->list->parent) return kv_json_row_fail(row, "a sub-agent with no request before it");
    const struct kv_agent_call *parent = &s->calls.at[e->r->list->parent - 1];
    int64_t start_ns = e->r->t_is_end ? e->t_ns - e->duration_ns : e->t_ns;
    if (start_ns < parent->time_ns) start_ns = parent->time_ns;
    struct kv_agent_call *first = &s->calls.at[e->first_call];
    first->think_ns = -1;      /* that it waited for nothing inside itself says nothing of its start */
    if (parent->elapsed_ns >= 0) {
        int64_t after_ns = start_ns - parent->time_ns - parent->elapsed_ns;
        first->think_ns = after_ns > 0 ? after_ns : 0;
    }
    for (size_t i = e->first_call; i < s->calls.count; i++) s->calls.at[i].time_ns += start_ns;
    s->lines.at[first->line] = e->own;
    return true;
}

static bool read_request(struct reading *r, struct kv_json_row *row)
{
    struct entry e = {.r = r, .call = {.elapsed_ns = -1, .think_ns = -1}};
    struct list *list = r->list;
    uint32_t seen, call = BIT(IN) | BIT(OUT) | BIT(HASH_IDS);
    if (!kv_json_row_object(row, &request_form, &e, &seen)
        || !kv_json_row_has(row, &request_form, seen, BIT(T) | BIT(TYPE) | (e.subagent ? BIT(REQUESTS) : call)))
        return false;
    if (!e.subagent && (seen & BIT(REQUESTS)))
        return kv_json_row_fail(row, "requests of something that is no subagent");
    if (e.subagent && (seen & call)) return kv_json_row_fail(row, "a subagent with tokens of its own");
    if (e.t_ns < list->t_ns) {
        return kv_json_row_fail(row, "t %s s is earlier than %s s of the request before it",
                                kv_seconds_text(e.t_ns).text, kv_seconds_text(list->t_ns).text);
    }
    list->t_ns = e.t_ns;
    if (!(seen & BIT(DURATION))) e.duration_ns = 0;
    return e.subagent ? end_subagent(&e, row) : end_call(&e, row);
}

/* The list of requests at the cursor; `row->place` names the object that holds it. */
static bool read_list(struct reading *r, struct kv_json_row *row, uint32_t line)
{
    struct list list = {.line = line}, *outer = r->list;
    char place[sizeof row->place];
    memcpy(place, row->place, sizeof place);
    size_t length = strlen(place);
    bool good = kv_json_list(&row->json);
    r->list = &list;
    while (good && kv_json_element(&row->json)) {
        snprintf(row->place + length, sizeof row->place - length, "requests[%lld].", (long long)list.count++);
        good = read_request(r, row);
    }
    memcpy(row->place, place, sizeof place);
    r->list = outer;
    return good && !row->json.fault;
}

/* --- the session --------------------------------------------------------------------------------------------- */

enum session_key { ID, BLOCK_SIZE, SCOPE, TOOL_TOKENS, SYSTEM_TOKENS, SESSION_REQUESTS };
static const char *const session_keys[] = {"id", "block_size", "hash_id_scope", "tool_tokens", "system_tokens",
                                           "requests", NULL};

static bool read_scope(struct kv_json_row *row)
{
    char scope[KV_JSON_TEXT_MAX + 1] = "";
    if (!kv_json_row_name(row, scope)) return false;
    return !strcmp(scope, "local") || kv_json_row_fail(row, "hash_id_scope '%s'; expected local",
                                                       kv_excerpt(scope, strlen(scope)).text);
}

static bool read_session_value(void *state, struct kv_json_row *row, int32_t key)
{
    struct reading *r = state;
    struct kv_agent_session *s = r->s;
    const char *name = session_keys[key];
    switch ((enum session_key)key) {
    case ID: return kv_json_row_name(row, s->id);
    case BLOCK_SIZE: return kv_json_row_whole(row, name, 1 << 20, &s->block_tokens);
    case SCOPE: return read_scope(row);
    case TOOL_TOKENS: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &s->lines.at[0].tool_tokens);
    case SYSTEM_TOKENS: return kv_json_row_whole(row, name, KV_FIELD_TOKENS_MAX, &s->lines.at[0].system_tokens);
    case SESSION_REQUESTS: return read_list(r, row, 0);
    }
    return false;
}
static const struct kv_json_form session_form = {session_keys, read_session_value};

static bool check_session(const struct kv_agent_session *s, struct kv_json_row *row)
{
    if (!s->id[0]) return kv_json_row_fail(row, "the id is empty");
    if (s->block_tokens == 0) return kv_json_row_fail(row, "block_size is 0");
    if (s->calls.count == 0) return kv_json_row_fail(row, "a session without requests");
    /* Once more: block_size may have stood behind the requests. */
    for (size_t i = 0; i < s->calls.count; i++)
        if (!check_ids(s, &s->calls.at[i], row)) return false;
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct kv_agent_call *x = a, *y = b;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

bool kv_agent_session_read(struct kv_agent_session *s, const struct kv_input *in, bool t_is_end, struct kv_err *err)
{
    struct kv_agent_line line = {0};
    s->id[0] = '\0';
    s->block_tokens = 0;
    s->calls.count = s->ranges.count = s->lines.count = s->models.count = 0;
    kv_vec_push(&s->lines, line);
    struct kv_agent_model none = {""};
    kv_vec_push(&s->models, none);
    struct kv_json_row row;
    struct reading r = {.s = s, .t_is_end = t_is_end};
    uint32_t seen, needed = BIT(ID) | BIT(BLOCK_SIZE) | BIT(SCOPE) | BIT(SESSION_REQUESTS);
    if (!kv_json_row_read(&row, in, &session_form, &r, &seen, err)
        || !kv_json_row_has(&row, &session_form, seen, needed) || !check_session(s, &row))
        return false;
    qsort(s->calls.at, s->calls.count, sizeof *s->calls.at, by_time);
    return true;
}

void kv_agent_session_close(struct kv_agent_session *s)
{
    kv_vec_close(&s->calls);
    kv_vec_close(&s->ranges);
    kv_vec_close(&s->lines);
    kv_vec_close(&s->models);
}
