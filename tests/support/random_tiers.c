/* SPDX-License-Identifier: Apache-2.0 */
/* Random scenarios with lower tiers, links and hand-over, so that all of docs/tiers.md is met often: small pools, loads
 * about as long as the computing they replace, links shared by several instances. */
#include <math.h>
#include <string.h>

#include "sim/lib/kvsize.h"
#include "tests/support/random_parts.h"
#include "tests/support/odd_models.h"

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* About `times` as fast as prompts are computed. */
double kv_random_rate_Bps(const struct tiers_plan *t, double times)
{
    return clamp(t->prompt_bytes / t->prompt_s * times, 1e3, 5e16);
}

static double some_times(struct dice *d)
{
    static const double times[] = {0.1, 0.3, 0.8, 1.5, 4, 30};
    return times[between(d, 0, 5)] * (0.5 + uniform(d));
}

kv_rate kv_random_rate(struct tiers_plan *t, int64_t unlimited_percent)
{
    struct dice *d = &t->p.dice;
    if (chance(d, unlimited_percent)) return KV_RATE_UNLIMITED;
    kv_rate rate = kv_rate_from_Bps(kv_random_rate_Bps(t, some_times(d)));
    /* Now and then one at which many ends fall on whole ticks of the grid. */
    if (t->p.unit_ns > 0 && chance(d, 50)) {
        int32_t bits = 0;
        while (rate >> bits > 1) bits++;
        rate = (kv_rate)1 << bits;
    }
    return rate < 1 ? 1 : rate;
}

static double some_Bps(struct tiers_plan *t, int64_t unlimited_percent)
{
    struct dice *d = &t->p.dice;
    return chance(d, unlimited_percent) ? -1 : kv_random_rate_Bps(t, some_times(d));
}

kv_tick kv_random_delay(struct tiers_plan *t, double share)
{
    struct dice *d = &t->p.dice;
    if (chance(d, 35)) return 0;
    if (t->p.unit_ns > 0 && chance(d, 70)) return KV_TICKS_PER_NS * t->p.unit_ns * between(d, 0, 8);
    return (kv_tick)(t->prompt_s * share * uniform(d) * (double)KV_TICKS_PER_S) + between(d, 0, 2);
}

/* --- Compute --- */

static void draw_compute(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    if (chance(d, 50)) return;
    struct kv_test_compute_params *c = kv_arena_take(&s->arena, sizeof *c);
    s->config.compute = &kv_test_compute;
    s->config.compute_params = c;
    *c = (struct kv_test_compute_params){.base_s = t->p.step_s * uniform(d), .token_s = t->p.token_s,
                                         .decode_s = t->p.step_s / 4, .context_s = t->p.step_s * 1e-3 * uniform(d),
                                         .weights = throw(d)};
    if (t->p.unit_ns > 0) {
        c->base_s = kv_test_exact_s(t->p.unit_ns * between(d, 0, 3));
        c->token_s = kv_test_exact_s(t->p.unit_ns * between(d, 0, 2));
        c->decode_s = kv_test_exact_s(t->p.unit_ns * between(d, 0, 1));
        c->context_s = 0;
    }
    t->p.step_s = c->base_s + c->decode_s + 50 * c->context_s + 1e-15;
    t->p.token_s = c->token_s + c->base_s / 20 + 1e-15;
    if (chance(d, 25)) c->weights &= 0xf0ff0f00f00f0f00u;   /* layers that cost nothing */
}

/* --- Network --- */

static void draw_named_link(struct kv_random_scenario *s, struct tiers_plan *t, struct kv_link_config *link,
                            const char *name)
{
    struct dice *d = &t->p.dice;
    struct kv_test_link_params *params = kv_arena_take(&s->arena, sizeof *params);
    struct kv_link_spec *spec = &params->spec;
    *spec = (struct kv_link_spec){.capacity = kv_random_rate(t, 15), .latency_tk = kv_random_delay(t, 0.1),
                                  .in_order = chance(d, 35)};
    if (spec->capacity == KV_RATE_UNLIMITED) spec->capacity = (kv_rate)1 << 50;   /* binds nobody, but orders flows */
    if (chance(d, 12)) spec->capacity = 0;
    *link = (struct kv_link_config){.name = name, .ops = &kv_test_link, .params = params, .duplex = chance(d, 60),
                                    .scope = PICK(d, KV_SCOPE_GPU, KV_SCOPE_NODE, KV_SCOPE_RACK, KV_SCOPE_CLUSTER,
                                                  KV_SCOPE_CLUSTER)};
    if (s->config.tp > s->config.network.gpus_per_node && link->scope == KV_SCOPE_NODE) link->scope = KV_SCOPE_RACK;
}

