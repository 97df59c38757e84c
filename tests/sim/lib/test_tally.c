/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/base/rng.h"
#include "sim/lib/tally.h"

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_interpolate_as_numpy_does(void **unused)
{
    (void)unused;
    struct kv_tally t = {0};
    assert_true(kv_tally_percentile(&t, 50) == 0);
    const int64_t values[] = {15, 20, 35, 40, 50};
    for (int i = 0; i < 5; i++) kv_tally_add(&t, values[4 - i]);
    assert_true(kv_tally_percentile(&t, 0) == 15);
    assert_true(kv_tally_percentile(&t, 40) == 29);      /* numpy.percentile([15, 20, 35, 40, 50], 40) */
    assert_true(kv_tally_percentile(&t, 100) == 50);
    assert_true(kv_tally_mean(&t) == 32);
    assert_int_equal(t.min, 15);
    assert_int_equal(t.max, 50);
    kv_tally_close(&t);
}

static void random_values_agree_with_sorting(void **unused)
{
    (void)unused;
    for (uint64_t round = 0; round < 60; round++) {
        struct kv_tally t = {0};
        int64_t count = 1 + (int64_t)(kv_mix64_pair(round, 0) % 500), sum = 0;
        int64_t *sorted = malloc((size_t)count * sizeof *sorted);
        for (int64_t i = 0; i < count; i++) {
            /* Half of the rounds go past the counted range. */
            sorted[i] = (int64_t)(kv_mix64_pair(round, (uint64_t)i + 1) % (round % 2 ? 3000000 : 700));
            sum += sorted[i];
            kv_tally_add(&t, sorted[i]);
            if (i % 100 == 7) (void)kv_tally_percentile(&t, 50);   /* asking between adding changes nothing */
        }
        qsort(sorted, (size_t)count, sizeof *sorted, compare);
        for (double q = 0; q <= 100; q += 12.5) {
            double place = q / 100 * (double)(count - 1), below = floor(place);
            int64_t low = sorted[(int64_t)below], high = sorted[(int64_t)ceil(place)];
            assert_true(fabs(kv_tally_percentile(&t, q) - ((double)low + (place - below) * (double)(high - low)))
                        < 1e-6);
        }
        assert_true((int64_t)t.sum == sum);
        assert_int_equal(t.count, count);
        free(sorted);
        kv_tally_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_interpolate_as_numpy_does),
        cmocka_unit_test(random_values_agree_with_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
