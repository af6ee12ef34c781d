/* SPDX-License-Identifier: Apache-2.0 */
/* The kill switch: a revoked version is used for nothing, and is not lost. */
#include "ring_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char NAME[] = "emails";
enum { A_SECOND_MS = 1000 };

static struct kmse_why why;

static void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

static kmse_st revoke(uint32_t version, bool rotate, uint32_t *number)
{
    return kmse_rotation_revoke(&ring_fixture.rotation, NAME, version, rotate,
                                number, &why);
}

static kmse_st undo(uint32_t version)
{
    return kmse_rotation_undo_revoke(&ring_fixture.rotation, NAME, version,
                                     &why);
}

static kmse_st read_with(uint32_t version)
{
    struct kmse_lease *lease = NULL;
    kmse_st st = kmse_lease_version(&lease, ring_key(), version, &why);
    kmse_lease_give_back(&lease);
    return st;
}

static struct kmse_keyfile *read_file(void)
{
    struct kmse_keyfile *file = NULL;
    expect_done(
        kmse_keyfile_read(&file, ring_fixture.folder, NAME, NULL, &why));
    return file;
}

static enum kmse_version_state state_of(uint32_t version)
{
    struct kmse_keyfile *file = read_file();
    enum kmse_version_state state = kmse_keyfile_find(file, version)->state;
    kmse_keyfile_free(file);
    return state;
}

/* That the file has the right MAC: nobody rotates upon another. */
static void expect_proven(void)
{
    uint32_t number = 0;
    expect_done(
        kmse_rotation_rotate(&ring_fixture.rotation, NAME, 0, &number, &why));
}

/* As no verb of ours does, but with a MAC that is right. */
static void set_state(uint32_t version, enum kmse_version_state state)
{
    const struct kmse_rotation *r = &ring_fixture.rotation;
    struct kmse_keyfile *file = read_file();
    struct kmse_secret newest = {0};
    expect_done(kmse_keyfile_unwrap(&newest, r->kms, r->crypto, file,
                                    kmse_keyfile_newest(file), &why));
    file->versions[version - 1].state = state;
    expect_done(kmse_keyfile_mac(file->mac, r->crypto, file, &newest));
    expect_done(kmse_keyfile_write(file, ring_fixture.folder, &why));
    kmse_secret_wipe(&newest);
    kmse_keyfile_free(file);
}

static char *read_bytes(void)
{
    char path[128];
    uint8_t *bytes = NULL;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/%s.json", ring_fixture.folder, NAME);
    expect_done(kmse_file_read(path, 1 << 20, 0, &bytes, &len, &why));
    char *text = strndup((const char *)bytes, len);
    assert_non_null(text);
    kmse_file_free_bytes(bytes, len);
    return text;
}

/* --- what it does ------------------------------------------------------- */

static void a_cached_version_stops_within_a_second(void **state)
{
    (void)state;
    uint32_t number = 9;
    ring_rotate(0);
    expect_done(read_with(1));
    ring_unwraps = 0;
    expect_done(revoke(1, false, &number));
    assert_int_equal(number, 0);
    /* One for the MAC of the old file, one for that of the new. */
    assert_int_equal(ring_unwraps, 2);
    ring_unwraps = 0;
    ring_time_ms += A_SECOND_MS;
    expect_reason(read_with(1), KMSE_R_KEY_VERSION_REVOKED);
    assert_non_null(strstr(why.text, "key emails, version 1"));
    assert_int_equal(ring_unwraps, 0);
    expect_done(read_with(2));
}

static void a_message_under_way_ends_within_a_second(void **state)
{
    (void)state;
    uint32_t number = 0;
    struct kmse_lease *writes = NULL, *reads = NULL;
    ring_newest(&writes);
    expect_done(kmse_lease_version(&reads, ring_key(), 1, &why));
    expect_done(revoke(1, true, &number));
    assert_int_equal(number, 2);
    ring_time_ms += A_SECOND_MS;
    expect_reason(kmse_lease_check(writes, &why), KMSE_R_KEY_VERSION_REVOKED);
    expect_reason(kmse_lease_check(reads, &why), KMSE_R_KEY_VERSION_REVOKED);
    kmse_lease_give_back(&reads);
    assert_int_equal(ring_newest(&writes), 2);
    kmse_lease_give_back(&writes);
}

