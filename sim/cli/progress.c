/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sim/cli/cli.h"

#define PERIOD_S 0.2         /* faster than this nobody reads */
#define PLAIN_PERIOD_S 10.0  /* plain, when nobody knows how much is left */

static volatile sig_atomic_t asked;

static void ask(int number)
{
    (void)number;
    asked = 1;
}

double kv_wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct kv_host_usage kv_host_usage(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double user_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6;
    double system_s = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
    return (struct kv_host_usage){ user_s + system_s, (int64_t)usage.ru_maxrss * 1024 };
}

bool kv_progress_mode(const char *word, enum kv_progress_mode *mode)
{
    if (!strcmp(word, "auto")) *mode = isatty(STDERR_FILENO) ? KV_PROGRESS_BAR : KV_PROGRESS_NONE;
    else if (!strcmp(word, "bar")) *mode = KV_PROGRESS_BAR;
    else if (!strcmp(word, "plain")) *mode = KV_PROGRESS_PLAIN;
    else if (!strcmp(word, "none")) *mode = KV_PROGRESS_NONE;
    else return false;
    return true;
}

void kv_progress_open(struct kv_progress *p, enum kv_progress_mode mode)
{
    double now_s = kv_wall_s();
    *p = (struct kv_progress){ .mode = mode, .start_s = now_s, .shown_s = now_s, .asked_s = now_s };
    struct sigaction action = { .sa_handler = ask, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

bool kv_progress_due(const struct kv_progress *p)
{
    return asked || (p->mode != KV_PROGRESS_NONE && kv_wall_s() - p->asked_s >= PERIOD_S);
}

/* "00:41:12"; days are hours above 24. */
static const char *clock_text(double seconds, char *text, size_t size)
{
    long long s = (long long)seconds;
    snprintf(text, size, "%02lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

static void rate_text(double per_s, char *text, size_t size)
{
    if (per_s >= 1e6) snprintf(text, size, "%.1f Mev/s", per_s / 1e6);
    else snprintf(text, size, "%.1f kev/s", per_s / 1e3);
}

static void line_text(struct kv_progress *p, const struct kv_progress_view *v, char *text, size_t size)
{
    double now_s = kv_wall_s();
    char at[48], end[48], rate[48], share[16] = "", total[24] = "", eta[48] = "", fetching[32] = "";
    rate_text((double)(v->events - p->events_shown) / (now_s - p->shown_s + 1e-9), rate, sizeof rate);
    if (v->done_frac >= 0) snprintf(share, sizeof share, " %.0f%%", 100 * v->done_frac);
    if (v->total >= 0) snprintf(total, sizeof total, "/%lld", (long long)v->total);
    if (v->done_frac > 0.001) {
        long long left_s = (long long)((now_s - p->start_s) * (1 - v->done_frac) / v->done_frac + 0.5);
        snprintf(eta, sizeof eta, " | ETA %lld:%02lld", left_s / 60, left_s % 60);
    }
    if (v->tier_count > 1) snprintf(fetching, sizeof fetching, " fetch=%lld", (long long)v->fetching);
    snprintf(text, size, "sim %s%s%s%s | %lld%s req | %s%s | q=%lld%s |",
             clock_text(v->sim_s, at, sizeof at), v->sim_end_s >= 0 ? "/" : "",
             v->sim_end_s >= 0 ? clock_text(v->sim_end_s, end, sizeof end) : "", share, (long long)v->ended, total,
             rate, eta, (long long)v->waiting, fetching);
    for (int32_t t = 0; t < v->tier_count; t++) {
        size_t length = strlen(text);
        if (v->tier_frac[t] < 0) continue;
        snprintf(text + length, size - length, " %s %.0f%%", v->tier[t], 100 * v->tier_frac[t]);
    }
    p->shown_s = now_s;
    p->events_shown = v->events;
}

void kv_progress_show(struct kv_progress *p, const struct kv_progress_view *view)
{
    char text[384];
    bool on_request = asked;
    asked = 0;
    p->asked_s = kv_wall_s();
    if (p->mode == KV_PROGRESS_PLAIN && !on_request) {
        int32_t tenth = view->done_frac >= 0 ? (int32_t)(view->done_frac * 10)
                                             : (int32_t)((p->asked_s - p->start_s) / PLAIN_PERIOD_S);
        if (tenth <= p->tenth) return;
        p->tenth = tenth;
    }
    line_text(p, view, text, sizeof text);
    if (p->mode == KV_PROGRESS_BAR) {
        kv_say("\r\033[K%s", text);   /* back to the left edge, clear the line */
        if (on_request) kv_say("\n");
        p->line_open = !on_request;
    } else {
        kv_say("%s\n", text);
    }
}

void kv_progress_close(struct kv_progress *p)
{
    if (p->line_open) kv_say("\r\033[K");
    p->line_open = false;
}
