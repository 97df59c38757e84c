/* SPDX-License-Identifier: Apache-2.0 */
/* Over a random scenario with tiers: who divides the bandwidth, delivery by size, resident tokens, stores that depend
 * on their load and refuse, links that messages or many flows slow down, and compute-or-load (docs/tiers.md, T35 to
 * T44). Drawn last and with dice of their own, so that the rest of the scenario is what it was. */
#include <string.h>

#include "sim/plug.h"
#include "tests/support/odd_models.h"
#include "tests/support/random_parts.h"

/* Of an instance: all parts. */
static double prompt_bytes(const struct kv_random_scenario *s, const struct tiers_plan *t)
{
    return t->prompt_bytes * s->config.tp;
}

static bool odd_store(const struct kv_store_ops *store)
{
    return store == &kv_test_store_local || store == &kv_test_store_remote || store == &kv_test_store_object;
}

/* About: how long all of it takes, and half as long again. */
static kv_tick span_tk(const struct kv_random_scenario *s, const struct tiers_plan *t)
{
    double each_s = t->prompt_s + (double)t->p.mean_gap_ns * 1e-9;
    return (kv_tick)(1.5 * (double)s->count * each_s * (double)KV_TICKS_PER_S) + 1;
}

/* Where little moves, those who are refused come again very often, and many epochs take the naive engine long. */
static void limit_time(struct kv_random_scenario *s, const struct tiers_plan *t)
{
    if (span_tk(s, t) < s->config.time_limit_tk) s->config.time_limit_tk = span_tk(s, t);
}

/* --- Transfer --- */

static const struct kv_transfer_ops *draw_policy(struct kv_random_scenario *s, struct dice *d, const void **params)
{
    int32_t count, from;
    const struct kv_plugin *plugin = kv_plugins(&count);
    if (chance(d, 40)) return &kv_test_transfer[between(d, 0, KV_TEST_TRANSFERS - 1)];
    from = (int32_t)between(d, 0, count - 1);
    for (int32_t i = 0; i < count; i++) {
        const struct kv_plugin *p = &plugin[(from + i) % count];
        if (p->family != KV_FAMILY_transfer) continue;
        *params = kv_test_params(&s->arena, p->info);
        return kv_plugin_ops(transfer, p);
    }
    return &kv_test_transfer[between(d, 0, KV_TEST_TRANSFERS - 1)];
}

static bool over_network(const struct kv_sim_config *c)
{
    for (int32_t t = 1; t < c->tier_count; t++)
        if (c->tier[t].store->network) return true;
    return false;
}

static const char *draw_transfer(struct kv_random_scenario *s, struct tiers_plan *t)
{
    static const double times[] = {0.05, 0.3, 1, 1, 2, 5};
    struct dice *d = &t->p.dice;
    struct kv_transfer_config *c = &s->config.transfer;
    if (!over_network(&s->config) || !chance(d, 80)) return "";
    c->policy = draw_policy(s, d, &c->params);
    c->cap = kv_rate_from_Bps(kv_random_rate_Bps(t, times[between(d, 0, 5)] * (0.5 + uniform(d))) * s->config.tp);
    if (chance(d, 3)) c->cap = 0;
    c->work_conserving = chance(d, 60);
    if (chance(d, 50)) {
        bool grid = t->p.unit_ns > 0 && chance(d, 70);
        double share = 0.02 + uniform(d) * (chance(d, 50) ? 0.1 : 1);
        c->period_tk = grid ? KV_TICKS_PER_NS * t->p.unit_ns * between(d, 1, 12)
                            : 1 + (kv_tick)(t->prompt_s * share * (double)KV_TICKS_PER_S);
        if (s->count > 200 || chance(d, 60)) limit_time(s, t);
        if (c->period_tk < span_tk(s, t) / 2000) c->period_tk = span_tk(s, t) / 2000;
    }
    return kv_arena_text(&s->arena, "\n  transfer %s, cap %lld%s, period %lld", c->policy->info.help,
                         (long long)c->cap, c->work_conserving ? ", work conserving" : "", (long long)c->period_tk);
}

/* --- Delivery and resident tokens --- */

