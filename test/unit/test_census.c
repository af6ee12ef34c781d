/* SPDX-License-Identifier: Apache-2.0 */
/* Censuses, as a key file has them; and all that it says of ends. */
#include "retire_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- censuses ----------------------------------------------------------- */

static void a_census_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    ring_rotate(0);
    expect_done(count(SCOPE, 7, 1));
    wait_s(9);
    expect_done(count(SCOPE, 5, 3));
    expect_done(count("elsewhere", 1, 0));
    struct kmse_keyfile *file = read_file();
    assert_int_equal(file->census_count, 2);
    const struct kmse_census_record *record = kmse_keyfile_census(file, SCOPE);
    assert_int_equal(kmse_census_found(record, 1), 5);
    assert_int_equal(kmse_census_found(record, 2), 3);
    assert_int_equal(kmse_census_found(record, 3), 0);
    assert_int_equal(record->taken_s, now_s());
    assert_string_equal(record->tool, TOOL);
    assert_null(kmse_keyfile_census(file, "users.email"));
    kmse_keyfile_free(file);
}

static void an_older_census_does_not(void **state)
{
    (void)state;
    const struct kmse_census old = {
        .scope = SCOPE, .tool = TOOL, .taken_s = now_s()};
    ring_rotate(0);
    wait_s(1);
    expect_done(count(SCOPE, 7, 1));
    char *before = read_bytes();
    expect_said(kmse_rotation_record_census(with(), NAME, &old, &why),
                KMSE_R_STATE, "began later");
    expect_unchanged(before);
}

static void a_census_that_cannot_be_right_is_refused(void **state)
{
    (void)state;
    const struct kmse_version_count third = {3, 1}, none = {3, 0};
    struct kmse_census census = {.scope = SCOPE,
                                 .tool = TOOL,
                                 .taken_s = now_s(),
                                 .counts = &third,
                                 .count_count = 1};
    ring_rotate(0);
    char *before = read_bytes();
    expect_said(kmse_rotation_record_census(with(), NAME, &census, &why),
                KMSE_R_KEY_VERSION_UNKNOWN, "of version 3");
    census.counts = &none;
    census.other = 12;
    expect_said(kmse_rotation_record_census(with(), NAME, &census, &why),
                KMSE_R_PARAMETER, "not one of 12 rows");
    census.other = 0;
    census.taken_s = now_s() + 1;
    expect_said(kmse_rotation_record_census(with(), NAME, &census, &why),
                KMSE_R_STATE, "in the future");
    census.taken_s = now_s();
    static const char *const BAD[] = {"", "two\nlines", "\x7f", "\xff"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        census.scope = BAD[i];
        expect_said(kmse_rotation_record_census(with(), NAME, &census, &why),
                    KMSE_R_PARAMETER, "scope");
    }
    expect_unchanged(before);
    census.scope = "Zeilen \xc3\xbc"
                   "ber alles";
    expect_done(kmse_rotation_record_census(with(), NAME, &census, &why));
}

static void there_is_an_end_to_scopes(void **state)
{
    (void)state;
    char scope[16];
    for (int i = 0; i < KMSE_CENSUSES_MAX; i++) {
        snprintf(scope, sizeof(scope), "scope %d", i);
        expect_done(count(scope, 1, 0));
    }
    expect_said(count("one more", 0, 0), KMSE_R_STATE, "forget");
    expect_done(count("scope 0", 0, 0));
    expect_done(kmse_rotation_forget_census(with(), NAME, "scope 9", &why));
    expect_done(count("one more", 0, 0));
}

/* --- the file ----------------------------------------------------------- */

static void the_tag_of_the_file_covers_it(void **state)
{
    (void)state;
    make_retired();
    expect_done(count("elsewhere", 9, 0));
    struct kmse_keyfile *file = read_file();
    struct kmse_secret newest = {0};
    expect_done(kmse_keyfile_unwrap(&newest, with()->kms, with()->crypto, file,
                                    kmse_keyfile_newest(file), &why));
    int64_t *const times[] = {
        &file->versions[0].retired_s, &file->versions[0].destroyed_s,
        &file->versions[0].restored_s, &file->censuses[1].taken_s};
    uint64_t *const numbers[] = {
        &file->censuses[0].found[0], &file->censuses[1].found[0],
        &file->censuses[0].other, &file->policy.destroy_after_s,
        &file->policy.census_fence_s};
    char *const texts[] = {file->censuses[1].scope, file->censuses[0].tool};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        ++*times[i];
        expect_reason(
            kmse_keyfile_check_mac(with()->crypto, file, &newest, &why),
            KMSE_R_KEYFILE_MAC);
        --*times[i];
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ++*numbers[i];
        expect_reason(
            kmse_keyfile_check_mac(with()->crypto, file, &newest, &why),
            KMSE_R_KEYFILE_MAC);
        --*numbers[i];
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        texts[i][0] ^= 1;
        expect_reason(
            kmse_keyfile_check_mac(with()->crypto, file, &newest, &why),
            KMSE_R_KEYFILE_MAC);
        texts[i][0] ^= 1;
    }
    expect_done(kmse_keyfile_check_mac(with()->crypto, file, &newest, &why));

    kmse_secret_wipe(&newest);
    kmse_keyfile_free(file);
}

