/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/bins.h"

#include <math.h>
#include <string.h>

#include "sim/base/arena.h"

/* What the rows of a chunk may take in one column: with thousands of links a chunk has fewer of them. */
#define CHUNK_BYTES_MAX (4 << 20)
#define CHUNK_ROWS_MIN 64

/* C type, file type, name, value of bin b of `span` seconds, units, time in ticks?, meaning. */
#define COLUMNS(X) \
    X(int64_t, KV_I64, time, b->start_tk, "s", true, "start of the bin") \
    X(int64_t, KV_I64, time_end, b->end_tk, "s", true, "end of the bin") \
    X(int64_t, KV_I64, samples, b->samples, "1", false, "readings behind the gauges of the bin") \
    X(double, KV_F64, queue_depth, kv_bin_gauge(b, b->waiting), "1", false, "waiting requests, mean") \
    X(double, KV_F64, running_seqs, kv_bin_gauge(b, b->running), "1", false, "running requests, mean") \
    X(double, KV_F64, fetching_seqs, kv_bin_gauge(b, b->fetching), "1", false, \
      "requests that wait for their KV, mean") \
    X(double, KV_F64, active_blocks, kv_bin_gauge(b, b->active_blocks), "1", false, "KV blocks in use, mean") \
    X(double, KV_F64, inactive_blocks, kv_bin_gauge(b, b->inactive_blocks), "1", false, \
      "cached, evictable KV blocks, mean") \
    X(double, KV_F64, free_blocks, kv_bin_gauge(b, b->free_blocks), "1", false, "free KV blocks, mean") \
    X(int64_t, KV_I64, injected, b->grown.injected, "1", false, "requests injected") \
    X(int64_t, KV_I64, finished, b->grown.finished, "1", false, "requests finished") \
    X(int64_t, KV_I64, rejected, b->grown.rejected, "1", false, "requests rejected") \
    X(int64_t, KV_I64, failed, b->grown.failed, "1", false, "failed rows of the trace") \
    X(int64_t, KV_I64, steps, b->grown.steps, "1", false, "engine steps") \
    X(double, KV_F64, batch_tokens, batch_tokens(b), "token", false, "tokens computed in a step, mean") \
    X(int64_t, KV_I64, prefill_tokens, b->grown.prefill_tokens, "token", false, "prompt tokens computed") \
    X(int64_t, KV_I64, decode_tokens, b->grown.decode_tokens, "token", false, "tokens computed one by one") \
    X(double, KV_F64, prefill_tokens_per_s, rate(b, b->grown.prefill_tokens), "token/s", false, \
      "prompt tokens computed a second") \
    X(double, KV_F64, decode_tokens_per_s, rate(b, b->grown.decode_tokens), "token/s", false, \
      "tokens computed one by one a second") \
    X(int64_t, KV_I64, prompt_tokens, b->grown.prompt_tokens, "token", false, "prompt tokens of admitted requests") \
    X(int64_t, KV_I64, recomputed_tokens, b->grown.recomputed_tokens, "token", false, \
      "tokens computed again after preemptions") \
    X(int64_t, KV_I64, preemptions, b->grown.preemptions, "1", false, "preemptions") \
    X(int64_t, KV_I64, blocks_allocated, b->grown.blocks_allocated, "1", false, "KV blocks taken") \
    X(int64_t, KV_I64, blocks_freed, b->grown.blocks_freed, "1", false, "KV blocks that lost their last reference") \
    X(int64_t, KV_I64, fetches, b->grown.fetches, "1", false, "loads begun") \
    X(int64_t, KV_I64, delayed_hits, b->grown.delayed_hits, "1", false, \
      "requests that waited for the load of another request") \
    X(int64_t, KV_I64, fetch_timeouts, b->grown.fetch_timeouts, "1", false, "loads cut short by the fetch policy") \
    X(int64_t, KV_I64, fetch_cancels, b->grown.fetch_cancels, "1", false, "loads given up before their end") \
    X(int64_t, KV_I64, given_back, b->grown.given_back, "1", false, "requests that gave fetched blocks back") \
    X(int64_t, KV_I64, handed_over, b->grown.handed_over, "1", false, \
      "requests that went on to a decode instance") \
    X(int64_t, KV_I64, fetch_stall, b->grown.fetch_stall_tk, "s", true, \
      "time that requests waited only for their own KV, sum") \
    X(int64_t, KV_I64, induced_stall, b->grown.induced_stall_tk, "s", true, \
      "time that requests waited for the layers of others in their steps, sum")

