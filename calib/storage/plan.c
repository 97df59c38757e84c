/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "calib/storage/storage.h"
#include "sim/conf/bind.h"

/* ---- lists ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Ascending, each once. */
static bool read_list(struct kv_arena *arena, const struct kv_param *row, const char *text, int64_t *list,
                      int32_t *count, struct kv_err *err)
{
    for (*count = 0; *text;) {
        size_t length = strcspn(text, ",");
        const char *why = NULL;
        if (*count == KV_STORAGE_LIST_MAX)
            return kv_fail(err, KV_EUSAGE, row->key, "more than %d values", KV_STORAGE_LIST_MAX);
        if (!kv_value_parse(arena, row, kv_arena_copy(arena, text, length), &list[*count], &why))
            return kv_fail(err, KV_EUSAGE, row->key, "%s", why);
        ++*count;
        text += length + (text[length] == ',');
    }
    if (!*count) return kv_fail(err, KV_EUSAGE, row->key, "an empty list");
    qsort(list, (size_t)*count, sizeof *list, by_value);
    for (int32_t i = 1; i < *count; i++)
        if (list[i] == list[i - 1]) return kv_fail(err, KV_EUSAGE, row->key, "a value twice");
    return true;
}

bool kv_storage_grid_read(struct kv_arena *arena, const char *sizes, const char *connections,
                          struct kv_storage_grid *grid, struct kv_err *err)
{
    static const struct kv_param size = { .key = "--sizes", .dim = KV_DIM_BYTES, .min = 512, .max = 1 << 30 };
    static const struct kv_param width = { .key = "--connections", .dim = KV_DIM_COUNT, .min = 1,
                                           .max = KV_STORAGE_CONNECTIONS_MAX };
    int64_t list[KV_STORAGE_LIST_MAX];
    if (!read_list(arena, &size, sizes, grid->bytes, &grid->size_count, err)
        || !read_list(arena, &width, connections, list, &grid->width_count, err)) return false;
    for (int32_t i = 0; i < grid->width_count; i++) grid->connections[i] = (int32_t)list[i];
    return true;
}

/* ---- order ---- */

/* Middle, then the ends, then what lies between: the place of the k-th value of n. */
static int32_t spread(int32_t k, int32_t n)
{
    int32_t place[KV_STORAGE_LIST_MAX], made = 0;
    bool used[KV_STORAGE_LIST_MAX] = {false};
    const int32_t first[] = {n / 2, 0, n - 1};
    for (int32_t i = 0; i < 3; i++)
        if (!used[first[i]]) used[place[made++] = first[i]] = true;
    for (int32_t i = 0; i < n; i++)
        if (!used[i]) place[made++] = i;
    return place[k];
}

int32_t kv_storage_plan(struct kv_arena *arena, const struct kv_storage_grid *grid, struct kv_storage_cell **cells)
{
    const bool wanted[] = {grid->gets, grid->ranges, grid->puts};
    *cells = kv_arena_take(arena, (size_t)(3 * grid->size_count * grid->width_count + 1) * sizeof **cells);
    int32_t count = 0;
    for (int32_t w = 0; w < grid->width_count; w++) {
        for (int32_t op = KV_OP_GET; op <= KV_OP_PUT; op++) {
            for (int32_t k = 0; k < grid->size_count && wanted[op]; k++) {
                int64_t bytes = grid->bytes[spread(k, grid->size_count)];
                /* A part is smaller than what it is part of; with whole reads beside it, one size fewer. */
                if (op == KV_OP_RANGE && grid->gets && bytes == grid->bytes[grid->size_count - 1]) continue;
                (*cells)[count++] = (struct kv_storage_cell){ .op = (enum kv_access_op)op, .bytes = bytes,
                                                              .connections = grid->connections[w] };
            }
        }
    }
    return count;
}
