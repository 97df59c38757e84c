/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of kvsim plot: what its files share. */
#ifndef KV_OUT_PLOT_H
#define KV_OUT_PLOT_H

#include "sim/base/arena.h"
#include "sim/out/read.h"
#include "sim/out/svg.h"

struct kv_plotter {
    struct kv_h5in *in;
    struct kv_arena arena;       /* all that a page points to */
    struct kv_err *err;
    double warmup_s;
    int64_t request;             /* < 0: all */
};

/* Fill a page with the panels of a kind. False with *err. */
bool kv_plot_overview(struct kv_plotter *p, struct kv_page *page);
bool kv_plot_sources(struct kv_plotter *p, struct kv_page *page);
bool kv_plot_util(struct kv_plotter *p, struct kv_page *page);
bool kv_plot_waterfall(struct kv_plotter *p, struct kv_page *page);
bool kv_plot_layers(struct kv_plotter *p, struct kv_page *page);

/* Distributions of latencies, of requests that arrived after the warm-up and finished. */
bool kv_plot_latencies(struct kv_plotter *p, struct kv_panel *panel);
/* A fact of /summary; NaN when there is none. */
double kv_plot_fact(struct kv_plotter *p, const char *name);

#endif
