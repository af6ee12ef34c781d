/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite backend, over files that SQLite itself has made. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "table/database.h"

static char path[64], url[96];
static sqlite3 *other; /* somebody else's connection */
static struct kmse_database *database;
static struct kmse_rows rows, position;
static struct kmse_why why;

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/kmse-sqlite-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0)
        return -1;
    snprintf(url, sizeof(url), "sqlite:%s", path);
    why.text[0] = '\0';
    return sqlite3_open(path, &other) == SQLITE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_database_close(database);
    database = NULL;
    kmse_rows_wipe(&rows);
    kmse_rows_wipe(&position);
    sqlite3_close(other);
    return unlink(path);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void sql(const char *text)
{
    char *error = NULL;
    if (sqlite3_exec(other, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
}

static void expect_fine(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

static kmse_st open_column(const struct kmse_column *column, bool writes)
{
    kmse_database_close(database);
    database = NULL;
    expect_fine(kmse_database_open(&database, url, &why));
    return kmse_database_open_column(database, column, writes, &why);
}

static void expect_refused(const struct kmse_column *column, const char *words)
{
    expect_reason(open_column(column, true), KMSE_R_DATABASE);
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, why.text);
}

/* The next rows of the whole table. */
static size_t read_next(size_t limit)
{
    struct kmse_range range = {0};
    if (rows.count > 0) {
        expect_ok(kmse_rows_copy_key(&position, &rows, rows.count - 1));
        range.after = &position;
    }
    expect_fine(kmse_database_read(database, &rows, &range, limit, &why));
    return rows.count;
}

static void expect_span(const struct kmse_span *span, const char *text)
{
    if (span->len != strlen(text)
        || memcmp(kmse_rows_at(&rows, span), text, span->len) != 0)
        fail_msg("\"%.*s\" instead of \"%s\"", (int)span->len,
                 (const char *)kmse_rows_at(&rows, span), text);
}

static void want(size_t index, const char *fresh)
{
    struct kmse_row *row = &rows.list[index];
    expect_ok(kmse_rows_put(&rows, &row->fresh, fresh, strlen(fresh)));
    row->state = KMSE_ROW_WRITE;
}

static void expect_told(const char *query, const char *value)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(other, query, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), value);
    sqlite3_finalize(statement);
}

static const struct kmse_column EMAILS = {.table = "users", .column = "email"};

static void make_users(void)
{
    sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email BLOB, x TEXT);"
        "INSERT INTO users VALUES (1, CAST('one' AS BLOB), 'x'), (2, NULL, ''),"
        " (3, 'three', 'y'), (10, CAST('ten' AS BLOB), 'z')");
}

/* --- counting ----------------------------------------------------------- */

struct counted {
    uint64_t rows, bytes;
    uint8_t first;
};

static void add(void *arg, const uint8_t *head, size_t len, uint64_t number)
{
    struct counted *counted = arg;
    counted->rows += number;
    counted->bytes += len;
    if (len > 0)
        counted->first = head[0];
}

static void it_shows_each_value_once_and_counts_nulls(void **state)
{
    (void)state;
    struct counted counted = {0};
    struct kmse_heads heads = {.encoding = KMSE_ENCODING_BINARY,
                               .add = add,
                               .arg = &counted,
                               .nulls = 7};
    bool settled = false;
    uint64_t mark = 0;
    make_users();
    sql("INSERT INTO users VALUES (11, x'', ''), (12, NULL, ''), (13, 42, '')");
    expect_fine(open_column(&EMAILS, false));
    expect_fine(kmse_database_has_settled(database, &mark, &settled, &why));
    assert_true(settled);
    expect_fine(kmse_database_count(database, &heads, &why));
    assert_int_equal(counted.rows, 5);
    assert_int_equal(counted.bytes, strlen("one"
                                           "three"
                                           "ten"
                                           "42"));
    assert_int_equal(heads.nulls, 2);
    expect_fine(kmse_database_count(database, &heads, &why));
    assert_int_equal(heads.nulls, 2);
    assert_int_equal(counted.rows, 10);
}

