/* SPDX-License-Identifier: Apache-2.0 */
/* tiers[1..]: what lies below HBM. One tier at a time, from top to bottom, so that each may name those above it. */
#include <string.h>
#include <unistd.h>

#include "sim/lib/kvsize.h"
#include "sim/scenario/load.h"
#include "sim/scenario/shapes.h"

struct lower_keys { const char *name; int64_t write, layout; bool write_decode, write_blocking; };
static const char *const scopes[] = {"gpu", "node", "rack", "cluster", NULL};
static const char *const writes[] = {"none", "through", "back", "on_evict", NULL};
static const char *const layouts[] = {"layer_major", "block_major", "per_layer", NULL};
#define LOWER(key, dim, preset, choices, help) \
    { #key, dim, offsetof(struct lower_keys, key), preset, 0, 0, choices, help, NULL }
static const struct kv_param lower_params[] = {
    LOWER(name, KV_DIM_TEXT, NULL, NULL, "name of the tier in the results"),
    LOWER(write, KV_DIM_CHOICE, "through", writes,
          "when KV is written to it: when computed, when the request ends, when the tier above drops it"),
    LOWER(write_decode, KV_DIM_BOOL, "false", NULL, "generated tokens are written too"),
    LOWER(write_blocking, KV_DIM_BOOL, "false", NULL, "pending writes are never dropped under pressure"),
    LOWER(layout, KV_DIM_CHOICE, "layer_major", layouts, "how a chunk lies in the store"),
    KV_PARAM_END
};
static const char *const unlimited[] = {"unlimited", NULL};
#define SPECIAL(key, dim, preset, min, max, choices, help, form, family) \
    { { key, dim, 0, preset, min, max, choices, help, NULL }, form, family, NULL }
static const struct kv_special lower_specials[] = {
    SPECIAL("kind", KV_DIM_TEXT, NULL, 0, 0, NULL, "the store model behind it", KV_FORM_NAME, KV_FAMILY_store),
    SPECIAL("scope", KV_DIM_CHOICE, NULL, 0, 0, scopes,
            "who shares a pool of it (gpu: one instance); default: node, cluster for stores over the network",
            KV_FORM_OPTIONAL, KV_FAMILY_COUNT),
    SPECIAL("capacity", KV_DIM_BYTES, NULL, 1, 1e18, unlimited, "bytes of one pool; has no default", KV_FORM_WORD,
            KV_FAMILY_COUNT),
    SPECIAL("chunk_tokens", KV_DIM_TOKENS, NULL, 1, 1 << 20, NULL,
            "tokens of a chunk, a multiple of block_tokens; default: of the kind (object: 256), else block_tokens",
            KV_FORM_OPTIONAL, KV_FAMILY_COUNT),
    SPECIAL("evict", KV_DIM_TEXT, "lru", 0, 0, NULL, "which chunk leaves", KV_FORM_PLUGIN, KV_FAMILY_evict),
    SPECIAL("admit", KV_DIM_TEXT, "always", 0, 0, NULL, "which of the proposed chunks are written", KV_FORM_PLUGIN,
            KV_FAMILY_admit),
    SPECIAL("fill", KV_DIM_TEXT, NULL, 0, 0, NULL,
            "tiers above that a fetch from here also fills; default: all in host memory; []: none", KV_FORM_NAMES,
            KV_FAMILY_COUNT),
    SPECIAL("link", KV_DIM_TEXT, NULL, 0, 0, NULL, "links of network.links that it is reached by", KV_FORM_NAMES,
            KV_FAMILY_COUNT),
    SPECIAL("store", KV_DIM_TEXT, NULL, 0, 0, NULL, "parameters of its kind; profile: NAME presets them",
            KV_FORM_PARAMS, KV_FAMILY_store),
    KV_SPECIAL_END
};
const struct kv_section kv_section_lower_tier = { "tiers[1..]", "tiers below the first", lower_params,
                                                  lower_specials };

/* What the functions below share of one tier. */
struct lower {
    struct kv_load *l;
    struct kv_yaml *node;
    struct kv_tier_config *tier;
    int32_t index;
    const char *path;      /* "tiers[1]" */
    const char *kind;      /* of a store that exists; else NULL */
};

static const char *bytes_text(struct kv_load *l, int64_t bytes)
{
    return kv_value_text(l->arena, &(struct kv_param){.dim = KV_DIM_BYTES}, &bytes);
}

/* ---- one key at a time ---- */

static void load_name(const struct lower *w, const char *name)
{
    const struct kv_sim_config *c = &w->l->s->sim;
    struct kv_yaml *at = kv_yaml_get(w->node, "name");
    w->tier->name = name && *name ? name : "?";
    if (!name) return;
    if (!*name || strlen(name) > 64)
        kv_load_error(w->l, at, NULL, "%s.name: a name has 1 to 64 characters", w->path);
    if (!strcmp(name, "compute"))
        kv_load_error(w->l, at, NULL, "%s.name: 'compute' is the name of what no tier has; choose another", w->path);
    for (int32_t i = 0; i < w->index; i++)
        if (!strcmp(name, c->tier[i].name))
            kv_load_error(w->l, at, NULL, "%s.name: '%s' is the name of tiers[%d] already", w->path, name, i);
}

static void load_kind(struct lower *w)
{
    struct kv_yaml *kind = kv_yaml_get(w->node, "kind");
    const char *path = kv_arena_text(w->l->arena, "%s.kind", w->path);
    if (!kind)
        kv_load_error(w->l, w->node, NULL, "%s: missing; known: %s", path, kv_plugin_names(KV_FAMILY_store));
    else if (kind->kind != KV_YAML_SCALAR)
        kv_load_error(w->l, kind, NULL, "%s: expected the name of a store model; known: %s", path,
                      kv_plugin_names(KV_FAMILY_store));
    else if (!strcmp(kind->text, "hbm"))
        kv_load_error(w->l, kind, NULL, "%s: hbm is the first tier; below it are: %s", path,
                      kv_plugin_names(KV_FAMILY_store));
    else {
        const struct kv_plugin *plugin = kv_load_find(w->l, kind, path, KV_FAMILY_store, kind->text);
        w->tier->store = plugin ? kv_plugin_ops(store, plugin) : NULL;
        w->kind = plugin ? plugin->name : NULL;
    }
}

static void load_scope(const struct lower *w)
{
    const struct kv_network_config *n = &w->l->s->sim.network;
    struct kv_yaml *node = kv_yaml_get(w->node, "scope");
    bool network = w->tier->store && w->tier->store->network;
    w->tier->scope = network ? KV_SCOPE_CLUSTER : KV_SCOPE_NODE;
    if (!node && w->kind) node = kv_load_default(w->l, w->node, "scope", scopes[w->tier->scope]);
    if (node && !kv_load_optional(w->l, w->node, &kv_section_lower_tier, "scope", &w->tier->scope)) return;
    if (w->tier->scope == KV_SCOPE_NODE && w->l->s->sim.tp > n->gpus_per_node)
        kv_load_error(w->l, node, NULL, "%s.scope: an instance of %d GPUs spans nodes of %d, so no node has a pool of "
                      "its own; say scope: gpu (one pool an instance), rack or cluster", w->path, w->l->s->sim.tp,
                      n->gpus_per_node);
    if (w->kind && !network && w->tier->scope > KV_SCOPE_NODE && w->l->s->nodes > 1)
        kv_load_warning(w->l, node, "%s.scope: a %s lies inside the node, so the bytes of other nodes come over no "
                        "network; kind: remote crosses it", w->path, w->kind);
}

static void load_chunk_tokens(const struct lower *w)
{
    int64_t block = w->l->s->sim.engine.block_tokens, tokens = w->tier->store ? w->tier->store->preset_chunk_tokens : 0;
    if (block < 1) block = 1;
    tokens = tokens ? (tokens + block - 1) / block * block : block;
    struct kv_yaml *node = kv_yaml_get(w->node, "chunk_tokens");
    if (!node && w->kind)
        kv_load_default(w->l, w->node, "chunk_tokens", kv_arena_text(w->l->arena, "%lld", (long long)tokens));
    w->tier->chunk_tokens = tokens;
    if (!kv_load_optional(w->l, w->node, &kv_section_lower_tier, "chunk_tokens", &w->tier->chunk_tokens)) return;
    int64_t given = w->tier->chunk_tokens, below = given / block * block;
    if (given == below) return;
    w->tier->chunk_tokens = below + block;
    const char *lower = below ? kv_arena_text(w->l->arena, "%lld or ", (long long)below) : "";
    kv_load_error(w->l, node, NULL, "%s.chunk_tokens: %lld is not a multiple of engine.block_tokens (%lld); nearest: "
                  "%s%lld", w->path, (long long)given, (long long)block, lower, (long long)(below + block));
}

static void load_capacity(const struct lower *w)
{
    struct kv_yaml *node = kv_yaml_get(w->node, "capacity");
    int64_t bytes = 0;
    w->tier->capacity_chunks = KV_CHUNKS_UNLIMITED;
    if (!node) {
        kv_load_error(w->l, w->node, NULL, "%s.capacity: missing; give the bytes of one pool, or say unlimited",
                      w->path);
        return;
    }
    if (kv_load_word(w->l, w->node, &kv_section_lower_tier, "capacity", &bytes) >= 0 || !w->l->model_known) return;
    int64_t chunk_bytes = w->tier->chunk_tokens * kv_stored_bytes_per_token(&w->l->s->model);
    w->tier->capacity_chunks = bytes / chunk_bytes;
    if (w->tier->capacity_chunks < 1)
        kv_load_error(w->l, node, NULL, "%s.capacity: %s holds no chunk: %lld tokens take %s", w->path,
                      bytes_text(w->l, bytes), (long long)w->tier->chunk_tokens, bytes_text(w->l, chunk_bytes));
}

static void load_policies(const struct lower *w)
{
    struct kv_tier_config *t = w->tier;
    struct kv_yaml *evict = kv_yaml_get(w->node, "evict");
    const struct kv_yaml *capacity = kv_yaml_get(w->node, "capacity");
    bool full = !capacity || capacity->kind != KV_YAML_SCALAR || strcmp(capacity->text, unlimited[0]) != 0;
    const struct kv_plugin *plugin = kv_plugin_find(KV_FAMILY_evict, "lru");
    if (full || evict)
        plugin = kv_load_plugin(w->l, w->node, "evict", KV_FAMILY_evict, "lru", NULL, NULL, &t->evict_params);
    if (plugin) t->evict = kv_plugin_ops(evict, plugin);
    if (!full && evict)
        kv_load_warning(w->l, evict, "%s.evict has no effect with capacity: unlimited", w->path);
    plugin = kv_load_plugin(w->l, w->node, "admit", KV_FAMILY_admit, "always", NULL, NULL, &t->admit_params);
    if (plugin) t->admit = kv_plugin_ops(admit, plugin);
}

static void load_write(const struct lower *w, const struct lower_keys *k)
{
    const struct kv_sim_config *c = &w->l->s->sim;
    static const char *const idle[] = {"write_decode", "write_blocking"};
    const bool on[] = {k->write_decode, k->write_blocking};
    int64_t above = w->index == 1 ? c->engine.block_tokens : c->tier[w->index - 1].chunk_tokens;
    w->tier->write = k->write;
    w->tier->write_decode = k->write_decode;
    w->tier->write_blocking = k->write_blocking;
    w->tier->layout = k->layout;
    for (int32_t i = 0; i < 2; i++)
        if (k->write == KV_WRITE_NONE && on[i])
            kv_load_warning(w->l, kv_yaml_get(w->node, idle[i]), "%s.%s has no effect with write: none", w->path,
                            idle[i]);
    if (k->write == KV_WRITE_ON_EVICT && w->tier->chunk_tokens != above)
        kv_load_error(w->l, kv_yaml_get(w->node, "write"), NULL, "%s.write: on_evict takes over what %s drops, chunk "
                      "by chunk: chunk_tokens must be the %lld of %s, not %lld", w->path, c->tier[w->index - 1].name,
                      (long long)above, c->tier[w->index - 1].name, (long long)w->tier->chunk_tokens);
}

/* ---- names of tiers and links ---- */

/* A list as a default: the names of the tiers in `fill`. */
static void default_fill(const struct lower *w)
{
    const struct kv_sim_config *c = &w->l->s->sim;
    struct kv_yaml *list = kv_load_map(w->l, w->node, "fill");
    list->kind = KV_YAML_LIST;
    for (int32_t t = 1; t < w->index; t++) {
        if (!(w->tier->fill >> t & 1)) continue;
        kv_load_default(w->l, list, NULL, c->tier[t].name);
    }
}

static void load_fill(const struct lower *w)
{
    const struct kv_sim_config *c = &w->l->s->sim;
    struct kv_yaml *names[KV_TIERS_MAX];
    if (!kv_yaml_get(w->node, "fill")) {
        for (int32_t t = 1; t < w->index; t++)
            if (c->tier[t].store && c->tier[t].store->fills) w->tier->fill |= UINT32_C(1) << t;
        default_fill(w);
        return;
    }
    int32_t count = kv_load_names(w->l, w->node, "fill", names, KV_TIERS_MAX);
    for (int32_t i = 0; i < count; i++) {
        const char *above[KV_TIERS_MAX], *all = "", *name = names[i]->text;
        int32_t found = 0;
        for (int32_t t = 1; t < w->index; t++) {
            above[t - 1] = c->tier[t].name;
            all = kv_arena_text(w->l->arena, "%s%s%s", all, t > 1 ? ", " : "", c->tier[t].name);
            if (!strcmp(c->tier[t].name, name)) found = t;
        }
        if (!strcmp(name, c->tier[0].name))
            kv_load_error(w->l, names[i], NULL, "%s.fill: what is fetched goes to %s anyway", w->path, name);
        else if (!found) {
            const char *near = kv_suggest(name, above, w->index - 1);
            kv_load_error(w->l, names[i], near ? kv_arena_text(w->l->arena, "did you mean '%s'?", near) : NULL,
                          "%s.fill: '%s' is no tier between %s and this one; there %s: %s", w->path, name,
                          c->tier[0].name, w->index == 2 ? "is" : "are", *all ? all : "none");
        } else if (c->tier[found].store && !c->tier[found].store->fills)
            kv_load_error(w->l, names[i], NULL, "%s.fill: a fetch does not pass through %s: only tiers in host memory "
                          "can be filled", w->path, name);
        else w->tier->fill |= UINT32_C(1) << found;
    }
}

static void load_link(const struct lower *w)
{
    const struct kv_network_config *n = &w->l->s->sim.network;
    struct kv_yaml *names[KV_TIER_LINKS_MAX];
    const char **known = kv_arena_take(w->l->arena, (size_t)(n->link_count + 1) * sizeof *known), *all = "";
    for (int32_t i = 0; i < KV_TIER_LINKS_MAX; i++) w->tier->link[i] = -1;
    for (int32_t i = 0; i < n->link_count; i++) {
        known[i] = n->links[i].name;
        all = kv_arena_text(w->l->arena, "%s%s%s", all, i ? ", " : "", known[i]);
    }
    int32_t count = kv_load_names(w->l, w->node, "link", names, KV_TIER_LINKS_MAX);
    for (int32_t i = 0; i < count; i++) {
        const char *name = names[i]->text;
        int32_t found = -1;
        for (int32_t k = 0; k < n->link_count; k++)
            if (!strcmp(known[k], name)) found = k;
        for (int32_t k = 0; k < i; k++)
            if (!strcmp(names[k]->text, name))
                kv_load_error(w->l, names[i], NULL, "%s.link: '%s' is named twice", w->path, name);
        if (found < 0) {
            const char *near = kv_suggest(name, known, n->link_count);
            kv_load_error(w->l, names[i], near ? kv_arena_text(w->l->arena, "did you mean '%s'?", near) : NULL,
                          "%s.link: no link '%s' in network.links; there: %s", w->path, name, *all ? all : "none");
        } else if (found == n->fabric)
            kv_load_error(w->l, names[i], NULL, "%s.link: fabric is crossed by whatever leaves a node; it is not named",
                          w->path);
        w->tier->link[i] = found;
    }
}

/* ---- parameters of the store ---- */

struct kv_store_env kv_scenario_store_env(const struct kv_scenario *s, int32_t index)
{
    const struct kv_tier_config *tier = &s->sim.tier[index];
    return (struct kv_store_env){
        .layers = s->model.layers, .chunk_tokens = tier->chunk_tokens, .block_tokens = s->sim.engine.block_tokens,
        .chunk_bytes = tier->chunk_tokens * kv_stored_bytes_per_token(&s->model), .layout = tier->layout,
        .concurrency = s->sim.fetch.concurrency, .lookahead_layers = (int32_t)s->sim.fetch.lookahead_layers,
        .seed = s->sim.seed,
    };
}

/* Opens the store, as the simulator will, to find what only it can judge. */
static void try_store(const struct lower *w, const struct kv_yaml *at)
{
    const struct kv_scenario *s = w->l->s;
    if (!w->l->model_known || w->l->diag->errors) return;
    struct kv_err err = {0};
    struct kv_store_env env = kv_scenario_store_env(s, w->index);
    void *state = kv_arena_take(w->l->arena, w->tier->store->state_bytes + 1);
    if (!w->tier->store->open(state, w->tier->store_params, &env, &err))
        kv_load_error(w->l, at, NULL, "%s.store: %s%s%s", w->path, err.where, *err.where ? ": " : "", err.text);
    else if (w->tier->store->close) w->tier->store->close(state);
}

/* A table that the scenario itself names lies beside it. */
static void place_tables(const struct lower *w, struct kv_yaml *map, const struct kv_param *row, void *params)
{
    for (; row && row->key; row++) {
        size_t length = strlen(row->key);
        if (row->dim != KV_DIM_TEXT || length < 6 || strcmp(row->key + length - 6, "_curve") != 0) continue;
        const struct kv_yaml *node = kv_yaml_get(map, row->key);
        const char **text = (const char **)(void *)((char *)params + row->offset);
        const char *slash = node && node->pos.file ? strrchr(node->pos.file, '/') : NULL;
        if (!slash || !*text || **text == '/') continue;
        const char *folder = kv_arena_copy(w->l->arena, node->pos.file, (size_t)(slash - node->pos.file));
        const char *beside = kv_arena_text(w->l->arena, "%s/%s", folder, *text);
        if (access(beside, R_OK) == 0) *text = beside;
    }
}

static void load_store(const struct lower *w)
{
    struct kv_yaml *map = kv_load_word_map(w->l, w->node, "store", "profile");
    const char *path = kv_arena_text(w->l->arena, "%s.store", w->path);
    if (!kv_bind(w->l->arena, map, path, NULL, NULL, w->l->diag) || !w->kind) return;
    const struct kv_plugin_info *info = &w->tier->store->info;
    kv_load_profile(w->l, map, path, kv_store_profile_load, w->kind);
    void *params = info->params_bytes ? kv_arena_take(w->l->arena, info->params_bytes) : NULL;
    kv_bind(w->l->arena, map, path, info->params, params, w->l->diag);
    place_tables(w, map, info->params, params);
    if (info->prepare) info->prepare(params);
    w->tier->store_params = params;
    static const struct kv_special profile[] = {
        SPECIAL("profile", KV_DIM_TEXT, NULL, 0, 0, NULL, "presets", KV_FORM_NAME, KV_FAMILY_COUNT), KV_SPECIAL_END
    };
    const struct kv_section section = {path, info->help, info->params, profile};
    kv_load_end(w->l, map, &section, kv_arena_text(w->l->arena, "%s (%s)", path, w->kind));
    try_store(w, map);
}

/* ---- a tier, and all of them ---- */

void kv_load_lower_tier(struct kv_load *l, struct kv_yaml *node, int32_t index)
{
    struct lower w = {.l = l, .node = node, .tier = &l->s->sim.tier[index], .index = index,
                      .path = kv_arena_text(l->arena, "tiers[%d]", index)};
    struct lower_keys k = {0};
    *w.tier = (struct kv_tier_config){.name = "?", .chunk_tokens = l->s->sim.engine.block_tokens,
                                      .link = {-1, -1, -1}};
    kv_bind(l->arena, node, w.path, lower_params, &k, l->diag);
    if (node->kind != KV_YAML_MAP) return;
    load_name(&w, k.name);
    load_kind(&w);
    load_scope(&w);
    load_chunk_tokens(&w);
    load_capacity(&w);
    load_policies(&w);
    load_write(&w, &k);
    load_fill(&w);
    load_link(&w);
    load_store(&w);
    kv_load_end(l, node, &kv_section_lower_tier, kv_arena_text(l->arena, "%s (%s)", w.path, w.tier->name));
}

/* What rows say is resident when they arrive; the section is read, and its names checked, after the tiers. */
static bool is_resident_in(const struct kv_load *l, const char *name)
{
    struct kv_yaml *workload = kv_yaml_get(l->s->tree, "workload");
    if (!workload || workload->kind != KV_YAML_MAP) return false;
    const struct kv_yaml *named = kv_yaml_get(workload, "resident_in");
    return named && named->kind == KV_YAML_SCALAR && strcmp(named->text, name) == 0;
}

void kv_load_check_tiers(struct kv_load *l, struct kv_yaml *first)
{
    const struct kv_sim_config *c = &l->s->sim;
    struct kv_yaml *node = first->next;
    if (node && !c->engine.enable_prefix_caching)
        kv_load_error(l, node, NULL, "tiers[1]: a tier below the first needs engine.enable_prefix_caching: its chunks "
                      "are found by their prefix");
    if (l->diag->errors) return;
    for (int32_t t = 1; t < c->tier_count; t++, node = node->next) {
        const struct kv_tier_config *tier = &c->tier[t];
        bool written = tier->write != KV_WRITE_NONE || is_resident_in(l, tier->name);
        for (int32_t below = t + 1; below < c->tier_count; below++) written = written || c->tier[below].fill >> t & 1;
        if (!written)
            kv_load_warning(l, kv_yaml_get(node, "write"), "tiers[%d] (%s) stays empty: write is none, and no tier "
                            "below fills it", t, tier->name);
        if (!c->engine.chunked_prefill && tier->chunk_tokens > c->engine.max_num_batched_tokens)
            kv_load_warning(l, kv_yaml_get(node, "chunk_tokens"), "tiers[%d] (%s) stays empty: without chunked_prefill "
                            "no request has more tokens than max_num_batched_tokens (%lld), a chunk has %lld", t,
                            tier->name, (long long)c->engine.max_num_batched_tokens, (long long)tier->chunk_tokens);
        if (c->hbm_blocks > 0 && tier->chunk_tokens > c->hbm_blocks * c->engine.block_tokens)
            kv_load_warning(l, kv_yaml_get(node, "chunk_tokens"), "tiers[%d] (%s) stays empty: a chunk of %lld tokens "
                            "is more than the %lld of %s", t, tier->name, (long long)tier->chunk_tokens,
                            (long long)(c->hbm_blocks * c->engine.block_tokens), c->tier[0].name);
    }
}