static void draw_network(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    struct kv_network_config *n = &s->config.network;
    n->gpus_per_node = (int32_t)PICK(d, 1, 2, 4, 8, 8);
    n->nodes_per_rack = (int32_t)PICK(d, 1, 2, 3, 8);
    if (s->config.tp == 2 && n->gpus_per_node >= 4 && s->config.compute == &kv_test_compute) s->config.tp = 3;
    s->config.compute_env.tp = s->config.tp;
    n->pcie_Bps = some_Bps(t, 30);
    n->nic_Bps = some_Bps(t, 30);
    n->gateway_Bps = some_Bps(t, 30);
    n->gateways = (int32_t)between(d, 1, 3);
    n->efficiency = chance(d, 50) ? 1 : 0.5 + uniform(d) / 2;
    struct kv_link_config *links = kv_arena_take(&s->arena, 2 * sizeof *links);
    n->links = links;
    n->link_count = (int32_t)PICK(d, 0, 1, 2, 2);
    n->fabric = n->link_count > 0 && chance(d, 80) ? 0 : -1;
    if (n->link_count > 0) draw_named_link(s, t, &links[0], "fabric");
    if (n->link_count > 1) draw_named_link(s, t, &links[1], "bus");
}

/* --- Tiers --- */

static const struct kv_store_ops *draw_real_store(struct kv_random_scenario *s, struct tiers_plan *t,
                                                  const void **params)
{
    static const char *const name[] = {"dram", "disk", "remote", "object"};
    const struct kv_store_ops *ops = kv_test_plugin("store", name[between(&t->p.dice, 0, 3)]);
    *params = kv_test_params(&s->arena, &ops->info);
    return ops;
}

static const struct kv_store_ops *draw_test_store(struct kv_random_scenario *s, struct tiers_plan *t,
                                                  const void **params)
{
    static const struct kv_store_ops *const kind[] = {&kv_test_store_local, &kv_test_store_remote,
                                                      &kv_test_store_object};
    struct dice *d = &t->p.dice;
    struct kv_test_store_params *p = kv_arena_take(&s->arena, sizeof *p);
    *p = (struct kv_test_store_params){
        .delay_tk = kv_random_delay(t, 0.3), .chunk_delay_tk = chance(d, 20) ? kv_random_delay(t, 0.02) : 0,
        .jitter_tk = chance(d, 30) ? kv_random_delay(t, 0.3) : 0,
        .ack_tk = kv_random_delay(t, 0.3), .limit = kv_random_rate(t, 40),
        .write_limit = kv_random_rate(t, 40), .device = kv_random_rate(t, 50), .concurrency = PICK(d, 0, 0, 1, 1, 2, 4),
    };
    *params = p;
    return kind[between(d, 0, 2)];
}

static void draw_policies(struct kv_random_scenario *s, struct tiers_plan *t, struct kv_tier_config *tier)
{
    struct dice *d = &t->p.dice;
    tier->evict = kv_test_plugin("evict", chance(d, 60) ? "lru" : "fifo");
    tier->evict_params = kv_test_params(&s->arena, &tier->evict->info);
    bool second = chance(d, 25);
    tier->admit = kv_test_plugin("admit", second ? "second_hit" : "always");
    void *params = kv_test_params(&s->arena, &tier->admit->info);
    if (second) kv_test_param_set(&tier->admit->info, params, "ghost_chunks", (double)PICK(d, 1, 4, 30, 1000));
    tier->admit_params = params;
}

