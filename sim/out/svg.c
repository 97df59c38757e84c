/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/svg.h"

#include <math.h>
#include <string.h>

#include "sim/out/format.h"

/* Geometry in pixels. A panel is its plot area and what stands around it. */
#define PAGE_WIDTH 1040
#define MARGIN 28
#define HEAD_HEIGHT 78
#define FOOT_HEIGHT 70
#define PANEL_WIDTH 492
#define PANEL_HEIGHT 292
#define PLOT_LEFT 62
#define PLOT_TOP 52
#define PLOT_RIGHT 20      /* from the plot area to the edge of the panel */
#define PLOT_HEIGHT 190
#define GAP 10             /* between two panels */
#define LEGEND_LINE 16
#define BAR_ROOM 1.12      /* right of the longest bar stands its sum */

/* Okabe and Ito's palette: told apart with every common kind of colour blindness. Its yellow is no line on white. */
static const char *const colours[KV_CURVES_MAX] = {
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#222222", "#777777",
};
/* Areas: from full to empty. */
static const char *const fills[KV_CURVES_MAX] = {
    "#0072B2", "#56B4E9", "#E4E7EA", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#999999",
};
/* Dashes tell lines apart where colours do not: in grey print, and for those who see none. */
static const char *const dashes[KV_CURVES_MAX] = {"", "", "", "", "7 3", "7 3", "7 3", "2 3"};

static const char *colour_of(const struct kv_panel *p, int32_t curve)
{
    if (p->curve[curve].colour) return p->curve[curve].colour;
    return p->stacked && !p->bar ? fills[curve] : colours[curve];
}

/* Width of words in 11 px sans-serif, a little generous: what is beside them is placed with it. */
static double width_of(const char *words)
{
    double width = 0;
    for (; *words; words++) {
        bool narrow = strchr("iljtfrI.,:; ()|'", *words), broad = strchr("mwMW%@", *words);
        width += narrow ? 4.1 : broad ? 10.3 : 6.9;
    }
    return width;
}

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
            double v = of_x && !p->bar && !p->span ? p->curve[c].x[i] : p->curve[c].y[i];
            if (p->bar || (!of_x && p->stacked)) {
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
    int parts = !of_x ? 5 : p->wide ? 14 : 7;
    range_of(p, of_x, &s.low, &s.high);
    if (s.axis == KV_AXIS_LOG_TIME) {
        s.low = floor(log10(s.low));
        s.high = ceil(log10(s.high));
        if (s.high - s.low < 1) s.high = s.low + 1;
        s.step = 1;
        return s;
    }
    if (s.axis == KV_AXIS_TIME) choose_time_unit(&s);
    if (s.axis == KV_AXIS_SHARE && !(s.high > 1.005)) s.high = 1;
    if (p->bar) s.high *= BAR_ROOM;
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
    for (int i = 0; !p->bar && !p->span && i * y->step <= y->high - y->low + y->step * 1e-6; i++) {
        double tick = y->low + i * y->step, at = place(y, tick);
        fprintf(out, "<path d=\"M%.1f %.1fH%.1f\" class=\"%s\"/>\n", x->at, at, right, i ? "grid" : "axis");
        label_of(y, tick, label, sizeof label);
        put_text(out, x->at - 8, at + 4, "tick end", label);
    }
    for (int i = 0; i * x->step <= x->high - x->low + x->step * 1e-6; i++) {
        double tick = x->low + i * x->step, at = x->at + i * x->step / (x->high - x->low) * x->length;
        fprintf(out, "<path d=\"M%.1f %.1fV%.1f\" class=\"%s\"/>\n", at, y->at, p->stacked && !p->bar ? y->at + 4 : top,
                p->stacked && !p->bar ? "axis" : "grid");
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

static void put_line(const struct kv_panel *p, int32_t curve, const struct scale *x, const struct scale *y, FILE *out)
{
    const struct kv_curve *c = &p->curve[curve];
    bool pen = false;
    fputs("<path d=\"", out);
    for (int64_t i = 0; i < c->count; i++) {
        bool known = !isnan(c->y[i]);
        if (known) fprintf(out, "%s%.1f %.1f", pen ? "L" : "M", place(x, c->x[i]), place(y, c->y[i]));
        pen = known;
    }
    fprintf(out, "\" class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\"/>\n", colour_of(p, curve),
            *dashes[curve] ? dashes[curve] : "none");
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
    fprintf(out, "Z\" fill=\"%s\"/>\n", colour_of(p, curve));
}

/* ---- bars ---- */

/* Words on a colour: white or dark, whichever stands out (luminance as sRGB weighs it, roughly). */
static const char *ink_on(const char *colour)
{
    unsigned red = 0, green = 0, blue = 0;
    sscanf(colour, "#%2x%2x%2x", &red, &green, &blue);
    return 299 * red + 587 * green + 114 * blue > 140000 ? "#222222" : "#ffffff";
}

static void put_bars(const struct kv_panel *p, const struct scale *x, double top, FILE *out)
{
    double pitch = (double)PLOT_HEIGHT / p->bar_count, height = pitch * 0.62 < 40 ? pitch * 0.62 : 40;
    char label[KV_FORMAT_MAX];
    for (int32_t i = 0; i < p->bar_count; i++) {
        double middle = top + (i + 0.5) * pitch;
        put_text(out, x->at - 8, middle + 4, "tick end", p->bar[i]);
        for (int32_t c = 0; c < p->curve_count; c++) {
            double from = place(x, sum_below(p, c, i)), to = place(x, sum_below(p, c + 1, i));
            const char *colour = colour_of(p, c), *words = kv_format_duration(label, p->curve[c].y[i]);
            if (to - from < 0.05) continue;
            fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", from,
                    middle - height / 2, to - from, height, colour);
            if (to - from < width_of(words) + 6) continue;
            fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"tick middle\" style=\"fill:%s\">%s</text>\n",
                    (from + to) / 2, middle + 4, ink_on(colour), words);
        }
        double sum = sum_below(p, p->curve_count, i);
        put_text(out, place(x, sum) + 6, middle + 4, "tick", kv_format_duration(label, sum));
    }
}

