/* SPDX-License-Identifier: Apache-2.0 */
/* A list of problems found in one input, so that all are told at once.
 *
 *     configs/s3.yaml:14:5: error: unknown key 'capcity' in tiers[1] (dram)
 *        14 |     capcity: 512GiB
 *           |     ^~~~~~~ did you mean 'capacity'?
 */
#ifndef KV_CONF_DIAG_H
#define KV_CONF_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/base/arena.h"
#include "sim/base/err.h"

/* A place in an input text. line and column from 1; 0 = unknown. `text` is the whole input, for the caret. */
struct kv_pos { const char *file, *text; int32_t line, column, width; };

enum kv_severity { KV_WARNING, KV_ERROR };
struct kv_note { enum kv_severity severity; struct kv_pos pos; const char *text, *hint; int32_t order; };
struct kv_diag {
    struct kv_arena arena;
    KV_VEC(struct kv_note) note;
    int32_t errors, warnings;
};

#define KV_DIAG_SHOWN_MAX 20

/* `hint` ("did you mean 'capacity'?") may be NULL. Both texts are copied. Returns false. */
bool kv_diag_add(struct kv_diag *d, enum kv_severity severity, struct kv_pos pos, const char *hint,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* All notes by (file, line, column, order of finding), at most KV_DIAG_SHOWN_MAX errors and then how many more;
 * text is in the diag's arena. `json`: one JSON object a line (file, line, column, severity, message, hint). */
const char *kv_diag_text(struct kv_diag *d, bool json);
void kv_diag_close(struct kv_diag *d);
/* The first of its errors, and how many more there are, as one (KV_ECONFIG). Returns false. At least one error. */
bool kv_diag_fail(const struct kv_diag *d, struct kv_err *err);

/* The candidate nearest to `word` by Damerau-Levenshtein distance <= max(1, length/3); NULL when none is near.
 * Ties: the first. */
const char *kv_suggest(const char *word, const char *const *candidates, int32_t count);

#endif
