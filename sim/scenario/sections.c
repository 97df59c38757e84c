/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/scenario/sections.h"

#include <string.h>

static const struct kv_section *const all[] = {
    &kv_section_top, &kv_section_model, &kv_section_cluster, &kv_section_nodes, &kv_section_instances,
    &kv_section_compute, &kv_section_engine, &kv_section_tier, &kv_section_lower_tier, &kv_section_route,
    &kv_section_workload, &kv_section_prefix, &kv_section_infer, &kv_section_system_prompts, &kv_section_replay,
    &kv_section_window, &kv_section_delay, &kv_section_slo, &kv_section_slo_class, &kv_section_output,
    &kv_section_layers, &kv_section_network, &kv_section_link, &kv_section_gateway, &kv_section_fetch,
    &kv_section_transfer, &kv_section_handover,
};
#define COUNT ((int32_t)(sizeof all / sizeof *all))

const struct kv_section *kv_sections(int32_t *count)
{
    static struct kv_section copy[COUNT];   /* the same contents whenever it is filled */
    for (int32_t i = 0; i < COUNT; i++) copy[i] = *all[i];
    *count = COUNT;
    return copy;
}

const struct kv_section *kv_section_find(const char *path)
{
    for (int32_t i = 0; i < COUNT; i++)
        if (!strcmp(all[i]->path, path)) return all[i];
    return NULL;
}

const char *kv_section_of_key(const char *key)
{
    for (int32_t i = 0; i < COUNT; i++) {
        const char *path = *all[i]->path ? all[i]->path : "the top level";
        for (const struct kv_param *p = all[i]->params; p && p->key; p++)
            if (!strcmp(p->key, key)) return path;
        for (const struct kv_special *s = all[i]->specials; s && s->param.key; s++)
            if (!strcmp(s->param.key, key)) return path;
    }
    return NULL;
}

const char *kv_family_noun(enum kv_family family)
{
    switch (family) {
    case KV_FAMILY_admit: return "admission policy";
    case KV_FAMILY_compute: return "compute model";
    case KV_FAMILY_evict: return "eviction policy";
    case KV_FAMILY_fetch: return "fetch policy";
    case KV_FAMILY_link: return "link model";
    case KV_FAMILY_reader: return "trace format";
    case KV_FAMILY_route: return "routing policy";
    case KV_FAMILY_sched: return "scheduling policy";
    case KV_FAMILY_store: return "store model";
    case KV_FAMILY_transfer: return "transfer policy";
    case KV_FAMILY_COUNT: break;
    }
    return "plug-in";
}
