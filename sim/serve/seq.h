/* SPDX-License-Identifier: Apache-2.0 */
/* A live request inside the simulator, from its arrival to its end. Named by pool index ("seq"). */
#ifndef KV_SERVE_SEQ_H
#define KV_SERVE_SEQ_H

#include "sim/base/slab.h"
#include "sim/iface/record.h"
#include "sim/iface/request.h"

struct kv_hold;                    /* load.h */
struct kv_handover;                /* handover.h */

struct kv_seq {
    struct kv_prefix prefix;       /* ids point into the slab */
    int64_t request, trace_row, urgency;
    kv_tick arrival_tk, first_sched_tk, first_token_tk;
    kv_tick preempted_at_tk;       /* start of the pause under way */
    kv_tick paused_prefill_tk, paused_decode_tk;   /* ended pauses before and after the first token */
    int64_t recomputed_tokens;
    int32_t input_tokens, output_tokens;
    /* Known tokens = input + generated. While the seq decodes both numbers are those at the start of its decoding;
     * kv_instance knows how many steps ago that was. */
    int32_t generated_tokens, computed_tokens;
    int32_t computed_before_tokens;   /* computed when it was preempted last */
    int32_t hit_tokens, preemptions;
    int32_t priority;
    int32_t resident_tokens;       /* of the prompt's start: put into a lower tier when it arrives (T36) */
    /* Registered leading blocks: slot of each, KV_NONE for a private one. `slot_capacity` entries in the slab. */
    uint32_t *slot;
    int32_t slot_count, slot_capacity;
    uint32_t own_run;              /* run of own blocks left in the cache by a preemption; KV_NONE */
    uint32_t session;
    uint32_t place;                /* running: its place in the instance's batch */
    uint16_t turn, slo_class, instance;
    uint8_t refusal;               /* KV_STATUS_FAILED or _REJECTED: ends on arrival; else KV_STATUS_FINISHED */
    bool counted;                  /* its prompt tokens, by source */
    /* docs/tiers.md */
    int64_t order;                 /* of reaching the router */
    struct kv_hold *hold;          /* once it has waited for KV; in the slab */
    kv_tick stall_prefill_tk, stall_decode_tk;   /* fetch_stall of ended steps, before and after the first token */
    kv_tick induced_tk;            /* induced_stall, but for what its instance adds while it runs */
    kv_tick induced_base_tk;       /* the instance's sum when it joined running */
    struct kv_handover *handover;  /* while it is on its way to another instance; in the slab */
    uint16_t prefill_instance;
};

#endif
