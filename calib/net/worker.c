/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/worker.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Looks without anything to do before a worker sleeps: some 50 us, more than a message takes on an idle network; then
 * two processes on few processors give way to one another. */
#define SPIN 1000
#define SLEEP_MS 100

bool kv_net_fail(struct kv_err *err, const char *what, ucs_status_t status)
{
    return kv_fail(err, KV_EIO, "", "%s: %s (UCX)", what, ucs_status_string(status));
}

static bool open_context(struct kv_net_worker *w, struct kv_err *err)
{
    ucp_config_t *config;
    ucs_status_t status = ucp_config_read(NULL, NULL, &config);
    if (status != UCS_OK) return kv_net_fail(err, "cannot read UCX's settings", status);
    ucp_params_t params = {
        .field_mask = UCP_PARAM_FIELD_FEATURES,
        .features = UCP_FEATURE_RMA | UCP_FEATURE_AM | UCP_FEATURE_WAKEUP,
    };
    status = ucp_init(&params, config, &w->context);
    ucp_config_release(config);
    if (status == UCS_OK) return true;
    w->context = NULL;
    return kv_fail(err, KV_ENOHW, "", "UCX finds no transport: %s; look at UCX_TLS and UCX_NET_DEVICES (ucx_info -d "
                   "lists what there is)", ucs_status_string(status));
}

static bool open_memory(struct kv_net_worker *w, struct kv_err *err)
{
    ucp_mem_map_params_t params = {
        .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS,
        .address = NULL, .length = KV_NET_REGION_BYTES, .flags = UCP_MEM_MAP_ALLOCATE,
    };
    ucs_status_t status = ucp_mem_map(w->context, &params, &w->memory);
    if (status != UCS_OK) return kv_net_fail(err, "cannot register memory", status);
    ucp_mem_attr_t attr = { .field_mask = UCP_MEM_ATTR_FIELD_ADDRESS };
    status = ucp_mem_query(w->memory, &attr);
    if (status != UCS_OK) return kv_net_fail(err, "cannot find registered memory", status);
    w->region = attr.address;
    return true;
}

bool kv_net_worker_open(struct kv_net_worker *w, const volatile sig_atomic_t *stop, struct kv_err *err)
{
    *w = (struct kv_net_worker){ .stop = stop, .event = -1 };
    if (!open_context(w, err)) return false;
    ucp_worker_params_t params = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE, .thread_mode = UCS_THREAD_MODE_SINGLE,
    };
    ucs_status_t status = ucp_worker_create(w->context, &params, &w->worker);
    if (status != UCS_OK) {
        w->worker = NULL;
        return kv_net_fail(err, "cannot start UCX", status);
    }
    status = ucp_worker_get_efd(w->worker, &w->event);
    if (status != UCS_OK) return kv_net_fail(err, "cannot wait for messages", status);
    return open_memory(w, err);
}

void kv_net_worker_close(struct kv_net_worker *w)
{
    if (w->memory) ucp_mem_unmap(w->context, w->memory);
    if (w->worker) ucp_worker_destroy(w->worker);
    if (w->context) ucp_cleanup(w->context);
    *w = (struct kv_net_worker){ .event = -1 };
}

void kv_net_worker_step(struct kv_net_worker *w)
{
    if (ucp_worker_progress(w->worker)) {
        w->idle = 0;
        return;
    }
    if (++w->idle < SPIN || ucp_worker_arm(w->worker) != UCS_OK) return;
    poll(&(struct pollfd){ .fd = w->event, .events = POLLIN }, 1, SLEEP_MS);
    w->idle = 0;
}

ucs_status_t kv_net_worker_wait(struct kv_net_worker *w, void *request)
{
    if (!UCS_PTR_IS_PTR(request)) return UCS_PTR_STATUS(request);
    while (ucp_request_check_status(request) == UCS_INPROGRESS && !*w->stop) kv_net_worker_step(w);
    ucs_status_t status = ucp_request_check_status(request);
    if (status == UCS_INPROGRESS) {
        ucp_request_cancel(w->worker, request);
        status = UCS_ERR_CANCELED;
    }
    ucp_request_free(request);
    return status;
}

bool kv_net_resolve(const char *text, bool listen, struct kv_net_address *address, struct kv_err *err)
{
    char host[256];
    const char *colon = strrchr(text, ':'), *end = colon;
    bool bracket = *text == '[';
    if (bracket) {
        text++;
        if (end) end--;
    }
    if (!colon || !colon[1] || end <= text || (bracket && *end != ']') || end - text >= (long)sizeof host)
        return kv_fail(err, KV_EUSAGE, "", "'%s': expected ADDRESS:PORT, such as 10.0.0.1:13337 or [fe80::1]:13337",
                       text - bracket);
    snprintf(host, sizeof host, "%.*s", (int)(end - text), text);
    struct addrinfo hint = { .ai_socktype = SOCK_STREAM, .ai_flags = listen ? AI_PASSIVE : 0 }, *found;
    int wrong = getaddrinfo(host, colon + 1, &hint, &found);
    if (wrong) return kv_fail(err, KV_EUSAGE, "", "'%s': %s", text - bracket, gai_strerror(wrong));
    memcpy(&address->name, found->ai_addr, found->ai_addrlen);
    address->bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}
