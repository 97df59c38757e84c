/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>

#include "sim/base/rng.h"

#define SEED UINT64_C(20240607)
/* Everything here is a fixed sequence, so a test passes always or never; the bounds are at p = 1e-4 per test. */
#define P_LEAST 1e-4

static uint64_t arrivals;
static int setup(void **state)
{
    (void)state;
    arrivals = kv_stream("arrivals");
    return 0;
}

/* Chi-square of `count` numbers from [0, 1) in `cells` equal cells, two-sided. */
static void check_uniform(double (*draw)(uint64_t i), uint64_t count)
{
    enum { CELLS = 256 };
    double observed[CELLS] = {0}, expected = (double)count / CELLS, chi_square = 0;
    for (uint64_t i = 0; i < count; i++) {
        double u = draw(i);
        assert_true(u >= 0 && u < 1);
        observed[(int)(u * CELLS)]++;
    }
    for (int c = 0; c < CELLS; c++) chi_square += (observed[c] - expected) * (observed[c] - expected) / expected;
    double p = gsl_cdf_chisq_Q(chi_square, CELLS - 1);
    if (p < P_LEAST || p > 1 - P_LEAST) fail_msg("chi-square %.1f on %d degrees of freedom", chi_square, CELLS - 1);
}

static double first_of_index(uint64_t i)
{
    struct kv_rng rng;
    return gsl_rng_uniform(kv_rng_at(&rng, SEED, arrivals, i));
}
static double first_of_stream(uint64_t i)
{
    struct kv_rng rng;
    return gsl_rng_uniform(kv_rng_at(&rng, SEED, i, 0));
}
static double first_of_seed(uint64_t i)
{
    struct kv_rng rng;
    return gsl_rng_uniform(kv_rng_at(&rng, i, arrivals, 0));
}
static double along_one_substream(uint64_t i)
{
    static struct kv_rng rng;
    if (i == 0) kv_rng_at(&rng, SEED, arrivals, 5);
    return gsl_rng_uniform(&rng.gsl);
}
static double low_bits(uint64_t i)
{
    struct kv_rng rng;
    return (double)(gsl_rng_get(kv_rng_at(&rng, SEED, arrivals, i)) & 0xfffff) * 0x1p-20;
}
/* Low bits of the 53 of a double: would show a 32-bit generator behind it. */
static double low_bits_of_double(uint64_t i)
{
    double scaled = first_of_index(i) * 0x1p33;
    return scaled - floor(scaled);
}

static void first_draws_are_uniform_over_indices_streams_and_seeds(void **state)
{
    (void)state;
    check_uniform(first_of_index, 1000000);
    check_uniform(first_of_stream, 1000000);
    check_uniform(first_of_seed, 1000000);
}

static void one_substream_is_uniform(void **state)
{
    (void)state;
    check_uniform(along_one_substream, 1000000);
}

static void the_low_bits_are_uniform(void **state)
{
    (void)state;
    check_uniform(low_bits, 1000000);
    check_uniform(low_bits_of_double, 1000000);
}

/* Pairs of neighbours (u, v) in 64 x 64 cells, which a weak keying of (seed, stream, index) would fill unevenly. */
static void check_pairs(double (*u)(uint64_t i), double (*v)(uint64_t i))
{
    enum { SIDE = 64, COUNT = 1000000 };
    static double observed[SIDE * SIDE];
    double expected = (double)COUNT / (SIDE * SIDE), chi_square = 0;
    for (int c = 0; c < SIDE * SIDE; c++) observed[c] = 0;
    for (uint64_t i = 0; i < COUNT; i++) observed[(int)(u(i) * SIDE) * SIDE + (int)(v(i) * SIDE)]++;
    for (int c = 0; c < SIDE * SIDE; c++) chi_square += (observed[c] - expected) * (observed[c] - expected) / expected;
    double p = gsl_cdf_chisq_Q(chi_square, SIDE * SIDE - 1);
    if (p < P_LEAST || p > 1 - P_LEAST)
        fail_msg("chi-square %.1f on %d degrees of freedom", chi_square, SIDE * SIDE - 1);
}

