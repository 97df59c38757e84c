/* SPDX-License-Identifier: Apache-2.0 */
/* The side that measures: moves messages between its memory and a server's, and tells how long they took. */
#ifndef KV_CALIB_CLIENT_H
#define KV_CALIB_CLIENT_H

#include "calib/net/worker.h"

#define KV_NET_ENDPOINTS_MAX 256

enum kv_net_operation { KV_NET_WRITE, KV_NET_READ };   /* as the parameter `operation` of a link of kind roce */

/* Messages of one kind, `outstanding` of each endpoint under way. A read is over when its bytes are here. A write is
 * over when UCX says so, which over RDMA is with its acknowledgement and over TCP when it is in the socket; with
 * outstanding = 1 each write is waited for until it is at the other side. */
struct kv_net_batch {
    enum kv_net_operation operation;
    int32_t endpoints, outstanding;      /* >= 1; endpoints at most those of the client */
    int64_t message_bytes, messages;     /* 1 .. KV_NET_REGION_BYTES; >= 1 */
};

struct kv_net_client;
/* Connects `endpoints` times and looks that the server's memory reads as it should. NULL with *err. */
struct kv_net_client *kv_net_connect(const char *server, int32_t endpoints, const volatile sig_atomic_t *stop,
                                     struct kv_err *err);
void kv_net_disconnect(struct kv_net_client *c);
/* Seconds from the first message to the end of the last, which is at its place then. False with *err; KV_EINTERRUPT
 * when it was stopped. */
bool kv_net_move(struct kv_net_client *c, const struct kv_net_batch *batch, double *seconds, struct kv_err *err);
/* What carries the messages, as UCX calls it: "tcp/eth0", "rc_mlx5/mlx5_0:1". */
const char *kv_net_transport(const struct kv_net_client *c);
double kv_net_now_s(void);

#endif
