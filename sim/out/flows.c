/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/flows.h"

#include <math.h>
#include <string.h>

#include "sim/base/arena.h"

#define MODE_FLAGS "0=bulk 1=chunkwise 2=layerwise"
#define CUT_FLAGS "0=no 1=yes"

/* One line a column: C type, file type, name, value of a record, units, what kind of number, flags, meaning. */
#define COLUMNS(X) \
    X(int64_t, KV_I64, fetch, w->rows, "1", PLAIN, NULL, "fetch, in order of ends") \
    X(int64_t, KV_I64, request, r->request, "1", PLAIN, NULL, "request that began the load") \
    X(uint16_t, KV_U16, instance, r->instance, "1", PLAIN, NULL, "instance that it loads into") \
    X(uint8_t, KV_U8, tier, r->tier, "1", PLAIN, w->tier_flags, \
      "tier that it loads from; the first: another instance, which hands over") \
    X(uint8_t, KV_U8, mode, r->mode, "1", PLAIN, MODE_FLAGS, "delivery") \
    X(uint8_t, KV_U8, cut, r->cut, "1", PLAIN, CUT_FLAGS, "given up before its end") \
    X(int64_t, KV_I64, bytes, r->bytes, "B", PLAIN, NULL, "bytes asked for, all tensor-parallel parts") \
    X(int64_t, KV_I64, delivered_bytes, r->delivered_bytes, "B", PLAIN, NULL, "bytes delivered, all parts") \
    X(int64_t, KV_I64, begin, r->begin_tk, "s", TICKS, NULL, "the load began") \
    X(int64_t, KV_I64, granted, r->granted_tk, "s", INSTANT, NULL, "first grant of a transfer policy above 0") \
    X(int64_t, KV_I64, first_byte, r->first_tk, "s", INSTANT, NULL, "its first flow started") \
    X(int64_t, KV_I64, end, r->end_tk, "s", INSTANT, NULL, "its last byte was in, or it was cut") \
    X(double, KV_F64, grant, r->grant_Bps > 0 ? r->grant_Bps : (double)NAN, "B/s", REAL, NULL, "first grant") \
    X(double, KV_F64, limit, isinf(r->limit_Bps) ? (double)NAN : r->limit_Bps, "B/s", REAL, NULL, \
      "limit of the stream of one access") \
    X(int32_t, KV_I32, regrants, r->regrants, "1", PLAIN, NULL, "changes of the grant after the first") \
    X(int32_t, KV_I32, refused, r->refused, "1", PLAIN, NULL, "answers 503 of the store")

enum column_kind { PLAIN, REAL, TICKS, INSTANT /* ticks, -1 when it never came */ };
enum column {
#define X(ctype, type, name, value, units, kind, flags, meaning) COLUMN_##name,
    COLUMNS(X)
#undef X
    COLUMN_COUNT
};

const char *const kv_delivery_names[] = {"bulk", "chunkwise", "layerwise", NULL};

struct kv_flows {
    struct kv_arena arena;
    struct kv_h5_column *column[COLUMN_COUNT];
    char *at[COLUMN_COUNT];          /* a chunk of each */
    size_t row_bytes[COLUMN_COUNT];
    const char *tier_flags;
    int64_t rows;
};

struct kv_flows *kv_flows_open(struct kv_h5 *f, const char *const *tier, int32_t tier_count)
{
    struct kv_flows *w = kv_mem_take(sizeof *w);
    w->tier_flags = "";
    for (int32_t i = 0; i < tier_count; i++) {
        w->tier_flags = kv_arena_text(&w->arena, "%s%s%d=%s", w->tier_flags, i ? " " : "", (int)i, tier[i]);
    }
    const struct kv_h5_column_spec spec[] = {
#define X(ctype, ftype, name, value, units_, kind, flags_, meaning) \
        {.path = "/flows/" #name, .long_name = meaning, .units = units_, .type = ftype, \
         .ticks = kind == TICKS || kind == INSTANT, .fills = kind == REAL || kind == INSTANT, .flags = flags_},
        COLUMNS(X)
#undef X
    };
    kv_h5_group(f, "/flows");
    for (int32_t i = 0; i < COLUMN_COUNT; i++) {
        w->row_bytes[i] = kv_h5_type_bytes(spec[i].type);
        w->at[i] = kv_arena_take(&w->arena, w->row_bytes[i] * KV_H5_CHUNK_ROWS);
        w->column[i] = kv_h5_column_open(f, &spec[i]);
        if (i == COLUMN_fetch) kv_h5_scale(f, "/flows/fetch", "fetch");
        else kv_h5_attach(f, spec[i].path, "/flows/fetch", 0);
    }
    return w;
}

static void write_chunk(struct kv_flows *w, int64_t chunk, int32_t rows)
{
    for (int32_t i = 0; i < COLUMN_COUNT; i++) kv_h5_column_write(w->column[i], chunk, w->at[i], rows);
}

void kv_flows_add(struct kv_flows *w, const struct kv_fetch_record *r)
{
    int32_t row = (int32_t)(w->rows % KV_H5_CHUNK_ROWS);
#define X(ctype, ftype, name, value, units, kind, flags, meaning) ((ctype *)(void *)w->at[COLUMN_##name])[row] = value;
    COLUMNS(X)
#undef X
    w->rows++;
    if (row == KV_H5_CHUNK_ROWS - 1) write_chunk(w, (w->rows - 1) / KV_H5_CHUNK_ROWS, KV_H5_CHUNK_ROWS);
}

void kv_flows_end(struct kv_flows *w)
{
    int32_t rest = (int32_t)(w->rows % KV_H5_CHUNK_ROWS);
    for (int32_t i = 0; i < COLUMN_COUNT && rest; i++) kv_h5_clear_rest(w->at[i], w->row_bytes[i], rest);
    if (rest) write_chunk(w, w->rows / KV_H5_CHUNK_ROWS, rest);
    for (int32_t i = 0; i < COLUMN_COUNT; i++) kv_h5_column_close(w->column[i]);
}

void kv_flows_close(struct kv_flows *w)
{
    if (!w) return;
    kv_arena_close(&w->arena);
    kv_mem_give(w, sizeof *w);
}
