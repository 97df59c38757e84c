/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/block_row.h"

#include <string.h>

#include "sim/lib/json_row.h"

enum key {
    TIMESTAMP, ARRIVAL_S, INPUT_LENGTH, INPUT_TOKS, INPUT_BYTES, OUTPUT_LENGTH, OUTPUT_TOKS, OUTPUT_BYTES, HASH_IDS,
    BLOCK_IDS, OUTPUT_HASH_IDS, SESSION_ID, TURN, BRANCH, THINK_S, ELAPSED_S, PRIORITY, SLO_CLASS, FAILED, RESIDENT,
    KEYS
};
static const char *const key_name[KEYS + 1] = {
    "timestamp", "arrival_s", "input_length", "input_toks", "input_bytes", "output_length", "output_toks",
    "output_bytes", "hash_ids", "block_ids", "output_hash_ids", "session_id", "turn", "branch", "think_s", "elapsed_s",
    "priority", "slo_class", "failed", "resident_tokens", NULL,
};
#define BIT(key) (UINT32_C(1) << (key))
#define ANY_TIME (BIT(TIMESTAMP) | BIT(ARRIVAL_S))
#define ANY_INPUT (BIT(INPUT_LENGTH) | BIT(INPUT_TOKS) | BIT(INPUT_BYTES))
#define ANY_OUTPUT (BIT(OUTPUT_LENGTH) | BIT(OUTPUT_TOKS) | BIT(OUTPUT_BYTES))
#define ANY_IDS (BIT(HASH_IDS) | BIT(BLOCK_IDS))

/* State of reading one line. */
struct reading {
    struct kv_json_row json;
    const struct kv_input *in;
    const struct kv_block_rule *rule;
    struct kv_block_row *row;
    struct kv_err *err;
    uint32_t seen;
    int32_t input_key;           /* the name in use, for messages */
    int64_t input_given;         /* in the file's unit */
    struct kv_ids output_ids;
};

static bool read_tokens(struct reading *r, int32_t key, bool bytes, int64_t *given, int64_t *tokens)
{
    int64_t unit = bytes ? r->rule->bytes_per_token : 1;
    if (!kv_json_row_whole(&r->json, key_name[key], KV_FIELD_TOKENS_MAX * unit, given)) return false;
    *tokens = (*given + unit - 1) / unit;
    return true;
}

static bool read_priority(struct reading *r)
{
    struct kv_slice n;
    int64_t value;
    if (!kv_json_number(&r->json.json, &n)) return false;
    bool minus = n.text[0] == '-';
    if (!kv_field_whole(r->in, key_name[PRIORITY], n.text + minus, n.length - minus, INT32_MAX, &value, r->err))
        return false;
    r->row->priority = (int32_t)(minus ? -value : value);
    return true;
}

static bool read_value(void *state, struct kv_json_row *json, int32_t key)
{
    struct reading *r = state;
    struct kv_block_row *row = r->row;
    const char *name = key_name[key];
    switch ((enum key)key) {
    case TIMESTAMP: return kv_json_row_ns(json, name, r->rule->timestamp_exponent, &row->time_ns);
    case ARRIVAL_S: return kv_json_row_ns(json, name, 9, &row->time_ns);
    case INPUT_LENGTH: case INPUT_TOKS: case INPUT_BYTES:
        r->input_key = key;
        return read_tokens(r, key, key == INPUT_BYTES, &r->input_given, &row->input_tokens);
    case OUTPUT_LENGTH: case OUTPUT_TOKS: case OUTPUT_BYTES: {
        int64_t given;
        return read_tokens(r, key, key == OUTPUT_BYTES, &given, &row->output_tokens);
    }
    case HASH_IDS: case BLOCK_IDS: return kv_json_ids(&json->json, &row->ids);
    case OUTPUT_HASH_IDS: return kv_json_ids(&json->json, &r->output_ids);
    case SESSION_ID: return kv_json_row_name(json, row->session);
    case TURN: return kv_json_row_whole(json, name, INT32_MAX, &row->turn);
    case BRANCH: return kv_json_row_whole(json, name, UINT32_MAX, &row->branch);
    case THINK_S: return kv_json_row_ns(json, name, 9, &row->think_ns);
    case ELAPSED_S: return kv_json_row_ns(json, name, 9, &row->elapsed_ns);
    case PRIORITY: return read_priority(r);
    case SLO_CLASS: return kv_json_row_name(json, row->slo_class);
    case FAILED: return kv_json_bool(&json->json, &row->failed);
    case RESIDENT: return kv_json_row_whole(json, name, KV_FIELD_TOKENS_MAX, &row->resident_tokens);
    case KEYS: break;
    }
    return false;
}

