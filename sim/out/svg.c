/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/svg.h"

#include <math.h>
#include <string.h>

/* Geometry in pixels. A panel is its plot area and what stands around it. */
#define PAGE_WIDTH 1040
#define MARGIN 28
#define HEAD_HEIGHT 78
#define FOOT_HEIGHT 56
#define PANEL_WIDTH 492
#define PANEL_HEIGHT 292
#define PLOT_LEFT 62
#define PLOT_TOP 52
#define PLOT_WIDTH 410
#define PLOT_HEIGHT 190
#define LETTER_WIDTH 6.1   /* of 11 px sans-serif, on average; legends are placed with it */

/* Okabe and Ito's palette: told apart with every common kind of colour blindness. */
static const char *const colours[KV_CURVES_MAX] = {
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442", "#777777",
};
/* Areas: from full to empty. */
static const char *const fills[KV_CURVES_MAX] = {
    "#0072B2", "#56B4E9", "#E4E7EA", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#999999",
};

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        default: fputc(*text, out);
        }
    }
}

static void put_text(FILE *out, double x, double y, const char *class, const char *text)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    put_escaped(out, text);
    fputs("</text>\n", out);
}

/* ---- axes ---- */

struct scale {
    enum kv_axis axis;
    double low, high;            /* logarithms on a logarithmic axis */
    double step;                 /* between ticks */
    double unit;                 /* time: seconds in the unit of the labels */
    const char *unit_name;
    double at, length;           /* in pixels; length < 0: upwards */
};

static double place(const struct scale *s, double value)
{
    double v = s->axis == KV_AXIS_LOG_TIME ? log10(value) : value;
    return s->at + (v - s->low) / (s->high - s->low) * s->length;
}

/* 1, 2 or 5 times a power of ten that cuts `range` into at most `parts`. */
static double nice_step(double range, int parts)
{
    double power = pow(10, floor(log10(range / parts)));
    static const double nice[] = {1, 2, 5, 10};
    for (int i = 0; i < 4; i++) if (range / (nice[i] * power) <= parts + 1e-9) return nice[i] * power;
    return 10 * power;
}

/* Largest and smallest finite value of all curves (of their sums when stacked). */
static void range_of(const struct kv_panel *p, bool of_x, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int32_t c = 0; c < p->curve_count; c++) {
        for (int64_t i = 0; i < p->curve[c].count; i++) {
            double v = of_x ? p->curve[c].x[i] : p->curve[c].y[i];
            if (!of_x && p->stacked) {
                for (int32_t below = 0; below < c; below++) v += p->curve[below].y[i];
            }
            if (v < *low) *low = v;
            if (v > *high) *high = v;
        }
    }
}

static void choose_time_unit(struct scale *s)
{
    static const struct { double from, unit; const char *name; } units[] = {
        {3 * 86400, 86400, "days"}, {3 * 3600, 3600, "h"}, {180, 60, "min"}, {0.5, 1, "s"}, {0.5e-3, 1e-3, "ms"},
        {0, 1e-6, "us"},
    };
    int i = 0;
    while (s->high < units[i].from) i++;
    s->unit = units[i].unit;
    s->unit_name = units[i].name;
}

static struct scale make_scale(const struct kv_panel *p, bool of_x, double at, double length)
{
    struct scale s = {.axis = of_x ? p->x_axis : p->y_axis, .unit = 1, .unit_name = "", .at = at, .length = length};
    int parts = of_x ? 7 : 5;
    range_of(p, of_x, &s.low, &s.high);
    if (s.axis == KV_AXIS_LOG_TIME) {
        s.low = floor(log10(s.low));
        s.high = ceil(log10(s.high));
        if (s.high - s.low < 1) s.high = s.low + 1;
        s.step = 1;
        return s;
    }
    if (s.axis == KV_AXIS_TIME) choose_time_unit(&s);
    if (s.axis == KV_AXIS_SHARE) s.high = 1;
    if (!(s.low < 0)) s.low = 0;
    if (!(s.high > s.low)) s.high = s.low + 1;
    s.step = nice_step((s.high - s.low) / s.unit, parts) * s.unit;
    if (!of_x) s.high = ceil(s.high / s.step - 1e-9) * s.step;
    return s;
}

