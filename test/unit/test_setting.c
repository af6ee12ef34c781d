/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the configuration, and values as text. */
#include "base/setting.h"

#include <stdlib.h>
#include <string.h>

#include "kms_envelope/params.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct kmse_setting_bounds BOUNDS = {
    .least_ms = 0,
    .most_ms = 366 * (uint64_t)86400000,
    .wanted = "a while",
};

static void knows_openssl_s_keys_and_ours(void **state)
{
    static const char *const known[] = {
        "activate",       "module",     "identity", "soft_load",
        "1.module",       "x.activate", "keys",     KMSE_CONF_AWS_REGION,
        KMSE_CONF_MAX_AGE};
    static const char *const unknown[] = {"",
                                          "max-agee",
                                          "max_age",
                                          "MAX-AGE",
                                          "active",
                                          "module2",
                                          "1.keys",
                                          "1.aws-region",
                                          "1.",
                                          "1.module.",
                                          "aws-secret-access-key"};
    (void)state;
    for (size_t i = 0; i < COUNT(known); i++)
        assert_true(kmse_setting_is_known(known[i]));
    for (size_t i = 0; i < COUNT(unknown); i++)
        assert_false(kmse_setting_is_known(unknown[i]));
}

static void takes_yes_and_no(void **state)
{
    static const char *const bad[] = {"",  "Yes",  "true", "1",
                                      "y", "yes ", "on"};
    struct kmse_why why = {""};
    bool value = false;
    (void)state;
    expect_ok(kmse_setting_yes_no(&value, "key", "yes", &why));
    assert_true(value);
    for (size_t i = 0; i < COUNT(bad); i++) {
        expect_reason(kmse_setting_yes_no(&value, "key", bad[i], &why),
                      KMSE_R_CONFIG_VALUE);
        assert_true(value);
    }
    assert_string_equal(why.text, "key = on: must be yes or no");
    expect_ok(kmse_setting_yes_no(&value, "key", "no", &why));
    assert_false(value);
}

static void counts_from_one(void **state)
{
    static const char *const bad[] = {
        "0", "", "-1", "+1", " 1", "1 ", "1.0", "0x1", "18446744073709551616"};
    struct kmse_why why = {""};
    uint64_t count = 7;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        expect_reason(kmse_setting_count(&count, "key", bad[i], &why),
                      KMSE_R_CONFIG_VALUE);
        assert_int_equal(count, 7);
    }
    expect_ok(kmse_setting_count(&count, "key", "1", &why));
    assert_int_equal(count, 1);
    expect_ok(kmse_setting_count(&count, "key", "18446744073709551615", &why));
    assert_true(count == UINT64_MAX);
}

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"0", 0},        {"0ms", 0},       {"7ms", 7},
                {"7", 7000},     {"7s", 7000},     {"2m", 120000},
                {"1h", 3600000}, {"1d", 86400000}, {"366d", 31622400000}};
    static const char *const bad[] = {
        "", "s", "ms", "-1", "1w", "1M", "1 s", "1.5s", "367d", "1s5", "1ss",
        "+1s", "d1", "1 ", " 1",
        /* The first that 64 bits cannot hold, and one that comes to 384 ms. */
        "18446744073709551616", "18446744073709552"};
    struct kmse_why why = {""};
    uint64_t ms = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        expect_ok(
            kmse_setting_duration(&ms, "key", good[i].text, &BOUNDS, &why));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 5;
    for (size_t i = 0; i < COUNT(bad); i++) {
        expect_reason(kmse_setting_duration(&ms, "key", bad[i], &BOUNDS, &why),
                      KMSE_R_CONFIG_VALUE);
        assert_int_equal(ms, 5);
    }
    assert_string_equal(why.text, "key = 18446744073709552: must be a while");
}

static void durations_have_bounds(void **state)
{
    const struct kmse_setting_bounds narrow = {
        .least_ms = 999, .most_ms = 1001, .wanted = "about 1s"};
    static const char *const good[] = {"999ms", "1s", "1", "1001ms"};
    static const char *const bad[] = {"998ms", "1002ms", "0", "2s", "1m"};
    struct kmse_why why = {""};
    uint64_t ms = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        expect_ok(kmse_setting_duration(&ms, "key", good[i], &narrow, &why));
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_reason(kmse_setting_duration(&ms, "key", bad[i], &narrow, &why),
                      KMSE_R_CONFIG_VALUE);
    assert_int_equal(ms, 1001);
}

static void text_is_replaced(void **state)
{
    char *text = NULL;
    (void)state;
    expect_ok(kmse_setting_text(&text, "one"));
    expect_ok(kmse_setting_text(&text, "two"));
    assert_string_equal(text, "two");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_openssl_s_keys_and_ours),
        cmocka_unit_test(takes_yes_and_no),
        cmocka_unit_test(counts_from_one),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(durations_have_bounds),
        cmocka_unit_test(text_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
