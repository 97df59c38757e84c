/* SPDX-License-Identifier: Apache-2.0 */
/* First difference between two runs, field by field. */
#ifndef KV_TESTS_SUPPORT_COMPARE_H
#define KV_TESTS_SUPPORT_COMPARE_H

#include "sim/iface/record.h"

struct kv_difference { const char *field; int64_t left, right; int32_t tier; /* of a tier's counter; else -1 */ };

/* True when there is none; else *d names the first. */
bool kv_records_equal(const struct kv_record *left, const struct kv_record *right, struct kv_difference *d);
bool kv_fetches_equal(const struct kv_fetch_record *left, const struct kv_fetch_record *right,
                      struct kv_difference *d);
bool kv_layers_equal(const struct kv_layers_record *left, const struct kv_layers_record *right,
                     struct kv_difference *d);
bool kv_counters_equal(const struct kv_counters *left, const struct kv_counters *right, struct kv_difference *d);

#endif
