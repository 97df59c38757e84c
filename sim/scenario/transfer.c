/* SPDX-License-Identifier: Apache-2.0 */
/* transfer: who divides the bandwidth of fetches over the network, and what of a rate is payload. */
#include <math.h>
#include <string.h>

#include "sim/scenario/load.h"

struct transfer_keys { double efficiency; };
static const struct kv_param transfer_params[] = {
    { "efficiency", KV_DIM_FRACTION, offsetof(struct transfer_keys, efficiency), "1", 0.01, 1, NULL,
      "share of the rates of NICs, gateways, links and grants that is payload", NULL },
    KV_PARAM_END
};
static const char *const epochs[] = {"on_arrival", NULL}, *const no_policy[] = {"none", NULL};
static const struct kv_special transfer_specials[] = {
    { { "policy", KV_DIM_TEXT, 0, "none", 0, 0, no_policy,
        "who grants bandwidth to fetches over the network; none: they share the links max-min", NULL },
      KV_FORM_PLUGIN, KV_FAMILY_transfer, NULL },
    { { "cap", KV_DIM_BITS_PER_S, 0, NULL, 0, 1e15, NULL,
        "with a policy: what it divides; default: the bandwidth of network.links.fabric", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "epoch", KV_DIM_TIME, 0, "on_arrival", 1e-9, 1e7, epochs,
        "with a policy: when it grants: when a fetch comes or one ends, or at whole multiples of a time", NULL },
      KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "min_grant", KV_DIM_BITS_PER_S, 0, NULL, 0, 1e15, NULL,
        "with a policy and grants for life: less than this is not held, but for a fetch that needs no more; default: "
        "1 % of cap", NULL }, KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    { { "work_conserving", KV_DIM_BOOL, 0, "false", 0, 0, NULL,
        "with a policy: all fetches are granted anew at each epoch; else a grant is for the life of a fetch", NULL },
      KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL },
    KV_SPECIAL_END
};
const struct kv_section kv_section_transfer = { "transfer", "bandwidth of fetches", transfer_params,
                                                transfer_specials };

/* What lies under `policy`: a plug-in, or NULL for the word none (and where it is wrong, which is noted). */
static const struct kv_plugin *load_policy(struct kv_load *l, struct kv_yaml *map, const void **params)
{
    const struct kv_yaml *node = kv_yaml_get(map, "policy");
    if (!node) node = kv_load_default(l, map, "policy", no_policy[0]);
    if (node->kind == KV_YAML_SCALAR && !strcmp(node->text, no_policy[0])) return NULL;
    return kv_load_plugin(l, map, "policy", KV_FAMILY_transfer, NULL, NULL, NULL, params);
}

/* The bandwidth of the fabric as it is written there; NULL where there is none. */
static const char *fabric_text(const struct kv_load *l)
{
    struct kv_yaml *links = kv_yaml_get(kv_yaml_get(l->s->tree, "network"), "links");
    const struct kv_yaml *rate = kv_yaml_get(kv_yaml_get(links, "fabric"), "bandwidth");
    return rate && rate->kind == KV_YAML_SCALAR ? rate->text : NULL;
}

static void default_cap(struct kv_load *l, struct kv_yaml *map)
{
    if (kv_yaml_get(map, "cap")) return;
    if (fabric_text(l)) kv_load_default(l, map, "cap", fabric_text(l));
    else kv_load_error(l, kv_yaml_get(map, "policy"), NULL, "transfer.cap: the policy needs a bandwidth to divide: add "
                       "cap: RATE, or network.links.fabric with a bandwidth");
}

