/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/data.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

const char *kv_data_folder(struct kv_arena *arena)
{
    const char *given = getenv("KVSIM_DATA");
    if (given && *given) return is_folder(kv_arena_text(arena, "%s/models/data", given)) ? given : NULL;
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return is_folder("models/data") ? "." : NULL;
    program[length] = 0;
    /* Upwards, so that test programs deep in build/ find the clone they belong to. */
    for (char *slash = strrchr(program, '/'); slash; slash = strrchr(program, '/')) {
        *slash = 0;
        const char *installed = kv_arena_text(arena, "%s/share/kvsim", program);
        if (is_folder(kv_arena_text(arena, "%s/models/data", program))) return kv_arena_text(arena, "%s", program);
        if (is_folder(kv_arena_text(arena, "%s/models/data", installed))) return installed;
    }
    return NULL;
}
