/* SPDX-License-Identifier: Apache-2.0 */
/* Flows over links against a naive engine: every flow by itself, all rates solved anew after every change, what it got
 * added up flow by flow. Both play the same random script and must write the same story, word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/maxmin.h"
#include "sim/serve/net_private.h"

#define LINKS_MAX 6
#define PATHS_MAX 6
#define FLOWS_MAX 400
#define STEPS 90
#define LAYERS_MAX 12
#define CURVE_MAX 9

/* ---- the script ---- */

/* When a step happens within its tick: before the completions of it, after them, after the settling. */
enum phase { EARLY, MIDDLE, LATE, PHASES };
struct step { kv_tick tick; enum phase phase; };
struct path { struct kv_hop hop[4]; int32_t hops; };
struct script {
    uint64_t seed;
    int64_t bytes_scale, ticks_scale;
    uint32_t links, paths;
    kv_rate capacity[LINKS_MAX], limit[4], curve[LINKS_MAX][CURVE_MAX];
    int32_t curve_count[LINKS_MAX];
    bool in_order[LINKS_MAX];
    struct path path[PATHS_MAX];
    struct step step[STEPS];
};

static uint64_t draw(uint64_t seed, uint64_t a, uint64_t b)
{
    return kv_mix64_pair(kv_mix64_pair(seed, a), b);
}

static kv_rate draw_rate(const struct script *s, uint64_t a)
{
    uint64_t most = (uint64_t)(s->bytes_scale * 4 / s->ticks_scale) << 32;
    uint64_t kind = draw(s->seed, a, 1) % 12;
    if (kind == 0) return 0;
    if (kind == 1) return 1 + (kv_rate)(draw(s->seed, a, 2) % 1000);
    return 1 + (kv_rate)(draw(s->seed, a, 2) % most);
}

static struct script random_script(uint64_t seed)
{
    static const int64_t bytes_scale[] = {50, 3000, 1000000, INT64_C(1) << 40};
    static const int64_t ticks_scale[] = {40, 500, 4000, INT64_C(1) << 30};
    uint64_t scale = seed % 4;
    struct script s = {.seed = seed, .bytes_scale = bytes_scale[scale], .ticks_scale = ticks_scale[scale]};
    s.links = 1 + (uint32_t)(draw(seed, 0, 0) % LINKS_MAX);
    s.paths = 1 + (uint32_t)(draw(seed, 0, 1) % PATHS_MAX);
    bool with_queues = draw(seed, 0, 2) % 3 == 0;
    for (uint32_t l = 0; l < s.links; l++) {
        s.capacity[l] = draw_rate(&s, 100 + l);
        s.in_order[l] = with_queues && draw(seed, 200 + l, 0) % 2 == 0;
        if (draw(seed, 0, 3) % 2 == 0 && draw(seed, 250 + l, 0) % 3)
            s.curve_count[l] = 1 + (int32_t)(draw(seed, 250 + l, 1) % CURVE_MAX);
        for (int32_t i = 0; i < s.curve_count[l]; i++)
            s.curve[l][i] = draw_rate(&s, 1000 + l * CURVE_MAX + (uint64_t)i);
    }
    for (uint32_t i = 1; i < 4; i++) s.limit[i] = draw_rate(&s, 300 + i) / 4;
    s.limit[0] = KV_RATE_UNLIMITED;
    for (uint32_t p = 0; p < s.paths; p++) {
        int32_t wanted = (int32_t)(draw(seed, 400 + p, 0) % 5);
        uint32_t first = (uint32_t)(draw(seed, 400 + p, 1) % s.links);
        for (int32_t h = 0; h < wanted && h < (int32_t)s.links; h++)
            s.path[p].hop[s.path[p].hops++] = (struct kv_hop){
                (first + (uint32_t)h) % s.links, 1 + (int32_t)(draw(seed, 500 + p, (uint64_t)h) % 8)};
    }
    kv_tick tick = 0;
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t gap = draw(seed, 600, i);
        if (gap % 4) tick += 1 + (kv_tick)(gap / 4 % (uint64_t)(s.ticks_scale / 8));
        enum phase phase = (enum phase)(draw(seed, 601, i) % PHASES);
        if (i > 0 && tick == s.step[i - 1].tick && phase < s.step[i - 1].phase) phase = s.step[i - 1].phase;
        s.step[i] = (struct step){tick, phase};
    }
    return s;
}

