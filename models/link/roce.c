/* SPDX-License-Identifier: Apache-2.0 */
/* A RoCEv2 link: what headers, messages and many flows at once leave of its line rate.
 *
 * Frames (headers: true). A packet of at most `mtu` bytes of payload occupies on the wire
 *
 *   8 preamble + 12 gap + 14 Ethernet + 4 FCS (IEEE 802.3; + 4 with a VLAN tag) + 20 IPv4 (RFC 791; IPv6, RFC 8200: 40)
 *   + 8 UDP (RFC 768) + 12 BTH + 4 ICRC (InfiniBand Architecture Specification, vol. 1, 9 and annex 17) = 82 bytes
 *
 * beside its payload, which is filled up to a multiple of 4. The first packet of a write has 16 bytes of RETH, the
 * first and the last one of a read's answer have 4 of AETH. Acknowledgements, requests of reads and congestion
 * notifications go the other way; they are left out.
 *
 * Messages. One access sends messages of m bytes over `queue_pairs` queue pairs, at most `outstanding` of each under
 * way. Its rate is the least of what the wire, the queue pairs and the window carry (the asymptotic bounds of a closed
 * network of queues: Denning & Buzen, Computing Surveys 10(3), 1978):
 *
 *   wire    bandwidth m / w(m),   w(m) = m with all headers
 *   pairs   queue_pairs m / message_cost
 *   window  queue_pairs outstanding m / (2 latency + message_cost + w(m) / bandwidth)
 *
 * Many flows. With n flows on it the link carries a share of the payload rate, given at n = 2, 4, ... 64, a straight
 * line between these, never rising. The shares are 1 by default: there is too little evidence for other ones
 * (docs/models.md).
 *
 * Every term has its own switch: headers: false, message_cost: 0s, outstanding: 0, latency: 0s, shares of 1. */
#include <math.h>

#include "sim/iface/link.h"
#include "sim/lib/pipe.h"

#define SHARES 6                  /* at 2, 4, 8, ... flows */
#define FLOWS_MAX (1 << SHARES)

enum operation { OPERATION_WRITE, OPERATION_READ };
struct roce_params {
    struct kv_pipe_params pipe;
    double message_cost_s, share[SHARES];
    int64_t mtu_bytes, operation, queue_pairs, outstanding;
    bool headers, vlan, ipv6;
    kv_rate curve[FLOWS_MAX];     /* made by prepare; empty when all shares are 1 */
    int32_t curve_count;
};

static const char *const operations[] = {"write", "read", NULL};
#define ROW(key, dim, field, preset, min, max, choices, help, source) \
    { key, dim, offsetof(struct roce_params, field), preset, min, max, choices, help, source }
