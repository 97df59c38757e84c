/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/layers.h"

#include <stdlib.h>
#include <string.h>

#include "sim/base/arena.h"
#include "sim/base/map.h"
#include "sim/base/rng.h"

/* Rows of a chunk: 128 layers of 8 bytes each make half a MiB. */
#define CHUNK_ROWS 512

/* Columns of rows x layers, as they follow each other in memory. */
enum column { FETCH_END, COMPUTE_START, COMPUTE_END, FETCH_STALL, COLUMN_COUNT };

/* Someone of the sample; its times are in slot `slot`. */
struct chosen { uint64_t hash; int64_t request; kv_tick ready_tk; uint32_t slot; };

struct kv_layers {
    int64_t sample;
    int32_t layers;
    uint64_t seed;
    KV_VEC(struct chosen) heap;      /* the largest hash first */
    KV_VEC(kv_tick) tick;            /* [slot][column][layer] */
    struct kv_map slot_of;           /* by request */
};

struct kv_layers *kv_layers_open(int64_t sample, int32_t layers, uint64_t seed)
{
    struct kv_layers *s = kv_mem_take(sizeof *s);
    *s = (struct kv_layers){.sample = sample, .layers = layers, .seed = seed};
    kv_map_open(&s->slot_of, 0);
    return s;
}

void kv_layers_close(struct kv_layers *s)
{
    if (!s) return;
    kv_map_close(&s->slot_of);
    kv_vec_close(&s->heap);
    kv_vec_close(&s->tick);
    kv_mem_give(s, sizeof *s);
}

/* ---- the sample ---- */

static bool above(const struct chosen *a, const struct chosen *b)
{
    return a->hash != b->hash ? a->hash > b->hash : a->request > b->request;
}

