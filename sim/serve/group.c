/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that take every step together (docs/engine.md, rules 13f and 13g), one step an event: what each rank does is
 * that of any instance, what the step costs is one figure for all of them. */
#include "sim/serve/instance_parts.h"

static struct kv_instance *rank_of(const struct kv_instance *first, int32_t i)
{
    return &first->serve->instances[first->id + i];
}

static int32_t ranks(const struct kv_instance *first)
{
    return first->serve->config->ranks;
}

static void end_step(struct kv_instance *n)
{
    kv_cost cost = kv_instance_run_cost(n, 1);
    n->run_start += cost;
    n->priced += cost;
    if (n->run_outside) n->priced_outside += cost;
    if (n->ahead) kv_ahead_tokens_arrive(n);
    else if (n->made) kv_instance_end_members(n);
}

static void make_up(struct kv_instance *n)
{
    kv_instance_make_up(n);
    n->made = n->prefills.count > 0 || n->decode_count > 0;
}

/* Rule 13g, for the steps that are made up. */
static void price(struct kv_instance *first)
{
    struct kv_serve *serve = first->serve;
    const struct kv_compute_ops *compute = serve->config->compute;
    serve->batches.count = 0;
    for (int32_t i = 0; i < ranks(first); i++) {
        struct kv_batch batch;
        struct kv_instance *n = rank_of(first, i);
        kv_batch_summary(n, &batch);
        kv_vec_push(&serve->batches, batch);
        n->run_outside = n->made && compute->outside && compute->outside(n->compute, &batch);
    }
    kv_cost cost = compute->together(first->compute, serve->batches.at) + first->overhead;
    for (int32_t i = 0; i < ranks(first); i++) {
        struct kv_instance *n = rank_of(first, i);
        n->run = (struct kv_run){cost, 0, 1};
        n->lead = cost;
        n->run_applied = 0;
        n->run_steps = 1;
    }
}

void kv_group_boundary(struct kv_instance *first)
{
    bool was_busy = first->busy, ahead = first->ahead, any = false;
    for (int32_t i = 0; i < ranks(first) && was_busy; i++) end_step(rank_of(first, i));
    for (int32_t i = 0; i < ranks(first); i++) {
        struct kv_instance *n = rank_of(first, i);
        if (!ahead || !was_busy || !n->made) make_up(n);
        any |= n->made;
    }
    for (int32_t i = 0; i < ranks(first); i++) (any ? kv_instance_wake : kv_instance_sleep)(rank_of(first, i));
    if (!any) return;
    price(first);
    for (int32_t i = 0; i < ranks(first) && ahead; i++)
        if (rank_of(first, i)->made) kv_ahead_begin_step(rank_of(first, i));
    for (int32_t i = 0; i < ranks(first) && ahead; i++) make_up(rank_of(first, i));
    kv_instance_arm(first, 1);
}
