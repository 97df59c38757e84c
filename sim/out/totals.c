/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/totals.h"

#include <math.h>
#include <string.h>

#include "sim/lib/kvsize.h"
#include "sim/out/results.h"

/* What the columns of a tier are made of. Tokens are those of measured requests, as in /summary; all other numbers
 * are of the whole run. */
struct tier {
    int32_t index;
    const struct kv_results *r;
    const struct kv_tier_config *config;      /* of the first tier: nothing but zeros */
    const struct kv_tier_counters *c;
    const struct kv_tier_view *view;
    int64_t asked, hits;
    double read_useful, written_useful;       /* bytes */
};

/* INT, REAL; name, value of tier t, units, meaning. The first eight columns are those of schema 1.0. */
#define TIER_COLUMNS(X) \
    X(INT, capacity_blocks, t->index ? 0 : hbm_blocks(t), "1", "KV blocks of all instances") \
    X(INT, block_bytes, t->index ? 0 : t->r->info.scenario->hbm.block_bytes, "B", "bytes of a KV block on one GPU") \
    X(INT, hit_tokens, t->hits, "token", "prompt tokens served to measured requests") \
    X(REAL, hit_ratio_token, share(t->hits, t->r->summary.prompt_tokens), "1", "of all their prompt tokens") \
    X(REAL, hit_ratio_token_cond, share(t->hits, t->asked), "1", "of the tokens not found in the tiers above") \
    X(INT, blocks_allocated, t->index ? 0 : t->r->end.counters.blocks_allocated, "1", "KV blocks taken in the run") \
    X(INT, blocks_evicted, t->index ? 0 : t->r->end.counters.blocks_evicted, "1", "KV blocks evicted in the run") \
    X(INT, asked_tokens, t->asked, "token", "prompt tokens of measured requests not found in the tiers above") \
    X(INT, pools, t->index ? t->r->end.tier[t->index].pools : instances(t), "1", "pools that the tier is made of") \
    X(INT, capacity_chunks, t->r->plant.capacity[t->index], "1", \
      "chunks of all pools, of the first tier blocks; -1: unlimited") \
    X(INT, chunk_tokens, chunk_tokens(t), "token", "tokens of a chunk, of the first tier of a block") \
    X(REAL, used_chunks_mean, t->view->used_mean, "1", "chunks held, of the first tier blocks, mean over time") \
    X(REAL, used_chunks_peak, t->view->used_peak, "1", "chunks held, of the first tier blocks, highest bin") \
    X(REAL, occupancy_mean, t->view->occupancy_mean, "1", "share of the tier that holds something, mean over time") \
    X(REAL, occupancy_peak, t->view->occupancy_peak, "1", "share of the tier that holds something, highest bin") \
    X(INT, read_bytes, t->c->read_bytes, "B", "bytes delivered from the tier, those of no use included") \
    X(INT, written_bytes, t->c->written_bytes, "B", "bytes delivered to the tier, those of no use included") \
    X(INT, wasted_bytes, t->c->wasted_bytes, "B", "of both: moved for accesses that were cancelled") \
    X(REAL, read_amplification, t->index ? ratio((double)t->c->read_bytes, t->read_useful) : (double)NAN, "1", \
      "bytes read over the bytes of the tokens that were used") \
    X(REAL, write_amplification, ratio((double)t->c->written_bytes, t->written_useful), "1", \
      "bytes written over the bytes of the chunks that could be found afterwards") \
    X(INT, accesses, t->c->accesses, "1", "reads and writes begun") \
    X(INT, waited_accesses, t->c->waited_accesses, "1", "of them: those that waited for their turn") \
    X(INT, inserted_chunks, t->index ? t->c->inserted_chunks : -1, "1", \
      "chunks that came in; not counted of the first") \
    X(INT, filled_chunks, t->index ? t->c->filled_chunks : -1, "1", "of them: by fetches from the tiers below") \
    X(INT, evicted_chunks, t->index ? t->c->evicted_chunks : t->r->end.counters.blocks_evicted, "1", \
      "chunks evicted, of the first tier cached KV blocks") \
    X(INT, dropped_chunks, t->c->dropped_chunks, "1", "chunks not written for want of room") \
    X(INT, refused_chunks, t->c->refused_chunks, "1", "chunks that the admission policy did not let in") \
    X(REAL, saved, kv_tick_to_s(t->c->saved_tk), "s", "time of computing saved by what was found here, estimated") \
    X(INT, resident_chunks, t->c->resident_chunks, "1", "chunks that requests brought with them") \
    X(INT, refused_accesses, t->c->refused_accesses, "1", "answers 503 of the store; an access may get several") \
    X(INT, read_requests, t->c->read_requests, "1", "requests that reads were made of") \
    X(INT, write_requests, t->c->write_requests, "1", "requests that writes were made of") \
    X(REAL, requests_cost, requests_usd(t), "USD", "price of these requests; none if the store charges nothing") \
    X(REAL, storage_cost, storage_usd(t), "USD", "price of what was held, over the time of the run")

