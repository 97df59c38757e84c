/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that need only be close. After cmocka.h, whose own comparison is of floats. */
#ifndef KV_TESTS_SUPPORT_NEAR_H
#define KV_TESTS_SUPPORT_NEAR_H

#include <math.h>

/* The test fails unless |found - expected| <= slack. NaN is near nothing. */
#define assert_near(found, expected, slack) do { \
        double kv_found = (found), kv_expected = (expected); \
        if (!(fabs(kv_found - kv_expected) <= (slack))) \
            fail_msg("%s = %.17g, expected %.17g", #found, kv_found, kv_expected); \
    } while (0)

/* The same, with slack as a share of what is expected. */
#define assert_close(found, expected, share) assert_near(found, expected, (share) * fabs((double)(expected)))

#endif
