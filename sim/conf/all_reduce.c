/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/all_reduce.h"

#include <math.h>

double kv_all_reduce_ns(const struct kv_knots *knots, int32_t ranks, double bytes)
{
    if (ranks == 1) return 0;
    double most = (double)knots->y[knots->columns - 1];
    return kv_knots_at(knots, ranks, fmin(bytes, most)) * fmax(bytes / most, 1);
}

bool kv_all_reduce_has(const struct kv_knots *knots, int32_t ranks)
{
    for (int32_t i = 0; i < knots->rows; i++)
        if (knots->x[i] == ranks) return true;
    return false;
}

struct kv_knots kv_all_reduce_of_link(struct kv_arena *arena, int32_t ranks, double Bps, double latency_s)
{
    struct kv_knots k = {.rows = 1, .columns = 2, .x = kv_arena_take(arena, sizeof *k.x),
                         .y = kv_arena_take(arena, 2 * sizeof *k.y), .at = kv_arena_take(arena, 2 * sizeof *k.at)};
    k.x[0] = ranks;
    k.y[0] = 0;
    k.y[1] = KV_KNOTS_AXIS_MAX;
    for (int32_t i = 0; i < 2; i++)
        k.at[i] = llround(1e9 * (latency_s + 2.0 * (ranks - 1) / ranks * (double)k.y[i] / Bps));
    return k;
}
