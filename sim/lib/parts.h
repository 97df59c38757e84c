/* SPDX-License-Identifier: Apache-2.0 */
/* How often the components of prompts were there before: as part of a beginning, or anywhere. Requests count in the
 * order of their lines, whatever the order they come in, so all are kept: 16 bytes a component.
 *
 * A request's hits as prefix are its leading components that stood in an earlier request, up to the first that did
 * not; its hits at any position are all that did. */
#ifndef KV_LIB_PARTS_H
#define KV_LIB_PARTS_H

#include "sim/base/map.h"

struct kv_parts_request { int64_t line; size_t first, count; };
struct kv_parts_entry { uint64_t id; int64_t tokens; };

/* A zeroed struct is empty. */
struct kv_parts {
    KV_VEC(struct kv_parts_request) requests;
    KV_VEC(struct kv_parts_entry) entries;
    int64_t tokens;
};
struct kv_parts_hits { int64_t unique, prefix, prefix_tokens, anywhere, anywhere_tokens; };

/* The next request, then its components in order. */
void kv_parts_begin(struct kv_parts *p, int64_t line);
void kv_parts_add(struct kv_parts *p, uint64_t id, int64_t tokens);
void kv_parts_count(struct kv_parts *p, struct kv_parts_hits *hits);
void kv_parts_close(struct kv_parts *p);

#endif