static int32_t layers_of(const struct script *s, uint64_t id, int64_t bytes, int64_t end[LAYERS_MAX])
{
    int32_t wanted = 1 + (int32_t)(draw(s->seed, 700, id) % LAYERS_MAX), count = 0;
    int64_t at = 0;
    for (int32_t l = 0; l + 1 < wanted && at < bytes - 1; l++) {
        at += 1 + (int64_t)(draw(s->seed, 701 + id, (uint64_t)l) % (uint64_t)(2 * bytes / wanted + 1));
        if (at >= bytes) break;
        end[count++] = at;
    }
    end[count++] = bytes;
    return count;
}

/* ---- an engine, either one ---- */

struct play;
struct engine_ops {
    uint64_t (*start)(struct play *p, uint32_t path, kv_rate limit, int64_t bytes, int64_t permitted);
    void (*permit)(struct play *p, uint64_t id, int64_t permitted);
    void (*mark)(struct play *p, uint64_t id, int64_t mark);
    void (*limit)(struct play *p, uint64_t id, kv_rate limit);
    void (*drop)(struct play *p, uint64_t id);
    int64_t (*moved)(struct play *p, uint64_t id);
    kv_rate (*rate)(struct play *p, uint64_t id);
    kv_tick (*reached)(struct play *p, uint64_t id, int32_t layer);
    kv_service (*carried)(struct play *p, uint32_t link);
    int64_t (*flows_on)(struct play *p, uint32_t link);
};

/* What the script knows of a flow. `marked_at`: permitted when it was marked. */
struct known { int64_t bytes, permitted, marked_at; kv_rate limit; bool live, plain; };
/* What the naive engine knows. mark 0: none. */
struct naive { uint32_t path; kv_rate limit, rate; int64_t bytes, permitted, mark; kv_service got;
               bool running, dropped;
               kv_tick reached[LAYERS_MAX]; };

struct play {
    const struct script *s;
    const struct engine_ops *ops;
    kv_tick now;
    struct known known[FLOWS_MAX];
    uint64_t flows;
    uint32_t steps;
    KV_VEC(int64_t) story;
    /* the real one */
    struct kv_engine *engine;
    struct kv_net *net;
    uint32_t slot[FLOWS_MAX], timer[PHASES];
    /* the naive one */
    struct naive naive[FLOWS_MAX];
};

static void tell(struct play *p, int64_t word)
{
    kv_vec_push(&p->story, word);
}

static void start_one(struct play *p, uint64_t luck)
{
    if (p->flows == FLOWS_MAX) return;
    const struct script *s = p->s;
    int64_t bytes = 1 + (int64_t)(draw(luck, 1, 0) % (uint64_t)s->bytes_scale), permitted = bytes;
    if (draw(luck, 1, 1) % 3 == 0) permitted = 1 + (int64_t)(draw(luck, 1, 2) % (uint64_t)bytes);
    if (draw(luck, 1, 3) % 8 == 0) bytes = permitted = 1 + bytes % 7;
    kv_rate limit = s->limit[draw(luck, 1, 4) % 6 > 3 ? 0 : draw(luck, 1, 4) % 6];
    p->known[p->flows] = (struct known){bytes, permitted, 0, limit, true, true};
    uint64_t id = p->ops->start(p, (uint32_t)(draw(luck, 1, 5) % s->paths), limit, bytes, permitted);
    assert_int_equal(id, p->flows);
    p->flows++;
}

static void permit_more(struct play *p, uint64_t id, uint64_t luck)
{
    struct known *k = &p->known[id];
    int64_t more = 1 + (k->bytes - k->permitted) / (1 + (int64_t)(luck % 3));
    if (k->permitted + more > k->bytes) more = k->bytes - k->permitted;
    k->permitted += more;
    p->ops->permit(p, id, k->permitted);
}

static void mark_one(struct play *p, uint64_t id, uint64_t luck)
{
    struct known *k = &p->known[id];
    int64_t moved = p->ops->moved(p, id);
    if (moved == k->permitted) return;
    k->marked_at = k->permitted;
    p->ops->mark(p, id, moved + 1 + (int64_t)(luck % (uint64_t)(k->permitted - moved)));
}

static void drop_one(struct play *p, uint64_t id)
{
    p->known[id].live = false;
    p->ops->drop(p, id);
}

static void limit_one(struct play *p, uint64_t id, kv_rate limit)
{
    struct known *k = &p->known[id];
    if (limit != k->limit && p->ops->moved(p, id) < k->bytes) {
        k->plain = false;
        k->limit = limit;
    }
    p->ops->limit(p, id, limit);
}

