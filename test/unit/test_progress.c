/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run is, in words. */
#include "test.h"

#include <string.h>

#include "tools/progress.h"

static void expect_line(const struct kmse_progress *progress, bool bar,
                        const char *line)
{
    char out[KMSE_PROGRESS_LEN];
    kmse_progress_print(out, progress, bar);
    assert_string_equal(out, line);
}

static void rate_and_time_left_are_told(void **state)
{
    (void)state;
    struct kmse_progress progress = {"users.email", 0, 1000000, 0};
    expect_line(&progress, true,
                "users.email  [........................]  0 %  0 rows  0/s");
    progress.rows = 500000;
    progress.elapsed_ms = 5000;
    expect_line(&progress, true,
                "users.email  [############............]  50 %  500000 rows  "
                "100000/s  0:05 left");
    expect_line(&progress, false,
                "users.email  50 %  500000 rows  100000/s  0:05 left");
    progress.elapsed_ms = 50000;
    expect_line(&progress, false,
                "users.email  50 %  500000 rows  10000/s  0:50 left");
}

static void an_estimate_may_be_wrong(void **state)
{
    (void)state;
    struct kmse_progress progress = {"t.c", 1500, 1000, 1000};
    expect_line(&progress, false, "t.c  99 %  1500 rows  1500/s");
    progress.estimated = 0;
    expect_line(&progress, true, "t.c  1500 rows  1500/s");
    progress.estimated = 20000000;
    expect_line(&progress, false, "t.c  0 %  1500 rows  1500/s  3:42:12 left");
}

static void keys_are_printable(void **state)
{
    (void)state;
    enum { SMALL = 16 };
    static const uint8_t ODD[] = "a b\\\n\xFF~";
    char out[64], small[SMALL];
    kmse_progress_key(out, sizeof(out), ODD, sizeof(ODD) - 1);
    assert_string_equal(out, "a\\x20b\\x5c\\x0a\\xff~");
    for (size_t len = 0; len < 40; len++) {
        kmse_progress_key(
            small, sizeof(small),
            (const uint8_t *)"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a"
                             "0123456789012345678901234567890",
            len);
        assert_true(strlen(small) < SMALL);
        assert_int_equal(strstr(small, "...") != NULL, strlen(small) > 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_and_time_left_are_told),
        cmocka_unit_test(an_estimate_may_be_wrong),
        cmocka_unit_test(keys_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
