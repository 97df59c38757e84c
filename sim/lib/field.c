/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/lib/field.h"

bool kv_field_whole(const struct kv_input *in, const char *name, const char *text, size_t length, int64_t max,
                    int64_t *value, struct kv_err *err)
{
    const char *why = kv_number_whole(text, length, max, value);
    if (!why) return true;
    return kv_input_fail(in, err, "%s '%s' %s; expected a whole number from 0 to %lld", name,
                         kv_excerpt(text, length).text, why, (long long)max);
}

bool kv_field_ns(const struct kv_input *in, const char *name, const char *text, size_t length,
                 int32_t unit_exponent, int64_t *ns, struct kv_err *err)
{
    const char *why = kv_number_ns(text, length, unit_exponent, ns);
    if (!why) return true;
    return kv_input_fail(in, err, "%s '%s' %s; expected a time >= 0 in %s, such as 12.5", name,
                         kv_excerpt(text, length).text, why, unit_exponent == 9 ? "seconds" : "milliseconds");
}

bool kv_order_check(struct kv_order *order, const struct kv_input *in, int64_t ns, struct kv_err *err)
{
    if (ns < order->ns) {
        return kv_input_fail(in, err, "time %s s is earlier than %s s in line %lld; rows must be in order of time",
                             kv_seconds_text(ns).text, kv_seconds_text(order->ns).text, (long long)order->line);
    }
    *order = (struct kv_order){ns, in->line_number};
    return true;
}
