/* SPDX-License-Identifier: Apache-2.0 */
/* Robust least squares of times, by their logarithms: what is off by a factor counts alike whether it took a
 * microsecond or a second, and few that are far off (a busy moment of the machine) do not count at all. */
#ifndef KV_LIB_ROBUST_H
#define KV_LIB_ROBUST_H

#include <stdbool.h>
#include <stddef.h>

/* A time that was measured: of `bytes` bytes, `width` of them at a time. */
struct kv_robust_point { double bytes, width, time_s; };

/* time = max(start_s + bytes / rate_Bps, width * bytes / rate_Bps): one alone waits and then streams; many at a time
 * wait for each other. With width = 1 everywhere it is the line of a single stream. Tukey's bisquare weights, scale
 * from the median absolute deviation, repeated until they stand (Huber & Ronchetti, Robust Statistics, ch. 7); each
 * pass is a Levenberg-Marquardt fit (GSL). False with fewer than two sizes. */
bool kv_robust_stream(const struct kv_robust_point *point, size_t count, double *start_s, double *rate_Bps);

/* Median of n >= 1 values, which are sorted in place. */
double kv_median(double *value, size_t count);

#endif
