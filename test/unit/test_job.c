/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs, as a file says them and as a command line does. */
#include "test.h"

#include <string.h>

#include "table/job.h"

static struct kmse_job job;

static int tear_down(void **state)
{
    (void)state;
    kmse_job_wipe(&job);
    return 0;
}

#define STORY(f) cmocka_unit_test_teardown(f, tear_down)

static void expect_parsed(const char *text)
{
    struct kmse_why why = {""};
    kmse_st st = kmse_job_parse(&job, text, strlen(text), "job.cnf", &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

static void expect_bad(const char *text, int reason, const char *words)
{
    static const struct kmse_job NOTHING;
    struct kmse_why why = {""};
    kmse_st st = kmse_job_parse(&job, text, strlen(text), "job.cnf", &why);
    if (st.reason != reason || strstr(why.text, words) == NULL)
        fail_msg("\"%s\": %s: %s", text, kmse_reason_text(st.reason), why.text);
    assert_memory_equal(&job, &NOTHING, sizeof(job));
}

static void a_file_says_it_all(void **state)
{
    (void)state;
    expect_parsed(
        "[job]\ndatabase = sqlite:/a\nkeys = /k\nbatch = 7\njobs = 3\n"
        "rate = 5\nretry-for = 10s\n"
        "[column b]\ntable = s.t\ncolumn = c\n"
        "primary-key = id , part\nkey = emails\nencoding = hex\n"
        "aad = {id}\nwhere = \"x > 1 # not a comment\"\n"
        "[column a]\ntable = t\ncolumn = d\n");
    expect_ok(kmse_job_finish(&job, NULL));
    assert_string_equal(job.database, "sqlite:/a");
    assert_string_equal(job.keys, "/k");
    assert_int_equal(job.batch, 7);
    assert_int_equal(job.jobs, 3);
    assert_int_equal(job.rate, 5);
    assert_int_equal(job.retry_ms, 10000);
    assert_int_equal(job.column_count, 2);
    /* By the names of their sections. */
    assert_string_equal(job.columns[0].spec.column, "d");
    assert_int_equal(job.columns[0].spec.key_count, 0);
    assert_int_equal(job.columns[0].encoding, KMSE_ENCODING_AUTO);
    const struct kmse_job_column *b = &job.columns[1];
    assert_string_equal(b->spec.table, "s.t");
    assert_int_equal(b->spec.key_count, 2);
    assert_string_equal(b->spec.keys[0], "id");
    assert_string_equal(b->spec.keys[1], "part");
    assert_string_equal(b->spec.where, "x > 1 # not a comment");
    assert_string_equal(b->key, "emails");
    assert_string_equal(b->aad, "{id}");
    assert_int_equal(b->encoding, KMSE_ENCODING_HEX);
}

static void what_is_not_said_has_a_default(void **state)
{
    (void)state;
    expect_parsed("[job]\ndatabase = sqlite:/a\n");
    assert_int_equal(job.batch, 1000);
    assert_int_equal(job.jobs, 1);
    assert_int_equal(job.rate, 0);
    assert_int_equal(job.retry_ms, 300000);
    assert_null(job.keys);
}

static void what_is_unknown_is_refused(void **state)
{
    (void)state;
    expect_bad("[job]\nsize = 1\n", KMSE_R_CONFIG_KEY,
               "job.cnf, section [job]: size");
    expect_bad("[job]\ntable = 1\n", KMSE_R_CONFIG_KEY, "table");
    expect_bad("[column a]\nrate = 1\n", KMSE_R_CONFIG_KEY,
               "section [column a]: rate");
    expect_bad("[columns]\n", KMSE_R_CONFIG_KEY, "only [job] and");
    expect_bad("database = a\n", KMSE_R_CONFIG_KEY, "[default]");
    expect_bad("[job\n", KMSE_R_FILE, "job.cnf, line 1: not valid");
}

static void what_is_no_value_is_refused(void **state)
{
    (void)state;
    expect_bad("[job]\nbatch = 0\n", KMSE_R_CONFIG_VALUE, "batch = 0: must be");
    expect_bad("[job]\nbatch = 100001\n", KMSE_R_CONFIG_VALUE, "must be");
    expect_bad("[job]\njobs = 65\n", KMSE_R_CONFIG_VALUE, "must be");
    expect_bad("[job]\nrate = fast\n", KMSE_R_CONFIG_VALUE, "rows a second");
    expect_bad("[job]\nretry-for = soon\n", KMSE_R_CONFIG_VALUE, "retry-for");
    expect_bad("[column a]\nencoding = base32\n", KMSE_R_CONFIG_VALUE,
               "binary, base64 or hex");
    expect_bad("[column a]\naad = {id\n", KMSE_R_CONFIG_VALUE, "a { without");
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct kmse_why why = {""};
    expect_parsed("[column a]\ntable = t\n");
    expect_reason(kmse_job_finish(&job, &why), KMSE_R_CONFIG_VALUE);
    assert_string_equal(why.text, "database is missing");
    expect_ok(kmse_job_set(&job, "database", "sqlite:/a", NULL));
    expect_reason(kmse_job_finish(&job, &why), KMSE_R_CONFIG_VALUE);
    assert_string_equal(why.text, "section [column a]: column is missing");
    expect_ok(kmse_job_set(&job, "column", "c", NULL));
    expect_ok(kmse_job_set(&job, "primary-key", "a,,b", NULL));
    expect_reason(kmse_job_finish(&job, &why), KMSE_R_CONFIG_VALUE);
    assert_non_null(strstr(why.text, "1 to 8 columns"));
}

static void the_command_line_says_the_same(void **state)
{
    (void)state;
    struct kmse_why why = {""};
    kmse_job_init(&job);
    expect_reason(kmse_job_set(&job, "column", "c", &why), KMSE_R_CONFIG_VALUE);
    assert_non_null(strstr(why.text, "must come after its table"));
    expect_ok(kmse_job_set(&job, "table", "t", NULL));
    expect_ok(kmse_job_set(&job, "column", "c", NULL));
    expect_ok(kmse_job_set(&job, "table", "u", NULL));
    expect_ok(kmse_job_set(&job, "column", "d", NULL));
    expect_ok(kmse_job_set(&job, "database", "sqlite:/a", NULL));
    expect_ok(kmse_job_finish(&job, NULL));
    /* Twice is no harm: a job may be finished again. */
    expect_ok(kmse_job_finish(&job, NULL));
    assert_int_equal(job.column_count, 2);
    assert_string_equal(job.columns[0].spec.column, "c");
    assert_string_equal(job.columns[1].spec.table, "u");
    expect_reason(kmse_job_set(&job, "colour", "c", NULL), KMSE_R_CONFIG_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_file_says_it_all),
        STORY(what_is_not_said_has_a_default),
        STORY(what_is_unknown_is_refused),
        STORY(what_is_no_value_is_refused),
        STORY(what_is_missing_is_named),
        STORY(the_command_line_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
