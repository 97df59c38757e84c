/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim-calib-net: rate and latency of messages between two hosts over UCX, as parameters of a link of kind roce. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calib/net/profile.h"
#include "calib/net/server.h"
#include "sim/base/version.h"
#include "sim/conf/bind.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    if (stop) _exit(KV_EINTERRUPT);   /* asked twice */
    stop = 1;
}

static const char usage[] =
    "usage: kvsim calib net --listen ADDRESS:PORT [--once]          on the one host\n"
    "       kvsim calib net ADDRESS:PORT -o PROFILE [flags]         on the other\n"
    "\n"
    "Measures how fast messages go from one host to the other, and writes the profile of a link:\n"
    "network: {links: {fabric: {profile: ./PROFILE}}}. UCX chooses the transport; UCX_TLS (rc, dc, tcp) and\n"
    "UCX_NET_DEVICES (mlx5_0:1, eth0) say which, on both hosts.\n"
    "\n"
    "  -o, --output PROFILE     folder for profile.yaml and samples.csv, made if need be\n"
    "      --operation WHAT     read (default) or write the server's memory\n"
    "      --sizes LIST         of messages (8B,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB)\n"
    "      --outstanding LIST   messages of an endpoint under way (1,4,16,64)\n"
    "      --endpoints LIST     connections: queue pairs (1,2,4)\n"
    "      --repeats N          batches of a point, whose median counts (5)\n"
    "      --batch TIME         how long one lasts (100ms)\n"
    "      --budget TIME        of the whole (2min); batches are shorter where it would not do\n"
    "      --mtu SIZE           RDMA only: path MTU (4KiB); ibv_devinfo tells it as active_mtu\n"
    "      --payload            RDMA only: fit the payload rate, not the line rate with its headers (InfiniBand)\n"
    "      --resume             measure only what samples.csv has not; without it PROFILE must be new\n"
    "      --listen WHERE       serve; --once: until the last client has gone\n"
    "  -h, --help\n";

struct options {
    struct kv_arena arena;
    const char *listen, *output;
    struct kv_net_plan plan;
    int64_t mtu_bytes;
    bool once, payload, resume;
};

/* ---- flags ---- */

