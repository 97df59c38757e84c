/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/serve/fetch.h"

#include <math.h>

#include "sim/serve/grant.h"
#include "sim/serve/load_parts.h"

static struct kv_fetch *fetch_at(const struct kv_tiers *t, uint32_t fetch)
{
    return kv_fetch_at(&t->fetches, fetch);
}

void kv_fetches_open(struct kv_tiers *t)
{
    t->fetches = (struct kv_fetches){.on = t->serve->sink->fetch || t->serve->config->transfer.policy,
                                     .present = KV_ILIST_EMPTY};
    kv_pool_open(&t->fetches.pool, sizeof(struct kv_fetch));
    kv_grants_open(t);
}

void kv_fetches_close(struct kv_tiers *t)
{
    kv_pool_close(&t->fetches.pool);
    kv_vec_close(&t->fetches.link);
    kv_vec_close(&t->fetches.who);
    kv_vec_close(&t->fetches.flow);
    kv_vec_close(&t->fetches.grant_Bps);
}

void kv_fetch_begin(struct kv_tiers *t, uint32_t load, int32_t part)
{
    if (!t->fetches.on) return;
    struct kv_load *l = kv_load_at(t, load);
    struct kv_load_part *p = &l->part[part];
    uint32_t fetch = kv_pool_take(&t->fetches.pool);
    p->fetch = fetch;
    *fetch_at(t, fetch) = (struct kv_fetch){
        .load = load, .part = part, .number = p->pool ? p->pool->accesses : 0,
        .record = {
            .request = kv_seq_at(t->serve, l->owner)->request, .instance = (uint16_t)l->instance->id,
            .tier = (uint8_t)p->tier, .mode = (uint8_t)l->mode,
            .bytes = kv_load_part_bytes(t, l, p) * t->serve->config->tp,
            .begin_tk = kv_engine_now(t->serve->engine), .granted_tk = -1, .first_tk = -1, .end_tk = -1,
            .limit_Bps = (double)INFINITY,
        },
    };
    kv_ilinks_cover(&t->fetches.link, fetch);
    kv_ilist_push_tail(&t->fetches.present, &t->fetches.link, fetch);
    if (kv_grant_manages(t, p->tier)) kv_grant_ask(t, fetch);
}

void kv_fetch_first_access(struct kv_tiers *t, const struct kv_load_part *p)
{
    if (p->fetch != KV_NONE) fetch_at(t, p->fetch)->number = p->pool->accesses;
}

int64_t kv_fetch_delivered_bytes(const struct kv_tiers *t, const struct kv_fetch *f, kv_tick at_tk)
{
    const struct kv_load_part *p = &kv_load_at(t, f->load)->part[f->part];
    int64_t bytes = 0;
    if (p->access != KV_NONE) bytes = kv_access_moved_bytes(t, p->access, at_tk);
    if (p->get) bytes = p->arrived_chunks * t->tier[p->tier].read_bytes;
    for (int32_t i = 0; p->get && i < kv_load_width(t); i++)
        if (p->get[i].access != KV_NONE) bytes += kv_access_moved_bytes(t, p->get[i].access, at_tk);
    return bytes * t->serve->config->tp;
}

static void tell(struct kv_tiers *t, struct kv_fetch *f, bool cut, kv_tick end_tk)
{
    const struct kv_sink *sink = t->serve->sink;
    f->record.cut = cut;
    f->record.end_tk = end_tk;
    f->record.delivered_bytes = cut ? kv_fetch_delivered_bytes(t, f, end_tk) : f->record.bytes;
    if (sink->fetch && t->serve->err->code == KV_OK) sink->fetch(sink->state, &f->record, t->serve->err);
}

void kv_fetch_end(struct kv_tiers *t, struct kv_load_part *p, bool cut)
{
    if (p->fetch == KV_NONE) return;
    tell(t, fetch_at(t, p->fetch), cut, kv_engine_now(t->serve->engine));
    kv_ilist_unlink(&t->fetches.present, &t->fetches.link, p->fetch);
    if (fetch_at(t, p->fetch)->managed) kv_grant_end(t, p->fetch);
    kv_pool_give(&t->fetches.pool, p->fetch);
    p->fetch = KV_NONE;
}

void kv_fetches_finish(struct kv_tiers *t, kv_tick end_tk)
{
    for (uint32_t i = t->fetches.present.head; i != KV_NONE; i = t->fetches.link.at[i].next)
        tell(t, fetch_at(t, i), true, end_tk);
}

void kv_fetch_planned(struct kv_tiers *t, uint32_t fetch, uint64_t number, kv_rate limit)
{
    if (fetch == KV_NONE) return;
    struct kv_fetch *f = fetch_at(t, fetch);
    if (number == f->number && limit < KV_RATE_UNLIMITED) f->record.limit_Bps = kv_rate_to_Bps(limit);
}

void kv_fetch_flows(struct kv_tiers *t, uint32_t fetch)
{
    if (fetch == KV_NONE) return;
    struct kv_fetch_record *r = &fetch_at(t, fetch)->record;
    if (r->first_tk < 0) r->first_tk = kv_engine_now(t->serve->engine);
}

void kv_fetch_refused(struct kv_tiers *t, uint32_t fetch)
{
    if (fetch != KV_NONE) fetch_at(t, fetch)->record.refused++;
}
