/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/client.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim/base/arena.h"

#define CONNECT_S 10.0

/* One message under way. */
struct slot { struct kv_net_client *client; int32_t endpoint; };
struct kv_net_client {
    struct kv_net_worker w;
    ucp_ep_h endpoint[KV_NET_ENDPOINTS_MAX];
    ucp_rkey_h key[KV_NET_ENDPOINTS_MAX];
    int32_t endpoints, answered;
    struct kv_net_region region;         /* of the server */
    char packed[4096];                   /* key to it */
    char transport[128];
    ucs_status_t lost;                   /* UCS_OK: all is well */
    /* Of the batch under way: slots that are free, in a ring, so that endpoints take turns. */
    struct kv_net_batch batch;
    KV_VEC(struct slot) slots;
    KV_VEC(struct slot *) ring;
    size_t first_free, free_count;
    int64_t posted, done;
};

double kv_net_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- one batch ---- */

static void free_slot(struct slot *slot)
{
    struct kv_net_client *c = slot->client;
    c->ring.at[(c->first_free + c->free_count++) % c->ring.count] = slot;
    c->done++;
}

static void on_done(void *request, ucs_status_t status, void *context)
{
    struct slot *slot = context;
    if (status != UCS_OK && slot->client->lost == UCS_OK) slot->client->lost = status;
    free_slot(slot);
    ucp_request_free(request);
}

static void post(struct slot *slot)
{
    struct kv_net_client *c = slot->client;
    const struct kv_net_batch *b = &c->batch;
    /* Messages go one after another through the memory, so that they are not all the same lines of a cache. */
    int64_t places = KV_NET_REGION_BYTES / b->message_bytes, at = c->posted++ % places * b->message_bytes;
    ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMH,
        .cb.send = on_done, .user_data = slot, .memh = c->w.memory,
    };
    char *here = (char *)c->w.region + at;
    uint64_t there = c->region.address + (uint64_t)at;
    size_t bytes = (size_t)b->message_bytes;
    ucp_ep_h endpoint = c->endpoint[slot->endpoint];
    ucp_rkey_h key = c->key[slot->endpoint];
    bool write = b->operation == KV_NET_WRITE;
    if (write && b->outstanding == 1) {
        ucp_request_param_t plain = { .op_attr_mask = UCP_OP_ATTR_FIELD_MEMH, .memh = c->w.memory };
        void *sent = ucp_put_nbx(endpoint, here, bytes, there, key, &plain);
        if (UCS_PTR_IS_PTR(sent)) ucp_request_free(sent);
        if (UCS_PTR_IS_ERR(sent) && c->lost == UCS_OK) c->lost = UCS_PTR_STATUS(sent);
        param.op_attr_mask &= ~(uint32_t)UCP_OP_ATTR_FIELD_MEMH;
    }
    void *request = write && b->outstanding == 1 ? ucp_ep_flush_nbx(endpoint, &param)
                    : write ? ucp_put_nbx(endpoint, here, bytes, there, key, &param)
                    : ucp_get_nbx(endpoint, here, bytes, there, key, &param);
    if (UCS_PTR_IS_PTR(request)) return;
    if (UCS_PTR_IS_ERR(request) && c->lost == UCS_OK) c->lost = UCS_PTR_STATUS(request);
    free_slot(slot);   /* it is over already */
}

static void fill_ring(struct kv_net_client *c)
{
    size_t count = (size_t)c->batch.endpoints * (size_t)c->batch.outstanding;
    kv_vec_reserve(&c->slots, count);
    kv_vec_reserve(&c->ring, count);
    c->slots.count = c->ring.count = c->free_count = count;
    c->first_free = 0;
    for (size_t i = 0; i < count; i++) {
        c->slots.at[i] = (struct slot){ c, (int32_t)(i % (size_t)c->batch.endpoints) };
        c->ring.at[i] = &c->slots.at[i];
    }
}

