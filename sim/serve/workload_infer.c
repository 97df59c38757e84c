/* SPDX-License-Identifier: Apache-2.0 */
#include <gsl/gsl_randist.h>
#include <math.h>

#include "sim/serve/workload_parts.h"

enum way { BACK, ON };   /* to earlier places, to later ones */

void kv_infer_open(struct kv_infer *f, const struct kv_infer_config *config, uint64_t seed)
{
    if (!config->on) return;
    f->seed = seed;
    f->draw_stream = kv_stream("workload.infer");
    f->text_stream = kv_stream("workload.infer_text");
    f->continue_frac = 1 - 1 / config->turns_mean;
    f->extends_frac = config->extends_frac;
    f->gap_mu = log(config->gap_median_s);
    f->gap_sigma = config->gap_sigma;
    f->window_ns = llround(config->window_s * 1e9);
}

void kv_infer_close(struct kv_infer *f)
{
    kv_vec_close(&f->open);
}

/* Takes the session out and leaves a gap in its place. */
static struct kv_session take_out(struct kv_infer *f, int32_t place)
{
    struct kv_open_session *open = &f->open.at[place];
    struct kv_session session = open->session;
    open->session.number = 0;
    open->skip[BACK] = place - 1;
    open->skip[ON] = place + 1;
    f->live--;
    return session;
}

static void put_last(struct kv_infer *f, const struct kv_session *session, int64_t time_ns)
{
    size_t count = f->open.count, kept = 0;
    if (count >= 2 * (size_t)f->live + 64) {   /* as many left since the last packing as are moved now */
        for (size_t i = (size_t)f->first; i < count; i++)
            if (f->open.at[i].session.number) f->open.at[kept++] = f->open.at[i];
        f->open.count = kept;
        f->first = 0;
    }
    kv_vec_push(&f->open, ((struct kv_open_session){.session = *session, .last_ns = time_ns}));
    f->live++;
}

/* Rows come in order of time: a session too old for one is too old for all that follow. */
static void forget_old(struct kv_infer *f, int64_t time_ns)
{
    for (; f->first < (int32_t)f->open.count; f->first++) {
        const struct kv_open_session *open = &f->open.at[f->first];
        if (open->session.number == 0) continue;
        if (time_ns - open->last_ns <= f->window_ns) return;
        take_out(f, f->first);
    }
}

static bool is_gap(const struct kv_infer *f, int32_t place)
{
    return place >= f->first && place < (int32_t)f->open.count && f->open.at[place].session.number == 0;
}

/* The first session at this place or beyond; a place outside the list when there is none. All gaps on the way are made
 * to point there (path compression), or one long run of them would be walked for every row. */
static int32_t pass_gaps(struct kv_infer *f, int32_t place, enum way way)
{
    int32_t end = place;
    while (is_gap(f, end)) end = f->open.at[end].skip[way];
    while (place != end) {
        int32_t next = f->open.at[place].skip[way];
        f->open.at[place].skip[way] = end;
        place = next;
    }
    return end;
}

/* The first place whose last turn is later than that. */
static int32_t search_time(const struct kv_infer *f, int64_t time_ns)
{
    int32_t low = f->first, high = (int32_t)f->open.count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (f->open.at[middle].last_ns > time_ns) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Place of the open session with at most that much context whose last turn lies closest to that time, among the
 * nearest on either side; -1 when there is none. */
static int32_t find_open(struct kv_infer *f, int64_t wanted_ns, int64_t context_tokens_max)
{
    const struct kv_open_session *at = f->open.at;
    int32_t middle = search_time(f, wanted_ns);
    int32_t back = pass_gaps(f, middle - 1, BACK), on = pass_gaps(f, middle, ON);
    int32_t left_back = KV_INFER_NEIGHBOURS, left_on = KV_INFER_NEIGHBOURS;
    for (;;) {
        bool has_back = back >= f->first && left_back > 0;
        bool has_on = on < (int32_t)f->open.count && left_on > 0;
        if (!has_back && !has_on) return -1;
        if (has_back && (!has_on || wanted_ns - at[back].last_ns <= at[on].last_ns - wanted_ns)) {
            if (at[back].session.context_tokens <= context_tokens_max) return back;
            back = pass_gaps(f, back - 1, BACK);
            left_back--;
        } else {
            if (at[on].session.context_tokens <= context_tokens_max) return on;
            on = pass_gaps(f, on + 1, ON);
            left_on--;
        }
    }
}

struct kv_session *kv_infer_session(struct kv_infer *f, struct kv_sessions *s, int64_t row, int64_t time_ns,
                                    struct kv_request *request)
{
    struct kv_rng rng;
    gsl_rng *draw = kv_rng_at(&rng, f->seed, f->draw_stream, (uint64_t)row);
    bool continues = gsl_rng_uniform(draw) < f->continue_frac;
    bool extends = gsl_rng_uniform(draw) < f->extends_frac;
    int32_t place = -1;
    forget_old(f, time_ns);
    if (continues) {
        /* Cut, not redrawn: median and p90 stay those of the law as long as the window is longer. */
        double gap_ns = fmin(1e9 * gsl_ran_lognormal(draw, f->gap_mu, f->gap_sigma), (double)f->window_ns);
        place = find_open(f, time_ns - llround(gap_ns), extends ? request->input_tokens : INT64_MAX);
    }
    struct kv_session session = place >= 0 ? take_out(f, place)
                                           : kv_sessions_number(s, kv_mix64_pair(f->text_stream,
                                                                                 (uint64_t)f->sessions++));
    f->rows++;
    kv_session_join(&session, request);
    kv_sessions_grow(s, &session, request, extends);
    put_last(f, &session, time_ns);
    return &f->open.at[f->open.count - 1].session;
}