static void to_the_next_second(void)
{
    ring_time_ms += A_SECOND_MS - ring_time_ms % A_SECOND_MS;
}

static void expect_end_within_a_second(uint64_t begun_ms, uint64_t revoked_ms,
                                       uint64_t checked_ms)
{
    struct kmse_lease *lease = NULL;
    uint32_t number = 0;
    to_the_next_second();
    ring_time_ms += begun_ms;
    uint32_t version = ring_newest(&lease);
    ring_time_ms += revoked_ms;
    expect_done(kmse_lease_check(lease, &why));
    expect_done(revoke(version, true, &number));
    ring_time_ms += checked_ms;
    /* It may be found by then, and what was found is no excuse later. */
    (void)kmse_is_ok(kmse_lease_check(lease, NULL));
    ring_time_ms += A_SECOND_MS - checked_ms;
    expect_reason(kmse_lease_check(lease, &why), KMSE_R_KEY_VERSION_REVOKED);
    kmse_lease_give_back(&lease);
}

/* Wherever in a second it began, is revoked, and was looked at last. */
static void no_message_has_longer_than_a_second(void **state)
{
    (void)state;
    enum { STEP_MS = 230 };
    for (uint64_t i = 0; i < A_SECOND_MS; i += STEP_MS)
        for (uint64_t j = 0; j < A_SECOND_MS; j += STEP_MS)
            for (uint64_t k = 0; k < A_SECOND_MS; k += STEP_MS)
                expect_end_within_a_second(i, j, k);
}

static void a_second_that_was_looked_at_needs_no_other_clock(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    to_the_next_second();
    ring_time_ms += A_SECOND_MS / 2;
    ring_newest(&lease);
    to_the_next_second();
    ring_newest(&lease);
    ring_clock_reads = 0;
    for (int i = 0; i < A_SECOND_MS - 1; i++) {
        ring_time_ms++;
        ring_newest(&lease);
        expect_done(kmse_lease_check(lease, &why));
    }
    assert_int_equal(ring_clock_reads, 0);
    ring_time_ms++;
    ring_newest(&lease);
    assert_int_not_equal(ring_clock_reads, 0);
    kmse_lease_give_back(&lease);
}

static void one_that_goes_on_is_not_disturbed(void **state)
{
    (void)state;
    uint32_t number = 0;
    struct kmse_lease *lease = NULL;
    ring_rotate(0);
    assert_int_equal(ring_newest(&lease), 2);
    expect_done(revoke(1, true, &number));
    ring_time_ms += A_SECOND_MS;
    expect_done(kmse_lease_check(lease, &why));
    kmse_lease_give_back(&lease);
    assert_int_equal(ring_newest(&lease), 3);
    kmse_lease_give_back(&lease);
}

struct sought {
    uint32_t version;
    bool is_there;
};

static void seek(void *arg, const struct kmse_cached *cached)
{
    struct sought *sought = arg;
    sought->is_there = sought->is_there || cached->version == sought->version;
}

static bool is_cached(uint32_t version)
{
    struct sought sought = {.version = version};
    kmse_ring_visit(ring_fixture.ring, seek, &sought);
    return sought.is_there;
}

static void its_data_key_does_not_stay(void **state)
{
    (void)state;
    uint32_t number = 0;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
    assert_true(is_cached(1));
    expect_done(revoke(1, true, &number));
    ring_time_ms += A_SECOND_MS;
    assert_int_equal(ring_newest(&lease), 2);
    kmse_lease_give_back(&lease);
    assert_false(is_cached(1));
    assert_true(is_cached(2));
}

