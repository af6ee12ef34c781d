/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a version: retired on a census, destroyed after the hold time. */
#include "retire_env.h"

/* As an editor would, with a MAC that is right. */
static void edit(void (*change)(struct kmse_keyfile *file))
{
    struct kmse_keyfile *file = read_file();
    struct kmse_secret newest = {0};
    expect_done(kmse_keyfile_unwrap(&newest, with()->kms, with()->crypto, file,
                                    kmse_keyfile_newest(file), &why));
    change(file);
    expect_done(kmse_keyfile_mac(file->mac, with()->crypto, file, &newest));
    expect_done(kmse_keyfile_write(file, ring_fixture.folder, &why));
    kmse_secret_wipe(&newest);
    kmse_keyfile_free(file);
}

/* --- what it does ------------------------------------------------------- */

static void retired_it_stops_within_a_second(void **state)
{
    (void)state;
    ring_rotate(0);
    expect_done(read_with(1));
    wait_s(3600);
    expect_done(count(SCOPE, 0, 5));
    expect_done(retire(1));
    ring_time_ms += A_SECOND_MS;
    expect_said(read_with(1), KMSE_R_KEY_VERSION_RETIRED, "kms-envelope undo");
    expect_done(read_with(2));
    struct kmse_keyfile *file = read_file();
    assert_int_equal(file->versions[0].retired_s, now_s() - 1);
    assert_int_equal(file->versions[0].copy_count, 1);
    kmse_keyfile_free(file);
}

static void undone_it_opens_again(void **state)
{
    (void)state;
    make_retired();
    ring_time_ms += A_SECOND_MS;
    expect_reason(read_with(1), KMSE_R_KEY_VERSION_RETIRED);
    expect_done(undo(1));
    ring_time_ms += A_SECOND_MS;
    expect_done(read_with(1));
    struct kmse_keyfile *file = read_file();
    assert_int_equal(file->versions[0].retired_s, 0);
    assert_int_equal(file->versions[0].restored_s, now_s() - 1);
    kmse_keyfile_free(file);
}

static void destroyed_it_is_so_for_ever(void **state)
{
    (void)state;
    uint32_t number = 0;
    make_destroyed();
    struct kmse_keyfile *file = read_file();
    assert_int_equal(file->versions[0].copy_count, 0);
    assert_int_equal(file->versions[0].destroyed_s, now_s());
    assert_int_equal(file->versions[0].retired_s, now_s() - HOLD_S);
    kmse_keyfile_free(file);
    ring_time_ms += A_SECOND_MS;
    expect_said(read_with(1), KMSE_R_KEY_VERSION_DESTROYED, "version 1");
    expect_said(undo(1), KMSE_R_KEY_VERSION_DESTROYED, "no wrapped copy");
    expect_said(retire(1), KMSE_R_KEY_VERSION_DESTROYED, "version 1");
    expect_reason(kmse_rotation_revoke(with(), NAME, 1, false, &number, &why),
                  KMSE_R_KEY_VERSION_DESTROYED);
    expect_reason(kmse_rotation_undo_revoke(with(), NAME, 1, &why),
                  KMSE_R_KEY_VERSION_DESTROYED);
    expect_done(read_with(2));
}

static void the_key_goes_on_with_a_destroyed_version(void **state)
{
    (void)state;
    struct kmse_rewrapped done = {0};
    struct kmse_lease *lease = NULL;
    make_destroyed();
    expect_done(kmse_rotation_rewrap(with(), NAME, KMSE_REWRAP_RENEW, NULL, 0,
                                     &done, &why));
    assert_int_equal(done.made, 1);
    assert_int_equal(ring_rotate(0), 3);
    wait_s(60);
    expect_done(count("elsewhere", 0, 0));
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(2));
    wait_s(HOLD_S);
    expect_done(destroy(2));
    wait_s(1);
    assert_int_equal(ring_newest(&lease), 3);
    kmse_lease_give_back(&lease);
    assert_int_equal(state_of(1), KMSE_VERSION_DESTROYED);
}

