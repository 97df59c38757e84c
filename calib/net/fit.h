/* SPDX-License-Identifier: Apache-2.0 */
/* From measured points to the parameters of a link of kind roce, by its own message_rate. Bandwidth is what the fastest
 * point shows; latency and the cost of a message are those with which the model meets all points best. */
#ifndef KV_CALIB_NET_FIT_H
#define KV_CALIB_NET_FIT_H

#include "calib/net/measure.h"

struct kv_net_link {
    double bandwidth_bps;                /* what its fastest point shows */
    double latency_s, message_cost_s;    /* fitted */
    bool headers;                        /* bandwidth is a line rate, of which headers are taken off (RDMA) */
    int64_t mtu_bytes;
    enum kv_net_operation operation;
    /* Endpoints are queue pairs of their own, each with its own cost of a message. Else they share one sender (a
     * processor that all bytes pass, as with TCP): one queue pair with all their messages under way. */
    bool own_pairs;
    double error, holdout;               /* mean |model / measured - 1| over all points, and over those left out of a
                                            first fit */
    int32_t points, held;
};

/* `link` says headers, mtu and operation; the rest is filled in. Points without repeats are passed over. False
 * (KV_ECALIB): too few points. */
bool kv_net_fit(const struct kv_net_points *points, struct kv_net_link *link, struct kv_err *err);
/* Seconds of a message, by the model. */
double kv_net_link_message_s(const struct kv_net_link *link, const struct kv_net_point *point);

#endif