/* Where a grant is for life: a scrap of the cap would be held for as long as a fetch takes with it. */
static void load_min_grant(struct kv_load *l, struct kv_yaml *map, struct kv_transfer_config *t, double cap_bps)
{
    double bps = 0;
    const struct kv_yaml *node = kv_yaml_get(map, "min_grant");
    if (node && t->policy && t->work_conserving)
        kv_load_warning(l, node, "transfer.min_grant has no effect with work_conserving: grants are set anew");
    if (!node && t->policy && !t->work_conserving)
        kv_load_default(l, map, "min_grant", kv_arena_text(l->arena, "%gMbps", cap_bps / 100 / 1e6));
    if (kv_load_optional(l, map, &kv_section_transfer, "min_grant", &bps)) t->min_grant = kv_rate_from_Bps(bps / 8);
}

/* What belongs to a policy; defaults only where there is one. */
static void load_division(struct kv_load *l, struct kv_yaml *map, struct kv_transfer_config *t)
{
    double bps = 0, period_s = 0;
    if (t->policy) default_cap(l, map);
    if (kv_load_optional(l, map, &kv_section_transfer, "cap", &bps)) t->cap = kv_rate_from_Bps(bps / 8);
    if ((t->policy || kv_yaml_get(map, "epoch"))
        && kv_load_word(l, map, &kv_section_transfer, "epoch", &period_s) < 0)
        t->period_tk = llround(period_s * 1e9) * KV_TICKS_PER_NS;
    if (t->policy && !kv_yaml_get(map, "work_conserving")) kv_load_default(l, map, "work_conserving", "false");
    kv_load_optional(l, map, &kv_section_transfer, "work_conserving", &t->work_conserving);
    load_min_grant(l, map, t, bps);
}

void kv_load_transfer(struct kv_load *l)
{
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "transfer");
    if (!map) return;
    struct kv_transfer_config *t = &l->s->sim.transfer;
    struct transfer_keys k = {.efficiency = 1};
    l->efficiency_given = kv_yaml_get(map, "efficiency") != NULL;
    kv_bind(l->arena, map, "transfer", transfer_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    l->s->sim.network.efficiency = k.efficiency;
    int32_t errors = l->diag->errors;
    const struct kv_plugin *policy = load_policy(l, map, &t->params);
    if (policy) t->policy = kv_plugin_ops(transfer, policy);
    load_division(l, map, t);
    static const char *const idle[] = {"cap", "epoch", "min_grant", "work_conserving"};
    for (int i = 0; i < 4 && !policy; i++) {
        const struct kv_yaml *node = kv_yaml_get(map, idle[i]);
        if (node && l->diag->errors == errors)
            kv_load_warning(l, node, "transfer.%s has no effect with policy: none", idle[i]);
    }
    kv_load_end(l, map, &kv_section_transfer, "transfer");
}

void kv_load_check_transfer(struct kv_load *l)
{
    const struct kv_sim_config *c = &l->s->sim;
    const struct kv_plugin *measured = kv_plugin_find(KV_FAMILY_link, "roce");
    struct kv_yaml *map = kv_yaml_get(l->s->tree, "transfer"), *first = NULL;
    bool losses = l->efficiency_given;
    for (int32_t i = 0; i < c->network.link_count && measured; i++)
        losses = losses || c->network.links[i].ops == kv_plugin_ops(link, measured);
    struct kv_yaml *tiers = kv_yaml_get(l->s->tree, "tiers");
    struct kv_yaml *node = tiers && tiers->kind == KV_YAML_LIST ? tiers->child : NULL;
    for (int32_t tier = 0; node && tier < c->tier_count; node = node->next, tier++)
        if (tier > 0 && c->tier[tier].store && c->tier[tier].store->network && !first) first = node;
    if (l->diag->errors > 0) return;
    if (first && !losses)
        kv_load_warning(l, first, "links to %s carry all of their rate as payload: transfer.efficiency is not given",
                        kv_yaml_get(first, "name") ? kv_yaml_get(first, "name")->text : "the store");
    if (c->transfer.policy && !first)
        kv_load_warning(l, kv_yaml_get(map, "policy"), "transfer.policy has no effect: no tier is reached over the "
                        "network");
}
