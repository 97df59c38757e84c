/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a CSV file (RFC 4180 without line breaks inside quotes) as fields. */
#ifndef KV_LIB_CSV_H
#define KV_LIB_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_CSV_FIELDS_MAX 64

struct kv_csv {
    struct kv_csv_field { const char *text; size_t length; } field[KV_CSV_FIELDS_MAX];
    int32_t count;
};

/* Cuts the line in place: every field ends with a NUL, quotes are taken off. False: a quote that is not closed or
 * more than KV_CSV_FIELDS_MAX fields. */
bool kv_csv_split(struct kv_csv *csv, char *line, size_t length);
/* Index of the column of that name in a split header line, -1 when absent. Case matters. */
int32_t kv_csv_find(const struct kv_csv *header, const char *name);

#endif
