/* SPDX-License-Identifier: Apache-2.0 */
/* Ages for people: the largest unit that is filled twice. */
#include "test.h"

#include <string.h>

#include "base/age.h"

static void expect_age(int64_t seconds, const char *words)
{
    char age[KMSE_AGE_LEN];
    kmse_age_print(age, seconds);
    assert_string_equal(age, words);
}

static void each_unit_begins_at_two(void **state)
{
    (void)state;
    expect_age(0, "0s");
    expect_age(119, "119s");
    expect_age(120, "2m");
    expect_age(7199, "119m");
    expect_age(7200, "2h");
    expect_age(2 * 86400 - 1, "47h");
    expect_age(2 * 86400, "2d");
    expect_age(40 * 86400, "40d");
    expect_age(-5, "-5s"); /* the clock was put back */
    expect_age(INT64_MAX, "106751991167300d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_unit_begins_at_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
