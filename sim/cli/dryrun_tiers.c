/* SPDX-License-Identifier: Apache-2.0 */
/* What lies below HBM, before a run: sizes of the pools, and how long a chunk takes when nothing else is on the way.
 * The paths and rates are those of docs/tiers.md, T6 and T17. */
#include <math.h>
#include <stdio.h>

#include "sim/cli/cli.h"
#include "sim/cli/dryrun.h"
#include "sim/lib/kvsize.h"

#define DRAWS 256   /* accesses over which a random delay is averaged */

struct tier_facts {
    int64_t pools, chunk_bytes, break_even_tokens;     /* break-even -1: never, up to the longest context */
    double chunk_s, layer_s, Bps;                      /* read alone; Bps: of one GPU, once it flows; 0: never */
};

/* Where an access flows, for one of tp parts; message_bytes: of its messages (docs/tiers.md, T38). */
struct path { double Bps, latency_s, message_bytes, side_by_side; };

static void cross(struct path *path, double Bps, int32_t parts)
{
    if (Bps >= 0 && Bps / parts < path->Bps) path->Bps = Bps / parts;
}

static void cross_link(struct path *path, const struct kv_network_config *n, int32_t link, int32_t parts)
{
    if (link < 0) return;
    const struct kv_link_ops *ops = n->links[link].ops;
    struct kv_link_spec spec = ops->spec(n->links[link].params);
    cross(path, kv_rate_to_Bps(spec.curve ? spec.curve[0] : spec.capacity) * n->efficiency, parts);
    if (ops->message_rate)
        cross(path, kv_rate_to_Bps(ops->message_rate(n->links[link].params, path->message_bytes)) * path->side_by_side,
              parts);
    path->latency_s += kv_tick_to_s(spec.latency_tk);
}

static struct path read_path(const struct kv_sim_config *c, const struct kv_tier_config *tier, kv_rate device,
                             double message_bytes, double side_by_side)
{
    const struct kv_network_config *n = &c->network;
    struct path path = {.Bps = HUGE_VAL, .message_bytes = message_bytes, .side_by_side = side_by_side};
    int32_t nic_parts = c->tp < n->gpus_per_node ? c->tp : n->gpus_per_node;
    if (device != KV_RATE_UNLIMITED) cross(&path, kv_rate_to_Bps(device), c->tp);
    if (tier->store->gateways && n->gateway_Bps >= 0) cross(&path, n->gateway_Bps * n->efficiency, c->tp);
    if (tier->store->network) cross_link(&path, n, n->fabric, c->tp);
    for (int32_t i = 0; i < KV_TIER_LINKS_MAX; i++) cross_link(&path, n, tier->link[i], c->tp);
    if (tier->store->network && n->nic_Bps >= 0) cross(&path, n->nic_Bps * n->efficiency, nic_parts);
    cross(&path, n->pcie_Bps, 1);
    return path;
}

/* Reading so many chunks that nothing else holds up: until the last byte. */
static double read_s(const struct kv_sim_config *c, const struct kv_tier_config *tier, const void *state,
                     int64_t chunks, double *Bps)
{
    const struct kv_model_shape *m = c->compute_env.model;
    double delay_s = 0, bytes = (double)(kv_bytes_per_token_per_gpu(m, c->tp) * tier->chunk_tokens) * (double)chunks;
    enum kv_delivery delivery = (enum kv_delivery)c->fetch.mode;
    if (delivery == KV_DELIVERY_AUTO)
        delivery = bytes * c->tp >= (double)c->fetch.auto_bytes ? KV_DELIVERY_LAYERWISE : KV_DELIVERY_CHUNKWISE;
    if (delivery == KV_DELIVERY_BIDIRECTIONAL) delivery = KV_DELIVERY_CHUNKWISE;
    bool chunkwise = delivery == KV_DELIVERY_CHUNKWISE;
    struct kv_access access = {.delivery = delivery, .chunks = chunkwise ? 1 : chunks, .under_way = 1};
    struct kv_access_plan plan = tier->store->plan(state, &access);
    for (access.number = 0; access.number < DRAWS; access.number++)
        delay_s += kv_tick_to_s(tier->store->plan(state, &access).delay_tk) / DRAWS;
    double side_by_side = chunkwise ? (double)(chunks < c->fetch.concurrency ? chunks : c->fetch.concurrency) : 1;
    double access_bytes = bytes * c->tp * (double)access.chunks / (double)chunks;
    double message_bytes = access_bytes / (double)(plan.requests > 0 ? plan.requests : 1);
    struct path path = read_path(c, tier, tier->store->device_rate(state), message_bytes, side_by_side);
    if (plan.limit != KV_RATE_UNLIMITED) cross(&path, kv_rate_to_Bps(plan.limit) * side_by_side, c->tp);
    *Bps = path.Bps;
    return delay_s + path.latency_s + bytes / path.Bps;
}