static void done_twice_it_is_done_once(void **state)
{
    (void)state;
    make_retired();
    char *before = read_bytes();
    wait_s(5);
    expect_done(retire(1));
    expect_unchanged(before);
    wait_s(HOLD_S);
    expect_done(destroy(1));
    before = read_bytes();
    wait_s(5);
    expect_done(destroy(1));
    expect_done(undo(2));
    expect_unchanged(before);
}

/* --- what retire asks for ----------------------------------------------- */

static void what_encrypts_is_not_retired(void **state)
{
    (void)state;
    expect_said(retire(1), KMSE_R_STATE, "is the one that encrypts");
    ring_rotate(DAY_S);
    wait_s(600);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(1), KMSE_R_STATE, "is the one that encrypts");
    expect_said(retire(2), KMSE_R_STATE, "is the newest");
    wait_s(DAY_S);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(2), KMSE_R_STATE, "is the one that encrypts");
    expect_done(retire(1));
}

static void what_waits_for_its_time_is_not_retired(void **state)
{
    (void)state;
    ring_rotate(DAY_S);
    ring_rotate(2 * DAY_S);
    wait_s(3600);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(2), KMSE_R_STATE, "take one that begins at");
    assert_int_equal(state_of(2), KMSE_VERSION_ACTIVE);
}

static void without_a_census_nothing_is_retired(void **state)
{
    (void)state;
    ring_rotate(0);
    wait_s(DAY_S);
    char *before = read_bytes();
    expect_said(retire(1), KMSE_R_STATE, "key emails has no census");
    expect_unchanged(before);
}

static void rows_that_are_left_are_told(void **state)
{
    (void)state;
    ring_rotate(0);
    wait_s(3600);
    expect_done(count(SCOPE, 0, 1000));
    expect_done(count("orders.note of crm", 3, 0));
    char *before = read_bytes();
    expect_said(retire(1), KMSE_R_STATE, "3 of orders.note of crm");
    expect_unchanged(before);
    wait_s(1);
    expect_done(count("orders.note of crm", 0, 3));
    expect_done(retire(1));
}

/* Whoever has the old view may write until the fence is past. */
static void a_census_waits_for_the_last_writer(void **state)
{
    (void)state;
    ring_rotate(0);
    wait_s(KMSE_CENSUS_FENCE_S - 1);
    expect_done(count(SCOPE, 0, 0));
    wait_s(DAY_S);
    expect_said(retire(1), KMSE_R_STATE, "the census of users.email of crm");
    /* When it began counts, not when it is looked at. */
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
}

static void the_fence_is_past_at_its_second(void **state)
{
    (void)state;
    ring_rotate(600);
    wait_s(600 + KMSE_CENSUS_FENCE_S - 1);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    wait_s(1);
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
}

static void the_fence_is_the_policy_s(void **state)
{
    (void)state;
    const uint64_t fence_s = 3600;
    const struct kmse_policy_change wish = {.census_fence_s = &fence_s};
    struct kmse_policy policy;
    ring_rotate(0);
    expect_done(
        kmse_rotation_change_policy(with(), NAME, &wish, &policy, &why));
    wait_s(3599);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    wait_s(1);
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
}

/* The successor of a revoked version is active from before it was made. */
static void a_successor_takes_over_when_it_is_made(void **state)
{
    (void)state;
    uint32_t number = 0;
    wait_s(3600);
    expect_done(kmse_rotation_revoke(with(), NAME, 1, true, &number, &why));
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    wait_s(KMSE_CENSUS_FENCE_S);
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
    assert_int_equal(state_of(1), KMSE_VERSION_RETIRED);
}

static void the_first_successor_counts(void **state)
{
    (void)state;
    ring_rotate(0);
    wait_s(3600);
    ring_rotate(0);
    expect_done(count(SCOPE, 0, 0));
    expect_said(retire(2), KMSE_R_STATE, "begins at");
    expect_done(retire(1));
}

