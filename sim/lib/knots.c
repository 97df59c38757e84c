/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/knots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/lib/csv.h"
#include "sim/lib/field.h"
#include "sim/lib/writer.h"

/* ---- reading ---- */

struct table {
    struct kv_input in;
    struct kv_csv line;
    const struct kv_knots_form *form;
    int32_t axes, values;
    KV_VEC(int64_t) x, y, at[3];
    int64_t rows;
};

static int32_t count_names(const char *const *name)
{
    int32_t count = 0;
    while (name[count]) count++;
    return count;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

static const char *column_name(const struct table *t, int32_t i)
{
    return i < t->axes ? t->form->axis[i] : t->form->value[i - t->axes];
}

/* 1: the next line, cut into fields; 0: the end; -1: *err. */
static int next_line(struct table *t, struct kv_err *err)
{
    int got = kv_input_line(&t->in, err);
    if (got != 1) return got;
    if (!kv_csv_split(&t->line, t->in.line, t->in.length)) {
        kv_input_fail(&t->in, err, "a quote is not closed, or there are more than %d columns", KV_CSV_FIELDS_MAX);
        return -1;
    }
    if (t->line.count == t->axes + t->values) return 1;
    kv_input_fail(&t->in, err, "%d columns, expected %d", t->line.count, t->axes + t->values);
    return -1;
}

/* The header must be the expected one, to the letter: names carry the units. */
static bool read_header(struct table *t, struct kv_err *err)
{
    int got = next_line(t, err);
    if (got == 0) return kv_fail(err, KV_ETRACE, t->in.path, "the file is empty");
    if (got < 0) return false;
    for (int32_t i = 0; i < t->line.count; i++) {
        const char *found = t->line.field[i].text, *expected = column_name(t, i);
        if (strcmp(found, expected) == 0) continue;
        return kv_input_fail(&t->in, err, "column %d is called '%s', expected '%s'", i + 1,
                             kv_excerpt(found, t->line.field[i].length).text, expected);
    }
    return true;
}

static bool read_value(const struct table *t, int32_t i, int64_t *value, struct kv_err *err)
{
    const struct kv_csv_field *f = &t->line.field[i];
    const char *name = column_name(t, i);
    if (i < t->axes) return kv_field_whole(&t->in, name, f->text, f->length, KV_KNOTS_AXIS_MAX, value, err);
    if (ends_with(name, "_permille")) return kv_field_whole(&t->in, name, f->text, f->length, 1000, value, err);
    bool rate = ends_with(name, "_GBps");
    const char *wrong = kv_number_ns(f->text, f->length, rate ? 6 : 3, value);
    if (!wrong && *value > KV_KNOTS_NS_MAX) wrong = rate ? "is more than 3.6 PB/s" : "is more than an hour";
    return !wrong || kv_input_fail(&t->in, err, "%s: '%s' %s", name, kv_excerpt(f->text, f->length).text, wrong);
}

/* Where the row belongs: right of the last one, or at the start of a new row of the grid. */
static bool place_row(struct table *t, int64_t x, int64_t y, struct kv_err *err)
{
    bool same = t->x.count > 0 && t->x.at[t->x.count - 1] == x;
    int64_t columns = (int64_t)t->y.count, column = columns ? t->rows % columns : 0;
    if (t->axes == 1) {
        if (t->x.count > 0 && x <= t->x.at[t->x.count - 1])
            return kv_input_fail(&t->in, err, "%s %lld after %lld: rows must be sorted, each once", t->form->axis[0],
                                 (long long)x, (long long)t->x.at[t->x.count - 1]);
    } else if (t->x.count <= 1 && (same || t->x.count == 0)) {   /* the first row of the grid names the columns */
        if (columns && y <= t->y.at[columns - 1])
            return kv_input_fail(&t->in, err, "%s %lld after %lld: rows must be sorted, each once", t->form->axis[1],
                                 (long long)y, (long long)t->y.at[columns - 1]);
        kv_vec_push(&t->y, y);
    } else if (same != (column != 0) || y != t->y.at[column]) {
        return kv_input_fail(&t->in, err, "%s %lld, %s %lld: a full grid has %s %lld here", t->form->axis[0],
                             (long long)x, t->form->axis[1], (long long)y, t->form->axis[1],
                             (long long)t->y.at[column]);
    } else if (!same && x < t->x.at[t->x.count - 1]) {
        return kv_input_fail(&t->in, err, "%s %lld after %lld: rows must be sorted", t->form->axis[0], (long long)x,
                             (long long)t->x.at[t->x.count - 1]);
    }
    if (!same) kv_vec_push(&t->x, x);
    if (t->x.count <= KV_KNOTS_MAX && t->y.count <= KV_KNOTS_MAX) return true;
    return kv_input_fail(&t->in, err, "more than %d knots of one axis", KV_KNOTS_MAX);
}

static bool read_rows(struct table *t, struct kv_err *err)
{
    int got;
    while ((got = next_line(t, err)) == 1) {
        int64_t field[5];
        for (int32_t i = 0; i < t->axes + t->values; i++)
            if (!read_value(t, i, &field[i], err)) return false;
        if (!place_row(t, field[0], t->axes > 1 ? field[1] : 0, err)) return false;
        for (int32_t i = 0; i < t->values; i++) kv_vec_push(&t->at[i], field[t->axes + i]);
        t->rows++;
    }
    if (got < 0) return false;
    if (t->rows == 0) return kv_input_fail(&t->in, err, "no rows");
    if (t->axes > 1 && t->rows != (int64_t)(t->x.count * t->y.count))
        return kv_input_fail(&t->in, err, "the grid ends early: %zu by %zu knots, %lld rows", t->x.count, t->y.count,
                             (long long)t->rows);
    return true;
}

static int64_t *copy(struct kv_arena *arena, const int64_t *at, size_t count)
{
    int64_t *to = kv_arena_take(arena, (count + 1) * sizeof *to);
    memcpy(to, at, count * sizeof *to);
    return to;
}

bool kv_knots_read(struct kv_arena *arena, const char *path, const struct kv_knots_form *form, struct kv_knots *knots,
                   struct kv_err *err)
{
    struct table t = {.form = form, .axes = count_names(form->axis), .values = count_names(form->value)};
    bool good = kv_input_open(&t.in, path, false, err) && read_header(&t, err) && read_rows(&t, err);
    for (int32_t i = 0; good && i < t.values; i++) {
        knots[i] = (struct kv_knots){
            .rows = (int32_t)t.x.count, .columns = t.axes > 1 ? (int32_t)t.y.count : 1,
            .x = copy(arena, t.x.at, t.x.count), .y = t.axes > 1 ? copy(arena, t.y.at, t.y.count) : NULL,
            .at = copy(arena, t.at[i].at, t.at[i].count),
        };
    }
    kv_input_close(&t.in);
    kv_vec_close(&t.x);
    kv_vec_close(&t.y);
    for (int32_t i = 0; i < 3; i++) kv_vec_close(&t.at[i]);
    /* A table is part of a configuration, whatever the scanner of traces calls its faults. */
    if (!good && err && err->code == KV_ETRACE) err->code = KV_ECONFIG;
    return good;
}

bool kv_knots_check(const char *path, const struct kv_knots *k, enum kv_knots_rule rule, struct kv_err *err)
{
    for (int32_t i = 0; i < k->rows * k->columns; i++) {
        int32_t row = i / k->columns, column = i % k->columns;
        int64_t above = row ? k->at[i - k->columns] : 0, left = column ? k->at[i - 1] : 0;
        bool rises = rule == KV_KNOTS_POSITIVE || (k->at[i] >= above && k->at[i] >= left);
        if (rises && k->at[i] > 0) continue;
        char place[512];
        snprintf(place, sizeof place, "%.400s:%d", path, i + 2);
        return kv_fail(err, KV_ECONFIG, place, k->at[i] > 0 ? "the value is less than that of less work" : "a zero");
    }
    return true;
}

/* ---- writing ---- */

static void write_value(struct kv_writer *w, const char *name, int64_t value)
{
    if (ends_with(name, "_permille"))
        kv_writer_text(w, ",%lld", (long long)value);
    else if (ends_with(name, "_GBps"))
        kv_writer_text(w, ",%lld.%06lld", (long long)(value / 1000000), (long long)(value % 1000000));
    else
        kv_writer_text(w, ",%lld.%03lld", (long long)(value / 1000), (long long)(value % 1000));
}

bool kv_knots_write(const char *path, const struct kv_knots_form *form, const struct kv_knots *knots,
                    struct kv_err *err)
{
    struct kv_writer w;
    if (!kv_writer_open(&w, path, true, err)) return false;
    for (int32_t i = 0; form->axis[i]; i++) kv_writer_text(&w, "%s%s", i ? "," : "", form->axis[i]);
    for (int32_t i = 0; form->value[i]; i++) kv_writer_text(&w, ",%s", form->value[i]);
    kv_writer_text(&w, "\n");
    for (int32_t i = 0; i < knots->rows * knots->columns; i++) {
        kv_writer_text(&w, "%lld", (long long)knots->x[i / knots->columns]);
        if (form->axis[1]) kv_writer_text(&w, ",%lld", (long long)knots->y[i % knots->columns]);
        for (int32_t j = 0; form->value[j]; j++) write_value(&w, form->value[j], knots[j].at[i]);
        kv_writer_text(&w, "\n");
    }
    bool good = kv_writer_commit(&w, err);
    kv_writer_close(&w);
    return good;
}

/* ---- looking up ---- */

/* Knot i and share s of the way to the next that stand for `x`, on an axis as it is or by its logarithm. */
static int32_t find(const int64_t *knot, int32_t count, double x, bool by_log, double *share)
{
    *share = 0;
    if (count == 1 || x <= (double)knot[0]) return 0;
    if (x >= (double)knot[count - 1]) {
        *share = 1;
        return count - 2;
    }
    int32_t low = 0, high = count - 1;
    while (high - low > 1) {
        int32_t middle = (low + high) / 2;
        *((double)knot[middle] <= x ? &low : &high) = middle;
    }
    double from = (double)knot[low], to = (double)knot[low + 1];
    *share = by_log ? log(x / from) / log(to / from) : (x - from) / (to - from);
    return low;
}

static double look_up(const struct kv_knots *k, double x, double y, bool by_log)
{
    double right = 0, down;
    int32_t row = find(k->x, k->rows, x, by_log, &down), column = k->y ? find(k->y, k->columns, y, by_log, &right) : 0;
    double sum = 0;
    for (int32_t i = 0; i < 4; i++) {
        double weight = (i & 1 ? right : 1 - right) * (i & 2 ? down : 1 - down);
        if (weight <= 0) continue;
        double value = (double)k->at[(row + (i >> 1)) * k->columns + column + (i & 1)];
        sum += weight * (by_log ? log(value) : value);
    }
    return by_log ? exp(sum) : sum;
}

double kv_knots_at(const struct kv_knots *k, double x, double y)
{
    return look_up(k, x, y, false);
}

double kv_knots_log_at(const struct kv_knots *k, double x, double y)
{
    return look_up(k, x, y, true);
}
