/* SPDX-License-Identifier: Apache-2.0 */
/* From a prefill instance to a decode instance: T27 to T30. Seat 2i of request i is at the former, 2i + 1 at the
 * latter. */
#include <string.h>

#include "tests/oracle/naive_parts.h"

static bool layerwise(const struct oracle *o)
{
    return o->config->handover.push == KV_PUSH_LAYERWISE;
}

static bool reserves_first(const struct oracle *o)
{
    return o->config->handover.reserve == KV_RESERVE_AT_ROUTE;
}

static int64_t tokens_of(const struct oracle *o, const struct load *load)
{
    return o->jobs[load->job].request->input_tokens - load->first_token;
}

/* The delay, and behind it the flow of what is permitted. */
static void begin_flow(struct oracle *o, struct load *load, bool permitted)
{
    struct access *a = kv_arena_take(&o->arena, sizeof *a);
    int64_t bytes = tokens_of(o, load) * naive_read_bytes(o, o->layers);
    *a = (struct access){.load = load, .bytes = bytes, .permitted = permitted ? bytes : 0};
    naive_handover_path(o, o->seats[load->source].instance, load->instance, &a->path);
    load->flow = a;
    naive_handover_flow(o, a);
}

/* As at a finish: `write: back` proposes the prompt, too. */
static void release_prefill(struct oracle *o, int64_t seat)
{
    naive_propose_back(o, seat);
    naive_release(o, seat, true);
    naive_wake_blocked(o, o->seats[seat].instance);
}

/* --- What the decode instance does --- */

void naive_handover_held(struct oracle *o, int64_t seat, struct load *load)
{
    int64_t prefill = seat - 1;
    struct seat *s = &o->seats[seat];
    if (load) {
        load->source = prefill;
        load->first_token = s->computed;
        load->reached = kv_arena_take(&o->arena, (size_t)o->layers * sizeof *load->reached);
    }
    if (reserves_first(o)) {
        s->prompt_due = true;
        o->seats[prefill].push = load;
        naive_enqueue(o, prefill);
    } else if (load) {
        begin_flow(o, load, true);
    } else {
        release_prefill(o, prefill);
    }
}

/* The last byte is in. */
void naive_handover_over(struct oracle *o, struct load *load)
{
    naive_count_read(o, load, 0, load->flow->bytes);
    o->seats[load->owner].computed = o->jobs[load->job].request->input_tokens;
    /* A push may be through before the step that computes the end of the prompt has ended. */
    if (!o->seats[load->owner].prompt_due) release_prefill(o, load->source);
}

/* --- What the prefill instance does --- */

/* The prompt is computed, the first token is there; the seat has left `running`. */
void naive_handover_prompt(struct oracle *o, int64_t seat)
{
    struct seat *decode = &o->seats[seat + 1];
    o->counters->handed_over++;
    if (!reserves_first(o)) {
        naive_enqueue(o, seat + 1);
        o->coverage->handed_on_arrival++;
        return;
    }
    o->coverage->handed_at_route++;
    struct load *load = o->seats[seat].push;
    decode->prompt_due = false;
    if (!load || load->over) release_prefill(o, seat);
    else if (load->flow) naive_permit(o, load->flow, load->flow->bytes);
    else begin_flow(o, load, true);
    naive_check_ready(o);
}

/* Does anything of layer `layer` go beyond what was permitted before? */
bool naive_handover_wants(const struct oracle *o, int64_t seat, int32_t layer, int64_t reached)
{
    const struct load *load = o->seats[seat].push;
    if (!load || load->over || !layerwise(o)) return false;
    int64_t before = load->reached[layer] > load->first_token ? load->reached[layer] : load->first_token;
    int64_t input = o->jobs[load->job].request->input_tokens;
    return (reached < input ? reached : input) > before;
}

void naive_handover_step(struct oracle *o, int64_t seat)
{
    struct load *load = o->seats[seat].push;
    if (load && !load->flow && layerwise(o)) begin_flow(o, load, false);
}

/* Layer `layer` of the prompt has been computed up to position `reached`. */
void naive_handover_layer(struct oracle *o, int64_t seat, int32_t layer, int64_t reached)
{
    if (!naive_handover_wants(o, seat, layer, reached)) return;
    struct load *load = o->seats[seat].push;
    load->reached[layer] = reached;
    int64_t permitted = 0;
    for (int32_t l = 0; l < o->layers; l++) {
        int64_t tokens = load->reached[l] - load->first_token;
        if (tokens > tokens_of(o, load)) tokens = tokens_of(o, load);
        if (tokens > 0) permitted += tokens * (naive_read_bytes(o, l + 1) - naive_read_bytes(o, l));
    }
    o->coverage->pushed_layers++;
    naive_permit(o, load->flow, permitted);
}
