/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-net: rate and latency of messages between two hosts over UCX, as parameters of a link of kind roce. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "calib/lib/options.h"
#include "calib/lib/stop.h"
#include "calib/net/profile.h"
#include "calib/net/server.h"
#include "sim/conf/bind.h"

static volatile sig_atomic_t *stop;

static const char about[] =
    "usage: kvsim calib net --listen ADDRESS:PORT [--once]          on the one host\n"
    "       kvsim calib net ADDRESS:PORT -o PROFILE [options]       on the other\n"
    "\n"
    "Measures how fast messages go from one host to the other, and writes the profile of a link:\n"
    "network: {links: {fabric: {profile: ./PROFILE}}}. UCX chooses the transport; UCX_TLS (rc, dc, tcp) and\n"
    "UCX_NET_DEVICES (mlx5_0:1, eth0) say which, on both hosts.\n\n";

static const char *const operations[] = {"write", "read", NULL};
struct options {
    const char *listen, *output, *sizes, *outstanding, *endpoints;
    int64_t operation, repeats, mtu_bytes;
    double batch_s, budget_s;
    bool once, payload, resume;
};
#define ROW(key, dim, field, preset, min, max, help) \
    { key, dim, offsetof(struct options, field), preset, min, max, NULL, help, NULL }
static const struct kv_param rows[] = {
    ROW("listen", KV_DIM_TEXT, listen, "", 0, 0, "serve at ADDRESS:PORT"),
    ROW("once", KV_DIM_BOOL, once, "false", 0, 0, "serve until the last client has gone"),
    ROW("output", KV_DIM_TEXT, output, "", 0, 0, "folder for profile.yaml and samples.csv, made if need be"),
    { "operation", KV_DIM_CHOICE, offsetof(struct options, operation), "read", 0, 0, operations,
      "read or write the server's memory", NULL },
    ROW("sizes", KV_DIM_TEXT, sizes, "8B,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB", 0, 0, "of messages"),
    ROW("outstanding", KV_DIM_TEXT, outstanding, "1,4,16,64", 0, 0, "messages of an endpoint under way"),
    ROW("endpoints", KV_DIM_TEXT, endpoints, "1,2,4", 0, 0, "connections: queue pairs"),
    ROW("repeats", KV_DIM_COUNT, repeats, "5", 1, KV_NET_REPEATS_MAX, "batches of a point, whose median counts"),
    ROW("batch", KV_DIM_TIME, batch_s, "100ms", 1e-3, 3600, "how long one lasts"),
    ROW("budget", KV_DIM_TIME, budget_s, "2min", 1e-3, 1e6, "of the whole; batches are shorter where they must"),
    ROW("mtu", KV_DIM_BYTES, mtu_bytes, "4KiB", 256, 4096, "RDMA: path MTU, active_mtu of ibv_devinfo"),
    ROW("payload", KV_DIM_BOOL, payload, "false", 0, 0, "RDMA: fit the payload rate, not the line's (InfiniBand)"),
    ROW("resume", KV_DIM_BOOL, resume, "false", 0, 0, "measure what samples.csv has not; else it must not be there"),
    KV_PARAM_END
};

/* ---- options ---- */