static const char *draw_delivery(struct kv_random_scenario *s, struct tiers_plan *t)
{
    static const double share[] = {0.05, 0.2, 0.4, 0.7};
    struct dice *d = &t->p.dice;
    struct kv_fetch_config *f = &s->config.fetch;
    if (!chance(d, 30)) return "";
    f->mode = KV_DELIVERY_AUTO;
    f->auto_bytes = (int64_t)(prompt_bytes(s, t) * share[between(d, 0, 3)] * (0.5 + uniform(d)));
    /* Half of them the size of a few chunks, which some loads have exactly. */
    int64_t chunk = (int64_t)(prompt_bytes(s, t) / (double)t->prompt_chunks) / s->config.engine.block_tokens
                    * s->config.tier[s->config.tier_count > 1 ? 1 : 0].chunk_tokens;
    if (chance(d, 50) && chunk > 0) f->auto_bytes = (f->auto_bytes + chunk / 2) / chunk * chunk;
    return kv_arena_text(&s->arena, "\n  layerwise from %lld bytes on", (long long)f->auto_bytes);
}

static const char *put_resident(struct kv_random_scenario *s, struct dice *d, int32_t tier, int64_t percent)
{
    s->config.resident_tier = tier;
    for (int64_t i = 0; i < s->count; i++) {
        struct kv_request *q = &s->requests[i];
        if (!chance(d, percent)) continue;
        q->resident_tokens = (int32_t)(chance(d, 30) ? q->input_tokens : between(d, 0, q->input_tokens));
    }
    return kv_arena_text(&s->arena, "\n  resident in %d: %lld percent", tier, (long long)percent);
}

/* Either a few scenarios in which much is fetched over the network, or what has been drawn, and now and then more. */
static const char *draw_resident(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    if (s->config.tier_count < 2 || !chance(d, 70)) return "";
    int32_t tier = (int32_t)between(d, 1, s->config.tier_count - 1);
    struct kv_tier_config *c = &s->config.tier[tier];
    if (chance(d, 30)) return put_resident(s, d, tier, PICK(d, 5, 30, 100));
    if (odd_store(c->store)) c->store = chance(d, 50) ? &kv_test_store_remote : &kv_test_store_object;
    if (chance(d, 60)) c->scope = KV_SCOPE_CLUSTER;
    s->config.engine.enable_prefix_caching = true;
    if (c->capacity_chunks < 10 * t->prompt_chunks) c->capacity_chunks *= PICK(d, 1, 4, 20);
    if (chance(d, 70)) {
        s->config.fetch.policy = kv_test_plugin("fetch", "always");
        s->config.fetch.params = kv_test_params(&s->arena, &s->config.fetch.policy->info);
    }
    return put_resident(s, d, tier, PICK(d, 60, 100, 100));
}

/* --- Stores --- */

/* Where it may refuse, it does now and then. */
static const char *draw_real_store(struct kv_random_scenario *s, struct tiers_plan *t, struct kv_tier_config *tier)
{
    struct dice *d = &t->p.dice;
    const struct kv_plugin_info *info = &tier->store->info;
    if (tier->store != kv_test_plugin("store", "object") || !chance(d, 60)) return "";
    void *params = kv_test_params(&s->arena, info);
    int64_t turns = between(d, 1, 4), queue = PICK(d, 0, 0, 1, 3);
    kv_test_param_set(info, params, "concurrency_limit", (double)turns);
    kv_test_param_set(info, params, "queue_limit", (double)queue);
    kv_test_param_set(info, params, "retry_first", t->prompt_s * 0.2 * uniform(d) + 1e-12);
    kv_test_param_set(info, params, "retry_max", t->prompt_s * 20);
    tier->store_params = params;
    limit_time(s, t);
    return kv_arena_text(&s->arena, "\n  %s: %lld at a time, queue %lld", tier->name, (long long)turns,
                         (long long)queue);
}

