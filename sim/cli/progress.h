/* SPDX-License-Identifier: Apache-2.0 */
/* How far a long command has come, on stderr. The only place that reads a wall clock, with the host figures of a
 * run; neither ever reaches a results file. */
#ifndef KV_CLI_PROGRESS_H
#define KV_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/err.h"
#include "sim/iface/record.h"

enum kv_progress_mode { KV_PROGRESS_NONE, KV_PROGRESS_BAR, KV_PROGRESS_PLAIN };

struct kv_progress {
    enum kv_progress_mode mode;
    double start_s, shown_s, asked_s;   /* wall clock: of the start, of the last line, of the last look */
    int32_t tenth;               /* plain: last tenth printed */
    uint64_t events_shown;
    bool line_open;              /* a bar stands on the terminal */
};

/* What a line says. */
struct kv_progress_view {
    double sim_s;                /* simulated time */
    double sim_end_s;            /* its end; < 0: unknown */
    double done_frac;            /* < 0: unknown */
    int64_t ended, total;        /* requests; total < 0: unknown */
    uint64_t events;
    int64_t waiting, fetching;
    int32_t tier_count;
    const char *const *tier;     /* names */
    double tier_frac[KV_TIERS_MAX];   /* share that holds something; < 0: unlimited */
};

/* "auto" (a bar on a terminal), "bar", "plain", "none". False for another word. */
bool kv_progress_mode(const char *word, enum kv_progress_mode *mode);
void kv_progress_open(struct kv_progress *p, enum kv_progress_mode mode);
/* Is a line due (5 a second), or asked for by SIGUSR1? Cheap enough for every few thousand events. */
bool kv_progress_due(const struct kv_progress *p);
void kv_progress_show(struct kv_progress *p, const struct kv_progress_view *view);
/* Takes the bar off the terminal. */
void kv_progress_close(struct kv_progress *p);

/* Wall clock since an arbitrary start, s. */
double kv_wall_s(void);
/* What the process has used so far. */
struct kv_host_usage { double cpu_s; int64_t peak_bytes; };
struct kv_host_usage kv_host_usage(void);

#endif
