/* SPDX-License-Identifier: Apache-2.0 */
/* kvsim plot: the kinds, and the words around their panels. */
#include "sim/out/plot.h"

#include <math.h>
#include <string.h>

#include "sim/base/version.h"
#include "sim/out/format.h"
#include "sim/out/out.h"

const char *const kv_plot_kinds[] = {
    "overview", "latencies; queue, prompt tokens by source, KV blocks over time",
    "tokens-by-source", "where prompt tokens came from, over time",
    "util", "links, GPUs and tiers over time: how much of each is used",
    "waterfall", "what time to first token and end-to-end time are made of",
    "layers", "when the KV of layers came and when they were computed, of requests that waited for it", NULL,
};
static bool (*const draw[])(struct kv_plotter *p, struct kv_page *page) = {
    kv_plot_overview, kv_plot_sources, kv_plot_util, kv_plot_waterfall, kv_plot_layers,
};

double kv_plot_fact(struct kv_plotter *p, const char *name)
{
    int64_t rows;
    const char *path = kv_arena_text(&p->arena, "/summary/%s", name);
    double *value = kv_h5in_has(p->in, path) ? kv_h5in_reals(p->in, path, &rows, &p->arena, NULL) : NULL;
    return value ? value[0] : (double)NAN;
}

/* Value of `key` in the block `section` of a resolved scenario; NULL when there is none. */
static const char *resolved(struct kv_plotter *p, const char *section, const char *key)
{
    const char *text = kv_h5in_text(p->in, "/meta/resolved_yaml", &p->arena);
    const char *wanted = kv_arena_text(&p->arena, "  %s: ", key);
    const char *at = text ? strstr(text, kv_arena_text(&p->arena, "\n%s:\n", section)) : NULL;
    if (at) at = strchr(at + 1, '\n') + 1;
    for (; at && *at == ' '; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        size_t length = strlen(wanted);
        if (!strncmp(at, wanted, length)) return kv_arena_copy(&p->arena, at + length, strcspn(at + length, "\n"));
    }
    return NULL;
}

/* What times come from. */
static const char *calibration(struct kv_plotter *p)
{
    const char *kind = resolved(p, "compute", "kind"), *profile = resolved(p, "compute", "profile");
    if (!kind) return "compute model not told";
    if (profile) return kv_arena_text(&p->arena, "compute: %s, profile %s", kind, profile);
    return kv_arena_text(&p->arena, "compute: %s, a formula without calibration", kind);
}

static void add_words(struct kv_plotter *p, struct kv_page *page)
{
    char text[6][KV_FORMAT_MAX];
    struct kv_arena *arena = &p->arena;
    int64_t seed = 0;
    const char *name = kv_h5in_attribute(p->in, "/meta", "scenario_name", arena);
    const char *digest = kv_h5in_attribute(p->in, "/meta", "trace_sha256", arena);
    const char *status = kv_h5in_attribute(p->in, "/meta", "status", arena);
    const char *saturation = kv_h5in_text(p->in, "/quality/saturation", arena);
    kv_h5in_attribute_int(p->in, "/meta", "seed", &seed);
    page->title = name && *name ? name : "kvsim";
    page->subtitle = kv_arena_text(arena, "TTFT p50 %s, p99 %s \u2002\u00b7\u2002 TPOT p50 %s \u2002\u00b7\u2002 "
                                   "%s requests/s \u2002\u00b7\u2002 hit ratio %s by token \u2002\u00b7\u2002 %s",
                                   kv_format_duration(text[0], kv_plot_fact(p, "ttft.p50")),
                                   kv_format_duration(text[1], kv_plot_fact(p, "ttft.p99")),
                                   kv_format_duration(text[2], kv_plot_fact(p, "tpot.p50")),
                                   kv_format_rate(text[3], kv_plot_fact(p, "request_throughput")),
                                   kv_format_percent(text[4], kv_plot_fact(p, "hit_ratio_token")),
                                   saturation ? saturation : "");
    const char *about = kv_arena_text(arena, "N = %s finished of %s measured requests (%s in the run), 1 seed (%lld), "
                                      "warm-up %s, %s; %s",
                                      kv_format_count(text[0], (int64_t)kv_plot_fact(p, "measured.finished")),
                                      kv_format_count(text[1], (int64_t)kv_plot_fact(p, "measured")),
                                      kv_format_count(text[2], (int64_t)kv_plot_fact(p, "requests")), (long long)seed,
                                      kv_format_duration(text[3], p->warmup_s), status ? status : "", calibration(p));
    /* A kind may have said something of its own before. */
    int line = page->footer[0] ? 1 : 0;
    page->footer[line] = about;
    page->footer[line + 1] = kv_arena_text(arena, "trace sha256 %s; drawn by kvsim %s",
                                           digest && *digest ? digest : "(none)", KV_VERSION);
}

/* The numbers of a page: panel, curve, x, y. The x of a bar is its name; a span is of "curve row" from x to y. */
static void write_csv(const struct kv_page *page, FILE *out)
{
    fputs("panel,curve,x,y\n", out);
    for (int32_t i = 0; i < page->panel_count; i++) {
        const struct kv_panel *panel = &page->panel[i];
        for (int32_t c = 0; c < panel->curve_count; c++) {
            const struct kv_curve *curve = &panel->curve[c];
            for (int64_t k = 0; k < curve->count; k++) {
                char x[KV_FORMAT_MAX], y[KV_FORMAT_MAX];
                fprintf(out, "%s,%s%s%s,%s,%s\n", panel->title, curve->name, panel->span ? " " : "",
                        panel->span ? panel->span[k] : "", panel->bar ? panel->bar[k] : kv_format_real(x, curve->x[k]),
                        kv_format_real(y, curve->y[k]));
            }
        }
    }
}

static const char *known_kinds(struct kv_arena *arena)
{
    const char *text = "";
    for (const char *const *kind = kv_plot_kinds; *kind; kind += 2) {
        text = kv_arena_text(arena, "%s%s%s", text, *text ? ", " : "", *kind);
    }
    return text;
}

static bool plot(struct kv_plotter *p, int kind, bool csv, FILE *out)
{
    struct kv_page page = {.panel_count = 0};
    p->warmup_s = kv_h5in_attribute_real(p->in, "/meta", "warmup_s");
    if (!draw[kind](p, &page)) return false;
    add_words(p, &page);
    if (csv) write_csv(&page, out);
    else kv_svg_write(&page, out);
    return true;
}

bool kv_results_plot(const char *path, const char *kind, const struct kv_plot_options *options, FILE *out,
                     struct kv_err *err)
{
    struct kv_plotter p = {.err = err, .request = options->request};
    int at = 0;
    bool ok = false;
    while (kv_plot_kinds[2 * at] && strcmp(kv_plot_kinds[2 * at], kind)) at++;
    if (!kv_plot_kinds[2 * at]) {
        kv_fail(err, KV_EUSAGE, "plot", "unknown plot '%s'; known: %s (`kvsim plot list`)", kind,
                known_kinds(&p.arena));
    } else if (p.request >= 0 && draw[at] != kv_plot_waterfall && draw[at] != kv_plot_layers) {
        kv_fail(err, KV_EUSAGE, "plot", "--request is for waterfall and layers; %s is of all requests", kind);
    } else if ((p.in = kv_h5in_open(path, err))) {
        ok = plot(&p, at, options->csv, out);
        kv_h5in_close(p.in);
    }
    kv_arena_close(&p.arena);
    return ok;
}