/* C type, file type, name, value in bin b with counters c and gauges g of a tier, units, meaning. */
#define TIER_COLUMNS(X) \
    X(double, KV_F64, tier_occupancy, g.share, "1", "share of the tier that holds something, mean; none if unlimited") \
    X(double, KV_F64, tier_active, g.active, "1", "chunks that cannot be evicted, of the first tier blocks, mean") \
    X(double, KV_F64, tier_inactive, g.inactive, "1", "chunks that can be evicted, of the first tier blocks, mean") \
    X(double, KV_F64, tier_free, g.free, "1", "room for chunks, of the first tier blocks, mean; none if unlimited") \
    X(int64_t, KV_I64, tier_asked_tokens, c->asked_tokens, "token", \
      "prompt tokens of admitted requests not found in the tiers above") \
    X(int64_t, KV_I64, tier_hits_tokens, c->hit_tokens, "token", \
      "prompt tokens of admitted requests found in the tier") \
    X(int64_t, KV_I64, tier_evictions, t ? c->evicted_chunks : b->grown.blocks_evicted, "1", \
      "chunks evicted from the tier, of the first tier cached KV blocks") \
    X(int64_t, KV_I64, tier_read_bytes, c->read_bytes, "B", "bytes delivered from the tier") \
    X(int64_t, KV_I64, tier_written_bytes, c->written_bytes, "B", "bytes delivered to the tier") \
    X(int64_t, KV_I64, tier_accesses, c->accesses, "1", "reads and writes begun") \
    X(int64_t, KV_I64, tier_waited_accesses, c->waited_accesses, "1", "of them: those that waited for their turn") \
    X(double, KV_F64, tier_waiting_accesses, kv_bin_gauge(b, b->tier_waiting[t]), "1", \
      "accesses in line for their turn, mean") \
    X(int64_t, KV_I64, tier_dropped_chunks, c->dropped_chunks, "1", "chunks not written for want of room")

enum column {
#define X(ctype, ftype, name, value, units, ticks, meaning) COLUMN_##name,
    COLUMNS(X)
#undef X
#define X(ctype, ftype, name, value, units, meaning) COLUMN_##name,
    TIER_COLUMNS(X)
#undef X
    COLUMN_gpu_util, COLUMN_link_bytes, COLUMN_link_util, COLUMN_link_flows, COLUMN_COUNT
};

double kv_bin_gauge(const struct kv_bin *b, double sum)
{
    return b->samples ? sum / (double)b->samples : (double)NAN;
}

struct kv_tier_gauge kv_bin_tier(const struct kv_plant *plant, const struct kv_bin *b, int32_t tier)
{
    double room = plant->capacity[tier] < 0 ? (double)NAN : (double)plant->capacity[tier];
    double active = kv_bin_gauge(b, tier ? b->tier_pinned[tier] : b->active_blocks);
    double held = kv_bin_gauge(b, tier ? b->tier_used[tier] : b->active_blocks + b->inactive_blocks);
    return (struct kv_tier_gauge){active, held - active, room - held, room > 0 ? held / room : (double)NAN};
}

static double rate(const struct kv_bin *b, int64_t grown)
{
    return b->end_tk > b->start_tk ? (double)grown / kv_tick_to_s(b->end_tk - b->start_tk) : (double)NAN;
}

/* A bin without steps has no batch. */
static double batch_tokens(const struct kv_bin *b)
{
    double tokens = (double)(b->grown.prefill_tokens + b->grown.decode_tokens);
    return b->grown.steps ? tokens / (double)b->grown.steps : (double)NAN;
}

/* ---- writing ---- */

struct writer {
    const struct kv_bins *bins;
    const struct kv_plant *plant;
    int32_t columns;             /* without links their columns, the last ones, are left out */
    struct kv_h5_column *column[COLUMN_COUNT];
    char *at[COLUMN_COUNT];
    size_t row_bytes[COLUMN_COUNT];
    int32_t chunk_rows;
    int64_t *before;             /* busy time of instances and bytes of links at the end of the bin before */
};