static void draw_tier(struct kv_random_scenario *s, struct tiers_plan *t, int32_t index)
{
    static const char *const name[] = {"hbm", "one", "two", "three", "four"};
    struct dice *d = &t->p.dice;
    struct kv_tier_config *tier = &s->config.tier[index];
    int64_t block = s->config.engine.block_tokens;
    tier->name = name[index];
    if (chance(d, 15)) tier->store = draw_real_store(s, t, &tier->store_params);
    else tier->store = draw_test_store(s, t, &tier->store_params);
    tier->scope = PICK(d, KV_SCOPE_GPU, KV_SCOPE_NODE, KV_SCOPE_RACK, KV_SCOPE_CLUSTER, KV_SCOPE_CLUSTER);
    if (s->config.tp > s->config.network.gpus_per_node && tier->scope == KV_SCOPE_NODE) tier->scope = KV_SCOPE_CLUSTER;
    tier->chunk_tokens = block * PICK(d, 1, 1, 1, 2, 3, 4);
    tier->layout = PICK(d, KV_LAYOUT_LAYER_MAJOR, KV_LAYOUT_BLOCK_MAJOR, KV_LAYOUT_PER_LAYER);
    tier->write = PICK(d, KV_WRITE_NONE, KV_WRITE_THROUGH, KV_WRITE_THROUGH, KV_WRITE_BACK, KV_WRITE_ON_EVICT,
                       KV_WRITE_ON_EVICT);
    if (index == 1 && tier->write == KV_WRITE_NONE) tier->write = KV_WRITE_THROUGH;
    if (tier->write == KV_WRITE_ON_EVICT)
        tier->chunk_tokens = index == 1 ? block : s->config.tier[index - 1].chunk_tokens;
    tier->write_decode = chance(d, 50);
    tier->write_blocking = chance(d, 30);
    for (int32_t above = 1; above < index; above++)
        if (chance(d, 40)) tier->fill |= UINT32_C(1) << above;
    for (int i = 0; i < KV_TIER_LINKS_MAX; i++) tier->link[i] = -1;
    if (s->config.network.link_count > 1 && chance(d, 40)) tier->link[0] = 1;
    int64_t prompt = t->prompt_chunks * block / tier->chunk_tokens + 1;
    switch (between(d, 0, 4)) {
    case 0: tier->capacity_chunks = KV_CHUNKS_UNLIMITED; break;
    case 1: tier->capacity_chunks = between(d, 1, prompt); break;
    case 2: tier->capacity_chunks = between(d, prompt, prompt * 3); break;
    default: tier->capacity_chunks = between(d, prompt * 2, prompt * 12); break;
    }
    draw_policies(s, t, tier);
}

/* --- Fetch and hand-over --- */

static void draw_fetch(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    struct kv_fetch_config *f = &s->config.fetch;
    static const char *const name[] = {"always", "always", "threshold", "cost_model", "timeout", "timeout"};
    const char *policy = name[between(d, 0, 5)];
    f->mode = PICK(d, KV_DELIVERY_BULK, KV_DELIVERY_CHUNKWISE, KV_DELIVERY_LAYERWISE, KV_DELIVERY_LAYERWISE,
                   KV_DELIVERY_LAYERWISE);
    f->release_after_layers = between(d, 0, 3);
    f->lookahead_layers = PICK(d, 0, 0, 1, 1, 2, 3);
    f->concurrency = (int32_t)PICK(d, 1, 2, 4, 16);
    f->policy = kv_test_plugin("fetch", policy);
    void *params = kv_test_params(&s->arena, &f->policy->info);
    f->params = params;
    if (!strcmp(policy, "threshold") || !strcmp(policy, "timeout"))
        kv_test_param_set(&f->policy->info, params, "min_tokens",
                          (double)PICK(d, 0, 0, 1, t->p.most_input / 8, t->p.most_input / 2));
    if (strcmp(policy, "timeout")) return;
    bool grid = t->p.unit_ns > 0 && chance(d, 70);
    double unit_s = grid ? kv_test_exact_s(t->p.unit_ns) : t->prompt_s;
    kv_test_param_set(&f->policy->info, params, "base", unit_s * (grid ? (double)between(d, 0, 12) : uniform(d)));
    kv_test_param_set(&f->policy->info, params, "per_ki_token", chance(d, 50) ? 0 : unit_s * 4 * uniform(d));
    kv_test_param_set(&f->policy->info, params, "max", unit_s * (grid ? 8 : 1.5));
}

