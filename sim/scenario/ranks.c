/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.instances.expert_parallel and the links between GPUs (docs/engine.md, rules 13f and 13g). */
#include <string.h>

#include "sim/scenario/load.h"

/* Where nobody says: what all-gather and reduce-scatter of up to 16 KiB take between two GPUs of a node, 5.1 to
 * 6.2 us (ai-dynamo/aiconfigurator 095f58a, nccl, RTX PRO 6000). */
#define PEER_LATENCY_S 6e-6
#define PEER_LATENCY_TEXT "6us"

static void load_peer(struct kv_load *l, struct kv_yaml *nodes)
{
    struct kv_compute_env *env = &l->s->sim.compute_env;
    double bps = 0;
    if (kv_load_word(l, nodes, &kv_section_nodes, "peer", &bps) < 0) env->peer_Bps = bps / 8;
    else if (l->s->gpu.name) env->peer_Bps = l->s->gpu.link_Bps;
    env->peer_latency_s = PEER_LATENCY_S;
    if (!kv_yaml_get(nodes, "peer_latency")) kv_load_default(l, nodes, "peer_latency", PEER_LATENCY_TEXT);
    else kv_load_optional(l, nodes, &kv_section_nodes, "peer_latency", &env->peer_latency_s);
    if (env->peer_Bps <= 0 && !l->diag->errors)
        kv_load_error(l, kv_yaml_get(nodes, "peer"), NULL, "cluster.nodes.peer: nothing says the rate between two "
                      "GPUs; e.g. peer: 64GB/s");
}

static void check_model(struct kv_load *l, const struct kv_yaml *at, int32_t ranks)
{
    const struct kv_model_shape *m = &l->s->model;
    if (!m->experts)
        kv_load_error(l, at, NULL, "cluster.instances.expert_parallel: %s has no experts to share", m->name);
    else if (m->experts % ranks)
        kv_load_error(l, at, NULL, "cluster.instances.expert_parallel: %d does not divide the %d experts of %s", ranks,
                      m->experts, m->name);
}

/* Whether compute.kind is table, which has all-reduces of its own to price; the section is read later. */
static bool is_table(const struct kv_load *l)
{
    struct kv_yaml *node = kv_yaml_get(l->s->tree, "compute");
    if (node && node->kind == KV_YAML_MAP)
        node = kv_yaml_get(node, "kind") ? kv_yaml_get(node, "kind") : kv_yaml_get(node, "policy");
    return node && node->kind == KV_YAML_SCALAR && strcmp(node->text, "table") == 0;
}

/* Their keys; true where somebody gave one. */
static bool peer_given(struct kv_load *l, struct kv_yaml *nodes)
{
    static const char *const keys[] = {"peer", "peer_latency"};
    bool used = l->s->sim.ranks > 1 || (l->s->sim.tp > 1 && is_table(l)), given = false;
    for (int32_t i = 0; i < 2; i++) {
        const struct kv_yaml *key = kv_yaml_get(nodes, keys[i]);
        given |= key != NULL;
        if (key && !used && !l->diag->errors)
            kv_load_warning(l, key, "cluster.nodes.%s has no effect: neither expert_parallel nor compute.kind table "
                            "with tp > 1 looks at it", keys[i]);
    }
    return given;
}

void kv_load_ranks(struct kv_load *l)
{
    struct kv_sim_config *c = &l->s->sim;
    struct kv_yaml *cluster = kv_yaml_get(l->s->tree, "cluster"), *nodes = kv_yaml_get(cluster, "nodes");
    const struct kv_yaml *at = kv_yaml_get(kv_yaml_get(cluster, "instances"), "expert_parallel");
    if (!nodes || nodes->kind != KV_YAML_MAP) return;
    if (peer_given(l, nodes)) load_peer(l, nodes);   /* else as measured on the GPUs: the compute model's affair */
    if (c->ranks <= 1) return;
    if (c->instance_count % c->ranks)
        kv_load_error(l, at, NULL, "cluster.instances.expert_parallel: %d does not divide the %d instances", c->ranks,
                      c->instance_count);
    if (c->tier_count > 1)
        kv_load_error(l, at, NULL, "cluster.instances.expert_parallel: ranks that step together have no tier below %s; "
                      "leave the others out of tiers", c->tier[0].name);
    if (c->handover.prefill_instances > 0)
        kv_load_error(l, at, NULL, "cluster.instances.expert_parallel: ranks that step together hand nothing over; "
                      "leave disaggregation out");
    if (l->model_known) check_model(l, at, c->ranks);
}
