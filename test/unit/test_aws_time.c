/* SPDX-License-Identifier: Apache-2.0 */
/* When credentials expire: forms of a time. */
#include "kms/aws_time.h"

#include <string.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { NEW_YEAR_2026_S = 1767225600 };

static const struct {
    const char *text;
    int64_t wall_s;
} READ[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:59Z", 59},
    {"2026-01-01T00:00:00Z", NEW_YEAR_2026_S},
    {"2026-01-01T00:00:00.5Z", NEW_YEAR_2026_S},
    {"2026-01-01T00:00:00.999999999Z", NEW_YEAR_2026_S},
    {"2026-01-01T00:00:00+00:00", NEW_YEAR_2026_S},
    {"2026-01-01T00:00:00-00:00", NEW_YEAR_2026_S},
    {"2026-01-01T01:00:00+01:00", NEW_YEAR_2026_S},
    {"2026-01-01T05:30:00+0530", NEW_YEAR_2026_S},
    {"2025-12-31T16:00:00-08:00", NEW_YEAR_2026_S},
    {"2025-12-31T16:00:00.25-08:00", NEW_YEAR_2026_S},
    {"2024-02-29T00:00:00Z", 1709164800},
    {"9999-12-31T23:59:59Z", 253402300799},
};

static void times_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(READ); i++) {
        int64_t wall_s = -1;
        kmse_st st = kmse_aws_time_parse(&wall_s, READ[i].text);
        if (!kmse_is_ok(st) || wall_s != READ[i].wall_s)
            fail_msg("%s: %lld", READ[i].text, (long long)wall_s);
    }
}

static const char *const REFUSED[] = {
    "",
    "Z",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00Z",
    "2026-01-01T00:00:00z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00.5",
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00ZZ",
    "2026-01-01T00:00:00Z ",
    " 2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00+1:00",
    "2026-01-01T00:00:00+01",
    "2026-01-01T00:00:00+01:0",
    "2026-01-01T00:00:00+01:000",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+01:60",
    "2026-01-01T00:00:00+-1:00",
    "2026-01-01T00:00:00UTC",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "1970-01-01T00:00:00+00:01",
    "1767225600",
    "Thu, 01 Jan 2026 00:00:00 GMT",
};

static void the_rest_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(REFUSED); i++) {
        int64_t wall_s = -1;
        kmse_st st = kmse_aws_time_parse(&wall_s, REFUSED[i]);
        if (st.reason != KMSE_R_ENCODING || wall_s != -1)
            fail_msg("%s: %lld", REFUSED[i], (long long)wall_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(the_rest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
