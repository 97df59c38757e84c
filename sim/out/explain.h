/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of kvsim explain: what its files share. */
#ifndef KV_OUT_EXPLAIN_H
#define KV_OUT_EXPLAIN_H

#include <stdio.h>

#include "sim/base/arena.h"
#include "sim/out/against.h"
#include "sim/out/out.h"
#include "sim/out/requests.h"

struct kv_explainer {
    struct kv_h5in *in;
    struct kv_arena arena;           /* of the request told now */
    struct kv_err *err;
    FILE *out;
    const char *reference;           /* path; NULL: none */
    struct kv_against *against;      /* NULL: none */
};

/* Of /requests; instants are -1 when they never came. */
struct kv_explained {
    int64_t request, instance;
    kv_tick arrival_tk, first_sched_tk, first_token_tk, finish_tk;
    kv_tick stage_tk[KV_STAGE_COUNT];
    kv_tick end_tk;                  /* finish, or end of the run */
};

/* The fetches it waited for, and who shared their way. False with *err. */
bool kv_explain_flows(struct kv_explainer *x, const struct kv_explained *r);
/* Where the step that waited for its layers stood still. */
bool kv_explain_layers(struct kv_explainer *x, const struct kv_explained *r);

/* Which requests to tell of when none is named: options->worst of them, or the one at options->percentile. What they are
 * of (totals, the value at the percentile) is told first. False with *err: a bad percentile, or no such request. */
struct kv_explain_ranking { KV_VEC(int64_t) request; };
bool kv_explain_rank(struct kv_explainer *x, const struct kv_explain_options *options,
                     struct kv_explain_ranking *ranking);

/* "+1.5 ms", "-20 s": for people. Arena text. */
const char *kv_explain_signed(struct kv_explainer *x, kv_tick ticks);
/* Arena text: "1.5 ms". */
const char *kv_explain_time(struct kv_explainer *x, kv_tick ticks);

#endif
