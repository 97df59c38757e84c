/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/grant.h"

#include <math.h>

#include "sim/serve/instance_parts.h"
#include "sim/serve/load_parts.h"

static void epoch(void *owner, uint32_t kind);

void kv_grants_open(struct kv_tiers *t)
{
    if (t->transfer->policy)
        t->fetches.epoch_timer = kv_timer_new(t->serve->engine, KV_CLASS_POLICY, epoch, t, 0);
}

/* ---- epochs ---------------------------------------------------------------------------------------------------- */

static void arm(struct kv_tiers *t, kv_tick due_tk)
{
    if (due_tk < kv_timer_due_tk(t->serve->engine, t->fetches.epoch_timer))
        kv_timer_arm(t->serve->engine, t->fetches.epoch_timer, due_tk);
}

/* Somebody could be granted something at an epoch. */
static bool wanted(const struct kv_tiers *t)
{
    return t->fetches.asking > 0 || (t->transfer->work_conserving && t->fetches.managed > 0);
}

/* The whole multiple of the period at or after `at_tk`; on arrival: at_tk. */
static kv_tick epoch_at(const struct kv_tiers *t, kv_tick at_tk)
{
    kv_tick period_tk = t->transfer->period_tk;
    return period_tk > 0 ? (at_tk + period_tk - 1) / period_tk * period_tk : at_tk;
}

/* ---- grants ---------------------------------------------------------------------------------------------------- */

static void change_limits(struct kv_tiers *t, const struct kv_fetch *f)
{
    const struct kv_load_part *p = &kv_load_at(t, f->load)->part[f->part];
    if (p->access != KV_NONE) kv_access_limit(t, p->access);
    for (int32_t i = 0; p->get && i < kv_load_width(t); i++)
        if (p->get[i].access != KV_NONE) kv_access_limit(t, p->get[i].access);
}

/* True when it is another. */
static bool set_grant(struct kv_tiers *t, struct kv_fetch *f, kv_rate grant)
{
    t->fetches.asking += (grant == 0) - f->asks;
    f->asks = grant == 0;
    if (grant == f->grant) return false;
    f->grant = grant;
    if (f->record.granted_tk >= 0) {
        f->record.regrants++;
    } else {
        f->record.granted_tk = kv_engine_now(t->serve->engine);
        f->record.grant_Bps = kv_rate_to_Bps(grant);
    }
    kv_log(t->serve->engine, "grant", "request=%lld tier=%d Bps=%.0f", (long long)f->record.request, f->record.tier,
           kv_rate_to_Bps(grant));
    change_limits(t, f);
    return true;
}

/* Those who are to be granted, in the order of their coming; returns the sum of the grants of the others. */
static kv_service gather(struct kv_tiers *t)
{
    struct kv_fetches *all = &t->fetches;
    kv_tick now = kv_engine_now(t->serve->engine);
    kv_service held = 0;
    all->who.count = all->flow.count = 0;
    for (uint32_t i = all->present.head; i != KV_NONE; i = all->link.at[i].next) {
        const struct kv_fetch *f = kv_fetch_at(all, i);
        if (!f->managed) continue;
        if (!f->asks && !t->transfer->work_conserving) {
            held += f->grant;
            continue;
        }
        kv_vec_push(&all->who, i);
        kv_vec_push(&all->flow, ((struct kv_transfer_flow){
            .serial = f->serial, .layers = t->layers, .layer_bytes = (double)f->record.bytes / (double)t->layers,
            .left_bytes = (double)(f->record.bytes - kv_fetch_delivered_bytes(t, f, now)), .window_s = f->window_s,
            .waited_s = kv_tick_to_s(now - f->record.begin_tk), .limit_Bps = f->stream_Bps}));
    }
    return held;
}

static kv_rate rate_of(double Bps)
{
    if (!(Bps > 0)) return 0;
    return Bps < kv_rate_to_Bps(KV_RATE_UNLIMITED) ? kv_rate_from_Bps(Bps) : KV_RATE_UNLIMITED;
}

