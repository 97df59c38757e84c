/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are prefilled on one instance and decoded on another (docs/tiers.md T27-T30). */
#ifndef KV_SERVE_HANDOVER_H
#define KV_SERVE_HANDOVER_H

#include "sim/serve/load.h"
#include "sim/serve/seq.h"

/* In the slab, from the arrival of a request that will be handed over until it joins its decode instance. */
struct kv_handover {
    struct kv_instance *from, *to;         /* prefill and decode instance */
    bool at_route;                         /* memory at the decode instance is reserved before the prompt is computed */
    bool prefilled;                        /* the prompt is computed */
    bool arrived;                          /* the transfer has ended */
    struct kv_hold hold;                   /* as a holder at the decode instance */
    uint32_t load;                         /* the transfer; KV_NONE: nothing has to be brought */
    int32_t hit_tokens;                    /* that the decode instance had */
    int32_t sent_tokens;                   /* layerwise push: prompt tokens whose KV may go, or is not needed */
    /* Registered blocks at the instance that the request is not dealt with now. */
    uint32_t *slot;
    int32_t slot_count, slot_capacity;
};

/* Whether a request that arrives now will be handed over. */
static inline bool kv_handover_wanted(const struct kv_sim_config *config, const struct kv_seq *q)
{
    return config->handover.prefill_instances > 0 && q->output_tokens > 1;
}
/* It has been routed: to its prefill instance, or first to the other for memory. */
void kv_handover_begin(struct kv_instance *from, struct kv_instance *to, uint32_t seq);
/* The first waiter of `n`, its decode instance: false when there is no room for it. */
bool kv_handover_admit(struct kv_instance *n, uint32_t seq);
/* Its prompt has just been computed; it leaves `n`. */
void kv_handover_prefilled(struct kv_instance *n, uint32_t seq);
/* What `from` computed has arrived at `to`. */
void kv_handover_arrived(struct kv_serve *serve, uint32_t seq);
/* It joins its decode instance: what was left of the hand-over goes. */
void kv_handover_joined(struct kv_instance *n, uint32_t seq);
/* It ends before that (end of the run). */
void kv_handover_close(struct kv_serve *serve, struct kv_seq *q);
/* T29: the step about to begin computes `tokens` tokens of its prompt. */
void kv_handover_push(struct kv_instance *n, const struct kv_seq *q, int64_t tokens);

/* The part of a waiting request that a load deals with. */
static inline struct kv_hold *kv_hold_for(const struct kv_seq *q, const struct kv_instance *n)
{
    return q->handover && q->handover->to == n ? &q->handover->hold : q->hold;
}

#endif
