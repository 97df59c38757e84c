/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches: what a transfer policy grants them (T39), and what is told of them in the end (T40). */
#include <math.h>
#include <string.h>

#include "tests/oracle/naive_parts.h"

struct transfer *naive_transfer_of(const struct access *a)
{
    if (!a->load) return NULL;
    return a->pool ? a->load->parts.at[a->part].transfer : a->load->transfer;
}

static double Bps_of(kv_rate rate)
{
    return rate >= KV_RATE_UNLIMITED ? (double)INFINITY : kv_rate_to_Bps(rate);
}

/* Of all parts; whole bytes of each access. */
static int64_t delivered(const struct oracle *o, const struct transfer *t)
{
    int64_t bytes = 0;
    if (t->part < 0) {
        if (t->load->flow) bytes = (int64_t)(t->load->flow->done / KV_SERVICE_PER_BYTE);
    } else {
        const struct load_part *part = &t->load->parts.at[t->part];
        for (size_t i = 0; i < part->accesses.count; i++)
            bytes += (int64_t)(part->accesses.at[i]->done / KV_SERVICE_PER_BYTE);
    }
    return bytes * o->config->tp;
}

/* --- When there is an epoch --- */

static bool anybody_asks(const struct oracle *o)
{
    for (size_t i = 0; i < o->transfers.count; i++) {
        const struct transfer *t = o->transfers.at[i];
        if (t->granted && (t->grant == 0 || o->config->transfer.work_conserving)) return true;
    }
    return false;
}

/* At the first instant from `from` on at which there may be one. */
static void arm_epoch(struct oracle *o, kv_tick from)
{
    kv_tick period = o->config->transfer.period_tk;
    if (period > 0) from = ceil_div(from, period) * period;
    if (from < o->epoch) o->epoch = from;
}

/* --- Begin and end --- */

/* A step with what the request has to compute behind its hit, alone: of it one layer. */
static double window_s(struct oracle *o, const struct load *load)
{
    kv_tick ticks = naive_compute_tk(o, known(o, load->owner), o->seats[load->owner].computed);
    double layer_tk = (double)ticks / (double)o->layers;
    return (layer_tk < 1 ? 1 : layer_tk) / (double)KV_TICKS_PER_S;
}

/* What one access of it may go at when it is alone at its store. */
static kv_rate stream_limit(struct oracle *o, const struct load *load, const struct load_part *part)
{
    const struct tier_pool *p = part->pool;
    int64_t chunks = load->mode == KV_DELIVERY_CHUNKWISE ? 1 : (int64_t)part->index.count;
    struct kv_access access = {.delivery = load->mode, .chunks = chunks, .number = (uint64_t)p->numbers,
                               .under_way = 1};
    struct kv_access_plan plan = naive_plan(o, p->tier, &access);
    struct path path;
    naive_path(o, p, load->instance, false, access.number, &path);
    int64_t bytes = chunks * o->config->tier[p->tier].chunk_tokens * naive_read_bytes(o, o->layers) * o->config->tp;
    kv_rate messages = naive_message_rate(o, &path, bytes, plan.requests);
    return messages < plan.limit ? messages : plan.limit;
}

/* A fetch over the network asks for its share (T39). */
static void ask_for_grant(struct oracle *o, struct transfer *t)
{
    const struct load_part *part = &t->load->parts.at[t->part];
    t->granted = true;
    t->flow = (struct kv_transfer_flow){
        .serial = o->asked++, .layers = o->layers,
        .layer_bytes = (double)t->record.bytes / (double)o->layers, .window_s = window_s(o, t->load),
        .limit_Bps = Bps_of(stream_limit(o, t->load, part)) * t->parts_width,
    };
    arm_epoch(o, o->now);
}