static void it_counts_only_what_the_condition_names(void **state)
{
    (void)state;
    struct counted counted = {0};
    struct kmse_heads heads = {
        .encoding = KMSE_ENCODING_HEX, .add = add, .arg = &counted};
    const struct kmse_column column = {
        .table = "users", .column = "email", .where = "x = 'z' -- last"};
    make_users();
    expect_fine(open_column(&column, false));
    expect_fine(kmse_database_count(database, &heads, &why));
    assert_int_equal(counted.rows, 1);
    assert_int_equal(counted.first, 't');
    assert_int_equal(heads.nulls, 0);
}

static void it_is_named_the_same_from_everywhere(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, false));
    char *whole = realpath(path, NULL);
    assert_string_equal(
        kmse_database_table(database)->place + strlen("sqlite:"), whole);
    free(whole);
}

/* --- reading ------------------------------------------------------------ */

static void it_tells_what_it_found(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, true));
    const struct kmse_table *table = kmse_database_table(database);
    assert_int_equal(table->key_count, 1);
    assert_string_equal(table->keys[0].name, "id");
    assert_string_equal(table->type, "BLOB");
    assert_true(table->is_binary);
    assert_int_equal(table->estimated_rows, 10);
}

static void it_reads_by_key_and_passes_nulls_over(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, false));
    assert_int_equal(read_next(2), 2);
    expect_span(&rows.list[0].key[0], "1");
    expect_span(&rows.list[0].old, "one");
    expect_span(&rows.list[1].key[0], "3");
    assert_int_equal(read_next(2), 1);
    expect_span(&rows.list[0].key[0], "10");
    expect_span(&rows.list[0].old, "ten");
    assert_int_equal(read_next(2), 0);
}

static void it_reads_between_two_keys(void **state)
{
    (void)state;
    struct kmse_rows until = {0};
    struct kmse_range range = {.after = &position, .until = &until};
    make_users();
    expect_fine(open_column(&EMAILS, false));
    assert_int_equal(read_next(10), 3);
    expect_ok(kmse_rows_copy_key(&position, &rows, 0));
    expect_ok(kmse_rows_copy_key(&until, &rows, 1));
    expect_fine(kmse_database_read(database, &rows, &range, 10, &why));
    assert_int_equal(rows.count, 1);
    expect_span(&rows.list[0].key[0], "3");
    range.after = NULL;
    expect_fine(kmse_database_read(database, &rows, &range, 10, &why));
    assert_int_equal(rows.count, 2);
    kmse_rows_wipe(&until);
}

/* Each row once, whatever the key is made of, in batches of one. */
static void expect_each_once(const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(read_next(1), 1);
        expect_span(&rows.list[0].key[0], keys[i]);
        want(0, "new");
        expect_fine(kmse_database_write(database, &rows, &why));
        assert_int_equal(rows.list[0].state, KMSE_ROW_WRITTEN);
    }
    assert_int_equal(read_next(1), 0);
}

static void keys_are_of_any_type(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"", "O'Brien\"\n", "a\\", "\xC3\xA4"};
    static const char *const MIXED[] = {"-7", "0.10000000000000001", "7",
                                        "seven", "\x01\xFF"};
    sql("CREATE TABLE t (k TEXT PRIMARY KEY, email BLOB) WITHOUT ROWID;"
        "INSERT INTO t VALUES ('', 'e'), ('O''Brien\"' || char(10), 'e'),"
        " ('a\\', 'e'), ('\xC3\xA4', 'e');"
        "CREATE TABLE m (k PRIMARY KEY, email BLOB);"
        "INSERT INTO m VALUES (7, 'e'), (-7, 'e'), (0.1, 'e'), ('seven', 'e'),"
        " (x'01FF', 'e')");
    expect_fine(open_column(
        &(struct kmse_column){.table = "t", .column = "email"}, true));
    expect_each_once(TEXTS, sizeof(TEXTS) / sizeof(TEXTS[0]));
    rows.count = 0;
    expect_fine(open_column(
        &(struct kmse_column){.table = "main.m", .column = "email"}, true));
    expect_each_once(MIXED, sizeof(MIXED) / sizeof(MIXED[0]));
}