/* ---- spans ---- */

/* Names of so many rows that they do not touch. */
#define NAME_PITCH 12

static void put_spans(const struct kv_panel *p, const struct scale *x, double top, FILE *out)
{
    double pitch = (double)PLOT_HEIGHT / p->span_count, named = 0;
    for (int32_t i = 0; i < p->span_count; i++) {
        double at = top + i * pitch;
        if (i == 0 || at - named >= NAME_PITCH) {
            put_text(out, x->at - 8, at + pitch / 2 + 4, "tick end", p->span[i]);
            named = at;
        }
        for (int32_t c = 0; c < p->curve_count; c++) {
            double from = place(x, p->curve[c].x[i]), to = place(x, p->curve[c].y[i]);
            if (!(to > from)) continue;
            fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", from,
                    at + (c ? pitch / 2 : 0), to - from, pitch * 0.45, colour_of(p, c));
        }
    }
}

/* Curves `first` .. `end` - 1 in one line that ends at `right`. */
static void put_legend_line(const struct kv_panel *p, int32_t first, int32_t end, double right, double y, FILE *out)
{
    bool areas = p->stacked || p->bar || p->span;
    for (int32_t c = end - 1; c >= first; c--) {
        right -= width_of(p->curve[c].name);
        put_text(out, right, y, "tick", p->curve[c].name);
        right -= 22;
        if (areas) {
            fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"16\" height=\"10\" rx=\"1\" fill=\"%s\"/>\n", right,
                    y - 9, colour_of(p, c));
        } else {
            fprintf(out, "<path d=\"M%.1f %.1fh16\" class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\"/>\n", right,
                    y - 4, colour_of(p, c), *dashes[c] ? dashes[c] : "none");
        }
        right -= 12;
    }
}

/* Above the plot, right-aligned; as many lines as it needs, the first curves in the highest. `room` is the width of
 * the lowest: beside it stands the name of the y axis. */
static void put_legend(const struct kv_panel *p, double right, double y, double room, FILE *out)
{
    for (int32_t end = p->curve_count; end > 0; y -= LEGEND_LINE) {
        double used = 0;
        int32_t first = end;
        while (first > 0) {
            double width = width_of(p->curve[first - 1].name) + 34;
            if (first < end && used + width > room) break;
            used += width;
            first--;
        }
        put_legend_line(p, first, end, right, y, out);
        end = first;
    }
}

static void put_panel(const struct kv_panel *p, double left, double top, FILE *out)
{
    double width = (p->wide ? 2 * PANEL_WIDTH + GAP : PANEL_WIDTH) - PLOT_LEFT - PLOT_RIGHT;
    put_text(out, left, top + 18, "title", p->title);
    if (!p->curve_count) {
        put_text(out, left + PLOT_LEFT + width / 2, top + PLOT_TOP + PLOT_HEIGHT / 2.0, "tick middle", p->empty);
        return;
    }
    struct scale x = make_scale(p, true, left + PLOT_LEFT, width);
    struct scale y = make_scale(p, false, top + PLOT_TOP + PLOT_HEIGHT, -PLOT_HEIGHT);
    put_legend(p, left + PLOT_LEFT + width, top + PLOT_TOP - 9, width - 20, out);
    for (int32_t c = 0; c < p->curve_count && p->stacked && !p->bar; c++) put_area(p, c, &x, &y, out);
    put_axes(p, &x, &y, out);
    if (p->bar) put_bars(p, &x, top + PLOT_TOP, out);
    if (p->span) put_spans(p, &x, top + PLOT_TOP, out);
    for (int32_t c = 0; c < p->curve_count && !p->stacked && !p->bar && !p->span; c++) put_line(p, c, &x, &y, out);
}

/* Calls put_panel for each when there is a file; returns the height of all. */
static int put_panels(const struct kv_page *page, FILE *out)
{
    int top = HEAD_HEIGHT, column = 0;
    for (int32_t i = 0; i < page->panel_count; i++) {
        const struct kv_panel *p = &page->panel[i];
        if (p->wide && column) {
            top += PANEL_HEIGHT;
            column = 0;
        }
        if (out) put_panel(p, MARGIN + column * (double)(PANEL_WIDTH + GAP), top, out);
        column = p->wide ? 2 : column + 1;
        if (column == 2) {
            top += PANEL_HEIGHT;
            column = 0;
        }
    }
    return top + (column ? PANEL_HEIGHT : 0);
}

void kv_svg_write(const struct kv_page *page, FILE *out)
{
    int height = put_panels(page, NULL) + FOOT_HEIGHT;
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
    put_panels(page, out);
    for (int i = 0; i < 3 && page->footer[i]; i++) {
        put_text(out, MARGIN, height - FOOT_HEIGHT + 24 + 16 * i, "foot", page->footer[i]);
    }
    fputs("</svg>\n", out);
}
