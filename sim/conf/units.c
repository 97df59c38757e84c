/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/conf/units.h"

#include <stddef.h>

#define UNIT(name, up) { name, up, 1, true }
#define SMALL(name, down) { name, 1, down, true }
#define ALIAS(name, up) { name, up, 1, false }
#define END { NULL, 0, 0, false }
#define KI 1024.0

static const struct kv_unit bytes[] = {
    UNIT("B", 1), UNIT("KB", 1e3), UNIT("MB", 1e6), UNIT("GB", 1e9), UNIT("TB", 1e12), UNIT("PB", 1e15),
    UNIT("KiB", KI), UNIT("MiB", KI * KI), UNIT("GiB", KI * KI * KI), UNIT("TiB", KI * KI * KI * KI),
    UNIT("PiB", KI * KI * KI * KI * KI), ALIAS("kB", 1e3), END
};
static const struct kv_unit time[] = {
    UNIT("s", 1), SMALL("ms", 1e3), SMALL("us", 1e6), SMALL("ns", 1e9), UNIT("min", 60), UNIT("h", 3600),
    UNIT("d", 86400), { "µs", 1, 1e6, false }, END
};
static const struct kv_unit bits_per_s[] = {
    UNIT("bps", 1), UNIT("Kbps", 1e3), UNIT("Mbps", 1e6), UNIT("Gbps", 1e9), UNIT("Tbps", 1e12),
    UNIT("B/s", 8), UNIT("KB/s", 8e3), UNIT("MB/s", 8e6), UNIT("GB/s", 8e9), UNIT("TB/s", 8e12),
    UNIT("KiB/s", 8 * KI), UNIT("MiB/s", 8 * KI * KI), UNIT("GiB/s", 8 * KI * KI * KI),
    UNIT("TiB/s", 8 * KI * KI * KI * KI), ALIAS("kbps", 1e3), ALIAS("kB/s", 8e3), ALIAS("bit/s", 1),
    ALIAS("kbit/s", 1e3), ALIAS("Mbit/s", 1e6), ALIAS("Gbit/s", 1e9), ALIAS("Tbit/s", 1e12), END
};
static const struct kv_unit per_s[] = {
    UNIT("req/s", 1), ALIAS("/s", 1), { "req/min", 1, 60, false }, { "req/h", 1, 3600, false }, END
};
static const struct kv_unit flops[] = {
    UNIT("FLOPS", 1), UNIT("MFLOPS", 1e6), UNIT("GFLOPS", 1e9), UNIT("TFLOPS", 1e12), UNIT("PFLOPS", 1e15),
    ALIAS("GFLOP/s", 1e9), ALIAS("TFLOP/s", 1e12), ALIAS("PFLOP/s", 1e15), END
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
