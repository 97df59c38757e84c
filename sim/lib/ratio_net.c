/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/ratio_net.h"

#include <gsl/gsl_randist.h>
#include <math.h>
#include <string.h>

#include "sim/base/arena.h"
#include "sim/base/rng.h"

#define UNITS KV_RATIO_UNITS
#define INPUTS KV_RATIO_INPUTS_MAX
#define BATCH 256
#define STEPS_MIN 1200
#define EPOCHS 60
#define VISITS_MIN 1300000   /* of rows, where the number of passes is not given */

double kv_ratio_net_at(const struct kv_ratio_net *net, const double *x)
{
    float sum[UNITS], one[UNITS];
    memcpy(sum, net->first[net->inputs], sizeof sum);
    for (int32_t i = 0; i < net->inputs; i++) {
        float held = fminf(fmaxf((float)x[i], net->least[i]), net->most[i]);
        for (int32_t j = 0; j < UNITS; j++) sum[j] += held * net->first[i][j];
    }
    for (int32_t j = 0; j < UNITS; j++) one[j] = tanhf(sum[j]);
    memcpy(sum, net->second[UNITS], sizeof sum);
    for (int32_t i = 0; i < UNITS; i++)
        for (int32_t j = 0; j < UNITS; j++) sum[j] += one[i] * net->second[i][j];
    double out = net->third[UNITS];
    for (int32_t j = 0; j < UNITS; j++) out += (double)tanhf(sum[j]) * (double)net->third[j];
    return out;
}

/* ---- fitting ---- */

/* All weights, in one array for Adam. */
struct weights { float first[INPUTS + 1][UNITS], second[UNITS + 1][UNITS], third[UNITS + 1]; };
#define WEIGHTS (sizeof(struct weights) / sizeof(float))

struct fit {
    const struct kv_ratio_samples *samples;
    struct weights w, gradient, mean, square;       /* the last two: of the gradient, over the past steps */
    float centre[INPUTS], scale[INPUTS];            /* of features, so that all are alike */
    float second_by_unit[UNITS][UNITS];             /* transposed */
};

static void find_scale(struct fit *f, struct kv_ratio_net *net)
{
    const struct kv_ratio_samples *s = f->samples;
    for (int32_t i = 0; i < s->inputs; i++) {
        double sum = 0, squares = 0;
        net->least[i] = net->most[i] = s->x[i];
        for (size_t r = 0; r < s->rows; r++) {
            float x = s->x[r * (size_t)s->inputs + (size_t)i];
            net->least[i] = fminf(net->least[i], x);
            net->most[i] = fmaxf(net->most[i], x);
            sum += (double)x;
            squares += (double)x * (double)x;
        }
        double centre = sum / (double)s->rows, variance = squares / (double)s->rows - centre * centre;
        f->centre[i] = (float)centre;
        f->scale[i] = variance > 1e-9 ? (float)(1 / sqrt(variance)) : 0;   /* what never varies says nothing */
    }
}

static void start(struct fit *f, uint64_t seed)
{
    struct kv_rng rng;
    gsl_rng *draw = kv_rng_at(&rng, seed, kv_stream("ratio_net.start"), 0);
    for (int32_t i = 0; i < f->samples->inputs; i++)
        for (int32_t j = 0; j < UNITS; j++)
            f->w.first[i][j] = (float)gsl_ran_gaussian(draw, 1 / sqrt(f->samples->inputs));
    for (int32_t i = 0; i < UNITS; i++)
        for (int32_t j = 0; j < UNITS; j++) f->w.second[i][j] = (float)gsl_ran_gaussian(draw, 1 / sqrt(UNITS));
    for (int32_t i = 0; i < UNITS; i++) f->w.third[i] = (float)gsl_ran_gaussian(draw, 1 / sqrt(UNITS));
}

