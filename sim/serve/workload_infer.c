/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "sim/serve/workload_parts.h"

void kv_infer_open(struct kv_infer *f, const struct kv_infer_config *config, uint64_t seed)
{
    if (!config->on) return;
    f->seed = seed;
    f->draw_stream = kv_stream("workload.infer");
    f->text_stream = kv_stream("workload.infer_text");
    f->continue_frac = 1 - 1 / config->turns_mean;
    f->extends_frac = config->extends_frac;
    f->window_ns = llround(config->window_s * 1e9);
}

/* Place of the last active open session with at most that much context; -1 when there is none. Before one that is
 * too old there are only older ones. */
static int32_t find_open(const struct kv_infer *f, int64_t time_ns, int64_t context_tokens_max)
{
    for (int32_t i = f->count - 1; i >= 0 && time_ns - f->open[i].last_ns <= f->window_ns; i--)
        if (f->open[i].session.context_tokens <= context_tokens_max) return i;
    return -1;
}

/* Takes the session out of the list, so that it can be put at the end. */
static struct kv_session take_out(struct kv_infer *f, int32_t place)
{
    struct kv_session session = f->open[place].session;
    f->count--;
    memmove(&f->open[place], &f->open[place + 1], (size_t)(f->count - place) * sizeof *f->open);
    return session;
}

struct kv_session *kv_infer_session(struct kv_infer *f, struct kv_sessions *s, int64_t row, int64_t time_ns,
                                    struct kv_request *request)
{
    struct kv_rng rng;
    gsl_rng *draw = kv_rng_at(&rng, f->seed, f->draw_stream, (uint64_t)row);
    bool continues = gsl_rng_uniform(draw) < f->continue_frac;
    bool extends = gsl_rng_uniform(draw) < f->extends_frac;
    int32_t place = continues ? find_open(f, time_ns, extends ? request->input_tokens : INT64_MAX) : -1;
    struct kv_session session;
    if (place >= 0) {
        session = take_out(f, place);
    } else {
        if (f->count == KV_INFER_OPEN_MAX) take_out(f, 0);   /* forgotten: nobody continues it any more */
        session = kv_sessions_number(s, kv_mix64_pair(f->text_stream, (uint64_t)f->sessions++));
    }
    f->rows++;
    kv_session_join(&session, request);
    kv_sessions_grow(s, &session, request, extends);
    struct kv_open_session *last = &f->open[f->count++];
    *last = (struct kv_open_session){session, time_ns};
    return &last->session;
}
