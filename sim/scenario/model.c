/* SPDX-License-Identifier: Apache-2.0 */
/* model, cluster, engine, compute, route: what runs, on what, and by which rules. */
#include "sim/scenario/load.h"
#include "sim/scenario/shapes.h"

#include <stdio.h>
#include <string.h>

/* ---- model ---- */

struct model_keys { const char *use; int64_t dtype, kv_dtype; };
static const char *const dtypes[] = {"auto", "fp32", "bf16", "fp16", "fp8", "int8", NULL};
static const double dtype_bytes[] = {0, 4, 2, 2, 1, 1};

static const struct kv_param model_params[] = {
    { "use", KV_DIM_TEXT, offsetof(struct model_keys, use), NULL, 0, 0, NULL,
      "name of a model (see `kvsim list models`) or the path of a .yaml file", NULL },
    { "dtype", KV_DIM_CHOICE, offsetof(struct model_keys, dtype), "auto", 0, 0, dtypes,
      "type of the weights; auto: as published", "vLLM --dtype" },
    { "kv_dtype", KV_DIM_CHOICE, offsetof(struct model_keys, kv_dtype), "auto", 0, 0, dtypes,
      "type of the KV cache; auto: as in the model's file", "vLLM --kv-cache-dtype" },
    KV_PARAM_END
};
const struct kv_section kv_section_model = { "model", "the model served", model_params, NULL };

/* Folder of the scenario file; "" for the current one. */
static const char *folder_of(struct kv_load *l, const struct kv_yaml *node)
{
    const char *file = node->pos.file && node->origin == KV_FROM_FILE ? node->pos.file : l->s->path;
    const char *slash = strrchr(file, '/');
    return slash ? kv_arena_copy(l->arena, file, (size_t)(slash - file)) : "";
}

void kv_load_model(struct kv_load *l)
{
    struct kv_yaml *map = kv_load_map(l, l->s->tree, "model");
    struct model_keys k = {0};
    bool good = kv_bind(l->arena, map, "model", model_params, &k, l->diag);
    struct kv_yaml *use = kv_yaml_get(map, "use");
    if (use && k.use) {
        l->model_known = kv_model_load(l->arena, k.use, folder_of(l, use), use->pos, &l->s->model, l->diag) && good;
        if (k.dtype) l->s->model.dtype_bytes = dtype_bytes[k.dtype];
        if (k.kv_dtype) l->s->model.kv_dtype_bytes = dtype_bytes[k.kv_dtype];
    }
    kv_load_end(l, map, &kv_section_model, "model");
}

/* ---- cluster ---- */

struct instance_keys { int64_t count, tp, expert_parallel; bool tp_blamed; };
static const struct kv_param instance_params[] = {
    { "count", KV_DIM_COUNT, offsetof(struct instance_keys, count), "1", 1, 65534, NULL,
      "instances: engines that serve requests on their own", NULL },
    { "tp", KV_DIM_COUNT, offsetof(struct instance_keys, tp), "1", 1, 1024, NULL,
      "tensor-parallel GPUs of an instance", "vLLM --tensor-parallel-size" },
    { "expert_parallel", KV_DIM_COUNT, offsetof(struct instance_keys, expert_parallel), "1", 1, 1024, NULL,
      "so many instances in a row share the experts of the model and take every step together",
      "vLLM --data-parallel-size with --enable-expert-parallel" },
    KV_PARAM_END
};
const struct kv_section kv_section_instances = { "cluster.instances", "the engines", instance_params, NULL };