bool kv_net_move(struct kv_net_client *c, const struct kv_net_batch *batch, double *seconds, struct kv_err *err)
{
    c->batch = *batch;
    c->posted = c->done = 0;
    fill_ring(c);
    double start_s = kv_net_now_s();
    while (c->done < batch->messages && c->lost == UCS_OK && !*c->w.stop) {
        while (c->free_count && c->posted < batch->messages && c->lost == UCS_OK) {
            struct slot *slot = c->ring.at[c->first_free];
            c->first_free = (c->first_free + 1) % c->ring.count;
            c->free_count--;
            post(slot);
        }
        if (c->done < batch->messages) kv_net_worker_step(&c->w);
    }
    if (batch->operation == KV_NET_WRITE && c->lost == UCS_OK) {
        ucp_request_param_t plain = { .op_attr_mask = 0 };
        ucs_status_t status = kv_net_worker_wait(&c->w, ucp_worker_flush_nbx(c->w.worker, &plain));
        if (status != UCS_OK && !*c->w.stop) c->lost = status;
    }
    *seconds = kv_net_now_s() - start_s;
    if (*c->w.stop) return kv_fail(err, KV_EINTERRUPT, "", "interrupted");
    return c->lost == UCS_OK || kv_net_fail(err, "the server has gone", c->lost);
}

/* ---- connection ---- */

static void on_lost(void *context, ucp_ep_h endpoint, ucs_status_t status)
{
    (void)endpoint;
    struct kv_net_client *c = context;
    if (c->lost == UCS_OK) c->lost = status;
}

static ucs_status_t on_region(void *context, const void *header, size_t header_bytes, void *data, size_t bytes,
                              const ucp_am_recv_param_t *param)
{
    struct kv_net_client *c = context;
    bool whole = !(param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) && header_bytes == sizeof c->region
                 && bytes <= sizeof c->packed;
    if (whole) {
        memcpy(&c->region, header, sizeof c->region);
        memcpy(c->packed, data, bytes);
    }
    c->answered++;
    return UCS_OK;
}

static bool connect_all(struct kv_net_client *c, const struct kv_net_address *address, struct kv_err *err)
{
    for (int32_t i = 0; i < c->endpoints; i++) {
        ucp_ep_params_t params = {
            .field_mask = UCP_EP_PARAM_FIELD_FLAGS | UCP_EP_PARAM_FIELD_SOCK_ADDR | UCP_EP_PARAM_FIELD_ERR_HANDLER
                          | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE,
            .flags = UCP_EP_PARAMS_FLAGS_CLIENT_SERVER, .err_mode = UCP_ERR_HANDLING_MODE_PEER,
            .sockaddr = { (const struct sockaddr *)&address->name, address->bytes }, .err_handler = { on_lost, c },
        };
        ucs_status_t status = ucp_ep_create(c->w.worker, &params, &c->endpoint[i]);
        if (status != UCS_OK) {
            c->endpoint[i] = NULL;
            return kv_net_fail(err, "cannot connect", status);
        }
        ucp_request_param_t hello = { .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS, .flags = UCP_AM_SEND_FLAG_REPLY };
        void *request = ucp_am_send_nbx(c->endpoint[i], KV_NET_HELLO, NULL, 0, NULL, 0, &hello);
        if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);
        if (UCS_PTR_IS_ERR(request)) return kv_net_fail(err, "cannot connect", UCS_PTR_STATUS(request));
    }
    return true;
}

static bool await_answers(struct kv_net_client *c, const char *server, struct kv_err *err)
{
    double until_s = kv_net_now_s() + CONNECT_S;
    while (c->answered < c->endpoints && c->lost == UCS_OK && !*c->w.stop && kv_net_now_s() < until_s)
        kv_net_worker_step(&c->w);
    if (*c->w.stop) return kv_fail(err, KV_EINTERRUPT, "", "interrupted");
    if (c->lost != UCS_OK)
        return kv_fail(err, KV_EIO, "", "no server at %s: %s (UCX); start one there: kvsim calib net --listen "
                       "ADDRESS:PORT", server, ucs_status_string(c->lost));
    if (c->answered < c->endpoints)
        return kv_fail(err, KV_EIO, "", "the server at %s does not answer within %.0f s", server, CONNECT_S);
    if (c->region.version != KV_NET_VERSION || c->region.bytes < (uint64_t)KV_NET_REGION_BYTES)
        return kv_fail(err, KV_EIO, "", "the server at %s is of another version of kvsim", server);
    return true;
}