static void sift_up(struct kv_layers *s, size_t at)
{
    struct chosen moved = s->heap.at[at];
    for (; at > 0 && above(&moved, &s->heap.at[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap.at[at] = s->heap.at[(at - 1) / 2];
    s->heap.at[at] = moved;
}

static void sift_down(struct kv_layers *s)
{
    struct chosen moved = s->heap.at[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < s->heap.count; at = child) {
        if (child + 1 < s->heap.count && above(&s->heap.at[child + 1], &s->heap.at[child])) child++;
        if (!above(&s->heap.at[child], &moved)) break;
        s->heap.at[at] = s->heap.at[child];
    }
    s->heap.at[at] = moved;
}

static kv_tick *ticks_of(const struct kv_layers *s, uint32_t slot, enum column column)
{
    return s->tick.at + ((size_t)slot * COLUMN_COUNT + (size_t)column) * (size_t)s->layers;
}

/* Between what was computed before and this layer. */
static void fill(struct kv_layers *s, uint32_t slot, const struct kv_layers_record *r)
{
    size_t bytes = sizeof(kv_tick) * (size_t)s->layers;
    memcpy(ticks_of(s, slot, FETCH_END), r->fetch_end_tk, bytes);
    memcpy(ticks_of(s, slot, COMPUTE_START), r->compute_start_tk, bytes);
    memcpy(ticks_of(s, slot, COMPUTE_END), r->compute_end_tk, bytes);
    for (int32_t l = 0; l < s->layers; l++) {
        kv_tick before_tk = l ? r->compute_end_tk[l - 1] : r->ready_tk;
        ticks_of(s, slot, FETCH_STALL)[l] = r->compute_start_tk[l] - before_tk;
    }
}

void kv_layers_add(struct kv_layers *s, const struct kv_layers_record *r)
{
    kv_assert(r->layers == s->layers);
    struct chosen new = {kv_mix64_pair(s->seed, (uint64_t)r->request), r->request, r->ready_tk, KV_NONE};
    bool full = (int64_t)s->heap.count == s->sample;
    if (full && !above(&s->heap.at[0], &new)) return;
    if (kv_map_get(&s->slot_of, (uint64_t)r->request) != KV_NONE) return;   /* a later step of it */
    if (full) {
        new.slot = s->heap.at[0].slot;
        kv_map_drop(&s->slot_of, (uint64_t)s->heap.at[0].request);
        s->heap.at[0] = new;
        sift_down(s);
    } else {
        new.slot = (uint32_t)s->heap.count;
        for (int32_t i = 0; i < COLUMN_COUNT * s->layers; i++) kv_vec_push(&s->tick, 0);
        kv_vec_push(&s->heap, new);
        sift_up(s, s->heap.count - 1);
    }
    kv_map_put(&s->slot_of, (uint64_t)r->request, new.slot);
    fill(s, new.slot, r);
}

/* ---- writing ---- */

static int by_request(const void *a, const void *b)
{
    int64_t x = ((const struct chosen *)a)->request, y = ((const struct chosen *)b)->request;
    return (x > y) - (x < y);
}

static void write_wide(struct kv_layers *s, struct kv_h5 *f, enum column column, const char *path,
                       const char *long_name)
{
    struct kv_h5_column_spec spec = {.path = path, .long_name = long_name, .units = "s", .type = KV_I64, .ticks = true,
                                     .fills = column == FETCH_END, .width = s->layers, .chunk_rows = CHUNK_ROWS};
    struct kv_h5_column *c = kv_h5_column_open(f, &spec);
    size_t row_bytes = sizeof(kv_tick) * (size_t)s->layers;
    char *chunk = kv_mem_take(row_bytes * CHUNK_ROWS);
    for (size_t first = 0; first < s->heap.count; first += CHUNK_ROWS) {
        size_t rows = s->heap.count - first < CHUNK_ROWS ? s->heap.count - first : CHUNK_ROWS;
        memset(chunk, 0, row_bytes * CHUNK_ROWS);
        for (size_t i = 0; i < rows; i++)
            memcpy(chunk + i * row_bytes, ticks_of(s, s->heap.at[first + i].slot, column), row_bytes);
        kv_h5_column_write(c, (int64_t)(first / CHUNK_ROWS), chunk, (int32_t)rows);
    }
    kv_h5_column_close(c);
    kv_mem_give(chunk, row_bytes * CHUNK_ROWS);
    kv_h5_attach(f, path, "/layers/request", 0);
    kv_h5_attach(f, path, "/layers/layer", 1);
}

static void write_narrow(struct kv_h5 *f, const char *path, const char *long_name, bool ticks, const int64_t *value,
                         int64_t rows)
{
    struct kv_h5_column_spec spec = {.path = path, .long_name = long_name, .units = ticks ? "s" : "1", .type = KV_I64,
                                     .ticks = ticks, .chunk_rows = CHUNK_ROWS};
    kv_h5_column_all(f, &spec, value, rows);
}

void kv_layers_write(struct kv_layers *s, struct kv_h5 *f)
{
    size_t count = s->heap.count, most = count > (size_t)s->layers ? count : (size_t)s->layers;
    int64_t *value = kv_mem_take((most + 1) * sizeof *value);
    if (count) qsort(s->heap.at, count, sizeof *s->heap.at, by_request);
    kv_h5_group(f, "/layers");
    for (size_t i = 0; i < count; i++) value[i] = s->heap.at[i].request;
    write_narrow(f, "/layers/request", "requests of the sample", false, value, (int64_t)count);
    kv_h5_scale(f, "/layers/request", "request");
    for (int32_t l = 0; l < s->layers; l++) value[l] = l;
    write_narrow(f, "/layers/layer", "layer, from the first that is computed", false, value, s->layers);
    kv_h5_scale(f, "/layers/layer", "layer");
    for (size_t i = 0; i < count; i++) value[i] = s->heap.at[i].ready_tk;
    write_narrow(f, "/layers/ready", "the first layer could have begun, had its KV been there", true, value,
                 (int64_t)count);
    kv_h5_attach(f, "/layers/ready", "/layers/request", 0);
    kv_mem_give(value, (most + 1) * sizeof *value);
    write_wide(s, f, FETCH_END, "/layers/fetch_end", "last byte of the layer was in; -1: nothing had to come");
    write_wide(s, f, COMPUTE_START, "/layers/compute_start", "the step began to compute the layer");
    write_wide(s, f, COMPUTE_END, "/layers/compute_end", "the step had computed the layer");
    write_wide(s, f, FETCH_STALL, "/layers/fetch_stall", "the step waited before the layer, for this request's KV or "
               "that of another one in it");
}
