/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/collective.h"

#include <math.h>

#include "sim/conf/data.h"

struct kv_knots kv_collective_curve(const struct kv_knots *knots, int32_t ranks)
{
    for (int32_t i = 0; i < knots->rows; i++)
        if (knots->x[i] == ranks)
            return (struct kv_knots){.rows = knots->columns, .columns = 1, .x = knots->y,
                                     .at = knots->at + (ptrdiff_t)i * knots->columns};
    return (struct kv_knots){0};
}

bool kv_collective_measured(struct kv_arena *arena, const char *gpu, enum kv_collective which, int32_t ranks,
                            const char *where, struct kv_knots *curve, struct kv_err *err)
{
    static const char *const spoken[KV_COLLECTIVES] = {"an all-reduce", "an all-gather", "a reduce-scatter"};
    struct kv_knots knots = {0};
    if (!gpu)
        return kv_fail(err, KV_ECALIB, where, "has no communication between GPUs; name the link in cluster.nodes.peer");
    const char *data = kv_data_folder(arena), *folder = kv_arena_text(arena, "%s/models/profiles/%s", data ? data : ".",
                                                                      gpu);
    if (kv_op_profile_is(arena, folder) && !kv_op_collective_read(arena, folder, which, &knots, err)) return false;
    *curve = kv_collective_curve(&knots, ranks);
    return curve->rows > 0
           || kv_fail(err, KV_ECALIB, where, "has no communication between GPUs, and %s of %d was not measured on %s; "
                      "name the link in cluster.nodes.peer", spoken[which], ranks, gpu);
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

double kv_collective_ns(const struct kv_knots *curve, double bytes)
{
    double most = (double)curve->x[curve->rows - 1];
    return kv_knots_at(curve, fmin(bytes, most), 0) * fmax(bytes / most, 1);
}