static double next_of_index(uint64_t i)  { return first_of_index(i + 1); }
static double next_of_stream(uint64_t i) { return first_of_stream(i + 1); }
static double next_of_seed(uint64_t i)   { return first_of_seed(i + 1); }
static double second_of_index(uint64_t i)
{
    struct kv_rng rng;
    gsl_rng *gsl = kv_rng_at(&rng, SEED, arrivals, i);
    gsl_rng_get(gsl);
    return gsl_rng_uniform(gsl);
}
static double of_other_stream(uint64_t i)
{
    struct kv_rng rng;
    return gsl_rng_uniform(kv_rng_at(&rng, SEED, kv_stream("lengths"), i));
}

static void substreams_next_to_each_other_are_independent(void **state)
{
    (void)state;
    check_pairs(first_of_index, next_of_index);
    check_pairs(first_of_index, second_of_index);
    check_pairs(next_of_index, second_of_index);
    check_pairs(first_of_index, of_other_stream);
    check_pairs(first_of_stream, next_of_stream);
    check_pairs(first_of_seed, next_of_seed);
}

static void a_variate_depends_on_nothing_drawn_before_it(void **state)
{
    (void)state;
    struct kv_rng rng, other;
    double forward[100];
    for (uint64_t i = 0; i < 100; i++) forward[i] = gsl_ran_gamma(kv_rng_at(&rng, SEED, arrivals, i), 0.4, 2);
    for (uint64_t i = 100; i-- > 0;) {
        for (uint64_t k = 0; k < i % 7; k++) gsl_ran_gaussian(kv_rng_at(&other, SEED, k, i), 1);
        assert_true(forward[i] == gsl_ran_gamma(kv_rng_at(&rng, SEED, arrivals, i), 0.4, 2));
    }
}

/* Mean and variance of GSL's gamma, each variate from its own sub-stream, within 4 standard errors. The variance of
 * the sample variance is (mu4 - sigma^4) / n with mu4 = 3 k (k + 2) theta^4. */
static void gamma_variates_have_the_moments_of_the_gamma_distribution(void **state)
{
    (void)state;
    const double shapes[] = {0.2, 1, 3.7};
    const uint64_t count = 200000;
    for (int s = 0; s < 3; s++) {
        double k = shapes[s], theta = 2, sum = 0, squares = 0;
        struct kv_rng rng;
        for (uint64_t i = 0; i < count; i++) {
            double x = gsl_ran_gamma(kv_rng_at(&rng, SEED, kv_stream("gamma"), i), k, theta);
            sum += x;
            squares += x * x;
        }
        double n = (double)count, mean = sum / n, variance = squares / n - mean * mean;
        double sigma2 = k * theta * theta, mu4 = 3 * k * (k + 2) * pow(theta, 4);
        assert_true(fabs(mean - k * theta) < 4 * sqrt(sigma2 / n));
        assert_true(fabs(variance - sigma2) < 4 * sqrt((mu4 - sigma2 * sigma2) / n));
    }
}

static void numbers_of_version_one_never_change(void **state)
{
    (void)state;
    struct kv_rng rng;
    assert_int_equal(kv_stream(""), UINT64_C(0xcbf29ce484222325));          /* FNV-1a's published values */
    assert_int_equal(kv_stream("a"), UINT64_C(0xaf63dc4c8601ec8c));
    assert_int_equal(kv_stream("foobar"), UINT64_C(0x85944171f73967e8));
    gsl_rng *gsl = kv_rng_at(&rng, 1, kv_stream("arrivals"), 0);
    assert_int_equal(gsl_rng_get(gsl), 2275016683u);
    assert_int_equal(gsl_rng_get(gsl), 3800997858u);
    assert_int_equal(gsl_rng_max(gsl), 0xffffffffu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_draws_are_uniform_over_indices_streams_and_seeds),
        cmocka_unit_test(one_substream_is_uniform),
        cmocka_unit_test(the_low_bits_are_uniform),
        cmocka_unit_test(substreams_next_to_each_other_are_independent),
        cmocka_unit_test(a_variate_depends_on_nothing_drawn_before_it),
        cmocka_unit_test(gamma_variates_have_the_moments_of_the_gamma_distribution),
        cmocka_unit_test(numbers_of_version_one_never_change),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