static void keys_may_be_of_several_columns(void **state)
{
    (void)state;
    sql("CREATE TABLE t (\"a b\" INT NOT NULL, c TEXT NOT NULL, email BLOB,"
        " PRIMARY KEY (c, \"a b\"));"
        "INSERT INTO t VALUES (1, 'x', 'x1'), (2, 'x', 'x2'), (1, 'y', 'y1')");
    expect_fine(open_column(
        &(struct kmse_column){.table = "t", .column = "email"}, true));
    static const char *const VALUES[] = {"x1", "x2", "y1"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(read_next(1), 1);
        expect_span(&rows.list[0].old, VALUES[i]);
    }
    assert_int_equal(read_next(1), 0);
}

static void a_condition_narrows(void **state)
{
    (void)state;
    struct kmse_column column = EMAILS;
    column.where = "x <> 'y' -- or so";
    make_users();
    expect_fine(open_column(&column, true));
    assert_int_equal(read_next(10), 2);
}

/* --- writing ------------------------------------------------------------ */

static void it_writes_where_the_old_bytes_stand(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, true));
    assert_int_equal(read_next(10), 3);
    want(0, "first");
    want(1, "third");
    want(2, "tenth");
    sql("UPDATE users SET email = CAST('else' AS BLOB) WHERE id = 10");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(rows.list[0].state, KMSE_ROW_WRITTEN);
    assert_int_equal(rows.list[1].state, KMSE_ROW_WRITTEN);
    assert_int_equal(rows.list[2].state, KMSE_ROW_LOST);
    expect_told("SELECT group_concat(typeof(email) || ' ' || email) FROM users"
                " WHERE email IS NOT NULL ORDER BY id",
                "blob first,text third,blob else");

    expect_fine(kmse_database_reread(database, &rows, &why));
    assert_int_equal(rows.list[2].state, KMSE_ROW_READ);
    expect_span(&rows.list[2].old, "else");
    want(2, "tenth");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_WRITTEN), 3);
    expect_told("SELECT email FROM users WHERE id = 10", "tenth");
}

/* A column's collation calls equal what are other bytes: base64, say. */
static void equal_is_byte_for_byte(void **state)
{
    (void)state;
    sql("CREATE TABLE users (id INTEGER PRIMARY KEY,"
        " email TEXT COLLATE NOCASE);"
        "INSERT INTO users VALUES (1, 'abc')");
    expect_fine(open_column(&EMAILS, true));
    assert_false(kmse_database_table(database)->is_binary);
    assert_int_equal(read_next(1), 1);
    want(0, "new");
    sql("UPDATE users SET email = 'ABC'");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(rows.list[0].state, KMSE_ROW_LOST);
}

static void a_row_that_went_is_gone(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, true));
    assert_int_equal(read_next(10), 3);
    want(0, "first");
    want(2, "tenth");
    sql("DELETE FROM users WHERE id = 1;"
        "UPDATE users SET email = NULL WHERE id = 10");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_LOST), 2);
    expect_fine(kmse_database_reread(database, &rows, &why));
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_GONE), 2);
    assert_int_equal(rows.list[1].state, KMSE_ROW_READ);
}

static void a_batch_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    make_users();
    sql("CREATE TRIGGER no BEFORE UPDATE ON users WHEN old.id = 10"
        " BEGIN SELECT RAISE(ABORT, 'as told'); END");
    expect_fine(open_column(&EMAILS, true));
    assert_int_equal(read_next(10), 3);
    want(0, "first");
    want(2, "tenth");
    expect_reason(kmse_database_write(database, &rows, &why), KMSE_R_DATABASE);
    assert_non_null(strstr(why.text, "as told"));
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_WRITE), 2);
    expect_told("SELECT email FROM users WHERE id = 1", "one");
    sql("DROP TRIGGER no");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_WRITTEN), 2);
}

