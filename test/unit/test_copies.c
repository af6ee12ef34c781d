/* SPDX-License-Identifier: Apache-2.0 */
/* Wrapped copies made, added and dropped; and what is never done to them. */
#include "copies_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kmse_rewrapped done;

static kmse_st rewrap(enum kmse_rewrap_how how, const char *first,
                      const char *second)
{
    const char *uris[] = {first, second};
    size_t count = first == NULL ? 0 : second == NULL ? 1 : 2;
    return kmse_rotation_rewrap(&at.rotation, NAME, how, uris, count, &done,
                                &why);
}

/* Refused, for that reason, and the file is as it was. */
static void expect_refused(enum kmse_rewrap_how how, const char *first,
                           const char *second, int reason)
{
    done = (struct kmse_rewrapped){77, 77};
    char *before = file_text();
    expect_reason(rewrap(how, first, second), reason);
    char *after = file_text();
    assert_string_equal(before, after);
    assert_int_equal(done.made, 77);
    free(before);
    free(after);
}

static bool same_blob(const struct kmse_blob *a, const struct kmse_blob *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void spoil(struct kmse_copy *copy)
{
    copy->blob.bytes[copy->blob.len - 1] ^= 1;
}

/* --- rewrap: moving and adding ------------------------------------------ */

static void moving_leaves_exactly_those_in_order(void **state)
{
    (void)state;
    struct kmse_keyfile *old = read_file();
    expect_done(rewrap(KMSE_REWRAP_TO, at.uri[C], at.uri[A]));
    assert_int_equal(done.made, 4);
    assert_int_equal(done.dropped, 2);
    expect_copies("c a", "c a");
    expect_every_copy_opens();
    struct kmse_keyfile *file = read_file();
    assert_false(same_blob(&old->versions[0].copies[0].blob,
                           &file->versions[0].copies[1].blob));
    assert_memory_equal(old->mac, file->mac, KMSE_HMAC_LEN);
    kmse_keyfile_free(file);
    kmse_keyfile_free(old);
}

static void adding_leaves_what_is_there(void **state)
{
    (void)state;
    struct kmse_keyfile *old = read_file();
    expect_done(rewrap(KMSE_REWRAP_ADD, at.uri[C], NULL));
    assert_int_equal(done.made, 2);
    assert_int_equal(done.dropped, 0);
    expect_copies("a b c", "a b c");
    expect_every_copy_opens();
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2; j++)
            assert_true(same_blob(&old->versions[i].copies[j].blob,
                                  &file->versions[i].copies[j].blob));
    }
    kmse_keyfile_free(file);
    kmse_keyfile_free(old);
}

static void adding_what_is_there_makes_it_anew_in_its_place(void **state)
{
    (void)state;
    struct kmse_keyfile *old = read_file();
    expect_done(rewrap(KMSE_REWRAP_ADD, at.uri[A], NULL));
    assert_int_equal(done.made, 2);
    expect_copies("a b", "a b");
    struct kmse_keyfile *file = read_file();
    assert_false(same_blob(&old->versions[1].copies[0].blob,
                           &file->versions[1].copies[0].blob));
    assert_true(same_blob(&old->versions[1].copies[1].blob,
                          &file->versions[1].copies[1].blob));
    kmse_keyfile_free(file);
    kmse_keyfile_free(old);
}

/* An outage is when one wants a further copy: that KMS is not needed. */
static void a_copy_is_added_while_another_s_kms_is_away(void **state)
{
    (void)state;
    make_unreachable(A);
    expect_done(rewrap(KMSE_REWRAP_ADD, at.uri[C], NULL));
    expect_copies("a b c", "a b c");
    make_unreachable(B);
    struct kmse_secret data_key = {0};
    struct kmse_keyfile *file = read_file();
    expect_done(open_with(file, &file->versions[0], &data_key));
    kmse_secret_wipe(&data_key);
    kmse_keyfile_free(file);
}

static void moving_away_from_what_is_gone(void **state)
{
    (void)state;
    assert_int_equal(unlink(at.path[A]), 0);
    expect_done(rewrap(KMSE_REWRAP_TO, at.uri[C], NULL));
    assert_int_equal(done.dropped, 4);
    expect_copies("c", "c");
    expect_every_copy_opens();
}

static void moving_to_where_one_fails_changes_nothing(void **state)
{
    (void)state;
    make_unreachable(C);
    expect_refused(KMSE_REWRAP_TO, at.uri[B], at.uri[C],
                   KMSE_R_KMS_UNREACHABLE);
    expect_said(at.uri[C]);
    expect_refused(KMSE_REWRAP_ADD, at.uri[C], NULL, KMSE_R_KMS_UNREACHABLE);
    expect_said(at.uri[C]);
}

