/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim help: from the tables that parse the command line, so they cannot differ. */
#include <stdio.h>
#include <string.h>

#include "sim/cli/cli.h"

const char *kv_cli_short_help(void)
{
    return "usage: kvsim COMMAND [arguments] [flags]\n"
           "\n"
           "  kvsim run configs/quickstart.yaml     replay a trace, print the result table\n"
           "  kvsim run SCENARIO.yaml -o OUT.h5     the same, results in HDF5\n"
           "  kvsim export OUT.h5 csv requests      one CSV row a request\n"
           "  kvsim list                            what there is to choose from\n"
           "  kvsim help                            all commands and topics\n";
}

/* A text wrapped at 80 columns: the first line starts at `column`, the others after `indent` blanks. */
static void wrap(const char *text, int column, int indent)
{
    for (bool first = true; *text; first = false) {
        int length = (int)strcspn(text, " \n");
        if (!first && column + 1 + length > 80) {
            kv_print("\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            kv_print(" ");
            column++;
        }
        kv_print("%.*s", length, text);
        column += length;
        text += length;
        if (*text) text++;
    }
    kv_print("\n");
}

#define FLAG_COLUMN 28

static void print_flags(const struct kv_flag *flag)
{
    for (; flag && flag->name; flag++) {
        char text[96];
        char letter[8] = "    ";
        if (flag->letter) snprintf(letter, sizeof letter, "-%c, ", flag->letter);
        int width = snprintf(text, sizeof text, "  %s--%s%s%s%s", letter, flag->name, flag->value ? " " : "",
                             flag->value ? flag->value : "", flag->kind == KV_FLAG_REPEAT ? " ..." : "");
        kv_print("%s", text);
        if (width > FLAG_COLUMN - 2) kv_print("\n"), width = 0;
        kv_print("%*s", FLAG_COLUMN - width, "");
        wrap(flag->help, FLAG_COLUMN, FLAG_COLUMN);
    }
}

/* Paragraphs are wrapped; one with indented lines stays as it is. */
static void print_details(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        int length = end ? (int)(end - text) : (int)strlen(text);
        char paragraph[2048];
        snprintf(paragraph, sizeof paragraph, "%.*s", length, text);
        bool as_is = *text == ' ' || strstr(paragraph, "\n ") || length >= (int)sizeof paragraph;
        while (!as_is && length > 0 && paragraph[length - 1] == '\n') paragraph[--length] = 0;
        kv_print("\n");
        if (as_is) kv_print("%.*s%s", length, text, text[length - 1] == '\n' ? "" : "\n");
        else wrap(paragraph, 0, 0);
        text = end ? end + 2 : text + strlen(text);
    }
}

int kv_cli_help(const struct kv_command *command)
{
    kv_print("usage: kvsim %s%s%s\n\n", command->name, *command->usage ? " " : "", command->usage);
    wrap(command->help, 0, 0);
    if (command->details) print_details(command->details);
    kv_print("\nflags:\n");
    print_flags(command->flags);
    print_flags(kv_common_flags);
    return KV_OK;
}

#define NAME_COLUMN 20

static void print_line(const char *name, const char *help)
{
    kv_print("  %-*s", NAME_COLUMN - 2, name);
    wrap(help, NAME_COLUMN, NAME_COLUMN);
}

static void print_all(void)
{
    kv_print("kvsim: trace-driven simulation of LLM serving with a KV cache\n\n"
             "usage: kvsim COMMAND [arguments] [flags]\n\ncommands:\n");
    for (const struct kv_command *const *c = kv_commands(); *c; c++) print_line((*c)->name, (*c)->help);
    kv_print("\ntopics:\n");
    for (const struct kv_topic *t = kv_topics; t->name; t++) print_line(t->name, t->help);
    kv_print("\n`kvsim help COMMAND` or `kvsim COMMAND --help` shows the flags of a command.\n");
}

/* All commands of a group ("trace"); false when there are none. */
static bool print_group(const char *name)
{
    size_t length = strlen(name);
    bool found = false;
    for (const struct kv_command *const *c = kv_commands(); *c; c++) {
        if (strncmp((*c)->name, name, length) || (*c)->name[length] != ' ') continue;
        if (!found) kv_print("commands of kvsim %s:\n", name);
        print_line((*c)->name, (*c)->help);
        found = true;
    }
    return found;
}

static int help(struct kv_args *args)
{
    struct kv_err err;
    int32_t used = 0;
    if (!args->arg_count) {
        print_all();
        return KV_OK;
    }
    for (const struct kv_topic *t = kv_topics; t->name && args->arg_count == 1; t++) {
        if (strcmp(t->name, args->arg[0])) continue;
        kv_print("%s", t->text);
        return KV_OK;
    }
    if (args->arg_count == 1 && print_group(args->arg[0])) return KV_OK;
    const struct kv_command *command = kv_command_find(kv_commands(), args->arg_count, args->arg, &used, &err);
    if (command && used == args->arg_count) return kv_cli_help(command);
    if (command) kv_fail(&err, KV_EUSAGE, "help", "nothing is called '%s %s'", args->arg[0], args->arg[1]);
    const char *topic[16];
    int32_t topics = 0;
    for (const struct kv_topic *t = kv_topics; t->name && topics < 16; t++) topic[topics++] = t->name;
    const char *near = args->arg_count == 1 ? kv_suggest(args->arg[0], topic, topics) : NULL;
    if (near) kv_fail(&err, KV_EUSAGE, "help", "nothing is called '%s'; did you mean '%s'?", args->arg[0], near);
    int code = kv_cli_fail(&err);
    kv_say("see `kvsim help` for all commands and topics\n");
    return code;
}

const struct kv_command kv_command_help = {
    .name = "help", .usage = "[COMMAND | TOPIC]", .help = "explain a command or a topic", .arg_min = 0, .arg_max = 2,
    .run = help,
};