static const char *const unlimited[] = {"unlimited", NULL};
static const char *const autos[] = {"auto", "unlimited", NULL}, *const peers[] = {"auto", NULL};
static const struct kv_special node_specials[] = {
    { { "count", KV_DIM_COUNT, 0, NULL, 1, 65534, NULL, "nodes; default: as many as the instances need", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "gpus", KV_DIM_COUNT, 0, NULL, 1, 1024, NULL, "GPUs of a node; default: 8, or fewer if that is enough",
        NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "gpu", KV_DIM_TEXT, 0, NULL, 0, 0, NULL,
        "kind of GPU (see `kvsim list gpus`) or the path of a .yaml file", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "nic", KV_DIM_BITS_PER_S, 0, "unlimited", 1, 1e15, unlimited, "network rate of a node, one way", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "pcie", KV_DIM_BITS_PER_S, 0, "auto", 1, 1e15, autos,
        "host link of a GPU, one way; auto: as in the GPU's file, unlimited without a GPU", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "peer", KV_DIM_BITS_PER_S, 0, "auto", 1, 1e15, peers,
        "rate between two GPUs of a node, one way, of the exchange of expert_parallel and the all-reduces of tp with "
        "compute.kind table, which are as measured where peer is not given; auto: as in the GPU's file", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "peer_latency", KV_DIM_TIME, 0, NULL, 0, 1, NULL, "of one exchange between GPUs; default: 6us", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "rack", KV_DIM_COUNT, 0, NULL, 1, 65534, NULL, "nodes of a rack; default: all", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_nodes = { "cluster.nodes", "the machines", NULL, node_specials };

static const struct kv_special cluster_specials[] = {
    { { "nodes", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "the machines", NULL }, KV_FORM_MAP, KV_FAMILY_COUNT,
      "cluster.nodes" },
    { { "instances", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "the engines", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "cluster.instances" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_cluster = { "cluster", "machines and instances", NULL, cluster_specials };

/* Everything needs exact division, as in vLLM: heads over GPUs, KV heads over GPUs or the other way round. */
static bool check_tp(struct kv_load *l, const struct kv_yaml *node, int64_t tp)
{
    const struct kv_model_shape *m = &l->s->model;
    if (m->heads % tp)
        return kv_load_error(l, node, NULL, "cluster.instances.tp: %lld does not divide the %d attention heads of %s",
                             (long long)tp, m->heads, m->name);
    if (m->attention == KV_ATTENTION_GQA && m->kv_heads % tp && tp % m->kv_heads)
        return kv_load_error(l, node, NULL, "cluster.instances.tp: %lld and the %d KV heads of %s do not divide each "
                             "other", (long long)tp, m->kv_heads, m->name);
    return true;
}

/* GPUs of a node where nobody says: 8 or what is needed, so that instances fill nodes or nodes instances. */
static int64_t gpus_preset(int64_t needed, int64_t tp)
{
    if (needed <= 8) return needed;
    if (tp <= 8) return 8 / tp * tp;
    int64_t gpus = 8;
    while (tp % gpus) gpus--;
    return gpus;
}

/* An instance stands on one node, or owns whole nodes (docs/tiers.md, T1). */
static void check_placement(struct kv_load *l, struct kv_yaml *map, int64_t tp, int64_t gpus)
{
    const struct kv_yaml *at = kv_yaml_get(map, "gpus");
    if (gpus % tp && tp % gpus)
        kv_load_error(l, at, NULL, "cluster.nodes.gpus: %lld GPUs of a node and %lld of an instance (tp) do not divide "
                      "each other", (long long)gpus, (long long)tp);
}

static void load_nodes(struct kv_load *l, struct kv_yaml *map, const struct instance_keys *k)
{
    const struct kv_section *section = &kv_section_nodes;
    int64_t needed = k->count * k->tp;
    l->gpu_blamed = !kv_bind(l->arena, map, "cluster.nodes", NULL, NULL, l->diag);
    if (l->gpu_blamed) return;
    if (!kv_load_optional(l, map, section, "gpus", &l->s->gpus_per_node)) {
        l->s->gpus_per_node = gpus_preset(needed, k->tp);
        if (!kv_yaml_get(map, "gpus"))
            kv_load_default(l, map, "gpus", kv_arena_text(l->arena, "%lld", (long long)l->s->gpus_per_node));
    }
    if (!kv_load_optional(l, map, section, "count", &l->s->nodes)) {
        l->s->nodes = (needed + l->s->gpus_per_node - 1) / l->s->gpus_per_node;
        if (!kv_yaml_get(map, "count"))
            kv_load_default(l, map, "count", kv_arena_text(l->arena, "%lld", (long long)l->s->nodes));
    }
    if (l->s->nodes * l->s->gpus_per_node < needed)
        kv_load_error(l, kv_yaml_get(map, "count"), NULL,
                      "cluster: %lld instances of %lld GPUs need %lld GPUs; %lld nodes of %lld have %lld",
                      (long long)k->count, (long long)k->tp, (long long)needed, (long long)l->s->nodes,
                      (long long)l->s->gpus_per_node, (long long)(l->s->nodes * l->s->gpus_per_node));
    if (!k->tp_blamed) check_placement(l, map, k->tp, l->s->gpus_per_node);
    const char *gpu;
    if (kv_load_optional(l, map, section, "gpu", &gpu)) {
        const struct kv_yaml *node = kv_yaml_get(map, "gpu");
        kv_gpu_load(l->arena, gpu, folder_of(l, node), node->pos, &l->s->gpu, l->diag);
    }
    l->gpu_blamed = kv_yaml_get(map, "gpu") && !l->s->gpu.name;
}

void kv_load_cluster(struct kv_load *l)
{
    struct kv_yaml *map = kv_load_map(l, l->s->tree, "cluster");
    l->gpu_blamed = !kv_bind(l->arena, map, "cluster", NULL, NULL, l->diag);
    if (l->gpu_blamed) return;
    struct kv_yaml *instances = kv_load_map(l, map, "instances"), *nodes = kv_load_map(l, map, "nodes");
    struct instance_keys k = {1, 1, 1, false};
    kv_bind(l->arena, instances, "cluster.instances", instance_params, &k, l->diag);
    kv_load_end(l, instances, &kv_section_instances, "cluster.instances");
    l->s->sim.instance_count = (int32_t)k.count;
    l->s->sim.tp = (int32_t)k.tp;
    l->s->sim.ranks = (int32_t)k.expert_parallel;
    if (l->model_known) k.tp_blamed = !check_tp(l, kv_yaml_get(instances, "tp"), k.tp);
    load_nodes(l, nodes, &k);
    kv_load_end(l, map, &kv_section_cluster, "cluster");
}

void kv_load_no_gpu(struct kv_load *l, const char *what)
{
    if (!l->gpu_blamed)
        kv_load_error(l, kv_yaml_get(kv_yaml_get(l->s->tree, "cluster"), "nodes"), NULL,
                      "cluster.nodes.gpu: missing, and %s "
                      "needs to know it; e.g. cluster: {nodes: {gpu: h100-sxm}} (see `kvsim list gpus`)", what);
    l->gpu_blamed = true;
}

/* ---- engine ---- */

struct engine_keys { struct kv_engine_config config; int64_t preempt; };
static const char *const preempts[] = {"recompute", NULL};
#define ENGINE(field) offsetof(struct engine_keys, config.field)
static const struct kv_param engine_params[] = {
    { "max_num_seqs", KV_DIM_COUNT, ENGINE(max_num_seqs), "256", 1, 65536, NULL,
      "requests that run at once", "vLLM --max-num-seqs" },
    { "max_num_batched_tokens", KV_DIM_TOKENS, ENGINE(max_num_batched_tokens), "8192", 1, 1 << 30, NULL,
      "tokens of one step", "vLLM --max-num-batched-tokens" },
    { "chunked_prefill", KV_DIM_BOOL, ENGINE(chunked_prefill), "true", 0, 0, NULL,
      "a prompt may be computed over several steps", "vLLM --enable-chunked-prefill" },
    { "enable_prefix_caching", KV_DIM_BOOL, ENGINE(enable_prefix_caching), "true", 0, 0, NULL,
      "blocks are found again by their prefix", "vLLM --enable-prefix-caching" },
    { "cache_outputs", KV_DIM_BOOL, ENGINE(cache_outputs), "true", 0, 0, NULL,
      "blocks with generated tokens stay cached after the request", "vLLM" },
    { "async_scheduling", KV_DIM_BOOL, ENGINE(async_scheduling), "false", 0, 0, NULL,
      "a step is made up while the one before runs, host overhead is hidden", "vLLM --async-scheduling" },
    { "block_tokens", KV_DIM_TOKENS, ENGINE(block_tokens), "16", 1, 1 << 20, NULL,
      "tokens of a KV block", "vLLM --block-size" },
    { "preempt", KV_DIM_CHOICE, offsetof(struct engine_keys, preempt), "recompute", 0, 0, preempts,
      "what happens to the KV of a preempted request", "vLLM v1" },
    KV_PARAM_END
};
static const struct kv_special engine_specials[] = {
    { { "sched", KV_DIM_TEXT, 0, "fcfs", 0, 0, NULL, "order of the waiting queue", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_sched, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_engine = { "engine", "batching and blocks of an instance", engine_params,
                                              engine_specials };

void kv_load_engine(struct kv_load *l)
{
    struct kv_yaml *map = kv_load_map(l, l->s->tree, "engine");
    struct engine_keys k = {0};
    kv_bind(l->arena, map, "engine", engine_params, &k, l->diag);
    k.config.host_overhead_s = l->s->sim.engine.host_overhead_s;
    l->s->sim.engine = k.config;
    if (k.config.max_num_batched_tokens < k.config.max_num_seqs) {
        const struct kv_yaml *node = kv_yaml_get(map, "max_num_batched_tokens");
        if (!node || node->origin == KV_FROM_DEFAULT) node = kv_yaml_get(map, "max_num_seqs");
        kv_load_error(l, node, NULL,
                      "engine.max_num_batched_tokens (%lld) must be at least max_num_seqs (%lld): each running "
                      "request decodes one token a step", (long long)k.config.max_num_batched_tokens,
                      (long long)k.config.max_num_seqs);
    }
    if (map->kind != KV_YAML_MAP) return;
    const struct kv_plugin *plugin = kv_load_plugin(l, map, "sched", KV_FAMILY_sched, "fcfs", NULL, NULL,
                                                   &l->s->sim.sched_params);
    if (plugin) l->s->sim.sched = kv_plugin_ops(sched, plugin);
    kv_load_end(l, map, &kv_section_engine, "engine");
}

/* ---- compute and route ---- */

struct compute_keys { double host_overhead_s; };
static const struct kv_param compute_params[] = {
    { "host_overhead", KV_DIM_TIME, offsetof(struct compute_keys, host_overhead_s), "0s", 0, 10, NULL,
      "time of the host between two steps, once a step", NULL },
    KV_PARAM_END
};
static const struct kv_special compute_specials[] = {
    { { "kind", KV_DIM_TEXT, 0, "roofline", 0, 0, NULL,
        "how a step is priced; beside it, that model's parameters", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_compute, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_compute = { "compute", "what a step costs", compute_params, compute_specials };

static const struct kv_special route_specials[] = {
    { { "policy", KV_DIM_TEXT, 0, "round_robin", 0, 0, NULL,
        "which instance serves a request; beside it, its parameters",
        NULL }, KV_FORM_PLUGIN, KV_FAMILY_route, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_route = { "route", "which instance serves a request", NULL, route_specials };

void kv_load_compute(struct kv_load *l)
{
    struct kv_sim_config *c = &l->s->sim;
    struct compute_keys k = {0};
    const struct kv_plugin *plugin = kv_load_plugin(l, l->s->tree, "compute", KV_FAMILY_compute, "roofline",
                                                    compute_params, &k, &c->compute_params);
    c->engine.host_overhead_s = k.host_overhead_s;
    c->compute_env.model = &l->s->model;
    c->compute_env.gpu = l->s->gpu.name ? &l->s->gpu : NULL;
    c->compute_env.tp = c->tp;
    c->compute_env.ranks = c->ranks;
    if (!plugin) return;
    c->compute = kv_plugin_ops(compute, plugin);
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "compute");
    struct kv_yaml *kind = kv_yaml_get(map, "kind") ? kv_yaml_get(map, "kind") : kv_yaml_get(map, "policy");
    if (c->compute->needs_gpu && !l->s->gpu.name) {
        kv_load_no_gpu(l, kv_arena_text(l->arena, "compute.kind: %s", plugin->name));
        return;
    }
    if (c->ranks > 1 && !c->compute->together)
        kv_load_error(l, kind, NULL, "compute.kind: %s cannot tell experts from the rest of a step, which "
                      "cluster.instances.expert_parallel needs; table can", plugin->name);
    if (!l->model_known || l->diag->errors) return;
    /* Opening is cheap and finds what only the model itself can judge (coefficients that are all zero, a GPU without
     * fp8). The simulator opens its own. */
    struct kv_err err = {0};
    void *state = kv_arena_take(l->arena, c->compute->state_bytes + 1);
    if (!c->compute->open(state, c->compute_params, &c->compute_env, &err))
        kv_load_error(l, kind, NULL, "%s: %s", *err.where ? err.where : "compute", err.text);
}

void kv_load_route(struct kv_load *l)
{
    const struct kv_plugin *plugin = kv_load_plugin(l, l->s->tree, "route", KV_FAMILY_route, "round_robin",
                                                    NULL, NULL, &l->s->sim.route_params);
    if (plugin) l->s->sim.route = kv_plugin_ops(route, plugin);
}
