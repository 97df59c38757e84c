/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of named cells as CSV, JSON or JSON lines. */
#ifndef KV_OUT_SHEET_H
#define KV_OUT_SHEET_H

#include <stdbool.h>
#include <stdio.h>

#include "sim/base/arena.h"

enum kv_sheet_format { KV_SHEET_CSV, KV_SHEET_JSON, KV_SHEET_JSONL };

struct kv_sheet {
    FILE *out;
    enum kv_sheet_format format;
    struct kv_arena arena;
    KV_VEC(const char *) column;     /* names; all before the head */
    size_t cell;
    bool any_row;
};

void kv_sheet_head(struct kv_sheet *s);
/* The next cell of a row. `quote`: a text, not a number; "": undefined. */
void kv_sheet_cell(struct kv_sheet *s, const char *text, bool quote);
void kv_sheet_int(struct kv_sheet *s, int64_t value);
void kv_sheet_real(struct kv_sheet *s, double value);   /* NaN: undefined */
/* numerator / denominator ticks; numerator < 0: undefined. */
void kv_sheet_seconds(struct kv_sheet *s, int64_t numerator_tk, int64_t denominator);
void kv_sheet_difference(struct kv_sheet *s, int64_t difference_tk);   /* of two instants, of either sign */
/* Every column has its cell. */
void kv_sheet_row(struct kv_sheet *s);
/* Ends the text and frees what the sheet holds. */
void kv_sheet_end(struct kv_sheet *s);

#endif