/* A KMS that says done and gives another data key's blob. */
static void a_copy_that_is_not_of_the_version_is_not_written(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    struct kmse_copy made = {.kms = at.uri[C]};
    struct kmse_secret other = {0};
    expect_ok(kmse_keyfile_context(&made.context, file, 1));
    expect_done(kmse_kms_generate(at.rotation.kms, made.kms, &made.context,
                                  &other, &made.blob, &why));
    lie = &made.blob;
    expect_refused(KMSE_REWRAP_TO, at.uri[C], NULL, KMSE_R_COMMITMENT);
    expect_refused(KMSE_REWRAP_ADD, at.uri[C], NULL, KMSE_R_COMMITMENT);
    kmse_secret_wipe(&other);
    kmse_blob_wipe(&made.blob);
    kmse_kms_context_wipe(&made.context);
    kmse_keyfile_free(file);
}

/* --- rewrap: renewing --------------------------------------------------- */

static void renewing_is_of_each_from_itself(void **state)
{
    (void)state;
    expect_done(rewrap(KMSE_REWRAP_RENEW, NULL, NULL));
    assert_int_equal(done.made, 4);
    assert_int_equal(rewrap_count, 4);
    for (size_t i = 0; i < rewrap_count; i++)
        assert_string_equal(rewrapped_from[i], at.uri[i % 2 == 0 ? A : B]);
    expect_copies("a b", "a b");
    expect_every_copy_opens();
}

static void a_spoilt_copy_is_made_from_another(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    spoil(&file->versions[0].copies[0]);
    spoil(&file->versions[1].copies[1]);
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_done(rewrap(KMSE_REWRAP_RENEW, NULL, NULL));
    assert_int_equal(done.made, 4);
    expect_copies("a b", "a b");
    expect_every_copy_opens();
    kmse_keyfile_free(file);
}

static void a_false_copy_does_not_hide_a_good_one(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    falsify(file, &file->versions[0].copies[0]);
    falsify(file, &file->versions[1].copies[0]);
    expect_done(rewrap(KMSE_REWRAP_RENEW, NULL, NULL));
    expect_every_copy_opens();
    falsify(file, &file->versions[0].copies[0]);
    expect_done(rewrap(KMSE_REWRAP_TO, at.uri[C], NULL));
    expect_every_copy_opens();
    kmse_keyfile_free(file);
}

static void renewing_needs_every_master_key(void **state)
{
    (void)state;
    assert_int_equal(unlink(at.path[B]), 0);
    expect_refused(KMSE_REWRAP_RENEW, NULL, NULL, KMSE_R_KMS_KEY_NOT_FOUND);
    expect_said(at.uri[B]);
    expect_said("version 1");
}

static void without_a_copy_that_opens_nothing_is_changed(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    spoil(&file->versions[0].copies[0]);
    spoil(&file->versions[0].copies[1]);
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_refused(KMSE_REWRAP_RENEW, NULL, NULL, KMSE_R_KMS_BLOB);
    expect_refused(KMSE_REWRAP_TO, at.uri[C], NULL, KMSE_R_KMS_BLOB);
    expect_said("version 1");
    kmse_keyfile_free(file);
}

/* Who edits versions does it with the newest data key: doctor and tests. */
static void set_states(enum kmse_version_state first)
{
    struct kmse_secret newest = {0};
    struct kmse_keyfile *file = read_file();
    struct kmse_version *version = &file->versions[0];
    expect_done(open_with(file, kmse_keyfile_newest(file), &newest));
    version->state = first;
    size_t count = version->copy_count;
    if (first == KMSE_VERSION_DESTROYED)
        version->copy_count = 0;
    expect_ok(kmse_keyfile_mac(file->mac, at.rotation.crypto, file, &newest));
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    version->copy_count = count;
    kmse_secret_wipe(&newest);
    kmse_keyfile_free(file);
}

static void retired_versions_move_and_destroyed_ones_do_not(void **state)
{
    (void)state;
    set_states(KMSE_VERSION_RETIRED);
    expect_done(rewrap(KMSE_REWRAP_TO, at.uri[C], NULL));
    expect_copies("c", "c");
    expect_every_copy_opens();
    set_states(KMSE_VERSION_DESTROYED);
    expect_done(rewrap(KMSE_REWRAP_TO, at.uri[A], NULL));
    expect_copies("", "a");
    expect_done(rewrap(KMSE_REWRAP_ADD, at.uri[B], NULL));
    expect_copies("", "a b");
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[A], NULL));
    expect_copies("", "b");
}

static void a_changed_file_is_not_rewrapped(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    file->policy.max_bytes = 5;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_refused(KMSE_REWRAP_RENEW, NULL, NULL, KMSE_R_KEYFILE_MAC);
    expect_refused(KMSE_REWRAP_DROP, at.uri[A], NULL, KMSE_R_KEYFILE_MAC);
    kmse_keyfile_free(file);
}