static void *cell(const struct writer *w, enum column column, int32_t row)
{
    return w->at[column] + w->row_bytes[column] * (size_t)row;
}

static void put_tiers(struct writer *w, const struct kv_bin *b, int32_t row)
{
    for (int32_t t = 0; t < w->plant->tier_count; t++) {
        const struct kv_tier_counters *c = &b->grown.tier[t];
        struct kv_tier_gauge g = kv_bin_tier(w->plant, b, t);
#define X(ctype, ftype, name, value, units, meaning) ((ctype *)cell(w, COLUMN_##name, row))[t] = value;
        TIER_COLUMNS(X)
#undef X
    }
}

/* What totals have grown by in this bin. */
static int64_t grown(int64_t *before, int64_t now)
{
    int64_t by = now - *before;
    *before = now;
    return by;
}

static void put_wide(struct writer *w, const struct kv_bin *b, int32_t row)
{
    double span_tk = (double)(b->end_tk - b->start_tk), *gpu_util = cell(w, COLUMN_gpu_util, row);
    int64_t *before = w->before;
    for (int32_t i = 0; i < w->plant->instance_count; i++) {
        double busy_tk = (double)grown(before++, b->busy_tk[i]);
        gpu_util[i] = span_tk > 0 ? busy_tk / span_tk : (double)NAN;
    }
    if (!w->plant->link_count) return;
    int64_t *bytes = cell(w, COLUMN_link_bytes, row);
    double *util = cell(w, COLUMN_link_util, row), *flows = cell(w, COLUMN_link_flows, row);
    for (int32_t k = 0; k < w->plant->link_count; k++) {
        double room = w->plant->link[k].capacity_Bps * kv_tick_to_s(b->end_tk - b->start_tk);
        bytes[k] = grown(before++, b->link_bytes[k]);
        util[k] = room > 0 ? (double)bytes[k] / room : (double)NAN;
        flows[k] = kv_bin_gauge(b, (double)b->link_flows[k]);
    }
}

static void put_bin(struct writer *w, const struct kv_bin *b, int32_t row)
{
#define X(ctype, ftype, name, value, units, ticks, meaning) ((ctype *)(void *)w->at[COLUMN_##name])[row] = value;
    COLUMNS(X)
#undef X
    put_tiers(w, b, row);
    put_wide(w, b, row);
}

static void write_bins(struct writer *w)
{
    struct kv_bin bin;
    int32_t count = w->bins->count, rows = w->chunk_rows;
    for (int32_t first = 0, chunk = 0; first < count; first += rows, chunk++) {
        int32_t here = count - first < rows ? count - first : rows;
        for (int32_t row = 0; row < here; row++) {
            w->bins->read(w->bins->state, first + row, &bin);
            put_bin(w, &bin, row);
        }
        for (int32_t i = 0; i < w->columns; i++) {
            memset(w->at[i] + w->row_bytes[i] * (size_t)here, 0, w->row_bytes[i] * (size_t)(rows - here));
            kv_h5_column_write(w->column[i], chunk, w->at[i], here);
        }
    }
}

/* Scales of the second dimensions. */
static void write_scales(struct kv_h5 *f, const struct kv_plant *plant)
{
    struct kv_arena scratch = {0};
    int32_t count = plant->instance_count, *id = kv_arena_take(&scratch, (size_t)count * sizeof *id);
    for (int32_t i = 0; i < count; i++) id[i] = i;
    struct kv_h5_column_spec spec = {.path = "/timeseries/instance", .long_name = "instance", .units = "1",
                                     .type = KV_I32, .chunk_rows = count};
    kv_h5_column_all(f, &spec, id, count);
    kv_h5_scale(f, spec.path, "instance");
    kv_h5_texts(f, "/timeseries/tier", "tiers, from the fastest", plant->tier, plant->tier_count);
    kv_h5_scale(f, "/timeseries/tier", "tier");
    if (plant->link_count) {
        const char **name = kv_arena_take(&scratch, (size_t)plant->link_count * sizeof *name);
        for (int32_t k = 0; k < plant->link_count; k++) name[k] = plant->link[k].name;
        kv_h5_texts(f, "/timeseries/link", "links, one a direction", name, plant->link_count);
        kv_h5_scale(f, "/timeseries/link", "link");
    }
    kv_arena_close(&scratch);
}

