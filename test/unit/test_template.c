/* SPDX-License-Identifier: Apache-2.0 */
/* The AAD of a row. */
#include "test.h"

#include <string.h>

#include "table/template.h"

/* Names of a table that is nobody's: not to be wiped. */
static char id[] = "id", part[] = "part no", type[] = "text";
static const struct kmse_table TABLE = {
    .keys = {{id, type, false}, {part, type, true}},
    .key_count = 2,
};

static struct kmse_rows rows;
static struct kmse_scratch aad;

static int set_up(void **state)
{
    (void)state;
    struct kmse_row *row = NULL;
    expect_ok(kmse_rows_add(&rows, &row));
    expect_ok(kmse_rows_put(&rows, &row->key[0], "42", 2));
    expect_ok(kmse_rows_put(&rows, &row->key[1], "\x00\xFF", 2));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_rows_wipe(&rows);
    kmse_scratch_wipe(&aad);
    return 0;
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void expect_aad(const char *text, const char *wanted, size_t len)
{
    struct kmse_template template_ = {0};
    struct kmse_why why = {""};
    kmse_st st = kmse_template_parse(&template_, text, &TABLE, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", text, why.text);
    expect_ok(kmse_template_render(&template_, &aad, &rows, rows.list));
    assert_int_equal(aad.len, len);
    if (len > 0)
        assert_memory_equal(aad.bytes, wanted, len);
    kmse_template_wipe(&template_);
}

static void columns_stand_for_their_values(void **state)
{
    (void)state;
    expect_aad("users.email:{id}", "users.email:42", 14);
    expect_aad("{id}{part no}{id}",
               "42\x00\xFF"
               "42",
               6);
    expect_aad("{part no:hex}/{id:hex}", "00ff/3432", 9);
    expect_aad("plain", "plain", 5);
    expect_aad("{{{id}}}", "{42}", 4);
    expect_aad("}}{{", "}{", 2);
}

static void none_is_none(void **state)
{
    (void)state;
    expect_aad("{id}", "42", 2);
    expect_aad(NULL, "", 0);
    expect_aad("", "", 0);
}

static void expect_bad(const char *text, const char *words)
{
    struct kmse_template template_ = {0};
    struct kmse_why why = {""};
    expect_reason(kmse_template_parse(&template_, text, &TABLE, &why),
                  KMSE_R_PARAMETER);
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, why.text);
    assert_null(template_.parts);
    assert_int_equal(template_.count, 0);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    expect_bad("a{", "a { without");
    expect_bad("a{id", "a { without");
    expect_bad("a{i{d}", "a { without");
    expect_bad("{}", "a { without");
    expect_bad("a}", "a } without");
    expect_bad("{id}}", "a } without");
    expect_bad("{name}", "{name} is no column of the primary key");
    expect_bad("{ID}", "{ID} is no column");
    expect_bad("{id:HEX}", "{id:HEX} is no column");
    expect_bad("{:hex}", "{:hex} is no column");
    expect_reason(kmse_template_check("{", NULL), KMSE_R_PARAMETER);
    expect_ok(kmse_template_check("{any}{{}}", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(columns_stand_for_their_values),
        STORY(none_is_none),
        STORY(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
