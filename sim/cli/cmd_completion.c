/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim completion: a completion script for a shell, from the tables of the command line. */
#include <string.h>

#include "sim/cli/cli.h"

static void print_flags(const struct kv_flag *flag)
{
    for (; flag && flag->name; flag++) kv_print(" --%s", flag->name);
}

/* First words, each once; or the second words of group `first`. */
static void print_words(const char *first)
{
    const char *before = "";
    for (const struct kv_command *const *c = kv_commands(); *c; c++) {
        const char *name = (*c)->name;
        size_t length = strcspn(name, " ");
        if (first) {
            if (!strncmp(name, first, strlen(first)) && name[strlen(first)] == ' ') kv_print(" %s", name + length + 1);
        } else if (strlen(before) < length || strncmp(name, before, length)) {
            kv_print(" %.*s", (int)length, name);
        }
        before = name;
    }
}

static void print_groups(void)
{
    const char *before = "";
    for (const struct kv_command *const *c = kv_commands(); *c; c++) {
        const char *name = (*c)->name;
        size_t length = strcspn(name, " ");
        bool again = strlen(before) >= length && !strncmp(name, before, length);
        before = name;
        if (!name[length] || again) continue;
        char group[32];
        memcpy(group, name, length);
        group[length] = 0;
        kv_print("    %s)  words=\"", group);
        print_words(group);
        kv_print("\" ;;\n");
    }
}

static int completion(struct kv_args *args)
{
    struct kv_err err;
    if (strcmp(args->arg[0], "bash")) {
        kv_fail(&err, KV_EUSAGE, "completion", "unknown shell '%s'; known: bash", args->arg[0]);
        return kv_cli_fail(&err);
    }
    kv_print("# bash completion for kvsim: source <(kvsim completion bash)\n"
             "_kvsim() {\n"
             "  local word=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} second=${COMP_WORDS[2]} words=\n"
             "  if [ \"$COMP_CWORD\" = 1 ]; then words=\"");
    print_words(NULL);
    kv_print("\"\n"
             "  elif [[ $word = -* ]]; then case \"$first $second\" in\n");
    for (const struct kv_command *const *c = kv_commands(); *c; c++) {
        kv_print(strchr((*c)->name, ' ') ? "    \"%s\")  words=\"" : "    \"%s \"*)  words=\"", (*c)->name);
        print_flags((*c)->flags);
        print_flags(kv_common_flags);
        kv_print("\" ;;\n");
    }
    kv_print("  esac\n"
             "  elif [ \"$COMP_CWORD\" = 2 ]; then case \"$first\" in\n");
    print_groups();
    kv_print("    help)  words=\"");
    print_words(NULL);
    for (const struct kv_topic *t = kv_topics; t->name; t++) kv_print(" %s", t->name);
    kv_print("\" ;;\n"
             "  esac; fi\n"
             "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
             "  [ ${#COMPREPLY[@]} -gt 0 ] || [[ $word = -* ]] || COMPREPLY=($(compgen -f -- \"$word\"))\n"
             "}\n"
             "complete -F _kvsim kvsim\n");
    return KV_OK;
}

const struct kv_command kv_command_completion = {
    .name = "completion", .usage = "bash", .help = "print a completion script: source <(kvsim completion bash)",
    .arg_min = 1, .arg_max = 1, .run = completion,
};
