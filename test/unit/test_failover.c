/* SPDX-License-Identifier: Apache-2.0 */
/* Unwrapping a version that has several copies: what fails, and what not. */
#include "copies_env.h"

#include <stdio.h>
#include <string.h>

/* --- failing over ------------------------------------------------------- */

static void either_copy_opens_alone(void **state)
{
    (void)state;
    struct kmse_secret first = {0}, second = {0};
    struct kmse_keyfile *file = read_file();
    answer(at.uri[A], KMSE_R_KMS_UNREACHABLE);
    expect_done(open_with(file, &file->versions[0], &first));
    forget_answers();
    answer(at.uri[B], KMSE_R_KMS_UNREACHABLE);
    expect_done(open_with(file, &file->versions[0], &second));
    assert_memory_equal(first.bytes, second.bytes, KMSE_SECRET_LEN);
    kmse_secret_wipe(&first);
    kmse_secret_wipe(&second);
    kmse_keyfile_free(file);
}

static void a_no_of_all_is_a_no_and_of_one_is_not(void **state)
{
    (void)state;
    static const struct {
        int of_a, of_b, together;
    } CASES[] = {
        /* The one that did not answer might have opened it. */
        {KMSE_R_KMS_DENIED, KMSE_R_KMS_UNREACHABLE, KMSE_R_KMS_UNREACHABLE},
        {KMSE_R_KMS_UNREACHABLE, KMSE_R_KMS_DENIED, KMSE_R_KMS_UNREACHABLE},
        {KMSE_R_KMS_BLOB, KMSE_R_KMS_THROTTLED, KMSE_R_KMS_THROTTLED},
        {KMSE_R_KMS_TIMEOUT, KMSE_R_KMS_THROTTLED, KMSE_R_KMS_TIMEOUT},
        /* So might the one that broke: no is not said. */
        {KMSE_R_KMS_DISABLED, KMSE_R_KMS_ANSWER, KMSE_R_KMS_ANSWER},
        {KMSE_R_KMS_BLOB, KMSE_R_KMS_DENIED, KMSE_R_KMS_BLOB},
        {KMSE_R_KMS_BLOB, KMSE_R_KMS_ANSWER, KMSE_R_KMS_BLOB},
        /* Revoked. */
        {KMSE_R_KMS_DISABLED, KMSE_R_KMS_DENIED, KMSE_R_KMS_DISABLED},
        {KMSE_R_KMS_DENIED, KMSE_R_KMS_DISABLED, KMSE_R_KMS_DENIED},
        {KMSE_R_KMS_DENIED, KMSE_R_KMS_KEY_NOT_FOUND, KMSE_R_KMS_DENIED},
    };
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct kmse_secret data_key = {0};
        forget_answers();
        answer(at.uri[A], CASES[i].of_a);
        answer(at.uri[B], CASES[i].of_b);
        expect_reason(open_with(file, &file->versions[0], &data_key),
                      CASES[i].together);
        assert_null(data_key.bytes);
        expect_said("key emails, version 1");
        expect_said(kmse_reason_text(CASES[i].of_a));
        expect_said(kmse_reason_text(CASES[i].of_b));
        expect_said(at.uri[A]);
        expect_said(at.uri[B]);
    }
    kmse_keyfile_free(file);
}

/* A fork waits for this thread: it asks nobody else. */
static void interrupted_it_ends_at_once(void **state)
{
    (void)state;
    struct kmse_secret data_key = {0};
    struct kmse_keyfile *file = read_file();
    answer(at.uri[A], KMSE_R_INTERRUPTED);
    expect_reason(open_with(file, &file->versions[0], &data_key),
                  KMSE_R_INTERRUPTED);
    forget_answers();
    answer(at.uri[B], KMSE_R_INTERRUPTED);
    expect_done(open_with(file, &file->versions[0], &data_key));
    kmse_secret_wipe(&data_key);
    kmse_keyfile_free(file);
}

static void another_data_key_is_passed_over(void **state)
{
    (void)state;
    struct kmse_secret data_key = {0};
    struct kmse_keyfile *file = read_file();
    falsify(file, &file->versions[0].copies[0]);
    expect_done(open_with(file, &file->versions[0], &data_key));
    kmse_secret_wipe(&data_key);
    answer(at.uri[B], KMSE_R_KMS_DENIED);
    expect_reason(open_with(file, &file->versions[0], &data_key),
                  KMSE_R_COMMITMENT);
    assert_null(data_key.bytes);
    kmse_keyfile_free(file);
}

/* Any number of failures fits, and each has some words of its own. */
static void the_text_of_many_failures_is_bounded(void **state)
{
    (void)state;
    char name[ANSWERS_MAX][URI_LEN];
    for (size_t count = 1; count <= ANSWERS_MAX; count++) {
        struct kmse_keyfile *file = read_file();
        struct kmse_version *version = &file->versions[0];
        struct kmse_copy copies[ANSWERS_MAX];
        struct kmse_version many = *version;
        struct kmse_secret data_key = {0};
        forget_answers();
        for (size_t i = 0; i < count; i++) {
            snprintf(name[i], URI_LEN, "local:/%0*zu", (int)(3 * count), i);
            copies[i] = version->copies[0];
            copies[i].kms = name[i];
            answer(name[i], KMSE_R_KMS_DENIED);
        }
        many.copies = copies;
        many.copy_count = count;
        memset(&why, '#', sizeof(why));
        expect_reason(open_with(file, &many, &data_key), KMSE_R_KMS_DENIED);
        assert_true(strlen(why.text) < sizeof(why.text));
        expect_said("key emails, version 1: ");
        for (size_t i = 0; count > 1 && i < count; i++) {
            char number[16];
            snprintf(number, sizeof(number), " %zu) ", i + 1);
            expect_said(number);
        }
        kmse_keyfile_free(file);
    }
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up_two, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(either_copy_opens_alone),
        STORY(a_no_of_all_is_a_no_and_of_one_is_not),
        STORY(interrupted_it_ends_at_once),
        STORY(another_data_key_is_passed_over),
        STORY(the_text_of_many_failures_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