/* Nobody knows since when nothing is encrypted with it: the next one counts. */
static void a_successor_that_is_revoked_does_not_count(void **state)
{
    (void)state;
    uint32_t number = 0;
    make_retirable();
    wait_s(3600);
    expect_done(kmse_rotation_revoke(with(), NAME, 2, true, &number, &why));
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    wait_s(KMSE_CENSUS_FENCE_S);
    expect_done(count(SCOPE, 0, 1000));
    expect_done(retire(1));
}

static void every_scope_must_have_been_counted_since(void **state)
{
    (void)state;
    expect_done(count("orders.note of crm", 0, 0));
    make_retirable();
    expect_said(retire(1), KMSE_R_STATE, "the census of orders.note of crm");
    expect_said(kmse_rotation_forget_census(with(), NAME, "orders.note", &why),
                KMSE_R_PARAMETER, "no census of orders.note");
    expect_done(
        kmse_rotation_forget_census(with(), NAME, "orders.note of crm", &why));
    expect_done(retire(1));
}

static void after_undo_another_census_is_needed(void **state)
{
    (void)state;
    make_retired();
    expect_done(undo(1));
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    wait_s(1);
    expect_said(retire(1), KMSE_R_STATE, "begins at");
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
}

static void there_are_versions_that_it_is_not_for(void **state)
{
    (void)state;
    make_retirable();
    expect_said(retire(3), KMSE_R_KEY_VERSION_UNKNOWN, "versions 1 to 2");
    expect_said(retire(0), KMSE_R_KEY_VERSION_UNKNOWN, "versions 1 to 2");
    expect_said(destroy(3), KMSE_R_KEY_VERSION_UNKNOWN, "versions 1 to 2");
    expect_said(undo(3), KMSE_R_KEY_VERSION_UNKNOWN, "versions 1 to 2");
    expect_reason(kmse_rotation_retire(with(), "nobody", 1, &why),
                  KMSE_R_KEY_NOT_FOUND);
}

static void a_revoked_version_is_made_active_by_revoke(void **state)
{
    (void)state;
    uint32_t number = 0;
    ring_rotate(0);
    expect_done(kmse_rotation_revoke(with(), NAME, 1, false, &number, &why));
    expect_said(undo(1), KMSE_R_STATE, "revoke --undo");
    assert_int_equal(state_of(1), KMSE_VERSION_REVOKED);
}

static void without_its_kms_nothing_is_changed(void **state)
{
    (void)state;
    make_retirable();
    char *before = read_bytes();
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    expect_reason(retire(1), KMSE_R_KMS_UNREACHABLE);
    expect_reason(count(SCOPE, 0, 0), KMSE_R_KMS_UNREACHABLE);
    expect_reason(destroy(1), KMSE_R_KMS_UNREACHABLE);
    expect_unchanged(before);
}

/* --- what destroy asks for ---------------------------------------------- */

static void what_is_not_retired_is_not_destroyed(void **state)
{
    (void)state;
    make_retirable();
    expect_said(destroy(1), KMSE_R_STATE, "is not retired");
    expect_said(destroy(2), KMSE_R_STATE, "is the one that encrypts");
    wait_s(10 * HOLD_S);
    expect_said(destroy(1), KMSE_R_STATE, "is not retired");
}

static void it_is_held_to_the_second(void **state)
{
    (void)state;
    make_retired();
    wait_s(HOLD_S - 1);
    char *before = read_bytes();
    expect_said(destroy(1), KMSE_R_STATE, "is held until");
    expect_unchanged(before);
    wait_s(1);
    expect_done(destroy(1));
}

static void the_hold_is_the_policy_s(void **state)
{
    (void)state;
    const uint64_t long_s = 90 * DAY_S, short_s = DAY_S;
    struct kmse_policy_change wish = {.destroy_after_s = &long_s};
    struct kmse_policy policy;
    make_retired();
    expect_done(
        kmse_rotation_change_policy(with(), NAME, &wish, &policy, &why));
    wait_s(HOLD_S + DAY_S);
    expect_said(destroy(1), KMSE_R_STATE, "is held until");
    wish.destroy_after_s = &short_s;
    expect_done(
        kmse_rotation_change_policy(with(), NAME, &wish, &policy, &why));
    expect_done(destroy(1));
}