/* The fewest tokens, in whole chunks, that come sooner than they are computed; -1: none up to `most`. */
static int64_t break_even(const struct kv_sim_config *c, const struct kv_tier_config *tier, const void *state,
                          const struct kv_dry_price *price, int64_t most)
{
    double Bps;
    int64_t high = 1, low = 0, limit = most / tier->chunk_tokens;
#define LOADS(chunks) \
    (read_s(c, tier, state, chunks, &Bps) <= price->prefill_s(price->state, (chunks) * tier->chunk_tokens))
    while (high <= limit && !LOADS(high)) low = high, high *= 2;
    if (high > limit) {
        if (limit < 1 || low == limit || !LOADS(limit)) return -1;
        high = limit;
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (LOADS(middle)) high = middle;
        else low = middle;
    }
#undef LOADS
    return high * tier->chunk_tokens;
}

static int64_t pools_of(const struct kv_sim_config *c, int64_t scope)
{
    const struct kv_network_config *n = &c->network;
    int32_t on_node = n->gpus_per_node >= c->tp ? n->gpus_per_node / c->tp : 1;
    int64_t nodes = (c->instance_count + on_node - 1) / on_node;
    if (c->tp > n->gpus_per_node) nodes = (int64_t)c->instance_count * (c->tp / n->gpus_per_node);
    switch (scope) {
    case KV_SCOPE_GPU: return c->instance_count;
    case KV_SCOPE_NODE: return nodes;
    case KV_SCOPE_RACK: return (nodes + n->nodes_per_rack - 1) / n->nodes_per_rack;
    default: return 1;
    }
}

double kv_dry_chunks(const struct kv_sim_config *c)
{
    double chunks = 0;
    for (int32_t t = 1; t < c->tier_count; t++)
        if (c->tier[t].capacity_chunks != KV_CHUNKS_UNLIMITED)
            chunks += (double)c->tier[t].capacity_chunks * (double)pools_of(c, c->tier[t].scope);
    return chunks;
}

static bool find_facts(const struct kv_scenario *s, int32_t index, const struct kv_dry_price *price,
                       struct tier_facts *f, struct kv_err *err)
{
    const struct kv_sim_config *c = &s->sim;
    const struct kv_tier_config *tier = &c->tier[index];
    struct kv_store_env env = kv_scenario_store_env(s, index);
    size_t size = tier->store->state_bytes + 1;
    void *state = kv_mem_take(size);
    bool good = tier->store->open(state, tier->store_params, &env, err);
    if (good) {
        int64_t most = c->hbm_blocks * c->engine.block_tokens;
        if (s->model.max_position_tokens < most) most = s->model.max_position_tokens;
        *f = (struct tier_facts){.pools = pools_of(c, tier->scope), .chunk_bytes = env.chunk_bytes};
        f->chunk_s = read_s(c, tier, state, 1, &f->Bps);
        f->layer_s = (double)(kv_bytes_per_token_per_layer_per_gpu(&s->model, c->tp) * tier->chunk_tokens) / f->Bps;
        f->break_even_tokens = break_even(c, tier, state, price, most);
        if (tier->store->close) tier->store->close(state);
    }
    kv_mem_give(state, size);
    return good;
}

/* ---- printing ---- */

static const char *seconds_text(char text[32], double seconds)
{
    if (!isfinite(seconds)) return "never";
    if (seconds < 1e-3) snprintf(text, 32, "%.4g us", seconds * 1e6);
    else if (seconds < 1) snprintf(text, 32, "%.4g ms", seconds * 1e3);
    else snprintf(text, 32, "%.4g s", seconds);
    return text;
}

static void print_tier(const struct kv_tier_config *tier, const struct tier_facts *f, const char *kind)
{
    static const char *const scopes[] = {"instance", "node", "rack", "cluster"};
    char chunk[32], layer[32];
    kv_print("%-12s %s, a pool for each %s: %lld. ", tier->name, kind, scopes[tier->scope], (long long)f->pools);
    if (tier->capacity_chunks == KV_CHUNKS_UNLIMITED) kv_print("Unlimited chunks");
    else
        kv_print("%lld chunks (%.2f GiB)", (long long)tier->capacity_chunks,
                 (double)tier->capacity_chunks * (double)f->chunk_bytes / 0x1p30);
    kv_print(" of %lld tokens, %.4g MiB\n", (long long)tier->chunk_tokens, (double)f->chunk_bytes / 0x1p20);
    kv_print("             read alone: a chunk %s, of it a layer %s", seconds_text(chunk, f->chunk_s),
             seconds_text(layer, f->layer_s));
    if (isfinite(f->Bps)) kv_print(", %.4g GB/s a GPU", f->Bps / 1e9);
    if (f->break_even_tokens < 0) kv_print("; computing is always faster\n");
    else kv_print("; faster than computing from %lld tokens on\n", (long long)f->break_even_tokens);
}