static void undone_it_is_as_it_was(void **state)
{
    (void)state;
    uint32_t number = 0;
    char *before = NULL, *after = NULL;
    ring_rotate(0);
    before = read_bytes();
    expect_done(revoke(1, false, &number));
    ring_time_ms += A_SECOND_MS;
    expect_reason(read_with(1), KMSE_R_KEY_VERSION_REVOKED);
    expect_done(undo(1));
    after = read_bytes();
    assert_string_equal(before, after);
    ring_time_ms += A_SECOND_MS;
    expect_done(read_with(1));
    free(before);
    free(after);
}

static void the_tag_of_the_file_covers_it(void **state)
{
    (void)state;
    uint32_t number = 0;
    ring_rotate(0);
    expect_done(revoke(1, false, &number));
    struct kmse_keyfile *file = read_file();
    file->versions[0].state = KMSE_VERSION_ACTIVE;
    expect_done(kmse_keyfile_write(file, ring_fixture.folder, &why));
    kmse_keyfile_free(file);
    expect_reason(undo(1), KMSE_R_KEYFILE_MAC);
    expect_reason(revoke(1, false, &number), KMSE_R_KEYFILE_MAC);
}

/* --- what it does not do ------------------------------------------------ */

static void what_encrypts_needs_a_successor(void **state)
{
    (void)state;
    uint32_t number = 9;
    char *before = read_bytes();
    expect_reason(revoke(1, false, &number), KMSE_R_STATE);
    assert_non_null(strstr(why.text, "is the one that encrypts"));
    assert_non_null(strstr(why.text, "--rotate"));
    assert_int_equal(number, 9);
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);

    expect_done(revoke(1, true, &number));
    assert_int_equal(number, 2);
    assert_int_equal(state_of(1), KMSE_VERSION_REVOKED);
    assert_int_equal(state_of(2), KMSE_VERSION_ACTIVE);
    expect_proven();
}

/* Whose clock is slow has nothing else to encrypt with. */
static void the_successor_does_not_wait_for_a_slow_clock(void **state)
{
    (void)state;
    uint32_t number = 0;
    expect_done(revoke(1, true, &number));
    struct kmse_keyfile *file = read_file();
    const struct kmse_version *two = kmse_keyfile_newest(file);
    assert_ptr_equal(kmse_keyfile_current(file, two->created_s - 600), two);
    kmse_keyfile_free(file);
}

/* It proves the file, also while it waits for its time. */
static void the_newest_needs_a_successor(void **state)
{
    (void)state;
    uint32_t number = 0;
    struct kmse_lease *lease = NULL;
    ring_rotate(3600);
    expect_reason(revoke(2, false, &number), KMSE_R_STATE);
    assert_non_null(strstr(why.text, "is the newest"));
    expect_reason(revoke(1, false, &number), KMSE_R_STATE);
    expect_done(revoke(2, true, &number));
    assert_int_equal(number, 3);
    assert_int_equal(state_of(2), KMSE_VERSION_REVOKED);
    ring_time_ms += A_SECOND_MS;
    assert_int_equal(ring_newest(&lease), 3);
    kmse_lease_give_back(&lease);
    expect_done(read_with(1));
}

static void an_older_version_does_not_take_over(void **state)
{
    (void)state;
    uint32_t number = 0;
    ring_rotate(0);
    expect_reason(revoke(2, false, &number), KMSE_R_STATE);
    assert_int_equal(state_of(2), KMSE_VERSION_ACTIVE);
}

