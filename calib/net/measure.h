/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured: messages of several sizes, so many under way over so many endpoints, each point several times. */
#ifndef KV_CALIB_MEASURE_H
#define KV_CALIB_MEASURE_H

#include "calib/net/client.h"
#include "sim/base/arena.h"

struct kv_net_point {
    int32_t endpoints, outstanding;
    int64_t message_bytes;
    double message_s;                    /* median over the repeats: seconds of a batch / its messages */
    int32_t repeats;                     /* that there are */
};

#define KV_NET_AXIS_MAX 16
#define KV_NET_REPEATS_MAX 32
struct kv_net_axis { int64_t at[KV_NET_AXIS_MAX]; int32_t count; };   /* rising */
struct kv_net_plan {
    const char *server, *folder;         /* folder: of samples.csv; made when there is something to write */
    enum kv_net_operation operation;
    struct kv_net_axis bytes, outstanding, endpoints;
    int32_t repeats;                     /* at most KV_NET_REPEATS_MAX */
    double batch_s;                      /* how long a batch shall last */
    double budget_s;                     /* of the whole; batches are shorter where they would not fit */
};

/* Points in the order in which they are measured: few endpoints first, then few messages, then small ones. */
struct kv_net_points {
    struct kv_net_point *at;
    double (*sample_s)[KV_NET_REPEATS_MAX];   /* seconds / message of the repeats */
    int32_t count;
    char transport[128];
};
void kv_net_points_open(struct kv_net_points *p, const struct kv_net_plan *plan, struct kv_arena *arena);

/* Takes over what samples.csv of an earlier run with the same operation has of them; a file that is not there is an
 * empty one. False when it is no such file, or of another transport or operation than it was begun with. */
bool kv_net_samples_read(struct kv_net_points *p, const char *path, const struct kv_net_plan *plan, struct kv_err *err);
/* Measures what is missing; each batch is a line of `path` at once, so that nothing is lost when it fails (KV_EIO), is
 * interrupted (KV_EINTERRUPT) or the budget is used up (true: points without repeats are left). `tell` is called after
 * each point. */
bool kv_net_measure(struct kv_net_points *p, const char *path, const struct kv_net_plan *plan,
                    const volatile sig_atomic_t *stop, void (*tell)(const struct kv_net_point *point),
                    struct kv_err *err);

#endif