/* --- rewrap: dropping --------------------------------------------------- */

static void what_is_dropped_need_not_open(void **state)
{
    (void)state;
    struct kmse_keyfile *old = read_file();
    assert_int_equal(unlink(at.path[A]), 0);
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[A], NULL));
    assert_int_equal(done.made, 0);
    assert_int_equal(done.dropped, 2);
    expect_copies("b", "b");
    expect_every_copy_opens();
    struct kmse_keyfile *file = read_file();
    assert_true(same_blob(&old->versions[0].copies[1].blob,
                          &file->versions[0].copies[0].blob));
    assert_int_equal(rewrap_count, 0);
    kmse_keyfile_free(file);
    kmse_keyfile_free(old);
}

static void the_last_copy_is_never_dropped(void **state)
{
    (void)state;
    expect_refused(KMSE_REWRAP_DROP, at.uri[A], at.uri[B], KMSE_R_STATE);
    expect_said("version 1");
    expect_said("never dropped");
    /* Of one version alone, the other one having more. */
    struct kmse_keyfile *file = read_file();
    kmse_copy_wipe(&file->versions[1].copies[0]);
    file->versions[1].copies[0] = file->versions[1].copies[1];
    file->versions[1].copy_count = 1;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_copies("a b", "b");
    expect_refused(KMSE_REWRAP_DROP, at.uri[B], NULL, KMSE_R_STATE);
    expect_said("version 2");
    expect_said(at.uri[B]);
    /* What only some versions have goes where it is. */
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[A], NULL));
    assert_int_equal(done.dropped, 1);
    expect_copies("b", "b");
    kmse_keyfile_free(file);
}

/* words: what is said of the copy that stays. */
static void expect_drop_refused(int reason, const char *words)
{
    expect_refused(KMSE_REWRAP_DROP, at.uri[A], NULL, reason);
    expect_said("nothing is dropped");
    expect_said("version 1");
    expect_said(words);
}

static void nothing_is_dropped_unless_another_copy_opens(void **state)
{
    (void)state;
    char aside[URI_LEN + 8];
    snprintf(aside, sizeof(aside), "%s.aside", at.path[B]);
    assert_int_equal(rename(at.path[B], aside), 0);
    expect_drop_refused(KMSE_R_KMS_KEY_NOT_FOUND, at.uri[B]);
    assert_int_equal(symlink(at.path[B], at.path[B]), 0);
    expect_drop_refused(KMSE_R_KMS_UNREACHABLE, at.uri[B]);
    assert_int_equal(unlink(at.path[B]), 0);
    /* Another master key in its place. */
    expect_done(kmse_kms_ensure(at.rotation.kms, at.uri[B], NULL, &why));
    expect_drop_refused(KMSE_R_KMS_WRONG_KEY, at.uri[B]);
    assert_int_equal(rename(aside, at.path[B]), 0);
    answer(at.uri[B], KMSE_R_KMS_DENIED);
    expect_drop_refused(KMSE_R_KMS_DENIED, at.uri[B]);
    forget_answers();
    struct kmse_keyfile *file = read_file();
    falsify(file, &file->versions[0].copies[1]);
    expect_drop_refused(KMSE_R_COMMITMENT, at.uri[B]);
    kmse_keyfile_free(file);
    expect_done(rewrap(KMSE_REWRAP_RENEW, NULL, NULL));
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[A], NULL));
    expect_copies("b", "b");
}

/* One of the rest is enough: the others are not asked for. */
static void of_those_that_stay_one_opens(void **state)
{
    (void)state;
    expect_done(rewrap(KMSE_REWRAP_ADD, at.uri[C], NULL));
    make_unreachable(B);
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[A], NULL));
    expect_copies("b c", "b c");
    expect_refused(KMSE_REWRAP_DROP, at.uri[C], NULL, KMSE_R_KMS_UNREACHABLE);
}

/* A KMS that is away cannot be asked what an alias stands for. */
static void what_is_dropped_is_named_as_the_file_does(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < 2; i++) {
        struct kmse_copy *copy = &file->versions[i].copies[0];
        free(copy->kms);
        copy->kms = strdup("gone-kms:key/1");
    }
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_refused(KMSE_REWRAP_DROP, "gone-kms:alias/x", NULL, KMSE_R_KMS_URI);
    expect_said("gone-kms:alias/x");
    expect_said("as kms-envelope status emails prints it");
    expect_refused(KMSE_REWRAP_DROP, at.uri[C], NULL, KMSE_R_PARAMETER);
    expect_said("has no copy under");
    expect_done(rewrap(KMSE_REWRAP_DROP, "gone-kms:key/1", NULL));
    expect_copies("b", "b");
    kmse_keyfile_free(file);
}

