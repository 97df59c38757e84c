/* SPDX-License-Identifier: Apache-2.0 */
/* What the program says and where: results on stdout, everything else on stderr. And how it is told to stop. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/cli/cli.h"

static bool colored;
static int print_errno;   /* first error of stdout */

void kv_cli_color(const char *when)
{
    const char *no_color = getenv("NO_COLOR");   /* no-color.org: any non-empty value */
    bool automatic = isatty(STDERR_FILENO) && !(no_color && *no_color);
    colored = !strcmp(when, "always") || (!strcmp(when, "auto") && automatic);
}

void kv_print(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    if (vprintf(fmt, list) < 0 && !print_errno) print_errno = errno;
    va_end(list);
}

void kv_say(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    vfprintf(stderr, fmt, list);
    va_end(list);
}

/* A full disk often shows only when the buffer is written out. May be asked again: the message comes once. */
int kv_cli_flush(void)
{
    static bool told;
    if (fflush(stdout) && !print_errno) print_errno = errno;
    if (!print_errno && !ferror(stdout)) return KV_OK;
    if (!told) kv_say("kvsim: stdout: cannot write: %s\n", strerror(print_errno ? print_errno : EIO));
    told = true;
    return KV_EIO;
}

int kv_cli_fail(const struct kv_err *err)
{
    kv_say("kvsim: %s%s%s\n", err->where, *err->where ? ": " : "", err->text);
    if (err->code == KV_EINTERNAL) kv_say("kvsim: this is a bug in kvsim; please report it with the command line\n");
    return (int)err->code;
}

/* "FILE:1:2: error: text" with the severity in red or yellow. */
static void say_colored(const char *text)
{
    static const struct { const char *mark, *color; } severity[] = { { ": error: ", "31" }, { ": warning: ", "33" } };
    while (*text) {
        size_t length = strcspn(text, "\n");
        const char *mark = NULL;
        size_t s = 0;
        for (; s < 2 && !mark; s++) {
            mark = strstr(text, severity[s].mark);
            if (mark && mark >= text + length) mark = NULL;
        }
        if (mark) {
            int word = (int)strlen(severity[s - 1].mark) - 4;
            kv_say("%.*s: \033[1;%sm%.*s\033[0m: ", (int)(mark - text), text, severity[s - 1].color, word, mark + 2);
            length -= (size_t)(mark - text) + strlen(severity[s - 1].mark);
            text = mark + strlen(severity[s - 1].mark);
        }
        kv_say("%.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

void kv_cli_say_diag(struct kv_diag *diag, bool json)
{
    if (!diag->note.count) return;
    const char *text = kv_diag_text(diag, json);
    if (colored && !json) say_colored(text);
    else kv_say("%s", text);
}

int kv_cli_fail_diag(struct kv_diag *diag, enum kv_code code, bool json)
{
    kv_cli_say_diag(diag, json);
    if (!json) kv_say("kvsim: %d error%s; nothing was run\n", diag->errors, diag->errors == 1 ? "" : "s");
    return (int)code;
}

static volatile sig_atomic_t stop_signals;
static char scratch[4096];

void kv_cli_scratch(const char *path)
{
    scratch[0] = 0;   /* never half a path */
    if (!path || !*path || strlen(path) >= sizeof scratch) return;
    memcpy(scratch + 1, path + 1, strlen(path));
    scratch[0] = path[0];
}

void kv_cli_scratch_remove(void)
{
    if (scratch[0]) unlink(scratch);
}

static void stop(int number)
{
    if (++stop_signals < 2) return;
    kv_cli_scratch_remove();
    signal(number, SIG_DFL);
    raise(number);
}

bool kv_cli_interrupted(void)
{
    static bool installed;
    if (!installed) {
        struct sigaction action = { .sa_handler = stop, .sa_flags = SA_RESTART };
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        installed = true;
    }
    return stop_signals != 0;
}
