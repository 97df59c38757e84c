/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim man: the manual page in roff, from the tables of the command line.
 * View it with `kvsim man | man -l -`, install it with `make install`. */
#include <ctype.h>

#include "sim/base/version.h"
#include "sim/cli/cli.h"

/* In roff a backslash escapes, a leading dot or quote is a request, and '-' may become a hyphen that nobody can
 * search for or copy. */
static void roff(const char *text)
{
    bool start = true;
    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\'')) kv_print("\\&");
        if (*text == '\\') kv_print("\\e");
        else if (*text == '-') kv_print("\\-");
        else kv_print("%c", *text);
        start = *text == '\n';
    }
}

static void verbatim(const char *text)
{
    kv_print(".nf\n");
    roff(text);
    kv_print("\n.fi\n");
}

static void print_flags(const struct kv_flag *flag)
{
    for (; flag && flag->name; flag++) {
        kv_print(".TP\n");
        if (flag->letter) kv_print("\\fB\\-%c\\fR, ", flag->letter);
        kv_print("\\fB\\-\\-");
        roff(flag->name);
        kv_print("\\fR");
        if (flag->value) kv_print(" \\fI%s\\fR", flag->value);
        if (flag->kind == KV_FLAG_REPEAT) kv_print(" ...");
        kv_print("\n");
        roff(flag->help);
        kv_print("\n");
    }
}

static int man(struct kv_args *args)
{
    (void)args;
    kv_print(".TH KVSIM 1 \"\" \"kvsim %s\" \"User Commands\"\n", KV_VERSION);
    kv_print(".SH NAME\nkvsim \\- trace\\-driven simulation of LLM serving with a KV cache\n");
    kv_print(".SH SYNOPSIS\n\\fBkvsim\\fR \\fICOMMAND\\fR [\\fIarguments\\fR] [\\fIflags\\fR]\n");
    kv_print(".SH DESCRIPTION\nkvsim replays request traces through a cluster of simulated serving instances. "
             "Results go to standard output, messages to standard error; nothing is written that was not named "
             "on the command line.\n");
    kv_print(".SH COMMANDS\n");
    for (const struct kv_command *const *c = kv_commands(); *c; c++) {
        kv_print(".SS \"");
        roff((*c)->name);
        kv_print(" ");
        roff((*c)->usage);
        kv_print("\"\n");
        roff((*c)->help);
        kv_print("\n");
        if ((*c)->details) {
            kv_print(".PP\n");
            roff((*c)->details);
            kv_print("\n");
        }
        print_flags((*c)->flags);
    }
    kv_print(".SH COMMON FLAGS\n");
    print_flags(kv_common_flags);
    for (const struct kv_topic *t = kv_topics; t->name; t++) {
        kv_print(".SH \"");
        for (const char *at = t->name; *at; at++) kv_print("%c", *at == '-' ? ' ' : toupper((unsigned char)*at));
        kv_print("\"\n");
        verbatim(t->text);
    }
    return KV_OK;
}

const struct kv_command kv_command_man = {
    .name = "man", .usage = "", .help = "print the manual page in roff", .run = man,
};