static void look(struct play *p, bool rates)
{
    for (uint32_t l = 0; l < p->s->links; l++) {
        kv_service carried = p->ops->carried(p, l);
        tell(p, (int64_t)(carried >> 32));
        tell(p, (int64_t)(uint32_t)carried);
        tell(p, p->ops->flows_on(p, l));
    }
    for (uint64_t id = 0; id < p->flows; id++) {
        if (!p->known[id].live) continue;
        int64_t moved = p->ops->moved(p, id), end[LAYERS_MAX];
        tell(p, moved);
        if (rates) tell(p, p->ops->rate(p, id));
        if (!p->known[id].plain) continue;
        int32_t layers = layers_of(p->s, id, p->known[id].bytes, end);
        for (int32_t l = 0; l < layers && end[l] <= moved; l++) tell(p, p->ops->reached(p, id, l));
    }
}

/* Any live flow, or none. */
static uint64_t someone(const struct play *p, uint64_t luck)
{
    for (uint64_t i = 0; i < p->flows; i++) {
        uint64_t id = (luck + i) % p->flows;
        if (p->known[id].live) return id;
    }
    return UINT64_MAX;
}

static void take_step(struct play *p, uint32_t step, bool first_of_tick)
{
    uint64_t luck = draw(p->s->seed, 800, step), other = someone(p, luck >> 20);
    unsigned what = (unsigned)(luck % 16);
    if (first_of_tick && p->s->step[step].phase == EARLY) look(p, true);
    else if (what < 3) look(p, false);
    if (what < 7) start_one(p, luck);
    else if (what < 9) for (uint64_t i = 0; i < 6; i++) start_one(p, draw(luck, 2, i));
    else if (other == UINT64_MAX) return;
    else if (what < 11) drop_one(p, other);
    else if (what < 13) permit_more(p, other, luck >> 8);
    else if (what < 14) mark_one(p, other, luck >> 8);
    else limit_one(p, other, p->s->limit[luck >> 8 & 3]);
}

static void told(struct play *p, uint64_t id, int64_t bytes)
{
    uint64_t luck = draw(p->s->seed, 900 + id, (uint64_t)bytes);
    struct known *k = &p->known[id];
    assert_true(k->live);
    tell(p, p->now);
    tell(p, (int64_t)id);
    tell(p, bytes);
    bool on_the_way = k->permitted == k->marked_at && bytes < k->permitted;
    if (bytes < k->bytes && !on_the_way) k->plain = false;   /* it has paused, or may have */
    if (k->plain) {
        int64_t end[LAYERS_MAX];
        int32_t layers = layers_of(p->s, id, k->bytes, end);
        for (int32_t l = 0; l < layers && end[l] <= bytes; l++) tell(p, p->ops->reached(p, id, l));
    }
    if (bytes < k->bytes && luck % 3 == 0) permit_more(p, id, luck >> 8);
    if (luck >> 16 & 1) start_one(p, luck);
    if ((luck >> 17 & 7) == 0) {
        uint64_t other = someone(p, luck >> 24);
        if (luck >> 20 & 1) drop_one(p, other);
        else if (luck >> 22 & 1) limit_one(p, other, p->s->limit[luck >> 8 & 3]);
        else permit_more(p, other, luck >> 8);
    }
    if (k->live && luck >> 23 & 1) mark_one(p, id, luck >> 8);
    if (k->live && bytes == k->bytes && (luck >> 21 & 3)) drop_one(p, id);
}

/* ---- the real engine ---- */

