/* SPDX-License-Identifier: Apache-2.0 */
/* One serving instance: continuous batching over a KV block pool, as docs/engine.md says, advanced by macro-steps.
 *
 * Between two changes of its batch an instance repeats one decode step. Such a stretch is a *run*: the compute
 * model prices it in closed form, the instance knows in advance how many steps it can last (until a request
 * finishes, the price formula ends or the pool is exhausted) and arms one timer for its end. Whoever wants to see
 * the instance in between has it advanced, which applies the boundaries passed so far in closed form; an arrival
 * that may be admitted cuts the run at the next boundary. A single step is a run of one. */
#ifndef KV_SERVE_INSTANCE_H
#define KV_SERVE_INSTANCE_H

#include "sim/base/divide.h"
#include "sim/engine/engine.h"
#include "sim/engine/heap.h"
#include "sim/serve/blocks.h"
#include "sim/serve/load.h"
#include "sim/serve/seq.h"
#include "sim/serve/tier.h"
#include "sim/serve/waiting.h"
#include "sim/serve/write.h"

/* What instances share with their cluster. */
struct kv_serve {
    const struct kv_sim_config *config;
    struct kv_engine *engine;
    struct kv_pool seqs;           /* struct kv_seq */
    struct kv_slab slab;
    struct kv_counters counters;
    int32_t ids_tokens;            /* of the first prefix that was routed (struct kv_blocks) */
    bool prefix_seen;
    int64_t routed;                /* requests given to instances: the order in which equals wait */
    struct kv_tiers *tiers;        /* NULL where there is HBM alone and nothing is handed over */
    struct kv_instance *instances;
    /* Scratch. Of the look-up under way, by block: its slot (in HBM, or of its chunk) and its tier. */
    KV_VEC(uint32_t) hits;
    KV_VEC(uint8_t) sources;
    KV_VEC(struct kv_fetch_segment) segments;
    KV_VEC(struct kv_offer) offers;              /* of the write being proposed: what was admitted */
    KV_VEC(struct kv_batch) batches;             /* of the ranks of a group */
    KV_VEC(uint32_t) chunk_slots, block_slots;   /* and what found room, and the blocks it needs */
    const struct kv_sink *sink;
    struct kv_err *err;            /* of the run; nothing more is given to the sink once it is set */
    void *owner;
    void (*ended)(void *owner, uint32_t seq, enum kv_status status);   /* gives the seq back to the pool */
};

static inline struct kv_seq *kv_seq_at(const struct kv_serve *serve, uint32_t seq)
{
    return kv_pool_at(&serve->seqs, seq);
}

/* A running request's place in the batch. All counted in the instance's own step numbers. */
struct kv_place {
    uint32_t seq, prev, next;      /* running order = order of admission */
    uint32_t admission;            /* grows with every admission; ties in `finishing` fall to the earlier one */
    bool decoding;
    bool leaving;                  /* its last token is on its way (rule 13b) */
    bool split;                    /* joined before it met its KV (T44), and its prompt is not finished */
    int32_t phase;                 /* decoding: it opens a block at steps s with s mod block_tokens = phase */
    int64_t ctx_base_tokens;       /* decoding: context at step s is ctx_base_tokens + s */
    int64_t joined_step;           /* decoding: its first decode step */
};

/* A decoding member whose generated blocks have known keys; it fills the next of them in step `due_step`. */
struct kv_publisher { uint32_t place; int64_t due_step; };

/* A member of the step under way that is not decoding yet: `new_tokens` of its prompt are computed in it. */
struct kv_prefill { uint32_t place; int32_t new_tokens; };

/* A step whose members' layers are still to come (docs/tiers.md T20). */
struct kv_fetcher { uint32_t seq, load; };
struct kv_pusher { uint32_t load; int64_t tokens; };   /* a hand-over that this step's prompt tokens feed (T29) */
struct kv_layered {
    bool on, open;                 /* the step under way is one; and its end is not known yet */
    KV_VEC(struct kv_fetcher) fetchers;   /* one a member and load that had not ended at its start */
    KV_VEC(struct kv_pusher) pushers;
    kv_cost *layer, before, after; /* [layers] the price by layers */
    kv_tick *arrival;              /* [layers] scratch */
    kv_cost stall;                 /* of the step, once its end is known */
    kv_tick stall_tk;
    KV_VEC(kv_tick) own_tk;        /* own stall of each fetcher's request; 0 where it stands again */
    /* Where they are told of (T41): of each member that fetches, when each layer was there; then each layer's start and
     * end, of the whole step. */
    KV_VEC(kv_tick) told_tk;
    kv_tick ready_tk;                      /* of the same: when the first layer could have begun */
    /* Walking from layer to layer, where something hangs on a layer's start or end. */
    bool walks, at_end;            /* waiting for the end of layer `next`, else for its start */
    int32_t next;
    kv_cost ready;                 /* the earliest start of `next`, or its end */
    uint32_t timer;
};

struct kv_instance {
    struct kv_serve *serve;
    int32_t id;
    uint32_t timer;                /* of its boundary; one for all ranks of a group (rule 13f) */
    void *compute;                 /* state of the compute model, shared by all instances */
    kv_cost overhead;              /* host overhead per step */
    struct kv_divisor block;       /* block_tokens */
    struct kv_blocks blocks;
    struct kv_waiting waiting;

