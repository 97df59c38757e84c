/* SPDX-License-Identifier: Apache-2.0 */
/* All are below their caps at first; in each round those that would be at their cap or above get it, until there
 * is none. What the others divide never falls below their part of it, so nobody who got its cap would get less
 * later. */
#include "sim/lib/waterfill.h"

#include <stdbool.h>

#define BELOW_CAP (-1.0)

void kv_waterfill(const void *of, struct kv_waterfill_item (*item)(const void *of, int32_t i), int32_t count,
                  double total, double *share)
{
    for (int32_t i = 0; i < count; i++) share[i] = BELOW_CAP;
    for (bool more = true; more;) {
        double left = total, weights = 0;
        for (int32_t i = 0; i < count; i++)
            if (share[i] == BELOW_CAP) weights += item(of, i).weight;
            else left -= share[i];
        double level = left > 0 && weights > 0 ? left / weights : 0;
        more = false;
        for (int32_t i = 0; i < count; i++) {
            if (share[i] != BELOW_CAP) continue;
            struct kv_waterfill_item it = item(of, i);
            if (level * it.weight < it.cap) continue;
            share[i] = it.cap;
            more = true;
        }
        if (more) continue;
        for (int32_t i = 0; i < count; i++)
            if (share[i] == BELOW_CAP) share[i] = level * item(of, i).weight;
    }
}
