/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/serve/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calib/serve/llama.h"

/* One step down: a name of a map, or "[1]" of a list; *key goes on behind it. */
static struct kv_yaml *child(struct kv_yaml *node, const char **key)
{
    bool index = **key == '[';
    size_t length = strcspn(*key + index, index ? "]" : ".[");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)length, *key + index);
    *key += length + 2 * index;
    *key += **key == '.';
    if (!index) return node->kind == KV_YAML_MAP ? kv_yaml_get(node, name) : NULL;
    node = node->kind == KV_YAML_LIST ? node->child : NULL;
    for (int32_t i = (int32_t)strtol(name, NULL, 10); node && i > 0; i--) node = node->next;
    return node;
}

/* Where "tiers[1].write" stands; where it is a default, the nearest part of it that the file has. */
static struct kv_pos place(struct kv_scenario *s, const char *key)
{
    struct kv_pos at = { .file = s->path };
    for (struct kv_yaml *node = s->tree; node && *key;) {
        node = child(node, &key);
        if (node && node->origin != KV_FROM_DEFAULT)
            at = node->kind == KV_YAML_SCALAR || !node->key ? node->pos : node->key_pos;
    }
    return at;
}

struct checking { struct kv_scenario *s; struct kv_diag *diag; };

static void refuse(const struct checking *c, bool bad, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void refuse(const struct checking *c, bool bad, const char *key, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (!bad) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    kv_diag_add(c->diag, KV_ERROR, place(c->s, key), NULL, "%s: %s", key, text);
}

static bool is(enum kv_family family, const char *name, const void *ops)
{
    const struct kv_plugin *plugin = kv_plugin_find(family, name);
    return plugin && (const void *)plugin->info == ops;
}

static void check_engine(const struct checking *c)
{
    const struct kv_sim_config *f = &c->s->sim;
    const struct kv_replay_config *r = &f->replay;
    refuse(c, f->instance_count != 1, "cluster.instances.count", "%d instances; the loop is one", f->instance_count);
    refuse(c, f->tp != 1, "cluster.instances.tp", "%d GPUs an instance; the loop runs on one", f->tp);
    refuse(c, f->handover.prefill_instances > 0, "disaggregation", "the loop is one instance");
    refuse(c, !is(KV_FAMILY_sched, "fcfs", f->sched), "engine.sched", "the loop serves fcfs");
    refuse(c, !is(KV_FAMILY_evict, "lru", f->evict), "tiers[0].evict", "the loop evicts lru");
    refuse(c, r->mode != KV_REPLAY_OPEN, "workload.replay", "the loop replays open");
    refuse(c, f->engine.async_scheduling && f->tier_count < 2, "engine.async_scheduling",
           "the loop makes up a step when the one before has ended");
    refuse(c, r->frontend_overhead.mean_s > 0, "workload.replay", "the loop has no front end, and no overhead of one");
}

static void check_host_memory(const struct checking *c)
{
    const struct kv_sim_config *f = &c->s->sim;
    const struct kv_tier_config *t = &f->tier[1];
    refuse(c, f->tier_count > 2, "tiers", "%d tiers; the loop has HBM and host memory", f->tier_count);
    if (f->tier_count != 2) return;
    refuse(c, !is(KV_FAMILY_store, "dram", t->store), "tiers[1].kind", "the loop's second tier is dram");
    refuse(c, t->write != KV_WRITE_NONE, "tiers[1].write", "the loop writes nothing to host memory: none");
    refuse(c, t->chunk_tokens != f->engine.block_tokens, "tiers[1].chunk_tokens", "%lld; the loop's chunks are blocks, "
           "of %lld", (long long)t->chunk_tokens, (long long)f->engine.block_tokens);
    refuse(c, f->fetch.mode != KV_DELIVERY_LAYERWISE && f->fetch.mode != KV_DELIVERY_CHUNKWISE
           && f->fetch.mode != KV_DELIVERY_BULK, "fetch.mode", "the loop loads layerwise, chunkwise or bulk");
    refuse(c, f->fetch.mode == KV_DELIVERY_LAYERWISE && f->fetch.lookahead_layers > 0, "fetch.lookahead_layers",
           "%lld; the loop's loads run free: unlimited", (long long)f->fetch.lookahead_layers);
    refuse(c, !is(KV_FAMILY_fetch, "always", f->fetch.policy) && !is(KV_FAMILY_fetch, "threshold", f->fetch.policy),
           "fetch.policy", "the loop estimates nothing: always or threshold");
}

static void check_model(const struct checking *c, enum kv_loop_kind kind)
{
    const struct kv_model_shape *m = &c->s->model;
    int64_t block = c->s->sim.engine.block_tokens;
    const char *lacks = kv_llama_lacks(m);
    if (kind == KV_LOOP_CLOCK) return;
    refuse(c, lacks != NULL, "model.use", "%s has %s; the loop computes dense models with grouped-query attention",
           m->name, lacks);
    if (kind != KV_LOOP_CUDA) return;
    refuse(c, m->dtype_bytes != 2 || m->kv_dtype_bytes != 2, "model.use", "the kernels compute in bf16");
    refuse(c, m->head_dim != 64 && m->head_dim != 128, "model.use", "heads of %d; the kernels take 64 and 128",
           m->head_dim);
    refuse(c, block > 256 || (block & (block - 1)), "engine.block_tokens", "%lld; the kernels take a power of two up "
           "to 256", (long long)block);
}

bool kv_loop_check(struct kv_scenario *s, enum kv_loop_kind kind, struct kv_diag *diag)
{
    const struct checking c = { s, diag };
    check_engine(&c);
    check_host_memory(&c);
    check_model(&c, kind);
    return diag->errors == 0;
}