static void label_of(const struct scale *s, double tick, char *text, size_t size)
{
    if (s->axis == KV_AXIS_LOG_TIME) {
        static const char *const unit[] = {"ns", "us", "ms", "s"};
        int power = (int)tick, group = power >= 0 ? 3 : power >= -3 ? 2 : power >= -6 ? 1 : 0;
        snprintf(text, size, "%g %s", pow(10, power + 9 - 3 * group), unit[group]);
    } else if (s->axis == KV_AXIS_SHARE) {
        snprintf(text, size, "%g %%", tick * 100);
    } else if (s->axis == KV_AXIS_TIME) {
        snprintf(text, size, "%g", tick / s->unit);
    } else if (tick == 0) {
        snprintf(text, size, "0");
    } else if (s->high >= 2e6) {
        snprintf(text, size, "%g M", tick / 1e6);
    } else if (s->high >= 1e4) {
        snprintf(text, size, "%g k", tick / 1e3);
    } else {
        snprintf(text, size, "%g", tick);
    }
}

static void put_axes(const struct kv_panel *p, const struct scale *x, const struct scale *y, FILE *out)
{
    char label[48];
    double right = x->at + x->length, top = y->at + y->length;
    for (int i = 0; i * y->step <= y->high - y->low + y->step * 1e-6; i++) {
        double tick = y->low + i * y->step, at = place(y, tick);
        fprintf(out, "<path d=\"M%.1f %.1fH%.1f\" class=\"%s\"/>\n", x->at, at, right, i ? "grid" : "axis");
        label_of(y, tick, label, sizeof label);
        put_text(out, x->at - 8, at + 4, "tick end", label);
    }
    for (int i = 0; i * x->step <= x->high - x->low + x->step * 1e-6; i++) {
        double tick = x->low + i * x->step, at = x->at + i * x->step / (x->high - x->low) * x->length;
        fprintf(out, "<path d=\"M%.1f %.1fV%.1f\" class=\"%s\"/>\n", at, y->at, p->stacked ? y->at + 4 : top,
                p->stacked ? "axis" : "grid");
        label_of(x, tick, label, sizeof label);
        put_text(out, at, y->at + 17, "tick middle", label);
    }
    char name[96];
    bool unit = x->axis == KV_AXIS_TIME;
    snprintf(name, sizeof name, unit ? "%s [%s]" : "%s", p->x_name, x->unit_name);
    put_text(out, x->at + x->length / 2, y->at + 35, "name middle", name);
    put_text(out, x->at - PLOT_LEFT + 8, top - 9, "name", p->y_name);
}

/* ---- curves ---- */

static void put_line(const struct kv_curve *c, const char *colour, const struct scale *x, const struct scale *y,
                     FILE *out)
{
    bool pen = false;
    fputs("<path d=\"", out);
    for (int64_t i = 0; i < c->count; i++) {
        bool known = !isnan(c->y[i]);
        if (known) fprintf(out, "%s%.1f %.1f", pen ? "L" : "M", place(x, c->x[i]), place(y, c->y[i]));
        pen = known;
    }
    fprintf(out, "\" class=\"line\" stroke=\"%s\"/>\n", colour);
}

static double sum_below(const struct kv_panel *p, int32_t curve, int64_t i)
{
    double sum = 0;
    for (int32_t c = 0; c < curve; c++) sum += p->curve[c].y[i];
    return sum;
}

