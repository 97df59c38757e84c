/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib net: runs kvsim-calib-net (calib/net), which links UCX. */
#include "sim/cli/calib.h"
#include "sim/cli/cli.h"

static int run(struct kv_args *args)
{
    return kv_calib_run(args, "net");
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FOLDER", "profile to write: profile.yaml and samples.csv" },
    { "listen", 0, KV_FLAG_TEXT, "ADDRESS:PORT", "serve: the other side of a measurement" },
    { "once", 0, KV_FLAG_SWITCH, NULL, "serve until the last client has gone" },
    { "operation", 0, KV_FLAG_TEXT, "WHAT", "read or write the server's memory (read)" },
    { "sizes", 0, KV_FLAG_TEXT, "LIST", "of messages (8B,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB)" },
    { "outstanding", 0, KV_FLAG_TEXT, "LIST", "messages of an endpoint under way (1,4,16,64)" },
    { "endpoints", 0, KV_FLAG_TEXT, "LIST", "connections: queue pairs (1,2,4)" },
    { "repeats", 0, KV_FLAG_COUNT, "N", "batches of a point, whose median counts (5)" },
    { "batch", 0, KV_FLAG_TIME, "TIME", "how long one lasts (100ms)" },
    { "budget", 0, KV_FLAG_TIME, "TIME", "of the whole; batches are shorter where they must (2min)" },
    { "mtu", 0, KV_FLAG_BYTES, "SIZE", "RDMA: path MTU, active_mtu of ibv_devinfo (4KiB)" },
    { "payload", 0, KV_FLAG_SWITCH, NULL, "RDMA: fit the payload rate, not the line's (InfiniBand)" },
    { "resume", 0, KV_FLAG_SWITCH, NULL, "measure what samples.csv has not; else it must not be there" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_net = {
    .name = "calib net", .usage = "--listen ADDRESS:PORT | ADDRESS:PORT -o FOLDER [flags]",
    .help = "measure a link between two hosts over UCX, and write a link profile",
    .details =
        "Start it with --listen on one host, and with that address on the other: messages by size, number under way\n"
        "and number of endpoints. UCX chooses the transport; UCX_TLS (rc, dc, tcp) and UCX_NET_DEVICES (mlx5_0:1,\n"
        "eth0) say which, on both hosts. Every batch is kept in FOLDER/samples.csv, also when something fails or\n"
        "Ctrl-C ends it. FOLDER is a profile: network: {links: {fabric: {profile: ./FOLDER}}}.\n",
    .flags = flags, .arg_min = 0, .arg_max = 1, .run = run,
};
