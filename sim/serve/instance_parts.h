/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of one instance share: instance.c (time and steps), look_up.c (what is cached), admission.c (who
 * joins), ahead.c (steps made up early), group.c (ranks in lock-step), layered.c (steps that wait for layers). "Rule N"
 * is docs/engine.md, "TN" docs/tiers.md. */
#ifndef KV_SERVE_INSTANCE_PARTS_H
#define KV_SERVE_INSTANCE_PARTS_H

#include "sim/serve/batch.h"
#include "sim/serve/handover.h"
#include "sim/serve/instance.h"
#include "sim/serve/split.h"

static inline const struct kv_engine_config *kv_engine_of(const struct kv_instance *n)
{
    return &n->serve->config->engine;
}

static inline int64_t kv_blocks_for(const struct kv_instance *n, int64_t tokens)
{
    return kv_divide(n->block, (uint32_t)tokens + n->block.by - 1);
}

static inline int32_t kv_known_tokens(const struct kv_seq *q)
{
    return q->input_tokens + q->generated_tokens;
}

/* ---- instance.c ---- */

/* Rule 20. `computed_tokens` is up to date; `held` blocks in all. */
void kv_instance_release_blocks(struct kv_instance *n, struct kv_seq *q, int64_t held, bool finish);
/* The step under way ends after `steps` steps of the run. */
void kv_instance_arm(struct kv_instance *n, int64_t steps);
/* The run ends at the next boundary, if that is not so already. */
void kv_instance_cut(struct kv_instance *n);
/* Exact cost of the first `steps` steps from the one under way. */
kv_cost kv_instance_run_cost(const struct kv_instance *n, int64_t steps);
/* The step under way ends for its members (rule 10). */
void kv_instance_end_members(struct kv_instance *n);
/* It leaves running, with its last token. */
void kv_instance_finish(struct kv_instance *n, uint32_t place);
/* Rules 11 and 12. True when rule 11 preempted. */
bool kv_instance_make_up(struct kv_instance *n);
/* Rule 13: the run that the step just made up begins. */
void kv_instance_price(struct kv_instance *n, struct kv_batch *batch);
/* Steps until something other than decoding can happen, at least 1. */
int64_t kv_instance_steps_ahead(struct kv_instance *n, bool preempted);
/* A busy period begins, or ends. */
void kv_instance_wake(struct kv_instance *n);
void kv_instance_sleep(struct kv_instance *n);

/* ---- ahead.c: rules 13a to 13e ---- */

void kv_ahead_boundary(struct kv_instance *n);
/* Somebody was preempted: its token may be on its way. */
void kv_ahead_preempted(struct kv_instance *n, uint32_t seq, bool decoding);

/* 13c: tokens on their way arrive. */
void kv_ahead_tokens_arrive(struct kv_instance *n);
/* (c) of 13a. */
void kv_ahead_begin_step(struct kv_instance *n);

/* ---- group.c: rules 13f and 13g ---- */

/* A boundary of all ranks of the group whose first rank this is. */
void kv_group_boundary(struct kv_instance *first);

/* ---- look_up.c ---- */

/* What a look-up found: `blocks` leading hits, the first `keyed` of them through slots in serve->hits, the others in
 * the request's own run. `leading` of them were found in HBM before any below it, `idle` of these unreferenced. */
struct kv_hit {
    int64_t blocks, keyed, leading, idle;
    int64_t below;                 /* to be loaded */
    bool loading;                  /* some of those in HBM are being loaded */
    kv_tick timeout_tk;
    struct kv_pending pending;
};
/* Rule 18, T5, T6: leaves slots and sources by block in the scratch arrays of n->serve. */
struct kv_hit kv_look_up(struct kv_instance *n, const struct kv_seq *q);
/* T6: a step that computes tokens [from, known) of one request and nothing else. */
kv_tick kv_look_up_compute_tk(const struct kv_instance *n, int64_t from, int64_t known);

/* ---- admission.c ---- */

/* Takes up to `budget` tokens of the unfinished prompt of a member into the step; returns how many. */
int64_t kv_admission_add_prefill(struct kv_instance *n, uint32_t place, const struct kv_seq *q, int64_t budget);
/* What a request that joins, or meets its KV, need not compute: of its hit, `hit_tokens`, all but what it has computed
 * from first_tokens to computed_tokens (T44; else both are all of the hit). */
struct kv_joining { int32_t first_tokens, computed_tokens, hit_tokens; };
/* Counts it, and its prompt, if that was not done before; else what is computed again (rule 12). */
void kv_admission_note_hits(struct kv_instance *n, struct kv_seq *q, struct kv_joining j, struct kv_pending pending);
/* It leaves the loads that it waits for. */
void kv_admission_leave_loads(struct kv_instance *n, uint32_t seq);
/* Rules 9 and 12, T5-T13: ready holders, then waiters. */
void kv_admission_schedule(struct kv_instance *n, int64_t *budget);
/* A new holder waits for the loads of others that bring blocks of its hit, the first `blocks` of its prompt; source: by
 * block, those of lower tiers are left out; NULL: all are in HBM. */
void kv_admission_wait_for_others(struct kv_instance *n, uint32_t seq, int64_t blocks, const uint8_t *source);
/* Puts a request among the holders. */
void kv_instance_add_holder(struct kv_instance *n, uint32_t seq);
/* The holder that reached the router last gives back (T13); false when there is none that can. */
bool kv_admission_give_back_last(struct kv_instance *n);

/* ---- layered.c ---- */

void kv_layered_open(struct kv_instance *n);
void kv_layered_close(struct kv_instance *n);
/* Notes the loads of a member that joins and are still to end. */
void kv_layered_join(struct kv_instance *n, uint32_t seq);
/* The step just priced begins; its end is armed when it is known. */
void kv_layered_start(struct kv_instance *n, const struct kv_batch *batch);
/* The step ends: stalls go to their requests. */
void kv_layered_end(struct kv_instance *n);

#endif