static void a_file_without_an_end_says_nothing_of_it(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"retired",       "destroyed",
                                        "restored",      "census",
                                        "destroy-after", "census-fence"};
    ring_rotate(0);
    char *text = read_bytes();
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++)
        assert_null(strstr(text, WORDS[i]));
    free(text);
    make_retired();
    text = read_bytes();
    assert_non_null(strstr(text, "\"retired\":"));
    assert_non_null(strstr(text, "\"censuses\":"));
    free(text);
}

/* The file's text with that in it replaced, once. */
static kmse_st parse_with(const char *text, const char *from, const char *to)
{
    struct kmse_keyfile *file = NULL;
    const char *at = strstr(text, from);
    if (at == NULL)
        fail_msg("there is no %s in %s", from, text);
    size_t len = strlen(text) + strlen(to) + 1;
    char *other = malloc(len);
    assert_non_null(other);
    snprintf(other, len, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    kmse_st st =
        kmse_keyfile_parse(&file, other, strlen(other), NAME, "the file", &why);
    assert_true(kmse_is_ok(st) == (file != NULL));
    kmse_keyfile_free(file);
    free(other);
    return st;
}

static const struct {
    const char *from, *to, *field;
} BAD[] = {
    {"\"retired\":\t\"20", "\"retired\":\t\"30", NULL},
    {"\"retired\":\t\"20", "\"retired\":\t\"x", "versions[0].retired"},
    {"\"state\":\t\"retired", "\"state\":\t\"active", "versions[0].retired"},
    {"\"state\":\t\"active", "\"restored\":\t7, \"state\":\t\"active",
     "versions[1].restored"},
    {"\"state\":\t\"active",
     "\"destroyed\":\t\"2027-01-15T08:00:00Z\", \"state\":\t\"active",
     "versions[1].destroyed"},
    {"\"state\":\t\"active",
     "\"restored\":\t\"1970-01-01T00:00:00Z\", \"state\":\t\"active",
     "versions[1].restored"},
    {"\"policy\":\t{", "\"policy\":\t{\"destroy-after\": 0", "destroy-after"},
    {"\"policy\":\t{", "\"policy\":\t{\"destroy-after\": 316224001",
     "destroy-after"},
    {"\"policy\":\t{", "\"policy\":\t{\"census-fence\": 4", "census-fence"},
    {"\"policy\":\t{", "\"policy\":\t{\"census-fence\": 5", NULL},
    {"\"scope\":", "\"more\": 1, \"scope\":", "censuses[0]: has an unknown"},
    {"\"scope\":", "\"tool\": \"x\", \"scope\":", "censuses[0].tool: given"},
    {"\"scope\":", "\"Scope\":", "censuses[0]: has an unknown"},
    {"users.email of crm", "", "censuses[0].scope"},
    {"users.email of crm", "a\\nb", "censuses[0].scope"},
    {"users.email of crm", "elsewhere", "censuses[1].scope: given twice"},
    {"\"test 1\"", "1", "censuses[0].tool"},
    {"\"taken\":\t\"20", "\"taken\":\t\"", "censuses[0].taken"},
    {"[0, 1000]", "[0, 1000, 0]", "censuses[0].found"},
    {"[0, 1000]", "[]", "censuses[0].found"},
    {"[0, 1000]", "[0, -1]", "censuses[0].found"},
    {"[0, 1000]", "[0, 1.5]", "censuses[0].found"},
    {"[0, 1000]", "[0, \"1\"]", "censuses[0].found"},
    {"[0, 1000]", "[0, 1e300]", "censuses[0].found"},
    {"[0, 1000]", "[7]", NULL},
    {"\"other\":\t0", "\"other\":\tnull", "censuses[0].other"},
    {"\"other\":\t0", "\"other\":\t9007199254740992", NULL},
};

static void it_is_read_strictly(void **state)
{
    (void)state;
    make_retired();
    expect_done(count("elsewhere", 0, 0));
    char *text = read_bytes();
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        kmse_st st = parse_with(text, BAD[i].from, BAD[i].to);
        if (BAD[i].field == NULL)
            expect_done(st);
        else
            expect_said(st, KMSE_R_KEYFILE_FIELD, BAD[i].field);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(a_census_takes_the_place_of_the_one_before),
        RING_STORY(an_older_census_does_not),
        RING_STORY(a_census_that_cannot_be_right_is_refused),
        RING_STORY(there_is_an_end_to_scopes),
        RING_STORY(the_tag_of_the_file_covers_it),
        RING_STORY(a_file_without_an_end_says_nothing_of_it),
        RING_STORY(it_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