void naive_transfer_begins(struct oracle *o, struct load *load, int32_t part)
{
    struct transfer *t = kv_arena_take(&o->arena, sizeof *t);
    int64_t tokens;
    *t = (struct transfer){.load = load, .part = part, .parts_width = 1};
    t->record = (struct kv_fetch_record){
        .request = load->job, .instance = (uint16_t)load->instance, .mode = (uint8_t)load->mode, .begin_tk = o->now,
        .granted_tk = -1, .first_tk = -1, .end_tk = -1, .limit_Bps = (double)INFINITY,
    };
    kv_vec_push(&o->transfers, t);
    if (part < 0) {
        load->transfer = t;
        tokens = o->jobs[load->job].request->input_tokens - o->seats[load->owner].computed;
    } else {
        struct load_part *of = &load->parts.at[part];
        int64_t chunks = (int64_t)of->index.count;
        of->transfer = t;
        t->record.tier = (uint8_t)of->pool->tier;
        tokens = chunks * o->config->tier[of->pool->tier].chunk_tokens;
        if (load->mode == KV_DELIVERY_CHUNKWISE)
            t->parts_width = (int32_t)(chunks < o->config->fetch.concurrency ? chunks : o->config->fetch.concurrency);
    }
    t->record.bytes = tokens * naive_read_bytes(o, o->layers) * o->config->tp;
    if (part >= 0 && o->config->transfer.policy && o->config->tier[t->record.tier].store->network) ask_for_grant(o, t);
}

void naive_transfer_first(struct transfer *t, kv_rate limit)
{
    t->record.limit_Bps = Bps_of(limit);
}

static void tell(struct oracle *o, struct transfer *t, bool cut)
{
    struct kv_err err;
    t->record.cut = cut;
    o->coverage->cut_fetches += cut;
    t->record.end_tk = o->now;
    t->record.delivered_bytes = delivered(o, t);
    kv_assert(cut || t->record.delivered_bytes == t->record.bytes);
    if (o->sink && o->sink->fetch && !o->sink->fetch(o->sink->state, &t->record, &err))
        kv_assert(!"the sink takes every fetch");
}

void naive_transfer_over(struct oracle *o, struct transfer *t, bool cut)
{
    size_t i = 0;
    while (o->transfers.at[i] != t) i++;
    o->transfers.count--;
    memmove(&o->transfers.at[i], &o->transfers.at[i + 1], (o->transfers.count - i) * sizeof *o->transfers.at);
    tell(o, t, cut);
    if (t->granted && o->config->transfer.period_tk == 0 && anybody_asks(o)) arm_epoch(o, o->now);
}

void naive_transfers_end(struct oracle *o)
{
    for (size_t i = 0; i < o->transfers.count; i++) tell(o, o->transfers.at[i], true);
    kv_vec_close(&o->transfers);
}

/* --- An epoch --- */

static kv_rate granted_in_all(const struct oracle *o)
{
    kv_rate sum = 0;
    for (size_t i = 0; i < o->transfers.count; i++) sum += o->transfers.at[i]->grant;
    return sum;
}

static kv_rate rate_of(double Bps)
{
    if (!(Bps > 0)) return 0;        /* NaN too */
    return Bps >= kv_rate_to_Bps(KV_RATE_UNLIMITED) ? KV_RATE_UNLIMITED : kv_rate_from_Bps(Bps);
}

static bool moves(const struct oracle *o, const struct transfer *t)
{
    for (size_t i = 0; i < o->accesses.count; i++)
        if (naive_transfer_of(o->accesses.at[i]) == t && naive_moving(o->accesses.at[i])) return true;
    return false;
}

/* True when that is another grant than before. */
static bool grant(struct oracle *o, struct transfer *t, kv_rate rate)
{
    if (rate == t->grant) return false;
    if (t->record.granted_tk < 0) {
        t->record.granted_tk = o->now;
        t->record.grant_Bps = kv_rate_to_Bps(rate);
    } else {
        t->record.regrants++;
        o->coverage->regranted += moves(o, t);
    }
    t->grant = rate;
    o->rates_stale = true;
    return true;
}

