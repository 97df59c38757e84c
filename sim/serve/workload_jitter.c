/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sim/serve/workload_parts.h"

/* Moves the scout to its next row. A damaged trace ends it: the main reader will find the same damage and say so. */
static void step_scout(struct kv_jitter *j)
{
    struct kv_row row;
    struct kv_err ignored;
    j->ahead_ns = j->reader->next(j->scout, &row, &ignored) == 1 ? row.time_ns : -1;
}

bool kv_jitter_open(struct kv_jitter *j, const struct kv_workload_config *config, uint64_t seed,
                    const struct kv_reader_env *env, struct kv_err *err)
{
    if (config->jitter_s <= 0) return true;
    j->reader = config->reader;
    j->seed = seed;
    j->stream = kv_stream("workload.jitter");
    j->range_ns = (int64_t)(config->jitter_s * 1e9 + 0.5);
    j->scout = kv_mem_take(j->reader->state_bytes);
    struct kv_reader_env ahead = *env;
    ahead.skip_digest = true;
    if (!j->reader->open(j->scout, config->reader_params, &ahead, err)) return false;
    step_scout(j);
    return true;
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Draws the offsets of all rows that stand at `time_ns`. */
static void draw_instant(struct kv_jitter *j, int64_t time_ns)
{
    size_t rows = 0;
    while (j->ahead_ns == time_ns) {
        rows++;
        step_scout(j);
    }
    if (rows == 0) rows = 1;   /* the scout met damage: this is the last row anyhow */
    int64_t range_ns = j->range_ns;
    if (j->ahead_ns > time_ns && j->ahead_ns - time_ns < range_ns) range_ns = j->ahead_ns - time_ns;
    j->offset_ns.count = j->next = 0;
    for (size_t i = 0; i < rows; i++) {
        struct kv_rng rng;
        double u = gsl_rng_uniform(kv_rng_at(&rng, j->seed, j->stream, j->row++));
        kv_vec_push(&j->offset_ns, (int64_t)(u * (double)range_ns));
    }
    qsort(j->offset_ns.at, rows, sizeof *j->offset_ns.at, compare_ns);
}

int64_t kv_jitter_apply(struct kv_jitter *j, int64_t time_ns)
{
    if (!j->scout) return time_ns;
    if (j->next == j->offset_ns.count) draw_instant(j, time_ns);
    return time_ns + j->offset_ns.at[j->next++];
}

void kv_jitter_close(struct kv_jitter *j)
{
    if (j->scout) {
        j->reader->close(j->scout);
        kv_mem_give(j->scout, j->reader->state_bytes);
    }
    kv_vec_close(&j->offset_ns);
}