static const char *draw_store(struct kv_random_scenario *s, struct tiers_plan *t, int32_t tier)
{
    struct dice *d = &t->p.dice;
    struct kv_test_store_params *p = kv_arena_take(&s->arena, sizeof *p);
    if (!odd_store(s->config.tier[tier].store)) return draw_real_store(s, t, &s->config.tier[tier]);
    memcpy(p, s->config.tier[tier].store_params, sizeof *p);
    s->config.tier[tier].store_params = p;
    p->chunk_requests = PICK(d, 0, 1, 1, 3, 16);
    if (chance(d, 35)) {
        p->crowd_delay_tk = kv_random_delay(t, 0.1);
        p->shared = PICK(d, 0, 1, 2, 8);
    }
    if (chance(d, 35)) {
        p->refuses = true;
        p->queue_limit = PICK(d, 0, 0, 1, 2, 5);
        p->retry_tk = kv_random_delay(t, 0.3);
        if (p->retry_tk < 1) p->retry_tk = 1 + (kv_tick)(t->prompt_s * 0.05 * (double)KV_TICKS_PER_S);
        if (p->concurrency == 0) p->concurrency = between(d, 1, 3);
        limit_time(s, t);
    }
    return kv_arena_text(&s->arena, "\n  %s: crowd %lld, shared %lld, requests 1+%lld, queue %lld, retry %lld, at a "
                         "time %lld", s->config.tier[tier].name, (long long)p->crowd_delay_tk, (long long)p->shared,
                         (long long)p->chunk_requests, p->refuses ? (long long)p->queue_limit : -1,
                         (long long)p->retry_tk, (long long)p->concurrency);
}

/* --- Links --- */

static const char *draw_curve(struct kv_random_scenario *s, struct dice *d, struct kv_link_spec *spec)
{
    int32_t count = (int32_t)between(d, 1, 6);
    kv_rate *curve = kv_arena_take(&s->arena, (size_t)count * sizeof *curve), at = spec->capacity;
    const char *text = "curve";
    for (int32_t i = 0; i < count; i++) {
        if (i > 0 || chance(d, 30)) at -= (kv_rate)((double)at * 0.7 * uniform(d));
        curve[i] = at;
        text = kv_arena_text(&s->arena, "%s %lld", text, (long long)at);
    }
    spec->curve = curve;
    spec->curve_count = count;
    return text;
}

/* The real one, as fast as the link it takes the place of. */
static const char *draw_roce(struct kv_random_scenario *s, struct tiers_plan *t, struct kv_link_config *link)
{
    static const char *const incast[] = {"incast_2", "incast_4", "incast_8"};
    struct dice *d = &t->p.dice;
    struct kv_link_spec was = link->ops->spec(link->params);
    link->ops = kv_test_plugin("link", "roce");
    void *params = kv_test_params(&s->arena, &link->ops->info);
    double bps = 8 * kv_rate_to_Bps(was.capacity), share = 1;
    kv_test_param_set(&link->ops->info, params, "bandwidth", bps);
    kv_test_param_set(&link->ops->info, params, "latency", kv_tick_to_s(was.latency_tk));
    kv_test_param_set(&link->ops->info, params, "message_cost", t->prompt_s * 0.02 * uniform(d));
    for (int i = 0; i < 3 && chance(d, 70); i++)
        kv_test_param_set(&link->ops->info, params, incast[i], share *= 0.5 + uniform(d) / 2);
    link->params = params;
    return kv_arena_text(&s->arena, "\n  %s: roce, incast %.3f", link->name, share);
}

static const char *draw_link(struct kv_random_scenario *s, struct tiers_plan *t, struct kv_link_config *link)
{
    struct dice *d = &t->p.dice;
    if (chance(d, 20)) return draw_roce(s, t, link);
    struct kv_test_link_params *p = kv_arena_take(&s->arena, sizeof *p);
    *p = *(const struct kv_test_link_params *)link->params;
    link->params = p;
    const char *curve = p->spec.capacity > 0 && chance(d, 80) ? draw_curve(s, d, &p->spec) : "";
    if (chance(d, 40)) {
        /* About as fast as computing when an access has a few chunks, of a few requests each. */
        link->ops = &kv_test_message_link;
        p->byte_rate = (double)kv_random_rate(t, 0) / prompt_bytes(s, t) * (double)PICK(d, 1, 4, 16);
    }
    return kv_arena_text(&s->arena, "\n  %s: %s, messages %.17g", link->name, curve, p->byte_rate);
}

/* Drawn with dice of its own: a least for grants; and some runs in which accesses are refused as long as they like. */
/* Half of the stores that are asked for each layer. */
static const char *draw_resumes(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice was = t->p.dice;
    const char *text = "";
    t->p.dice = (struct dice){.seed = kv_mix64_pair(kv_stream("random_resumes"), s->number)};
    for (int32_t i = 1; i < s->config.tier_count; i++) {
        struct kv_tier_config *tier = &s->config.tier[i];
        if (!odd_store(tier->store) || !chance(&t->p.dice, 50)) continue;
        struct kv_test_store_params *p = kv_arena_take(&s->arena, sizeof *p);
        memcpy(p, tier->store_params, sizeof *p);
        tier->store_params = p;
        p->resume_tk = kv_random_delay(t, 0.1);
        text = kv_arena_text(&s->arena, "%s\n  %s: resumes after %lld", text, tier->name, (long long)p->resume_tk);
    }
    t->p.dice = was;
    return text;
}