static void done_twice_it_is_done_once(void **state)
{
    (void)state;
    uint32_t number = 0;
    expect_done(revoke(1, true, &number));
    char *before = read_bytes();
    expect_done(revoke(1, true, &number));
    assert_int_equal(number, 0);
    expect_done(revoke(1, false, &number));
    expect_done(undo(2));
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void there_are_versions_that_it_is_not_for(void **state)
{
    (void)state;
    uint32_t number = 0;
    ring_rotate(0);
    expect_reason(revoke(3, true, &number), KMSE_R_KEY_VERSION_UNKNOWN);
    assert_non_null(strstr(why.text, "versions 1 to 2"));
    expect_reason(revoke(0, true, &number), KMSE_R_KEY_VERSION_UNKNOWN);
    expect_reason(undo(3), KMSE_R_KEY_VERSION_UNKNOWN);
    set_state(1, KMSE_VERSION_RETIRED);
    expect_reason(revoke(1, false, &number), KMSE_R_KEY_VERSION_RETIRED);
    expect_reason(undo(1), KMSE_R_KEY_VERSION_RETIRED);
    assert_int_equal(state_of(1), KMSE_VERSION_RETIRED);
    expect_reason(kmse_rotation_revoke(&ring_fixture.rotation, "nobody", 1,
                                       false, &number, &why),
                  KMSE_R_KEY_NOT_FOUND);
}

static void without_its_kms_nothing_is_changed(void **state)
{
    (void)state;
    uint32_t number = 0;
    ring_rotate(0);
    char *before = read_bytes();
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    expect_reason(revoke(1, false, &number), KMSE_R_KMS_UNREACHABLE);
    expect_reason(revoke(1, true, &number), KMSE_R_KMS_UNREACHABLE);
    expect_reason(undo(1), KMSE_R_KMS_UNREACHABLE);
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* --- the newest version, by other means --------------------------------- */

static void expect_not_served(uint32_t version, int reason)
{
    struct kmse_lease *lease = NULL;
    ring_time_ms += A_SECOND_MS;
    ring_unwraps = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ring_newest(&lease), version - 1);
        kmse_lease_give_back(&lease);
        expect_reason(read_with(version), reason);
        ring_time_ms += A_SECOND_MS;
    }
    /* It was unwrapped once, to prove the file. */
    assert_int_equal(ring_unwraps, 1);
}

static void a_newest_version_that_is_not_active_proves_the_file(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
    ring_rotate(0);
    set_state(2, KMSE_VERSION_REVOKED);
    expect_not_served(2, KMSE_R_KEY_VERSION_REVOKED);
    set_state(2, KMSE_VERSION_RETIRED);
    expect_not_served(2, KMSE_R_KEY_VERSION_RETIRED);
}

static void and_is_not_cached(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_rotate(0);
    set_state(2, KMSE_VERSION_REVOKED);
    ring_unwraps = 0;
    expect_reason(read_with(2), KMSE_R_KEY_VERSION_REVOKED);
    assert_int_equal(ring_unwraps, 0);
    assert_int_equal(ring_newest(&lease), 1);
    kmse_lease_give_back(&lease);
    assert_true(is_cached(1));
    assert_false(is_cached(2));
}

static void a_changed_file_is_found_by_it(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_rotate(0);
    set_state(2, KMSE_VERSION_REVOKED);
    struct kmse_keyfile *file = read_file();
    file->policy.max_messages = 7;
    expect_done(kmse_keyfile_write(file, ring_fixture.folder, &why));
    kmse_keyfile_free(file);
    expect_reason(kmse_lease_newest(&lease, ring_key(), &why),
                  KMSE_R_KEYFILE_MAC);
    assert_null(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(a_cached_version_stops_within_a_second),
        RING_STORY(a_message_under_way_ends_within_a_second),
        RING_STORY(no_message_has_longer_than_a_second),
        RING_STORY(a_second_that_was_looked_at_needs_no_other_clock),
        RING_STORY(one_that_goes_on_is_not_disturbed),
        RING_STORY(its_data_key_does_not_stay),
        RING_STORY(undone_it_is_as_it_was),
        RING_STORY(the_tag_of_the_file_covers_it),
        RING_STORY(what_encrypts_needs_a_successor),
        RING_STORY(the_successor_does_not_wait_for_a_slow_clock),
        RING_STORY(the_newest_needs_a_successor),
        RING_STORY(an_older_version_does_not_take_over),
        RING_STORY(done_twice_it_is_done_once),
        RING_STORY(there_are_versions_that_it_is_not_for),
        RING_STORY(without_its_kms_nothing_is_changed),
        RING_STORY(a_newest_version_that_is_not_active_proves_the_file),
        RING_STORY(and_is_not_cached),
        RING_STORY(a_changed_file_is_found_by_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