static uint64_t real_start(struct play *p, uint32_t path, kv_rate limit, int64_t bytes, int64_t permitted)
{
    uint32_t slot = kv_flow_start(p->net, path, limit, bytes, permitted, p->flows);
    p->slot[p->flows] = slot;
    return p->flows;
}
static void real_permit(struct play *p, uint64_t id, int64_t permitted)
{
    kv_flow_permit(p->net, p->slot[id], permitted);
}
static void real_mark(struct play *p, uint64_t id, int64_t mark)
{
    kv_flow_mark(p->net, p->slot[id], mark);
}
static void real_limit(struct play *p, uint64_t id, kv_rate limit)
{
    kv_flow_limit(p->net, p->slot[id], limit);
}
static void real_drop(struct play *p, uint64_t id)
{
    kv_flow_drop(p->net, p->slot[id]);
}
static int64_t real_moved(struct play *p, uint64_t id)
{
    return kv_flow_moved_bytes(p->net, p->slot[id]);
}
static kv_rate real_rate(struct play *p, uint64_t id)
{
    return kv_net_flow_rate(p->net, p->slot[id]);
}
static kv_tick real_reached(struct play *p, uint64_t id, int32_t layer)
{
    int64_t end[LAYERS_MAX];
    kv_tick all[LAYERS_MAX];
    layers_of(p->s, id, p->known[id].bytes, end);
    kv_flow_reached_all(p->net, p->slot[id], end, layer + 1, all);
    kv_tick alone;
    kv_flow_reached_all(p->net, p->slot[id], &end[layer], 1, &alone);
    assert_int_equal(all[layer], alone);
    return alone;
}
static kv_service real_carried(struct play *p, uint32_t link)
{
    return kv_net_carried(p->net, link);
}
static int64_t real_flows_on(struct play *p, uint32_t link)
{
    return kv_net_flows_on(p->net, link);
}
static const struct engine_ops real_ops = {real_start, real_permit, real_mark, real_limit, real_drop,
                                           real_moved, real_rate, real_reached, real_carried, real_flows_on};

static void real_done(void *owner, uint32_t flow, uint64_t tag, int64_t bytes_done)
{
    struct play *p = owner;
    p->now = kv_engine_now(p->engine);
    assert_int_equal(flow, p->slot[tag]);
    told(p, tag, bytes_done);
}

static void arm_steps(struct play *p)
{
    if (p->steps == STEPS) return;
    const struct step *next = &p->s->step[p->steps];
    kv_timer_arm(p->engine, p->timer[next->phase], next->tick);
}

static void real_step(void *owner, uint32_t kind)
{
    struct play *p = owner;
    p->now = kv_engine_now(p->engine);
    do {
        take_step(p, p->steps, p->steps == 0 || p->s->step[p->steps - 1].tick < p->now);
        p->steps++;
    } while (p->steps < STEPS && p->s->step[p->steps].tick == p->now && p->s->step[p->steps].phase == kind);
    arm_steps(p);
}

static struct kv_net_counters play_real(struct play *p)
{
    static const enum kv_class class[PHASES] = {KV_CLASS_COMPLETION, KV_CLASS_ARRIVAL, KV_CLASS_BOUNDARY};
    struct kv_err err = {0};
    p->ops = &real_ops;
    p->engine = kv_engine_open(p->s->seed);
    for (uint32_t i = 0; i < PHASES; i++) p->timer[i] = kv_timer_new(p->engine, class[i], real_step, p, i);
    p->net = kv_net_open(p->engine, real_done, p);
    if (p->s->seed % 3) p->net->many = p->s->seed % 3 * 3;   /* few are enough for buckets */
    for (uint32_t l = 0; l < p->s->links; l++) {
        assert_int_equal(kv_net_add_link(p->net, p->s->capacity[l], p->s->in_order[l]), l);
        if (p->s->curve_count[l]) kv_net_link_curve(p->net, l, p->s->curve[l], p->s->curve_count[l]);
    }
    for (uint32_t i = 0; i < p->s->paths; i++)
        assert_int_equal(kv_net_add_path(p->net, p->s->path[i].hop, p->s->path[i].hops), i);
    arm_steps(p);
    while (kv_engine_step(p->engine, &err)) continue;
    assert_int_equal(err.code, KV_OK);
    look(p, true);
    struct kv_net_counters counters = kv_net_counters(p->net);
    assert_int_equal(counters.flows, p->flows);
    kv_net_close(p->net);
    kv_engine_close(p->engine);
    return counters;
}

/* ---- the naive engine ---- */

