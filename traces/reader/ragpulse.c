/* SPDX-License-Identifier: Apache-2.0 */
/* RAGPulse (github.com/flashserve/RAGPulse): requests to a question-answering service, JSONL. A prompt is made of
 * components of different lengths, named by id; a table beside the trace has their lengths. In the prompt stand
 * sys_prompt, passages_ids, history, web_search, user_input, in this order, and a template of some tokens.
 *
 * An id names its text wherever it stands, but KV can be shared only behind equal beginnings. So the prompt is cut
 * into blocks, and a block's id is a hash of all components up to the one its last token belongs to: two prompts have
 * a block in common exactly when it lies inside the components with which both begin. The template is taken to stand
 * at the end: it and a last piece that fills no block have no id. */
#include <stdio.h>
#include <string.h>

#include "sim/base/map.h"
#include "sim/base/rng.h"
#include "sim/iface/reader.h"
#include "sim/lib/json_row.h"
#include "sim/lib/resort.h"
#include "sim/lib/rows.h"

#define BLOCK_TOKENS 16        /* where the engine's is not known */
#define TABLE_NAME "hash_id_token_length.csv.gz"

struct params { const char *table_path; double max_disorder_s; int64_t block_tokens; };
static const struct kv_param table[] = {
    {"lengths", KV_DIM_TEXT, offsetof(struct params, table_path), "", 0, 0, NULL,
     "CSV of hash_id and token_length; default: " TABLE_NAME " beside the trace", NULL},
    {"block_tokens", KV_DIM_TOKENS, offsetof(struct params, block_tokens), "0", 0, 1 << 20, NULL,
     "blocks to cut prompts into; 0: the engine's, or 16 where there is none", NULL},
    {"max_disorder", KV_DIM_TIME, offsetof(struct params, max_disorder_s), "5d", 0, 1e8, NULL,
     "a row may be so much earlier than one before it; rows are put in order, and so many are held",
     "the shared file begins anew after 431,769 s"},
    KV_PARAM_END,
};

enum key { TIMESTAMP, INPUT, OUTPUT, HASH_IDS, REQUIRED, SESSION = REQUIRED };
static const char *const keys[] = {"timestamp", "input_length", "output_length", "hash_ids", "session_id", NULL};
#define COMPONENTS 5
static const char *const component[] = {"sys_prompt", "passages_ids", "history", "web_search", "user_input", NULL};

/* What is kept of a row until its turn has come: followed by its parts. */
struct row {
    int64_t line, time_ns, input_tokens, output_tokens, parts;
    char session[KV_JSON_TEXT_MAX + 1];
};

struct ragpulse {
    struct params p;
    const char *trace;
    struct kv_rows rows;
    struct kv_resort resort;
    struct kv_map length_of;   /* mixed id -> tokens */
    bool has_table, ended;
    struct row row;            /* the line at hand */
    struct kv_ids list[COMPONENTS];
    KV_VEC(char) packed;       /* row and parts */
    struct kv_ids ids;         /* of the row given last */
    struct kv_reader_stats stats;
};

static bool open_file(void *state, const void *params, const struct kv_reader_env *env, struct kv_err *err)
{
    struct ragpulse *g = state;
    g->p = *(const struct params *)params;
    g->trace = env->path;
    if (g->p.block_tokens == 0) g->p.block_tokens = env->block_tokens > 0 ? env->block_tokens : BLOCK_TOKENS;
    g->resort.disorder_ns = (int64_t)(g->p.max_disorder_s * 1e9 + 0.5);
    kv_map_open(&g->length_of, 1 << 15);
    return kv_rows_open(&g->rows, env->path, !env->skip_digest, env->skip_bad_rows, err);
}

/* --- the table ------------------------------------------------------------------------------------------------ */

static const char *const table_column[] = {"hash_id", "token_length", NULL};
struct table_reading { struct ragpulse *g; struct kv_rows rows; struct kv_columns columns; };