/* Adds row r's part of the gradient. */
static void add_row(struct fit *f, size_t r)
{
    const struct kv_ratio_samples *s = f->samples;
    const struct weights *w = &f->w;
    struct weights *g = &f->gradient;
    float x[INPUTS], one[UNITS], two[UNITS], sum[UNITS], back[UNITS];
    memcpy(sum, w->first[INPUTS], sizeof sum);
    for (int32_t i = 0; i < s->inputs; i++) {
        x[i] = (s->x[r * (size_t)s->inputs + (size_t)i] - f->centre[i]) * f->scale[i];
        for (int32_t j = 0; j < UNITS; j++) sum[j] += x[i] * w->first[i][j];
    }
    for (int32_t j = 0; j < UNITS; j++) one[j] = tanhf(sum[j]);
    memcpy(sum, w->second[UNITS], sizeof sum);
    for (int32_t i = 0; i < UNITS; i++)
        for (int32_t j = 0; j < UNITS; j++) sum[j] += one[i] * w->second[i][j];
    float out = w->third[UNITS];
    for (int32_t j = 0; j < UNITS; j++) {
        two[j] = tanhf(sum[j]);
        out += two[j] * w->third[j];
    }
    float slope = fminf(fmaxf((out - s->y[r]) * 10, -1), 1);   /* of the Huber loss */
    g->third[UNITS] += slope;
    for (int32_t j = 0; j < UNITS; j++) {
        g->third[j] += slope * two[j];
        sum[j] = slope * w->third[j] * (1 - two[j] * two[j]);
        g->second[UNITS][j] += sum[j];
    }
    memset(back, 0, sizeof back);
    for (int32_t i = 0; i < UNITS; i++)
        for (int32_t j = 0; j < UNITS; j++) g->second[i][j] += one[i] * sum[j];
    for (int32_t j = 0; j < UNITS; j++)
        for (int32_t i = 0; i < UNITS; i++) back[i] += sum[j] * f->second_by_unit[j][i];
    for (int32_t i = 0; i < UNITS; i++) {
        back[i] *= 1 - one[i] * one[i];
        g->first[INPUTS][i] += back[i];
    }
    for (int32_t i = 0; i < s->inputs; i++)
        for (int32_t j = 0; j < UNITS; j++) g->first[i][j] += x[i] * back[j];
}

static void move(struct fit *f, int64_t step, int64_t steps, size_t rows)
{
    float *w = (float *)&f->w, *g = (float *)&f->gradient, *mean = (float *)&f->mean, *square = (float *)&f->square;
    double way = (double)step / (double)steps, warm = fmin(1, (double)step / 100);
    double rate = 4e-3 * 0.5 * (1 + cos(3.141592653589793 * way)) * warm;
    float pace = (float)(rate * sqrt(1 - pow(0.999, (double)step)) / (1 - pow(0.9, (double)step)));
    float part = 1 / (float)rows;
    for (size_t i = 0; i < WEIGHTS; i++) {
        float slope = g[i] * part;
        mean[i] += 0.1F * (slope - mean[i]);
        square[i] += 0.001F * (slope * slope - square[i]);
        w[i] -= pace * mean[i] / (sqrtf(square[i]) + 1e-8F);
    }
}

/* The net takes features as they are: their scale goes into the first layer. */
static void take_net(const struct fit *f, struct kv_ratio_net *net)
{
    net->inputs = f->samples->inputs;
    memcpy(net->second, f->w.second, sizeof net->second);
    memcpy(net->third, f->w.third, sizeof net->third);
    for (int32_t j = 0; j < UNITS; j++) {
        double constant = (double)f->w.first[INPUTS][j];
        for (int32_t i = 0; i < net->inputs; i++) {
            net->first[i][j] = f->w.first[i][j] * f->scale[i];
            constant -= (double)net->first[i][j] * (double)f->centre[i];
        }
        net->first[net->inputs][j] = (float)constant;
    }
}

void kv_ratio_net_fit(struct kv_ratio_net *net, const struct kv_ratio_samples *samples, int32_t epochs, uint64_t seed)
{
    struct kv_arena scratch = {0};
    struct fit *f = kv_arena_take(&scratch, sizeof *f);
    uint32_t *order = kv_arena_take(&scratch, samples->rows * sizeof *order);
    memset(net, 0, sizeof *net);
    f->samples = samples;
    find_scale(f, net);
    start(f, seed);
    size_t batch = samples->rows / 16 < 16 ? 16 : samples->rows / 16;
    if (batch > BATCH) batch = BATCH;
    size_t visits = (size_t)(epochs ? epochs : EPOCHS) * samples->rows;
    if (!epochs && visits < VISITS_MIN) visits = VISITS_MIN;
    int64_t steps = (int64_t)(visits / batch);
    if (steps < STEPS_MIN) steps = STEPS_MIN;
    size_t next = samples->rows;
    for (size_t i = 0; i < samples->rows; i++) order[i] = (uint32_t)i;
    for (int64_t step = 1; step <= steps; step++) {
        for (int32_t i = 0; i < UNITS; i++)
            for (int32_t j = 0; j < UNITS; j++) f->second_by_unit[j][i] = f->w.second[i][j];
        memset(&f->gradient, 0, sizeof f->gradient);
        for (size_t b = 0; b < batch; b++) {
            if (next == samples->rows) {   /* all were used: in a new order */
                struct kv_rng rng;
                gsl_ran_shuffle(kv_rng_at(&rng, seed, kv_stream("ratio_net.order"), (uint64_t)step), order,
                                samples->rows, sizeof *order);
                next = 0;
            }
            add_row(f, order[next++]);
        }
        move(f, step, steps, batch);
    }
    take_net(f, net);
    kv_arena_close(&scratch);
}