static kv_service permitted_service(const struct naive *f)
{
    return f->permitted * KV_SERVICE_PER_BYTE;
}
static uint64_t naive_start(struct play *p, uint32_t path, kv_rate limit, int64_t bytes, int64_t permitted)
{
    p->naive[p->flows] = (struct naive){.path = path, .limit = limit, .bytes = bytes, .permitted = permitted,
                                        .running = true};
    return p->flows;
}
static void naive_permit(struct play *p, uint64_t id, int64_t permitted)
{
    if (permitted > p->naive[id].permitted) p->naive[id].running = true;
    p->naive[id].permitted = permitted;
}
static void naive_mark(struct play *p, uint64_t id, int64_t mark)
{
    p->naive[id].mark = mark < p->naive[id].permitted ? mark : 0;
}
static void naive_limit(struct play *p, uint64_t id, kv_rate limit)
{
    struct naive *f = &p->naive[id];
    if (f->got < permitted_service(f) || f->permitted < f->bytes) f->limit = limit;
}
static void naive_drop(struct play *p, uint64_t id)
{
    struct naive *f = &p->naive[id];
    if (f->got > permitted_service(f)) f->got = permitted_service(f);
    f->running = false;
    f->dropped = true;
}
static kv_service naive_got(const struct naive *f)
{
    return f->got < permitted_service(f) ? f->got : permitted_service(f);
}
static int64_t naive_moved(struct play *p, uint64_t id)
{
    return (int64_t)(naive_got(&p->naive[id]) >> 32);
}
static kv_rate naive_rate(struct play *p, uint64_t id)
{
    return p->naive[id].running ? p->naive[id].rate : 0;
}
static kv_tick naive_reached(struct play *p, uint64_t id, int32_t layer)
{
    return p->naive[id].reached[layer];
}
static int32_t parts_on(const struct play *p, uint64_t id, uint32_t link)
{
    const struct path *path = &p->s->path[p->naive[id].path];
    for (int32_t h = 0; h < path->hops; h++)
        if (path->hop[h].link == link) return path->hop[h].parts_on_it;
    return 0;
}
static kv_service naive_carried(struct play *p, uint32_t link)
{
    kv_service sum = 0;
    for (uint64_t id = 0; id < p->flows; id++) sum += naive_got(&p->naive[id]) * parts_on(p, id, link);
    return sum;
}
static int64_t naive_flows_on(struct play *p, uint32_t link)
{
    int64_t count = 0;
    for (uint64_t id = 0; id < p->flows; id++) count += p->naive[id].running && parts_on(p, id, link);
    return count;
}
static const struct engine_ops naive_ops = {naive_start, naive_permit, naive_mark, naive_limit, naive_drop,
                                            naive_moved, naive_rate, naive_reached, naive_carried, naive_flows_on};

static bool its_turn(const struct play *p, uint64_t id)
{
    for (uint32_t l = 0; l < p->s->links; l++) {
        if (!p->s->in_order[l] || !parts_on(p, id, l)) continue;
        for (uint64_t other = 0; other < id; other++)
            if (p->naive[other].running && parts_on(p, other, l)) return false;
    }
    return true;
}

static kv_rate naive_capacity(const struct play *p, uint32_t link)
{
    int32_t count = p->s->curve_count[link], n = 0;
    for (uint64_t id = 0; id < p->flows; id++)
        if (p->naive[id].running) n += parts_on(p, id, link);
    if (count == 0) return p->s->capacity[link];
    return p->s->curve[link][n == 0 ? 0 : (n < count ? n : count) - 1];
}

static void naive_solve(struct play *p)
{
    static struct kv_maxmin_class class[FLOWS_MAX];
    static uint64_t id_of[FLOWS_MAX];
    struct kv_maxmin_link link[LINKS_MAX];
    int32_t count = 0;
    for (uint32_t l = 0; l < p->s->links; l++) link[l] = (struct kv_maxmin_link){.capacity = naive_capacity(p, l)};
    for (uint64_t id = 0; id < p->flows; id++) {
        struct naive *f = &p->naive[id];
        f->rate = 0;
        if (!f->running || !its_turn(p, id)) continue;
        const struct path *path = &p->s->path[f->path];
        struct kv_maxmin_class *c = &class[count];
        *c = (struct kv_maxmin_class){.limit = f->limit, .flows = 1, .hops = path->hops};
        for (int32_t h = 0; h < path->hops; h++) {
            c->link[h] = path->hop[h].link;
            c->parts[h] = path->hop[h].parts_on_it;
        }
        id_of[count++] = id;
    }
    kv_maxmin(class, count, link, (int32_t)p->s->links);
    for (int32_t i = 0; i < count; i++) p->naive[id_of[i]].rate = class[i].rate;
}

static bool endless(const struct play *p, const struct naive *f)
{
    return f->rate == KV_RATE_UNLIMITED && p->s->path[f->path].hops == 0;
}

