/* SPDX-License-Identifier: Apache-2.0 */
/* UCX as both roles of `kvsim calib net` use it: one context, one worker, memory that the other side reads and writes.
 * The transport is UCX's choice at run time (UCX_TLS, UCX_NET_DEVICES): verbs where there is a device, else TCP. */
#ifndef KV_CALIB_WORKER_H
#define KV_CALIB_WORKER_H

#include <signal.h>
#include <ucp/api/ucp.h>

#include "sim/base/err.h"

#define KV_NET_REGION_BYTES (INT64_C(64) << 20)   /* of memory that messages go to and come from */

/* A client says hello over each of its endpoints (active message HELLO); the server answers each with where its memory
 * is and the key to it (REGION: the header below, then the key). */
enum { KV_NET_HELLO, KV_NET_REGION };
struct kv_net_region { uint32_t version, key_bytes; uint64_t address, bytes; };
#define KV_NET_VERSION 1

struct kv_net_worker {
    ucp_context_h context;
    ucp_worker_h worker;
    ucp_mem_h memory;
    void *region;                            /* KV_NET_REGION_BYTES, of UCX */
    int event;                               /* file that is readable when there is something to do */
    int32_t idle;                            /* looks in a row that found nothing */
    const volatile sig_atomic_t *stop;       /* not 0: whoever waits returns */
};

/* False with KV_ENOHW: UCX finds no transport. Close it in either case. */
bool kv_net_worker_open(struct kv_net_worker *w, const volatile sig_atomic_t *stop, struct kv_err *err);
void kv_net_worker_close(struct kv_net_worker *w);
/* Does what there is to do. After a while without, it sleeps until something comes, at most 0.1 s. */
void kv_net_worker_step(struct kv_net_worker *w);
/* Steps until the request is over; frees it. `request` as the calls of UCX return it. */
ucs_status_t kv_net_worker_wait(struct kv_net_worker *w, void *request);

/* "HOST:PORT" or "[V6]:PORT", by the resolver. */
struct kv_net_address { struct sockaddr_storage name; socklen_t bytes; };
bool kv_net_resolve(const char *text, bool listen, struct kv_net_address *address, struct kv_err *err);
bool kv_net_fail(struct kv_err *err, const char *what, ucs_status_t status);

/* What byte i of a server's memory is: a client can tell that it reads what it should. */
static inline unsigned char kv_net_pattern(int64_t i)
{
    return (unsigned char)(i * 167 + (i >> 8) * 13 + 5);
}

#endif