static void draw_handover(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    struct kv_handover_config *h = &s->config.handover;
    if (!chance(d, 30)) return;
    if (s->config.instance_count < 2) s->config.instance_count = (int32_t)between(d, 2, 4);
    h->prefill_instances = (int32_t)between(d, 1, s->config.instance_count - 1);
    h->reserve = PICK(d, KV_RESERVE_ON_ARRIVAL, KV_RESERVE_AT_ROUTE, KV_RESERVE_AT_ROUTE);
    h->push = h->reserve == KV_RESERVE_AT_ROUTE && chance(d, 60) ? KV_PUSH_LAYERWISE : KV_PUSH_BULK;
}

static void draw_layer_bytes(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    int64_t all = kv_bytes_per_token_per_layer_per_gpu(&s->model, s->config.tp);
    t->prompt_bytes = (double)(t->prompt_chunks * s->config.engine.block_tokens * all * s->model.layers);
    if (!chance(d, 40)) return;
    int64_t *bytes = kv_arena_take(&s->arena, (size_t)s->model.layers * sizeof *bytes);
    for (int32_t l = 0; l < s->model.layers; l++) bytes[l] = chance(d, 20) ? all : between(d, 1, all * 2);
    s->config.read_layer_bytes = bytes;
}

static void draw_pools(struct kv_random_scenario *s, struct tiers_plan *t)
{
    struct dice *d = &t->p.dice;
    struct kv_engine_config *e = &s->config.engine;
    int64_t largest = (t->p.most_input + t->p.most_output) / e->block_tokens + 1;
    t->prompt_chunks = t->p.most_input / 2 / e->block_tokens + 1;
    if (chance(d, 80)) s->config.hbm_blocks = between(d, largest, largest * PICK(d, 2, 2, 4));
    if (chance(d, 90)) e->enable_prefix_caching = true;
    if (s->config.instance_count > 8) s->config.instance_count = (int32_t)between(d, 3, 8);
}

/* --- The text --- */

static const char *text_of_tier(struct kv_random_scenario *s, const struct kv_tier_config *t)
{
    static const char *const scope[] = {"gpu", "node", "rack", "cluster"};
    static const char *const write[] = {"none", "through", "back", "on_evict"};
    bool tested = t->store == &kv_test_store_local || t->store == &kv_test_store_remote
                  || t->store == &kv_test_store_object;
    const struct kv_test_store_params *p = tested ? t->store_params : NULL;
    return kv_arena_text(&s->arena, "\n  %s: %s%s%s, of a %s, %lld chunks of %lld, write %s%s%s, fill %x, %s, %s, "
                         "link %d, delay %lld+%lld~%lld, ack %lld, limit %lld, %lld, device %lld, at a time %lld",
                         t->name, tested ? "" : "real ", t->store->network ? "remote" : "local",
                         t->store->gateways ? " gateways" : "", scope[t->scope], (long long)t->capacity_chunks,
                         (long long)t->chunk_tokens, write[t->write], t->write_decode ? " decode" : "",
                         t->write_blocking ? " blocking" : "", t->fill,
                         t->evict == kv_test_plugin("evict", "lru") ? "lru" : "fifo",
                         t->admit == kv_test_plugin("admit", "always") ? "always" : "second_hit", t->link[0],
                         p ? (long long)p->delay_tk : -1, p ? (long long)p->chunk_delay_tk : -1,
                         p ? (long long)p->jitter_tk : -1, p ? (long long)p->ack_tk : -1,
                         p ? (long long)p->limit : -1, p ? (long long)p->write_limit : -1,
                         p ? (long long)p->device : -1, p ? (long long)p->concurrency : -1);
}