/* A grant for life that is too small to be held (T39). */
static bool scrap(const struct oracle *o, const struct kv_transfer_flow *flow, double Bps)
{
    if (o->config->transfer.work_conserving) return false;
    double no_stall = flow->layer_bytes / flow->window_s, least = kv_rate_to_Bps(o->config->transfer.min_grant);
    if (flow->limit_Bps < least) least = flow->limit_Bps;
    if (no_stall < least) least = no_stall;
    return Bps < least;
}

/* All who ask (work-conserving: all who are there) are given what the policy says. True when a grant changed. */
static bool divide(struct oracle *o)
{
    const struct kv_transfer_config *c = &o->config->transfer;
    KV_VEC(struct transfer *) who = {0};
    KV_VEC(struct kv_transfer_flow) seen = {0};
    bool changed = false;
    for (size_t i = 0; i < o->transfers.count; i++) {
        struct transfer *t = o->transfers.at[i];
        if (!t->granted || (t->grant > 0 && !c->work_conserving)) continue;
        struct kv_transfer_flow flow = t->flow;
        flow.left_bytes = (double)(t->record.bytes - delivered(o, t));
        flow.waited_s = kv_tick_to_s(o->now - t->record.begin_tk);
        kv_assert(flow.left_bytes > 0 && flow.window_s > 0 && flow.layer_bytes > 0);
        kv_vec_push(&who, t);
        kv_vec_push(&seen, flow);
    }
    if (who.count > 0) {
        kv_rate left = c->work_conserving ? c->cap : c->cap - granted_in_all(o);
        double *rates = kv_arena_take(&o->arena, who.count * sizeof *rates);
        c->policy->grant(c->params, seen.at, (int32_t)seen.count, kv_rate_to_Bps(left > 0 ? left : 0), rates);
        bool held = granted_in_all(o) > 0;
        for (size_t i = 0; i < who.count; i++)
            held = held || (rate_of(rates[i]) > 0 && !scrap(o, &seen.at[i], rates[i]));
        for (size_t i = 0; i < who.count; i++) {
            bool none = held && scrap(o, &seen.at[i], rates[i]);
            o->coverage->scraps += none && rate_of(rates[i]) > 0;
            changed = grant(o, who.at[i], none ? 0 : rate_of(rates[i])) || changed;
        }
    }
    kv_vec_close(&who);
    kv_vec_close(&seen);
    return changed;
}

void naive_epochs(struct oracle *o)
{
    if (o->epoch > o->now) return;
    o->epoch = KV_TICK_NEVER;
    bool changed = divide(o);
    if (o->config->transfer.period_tk == 0) return;
    o->coverage->periodic_grants += changed;
    /* Epochs alone do not keep a run alive (T43). */
    if (anybody_asks(o) && (changed || !naive_at_rest(o)))
        arm_epoch(o, o->now + 1);
}

/* --- What follows from grants --- */

static kv_rate effective(const struct oracle *o, const struct transfer *t)
{
    return naive_scaled(o, t->grant);
}

kv_rate naive_grant_limit(const struct oracle *o, const struct access *a)
{
    const struct transfer *t = naive_transfer_of(a);
    if (!t || !t->granted) return KV_RATE_UNLIMITED;
    return effective(o, t) / t->parts_width;
}

/* No more is granted than there is, and nobody goes faster than granted. */
void naive_check_grants(const struct oracle *o)
{
    const struct kv_transfer_config *c = &o->config->transfer;
    if (!c->policy) return;
    /* Grants are doubles: a policy may be a rounding above the cap. */
    kv_assert(granted_in_all(o) <= c->cap + (kv_rate)o->transfers.count + (c->cap >> 40));
    for (size_t i = 0; i < o->transfers.count; i++) {
        const struct transfer *t = o->transfers.at[i];
        kv_service carried = 0;
        for (size_t k = 0; t->granted && k < o->accesses.count; k++) {
            const struct access *a = o->accesses.at[k];
            if (naive_transfer_of(a) != t || !naive_moving(a)) continue;
            kv_service rate = (kv_service)a->rate * o->config->tp;
            kv_assert(rate <= a->limit);
            carried += rate;
        }
        kv_assert(!t->granted || carried <= effective(o, t));
    }
}
