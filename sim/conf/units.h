/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units, as text. "64GiB" is 64 * 2^30 bytes, "64GB" is 64 * 10^9; nothing here depends on locale. */
#ifndef KV_CONF_UNITS_H
#define KV_CONF_UNITS_H

#include <stdbool.h>

#include "sim/conf/param.h"

/* One unit of a dimension; storage = number * 10^power * factor / divisor. The power goes into the decimal text before
 * it is read, so "2.9us" is the double nearest to 0.0000029, as 2.9 / 1e6 is not. */
struct kv_unit { const char *name; int power; double factor, divisor; bool canonical; /* used when writing */ };

/* Units of a dimension, ended by a NULL name; NULL when its numbers are bare. */
const struct kv_unit *kv_units(enum kv_dim dim);
/* "accepted: B, kB, ..; e.g. 64GiB", for messages. NULL when the dimension has no units. */
const char *kv_units_accepted(enum kv_dim dim);
const char *kv_units_example(enum kv_dim dim);
/* What a value of the dimension is called: "a number of bytes", "true or false". */
const char *kv_dim_noun(enum kv_dim dim);

/* Splits "12.5GB/s" into number text [text, *end) and what follows. False when it does not start with a number.
 * *integral: neither point nor exponent. */
bool kv_number_scan(const char *text, const char **end, bool *integral);

#endif
