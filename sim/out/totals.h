/* SPDX-License-Identifier: Apache-2.0 */
/* Totals of tiers and of links: /tiers and /links, and the same under the same names in --json. */
#ifndef KV_OUT_TOTALS_H
#define KV_OUT_TOTALS_H

#include "sim/out/h5.h"
#include "sim/out/summary.h"

/* A table: rows have names, cells are facts named by their column. An integer of -1 and a NaN do not exist. */
struct kv_totals {
    const char *what;            /* "tier", "link" */
    int32_t rows, columns;
    const char **row;
    struct kv_fact *fact;        /* [row][column] */
};

struct kv_results;
/* Arena memory; after the bins were looked at. */
struct kv_totals kv_tier_totals(const struct kv_results *r, struct kv_arena *arena);
struct kv_totals kv_link_totals(const struct kv_results *r, struct kv_arena *arena);
/* NULL when there is no such column. */
const struct kv_fact *kv_totals_cell(const struct kv_totals *t, int32_t row, const char *column);
/* At most `most` links, the fullest first. Arena memory. */
const int32_t *kv_links_by_use(const struct kv_totals *links, int32_t most, int32_t *count, struct kv_arena *arena);

/* As group "/tiers" with the scale "/tiers/tier". Nothing without rows. */
void kv_totals_write(struct kv_h5 *f, const struct kv_totals *t, struct kv_arena *arena);

#endif
