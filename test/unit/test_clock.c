/* SPDX-License-Identifier: Apache-2.0 */
/* The calendar: the C library's is right, and takes a lock. */
#include "test.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { S_PER_DAY = 86400 };

static void expect_as_the_c_library_has_it(int64_t wall_s)
{
    struct tm ours, theirs = {0};
    time_t seconds = (time_t)wall_s;
    gmtime_r(&seconds, &theirs);
    kmse_time_split(&ours, wall_s);
    if (ours.tm_year != theirs.tm_year || ours.tm_mon != theirs.tm_mon
        || ours.tm_mday != theirs.tm_mday || ours.tm_hour != theirs.tm_hour
        || ours.tm_min != theirs.tm_min || ours.tm_sec != theirs.tm_sec)
        fail_msg("%lld", (long long)wall_s);
    assert_true(kmse_time_join(&ours) == wall_s);
}

/* 1900 and 2100 have no leap day, 2000 has; and before 1970 time is less. */
static void the_first_and_last_second_of_each_day_are_right(void **state)
{
    enum { FIRST = -80 * 366, LAST = 440 * 366 };
    (void)state;
    for (int64_t day = FIRST; day < LAST; day++) {
        expect_as_the_c_library_has_it(day * S_PER_DAY);
        expect_as_the_c_library_has_it(day * S_PER_DAY + S_PER_DAY - 1);
    }
}

static void the_ends_of_what_is_printed_are_right(void **state)
{
    static const struct {
        int64_t wall_s;
        const char *text;
    } TIMES[] = {
        {0, "1970-01-01T00:00:00Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
    };
    char text[KMSE_TIME_LEN];
    int64_t wall_s = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
        kmse_time_print(text, TIMES[i].wall_s);
        assert_string_equal(text, TIMES[i].text);
        expect_ok(kmse_time_parse(&wall_s, text));
        assert_true(wall_s == TIMES[i].wall_s);
        expect_as_the_c_library_has_it(TIMES[i].wall_s);
    }
    expect_reason(kmse_time_parse(&wall_s, "1900-02-29T00:00:00Z"),
                  KMSE_R_ENCODING);
    expect_reason(kmse_time_parse(&wall_s, "2023-02-29T00:00:00Z"),
                  KMSE_R_ENCODING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_last_second_of_each_day_are_right),
        cmocka_unit_test(the_ends_of_what_is_printed_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