static int fail(const struct kv_err *err)
{
    fprintf(stderr, "kvsim-calib-net: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    return (int)err->code;
}

/* "8B,4KiB": rising values, 1 .. max. */
static bool read_axis(struct kv_arena *arena, const char *option, enum kv_dim dim, const char *list, double max,
                      struct kv_net_axis *axis, struct kv_err *err)
{
    struct kv_param param = { .key = option, .dim = dim, .min = 1, .max = max };
    for (const char *item = list;; item++) {
        size_t length = strcspn(item, ",");
        const char *why = NULL;
        if (axis->count == KV_NET_AXIS_MAX)
            return kv_fail(err, KV_EUSAGE, option, "more than %d values", KV_NET_AXIS_MAX);
        int64_t *at = &axis->at[axis->count++];
        if (!kv_value_parse(arena, &param, kv_arena_copy(arena, item, length), at, &why))
            return kv_fail(err, KV_EUSAGE, option, "%s", why);
        if (axis->count > 1 && *at <= at[-1])
            return kv_fail(err, KV_EUSAGE, option, "'%s': the values must rise", list);
        item += length;
        if (!*item) return true;
    }
}

/* A first word that is no option is the server's address. */
static bool read_options(struct kv_arena *arena, int argc, char **argv, struct options *o, struct kv_net_plan *plan,
                         struct kv_err *err)
{
    int first = argc > 1 && *argv[1] != '-' ? 2 : 1;
    if (!kv_options_read(arena, rows, argc - first, argv + first, o, err)) return false;
    bool serves = *o->listen, writes = *o->output;
    if (serves == (first == 2) || serves == writes)
        return kv_fail(err, KV_EUSAGE, "", "give --listen ADDRESS:PORT, or ADDRESS:PORT of a server and -o PROFILE; "
                       "see --help");
    *plan = (struct kv_net_plan){
        .server = argv[1], .folder = o->output, .operation = (enum kv_net_operation)o->operation,
        .repeats = (int32_t)o->repeats, .batch_s = o->batch_s, .budget_s = o->budget_s,
    };
    return read_axis(arena, "--sizes", KV_DIM_BYTES, o->sizes, (double)KV_NET_REGION_BYTES, &plan->bytes, err)
           && read_axis(arena, "--outstanding", KV_DIM_COUNT, o->outstanding, 65536, &plan->outstanding, err)
           && read_axis(arena, "--endpoints", KV_DIM_COUNT, o->endpoints, KV_NET_ENDPOINTS_MAX, &plan->endpoints, err);
}

/* ---- roles ---- */

static void say_ready(const char *listen)
{
    fprintf(stderr, "kvsim-calib-net: listening at %s\n", listen);
}

static void tell_point(const struct kv_net_point *p)
{
    fprintf(stderr, "%9lld B  %5d outstanding  %3d endpoints  %12.3f us  %10.2f MB/s\n", (long long)p->message_bytes,
            p->outstanding, p->endpoints, p->message_s * 1e6, (double)p->message_bytes / p->message_s * 1e-6);
}

static bool measure(struct kv_arena *arena, const struct options *o, const struct kv_net_plan *plan, FILE *out,
                    struct kv_err *err)
{
    const char *samples = kv_arena_text(arena, "%s/samples.csv", o->output);
    struct kv_net_points points;
    kv_net_points_open(&points, plan, arena);
    if (!o->resume && access(samples, F_OK) == 0)
        return kv_fail(err, KV_EUSAGE, samples, "exists; --resume measures what it has not, or choose another folder");
    if (!kv_net_samples_read(&points, samples, plan, err)) return false;
    if (!kv_net_measure(&points, samples, plan, stop, tell_point, err)) {
        size_t length = access(samples, F_OK) == 0 ? strlen(err->text) : sizeof err->text - 1;
        snprintf(err->text + length, sizeof err->text - length, "; %s keeps what was measured, --resume goes on",
                 samples);
        return false;
    }
    struct kv_net_link link = { .headers = kv_net_is_rdma(points.transport) && !o->payload,
                                .mtu_bytes = o->mtu_bytes, .operation = plan->operation };
    return kv_net_fit(&points, &link, err)
           && kv_net_profile_write(arena, o->output, &points, plan, &link, out, err);
}

/* UCX writes its warnings to stdout: from here on that is stderr, and what is returned is the real one. */
static FILE *keep_stdout(void)
{
    int real = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return real < 0 ? stderr : fdopen(real, "w");
}

int main(int argc, char **argv)
{
    struct kv_arena arena = {0};
    struct options o = {0};
    struct kv_net_plan plan;
    struct kv_err err = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
        printf("%s%s", about, kv_options_text(&arena, rows));
        kv_arena_close(&arena);
        return KV_OK;
    }
    stop = kv_calib_stop();
    bool good = read_options(&arena, argc, argv, &o, &plan, &err);
    FILE *out = keep_stdout();
    if (good)
        good = *o.listen ? kv_net_serve(o.listen, o.once, stop, say_ready, &err)
                         : measure(&arena, &o, &plan, out, &err);
    if (fclose(out) != 0 && good) good = kv_fail(&err, KV_EIO, "", "cannot write to stdout");
    kv_arena_close(&arena);
    return good ? KV_OK : fail(&err);
}
