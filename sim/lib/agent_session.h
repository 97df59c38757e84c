/* SPDX-License-Identifier: Apache-2.0 */
/* One session of a coding agent, as kv-cache-tester's traces have it (github.com/callanjfox/kv-cache-tester): an object
 *
 *   {"id", "block_size", "hash_id_scope": "local", "tool_tokens", "system_tokens", "requests": [...]}
 *
 * whose requests are calls {"t", "type": "n" | "s", "model", "in", "out", "hash_ids", "api_time", "think_time"} or
 * sub-agents {"t", "type": "subagent", "duration_ms", "tool_tokens", "system_tokens", "requests": [calls]}. hash_ids
 * has one id for each full block of the prompt, as a list or as a text of ranges, "1-258,300". A sub-agent's calls have
 * times of their own, from 0, and ids of the session's space. */
#ifndef KV_LIB_AGENT_SESSION_H
#define KV_LIB_AGENT_SESSION_H

#include "sim/lib/json_row.h"

struct kv_id_range { uint64_t first, last; };

struct kv_agent_call {
    int64_t time_ns;                       /* since the start of the session */
    int64_t place;                         /* among all calls of the file: breaks ties of time */
    int64_t input_tokens, output_tokens;
    int64_t elapsed_ns, think_ns;          /* -1: not given */
    size_t range, ranges;                  /* its ids: ranges [range, range + ranges) */
    int64_t ids;
    uint32_t line;                         /* 0: the session itself; k: its k-th sub-agent */
    uint32_t model;                        /* index into models */
};

/* The session itself, or a sub-agent: where its calls have their tools and system prompt from. */
struct kv_agent_line { int64_t tool_tokens, system_tokens; };
struct kv_agent_model { char name[KV_JSON_TEXT_MAX + 1]; };

/* Zeroed before the first read. */
struct kv_agent_session {
    char id[KV_JSON_TEXT_MAX + 1];
    int64_t block_tokens;
    KV_VEC(struct kv_agent_call) calls;    /* in order of time */
    KV_VEC(struct kv_id_range) ranges;
    KV_VEC(struct kv_agent_line) lines;
    KV_VEC(struct kv_agent_model) models;
};

/* Reads and checks the current line of `in`. The `t` of a sub-agent is when its result was back, if `t_is_end`, so that
 * it started duration_ms earlier; else when it started. It starts no earlier than the call before it. */
bool kv_agent_session_read(struct kv_agent_session *s, const struct kv_input *in, bool t_is_end, struct kv_err *err);
/* Appends the ids of a call. */
void kv_agent_session_ids(const struct kv_agent_session *s, const struct kv_agent_call *call, struct kv_ids *ids);
void kv_agent_session_close(struct kv_agent_session *s);

#endif