#define SHARE(flows, index) \
    ROW("incast_" #flows, KV_DIM_FRACTION, share[index], "1", 1e-3, 1, NULL, \
        "share of the payload rate that " #flows " flows together get", NULL)
static const struct kv_param params[] = {
    ROW("bandwidth", KV_DIM_BITS_PER_S, pipe.bandwidth_bps, NULL, 0, KV_PIPE_BPS_MAX, NULL,
        "line rate of one direction, headers included; 0bps: nothing ever moves", NULL),
    ROW("latency", KV_DIM_TIME, pipe.latency_s, "1us", 0, 10, NULL,
        "one way; added to the delay of every access that crosses it",
        "NVIDIA developer forum 358441: round trip under 2 us (ConnectX-5, RoCEv2 writes)"),
    ROW("headers", KV_DIM_BOOL, headers, "true", 0, 0, NULL, "take headers off; false: bandwidth is payload already",
        "IEEE 802.3, RFC 791, RFC 768, InfiniBand specification annex 17"),
    ROW("mtu", KV_DIM_BYTES, mtu_bytes, "4096B", 256, 4096, NULL, "payload of a packet (RDMA path MTU)",
        "largest path MTU of the InfiniBand specification"),
    ROW("vlan", KV_DIM_BOOL, vlan, "false", 0, 0, NULL, "frames have a VLAN tag", "IEEE 802.1Q"),
    ROW("ipv6", KV_DIM_BOOL, ipv6, "false", 0, 0, NULL, "IPv6 instead of IPv4", "RFC 8200"),
    ROW("operation", KV_DIM_CHOICE, operation, "write", 0, 0, operations,
        "what moves the payload: RDMA writes, or the answers of RDMA reads", NULL),
    ROW("queue_pairs", KV_DIM_COUNT, queue_pairs, "1", 1, 65536, NULL, "of one access", NULL),
    ROW("outstanding", KV_DIM_COUNT, outstanding, "128", 0, 1 << 20, NULL,
        "messages of a queue pair under way; 0: any number; of reads usually 16",
        "perftest: TX depth of ib_write_bw 128; outstanding reads of ConnectX 16"),
    ROW("message_cost", KV_DIM_TIME, message_cost_s, "345ns", 0, 1, NULL, "of a message in its queue pair",
        "NVIDIA/nccl issue 2409: 16 KiB writes over one queue pair at 380.0 Gb/s (400G, ib_write_bw)"),
    SHARE(2, 0), SHARE(4, 1), SHARE(8, 2), SHARE(16, 3), SHARE(32, 4), SHARE(64, 5),
    KV_PARAM_END
};

/* Bytes on the wire of a packet beside its payload, and beside what only the first or last one of a message has. */
static double packet_bytes(const struct roce_params *p)
{
    return 8 + 12 + 14 + 4 + (p->vlan ? 4 : 0) + (p->ipv6 ? 40 : 20) + 8 + 12 + 4;
}

/* Bytes on the wire of a message of m bytes of payload. */
static double wire_bytes(const struct roce_params *p, double m)
{
    if (!p->headers) return m;
    double packets = ceil(m / (double)p->mtu_bytes);
    double extended = p->operation == OPERATION_WRITE ? 16 : packets > 1 ? 2 * 4 : 4;
    return ceil(m / 4) * 4 + packets * packet_bytes(p) + extended;
}

/* Payload in byte/s of an endless message: of full packets. */
static double payload_Bps(const struct roce_params *p)
{
    double mtu = (double)p->mtu_bytes;
    return p->pipe.bandwidth_bps / 8 * (p->headers ? mtu / (mtu + packet_bytes(p)) : 1);
}

/* Share of the payload rate with n flows, 1 <= n <= FLOWS_MAX. */
static double share_of(const struct roce_params *p, int32_t n)
{
    double below = 1;   /* the share at flows / 2 */
    int32_t i = 0, flows = 2;
    for (; flows < n; i++, flows *= 2) below = fmin(below, p->share[i]);
    double share = fmin(below, p->share[i]);
    return below + (share - below) * (2.0 * n - flows) / flows;
}

static void prepare(void *given)
{
    struct roce_params *p = given;
    bool even = true;
    for (int32_t i = 0; i < SHARES; i++) even = even && p->share[i] >= 1;
    p->curve_count = even ? 0 : FLOWS_MAX;
    for (int32_t n = 1; n <= p->curve_count; n++)
        p->curve[n - 1] = kv_rate_from_Bps(payload_Bps(p) * share_of(p, n));
}

static struct kv_link_spec spec(const void *given)
{
    const struct roce_params *p = given;
    return (struct kv_link_spec){
        .capacity = kv_rate_from_Bps(payload_Bps(p)), .latency_tk = kv_pipe_ticks(p->pipe.latency_s),
        .curve = p->curve_count ? p->curve : NULL, .curve_count = p->curve_count,
    };
}

static kv_rate message_rate(const void *given, double m)
{
    const struct roce_params *p = given;
    double line_Bps = p->pipe.bandwidth_bps / 8, pairs = (double)p->queue_pairs, wire = wire_bytes(p, m);
    double Bps = line_Bps * m / wire;
    if (p->message_cost_s > 0) Bps = fmin(Bps, pairs * m / p->message_cost_s);
    if (p->outstanding > 0 && line_Bps > 0) {
        double round_s = 2 * p->pipe.latency_s + p->message_cost_s + wire / line_Bps;
        Bps = fmin(Bps, pairs * (double)p->outstanding * m / round_s);
    }
    return kv_pipe_rate(Bps);
}

const struct kv_link_ops kv_link_roce = {
    .info = { .help = "RoCEv2: headers, size and number of messages, many flows at once",
              .source = "InfiniBand Architecture Specification, annex 17; Denning & Buzen 1978", .params = params,
              .params_bytes = sizeof(struct roce_params), .prepare = prepare },
    .spec = spec, .message_rate = message_rate,
};