    /* The batch. */
    struct kv_place *place;        /* max_num_seqs of them */
    uint32_t *free_place;
    int32_t running, free_places;
    uint32_t head, tail;           /* running order */
    int32_t splits;                /* running members that are split: unfinished prompts may stand anywhere */
    uint32_t admissions;
    int64_t decode_count, ctx_sum, ctx_max;   /* decoding members, at the start of step `step` */
    kv_cost ctx_sq_sum;
    int32_t *phase;                /* [b]: decoding members that need a block at steps s with s mod block_tokens = b */
    struct kv_heap finishing;      /* decoding members by their last step */
    KV_VEC(struct kv_publisher) publishers;   /* in running order */
    int64_t publish_step;          /* the least due_step of them */
    bool publishers_meet;          /* two of them may come to register the same key */
    KV_VEC(struct kv_prefill) prefills;
    KV_VEC(struct kv_chunk) chunks;

    /* The run under way. Scheduling ahead (rule 13a) the step under way costs `lead` and the run is of the steps after
     * it, the first of which is made up (`made`) and is step number `step`. */
    bool busy;
    bool ahead, made, lead_outside;
    kv_cost lead;
    KV_VEC(uint32_t) ending;       /* requests that something happens to when the step under way ends (rule 13c) */
    int64_t step;                  /* number of the step under way, or made up; counts for ever */
    int32_t step_phase;            /* step mod block_tokens */
    int64_t run_applied, run_steps;   /* boundaries of the run applied; boundaries until the timer */
    struct kv_run run;             /* price, overhead included */
    bool run_outside;              /* priced outside what the compute model was measured for */
    kv_tick origin_tk;             /* where it stopped being idle */
    kv_cost run_start;             /* exact time since origin_tk at which the run began */
    kv_tick busy_before_tk;        /* ended busy periods */
    kv_cost priced, priced_outside;   /* of ended runs: all of them, and those priced outside */
    int64_t outstanding_tokens;    /* to be computed until all its requests have ended, as things stand */

    /* docs/tiers.md */
    KV_VEC(uint32_t) holders;      /* requests that hold blocks and wait for KV, or are ready to join; by order */
    int32_t ready;                 /* of them */
    struct kv_layered layered;
    kv_tick induced_tk;            /* sum over its steps of the stall that each member then running has seen */
    KV_VEC(struct kv_evicted) evicted;   /* from HBM, not yet proposed to the tier below */
    uint32_t last_write;           /* pending writes of its blocks, the latest; KV_NONE */
    bool writes_each_chunk;        /* a tier is written through with generated tokens: decode steps matter one by one */

    /* Memory of a failed look-up: while nothing was registered since, the first waiter is still blocked. */
    uint32_t blocked_seq;
    int64_t blocked_registrations, blocked_shared_hits;
};

/* Rule 7: whether an instance can ever serve such a request. */
bool kv_instance_accepts(const struct kv_sim_config *config, int64_t input_tokens, int64_t output_tokens);
void kv_instance_open(struct kv_instance *n, struct kv_serve *serve, int32_t id, void *compute_state);
void kv_instance_close(struct kv_instance *n);
/* Takes a request in at the tick of the clock; arms or cuts so that it is seen by the next boundary. */
void kv_instance_enqueue(struct kv_instance *n, uint32_t seq);
/* The same for one whose order is known (hand-over), with `tokens` still to be computed here. */
void kv_instance_wait(struct kv_instance *n, uint32_t seq, int64_t tokens);
/* Applies all boundaries of the run at or before upto_tk, except the one its timer stands for. */
void kv_instance_advance(struct kv_instance *n, kv_tick upto_tk);
/* Leading blocks of a new request that the cache holds (rule 8). Advance first. */
int32_t kv_instance_match_blocks(struct kv_instance *n, const struct kv_prefix *prefix, int32_t input_tokens);
/* Time not idle, up to a tick not before the last boundary. */
kv_tick kv_instance_busy_tk(const struct kv_instance *n, kv_tick at_tk);
/* Tokens that its requests have still to compute or generate. Advance first. */
int64_t kv_instance_outstanding_tokens(const struct kv_instance *n);
/* Tokens of a running request that are generated as of the last boundary applied. */
int32_t kv_instance_generated_tokens(const struct kv_instance *n, const struct kv_seq *seq);
/* Stall that others' loads have brought it, in steps that have ended (docs/tiers.md, T31); it may be running. */
kv_tick kv_instance_induced_tk(const struct kv_instance *n, const struct kv_seq *seq);
/* ---- from loads and writes (docs/tiers.md) ---- */

/* Applies what is past, before something else touches its pool. */
void kv_instance_settle(struct kv_instance *n);
/* Blocks may have become evictable: who was blocked looks again at the next boundary. */
void kv_instance_memory_freed(struct kv_instance *n);
/* A holder need not wait any longer. */
void kv_instance_released(struct kv_instance *n, uint32_t seq);
/* One of its loads has ended; a layer of a load has come that somebody may have been waiting for. */
void kv_instance_load_ended(struct kv_instance *n);
void kv_instance_layer_came(struct kv_instance *n);
/* T13: a holder gives its blocks back and waits again. */
void kv_instance_give_back(struct kv_instance *n, uint32_t seq);

/* Calls `visit` for every request that has not ended: the running ones in order, then the waiting ones. */
void kv_instance_each(const struct kv_instance *n, void (*visit)(void *state, uint32_t seq), void *state);

#endif
