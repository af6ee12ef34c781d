/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: what a value is written as. */
#include "kms/aws_form.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void expect_form(const struct kmse_aws_field *fields, size_t count,
                        const char *expected)
{
    struct kmse_aws_form form = {.text = NULL};
    expect_ok(kmse_aws_form_print(&form, fields, count));
    assert_string_equal(form.text, expected);
    assert_int_equal(form.len, strlen(expected));
    kmse_aws_form_wipe(&form);
    assert_null(form.text);
    kmse_aws_form_wipe(&form);
}

static void fields_stand_in_their_order(void **state)
{
    const struct kmse_aws_field fields[] = {
        {"b", "1"}, {"left out", NULL}, {"a", ""}, {"c d", "2"}};
    (void)state;
    expect_form(fields, COUNT(fields), "b=1&a=&c%20d=2");
    expect_form(fields, 1, "b=1");
    expect_form(fields + 1, 1, "");
    expect_form(NULL, 0, "");
}

/* Every byte that a text can have. */
static void all_but_unreserved_letters_are_encoded(void **state)
{
    static const char UNRESERVED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "abcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    (void)state;
    for (unsigned byte = 1; byte < 256; byte++) {
        char value[] = {(char)byte, '\0'}, expected[8];
        const struct kmse_aws_field field = {"v", value};
        if (strchr(UNRESERVED, (int)byte) != NULL)
            snprintf(expected, sizeof(expected), "v=%c", (int)byte);
        else
            snprintf(expected, sizeof(expected), "v=%%%02X", byte);
        expect_form(&field, 1, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_stand_in_their_order),
        cmocka_unit_test(all_but_unreserved_letters_are_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
