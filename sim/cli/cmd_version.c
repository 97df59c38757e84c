/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim version: what a bug report needs to name. */
#include <gsl/gsl_version.h>
#include <hdf5.h>
#include <yaml.h>
#include <zlib.h>

#include "sim/base/version.h"
#include "sim/cli/cli.h"

static int version(struct kv_args *args)
{
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    bool json = kv_args_has(args, "json");
    const char *format = json ? "{\"kvsim\": \"%s\", \"compiler\": \"%s\", \"hdf5\": \"%u.%u.%u\", \"gsl\": \"%s\", "
                                "\"libyaml\": \"%s\", \"zlib\": \"%s\"}\n"
                              : "kvsim %s\ncompiler %s\nhdf5 %u.%u.%u\ngsl %s\nlibyaml %s\nzlib %s\n";
    char line[512];
    snprintf(line, sizeof line, format, KV_VERSION, __VERSION__, major, minor, release, gsl_version,
             yaml_get_version_string(), zlibVersion());
    kv_print("%s", line);
    return KV_OK;
}

static const struct kv_flag flags[] = {
    { "json", 0, KV_FLAG_SWITCH, NULL, "one JSON object" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

const struct kv_command kv_command_version = {
    .name = "version", .usage = "[--json]", .help = "versions of kvsim and of the libraries it runs with",
    .flags = flags, .run = version,
};