static enum kv_row_kind read_length(void *state, struct kv_err *err)
{
    struct table_reading *t = state;
    int64_t id, tokens;
    if (!t->rows.header) return kv_columns_header(&t->columns, &t->rows, err);
    if (!kv_columns_row(&t->columns, &t->rows, err)
        || !kv_columns_whole(&t->columns, &t->rows, 0, INT64_MAX, &id, err)
        || !kv_columns_whole(&t->columns, &t->rows, 1, KV_FIELD_TOKENS_MAX, &tokens, err))
        return KV_ROW_BAD;
    uint64_t key = kv_mix64((uint64_t)id);
    if (kv_map_get(&t->g->length_of, key) != KV_NONE)
        return kv_input_fail(&t->rows.in, err, "hash_id %lld stands here twice", (long long)id), KV_ROW_BAD;
    kv_map_put(&t->g->length_of, key, (uint32_t)tokens);
    return KV_ROW_GOOD;
}

/* A table that cannot be opened is a fault of the trace, which cannot be read without it. */
static bool load_table(struct ragpulse *g, struct kv_err *err)
{
    char path[4096];
    const char *slash = strrchr(g->trace, '/');
    if (g->p.table_path[0]) snprintf(path, sizeof path, "%s", g->p.table_path);
    else snprintf(path, sizeof path, "%.*s" TABLE_NAME, slash ? (int)(slash - g->trace) + 1 : 0, g->trace);
    struct table_reading t = {.g = g, .columns = {.name = table_column, .required = 2}};
    struct kv_err why;
    bool good = kv_rows_open(&t.rows, path, false, false, &why);
    if (!good) {
        kv_input_stop(&g->rows.in, err, "the table of component lengths '%s' %s; name it by lengths=FILE", path,
                      why.text);
    } else {
        int got;
        while ((got = kv_rows_next(&t.rows, read_length, &t, err)) == 1) {}
        good = got == 0;
        if (!good) g->rows.in.failed = true;
    }
    kv_rows_close(&t.rows);
    return g->has_table = good;
}

/* --- rows ----------------------------------------------------------------------------------------------------- */

static bool read_component(void *state, struct kv_json_row *row, int32_t key)
{
    return kv_json_ids(&row->json, &((struct ragpulse *)state)->list[key]);
}
static const struct kv_json_form component_form = {component, read_component};

/* The times of the origin are texts: "82". */
static bool read_time(struct kv_json_row *row, int64_t *ns)
{
    struct kv_slice text;
    if (kv_json_kind(&row->json) != KV_JSON_TEXT) return kv_json_row_ns(row, keys[TIMESTAMP], 9, ns);
    if (!kv_json_plain_text(&row->json, &text)) return false;
    row->told = !kv_field_ns(row->in, keys[TIMESTAMP], text.text, text.length, 9, ns, row->err);
    return !row->told;
}

static bool read_value(void *state, struct kv_json_row *row, int32_t key)
{
    struct ragpulse *g = state;
    uint32_t seen;
    switch ((enum key)key) {
    case TIMESTAMP: return read_time(row, &g->row.time_ns);
    case INPUT: return kv_json_row_whole(row, keys[key], KV_FIELD_TOKENS_MAX, &g->row.input_tokens);
    case OUTPUT: return kv_json_row_whole(row, keys[key], KV_FIELD_TOKENS_MAX, &g->row.output_tokens);
    case SESSION: return kv_json_row_name(row, g->row.session);
    case HASH_IDS:
        snprintf(row->place, sizeof row->place, "hash_ids.");
        if (!kv_json_row_object(row, &component_form, g, &seen)
            || !kv_json_row_has(row, &component_form, seen, (1 << COMPONENTS) - 1)) return false;
        row->place[0] = '\0';
        return true;
    }
    return false;
}
static const struct kv_json_form form = {keys, read_value};

/* The row and its parts, one behind the other, in `packed`. */
static bool pack_row(struct ragpulse *g, struct kv_json_row *row)
{
    int64_t sum = 0;
    size_t count = 0;
    for (int c = 0; c < COMPONENTS; c++) count += g->list[c].count;
    g->packed.count = sizeof g->row + count * sizeof(struct kv_part);
    kv_vec_reserve(&g->packed, g->packed.count);
    struct kv_part *part = (struct kv_part *)(void *)(g->packed.at + sizeof g->row);
    for (int c = 0; c < COMPONENTS; c++)
        for (size_t i = 0; i < g->list[c].count; i++) {
            uint64_t id = g->list[c].at[i];
            uint32_t tokens = kv_map_get(&g->length_of, kv_mix64(id));
            if (tokens == KV_NONE)
                return kv_json_row_fail(row, "%s: component %llu is not in the table of lengths", component[c],
                                        (unsigned long long)id);
            *part++ = (struct kv_part){id, tokens};
            sum += tokens;
        }
    if (sum > g->row.input_tokens)
        return kv_json_row_fail(row, "input_length %lld is less than the %lld tokens of the components",
                                (long long)g->row.input_tokens, (long long)sum);
    g->row.parts = (int64_t)count;
    memcpy(g->packed.at, &g->row, sizeof g->row);
    return true;
}

