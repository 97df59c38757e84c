/* SPDX-License-Identifier: Apache-2.0 */
/* /flows: one row a fetch, in the order of their ends. Rows gather in one chunk of the file at a time. */
#ifndef KV_OUT_FLOWS_H
#define KV_OUT_FLOWS_H

#include "sim/iface/record.h"
#include "sim/out/h5.h"

extern const char *const kv_delivery_names[];   /* by enum kv_delivery, without auto; ended by NULL */

struct kv_flows;
/* `tier` (names, from the fastest) must outlive the file. */
struct kv_flows *kv_flows_open(struct kv_h5 *f, const char *const *tier, int32_t tier_count);
void kv_flows_add(struct kv_flows *w, const struct kv_fetch_record *record);
/* Writes what is left. */
void kv_flows_end(struct kv_flows *w);
void kv_flows_close(struct kv_flows *w);

#endif