static void after_undo_the_hold_begins_anew(void **state)
{
    (void)state;
    make_retired();
    wait_s(HOLD_S);
    expect_done(undo(1));
    wait_s(1);
    expect_done(count(SCOPE, 0, 0));
    expect_done(retire(1));
    expect_said(destroy(1), KMSE_R_STATE, "is held until");
}

/* A row came back, from a backup say. */
static void rows_that_came_back_hold_it(void **state)
{
    (void)state;
    make_retired();
    wait_s(HOLD_S);
    expect_done(count(SCOPE, 1, 0));
    expect_said(destroy(1), KMSE_R_STATE, "1 of users.email of crm");
    expect_done(undo(1));
    expect_said(retire(1), KMSE_R_STATE, "has rows");
}

static void set_retired_before(struct kmse_keyfile *file)
{
    file->versions[0].state = KMSE_VERSION_RETIRED;
}

/* Of a file that does not say since when. */
static void without_a_time_it_is_not_destroyed(void **state)
{
    (void)state;
    make_retirable();
    edit(set_retired_before);
    wait_s(10 * HOLD_S);
    expect_said(destroy(1), KMSE_R_STATE, "does not say since when");
    expect_done(undo(1));
}

static void destroy_by_hand(struct kmse_keyfile *file)
{
    file->versions[0].state = KMSE_VERSION_DESTROYED;
    kmse_copy_wipe(&file->versions[0].copies[0]);
    file->versions[0].copy_count = 0;
}

static void what_was_not_retired_is_not_written_as_destroyed(void **state)
{
    (void)state;
    make_retirable();
    struct kmse_keyfile *file = read_file();
    destroy_by_hand(file);
    expect_reason(kmse_keyfile_write(file, ring_fixture.folder, &why),
                  KMSE_R_INTERNAL);
    kmse_keyfile_free(file);
    assert_int_equal(state_of(1), KMSE_VERSION_ACTIVE);
}

static void a_destroyed_version_does_not_come_back(void **state)
{
    (void)state;
    make_retired();
    struct kmse_keyfile *file = read_file();
    wait_s(HOLD_S);
    expect_done(destroy(1));
    expect_reason(kmse_keyfile_write(file, ring_fixture.folder, &why),
                  KMSE_R_INTERNAL);
    kmse_keyfile_free(file);
    assert_int_equal(state_of(1), KMSE_VERSION_DESTROYED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(retired_it_stops_within_a_second),
        RING_STORY(undone_it_opens_again),
        RING_STORY(destroyed_it_is_so_for_ever),
        RING_STORY(the_key_goes_on_with_a_destroyed_version),
        RING_STORY(done_twice_it_is_done_once),
        RING_STORY(what_encrypts_is_not_retired),
        RING_STORY(what_waits_for_its_time_is_not_retired),
        RING_STORY(without_a_census_nothing_is_retired),
        RING_STORY(rows_that_are_left_are_told),
        RING_STORY(a_census_waits_for_the_last_writer),
        RING_STORY(the_fence_is_past_at_its_second),
        RING_STORY(the_fence_is_the_policy_s),
        RING_STORY(a_successor_takes_over_when_it_is_made),
        RING_STORY(the_first_successor_counts),
        RING_STORY(a_successor_that_is_revoked_does_not_count),
        RING_STORY(every_scope_must_have_been_counted_since),
        RING_STORY(after_undo_another_census_is_needed),
        RING_STORY(there_are_versions_that_it_is_not_for),
        RING_STORY(a_revoked_version_is_made_active_by_revoke),
        RING_STORY(without_its_kms_nothing_is_changed),
        RING_STORY(what_is_not_retired_is_not_destroyed),
        RING_STORY(it_is_held_to_the_second),
        RING_STORY(the_hold_is_the_policy_s),
        RING_STORY(after_undo_the_hold_begins_anew),
        RING_STORY(rows_that_came_back_hold_it),
        RING_STORY(without_a_time_it_is_not_destroyed),
        RING_STORY(what_was_not_retired_is_not_written_as_destroyed),
        RING_STORY(a_destroyed_version_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
