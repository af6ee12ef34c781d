/* SPDX-License-Identifier: Apache-2.0 */
/* Messages counted by their version, in whatever form and pieces they come. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tally.h"

enum { VERSIONS = 3 };

static struct kmse_version_tally tally;
static struct kmse_why why;

static int set_up(void **state)
{
    (void)state;
    expect_ok(kmse_version_tally_init(&tally, VERSIONS));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_version_tally_wipe(&tally);
    return 0;
}

static void expect_counts(uint64_t one, uint64_t two, uint64_t three,
                          uint64_t unknown, uint64_t other)
{
    assert_int_equal(tally.counts[0], one);
    assert_int_equal(tally.counts[1], two);
    assert_int_equal(tally.counts[2], three);
    assert_int_equal(tally.unknown, unknown);
    assert_int_equal(tally.other, other);
}

static void forget(void)
{
    kmse_version_tally_wipe(&tally);
    expect_ok(kmse_version_tally_init(&tally, VERSIONS));
}

/* --- values ------------------------------------------------------------- */

static void add(const char *head, size_t len)
{
    kmse_version_tally_add(&tally, (const uint8_t *)head, len);
}

static void the_first_four_bytes_count(void **state)
{
    (void)state;
    add("K\0\0\1", 4);
    add("K\0\0\3", 4);
    add("\xd3\0\0\3", 4); /* a stream */
    add("\xc4\0\0\2", 4); /* a SIV message */
    add("K\0\0\4", 4);
    add("K\1\0\1", 4);
    add("K\0\0\0", 4);
    add("L\0\0\1", 4);
    add("K\0\0\1", 3);
    add("", 0);
    expect_counts(1, 1, 2, 2, 4);
    assert_int_equal(tally.unknown_version, 0x10001);
}

static void add_text(enum kmse_encoding encoding, const char *text)
{
    kmse_version_tally_add_text(&tally, encoding, text, strlen(text));
}

static void hex_is_read_in_all_its_forms(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"4b000002", "4B000002", "\\x4b000002",
                                       "0x4B000002", "4b0000021"};
    static const char *const BAD[] = {
        "4b00000", "\\x4b0000", "4b00000g", "x4b000002", "", "\\x", "0x"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
        add_text(KMSE_ENCODING_HEX, GOOD[i]);
    expect_counts(0, sizeof(GOOD) / sizeof(GOOD[0]), 0, 0, 0);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        add_text(KMSE_ENCODING_HEX, BAD[i]);
    assert_int_equal(tally.other, sizeof(BAD) / sizeof(BAD[0]));
}

static void base64_is_read_with_either_alphabet(void **state)
{
    (void)state;
    add_text(KMSE_ENCODING_BASE64, "SwAAAg==");
    add_text(KMSE_ENCODING_BASE64, "SwAAAv");
    add_text(KMSE_ENCODING_BASE64, "SwAAAv/+");
    expect_counts(0, 3, 0, 0, 0);
    add_text(KMSE_ENCODING_BASE64, "Swd__g"); /* 4b 07 7f fe */
    add_text(KMSE_ENCODING_BASE64, "Swd//g");
    assert_int_equal(tally.unknown, 2);
    assert_int_equal(tally.unknown_version, 0x077ffe);
    add_text(KMSE_ENCODING_BASE64, "SwAA");
    add_text(KMSE_ENCODING_BASE64, "SwAAA");
    add_text(KMSE_ENCODING_BASE64, "SwAAA=");
    add_text(KMSE_ENCODING_BASE64, " SwAAAg");
    add_text(KMSE_ENCODING_BASE64, "4b0000");
    expect_counts(0, 3, 0, 2, 5);
}

/* --- what a database has counted --------------------------------------- */

static void add_rows(enum kmse_encoding encoding, const char *head, size_t len,
                     uint64_t rows)
{
    kmse_version_tally_add_rows(&tally, encoding, (const uint8_t *)head, len,
                                rows);
}

static void many_rows_that_begin_alike_count_at_once(void **state)
{
    (void)state;
    add_rows(KMSE_ENCODING_BINARY, "K\0\0\2x", 5, 1000);
    add_rows(KMSE_ENCODING_BINARY, "K\0\0", 3, 10);
    add_rows(KMSE_ENCODING_BINARY, "K\0\0\x09", 4, 5);
    expect_counts(0, 1000, 0, 5, 10);
    forget();
    add_rows(KMSE_ENCODING_HEX, "\n4B 000\r\n003", 12, 7);
    add_rows(KMSE_ENCODING_HEX, "\\x4b000001", 10, 2);
    add_rows(KMSE_ENCODING_BASE64, "\r\nSwAAAg==", 10, 20);
    add_rows(KMSE_ENCODING_BASE64, "SwAA\0Ag==", 9, 1);
    add_rows(KMSE_ENCODING_BASE64, "", 0, 3);
    expect_counts(2, 20, 7, 0, 4);
}

/* --- lines -------------------------------------------------------------- */

static void feed_lines(const char *text, size_t piece)
{
    struct kmse_lines lines = {.tally = &tally, .encoding = KMSE_ENCODING_HEX};
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i += piece)
        kmse_lines_feed(&lines, text + i, len - i < piece ? len - i : piece);
    kmse_lines_end(&lines);
}