/* Grants for life: scraps are nothing (T39), but where nobody would hold anything without them. */
static void leave_scraps(struct kv_tiers *t, kv_service held)
{
    struct kv_fetches *all = &t->fetches;
    double min_Bps = kv_rate_to_Bps(t->transfer->min_grant);
    bool any = held > 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < all->who.count; i++) {
            bool scrap = all->grant_Bps.at[i] < kv_transfer_least_Bps(&all->flow.at[i], min_Bps);
            if (pass == 0) any = any || (!scrap && rate_of(all->grant_Bps.at[i]) > 0);
            else if (any && scrap) all->grant_Bps.at[i] = 0;
        }
}

/* True when a grant has changed. */
static bool divide(struct kv_tiers *t)
{
    struct kv_fetches *all = &t->fetches;
    kv_service held = gather(t);
    if (all->who.count == 0) return false;
    kv_rate cap = held < t->transfer->cap ? (kv_rate)(t->transfer->cap - held) : 0;
    kv_vec_reserve(&all->grant_Bps, all->who.count);
    t->transfer->policy->grant(t->transfer->params, all->flow.at, (int32_t)all->who.count, kv_rate_to_Bps(cap),
                               all->grant_Bps.at);
    if (!t->transfer->work_conserving) leave_scraps(t, held);
    bool changed = false;
    for (size_t i = 0; i < all->who.count; i++)
        changed = set_grant(t, kv_fetch_at(all, all->who.at[i]), rate_of(all->grant_Bps.at[i])) || changed;
    return changed;
}

static void epoch(void *owner, uint32_t kind)
{
    struct kv_tiers *t = owner;
    (void)kind;
    bool changed = divide(t);
    /* Where nothing else is to come, an epoch that changed nothing is the last: no later one would (T43). */
    if (t->transfer->period_tk > 0 && wanted(t) && (changed || !kv_access_idle(t)))
        arm(t, epoch_at(t, kv_engine_now(t->serve->engine) + 1));
}

/* ---- fetches come and go --------------------------------------------------------------------------------------- */

void kv_grant_ask(struct kv_tiers *t, uint32_t fetch)
{
    struct kv_fetch *f = kv_fetch_at(&t->fetches, fetch);
    const struct kv_load *l = kv_load_at(t, f->load);
    const struct kv_load_part *p = &l->part[f->part];
    const struct kv_seq *q = kv_seq_at(t->serve, l->owner);
    int32_t width = l->mode == KV_DELIVERY_CHUNKWISE ? kv_load_width(t) : 1;
    kv_tick compute_tk = kv_look_up_compute_tk(l->instance, q->computed_tokens, kv_known_tokens(q));
    kv_rate stream = kv_access_stream_limit(t, p->pool, l->instance->id, l->mode, p->chunks);
    f->managed = f->asks = true;
    f->width = width < p->chunks ? width : p->chunks;
    f->serial = t->fetches.managed_ever++;
    f->window_s = fmax((double)compute_tk / (double)t->layers, 1) / (double)KV_TICKS_PER_S;
    f->stream_Bps = stream < KV_RATE_UNLIMITED ? kv_rate_to_Bps(stream) * (double)f->width : (double)INFINITY;
    t->fetches.managed++;
    t->fetches.asking++;
    arm(t, epoch_at(t, kv_engine_now(t->serve->engine)));
}

void kv_grant_end(struct kv_tiers *t, uint32_t fetch)
{
    t->fetches.managed--;
    t->fetches.asking -= kv_fetch_at(&t->fetches, fetch)->asks;
    if (t->transfer->period_tk == 0 && wanted(t)) arm(t, kv_engine_now(t->serve->engine));
}

kv_rate kv_grant_limit(const struct kv_tiers *t, uint32_t fetch, kv_rate own)
{
    if (fetch == KV_NONE) return own;
    const struct kv_fetch *f = kv_fetch_at(&t->fetches, fetch);
    if (!f->managed) return own;
    kv_rate granted = f->grant;
    if (granted < KV_RATE_UNLIMITED)
        granted = (kv_rate)((double)granted * t->serve->config->network.efficiency) / f->width;
    return granted < own ? granted : own;
}
