/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/units.h"

#include <stddef.h>

#define UNIT(name, power) { name, power, 1, 1, true }
#define TIMES(name, factor, power) { name, power, factor, 1, true }
#define ALIAS(name, power) { name, power, 1, 1, false }
#define END { NULL, 0, 0, 0, false }
#define KI 1024.0

/* The first of a dimension is the unit of storage. */
static const struct kv_unit bytes[] = {
    UNIT("B", 0), UNIT("KB", 3), UNIT("MB", 6), UNIT("GB", 9), UNIT("TB", 12), UNIT("PB", 15),
    TIMES("KiB", KI, 0), TIMES("MiB", KI * KI, 0), TIMES("GiB", KI * KI * KI, 0), TIMES("TiB", KI * KI * KI * KI, 0),
    TIMES("PiB", KI * KI * KI * KI * KI, 0), ALIAS("kB", 3), END
};
static const struct kv_unit time[] = {
    UNIT("s", 0), UNIT("ms", -3), UNIT("us", -6), UNIT("ns", -9), TIMES("min", 60, 0), TIMES("h", 3600, 0),
    TIMES("d", 86400, 0), ALIAS("µs", -6), END
};
static const struct kv_unit bits_per_s[] = {
    UNIT("bps", 0), UNIT("Kbps", 3), UNIT("Mbps", 6), UNIT("Gbps", 9), UNIT("Tbps", 12),
    TIMES("B/s", 8, 0), TIMES("KB/s", 8, 3), TIMES("MB/s", 8, 6), TIMES("GB/s", 8, 9), TIMES("TB/s", 8, 12),
    TIMES("KiB/s", 8 * KI, 0), TIMES("MiB/s", 8 * KI * KI, 0), TIMES("GiB/s", 8 * KI * KI * KI, 0),
    TIMES("TiB/s", 8 * KI * KI * KI * KI, 0), ALIAS("kbps", 3), { "kB/s", 3, 8, 1, false }, ALIAS("bit/s", 0),
    ALIAS("kbit/s", 3), ALIAS("Mbit/s", 6), ALIAS("Gbit/s", 9), ALIAS("Tbit/s", 12), END
};
static const struct kv_unit per_s[] = {
    UNIT("req/s", 0), ALIAS("/s", 0), { "req/min", 0, 1, 60, false }, { "req/h", 0, 1, 3600, false }, END
};
static const struct kv_unit flops[] = {
    UNIT("FLOPS", 0), UNIT("MFLOPS", 6), UNIT("GFLOPS", 9), UNIT("TFLOPS", 12), UNIT("PFLOPS", 15),
    ALIAS("GFLOP/s", 9), ALIAS("TFLOP/s", 12), ALIAS("PFLOP/s", 15), END
};

static const struct {
    const struct kv_unit *units;
    const char *accepted, *example, *noun;
} dims[] = {
    [KV_DIM_COUNT] = { NULL, NULL, "256", "a whole number" },
    [KV_DIM_TOKENS] = { NULL, NULL, "8192", "a whole number of tokens" },
    [KV_DIM_BYTES] = { bytes, "B, KB..PB, KiB..PiB", "64GiB", "a number of bytes" },
    [KV_DIM_NUMBER] = { NULL, NULL, "1.5", "a number" },
    [KV_DIM_FRACTION] = { NULL, NULL, "0.9", "a number from 0 to 1" },
    [KV_DIM_TIME] = { time, "ns, us, ms, s, min, h, d", "75us", "a duration" },
    [KV_DIM_BITS_PER_S] = { bits_per_s, "bps, Kbps..Tbps, B/s, KB/s..TB/s, KiB/s..TiB/s", "100Gbps",
                            "a data rate" },
    [KV_DIM_PER_S] = { per_s, "req/s, req/min, req/h, /s", "30req/s", "a rate" },
    [KV_DIM_FLOPS] = { flops, "FLOPS, MFLOPS..PFLOPS", "989TFLOPS", "a compute rate" },
    [KV_DIM_BOOL] = { NULL, NULL, "true", "true or false" },
    [KV_DIM_TEXT] = { NULL, NULL, "text", "a text" },
    [KV_DIM_CHOICE] = { NULL, NULL, NULL, "one of a few words" },
};

const struct kv_unit *kv_units(enum kv_dim dim) { return dims[dim].units; }
const char *kv_units_accepted(enum kv_dim dim) { return dims[dim].accepted; }
const char *kv_units_example(enum kv_dim dim) { return dims[dim].example; }
const char *kv_dim_noun(enum kv_dim dim) { return dims[dim].noun; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* [+-] digits [. digits] [e [+-] digits]. Not strtod's grammar: no hexadecimal, no inf, no nan, no locale. An 'e'
 * without digits belongs to what follows. */
bool kv_number_scan(const char *text, const char **end, bool *integral)
{
    const char *c = text;
    *integral = true;
    if (*c == '+' || *c == '-') c++;
    const char *digits = c;
    while (is_digit(*c)) c++;
    ptrdiff_t count = c - digits;
    if (*c == '.' && (is_digit(c[1]) || count)) {
        *integral = false;
        for (c++; is_digit(*c); c++) count++;
    }
    if (!count) return false;
    if (*c == 'e' || *c == 'E') {
        const char *power = c + 1 + (c[1] == '+' || c[1] == '-');
        if (is_digit(*power)) {
            *integral = false;
            while (is_digit(*power)) power++;
            c = power;
        }
    }
    *end = c;
    return true;
}
