/* SPDX-License-Identifier: Apache-2.0 */
/* A page of line, area and bar charts as one self-contained SVG: no scripts, no fonts, no network. */
#ifndef KV_OUT_SVG_H
#define KV_OUT_SVG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define KV_CURVES_MAX 8
#define KV_PANELS_MAX 6

/* What an axis counts decides its ticks and labels. */
enum kv_axis { KV_AXIS_COUNT, KV_AXIS_SHARE, KV_AXIS_TIME, KV_AXIS_LOG_TIME };

/* x ascending; NaN in y: a gap. colour NULL: by its place in the palette. */
struct kv_curve { const char *name; int64_t count; const double *x, *y; const char *colour; };

struct kv_panel {
    const char *title, *x_name, *y_name;
    enum kv_axis x_axis, y_axis;
    bool stacked;                    /* areas on top of each other; curves share x and have no gaps */
    bool wide;                       /* across the page */
    /* Not NULL: stacked bars that lie, one a name from the top; curves give the lengths of their parts in y, along the
     * x axis. */
    const char *const *bar;
    int32_t bar_count;
    /* Not NULL: spans of time in rows from the top, one a name; a curve has one in each row, from x to y along the x
     * axis (NaN: none). Spans of the first curve are the upper half of the row, those of the others the lower. */
    const char *const *span;
    int32_t span_count;
    int32_t curve_count;             /* 0: `empty` is shown */
    struct kv_curve curve[KV_CURVES_MAX];
    const char *empty;
};

struct kv_page {
    const char *title, *subtitle, *footer[3];   /* NULL: none */
    int32_t panel_count;
    struct kv_panel panel[KV_PANELS_MAX];
};

void kv_svg_write(const struct kv_page *page, FILE *out);

#endif
