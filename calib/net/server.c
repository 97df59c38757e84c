/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/server.h"

#include "sim/base/arena.h"

/* An endpoint of a client; its place stays, so that UCX can name it. */
struct guest { ucp_ep_h endpoint; bool gone; };
struct server {
    struct kv_net_worker w;
    struct kv_net_region answer;
    void *key;
    size_t key_bytes;
    KV_VEC(ucp_conn_request_h) waiting;
    struct kv_pool guests;
    KV_VEC(uint32_t) present;
    bool had_guests;
};

static void on_request(ucp_conn_request_h request, void *context)
{
    struct server *s = context;
    kv_vec_push(&s->waiting, request);
}

static void on_gone(void *context, ucp_ep_h endpoint, ucs_status_t status)
{
    (void)endpoint; (void)status;
    ((struct guest *)context)->gone = true;
}

/* An answer outlives this call; it is small, so it leaves at once or waits inside UCX with what it needs. */
static ucs_status_t on_hello(void *context, const void *header, size_t header_bytes, void *data, size_t bytes,
                             const ucp_am_recv_param_t *param)
{
    (void)header; (void)header_bytes; (void)data; (void)bytes;
    struct server *s = context;
    if (!(param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP)) return UCS_OK;
    ucp_request_param_t eager = { .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS, .flags = UCP_AM_SEND_FLAG_EAGER };
    void *request = ucp_am_send_nbx(param->reply_ep, KV_NET_REGION, &s->answer, sizeof s->answer, s->key,
                                    s->key_bytes, &eager);
    if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);
    return UCS_OK;
}

static bool open_server(struct server *s, const char *listen, ucp_listener_h *listener, struct kv_err *err)
{
    struct kv_net_address address;
    if (!kv_net_resolve(listen, true, &address, err) || !kv_net_worker_open(&s->w, s->w.stop, err)) return false;
    unsigned char *region = s->w.region;
    for (int64_t i = 0; i < KV_NET_REGION_BYTES; i++) region[i] = kv_net_pattern(i);
    ucs_status_t status = ucp_rkey_pack(s->w.context, s->w.memory, &s->key, &s->key_bytes);
    if (status != UCS_OK) return kv_net_fail(err, "cannot lend memory", status);
    s->answer = (struct kv_net_region){ KV_NET_VERSION, (uint32_t)s->key_bytes, (uint64_t)(uintptr_t)region,
                                        (uint64_t)KV_NET_REGION_BYTES };
    ucp_am_handler_param_t hello = {
        .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG,
        .id = KV_NET_HELLO, .cb = on_hello, .arg = s,
    };
    status = ucp_worker_set_am_recv_handler(s->w.worker, &hello);
    if (status != UCS_OK) return kv_net_fail(err, "cannot take messages", status);
    ucp_listener_params_t params = {
        .field_mask = UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | UCP_LISTENER_PARAM_FIELD_CONN_HANDLER,
        .sockaddr = { (const struct sockaddr *)&address.name, address.bytes }, .conn_handler = { on_request, s },
    };
    status = ucp_listener_create(s->w.worker, &params, listener);
    if (status == UCS_OK) return true;
    *listener = NULL;
    return kv_fail(err, KV_EIO, "", "cannot listen at %s: %s (UCX)", listen, ucs_status_string(status));
}

/* Requests become guests here, not in the call that brings them: UCX does not let it be done there. */
static void let_in(struct server *s)
{
    for (size_t i = 0; i < s->waiting.count; i++) {
        uint32_t index = kv_pool_take(&s->guests);
        struct guest *guest = kv_pool_at(&s->guests, index);
        ucp_ep_params_t params = {
            .field_mask = UCP_EP_PARAM_FIELD_CONN_REQUEST | UCP_EP_PARAM_FIELD_ERR_HANDLER
                          | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE,
            .conn_request = s->waiting.at[i], .err_handler = { on_gone, guest },
            .err_mode = UCP_ERR_HANDLING_MODE_PEER,
        };
        if (ucp_ep_create(s->w.worker, &params, &guest->endpoint) != UCS_OK) {
            kv_pool_give(&s->guests, index);   /* it went away meanwhile */
            continue;
        }
        kv_vec_push(&s->present, index);
        s->had_guests = true;
    }
    s->waiting.count = 0;
}

static void see_off(struct server *s, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->present.count; i++) {
        uint32_t index = s->present.at[i];
        struct guest *guest = kv_pool_at(&s->guests, index);
        if (!guest->gone && !all) {
            s->present.at[kept++] = index;
            continue;
        }
        ucp_request_param_t force = { .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS, .flags = UCP_EP_CLOSE_FLAG_FORCE };
        kv_net_worker_wait(&s->w, ucp_ep_close_nbx(guest->endpoint, &force));
        kv_pool_give(&s->guests, index);
    }
    s->present.count = kept;
}

bool kv_net_serve(const char *listen, bool once, const volatile sig_atomic_t *stop, void (*ready)(const char *listen),
                  struct kv_err *err)
{
    struct server s = { .w = { .stop = stop, .event = -1 } };
    kv_pool_open(&s.guests, sizeof(struct guest));
    ucp_listener_h listener = NULL;
    bool good = open_server(&s, listen, &listener, err);
    if (good) ready(listen);
    while (good && !*stop && !(once && s.had_guests && !s.present.count)) {
        kv_net_worker_step(&s.w);
        let_in(&s);
        see_off(&s, false);
    }
    if (s.w.worker) see_off(&s, true);
    if (listener) ucp_listener_destroy(listener);
    if (s.key) ucp_rkey_buffer_release(s.key);
    kv_net_worker_close(&s.w);
    kv_vec_close(&s.waiting);
    kv_vec_close(&s.present);
    kv_pool_close(&s.guests);
    return good;
}