static void lines_come_in_any_pieces(void **state)
{
    (void)state;
    static const char TEXT[] = "4b000001\n4b000002ffffffffffffffff\r\n\n\r\n"
                               "hello\n\\x4b0000014b000002\n4b0\n4b000003";
    for (size_t piece = 1; piece <= sizeof(TEXT); piece++) {
        forget();
        feed_lines(TEXT, piece);
        expect_counts(2, 1, 1, 0, 2);
    }
}

/* --- CSV ---------------------------------------------------------------- */

static kmse_st feed_csv(const char *column, const char *text, size_t piece)
{
    struct kmse_csv csv;
    size_t len = strlen(text);
    forget();
    KMSE_TRY(kmse_csv_init(&csv, &tally, KMSE_ENCODING_HEX, column, &why));
    for (size_t i = 0; i < len; i += piece)
        KMSE_TRY(kmse_csv_feed(&csv, text + i,
                               len - i < piece ? len - i : piece, &why));
    return kmse_csv_end(&csv, &why);
}

static const char TABLE[] = "\xef\xbb\xbfid,\"a, \"\"b\"\"\nc\",note\r\n"
                            "1,4b000001,\"4b000003,\n\"\"4b000003\"\r\n"
                            "\"2\",\"4b0000020000000000000000000000\",\n"
                            "3,,4b000003\n"
                            "\n"
                            "4,none,\"\"\n"
                            "4b000003,\"4b\"\"0001\",x\n"
                            "5,4b000001,";

static void a_column_is_found_by_its_name(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(TABLE); piece++) {
        expect_ok(feed_csv("a, \"b\"\nc", TABLE, piece));
        expect_counts(2, 1, 0, 0, 2);
        expect_ok(feed_csv("id", TABLE, piece));
        expect_counts(0, 0, 1, 0, 5);
        expect_ok(feed_csv("note", TABLE, piece));
        expect_counts(0, 0, 2, 0, 1);
    }
}

static void or_by_its_number(void **state)
{
    (void)state;
    expect_ok(feed_csv("2", TABLE, 7));
    expect_counts(2, 1, 0, 0, 3);
    expect_ok(feed_csv("1", "4b000001\r\n4b000002", 3));
    expect_counts(1, 1, 0, 0, 0);
    expect_ok(feed_csv("1", "", 1));
    expect_counts(0, 0, 0, 0, 0);
}

static const struct {
    const char *column, *text, *said;
} BAD[] = {
    {"b", "a,c\n1,2\n", "row 1: no column has that name"},
    {"b", "", "row 1: no column has that name"},
    {"b", "b", NULL},
    {"b", "a,b,b\n", "row 1: two columns have that name"},
    {"b", "a,b\n1,2\n3\n", "row 3: it has no such column"},
    {"3", "1,2\n", "row 1: it has no such column"},
    {"1", "1,\"2\n", "row 1: a quote is open at the end"},
    {"1", "1\n2\"3\n", "row 2: a quote within a field"},
    {"1", "\"2\"3\n", "row 1: a quote within a field, or text behind it"},
    {"1", "\"2\"\r\"3\n", "row 1: a carriage return"},
    {"1", "1\r2\n", "row 1: a carriage return"},
    {"1", "1\r\r\n", "row 1: a carriage return"},
    {"2", "1\r2,3\n", "row 1: a carriage return"},
    {"1", "1\r", NULL},
    {"1", "\"1\"\r\n", NULL},
};

static void what_is_no_csv_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        for (size_t piece = 1; piece < 8; piece++) {
            kmse_st st = feed_csv(BAD[i].column, BAD[i].text, piece);
            if (BAD[i].said == NULL) {
                expect_ok(st);
                continue;
            }
            expect_reason(st, KMSE_R_FILE);
            if (strstr(why.text, BAD[i].said) == NULL)
                fail_msg("%zu: %s", i, why.text);
        }
    }
}

static void a_column_must_be_one(void **state)
{
    (void)state;
    static const char *const NONE[] = {"", "0", "00", "100000"};
    char name[KMSE_CSV_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++)
        expect_reason(feed_csv(NONE[i], "", 1), KMSE_R_PARAMETER);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    expect_reason(feed_csv(name, "", 1), KMSE_R_PARAMETER);
    /* The longest, and one that only begins as it does. */
    name[KMSE_CSV_NAME_MAX - 1] = '\0';
    char text[2 * sizeof(name) + 32];
    snprintf(text, sizeof(text), "%sy,%s\n4b000001,4b000002\n", name, name);
    expect_ok(feed_csv(name, text, 100));
    expect_counts(0, 1, 0, 0, 0);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_first_four_bytes_count),
        STORY(many_rows_that_begin_alike_count_at_once),
        STORY(hex_is_read_in_all_its_forms),
        STORY(base64_is_read_with_either_alphabet),
        STORY(lines_come_in_any_pieces),
        STORY(a_column_is_found_by_its_name),
        STORY(or_by_its_number),
        STORY(what_is_no_csv_is_refused),
        STORY(a_column_must_be_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