static void naive_advance(struct play *p, kv_tick to)
{
    for (uint64_t id = 0; id < p->flows && to > p->now; id++) {
        struct naive *f = &p->naive[id];
        if (!f->running) continue;
        kv_service before = f->got;
        f->got = before + (endless(p, f) ? (kv_service)1 << 90 : (kv_service)f->rate * (to - p->now));
        int64_t end[LAYERS_MAX];
        int32_t layers = layers_of(p->s, id, f->bytes, end);
        for (int32_t l = 0; l < layers; l++) {
            kv_service level = end[l] * KV_SERVICE_PER_BYTE;
            if (before < level && level <= f->got)
                f->reached[l] = p->now + (endless(p, f) ? 1 : (kv_tick)((level - before + f->rate - 1) / f->rate));
        }
    }
    p->now = to;
}

static kv_tick naive_next(const struct play *p)
{
    kv_tick next = p->steps < STEPS ? p->s->step[p->steps].tick : KV_TICK_NEVER;
    for (uint64_t id = 0; id < p->flows; id++) {
        const struct naive *f = &p->naive[id];
        if (!f->running || f->rate == 0) continue;
        kv_service until = f->mark ? f->mark * KV_SERVICE_PER_BYTE : permitted_service(f);
        kv_service ticks = endless(p, f) ? 1 : (until - f->got + f->rate - 1) / f->rate;
        if (ticks < next - p->now) next = p->now + (kv_tick)ticks;
    }
    return next;
}

static void naive_complete(struct play *p)
{
    static int64_t bytes_of[FLOWS_MAX];
    uint64_t flows = p->flows;
    for (uint64_t id = 0; id < flows; id++) {
        struct naive *f = &p->naive[id];
        bytes_of[id] = 0;
        if (!f->running) continue;
        if (f->got < permitted_service(f)) {
            if (f->mark == 0 || f->got < f->mark * KV_SERVICE_PER_BYTE) continue;
            f->mark = 0;
            bytes_of[id] = naive_moved(p, id);
            continue;
        }
        f->mark = 0;
        f->got = permitted_service(f);
        f->running = false;
        bytes_of[id] = f->permitted;
    }
    for (uint64_t id = 0; id < flows; id++)
        if (bytes_of[id] && !p->naive[id].dropped) told(p, id, bytes_of[id]);
}

static void play_naive(struct play *p)
{
    p->ops = &naive_ops;
    for (kv_tick next; (next = naive_next(p)) < KV_TICK_LIMIT; naive_solve(p)) {
        bool first = p->steps == 0 || p->s->step[p->steps - 1].tick < next;
        naive_advance(p, next);
        for (enum phase phase = EARLY; phase < PHASES; phase++) {
            if (phase == MIDDLE) naive_complete(p);
            while (p->steps < STEPS && p->s->step[p->steps].tick == next && p->s->step[p->steps].phase == phase) {
                take_step(p, p->steps++, first);
                first = false;
            }
        }
    }
    look(p, true);
}

/* ---- both ---- */

static void the_same_story_as_flow_by_flow(void **state)
{
    (void)state;
    struct kv_net_counters sum = {0};
    int64_t words = 0;
    for (uint64_t seed = 0; seed < 1200; seed++) {
        struct script s = random_script(seed);
        struct play *real = kv_mem_take(sizeof *real), *naive = kv_mem_take(sizeof *naive);
        real->s = naive->s = &s;
        struct kv_net_counters counters = play_real(real);
        play_naive(naive);
        for (size_t i = 0; i < real->story.count && i < naive->story.count; i++)
            if (real->story.at[i] != naive->story.at[i])
                fail_msg("seed %llu, word %zu: %lld, flow by flow %lld", (unsigned long long)seed, i,
                         (long long)real->story.at[i], (long long)naive->story.at[i]);
        assert_int_equal(real->story.count, naive->story.count);
        words += (int64_t)real->story.count;
        sum.flows += counters.flows;
        sum.settles += counters.settles;
        sum.single_bottleneck += counters.single_bottleneck;
        sum.progressive += counters.progressive;
        sum.skipped_links += counters.skipped_links;
        kv_vec_close(&real->story);
        kv_vec_close(&naive->story);
        kv_mem_give(real, sizeof *real);
        kv_mem_give(naive, sizeof *naive);
    }
    print_message("  %lld flows, %lld words; %lld settlings, solved by one bottleneck %lld, progressively %lld; "
                  "links skipped %lld\n", (long long)sum.flows, (long long)words, (long long)sum.settles,
                  (long long)sum.single_bottleneck, (long long)sum.progressive, (long long)sum.skipped_links);
    assert_true(sum.single_bottleneck > 10000 && sum.progressive > 10000 && sum.skipped_links > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_story_as_flow_by_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