static void attach_scales(struct kv_h5 *f, const struct kv_h5_column_spec *spec, int32_t columns)
{
    kv_h5_scale(f, "/timeseries/time", "time");
    for (int32_t i = COLUMN_time + 1; i < columns; i++) kv_h5_attach(f, spec[i].path, "/timeseries/time", 0);
    for (int32_t i = COLUMN_tier_occupancy; i < columns; i++) {
        const char *scale = i < COLUMN_gpu_util ? "/timeseries/tier"
                          : i < COLUMN_link_bytes ? "/timeseries/instance" : "/timeseries/link";
        kv_h5_attach(f, spec[i].path, scale, 1);
    }
}

static int32_t rows_of_a_chunk(const struct kv_bins *bins)
{
    const struct kv_plant *plant = bins->plant;
    int32_t widest = plant->instance_count > plant->link_count ? plant->instance_count : plant->link_count;
    int32_t rows = bins->count < KV_H5_CHUNK_ROWS ? bins->count : KV_H5_CHUNK_ROWS;
    while (rows > CHUNK_ROWS_MIN && (int64_t)rows * widest * 8 > CHUNK_BYTES_MAX) rows = (rows + 1) / 2;
    return rows;
}

void kv_bins_write(struct kv_h5 *f, const struct kv_bins *bins)
{
    const struct kv_plant *plant = bins->plant;
    if (!bins->count) return;
    kv_h5_group(f, "/timeseries");
    int32_t rows = rows_of_a_chunk(bins);
    const struct kv_h5_column_spec spec[] = {
#define X(ctype, ftype, name, value, units_, ticks_, meaning) \
        {.path = "/timeseries/" #name, .long_name = meaning, .units = units_, .type = ftype, .ticks = ticks_, \
         .fills = ftype == KV_F64, .chunk_rows = rows},
        COLUMNS(X)
#undef X
#define X(ctype, ftype, name, value, units_, meaning) \
        {.path = "/timeseries/" #name, .long_name = meaning, .units = units_, .type = ftype, \
         .fills = ftype == KV_F64, .width = plant->tier_count, .chunk_rows = rows},
        TIER_COLUMNS(X)
#undef X
        {.path = "/timeseries/gpu_util", .long_name = "share of the bin that an instance was busy", .units = "1",
         .type = KV_F64, .fills = true, .width = plant->instance_count, .chunk_rows = rows},
        {.path = "/timeseries/link_bytes", .long_name = "bytes that a link carried", .units = "B", .type = KV_I64,
         .width = plant->link_count, .chunk_rows = rows},
        {.path = "/timeseries/link_util", .long_name = "bytes that a link carried, of those it could have",
         .units = "1", .type = KV_F64, .fills = true, .width = plant->link_count, .chunk_rows = rows},
        {.path = "/timeseries/link_flows", .long_name = "flows on a link, those that wait included, mean",
         .units = "1", .type = KV_F64, .fills = true, .width = plant->link_count, .chunk_rows = rows},
    };
    struct writer w = {.bins = bins, .plant = plant, .chunk_rows = rows,
                       .columns = plant->link_count ? COLUMN_COUNT : COLUMN_link_bytes};
    size_t totals = (size_t)(plant->instance_count + plant->link_count);
    for (int32_t i = 0; i < w.columns; i++) {
        w.column[i] = kv_h5_column_open(f, &spec[i]);
        w.row_bytes[i] = kv_h5_type_bytes(spec[i].type) * (size_t)(spec[i].width ? spec[i].width : 1);
        w.at[i] = kv_mem_take(w.row_bytes[i] * (size_t)rows);
    }
    write_scales(f, plant);
    attach_scales(f, spec, w.columns);
    w.before = kv_mem_take(totals * sizeof *w.before);
    write_bins(&w);
    kv_mem_give(w.before, totals * sizeof *w.before);
    for (int32_t i = 0; i < w.columns; i++) {
        kv_h5_column_close(w.column[i]);
        kv_mem_give(w.at[i], w.row_bytes[i] * (size_t)rows);
    }
}