static void put_area(const struct kv_panel *p, int32_t curve, const struct scale *x, const struct scale *y, FILE *out)
{
    const struct kv_curve *c = &p->curve[curve];
    fputs("<path d=\"", out);
    for (int64_t i = 0; i < c->count; i++) {
        fprintf(out, "%s%.1f %.1f", i ? "L" : "M", place(x, c->x[i]), place(y, sum_below(p, curve + 1, i)));
    }
    for (int64_t i = c->count - 1; i >= 0; i--) {
        fprintf(out, "L%.1f %.1f", place(x, c->x[i]), place(y, sum_below(p, curve, i)));
    }
    fprintf(out, "Z\" fill=\"%s\"/>\n", fills[curve]);
}

/* From the right end of the title line, last curve first. */
static void put_legend(const struct kv_panel *p, double right, double y, FILE *out)
{
    for (int32_t c = p->curve_count - 1; c >= 0; c--) {
        right -= (double)strlen(p->curve[c].name) * LETTER_WIDTH;
        put_text(out, right, y, "tick", p->curve[c].name);
        right -= 22;
        fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"16\" height=\"%d\" rx=\"1\" fill=\"%s\"/>\n", right,
                p->stacked ? y - 9 : y - 5.5, p->stacked ? 10 : 3, p->stacked ? fills[c] : colours[c]);
        right -= 12;
    }
}

static void put_panel(const struct kv_panel *p, double left, double top, FILE *out)
{
    put_text(out, left, top + 18, "title", p->title);
    if (!p->curve_count) {
        put_text(out, left + PLOT_LEFT + PLOT_WIDTH / 2.0, top + PLOT_TOP + PLOT_HEIGHT / 2.0, "tick middle", p->empty);
        return;
    }
    struct scale x = make_scale(p, true, left + PLOT_LEFT, PLOT_WIDTH);
    struct scale y = make_scale(p, false, top + PLOT_TOP + PLOT_HEIGHT, -PLOT_HEIGHT);
    put_legend(p, left + PLOT_LEFT + PLOT_WIDTH, top + PLOT_TOP - 9, out);
    for (int32_t c = 0; c < p->curve_count && p->stacked; c++) put_area(p, c, &x, &y, out);
    put_axes(p, &x, &y, out);
    for (int32_t c = 0; c < p->curve_count && !p->stacked; c++) put_line(&p->curve[c], colours[c], &x, &y, out);
}

void kv_svg_write(const struct kv_page *page, FILE *out)
{
    int rows = (page->panel_count + 1) / 2, height = HEAD_HEIGHT + rows * PANEL_HEIGHT + FOOT_HEIGHT;
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n",
            PAGE_WIDTH, height, PAGE_WIDTH, height);
    fputs("<style>\n"
          "text { font-family: system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #333 }\n"
          ".head { font-size: 19px; font-weight: 600; fill: #111 } .sub { font-size: 13px; fill: #444 }\n"
          ".title { font-size: 14px; font-weight: 600; fill: #111 } .tick { font-size: 11px; fill: #555 }\n"
          ".name { font-size: 11px; fill: #555 } .foot { font-size: 10.5px; fill: #777 }\n"
          ".end { text-anchor: end } .middle { text-anchor: middle }\n"
          ".grid { stroke: #e3e3e3; stroke-width: 1; fill: none } .axis { stroke: #888; stroke-width: 1; fill: none }\n"
          ".line { fill: none; stroke-width: 1.8; stroke-linejoin: round }\n"
          "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n", out);
    put_text(out, MARGIN, 36, "head", page->title);
    put_text(out, MARGIN, 58, "sub", page->subtitle);
    for (int32_t i = 0; i < page->panel_count; i++) {
        put_panel(&page->panel[i], MARGIN + i % 2 * (double)(PANEL_WIDTH + 10),
                  HEAD_HEIGHT + i / 2 * (double)PANEL_HEIGHT, out);
    }
    for (int i = 0; i < 2; i++) put_text(out, MARGIN, height - 32 + 16 * i, "foot", page->footer[i]);
    fputs("</svg>\n", out);
}
