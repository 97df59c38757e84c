/* SPDX-License-Identifier: Apache-2.0 */
/* slo and output: what counts as good, and what is written down. */
#include <string.h>

#include "sim/scenario/load.h"

/* ---- slo ---- */

#define BOUND(key, help) \
    { { key, KV_DIM_TIME, 0, NULL, 1e-9, 1e7, NULL, help, NULL }, KV_FORM_OPTIONAL, KV_FAMILY_COUNT, NULL }
static const struct kv_special class_specials[] = {
    BOUND("ttft", "time to first token at most"), BOUND("tpot", "time per output token at most"),
    BOUND("e2e", "end-to-end time at most"), KV_SPECIAL_END
};
const struct kv_section kv_section_slo_class = { "slo.*", "bounds of a class of requests", NULL, class_specials };
static const struct kv_special slo_specials[] = {
    { { "default", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "requests of no other class", NULL },
      KV_FORM_MAP_OF, KV_FAMILY_COUNT, "slo.*" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_slo = { "slo", "service level objectives by class of requests", NULL,
                                           slo_specials };

static void load_class(struct kv_load *l, struct kv_yaml *node, struct kv_slo_class *class)
{
    const char *path = kv_yaml_path(l->arena, node);
    *class = (struct kv_slo_class){.name = node->key};
    kv_bind(l->arena, node, path, NULL, NULL, l->diag);
    if (node->kind != KV_YAML_MAP) return;
    bool any = kv_load_optional(l, node, &kv_section_slo_class, "ttft", &class->ttft_s);
    any = kv_load_optional(l, node, &kv_section_slo_class, "tpot", &class->tpot_s) || any;
    any = kv_load_optional(l, node, &kv_section_slo_class, "e2e", &class->e2e_s) || any;
    if (!any && !node->child) kv_load_error(l, node, NULL, "%s: bounds nothing; give ttft, tpot or e2e", path);
    kv_load_end(l, node, &kv_section_slo_class, path);
}

void kv_load_slo(struct kv_load *l)
{
    struct kv_scenario *s = l->s;
    struct kv_yaml *map = kv_yaml_get(s->tree, "slo");
    if (!map) return;
    kv_bind(l->arena, map, "slo", NULL, NULL, l->diag);
    if (map->kind != KV_YAML_MAP || !map->child) return;
    s->slo[0] = (struct kv_slo_class){.name = "default"};   /* unbounded, unless it is among them */
    s->slo_count = 1;
    for (struct kv_yaml *c = map->child; c; c = c->next) {
        c->used = true;
        bool first = !strcmp(c->key, "default");
        if (!first && s->slo_count == KV_SLO_CLASSES_MAX) {
            kv_load_error(l, c, NULL, "slo: more than %d classes", KV_SLO_CLASSES_MAX);
            return;
        }
        if (!*c->key || strlen(c->key) > 64)
            kv_diag_add(l->diag, KV_ERROR, c->key_pos, NULL, "slo: a class name has 1 to 64 characters");
        load_class(l, c, first ? &s->slo[0] : &s->slo[s->slo_count++]);
    }
}

/* ---- output ---- */

struct output_keys { int64_t requests, flows; };
static const char *const requests[] = {"all", "none", NULL};
static const char *const flows[] = {"none", "all", NULL};
static const struct kv_param output_params[] = {
    { "requests", KV_DIM_CHOICE, offsetof(struct output_keys, requests), "all", 0, 0, requests,
      "one row a request; none: the summary comes from histograms", NULL },
    { "flows", KV_DIM_CHOICE, offsetof(struct output_keys, flows), "none", 0, 0, flows,
      "all: one row a fetch, which `kvsim explain` needs to say what a request waited for", NULL },
    KV_PARAM_END
};
static const char *const series[] = {"auto", "none", NULL};
static const struct kv_special output_specials[] = {
    { { "timeseries", KV_DIM_TIME, 0, "auto", 1e-9, 1e7, series,
        "step of the time series; auto: at most 4096 bins", NULL }, KV_FORM_WORD, KV_FAMILY_COUNT, NULL },
    { { "layers", KV_DIM_TEXT, 0, NULL, 0, 0, NULL, "times layer by layer", NULL },
      KV_FORM_MAP, KV_FAMILY_COUNT, "output.layers" },
    KV_SPECIAL_END
};
const struct kv_section kv_section_output = { "output", "what is written down", output_params, output_specials };

struct layer_keys { int64_t sample; };
static const struct kv_param layer_params[] = {
    { "sample", KV_DIM_COUNT, offsetof(struct layer_keys, sample), "0", 0, 1e9, NULL,
      "requests, drawn at random, whose layers are recorded where they had to wait for any", NULL },
    KV_PARAM_END
};
const struct kv_section kv_section_layers = { "output.layers", "times layer by layer", layer_params, NULL };

void kv_load_output(struct kv_load *l)
{
    struct kv_yaml *map = kv_load_map(l, l->s->tree, "output");
    struct output_keys k = {0};
    kv_bind(l->arena, map, "output", output_params, &k, l->diag);
    if (map->kind != KV_YAML_MAP) return;
    double step_s = 0;
    int32_t word = kv_load_word(l, map, &kv_section_output, "timeseries", &step_s);
    l->s->output.requests = k.requests;
    l->s->output.flows = k.flows;
    l->s->output.timeseries_s = word == 0 ? 0 : word == 1 ? -1 : step_s;
    l->s->sim.timeseries_s = l->s->output.timeseries_s;

    struct kv_yaml *layers = kv_load_map(l, map, "layers");
    struct layer_keys layer = {0};
    kv_bind(l->arena, layers, "output.layers", layer_params, &layer, l->diag);
    l->s->output.layers_sample = layer.sample;
    kv_load_end(l, layers, &kv_section_layers, "output.layers");
    kv_load_end(l, map, &kv_section_output, "output");
}