/* --- naming ------------------------------------------------------------- */

static void a_master_key_named_twice_is_refused(void **state)
{
    (void)state;
    char *folder = getcwd(NULL, 0);
    assert_non_null(folder);
    assert_int_equal(chdir(at.folder), 0);
    static const enum kmse_rewrap_how HOWS[] = {KMSE_REWRAP_TO, KMSE_REWRAP_ADD,
                                                KMSE_REWRAP_DROP};
    for (size_t i = 0; i < sizeof(HOWS) / sizeof(HOWS[0]); i++) {
        expect_refused(HOWS[i], at.uri[B], "local:b.key", KMSE_R_PARAMETER);
        expect_said("named twice");
        expect_said(at.uri[B]);
    }
    const char *uris[] = {"local:a.key", at.uri[A]};
    expect_reason(
        kmse_rotation_create(&at.rotation, "two", uris, 2, NULL, NULL, &why),
        KMSE_R_PARAMETER);
    assert_int_equal(chdir(folder), 0);
    free(folder);
}

static void master_keys_are_named_or_not(void **state)
{
    (void)state;
    expect_refused(KMSE_REWRAP_TO, NULL, NULL, KMSE_R_PARAMETER);
    expect_refused(KMSE_REWRAP_ADD, NULL, NULL, KMSE_R_PARAMETER);
    expect_refused(KMSE_REWRAP_DROP, NULL, NULL, KMSE_R_PARAMETER);
    expect_refused(KMSE_REWRAP_RENEW, at.uri[A], NULL, KMSE_R_PARAMETER);
}

static void a_key_is_made_under_all_or_not_at_all(void **state)
{
    (void)state;
    const char *uris[] = {at.uri[A], at.uri[C], at.uri[B]};
    struct kmse_file_mark mark;
    make_unreachable(C);
    expect_reason(
        kmse_rotation_create(&at.rotation, "all", uris, 3, NULL, NULL, &why),
        KMSE_R_KMS_UNREACHABLE);
    expect_said(at.uri[C]);
    expect_reason(kmse_keyfile_stat(at.folder, "all", &mark, NULL),
                  KMSE_R_KEY_NOT_FOUND);
    assert_int_equal(unlink(at.path[C]), 0);
    expect_done(kmse_kms_ensure(at.rotation.kms, at.uri[C], NULL, &why));
    answer(at.uri[B], KMSE_R_KMS_DENIED); /* wraps, but does not open */
    expect_reason(
        kmse_rotation_create(&at.rotation, "all", uris, 3, NULL, NULL, &why),
        KMSE_R_KMS_DENIED);
    expect_said(at.uri[B]);
    forget_answers();
    expect_done(
        kmse_rotation_create(&at.rotation, "all", uris, 3, NULL, NULL, &why));
}

static void rotating_wraps_by_all_of_the_newest(void **state)
{
    (void)state;
    uint32_t number = 0;
    char *before = file_text();
    make_unreachable(B);
    expect_reason(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why),
                  KMSE_R_KMS_UNREACHABLE);
    expect_said(at.uri[B]);
    char *after = file_text();
    assert_string_equal(before, after);
    free(before);
    free(after);
    expect_done(rewrap(KMSE_REWRAP_DROP, at.uri[B], NULL));
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    assert_int_equal(number, 3);
    expect_every_copy_opens();
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up_two, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(moving_leaves_exactly_those_in_order),
        STORY(adding_leaves_what_is_there),
        STORY(adding_what_is_there_makes_it_anew_in_its_place),
        STORY(a_copy_is_added_while_another_s_kms_is_away),
        STORY(moving_away_from_what_is_gone),
        STORY(moving_to_where_one_fails_changes_nothing),
        STORY(a_copy_that_is_not_of_the_version_is_not_written),
        STORY(renewing_is_of_each_from_itself),
        STORY(a_spoilt_copy_is_made_from_another),
        STORY(a_false_copy_does_not_hide_a_good_one),
        STORY(renewing_needs_every_master_key),
        STORY(without_a_copy_that_opens_nothing_is_changed),
        STORY(retired_versions_move_and_destroyed_ones_do_not),
        STORY(a_changed_file_is_not_rewrapped),
        STORY(what_is_dropped_need_not_open),
        STORY(the_last_copy_is_never_dropped),
        STORY(nothing_is_dropped_unless_another_copy_opens),
        STORY(of_those_that_stay_one_opens),
        STORY(what_is_dropped_is_named_as_the_file_does),
        STORY(a_master_key_named_twice_is_refused),
        STORY(master_keys_are_named_or_not),
        STORY(a_key_is_made_under_all_or_not_at_all),
        STORY(rotating_wraps_by_all_of_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
