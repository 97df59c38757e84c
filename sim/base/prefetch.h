/* SPDX-License-Identifier: Apache-2.0 */
/* A hint that an address will be read soon. Worth it where the address is known some 50 ns before it is needed and
 * what lies there is too much for the first cache; results never depend on it.
 *
 * A macro, and to be used in functions that do something else too: gcc takes a function that does nothing but this for
 * one without effect and drops calls of it. */
#ifndef KV_BASE_PREFETCH_H
#define KV_BASE_PREFETCH_H

#define kv_prefetch(address) __builtin_prefetch(address)

#endif
