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
    uint32_t number;           /* from 1, in order of the first turns; 0: a branch */
    uint32_t version, turns;   /* version: how often a turn did not extend the one before */
};
struct kv_sessions {
    struct kv_map number_of;   /* hash of the session text -> index into `session` */
    KV_VEC(struct kv_session) session;
    uint32_t count;            /* numbers given */
    int64_t extending, not_extending;
};
void kv_sessions_open(struct kv_sessions *s);
void kv_sessions_close(struct kv_sessions *s);
/* The session of the row and the turn's number in it; the pointer is good until the next call. */
struct kv_session *kv_sessions_find(struct kv_sessions *s, const char *text, struct kv_request *request);
/* Branch `branch` >= 1 (a sub-agent) of the session whose text has that hash, as a conversation of its own without a
 * number; the pointer is good until the next call. */
struct kv_session *kv_sessions_branch(struct kv_sessions *s, uint64_t session_hash, uint32_t branch);
/* A served turn: does it extend the one before? Counts, and starts a new version where it does not. */
void kv_sessions_turn(struct kv_sessions *s, struct kv_session *session, const struct kv_request *request);
/* What the two above are made of: the next number for a new session; the request as its next turn; a served turn of
 * which `extends` says what it is (of no meaning for the first). */
struct kv_session kv_sessions_number(struct kv_sessions *s, uint64_t hash);
void kv_session_join(struct kv_session *session, struct kv_request *request);
void kv_sessions_grow(struct kv_sessions *s, struct kv_session *session, const struct kv_request *request,
                      bool extends);
/* Identity of a session's turn: its version's stream behind the `system_tokens` all versions share. */
struct kv_prefix kv_sessions_prefix(const struct kv_session *session, const struct kv_request *request,
                                    int64_t system_tokens);

/* --- workload_infer.c: sessions for rows that name none ---------------------------------------------------------
 * A served conversation row either opens a session or continues one that is open: whose last turn stands at most
 * `window_ns` before the row in the trace. What it does is drawn from a sub-stream of its own. With chance
 * 1 - 1/turns_mean it continues, with chance `extends_frac` as an extending turn, else as one that does not; then a
 * log-normal gap is drawn, at most `window_ns`, and it continues the open session whose last turn lies closest to so
 * long ago (of two as far, the earlier). An extending turn takes the closest whose context it can hold, among
 * KV_INFER_NEIGHBOURS on either side of that time: further off the gap would no longer be the one drawn. Where there
 * is none it opens one. So turns_mean is the mean where a fitting session is always open, and an upper bound elsewhere.
 * Sessions that the trace names are never continued.
 *
 * Open sessions lie in the order of their last turns. One that is continued goes to the end and leaves a gap behind;
 * once gaps and sessions too old are half of the array it is packed. So memory is that of the sessions inside the
 * window, and a row costs a binary search and the neighbours it looks at. */
#define KV_INFER_NEIGHBOURS 64
struct kv_open_session {
    struct kv_session session;    /* number 0: a gap */
    int64_t last_ns;              /* of a gap: as it was, so that times ascend */
    int32_t skip[2];              /* of a gap: a place further back, and further on, with only gaps between */
};
struct kv_infer {
    uint64_t seed, draw_stream, text_stream;
    double continue_frac, extends_frac, gap_mu, gap_sigma;
    int64_t window_ns;
    int64_t rows, sessions;       /* drawn so far */
    KV_VEC(struct kv_open_session) open;
    int32_t first, live;          /* before place `first` none is open; how many are */
};
void kv_infer_open(struct kv_infer *f, const struct kv_infer_config *config, uint64_t seed);
void kv_infer_close(struct kv_infer *f);
/* The session of served row `row`, which stands at `time_ns` in the trace: made or continued, and counted. The pointer
 * is good until the next call. Rows come in order of time. */
struct kv_session *kv_infer_session(struct kv_infer *f, struct kv_sessions *s, int64_t row, int64_t time_ns,
                                    struct kv_request *request);

/* --- workload_prefix.c ------------------------------------------------------------------------------------------
 * System prompts: `count` prompts of `tokens` tokens, of which request i starts with one drawn by Zipf's law:
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