static void a_lost_file_may_come_back(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, true));
    assert_int_equal(read_next(1), 1);
    expect_fine(kmse_database_reopen(database, &why));
    assert_int_equal(read_next(10), 2);
    want(0, "third");
    expect_fine(kmse_database_write(database, &rows, &why));
    assert_int_equal(rows.list[0].state, KMSE_ROW_WRITTEN);
}

/* --- refusals ----------------------------------------------------------- */

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct kmse_column column = EMAILS;
    make_users();
    column.table = "people";
    expect_refused(&column, "there is no table people");
    column = EMAILS;
    column.column = "mail";
    expect_refused(&column, "users has no column mail");
    column = EMAILS;
    column.key_count = 1;
    column.keys[0] = "number";
    expect_refused(&column, "users has no column number");
    column = EMAILS;
    column.where = "\"nowhere\" = 1";
    expect_refused(&column, "no such column");
}

static void columns_that_make_no_row_are_refused(void **state)
{
    (void)state;
    struct kmse_column column = EMAILS;
    sql("CREATE TABLE users (a INT, b INT, email BLOB)");
    expect_refused(&column, "no primary key");
    column.key_count = 2;
    column.keys[0] = "a";
    column.keys[1] = "b";
    expect_refused(&column, "no unique index");
    sql("CREATE UNIQUE INDEX part ON users (a) WHERE a > 0");
    expect_refused(&column, "no unique index");
    sql("CREATE UNIQUE INDEX expression ON users (a + 1)");
    expect_refused(&column, "no unique index");
    sql("CREATE UNIQUE INDEX whole ON users (b)");
    expect_fine(open_column(&column, true));
    sql("INSERT INTO users VALUES (NULL, NULL, 'e')");
    struct kmse_range range = {0};
    expect_reason(kmse_database_read(database, &rows, &range, 1, &why),
                  KMSE_R_DATABASE);
    assert_non_null(strstr(why.text, "a is NULL in a row"));
}

static void only_databases_that_are_there_are_opened(void **state)
{
    (void)state;
    struct kmse_database *none = NULL;
    expect_reason(kmse_database_open(&none, "oracle:scott:tiger", &why),
                  KMSE_R_PARAMETER);
    assert_non_null(strstr(why.text, "\"oracle\"; this build has:"));
    assert_null(strstr(why.text, "tiger"));
    expect_reason(kmse_database_open(&none, "sqlite:", &why), KMSE_R_PARAMETER);
    assert_null(none);
    snprintf(url, sizeof(url), "sqlite:%s.not-there", path);
    expect_refused(&EMAILS, "unable to open database file");
    assert_int_not_equal(access(url + strlen("sqlite:"), F_OK), 0);
}

static void a_table_that_went_ends_it(void **state)
{
    (void)state;
    make_users();
    expect_fine(open_column(&EMAILS, true));
    assert_int_equal(read_next(1), 1);
    sql("DROP TABLE users");
    want(0, "first");
    kmse_st st = kmse_database_write(database, &rows, &why);
    assert_int_not_equal(st.reason, 0);
    expect_reason(kmse_database_reopen(database, &why), KMSE_R_DATABASE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(it_shows_each_value_once_and_counts_nulls),
        STORY(it_counts_only_what_the_condition_names),
        STORY(it_is_named_the_same_from_everywhere),
        STORY(it_tells_what_it_found),
        STORY(it_reads_by_key_and_passes_nulls_over),
        STORY(it_reads_between_two_keys),
        STORY(keys_are_of_any_type),
        STORY(keys_may_be_of_several_columns),
        STORY(a_condition_narrows),
        STORY(it_writes_where_the_old_bytes_stand),
        STORY(equal_is_byte_for_byte),
        STORY(a_row_that_went_is_gone),
        STORY(a_batch_is_written_whole_or_not_at_all),
        STORY(a_lost_file_may_come_back),
        STORY(what_is_missing_is_named),
        STORY(columns_that_make_no_row_are_refused),
        STORY(only_databases_that_are_there_are_opened),
        STORY(a_table_that_went_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