static enum kv_row_kind read_line(void *state, struct kv_err *err)
{
    struct ragpulse *g = state;
    if (!g->has_table && !load_table(g, err)) return KV_ROW_BAD;
    struct kv_json_row row;
    uint32_t seen;
    g->row = (struct row){.line = g->rows.in.line_number};
    for (int c = 0; c < COMPONENTS; c++) g->list[c].count = 0;
    if (!kv_json_row_read(&row, &g->rows.in, &form, g, &seen, err)
        || !kv_json_row_has(&row, &form, seen, (UINT32_C(1) << REQUIRED) - 1) || !pack_row(g, &row)
        || !kv_resort_push(&g->resort, &g->rows.in, g->row.time_ns, g->packed.at, g->packed.count, err))
        return KV_ROW_BAD;
    return KV_ROW_GOOD;
}

static void cut_into_blocks(struct ragpulse *g, const struct kv_part *part, int64_t count)
{
    int64_t end = 0;           /* of the parts so far */
    uint64_t chain = 0;        /* hash of them */
    g->ids.count = 0;
    kv_vec_reserve(&g->ids, 1);
    for (int64_t i = 0; i < count; i++) {
        end += part[i].tokens;
        chain = kv_mix64_pair(chain, part[i].id);
        while ((int64_t)(g->ids.count + 1) * g->p.block_tokens <= end) {
            uint64_t id = kv_mix64_pair(chain, g->ids.count);
            kv_vec_push(&g->ids, id);
        }
    }
}

static int next_row(void *state, struct kv_row *row, struct kv_err *err)
{
    struct ragpulse *g = state;
    const struct row *r;
    while (!(r = kv_resort_pop(&g->resort, g->ended))) {
        if (g->ended) return 0;
        int got = kv_rows_next(&g->rows, read_line, g, err);
        if (got < 0) return -1;
        g->ended = got == 0;
    }
    const struct kv_part *part = (const struct kv_part *)(const void *)(r + 1);
    cut_into_blocks(g, part, r->parts);
    *row = (struct kv_row){
        .line = r->line, .time_ns = r->time_ns, .input_tokens = r->input_tokens, .output_tokens = r->output_tokens,
        .elapsed_ns = -1, .think_ns = -1, .failed = r->output_tokens == 0, .model = "", .session = r->session,
        .turn = -1, .slo_class = "", .ids = g->ids.at, .ids_count = (int64_t)g->ids.count,
        .ids_tokens = g->p.block_tokens, .known_tokens = (int64_t)g->ids.count * g->p.block_tokens, .parts = part,
        .parts_count = r->parts,
    };
    g->stats.rows++;
    g->stats.failed_rows += row->failed;
    return 1;
}

static void tell_stats(const void *state, struct kv_reader_stats *out)
{
    const struct ragpulse *g = state;
    *out = g->stats;
    out->bad_rows = g->rows.bad;
    out->bytes = g->rows.in.bytes;
    memcpy(out->digest, g->rows.in.digest, sizeof out->digest);
}

static void close_file(void *state)
{
    struct ragpulse *g = state;
    for (int c = 0; c < COMPONENTS; c++) kv_vec_close(&g->list[c]);
    kv_vec_close(&g->packed);
    kv_vec_close(&g->ids);
    kv_map_close(&g->length_of);
    kv_resort_close(&g->resort);
    kv_rows_close(&g->rows);
}

const struct kv_reader_ops kv_reader_ragpulse = {
    .info = {.help = "RAGPulse JSONL, prompts of named components", .source = "github.com/flashserve/RAGPulse",
             .params = table, .params_bytes = sizeof(struct params)},
    .has_ids = true,
    .has_sessions = true,
    .state_bytes = sizeof(struct ragpulse),
    .open = open_file,
    .next = next_row,
    .stats = tell_stats,
    .close = close_file,
};
