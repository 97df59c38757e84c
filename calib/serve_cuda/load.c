/* SPDX-License-Identifier: Apache-2.0 */
/* KV between pinned host memory and pages. Host memory is layer-major, so what a load needs of a layer lies together
 * where its blocks were filled together: few large copies into a staging buffer, and a kernel that puts the blocks into
 * their pages, all in the stream of copies. */
#include <string.h>

#include "calib/serve_cuda/gpu.h"

static char *host_at(const struct kv_gpu *g, int32_t layer, int64_t slot)
{
    return g->host + ((int64_t)layer * g->o.slots + slot) * g->block_bytes;
}

/* Page numbers of a load, on the device until the load has ended: a page is on its way once at a time, so three times
 * their number is room enough for the ring. Returns their place; -1 with *err. */
static int64_t put_pages(struct kv_gpu *g, const struct kv_loop_load *load, struct kv_err *err)
{
    if (g->pages_next + load->count > g->pages_room) g->pages_next = 0;
    int64_t at = g->pages_next, bytes = 4 * (int64_t)load->count;
    g->pages_next += load->count;
    memcpy(g->pages_host + at, load->page, (size_t)bytes);
    return kv_cuda_copy(g->pages + at, g->pages_host + at, bytes, g->copies, err) ? at : -1;
}

/* Copies blocks [from, from + count) of the load into the staging buffer, places that follow each other at once. */
static bool stage(struct kv_gpu *g, const struct kv_loop_load *load, int32_t layer, int32_t from, int32_t count,
                  struct kv_err *err)
{
    for (int32_t i = from, run; i < from + count; i += run) {
        for (run = 1; i + run < from + count && load->slot[i + run] == load->slot[i] + run;) run++;
        if (!kv_cuda_copy(g->staging + (i - from) * g->block_bytes, host_at(g, layer, load->slot[i]),
                          run * g->block_bytes, g->copies, err)) return false;
    }
    return true;
}

static bool load_layer(struct kv_gpu *g, const struct kv_loop_load *load, int32_t layer, int64_t pages_at,
                       struct kv_err *err)
{
    const struct kv_pages pages = kv_gpu_pages(g, layer, NULL, 0);
    for (int32_t from = 0, count; from < load->count; from += count) {
        count = load->count - from < g->staging_blocks ? load->count - from : (int32_t)g->staging_blocks;
        if (!stage(g, load, layer, from, count, err)
            || !kv_scatter(g->staging, g->block_tokens, count, g->pages + pages_at + from, &pages, g->copies, err))
            return false;
    }
    return true;
}

bool kv_gpu_begin_load(struct kv_gpu *g, const struct kv_loop_load *load, struct kv_err *err)
{
    size_t layers = (size_t)g->shape->layers;
    struct kv_gpu_load l = { kv_mem_take(layers * sizeof *l.event), 0 };
    kv_vec_push(&g->load, l);
    int64_t at = put_pages(g, load, err);
    if (at < 0) return false;
    for (int32_t i = 0; i < g->shape->layers; i++)
        if (!kv_cuda_event_open(&l.event[i], true, err) || !load_layer(g, load, i, at, err)
            || !kv_cuda_record(l.event[i], g->copies, err)) return false;
    return true;
}

int32_t kv_gpu_arrived(struct kv_gpu *g, int32_t load)
{
    struct kv_gpu_load *l = &g->load.at[load];
    bool happened = true;
    while (l->arrived < g->shape->layers && kv_cuda_happened(l->event[l->arrived], &happened, &g->failed) && happened)
        l->arrived++;
    return l->arrived;
}

bool kv_gpu_save(struct kv_gpu *g, const struct kv_loop_load *load, struct kv_err *err)
{
    int64_t half = g->block_bytes / 2, numbers = (int64_t)g->block_tokens * g->row;
    for (int32_t l = 0; l < g->shape->layers; l++)
        for (int32_t i = 0; i < load->count; i++) {
            if (load->slot[i] < 0) continue;
            char *to = host_at(g, l, load->slot[i]);
            if (!kv_cuda_copy(to, g->layer[l].keys + load->page[i] * numbers, half, g->compute, err)
                || !kv_cuda_copy(to + half, g->layer[l].values + load->page[i] * numbers, half, g->compute, err))
                return false;
        }
    return kv_cuda_wait(g->compute, err);
}
