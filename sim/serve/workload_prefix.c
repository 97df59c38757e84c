/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "sim/lib/hash.h"
#include "sim/serve/workload_parts.h"

void kv_sessions_open(struct kv_sessions *s)
{
    kv_map_open(&s->number_of, 1024);
}

void kv_sessions_close(struct kv_sessions *s)
{
    kv_map_close(&s->number_of);
    kv_vec_close(&s->session);
}

struct kv_session kv_sessions_number(struct kv_sessions *s, uint64_t hash)
{
    return (struct kv_session){.hash = hash, .context_tokens = -1, .number = ++s->count};
}

void kv_session_join(struct kv_session *session, struct kv_request *request)
{
    request->session = session->number;
    request->turn = (uint16_t)(session->turns < UINT16_MAX ? session->turns : UINT16_MAX);
    session->turns++;
}

/* Place of the session of that hash; a new one is left for the caller to push. */
static uint32_t place_of(struct kv_sessions *s, uint64_t hash, bool *fresh)
{
    uint32_t index = kv_map_get(&s->number_of, hash);
    *fresh = index == KV_NONE;
    if (*fresh) kv_map_put(&s->number_of, hash, index = (uint32_t)s->session.count);
    return index;
}

struct kv_session *kv_sessions_find(struct kv_sessions *s, const char *text, struct kv_request *request)
{
    bool fresh;
    uint64_t hash = kv_hash_text(text);
    uint32_t index = place_of(s, hash, &fresh);
    if (fresh) kv_vec_push(&s->session, kv_sessions_number(s, hash));
    struct kv_session *session = &s->session.at[index];
    kv_session_join(session, request);
    return session;
}

struct kv_session *kv_sessions_branch(struct kv_sessions *s, uint64_t session_hash, uint32_t branch)
{
    bool fresh;
    uint64_t hash = kv_mix64_pair(session_hash, branch);
    uint32_t index = place_of(s, hash, &fresh);
    struct kv_session line = {.hash = hash, .context_tokens = -1};
    if (fresh) kv_vec_push(&s->session, line);
    return &s->session.at[index];
}

void kv_sessions_turn(struct kv_sessions *s, struct kv_session *session, const struct kv_request *request)
{
    kv_sessions_grow(s, session, request, request->input_tokens >= session->context_tokens);
}

void kv_sessions_grow(struct kv_sessions *s, struct kv_session *session, const struct kv_request *request,
                      bool extends)
{
    if (session->context_tokens >= 0) {
        s->extending += extends;
        s->not_extending += !extends;
        session->version += !extends;
    }
    session->context_tokens = (int64_t)request->input_tokens + request->output_tokens;
}

/* Tokens of a session that all its versions share have a stream of their own, number 0; version v has v + 1. */
struct kv_prefix kv_sessions_prefix(const struct kv_session *session, const struct kv_request *request,
                                    int64_t system_tokens)
{
    return (struct kv_prefix){
        .shared_stream = kv_mix64_pair(session->hash, 0),
        .own_stream = kv_mix64_pair(session->hash, (uint64_t)session->version + 1),
        .shared_tokens = (int32_t)system_tokens,
        .known_tokens = request->input_tokens + request->output_tokens,
    };
}

void kv_system_prompts_open(struct kv_system_prompts *p, const struct kv_workload_config *config, uint64_t seed)
{
    p->count = config->system_prompts.count;
    p->tokens = config->system_prompts.tokens;
    p->seed = seed;
    p->draw_stream = kv_stream("workload.system_prompt");
    p->text_stream = kv_stream("workload.system_prompt_text");
    if (p->count <= 0) return;
    p->cumulated = kv_mem_take((size_t)p->count * sizeof *p->cumulated);
    double sum = 0;
    for (int64_t k = 0; k < p->count; k++) {
        sum += pow((double)(k + 1), -config->system_prompts.zipf);
        p->cumulated[k] = sum;
    }
}

void kv_system_prompts_close(struct kv_system_prompts *p)
{
    if (p->cumulated) kv_mem_give(p->cumulated, (size_t)p->count * sizeof *p->cumulated);
}

struct kv_prefix kv_system_prompts_prefix(const struct kv_system_prompts *p, int64_t row, int32_t input_tokens)
{
    struct kv_rng rng;
    double u = gsl_rng_uniform(kv_rng_at(&rng, p->seed, p->draw_stream, (uint64_t)row));
    double wanted = u * p->cumulated[p->count - 1];
    int64_t low = 0, high = p->count - 1;   /* the first k with cumulated[k] > wanted */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (p->cumulated[middle] > wanted) high = middle;
        else low = middle + 1;
    }
    int32_t shared = p->tokens < input_tokens ? (int32_t)p->tokens : input_tokens;
    return (struct kv_prefix){.shared_stream = kv_mix64_pair(p->text_stream, (uint64_t)low),
                              .shared_tokens = shared, .known_tokens = shared};
}
