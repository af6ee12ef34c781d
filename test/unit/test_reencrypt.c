/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a row, with a KMS that fails when the test says so. */
#include "ring_fixture.h"

#include <string.h>

#include "table/reencrypt.h"

static char id[] = "id", type[] = "int";
static const struct kmse_table TABLE = {
    .keys = {{id, type, false}}, .key_count = 1, .is_binary = true};
static const char AAD[] = "users.email:{id}";

static struct kmse_reencrypt reencrypt;
static struct kmse_rows rows;
static void *worker;
static struct kmse_why why;

static void start(const struct kmse_reencrypt *how)
{
    reencrypt = *how;
    reencrypt.ring = ring_fixture.ring;
    reencrypt.key = "emails";
    kmse_st st = kmse_reencrypt_begin(&worker, &reencrypt, &TABLE, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s", why.text);
}

static void end(void)
{
    if (worker != NULL)
        kmse_reencrypt_end(worker);
    worker = NULL;
    kmse_rows_wipe(&rows);
}

static int tear_down(void **state)
{
    end();
    return ring_tear_down(state);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, ring_set_up, tear_down)

static struct kmse_row *add(const char *key, const void *value, size_t len)
{
    struct kmse_row *row = NULL;
    expect_ok(kmse_rows_add(&rows, &row));
    expect_ok(kmse_rows_put(&rows, &row->key[0], key, strlen(key)));
    expect_ok(kmse_rows_put(&rows, &row->old, value, len));
    return row;
}

/*
 * A row of a version is made by having a foreign one "opened" and sealed: the
 * hook that later layouts use.
 */
static kmse_st open_foreign(void *arg, bool *is_known,
                            struct kmse_scratch *plaintext, const uint8_t *in,
                            size_t in_len, struct kmse_why *why_)
{
    (void)arg;
    (void)why_;
    KMSE_TRY(kmse_scratch_reserve(plaintext, in_len));
    memcpy(plaintext->bytes, in, in_len);
    plaintext->len = in_len;
    *is_known = in_len == 0 || in[0] != '!';
    return KMSE_OK;
}

static const struct kmse_foreign FOREIGN = {.open = open_foreign};

static kmse_st process(void)
{
    return kmse_reencrypt_process(worker, &rows, &why);
}

/* Puts a sealed row where its old value was, as a database would. */
static void settle(void)
{
    for (size_t i = 0; i < rows.count; i++) {
        if (rows.list[i].state == KMSE_ROW_WRITE)
            rows.list[i].old = rows.list[i].fresh;
        rows.list[i].state = KMSE_ROW_READ;
    }
}

static uint32_t version_of(size_t index)
{
    return kmse_encoding_version(
        reencrypt.encoding == KMSE_ENCODING_AUTO ? KMSE_ENCODING_BINARY
                                                 : reencrypt.encoding,
        kmse_rows_at(&rows, &rows.list[index].old), rows.list[index].old.len);
}

/* Three rows of version 1, the last of them empty, and the key rotated. */
static void make_rows(const struct kmse_reencrypt *how)
{
    struct kmse_reencrypt seal = *how;
    seal.mode = KMSE_REENCRYPT_WRITE;
    seal.foreign = &FOREIGN;
    start(&seal);
    add("1", "anna", 4);
    add("2", "YW5uYQ==", 8);
    add("3", "", 0);
    expect_ok(process());
    settle();
    kmse_reencrypt_end(worker);
    worker = NULL;
    ring_rotate(0);
    ring_time_ms += 1000;
    start(how);
}

static void expect_states(enum kmse_row_state state)
{
    for (size_t i = 0; i < rows.count; i++)
        assert_int_equal(rows.list[i].state, state);
}

/* --- stories ------------------------------------------------------------ */

static void rows_of_older_versions_are_sealed_anew(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {.aad = AAD};
    make_rows(&how);
    assert_int_equal(version_of(0), 1);
    size_t len = rows.list[0].old.len;
    expect_ok(process());
    expect_states(KMSE_ROW_WRITE);
    assert_int_equal(rows.list[0].fresh.len, len);
    settle();
    assert_int_equal(version_of(0), 2);
    assert_int_equal(version_of(2), 2);
    expect_ok(process());
    expect_states(KMSE_ROW_NEWEST);
    /* And they open. */
    settle();
    kmse_reencrypt_end(worker);
    start(&(struct kmse_reencrypt){.aad = AAD, .mode = KMSE_REENCRYPT_VERIFY});
    expect_ok(process());
    expect_states(KMSE_ROW_NEWEST);
}

static void each_encoding_stays_what_it_was(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {.encoding = KMSE_ENCODING_BASE64};
    start(&(struct kmse_reencrypt){.encoding = KMSE_ENCODING_BASE64,
                                   .foreign = &FOREIGN});
    add("1", "YW5uYQ==", 8);
    expect_ok(process());
    expect_states(KMSE_ROW_WRITE);
    settle();
    assert_memory_equal(kmse_rows_at(&rows, &rows.list[0].old), "SwAAAe", 5);
    assert_int_equal(rows.list[0].old.len, 48);
    kmse_reencrypt_end(worker);
    ring_rotate(0);
    ring_time_ms += 1000;
    start(&how);
    expect_ok(process());
    settle();
    assert_int_equal(version_of(0), 2);
}

static void a_dry_run_and_a_verification_write_nothing(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {.mode = KMSE_REENCRYPT_DRY};
    make_rows(&how);
    expect_ok(process());
    expect_states(KMSE_ROW_OLDER);
    settle();
    kmse_reencrypt_end(worker);
    start(&(struct kmse_reencrypt){.mode = KMSE_REENCRYPT_VERIFY});
    expect_ok(process());
    expect_states(KMSE_ROW_OLDER);
}

/* Of each single bit of a message, in the body; the tag has its own stories. */
static void no_changed_bit_goes_through(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {.aad = AAD};
    make_rows(&how);
    rows.count = 1;
    size_t bits = rows.list[0].old.len * 8;
    for (size_t bit = 4 * 8; bit < bits; bit++) {
        uint8_t *byte = kmse_rows_edit(&rows, &rows.list[0].old) + bit / 8;
        uint8_t mask = (uint8_t)(1U << bit % 8);
        rows.list[0].state = KMSE_ROW_READ;
        *byte ^= mask;
        expect_ok(process());
        assert_int_equal(rows.list[0].state, KMSE_ROW_UNREADABLE);
        assert_int_equal(rows.list[0].reason, KMSE_R_TAG_MISMATCH);
        *byte ^= mask;
    }
    rows.list[0].state = KMSE_ROW_READ;
    expect_ok(process());
    expect_states(KMSE_ROW_WRITE);
}

static void every_truncation_is_seen(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {0};
    make_rows(&how);
    rows.count = 1;
    size_t whole = rows.list[0].old.len;
    for (size_t len = 0; len < whole; len++) {
        rows.list[0].state = KMSE_ROW_READ;
        rows.list[0].old.len = len;
        expect_ok(process());
        assert_int_equal(rows.list[0].state,
                         len < 4 ? KMSE_ROW_FOREIGN : KMSE_ROW_UNREADABLE);
    }
}

static void a_row_of_another_key_does_not_open(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {.aad = AAD};
    make_rows(&how);
    *kmse_rows_edit(&rows, &rows.list[1].key[0]) = '9';
    expect_ok(process());
    assert_int_equal(rows.list[0].state, KMSE_ROW_WRITE);
    assert_int_equal(rows.list[1].state, KMSE_ROW_UNREADABLE);
}

static void what_has_no_tag_is_not_ours(void **state)
{
    (void)state;
    start(&(struct kmse_reencrypt){0});
    add("1", "anna@example.org", 16);
    add("2", "K\0\0\0 and so on", 14); /* version 0 */
    add("3", "", 0);
    expect_ok(process());
    expect_states(KMSE_ROW_FOREIGN);
    end();
    start(&(struct kmse_reencrypt){.foreign = &FOREIGN});
    add("1", "!anna", 5);
    add("2", "anna", 4);
    expect_ok(process());
    assert_int_equal(rows.list[0].state, KMSE_ROW_FOREIGN);
    assert_int_equal(rows.list[1].state, KMSE_ROW_WRITE);
}

static void a_version_that_is_not_there_is_of_the_row(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {0};
    make_rows(&how);
    kmse_rows_edit(&rows, &rows.list[1].old)[3] = 9;
    expect_ok(process());
    assert_int_equal(rows.list[0].state, KMSE_ROW_WRITE);
    assert_int_equal(rows.list[1].state, KMSE_ROW_UNREADABLE);
    assert_int_equal(rows.list[1].reason, KMSE_R_KEY_VERSION_UNKNOWN);
}

static void a_kms_that_is_away_is_of_all_rows(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {0};
    make_rows(&how);
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    ring_time_ms += RING_MAX_AGE_MS + RING_STALE_MS + 1;
    expect_reason(process(), KMSE_R_KMS_UNREACHABLE);
    expect_states(KMSE_ROW_READ);
    ring_failure = 0;
    ring_time_ms += 10000;
    expect_ok(process());
    expect_states(KMSE_ROW_WRITE);
}

static void a_limit_ends_it(void **state)
{
    (void)state;
    const struct kmse_reencrypt how = {0};
    make_rows(&how);
    end();
    kmse_ring_release(ring_fixture.ring);
    ring_make(&(struct kmse_ring_options){.max_messages = 2});
    start(&(struct kmse_reencrypt){.foreign = &FOREIGN});
    for (int i = 0; i < 3; i++)
        add("1", "anna", 4);
    expect_reason(process(), KMSE_R_KEY_LIMIT);
    assert_int_equal(rows.list[2].state, KMSE_ROW_FOREIGN);
}

static void what_a_job_has_wrong_is_told_first(void **state)
{
    (void)state;
    struct kmse_reencrypt wrong = {
        .ring = ring_fixture.ring, .key = "emails", .aad = "{name}"};
    expect_reason(kmse_reencrypt_begin(&worker, &wrong, &TABLE, &why),
                  KMSE_R_PARAMETER);
    wrong.aad = NULL;
    wrong.key = "nobody";
    expect_reason(kmse_reencrypt_begin(&worker, &wrong, &TABLE, &why),
                  KMSE_R_KEY_NOT_FOUND);
    assert_null(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(rows_of_older_versions_are_sealed_anew),
        STORY(each_encoding_stays_what_it_was),
        STORY(a_dry_run_and_a_verification_write_nothing),
        STORY(no_changed_bit_goes_through),
        STORY(every_truncation_is_seen),
        STORY(a_row_of_another_key_does_not_open),
        STORY(what_has_no_tag_is_not_ours),
        STORY(a_version_that_is_not_there_is_of_the_row),
        STORY(a_kms_that_is_away_is_of_all_rows),
        STORY(a_limit_ends_it),
        STORY(what_a_job_has_wrong_is_told_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
