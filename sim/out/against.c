/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/against.h"

#include <stdlib.h>
#include <string.h>

#define NO_TOKEN (-1)

/* A request by its row of the trace. */
struct first { int64_t trace_row, prompt_tokens; kv_tick ttft_tk; };

struct kv_against {
    int64_t count;
    struct first *run;               /* by request */
    kv_tick *reference_tk;           /* TTFT in the reference run, by request of the run; NO_TOKEN */
};

static bool read_runs(struct kv_h5in *in, struct kv_arena *arena, struct first **first, int64_t *count,
                      struct kv_err *err)
{
    const int64_t *row, *prompt, *arrival, *token;
    if (!kv_h5in_has(in, "/requests")) {
        return kv_fail(err, KV_EIO, "", "the file has no /requests: the run had output.requests none");
    }
    if (!(row = kv_h5in_ints(in, "/requests/trace_row", count, arena, err))
        || !(prompt = kv_h5in_ints(in, "/requests/prompt_tokens", count, arena, err))
        || !(arrival = kv_h5in_ints(in, "/requests/arrival", count, arena, err))
        || !(token = kv_h5in_ints(in, "/requests/first_token", count, arena, err))) return false;
    *first = kv_mem_take(((size_t)*count + 1) * sizeof **first);
    for (int64_t i = 0; i < *count; i++)
        (*first)[i] = (struct first){row[i], prompt[i], token[i] < 0 ? NO_TOKEN : token[i] - arrival[i]};
    return true;
}

static int by_trace_row(const void *a, const void *b)
{
    int64_t x = ((const struct first *)a)->trace_row, y = ((const struct first *)b)->trace_row;
    return (x > y) - (x < y);
}

static bool same_trace(struct kv_h5in *run, struct kv_h5in *reference, const char *path, struct kv_arena *arena,
                       struct kv_err *err)
{
    const char *a = kv_h5in_attribute(run, "/meta", "trace_sha256", arena);
    const char *b = kv_h5in_attribute(reference, "/meta", "trace_sha256", arena);
    if (a && b && !strcmp(a, b)) return true;
    return kv_fail(err, KV_EUSAGE, path, "is of another trace: added times are of the same requests in both runs");
}

static bool match(struct kv_against *a, const struct first *reference, int64_t count, const char *path,
                  struct kv_err *err)
{
    a->reference_tk = kv_mem_take(((size_t)a->count + 1) * sizeof *a->reference_tk);
    for (int64_t i = 0; i < a->count; i++) {
        const struct first *found = NULL;
        if (count) found = bsearch(&a->run[i], reference, (size_t)count, sizeof *reference, by_trace_row);
        a->reference_tk[i] = found ? found->ttft_tk : NO_TOKEN;
        if (found && found->prompt_tokens != a->run[i].prompt_tokens) {
            return kv_fail(err, KV_EUSAGE, path, "has %lld prompt tokens in row %lld of the trace, the run has %lld: "
                           "not the same requests", (long long)found->prompt_tokens, (long long)found->trace_row,
                           (long long)a->run[i].prompt_tokens);
        }
    }
    return true;
}

struct kv_against *kv_against_open(struct kv_h5in *run, const char *path, struct kv_err *err)
{
    struct kv_arena arena = {0};
    struct first *reference = NULL;
    int64_t count = 0;
    struct kv_against *a = kv_mem_take(sizeof *a);
    struct kv_h5in *in = kv_h5in_open(path, err);
    bool ok = in && same_trace(run, in, path, &arena, err) && read_runs(run, &arena, &a->run, &a->count, err)
              && read_runs(in, &arena, &reference, &count, err);
    if (ok && count) qsort(reference, (size_t)count, sizeof *reference, by_trace_row);
    ok = ok && match(a, reference, count, path, err);
    if (reference) kv_mem_give(reference, ((size_t)count + 1) * sizeof *reference);
    kv_h5in_close(in);
    kv_arena_close(&arena);
    if (ok) return a;
    kv_against_close(a);
    return NULL;
}

void kv_against_close(struct kv_against *a)
{
    if (!a) return;
    if (a->run) kv_mem_give(a->run, ((size_t)a->count + 1) * sizeof *a->run);
    if (a->reference_tk) kv_mem_give(a->reference_tk, ((size_t)a->count + 1) * sizeof *a->reference_tk);
    kv_mem_give(a, sizeof *a);
}

bool kv_against_added(const struct kv_against *a, int64_t request, kv_tick *added_tk)
{
    if (request >= a->count || a->run[request].ttft_tk == NO_TOKEN) return false;
    if (a->reference_tk[request] == NO_TOKEN) return false;
    *added_tk = a->run[request].ttft_tk - a->reference_tk[request];
    return true;
}

int64_t kv_against_requests(const struct kv_against *a)
{
    return a->count;
}