/* JSON has no infinity. */
static void print_number(const char *key, double value)
{
    if (isfinite(value)) kv_print("\"%s\": %.9g, ", key, value);
    else kv_print("\"%s\": null, ", key);
}

static void print_quoted(const char *text)
{
    kv_print("\"");
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20) kv_print("\\u%04x", (unsigned)*text);
        else kv_print("%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    }
    kv_print("\"");
}

static const struct kv_plugin *plugin_of(const struct kv_store_ops *ops)
{
    int32_t count;
    const struct kv_plugin *all = kv_plugins(&count);
    for (int32_t i = 0; i < count; i++)
        if (all[i].info == &ops->info) return &all[i];
    return NULL;
}

static void print_tier_json(const struct kv_tier_config *tier, const struct tier_facts *f, const char *kind, bool first)
{
    static const char *const scopes[] = {"gpu", "node", "rack", "cluster"};
    kv_print("%s{\"kind\": \"%s\", \"scope\": \"%s\", \"pools\": %lld, ", first ? "" : ", ", kind, scopes[tier->scope],
             (long long)f->pools);
    print_number("chunks", tier->capacity_chunks == KV_CHUNKS_UNLIMITED ? HUGE_VAL : (double)tier->capacity_chunks);
    kv_print("\"chunk_tokens\": %lld, \"chunk_bytes\": %lld, ", (long long)tier->chunk_tokens,
             (long long)f->chunk_bytes);
    print_number("read_chunk_s", f->chunk_s);
    print_number("read_layer_s", f->layer_s);
    print_number("read_Bps_per_gpu", f->Bps);
    print_number("break_even_tokens", f->break_even_tokens < 0 ? HUGE_VAL : (double)f->break_even_tokens);
    kv_print("\"name\": ");
    print_quoted(tier->name);
    kv_print("}");
}

/* ---- hand-over ---- */

/* From a prefill to a decode instance on another node, or on the only one. */
static void print_handover(const struct kv_sim_config *c, bool json)
{
    const struct kv_network_config *n = &c->network;
    struct path path = {.Bps = HUGE_VAL};
    bool leaves = pools_of(c, KV_SCOPE_NODE) > 1;
    int32_t nic_parts = c->tp < n->gpus_per_node ? c->tp : n->gpus_per_node;
    cross(&path, n->pcie_Bps, 1);
    if (leaves) cross_link(&path, n, n->fabric, c->tp);
    if (leaves && n->nic_Bps >= 0) cross(&path, n->nic_Bps * n->efficiency, nic_parts);
    double s = (double)kv_bytes_per_token_per_gpu(c->compute_env.model, c->tp) * 1024 / path.Bps;
    char text[32];
    if (json) {
        kv_print("\"prefill_instances\": %d, ", (int)c->handover.prefill_instances);
        print_number("handover_s_per_ki_token", s + path.latency_s);
        return;
    }
    kv_print("hand-over    from %d to %d instances: 1024 tokens alone in %s", (int)c->handover.prefill_instances,
             (int)(c->instance_count - c->handover.prefill_instances), seconds_text(text, s + path.latency_s));
    if (isfinite(path.Bps)) kv_print(", %.4g GB/s a GPU", path.Bps / 1e9);
    kv_print("\n");
}

bool kv_dry_tiers(const struct kv_scenario *s, const struct kv_dry_price *price, bool json, struct kv_err *err)
{
    const struct kv_sim_config *c = &s->sim;
    struct tier_facts facts[KV_TIERS_MAX];
    for (int32_t t = 1; t < c->tier_count; t++)
        if (!find_facts(s, t, price, &facts[t], err)) return false;
    for (int32_t t = 1; t < c->tier_count; t++) {
        const struct kv_plugin *plugin = plugin_of(c->tier[t].store);
        const char *kind = plugin ? plugin->name : "?";
        if (!json) print_tier(&c->tier[t], &facts[t], kind);
        else {
            if (t == 1) kv_print("\"tiers\": [");
            print_tier_json(&c->tier[t], &facts[t], kind, t == 1);
            if (t == c->tier_count - 1) kv_print("], ");
        }
    }
    if (c->handover.prefill_instances > 0) print_handover(c, json);
    return true;
}
