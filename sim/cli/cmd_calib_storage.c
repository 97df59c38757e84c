/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim calib storage: runs kvsim-calib-storage (calib/storage), which links libcurl. */
#include "sim/cli/calib.h"
#include "sim/cli/cli.h"

static int run(struct kv_args *args)
{
    return kv_calib_run(args, "storage");
}

static const struct kv_flag flags[] = {
    { "output", 'o', KV_FLAG_TEXT, "FOLDER", "profile to write; goes on where samples are there already" },
    { "endpoint", 0, KV_FLAG_TEXT, "URL", "S3 server, http://HOST:PORT; default: S3_ENDPOINT" },
    { "key", 0, KV_FLAG_TEXT, "KEY", "access key; default: S3_KEY" },
    { "secret", 0, KV_FLAG_TEXT, "SECRET", "secret key; default: S3_SECRET, where other users do not see it" },
    { "region", 0, KV_FLAG_TEXT, "NAME", "region that requests are signed for (us-east-1)" },
    { "bucket", 0, KV_FLAG_TEXT, "NAME", "made if need be (kvsim-calib)" },
    { "files", 0, KV_FLAG_TEXT, "FOLDER", "measure files in this folder, not a server" },
    { "sizes", 0, KV_FLAG_TEXT, "LIST", "of the requests (4KiB,64KiB,512KiB,4MiB,32MiB)" },
    { "connections", 0, KV_FLAG_TEXT, "LIST", "at a time (1,4,16)" },
    { "ops", 0, KV_FLAG_TEXT, "LIST", "get: whole objects, range: parts, put (get,range,put)" },
    { "budget", 0, KV_FLAG_TIME, "TIME", "of this run (60s)" },
    { "samples", 0, KV_FLAG_COUNT, "N", "of each size and number of connections; then it is done (60)" },
    { "timeout", 0, KV_FLAG_TIME, "TIME", "longest time of a request (30s)" },
    { "pause", 0, KV_FLAG_TIME, "TIME", "before a request at most, times the connections: time of a packet (0s)" },
    { "seed", 0, KV_FLAG_COUNT, "N", "which parts are read, which samples are held out (1)" },
    { "port-slot", 0, KV_FLAG_COUNT, "N", "local port modulo 64 of the first connection, for a classifier" },
    { "note", 0, KV_FLAG_TEXT, "TEXT", "for the profile: settings of the server, hardware" },
    { "keep", 0, KV_FLAG_SWITCH, NULL, "leave the objects or files there" },
    { "quiet", 0, KV_FLAG_SWITCH, NULL, "no progress" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_calib_storage = {
    .name = "calib storage", .usage = "-o FOLDER [flags]",
    .help = "measure an S3 server, or a folder of files, and write a store profile",
    .details =
        "Reads of whole objects, of parts, and writes, by size and number of connections, the most valuable first,\n"
        "until the time is over. Every request is kept in FOLDER/samples.csv, also when something fails or Ctrl-C\n"
        "ends it; the same command goes on from there. FOLDER is a profile: store: {profile: ./FOLDER}. Credentials\n"
        "are written nowhere. docs/calibration.md tells what a server needs to be measured fairly.\n",
    .flags = flags, .arg_min = 0, .arg_max = 0, .run = run,
};