/* Computed from the head and loaded from the tail (T44), over what has been drawn. */
static const char *draw_both_ways(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice dice = {.seed = kv_mix64_pair(kv_stream("random_both_ways"), s->number)}, *d = &dice;
    struct kv_fetch_config *f = &s->config.fetch;
    int64_t block = s->config.engine.block_tokens;
    if (s->config.tier_count < 2 || s->config.handover.prefill_instances > 0 || !chance(d, 70)) return "";
    if (f->mode == KV_DELIVERY_AUTO && chance(d, 50)) return "";
    /* Each chunk is an access of its own, and at each of its events the naive engine looks at all blocks. */
    if (s->count * t->prompt_chunks > 10000) return "";
    f->mode = KV_DELIVERY_BIDIRECTIONAL;
    f->concurrency = (int32_t)PICK(d, 1, 1, 2, 4, 16);
    f->compute_chunk_tokens = PICK(d, 1, block, 2 * block + 1, t->p.most_input / 8 + 1, t->p.most_input);
    s->config.engine.chunked_prefill = true;
    s->config.engine.enable_prefix_caching = true;
    if (chance(d, 60)) {
        f->policy = kv_test_plugin("fetch", "always");
        f->params = kv_test_params(&s->arena, &f->policy->info);
    }
    /* A budget that decoding members leave little of. */
    struct kv_engine_config *e = &s->config.engine;
    if (chance(d, 25)) e->max_num_batched_tokens = e->max_num_seqs + between(d, 0, 2 * block);
    return kv_arena_text(&s->arena, "\n  both ways, %lld tokens a step, %d at a time",
                         (long long)f->compute_chunk_tokens, f->concurrency);
}

static const char *draw_ends(struct kv_random_scenario *s, const struct tiers_plan *t, kv_tick unlimited_tk)
{
    static const double share[] = {0.1, 0.3, 0.6, 0.9};
    struct dice dice = {.seed = kv_mix64_pair(kv_stream("random_ends"), s->number)};
    struct kv_transfer_config *c = &s->config.transfer;
    const char *text = "";
    if (c->policy && chance(&dice, 85)) {
        c->min_grant = (kv_rate)((double)c->cap * share[between(&dice, 0, 3)]);
        text = kv_arena_text(&s->arena, "\n  no grants for life below %lld", (long long)c->min_grant);
    }
    if (c->period_tk == 0 && s->count < 60 && chance(&dice, 60)) s->config.time_limit_tk = unlimited_tk;
    /* A scrap of the cap for life: the run would last as long as a fetch takes with it, with an epoch each period. */
    if (c->policy && !c->work_conserving && c->min_grant == 0 && c->period_tk > 0) limit_time(s, t);
    return text;
}

const char *kv_random_transfers(struct kv_random_scenario *s, struct tiers_plan *t)
{
    kv_tick unlimited_tk = s->config.time_limit_tk;
    const char *text = draw_resident(s, t);
    text = kv_arena_text(&s->arena, "%s%s", text, draw_transfer(s, t));
    text = kv_arena_text(&s->arena, "%s%s", text, draw_delivery(s, t));
    for (int32_t i = 1; i < s->config.tier_count; i++)
        text = kv_arena_text(&s->arena, "%s%s", text, draw_store(s, t, i));
    struct kv_network_config *n = &s->config.network;
    struct kv_link_config *links = kv_arena_take(&s->arena, (size_t)(n->link_count + 1) * sizeof *links);
    for (int32_t i = 0; i < n->link_count; i++) {
        links[i] = n->links[i];
        text = kv_arena_text(&s->arena, "%s%s", text, draw_link(s, t, &links[i]));
    }
    n->links = links;
    text = kv_arena_text(&s->arena, "%s%s", text, draw_resumes(s, t));
    text = kv_arena_text(&s->arena, "%s%s", text, draw_both_ways(s, t));
    return kv_arena_text(&s->arena, "%s%s", text, draw_ends(s, t, unlimited_tk));
}
