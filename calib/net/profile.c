/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/net/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/base/version.h"
#include "sim/conf/bind.h"
#include "sim/lib/writer.h"

bool kv_net_is_rdma(const char *transport)
{
    return !strncmp(transport, "rc_", 3) || !strncmp(transport, "dc_", 3) || !strncmp(transport, "ud_", 3);
}

/* A number to four digits, which is more than is measured, with its unit. */
static const char *value(struct kv_arena *arena, enum kv_dim dim, double number)
{
    double rounded = strtod(kv_arena_text(arena, "%.3e", number), NULL);
    return kv_value_text(arena, &(struct kv_param){ .dim = dim }, &rounded);
}

static const char *bytes(struct kv_arena *arena, int64_t count)
{
    return kv_value_text(arena, &(struct kv_param){ .dim = KV_DIM_BYTES }, &count);
}

static const char *today(struct kv_arena *arena)
{
    struct timespec now;
    struct tm day;
    char text[16] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &day)) strftime(text, sizeof text, "%Y-%m-%d", &day);
    return kv_arena_text(arena, "%s", text);
}

/* What the link itself is; the last two lines are of the engine that will use it, and start from what was measured. */
static const char *parameters(struct kv_arena *arena, const struct kv_net_plan *plan, const struct kv_net_link *link)
{
    const char *mtu = link->headers ? kv_arena_text(arena, "mtu: %s\n", bytes(arena, link->mtu_bytes)) : "";
    return kv_arena_text(
        arena, "kind: roce\nbandwidth: %s\nlatency: %s\nheaders: %s\n%soperation: %s\nmessage_cost: %s\n"
        "queue_pairs: 1\noutstanding: %lld\n", value(arena, KV_DIM_BITS_PER_S, link->bandwidth_bps),
        value(arena, KV_DIM_TIME, link->latency_s), link->headers ? "true" : "false", mtu,
        link->operation == KV_NET_READ ? "read" : "write", value(arena, KV_DIM_TIME, link->message_cost_s),
        (long long)plan->outstanding.at[plan->outstanding.count - 1]);
}

static const char *domain(struct kv_arena *arena, const struct kv_net_points *p)
{
    int64_t least = INT64_MAX, largest = 0;
    int32_t outstanding = 0, endpoints = 0;
    for (int32_t i = 0; i < p->count; i++) {
        const struct kv_net_point *at = &p->at[i];
        if (!at->repeats) continue;
        if (at->message_bytes < least) least = at->message_bytes;
        if (at->message_bytes > largest) largest = at->message_bytes;
        if (at->outstanding > outstanding) outstanding = at->outstanding;
        if (at->endpoints > endpoints) endpoints = at->endpoints;
    }
    return kv_arena_text(arena, "%s to %s, up to %d outstanding on each of up to %d endpoints", bytes(arena, least),
                         bytes(arena, largest), outstanding, endpoints);
}

static const char *percent(struct kv_arena *arena, double share)
{
    return isnan(share) ? "not measured" : kv_arena_text(arena, "%.1f %%", 100 * share);
}

bool kv_net_profile_write(struct kv_arena *arena, const char *folder, const struct kv_net_points *points,
                          const struct kv_net_plan *plan, const struct kv_net_link *link, FILE *out,
                          struct kv_err *err)
{
    const char *path = kv_arena_text(arena, "%s/profile.yaml", folder), *of = parameters(arena, plan, link);
    const char *endpoints = link->own_pairs ? "each has its own cost of a message: queue_pairs may be their number"
                                            : "they share one sender: leave queue_pairs at 1";
    struct kv_writer w;
    if (!kv_writer_open(&w, path, true, err)) return false;
    kv_writer_text(&w, "# A link as `kvsim calib net` found it: network: {links: {NAME: {profile: PATH}}}.\n%s", of);
    kv_writer_text(&w, "source: kvsim %s calib net, %s over %s\n", KV_VERSION, today(arena), points->transport);
    kv_writer_text(&w, "calibration:   # how it was measured; mean |model / measured - 1| of message rates\n");
    kv_writer_text(&w, "  date: %s\n  transport: %s\n  ucx: %s\n", today(arena),
                   kv_text_quoted(arena, points->transport), ucp_get_version_string());
    kv_writer_text(&w, "  points: %d\n  repeats: %d\n  domain: %s\n", link->points, plan->repeats,
                   domain(arena, points));
    kv_writer_text(&w, "  endpoints: \"%s\"\n  error: %s\n  holdout_error: %s\n  holdout_points: %d\n", endpoints,
                   percent(arena, link->error), percent(arena, link->holdout), link->held);
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    if (!good) return false;
    fprintf(out, "%s\ntransport %s; %s\nendpoints: %s\n", of, points->transport, domain(arena, points), endpoints);
    fprintf(out, "mean error of rates: %s; of %d points left out of a first fit: %s\n", percent(arena, link->error),
            link->held, percent(arena, link->holdout));
    if (link->points < points->count)
        fprintf(out, "%d of %d points are not measured: the budget was used up (--resume goes on)\n",
                points->count - link->points, points->count);
    return true;
}