static int fail(const struct kv_err *err)
{
    fprintf(stderr, "kvsim: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    return err->code;
}

/* One value of a flag: 1 .. max; times from 1 ms on. */
static bool parse(struct options *o, const char *flag, enum kv_dim dim, const char *text, double max, void *out,
                  struct kv_err *err)
{
    const char *why = NULL;
    struct kv_param param = { .key = flag, .dim = dim, .min = dim == KV_DIM_TIME ? 1e-3 : 1, .max = max };
    return kv_value_parse(&o->arena, &param, text, out, &why) || kv_fail(err, KV_EUSAGE, flag, "%s", why);
}

static bool parse_axis(struct options *o, const char *flag, enum kv_dim dim, const char *list, double max,
                       struct kv_net_axis *axis, struct kv_err *err)
{
    axis->count = 0;
    for (const char *item = list;; item++) {
        size_t length = strcspn(item, ",");
        if (axis->count == KV_NET_AXIS_MAX)
            return kv_fail(err, KV_EUSAGE, flag, "more than %d values", KV_NET_AXIS_MAX);
        int64_t *at = &axis->at[axis->count++];
        if (!parse(o, flag, dim, kv_arena_copy(&o->arena, item, length), max, at, err)) return false;
        if (axis->count > 1 && *at <= at[-1])
            return kv_fail(err, KV_EUSAGE, flag, "'%s': the values must rise", list);
        item += length;
        if (!*item) return true;
    }
}

enum { OPERATION = 256, SIZES, OUTSTANDING, ENDPOINTS, REPEATS, BATCH, BUDGET, MTU, PAYLOAD, RESUME, LISTEN, ONCE };
static const struct option flags[] = {
    {"output", 1, NULL, 'o'}, {"help", 0, NULL, 'h'}, {"operation", 1, NULL, OPERATION}, {"sizes", 1, NULL, SIZES},
    {"outstanding", 1, NULL, OUTSTANDING}, {"endpoints", 1, NULL, ENDPOINTS}, {"repeats", 1, NULL, REPEATS},
    {"batch", 1, NULL, BATCH}, {"budget", 1, NULL, BUDGET}, {"mtu", 1, NULL, MTU}, {"payload", 0, NULL, PAYLOAD},
    {"resume", 0, NULL, RESUME}, {"listen", 1, NULL, LISTEN}, {"once", 0, NULL, ONCE}, {NULL, 0, NULL, 0},
};

static bool take_flag(struct options *o, int flag, const char *text, struct kv_err *err)
{
    struct kv_net_plan *p = &o->plan;
    int64_t count;
    switch (flag) {
    case 'o': o->output = text; return true;
    case LISTEN: o->listen = text; return true;
    case ONCE: o->once = true; return true;
    case PAYLOAD: o->payload = true; return true;
    case RESUME: o->resume = true; return true;
    case OPERATION:
        p->operation = strcmp(text, "write") ? KV_NET_READ : KV_NET_WRITE;
        return !strcmp(text, "read") || !strcmp(text, "write")
               || kv_fail(err, KV_EUSAGE, "--operation", "'%s': expected read or write", text);
    case SIZES: return parse_axis(o, "--sizes", KV_DIM_BYTES, text, (double)KV_NET_REGION_BYTES, &p->bytes, err);
    case OUTSTANDING: return parse_axis(o, "--outstanding", KV_DIM_COUNT, text, 65536, &p->outstanding, err);
    case ENDPOINTS: return parse_axis(o, "--endpoints", KV_DIM_COUNT, text, KV_NET_ENDPOINTS_MAX, &p->endpoints, err);
    case REPEATS:
        if (!parse(o, "--repeats", KV_DIM_COUNT, text, KV_NET_REPEATS_MAX, &count, err)) return false;
        p->repeats = (int32_t)count;
        return true;
    case BATCH: return parse(o, "--batch", KV_DIM_TIME, text, 3600, &p->batch_s, err);
    case BUDGET: return parse(o, "--budget", KV_DIM_TIME, text, 1e6, &p->budget_s, err);
    case MTU: return parse(o, "--mtu", KV_DIM_BYTES, text, 4096, &o->mtu_bytes, err);
    default: return kv_fail(err, KV_EUSAGE, "", "wrong use; see kvsim calib net --help");
    }
}

static bool read_flags(struct options *o, int argc, char **argv, struct kv_err *err)
{
    static const struct { int flag; const char *text; } presets[] = {
        {OPERATION, "read"}, {SIZES, "8B,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB"}, {OUTSTANDING, "1,4,16,64"},
        {ENDPOINTS, "1,2,4"}, {REPEATS, "5"}, {BATCH, "100ms"}, {BUDGET, "2min"}, {MTU, "4KiB"},
    };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (!take_flag(o, presets[i].flag, presets[i].text, err)) return false;
    for (int flag; (flag = getopt_long(argc, argv, "o:h", flags, NULL)) != -1;) {
        if (flag == 'h') {
            fputs(usage, stdout);
            exit(KV_OK);
        }
        if (!take_flag(o, flag, optarg, err)) return false;
    }
    o->plan.server = argv[optind];
    bool one_role = o->listen ? !o->plan.server && !o->output : o->plan.server && o->output;
    if (one_role && (o->listen || optind + 1 == argc)) return true;
    return kv_fail(err, KV_EUSAGE, "", "give --listen ADDRESS:PORT, or ADDRESS:PORT of a server and -o PROFILE; see "
                   "kvsim calib net --help");
}

/* ---- roles ---- */

static void say_ready(const char *listen)
{
    fprintf(stderr, "kvsim: listening at %s\n", listen);
}

static void tell_point(const struct kv_net_point *p)
{
    fprintf(stderr, "%9lld B  %5d outstanding  %3d endpoints  %12.3f us  %10.2f MB/s\n", (long long)p->message_bytes,
            p->outstanding, p->endpoints, p->message_s * 1e6, (double)p->message_bytes / p->message_s * 1e-6);
}

static bool run_client(struct options *o, FILE *out, struct kv_err *err)
{
    const char *samples = kv_arena_text(&o->arena, "%s/samples.csv", o->output);
    struct kv_net_points points;
    kv_net_points_open(&points, &o->plan, &o->arena);
    mkdir(o->output, 0777);   /* what is wrong with it is told when samples are written */
    if (!o->resume && access(samples, F_OK) == 0)
        return kv_fail(err, KV_EUSAGE, samples, "exists; --resume measures what it has not, or choose another folder");
    if (!kv_net_samples_read(&points, samples, &o->plan, err)) return false;
    if (!kv_net_measure(&points, samples, &o->plan, &stop, tell_point, err)) {
        size_t length = strlen(err->text);
        snprintf(err->text + length, sizeof err->text - length, "; %s keeps what was measured, --resume goes on",
                 samples);
        return false;
    }
    bool rdma = kv_net_is_rdma(points.transport);
    struct kv_net_link link = { .headers = rdma && !o->payload, .mtu_bytes = o->mtu_bytes,
                                .operation = o->plan.operation };
    return kv_net_fit(&points, &link, err)
           && kv_net_profile_write(&o->arena, o->output, &points, &o->plan, &link, out, err);
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
    struct options o = {0};
    struct kv_err err = {0};
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool good = read_flags(&o, argc, argv, &err);
    FILE *out = keep_stdout();
    if (good) good = o.listen ? kv_net_serve(o.listen, o.once, &stop, say_ready, &err) : run_client(&o, out, &err);
    if (fclose(out) != 0 && good) good = kv_fail(&err, KV_EIO, "", "cannot write to stdout");
    kv_arena_close(&o.arena);
    return good ? KV_OK : fail(&err);
}
