/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a workload: where times and prefix identities come from. Private to sim/serve/workload*.c. */
#ifndef KV_SERVE_WORKLOAD_PARTS_H
#define KV_SERVE_WORKLOAD_PARTS_H

#include "sim/base/map.h"
#include "sim/serve/workload.h"

/* --- workload_jitter.c ------------------------------------------------------------------------------------
 * A trace written in whole seconds (or Mooncake's 3 s ticks) stacks its requests on few instants. Jitter spreads
 * the rows of one instant uniformly over [0, min(jitter, distance to the next instant)), so the order of rows
 * never changes: the offsets of one instant are drawn together and handed out in ascending order. How many rows
 * share an instant is found by a second reader that runs ahead, so memory is 8 bytes for each of them. */
struct kv_jitter {
    const struct kv_reader_ops *reader;
    void *scout;               /* state of the second reader; NULL: no jitter */
    uint64_t seed, stream, row;
    int64_t range_ns, ahead_ns;   /* time of the row the scout stands at, -1 at the end */
    KV_VEC(int64_t) offset_ns;
    size_t next;
};
bool kv_jitter_open(struct kv_jitter *j, const struct kv_workload_config *config, uint64_t seed,
                    const struct kv_reader_env *env, struct kv_err *err);
/* Time of the next row, which stands at `time_ns` in the trace; to be called for every row in turn. */
int64_t kv_jitter_apply(struct kv_jitter *j, int64_t time_ns);
void kv_jitter_close(struct kv_jitter *j);

/* --- workload_prefix.c: sessions and who shares what -------------------------------------------------------- */
struct kv_session {
    uint64_t hash;             /* of the session text: names its token streams */
    int64_t context_tokens;    /* prompt + response of its last served turn; -1: none yet */
    uint32_t version, turns;   /* version: how often a turn did not extend the one before */
};
struct kv_sessions {
    struct kv_map number_of;   /* hash of the session text -> index into `session` */
    KV_VEC(struct kv_session) session;
    int64_t extending, not_extending;
};
void kv_sessions_open(struct kv_sessions *s);
void kv_sessions_close(struct kv_sessions *s);
/* The session of the row and the turn's number in it; the pointer is good until the next call. */
struct kv_session *kv_sessions_find(struct kv_sessions *s, const char *text, struct kv_request *request);
/* A served turn: does it extend the one before? Counts, and starts a new version where it does not. */
void kv_sessions_turn(struct kv_sessions *s, struct kv_session *session, const struct kv_request *request);
/* Identity of a session's turn: its version's stream behind the `system_tokens` all versions share. */
struct kv_prefix kv_sessions_prefix(const struct kv_session *session, const struct kv_request *request,
                                    int64_t system_tokens);

/* System prompts: `count` prompts of `tokens` tokens, of which request i starts with one drawn by Zipf's law:
 * P(k) ~ 1 / k^zipf. */
struct kv_system_prompts {
    uint64_t seed, draw_stream, text_stream;
    int64_t count, tokens;
    double *cumulated;
};
void kv_system_prompts_open(struct kv_system_prompts *p, const struct kv_workload_config *config, uint64_t seed);
void kv_system_prompts_close(struct kv_system_prompts *p);
/* Only the shared tokens are known: what follows is the request's own. */
struct kv_prefix kv_system_prompts_prefix(const struct kv_system_prompts *p, int64_t row, int32_t input_tokens);

#endif