/* "tcp/eth0" of what UCX writes about the lane of bulk data: "lane[1]:  0:tcp/eth0.0 md[0] -> ... rma_bw#0". */
static void find_transport(struct kv_net_client *c)
{
    char text[8192] = "";
    snprintf(c->transport, sizeof c->transport, "unknown");
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    if (!file) return;
    ucp_ep_print_info(c->endpoint[0], file);
    fclose(file);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *lane = strstr(line, "]:"), *bulk = strstr(line, "rma_bw#0"), *end = strchr(line, '\n');
        if (!lane || !bulk || (end && (lane > end || bulk > end))) continue;
        const char *name = strchr(lane + 2, ':');
        if (!name) return;
        snprintf(c->transport, sizeof c->transport, "%.*s", (int)strcspn(name + 1, " \n"), name + 1);
        break;
    }
    /* UCX numbers the paths of a device: "tcp/eth0.0", always 0 here. */
    size_t length = strlen(c->transport);
    if (length > 2 && !strcmp(c->transport + length - 2, ".0")) c->transport[length - 2] = 0;
}

static bool look_at_memory(struct kv_net_client *c, struct kv_err *err)
{
    for (int32_t i = 0; i < c->endpoints; i++) {
        ucs_status_t status = ucp_ep_rkey_unpack(c->endpoint[i], c->packed, &c->key[i]);
        if (status != UCS_OK) {
            c->key[i] = NULL;
            return kv_net_fail(err, "cannot use the server's memory", status);
        }
    }
    double seconds;
    int64_t bytes = 1 << 20;
    struct kv_net_batch look = { KV_NET_READ, c->endpoints, 1, bytes, 2 * c->endpoints };
    if (!kv_net_move(c, &look, &seconds, err)) return false;
    const unsigned char *got = c->w.region;
    for (int64_t i = 0; i < bytes; i++)
        if (got[i] != kv_net_pattern(i)) return kv_fail(err, KV_ECHECK, "", "the server's memory reads wrong");
    return true;
}

struct kv_net_client *kv_net_connect(const char *server, int32_t endpoints, const volatile sig_atomic_t *stop,
                                     struct kv_err *err)
{
    struct kv_net_client *c = kv_mem_take(sizeof *c);
    struct kv_net_address address;
    ucp_am_handler_param_t region = {
        .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG,
        .id = KV_NET_REGION, .cb = on_region, .arg = c,
    };
    c->endpoints = endpoints;
    bool good = kv_net_resolve(server, false, &address, err) && kv_net_worker_open(&c->w, stop, err);
    ucs_status_t status = good ? ucp_worker_set_am_recv_handler(c->w.worker, &region) : UCS_OK;
    if (status != UCS_OK) good = kv_net_fail(err, "cannot take messages", status);
    good = good && connect_all(c, &address, err) && await_answers(c, server, err) && look_at_memory(c, err);
    if (good) {
        find_transport(c);
        return c;
    }
    kv_net_disconnect(c);
    return NULL;
}

void kv_net_disconnect(struct kv_net_client *c)
{
    static const volatile sig_atomic_t never;
    c->w.stop = &never;   /* also one that was stopped says good-bye */
    for (int32_t i = 0; i < c->endpoints; i++) {
        if (c->key[i]) ucp_rkey_destroy(c->key[i]);
        if (!c->endpoint[i]) continue;
        ucp_request_param_t force = { .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS, .flags = UCP_EP_CLOSE_FLAG_FORCE };
        kv_net_worker_wait(&c->w, ucp_ep_close_nbx(c->endpoint[i], &force));
    }
    kv_net_worker_close(&c->w);
    kv_vec_close(&c->slots);
    kv_vec_close(&c->ring);
    kv_mem_give(c, sizeof *c);
}

const char *kv_net_transport(const struct kv_net_client *c)
{
    return c->transport;
}
