/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that is what it says, whole. */
#include "test.h"

#include <string.h>

#include "base/json.h"

static void expect_text(const char *json, const char *text)
{
    cJSON *value = kmse_json_parse(json, strlen(json));
    assert_non_null(value);
    assert_string_equal(cJSON_GetStringValue(value), text);
    cJSON_Delete(value);
}

static void strings_are_whole(void **state)
{
    (void)state;
    expect_text("\"a\"", "a");
    expect_text(" \"\\u0041\" \n", "A");
    expect_text("\"\\\\u0000\"", "\\u0000"); /* an escaped backslash */
    expect_text("\"\\\\\\\\u0000\"", "\\\\u0000");
}

static void nul_and_leftovers_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",        "\"",   "\"a\\u0000b\"",   "\"\\\\\\u0000\"",
        "\"a\" x", "{}{}", "{\"\\u0000\":1}", "\"\\",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_null(kmse_json_parse(BAD[i], strlen(BAD[i])));
    assert_null(kmse_json_parse("\"a\"\0", sizeof("\"a\"\0") - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_whole),
        cmocka_unit_test(nul_and_leftovers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