static const struct kv_json_form form = {key_name, read_value};

/* Exactly one of the names in `any` must have been there. */
static bool check_one_of(const struct reading *r, uint32_t any, const char *names)
{
    uint32_t found = r->seen & any;
    if (found && (found & (found - 1)) == 0) return true;
    return kv_input_fail(r->in, r->err, found ? "more than one of %s" : "the row has no %s", names);
}

static bool check_ids(struct reading *r)
{
    const struct kv_block_row *row = r->row;
    int64_t block = r->rule->block_tokens, count = (int64_t)row->ids.count, input = row->input_tokens;
    int64_t most = (input + block - 1) / block;
    enum kv_partial partial = r->seen & BIT(OUTPUT_HASH_IDS) ? KV_PARTIAL_FLOOR : r->rule->partial;
    int64_t needed = partial == KV_PARTIAL_FLOOR ? input / block : most;
    if (partial == KV_PARTIAL_PREFIX ? count <= most : count == needed) return true;
    const char *name = key_name[r->seen & BIT(HASH_IDS) ? HASH_IDS : BLOCK_IDS];
    return kv_input_fail(r->in, r->err, "%s has %lld entries but %s %lld with %lld-token blocks needs %s%lld "
                         "(is the block size right?)", name, (long long)count, key_name[r->input_key],
                         (long long)r->input_given, (long long)block,
                         partial == KV_PARTIAL_PREFIX ? "at most " : "", (long long)needed);
}

/* Ids of the response go on where those of the full prompt blocks end: the block that holds the end of the
 * prompt and the start of the response is the first of them. */
static bool append_output_ids(struct reading *r)
{
    struct kv_block_row *row = r->row;
    int64_t block = r->rule->block_tokens, total = row->input_tokens + row->output_tokens;
    int64_t have = (int64_t)(row->ids.count + r->output_ids.count);
    if (have < total / block || have > (total + block - 1) / block) {
        return kv_input_fail(r->in, r->err,
                             "output_hash_ids has %zu entries but %lld + %lld tokens in %lld-token blocks "
                             "need %lld after the %zu of the prompt",
                             r->output_ids.count, (long long)row->input_tokens, (long long)row->output_tokens,
                             (long long)block, (long long)(total / block) - (long long)row->ids.count, row->ids.count);
    }
    for (size_t i = 0; i < r->output_ids.count; i++) kv_vec_push(&row->ids, r->output_ids.at[i]);
    row->known_tokens = have * block < total ? have * block : total;
    return true;
}

static bool check_row(struct reading *r)
{
    struct kv_block_row *row = r->row;
    if (!check_one_of(r, ANY_TIME, "timestamp, arrival_s")
        || !check_one_of(r, ANY_INPUT, "input_length, input_toks, input_bytes")
        || !check_one_of(r, ANY_OUTPUT, "output_length, output_toks, output_bytes")) {
        return false;
    }
    if (row->resident_tokens > row->input_tokens)
        return kv_input_fail(r->in, r->err, "resident_tokens is %lld, of a prompt of %lld",
                             (long long)row->resident_tokens, (long long)row->input_tokens);
    row->has_ids = (r->seen & ANY_IDS) != 0;
    row->failed |= row->output_tokens == 0;
    if (!row->has_ids) {
        return !(r->seen & BIT(OUTPUT_HASH_IDS)) || kv_input_fail(r->in, r->err, "output_hash_ids without hash_ids");
    }
    if (!check_one_of(r, ANY_IDS, "hash_ids, block_ids") || !check_ids(r)) return false;
    int64_t covered = (int64_t)row->ids.count * r->rule->block_tokens;
    row->known_tokens = covered < row->input_tokens ? covered : row->input_tokens;
    return !(r->seen & BIT(OUTPUT_HASH_IDS)) || append_output_ids(r);
}

bool kv_block_row_read(struct kv_block_row *row, const struct kv_block_rule *rule, const struct kv_input *in,
                       struct kv_err *err)
{
    row->turn = row->think_ns = row->elapsed_ns = -1;
    row->priority = 0;
    row->branch = row->resident_tokens = 0;
    row->failed = false;
    row->session[0] = row->slo_class[0] = '\0';
    row->ids.count = 0;
    row->known_tokens = 0;
    struct reading r = {.in = in, .rule = rule, .row = row, .err = err};
    bool good = kv_json_row_read(&r.json, in, &form, &r, &r.seen, err) && check_row(&r);
    kv_vec_close(&r.output_ids);
    return good;
}

void kv_block_row_close(struct kv_block_row *row)
{
    kv_vec_close(&row->ids);
}
