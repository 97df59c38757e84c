/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/plug.h"

#include <stdio.h>
#include <string.h>

#define KV_PLUGIN(family, name) extern const struct kv_##family##_ops kv_##family##_##name;
#include "registry.inc"
#undef KV_PLUGIN

static const struct kv_plugin plugins[] = {
#define KV_PLUGIN(family, name) {KV_FAMILY_##family, #name, &kv_##family##_##name.info},
#include "registry.inc"
#undef KV_PLUGIN
};

const char *kv_family_name(enum kv_family family)
{
    static const char *const names[] = {
#define KV_FAMILY_TEXT(name) #name,
        KV_FAMILIES(KV_FAMILY_TEXT)
#undef KV_FAMILY_TEXT
    };
    return names[family];
}

const struct kv_plugin *kv_plugins(int32_t *count)
{
    *count = (int32_t)(sizeof plugins / sizeof plugins[0]);
    return plugins;
}

const struct kv_plugin *kv_plugin_find(enum kv_family family, const char *name)
{
    for (size_t i = 0; i < sizeof plugins / sizeof plugins[0]; i++)
        if (plugins[i].family == family && strcmp(plugins[i].name, name) == 0) return &plugins[i];
    return NULL;
}

const char *kv_plugin_names(enum kv_family family)
{
    static char names[KV_FAMILY_COUNT][1024];
    size_t length = 0;
    char *text = names[family];
    text[0] = 0;
    for (size_t i = 0; i < sizeof plugins / sizeof plugins[0] && length < sizeof names[0]; i++)
        if (plugins[i].family == family)
            length += (size_t)snprintf(text + length, sizeof names[0] - length, "%s%s", length ? ", " : "",
                                       plugins[i].name);
    return text;
}