/* Value of link k with view v. */
#define LINK_COLUMNS(X) \
    X(REAL, capacity, k->capacity_Bps, "B/s", "what it can carry") \
    X(INT, bytes, k->carried_bytes, "B", "bytes carried") \
    X(REAL, utilization_mean, ratio((double)k->carried_bytes, k->capacity_Bps * end_s), "1", \
      "bytes carried, of those it could have") \
    X(REAL, utilization_peak, v->util_peak, "1", "the same, highest bin") \
    X(REAL, flows_mean, v->flows_mean, "1", "flows on it, those that wait included, mean over time") \
    X(REAL, flows_peak, v->flows_peak, "1", "flows on it, highest bin") \
    X(INT, flows_end, k->flows, "1", "flows on it at the end of the run")

#define INT(name_, value, units_, meaning) \
    (struct kv_fact){.name = #name_, .units = units_, .long_name = meaning, .is_int = true, .count = value}
#define REAL(name_, value, units_, meaning) \
    (struct kv_fact){.name = #name_, .units = units_, .long_name = meaning, .real = value}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : (double)NAN;
}

static double share(int64_t part, int64_t whole)
{
    return ratio((double)part, (double)whole);
}

static int64_t instances(const struct tier *t)
{
    return t->r->info.scenario->sim.instance_count;
}

static int64_t hbm_blocks(const struct tier *t)
{
    return t->r->info.scenario->sim.hbm_blocks * instances(t);
}

static int64_t chunk_tokens(const struct tier *t)
{
    return t->index ? t->config->chunk_tokens : t->r->info.scenario->sim.engine.block_tokens;
}

/* Bytes of a token over all tensor-parallel parts (docs/tiers.md, T16): as it is read, and as it is written. */
static double read_bytes_per_token(const struct kv_scenario *s)
{
    int64_t part = 0;
    if (!s->sim.read_layer_bytes) return (double)kv_bytes_per_token_per_gpu(&s->model, s->sim.tp) * s->sim.tp;
    for (int32_t l = 0; l < s->model.layers; l++) part += s->sim.read_layer_bytes[l];
    return (double)part * s->sim.tp;
}

static double written_bytes_per_token(const struct kv_scenario *s)
{
    int64_t copy = kv_bytes_per_token_per_layer_per_gpu(&s->model, 1), tp = s->sim.tp;
    return (double)((copy + tp - 1) / tp * tp) * s->model.layers;
}

/* What the store charges, if it does. */
static const struct kv_store_price *price_of(const struct tier *t)
{
    const struct kv_sim_tier_state *end = &t->r->end.tier[t->index];
    return t->index && end->priced ? &end->price : NULL;
}

static double requests_usd(const struct tier *t)
{
    const struct kv_store_price *price = price_of(t);
    if (!price) return (double)NAN;
    return (double)t->c->read_requests * price->read_request + (double)t->c->write_requests * price->write_request;
}

/* Chunks held on average, as one stored copy each; a month is a twelfth of 365.25 days. */
static double storage_usd(const struct tier *t)
{
    const struct kv_store_price *price = price_of(t);
    const struct kv_scenario *s = t->r->info.scenario;
    if (!price) return (double)NAN;
    double copy = (double)kv_bytes_per_token_per_layer_per_gpu(&s->model, 1) * s->model.layers;
    double GiB = t->view->used_mean * (double)chunk_tokens(t) * copy / 0x1p30;
    return GiB * price->GiB_month * kv_tick_to_s(t->r->end.end_tk) / (365.25 / 12 * 86400);
}

static const char *copied(struct kv_arena *arena, const char *name)
{
    return kv_arena_copy(arena, name, strlen(name));
}

static struct kv_totals make(struct kv_arena *arena, const char *what, int32_t rows, int32_t columns)
{
    struct kv_totals t = {.what = what, .rows = rows, .columns = columns};
    t.row = kv_arena_take(arena, ((size_t)rows + 1) * sizeof *t.row);
    t.fact = kv_arena_take(arena, ((size_t)rows * (size_t)columns + 1) * sizeof *t.fact);
    return t;
}

struct kv_totals kv_tier_totals(const struct kv_results *r, struct kv_arena *arena)
{
    const struct kv_scenario *s = r->info.scenario;
#define X(kind, name, value, units, meaning) +1
    struct kv_totals all = make(arena, "tier", r->plant.tier_count, 0 TIER_COLUMNS(X));
#undef X
    struct kv_fact *fact = all.fact;
    int64_t asked = r->summary.prompt_tokens;
    for (int32_t i = 0; i < all.rows; i++) {
        const struct kv_tier_counters *c = &r->end.counters.tier[i];
        struct tier at = {.index = i, .r = r, .config = &s->sim.tier[i], .c = c, .view = &r->view.tier[i],
                          .asked = asked, .hits = r->summary.by_source[i]}, *t = &at;
        at.read_useful = (double)c->hit_tokens * read_bytes_per_token(s);
        at.written_useful = (double)(c->inserted_chunks - c->filled_chunks) * (double)chunk_tokens(t)
                            * written_bytes_per_token(s);
        asked -= at.hits;
        all.row[i] = copied(arena, r->plant.tier[i]);
#define X(kind, name, value, units, meaning) *fact++ = kind(name, value, units, meaning);
        TIER_COLUMNS(X)
#undef X
    }
    return all;
}

struct kv_totals kv_link_totals(const struct kv_results *r, struct kv_arena *arena)
{
    double end_s = kv_tick_to_s(r->end.end_tk);
#define X(kind, name, value, units, meaning) +1
    struct kv_totals all = make(arena, "link", r->plant.link_count, 0 LINK_COLUMNS(X));
#undef X
    struct kv_fact *fact = all.fact;
    for (int32_t i = 0; i < all.rows; i++) {
        const struct kv_sim_link *k = &r->plant.link[i];
        const struct kv_link_view *v = &r->view.link[i];
        all.row[i] = copied(arena, k->name);
#define X(kind, name, value, units, meaning) *fact++ = kind(name, value, units, meaning);
        LINK_COLUMNS(X)
#undef X
    }
    return all;
}

const struct kv_fact *kv_totals_cell(const struct kv_totals *t, int32_t row, const char *column)
{
    for (int32_t c = 0; c < t->columns; c++) {
        const struct kv_fact *fact = &t->fact[row * t->columns + c];
        if (!strcmp(fact->name, column)) return fact;
    }
    return NULL;
}

/* A link without capacity that has flows is fuller than full. */
static double use(const struct kv_totals *links, int32_t row)
{
    double mean = kv_totals_cell(links, row, "utilization_mean")->real;
    return !isnan(mean) ? mean : kv_totals_cell(links, row, "flows_end")->count ? (double)INFINITY : -1;
}

const int32_t *kv_links_by_use(const struct kv_totals *links, int32_t most, int32_t *count, struct kv_arena *arena)
{
    int32_t *list = kv_arena_take(arena, ((size_t)most + 1) * sizeof *list);
    *count = 0;
    for (int32_t k = 0; k < links->rows; k++) {
        int32_t at = *count < most ? (*count)++ : most;
        for (; at > 0 && use(links, list[at - 1]) < use(links, k); at--) {
            if (at < most) list[at] = list[at - 1];
        }
        if (at < most) list[at] = k;
    }
    return list;
}

void kv_totals_write(struct kv_h5 *f, const struct kv_totals *t, struct kv_arena *arena)
{
    if (!t->rows) return;
    const char *group = kv_arena_text(arena, "/%ss", t->what), *scale = kv_arena_text(arena, "%s/%s", group, t->what);
    int64_t *count = kv_arena_take(arena, (size_t)t->rows * sizeof *count);
    double *real = kv_arena_take(arena, (size_t)t->rows * sizeof *real);
    kv_h5_group(f, group);
    kv_h5_texts(f, scale, kv_arena_text(arena, "%ss", t->what), t->row, t->rows);
    kv_h5_scale(f, scale, t->what);
    for (int32_t c = 0; c < t->columns; c++) {
        const struct kv_fact *first = &t->fact[c];
        for (int32_t i = 0; i < t->rows; i++) {
            count[i] = first[i * t->columns].count;
            real[i] = first[i * t->columns].real;
        }
        struct kv_h5_column_spec spec = {
            .path = kv_arena_text(arena, "%s/%s", group, first->name), .long_name = first->long_name,
            .units = first->units, .type = first->is_int ? KV_I64 : KV_F64, .fills = true, .chunk_rows = t->rows,
        };
        kv_h5_column_all(f, &spec, first->is_int ? (const void *)count : real, t->rows);
        kv_h5_attach(f, spec.path, scale, 0);
    }
}