static const char *text_of_network(struct kv_random_scenario *s)
{
    const struct kv_network_config *n = &s->config.network;
    const char *text = kv_arena_text(&s->arena, "\n  %d GPUs a node, %d nodes a rack, pcie %.17g, nic %.17g, "
                                     "gateways %d of %.17g, efficiency %g, fabric %d",
                                     n->gpus_per_node, n->nodes_per_rack, n->pcie_Bps, n->nic_Bps,
                                     n->gateways, n->gateway_Bps, n->efficiency, n->fabric);
    for (int32_t i = 0; i < n->link_count; i++) {
        const struct kv_link_spec l = n->links[i].ops->spec(n->links[i].params);
        text = kv_arena_text(&s->arena, "%s; %s: scope %lld, duplex %d, %lld, latency %lld, in order %d", text,
                             n->links[i].name, (long long)n->links[i].scope, n->links[i].duplex, (long long)l.capacity,
                             (long long)l.latency_tk, l.in_order);
    }
    return text;
}

static const char *text_of(struct kv_random_scenario *s)
{
    static const char *const mode[] = {"bulk", "chunkwise", "layerwise", "auto", "bidirectional"};
    const struct kv_engine_config *e = &s->config.engine;
    const struct kv_fetch_config *f = &s->config.fetch;
    const struct kv_handover_config *h = &s->config.handover;
    const char *text = kv_arena_text(
        &s->arena, "tier scenario %llu: %lld requests, replay %lld, %d instances of %lld blocks of %lld "
        "tokens, seqs %lld, batched %lld, chunked %d, caching %d, outputs %d, tp %d, layers %d%s\n"
        "  prefill %d, %s, push %s; fetch %s, policy %s, release %lld, look ahead %lld, at a time %d",
        (unsigned long long)s->number, (long long)s->count, (long long)s->config.replay.mode, s->config.instance_count,
        (long long)s->config.hbm_blocks, (long long)e->block_tokens, (long long)e->max_num_seqs,
        (long long)e->max_num_batched_tokens, e->chunked_prefill, e->enable_prefix_caching, e->cache_outputs,
        s->config.tp, s->model.layers, s->config.read_layer_bytes ? ", layers of different bytes" : "",
        h->prefill_instances, h->reserve == KV_RESERVE_AT_ROUTE ? "at route" : "on arrival",
        h->push == KV_PUSH_LAYERWISE ? "layerwise" : "bulk", mode[f->mode], f->policy->info.help,
        (long long)f->release_after_layers, (long long)f->lookahead_layers, f->concurrency);
    for (int32_t t = 1; t < s->config.tier_count; t++)
        text = kv_arena_text(&s->arena, "%s%s", text, text_of_tier(s, &s->config.tier[t]));
    return kv_arena_text(&s->arena, "%s%s", text, text_of_network(s));
}

void kv_random_scenario_draw_tiers(struct kv_random_scenario *s, uint64_t number)
{
    *s = (struct kv_random_scenario){.number = number};
    struct tiers_plan t = {.p = {.sharing = true,
                                 .dice = {.seed = kv_mix64_pair(kv_stream("random_tiers"), number)}}};
    struct dice *d = &t.p.dice;
    kv_random_cluster(s, &t.p);
    draw_compute(s, &t);
    draw_pools(s, &t);
    t.prompt_s = t.p.token_s * (double)(t.prompt_chunks * s->config.engine.block_tokens) + t.p.step_s;
    draw_handover(s, &t);
    draw_layer_bytes(s, &t);
    draw_network(s, &t);
    s->config.read_layer_bytes = s->config.tp == 3 ? NULL : s->config.read_layer_bytes;
    s->config.tier_count = 1 + (int32_t)PICK(d, 0, 1, 1, 2, 2, 3, 4);
    if (s->config.tier_count == 1 && s->config.handover.prefill_instances == 0) s->config.tier_count = 2;
    s->config.tier[0].name = "hbm";
    for (int32_t i = 1; i < s->config.tier_count; i++) draw_tier(s, &t, i);
    draw_fetch(s, &t);
    if (chance(d, 20)) {
        s->config.route = kv_test_plugin("route", "prefix");
        s->config.route_params = kv_test_params(&s->arena, &s->config.route->info);
    }
    kv_random_load(s, &t.p);
    t.p.dice = (struct dice){.seed = kv_mix64_pair(kv_stream("random_transfers"), number)};
    const char *more = kv_random_transfers(s, &t);
    s->text = kv_arena_text(&s->arena, "%s%s", text_of(s), more);
}
