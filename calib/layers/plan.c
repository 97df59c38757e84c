/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/layers/plan.h"

#include "sim/conf/bind.h"

#define CLIENTS_MAX 256

static const char *const modes[] = {"layerwise", "chunkwise", NULL};
#define ROW(key, dim, field, preset, min, max, choices, help) \
    { key, dim, offsetof(struct kv_layers_spec, field), preset, min, max, choices, help, NULL }
static const struct kv_param client_params[] = {
    ROW("key", KV_DIM_TEXT, key, NULL, 0, 0, NULL, "objects are called KEY.0, KEY.1, ..."),
    ROW("objects", KV_DIM_COUNT, objects, NULL, 1, 1e6, NULL, "chunks of the prompt"),
    ROW("layers", KV_DIM_COUNT, layers, NULL, 1, 1024, NULL, "slices of an object"),
    ROW("slice", KV_DIM_BYTES, slice_bytes, NULL, 1, 1e12, NULL, "bytes of one layer of one object"),
    ROW("mode", KV_DIM_CHOICE, mode, "layerwise", 0, 0, modes, "a range for each layer, or whole objects"),
    ROW("lookahead", KV_DIM_COUNT, lookahead, "0", 0, 1024, NULL, "layers ahead of the one computed; 0: no bound"),
    ROW("connections", KV_DIM_COUNT, connections, "1", 1, 64, NULL, "requests under way at a time"),
    ROW("flow", KV_DIM_COUNT, flow, "0", 0, 63, NULL, "local ports are this modulo 64"),
    ROW("flow_each", KV_DIM_BOOL, flow_each, "false", 0, 0, NULL, "connection k: flow + k"),
    ROW("compute", KV_DIM_TIME, compute_s, "0s", 0, 3600, NULL, "time of one layer"),
    ROW("start", KV_DIM_TIME, start_s, "0s", 0, 3600, NULL, "since the start of the run"),
    KV_PARAM_END
};
static const struct kv_param plan_params[] = {
    { "bucket", KV_DIM_TEXT, offsetof(struct kv_layers_plan, bucket), NULL, 0, 0, NULL, "where the objects are", NULL },
    KV_PARAM_END
};
static const char *const plan_others[] = {"clients", NULL};

bool kv_layers_plan_read(struct kv_arena *arena, const char *path, struct kv_layers_plan *plan, struct kv_diag *diag)
{
    const char *text;
    size_t length;
    if (!kv_yaml_read(arena, path, &text, &length, diag)) return false;
    struct kv_yaml *root = kv_yaml_parse(arena, path, text, length, diag);
    if (!root) return false;

    kv_bind(arena, root, "", plan_params, plan, diag);
    struct kv_yaml *list = kv_yaml_get(root, "clients");
    kv_bind_unknown(root, "", plan_params, plan_others, NULL, diag);
    if (!list || list->kind != KV_YAML_LIST || list->count < 1 || list->count > CLIENTS_MAX)
        return kv_diag_add(diag, KV_ERROR, list ? list->pos : root->pos, NULL,
                           "clients must be a list of 1 to %d clients", CLIENTS_MAX);
    plan->client = kv_arena_take(arena, (size_t)list->count * sizeof *plan->client);
    for (struct kv_yaml *node = list->child; node; node = node->next) {
        const char *where = kv_yaml_path(arena, node);
        kv_bind(arena, node, where, client_params, &plan->client[plan->count++], diag);
        kv_bind_unknown(node, where, client_params, NULL, NULL, diag);
    }
    return diag->errors == 0;
}
