/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: which version, for how long, how often the KMS is asked. */
#include "ring_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void one_unwrap_serves_many_messages(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ring_newest(&lease), 1);
        if (i % 3 == 0)
            kmse_lease_give_back(&lease);
    }
    kmse_lease_give_back(&lease);
    assert_int_equal(ring_unwraps, 1);
}

static void past_max_age_it_is_unwrapped_again_and_nonces_count_on(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    uint8_t first[KMSE_NONCE_LEN], second[KMSE_NONCE_LEN];
    ring_newest(&lease);
    expect_ok(kmse_lease_take_nonce(lease, first, NULL));
    ring_time_ms += RING_MAX_AGE_MS / 4 * 3 - 1;
    ring_newest(&lease);
    kmse_ring_wait(ring_fixture.ring);
    assert_int_equal(ring_unwraps, 1);
    ring_time_ms += RING_MAX_AGE_MS / 4 + 101;
    ring_newest(&lease);
    assert_int_equal(ring_unwraps, 2);
    expect_ok(kmse_lease_take_nonce(lease, second, NULL));
    kmse_nonce_add(first, 1);
    assert_memory_equal(first, second, sizeof(first));
    kmse_lease_give_back(&lease);
}

static void a_rotation_is_seen_within_a_second(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    assert_int_equal(ring_newest(&lease), 1);
    assert_int_equal(ring_rotate(0), 2);
    ring_time_ms += 1000;
    assert_int_equal(ring_newest(&lease), 2);
    kmse_lease_give_back(&lease);
    expect_ok(kmse_lease_version(&lease, ring_key(), 1, NULL));
    kmse_lease_give_back(&lease);
    assert_int_equal(ring_unwraps, 2);
}

static void an_unknown_version_makes_it_look_at_once(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    struct kmse_why why;
    ring_newest(&lease);
    expect_reason(kmse_lease_version(&lease, ring_key(), 2, &why),
                  KMSE_R_KEY_VERSION_UNKNOWN);
    assert_null(lease);
    ring_rotate(0);
    expect_ok(kmse_lease_version(&lease, ring_key(), 2, NULL));
    kmse_lease_give_back(&lease);
}

static void active_from_is_kept(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    assert_int_equal(ring_rotate(600), 2);
    assert_int_equal(ring_newest(&lease), 1);
    ring_time_ms += 590 * 1000;
    assert_int_equal(ring_newest(&lease), 1);
    expect_ok(kmse_lease_version(&lease, ring_key(), 2, NULL));
    ring_time_ms += 11 * 1000;
    assert_int_equal(ring_newest(&lease), 2);
    kmse_lease_give_back(&lease);
}

static void while_the_kms_is_away_a_cached_key_serves_for_a_time(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    ring_time_ms += RING_MAX_AGE_MS + RING_STALE_MS - 1000;
    ring_newest(&lease);
    ring_time_ms += 2000;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_UNREACHABLE);
    assert_null(lease);
    ring_failure = 0;
    ring_time_ms += 1001;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
}

static void denied_takes_effect_within_max_age(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL, *other = NULL;
    ring_newest(&lease);
    ring_newest(&other);
    ring_failure = KMSE_R_KMS_DENIED;
    ring_time_ms += RING_MAX_AGE_MS + 101;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_DENIED);
    expect_reason(kmse_lease_newest(&other, ring_key(), NULL),
                  KMSE_R_KMS_DENIED);
    /* And is remembered for a second: one call, not two. */
    assert_int_equal(ring_unwraps, 2);
    ring_failure = 0;
    ring_time_ms += 1001;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
}

static void *lease_in_thread(void *arg)
{
    (void)arg;
    struct kmse_lease *lease = NULL;
    kmse_st st = kmse_lease_newest(&lease, ring_key(), NULL);
    kmse_lease_give_back(&lease);
    return kmse_is_ok(st) ? NULL : &ring_fixture;
}

static void threads_that_miss_together_cost_one_unwrap(void **state)
{
    (void)state;
    enum { THREADS = 16 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, lease_in_thread, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(ring_unwraps, 1);
}

static void limits_are_met_to_the_message_and_byte(void **state)
{
    (void)state;
    struct kmse_lease *a = NULL, *b = NULL;
    uint8_t nonce[KMSE_NONCE_LEN];
    kmse_ring_release(ring_fixture.ring);
    ring_make(
        &(struct kmse_ring_options){.max_messages = 1000, .max_bytes = 5000});
    ring_newest(&a);
    ring_newest(&b);
    for (int i = 0; i < 1000; i++) {
        struct kmse_lease *lease = i % 2 == 0 ? a : b;
        kmse_st st = kmse_lease_take_nonce(lease, nonce, NULL);
        /* One may be at its end while the other has some left. */
        if (!kmse_is_ok(st))
            st = kmse_lease_take_nonce(lease == a ? b : a, nonce, NULL);
        expect_ok(st);
    }
    expect_reason(kmse_lease_take_nonce(a, nonce, NULL), KMSE_R_KEY_LIMIT);
    expect_reason(kmse_lease_take_nonce(b, nonce, NULL), KMSE_R_KEY_LIMIT);
    expect_ok(kmse_lease_take_bytes(a, 4999, NULL));
    expect_reason(kmse_lease_take_bytes(a, 2, NULL), KMSE_R_KEY_LIMIT);
    expect_ok(kmse_lease_take_bytes(a, 1, NULL));
    expect_reason(kmse_lease_take_bytes(a, 1, NULL), KMSE_R_KEY_LIMIT);
    kmse_lease_give_back(&a);
    kmse_lease_give_back(&b);
}

static void a_child_draws_its_own_nonces(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    uint8_t mine[KMSE_NONCE_LEN], its[KMSE_NONCE_LEN];
    int ends[2];
    ring_newest(&lease);
    expect_ok(kmse_lease_take_nonce(lease, mine, NULL));
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        kmse_st st = kmse_lease_take_nonce(lease, its, NULL);
        ssize_t n = write(ends[1], its, sizeof(its));
        _exit(kmse_is_ok(st) && n == (ssize_t)sizeof(its) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], its, sizeof(its)), sizeof(its));
    close(ends[0]);
    close(ends[1]);
    /* Neither the parent's next number nor one near it. */
    assert_memory_not_equal(mine, its, 8);
    kmse_lease_give_back(&lease);
}

static void bad_file_is_not_used_and_told_once_keys_expire(void **state)
{
    (void)state;
    char path[128];
    struct kmse_lease *lease = NULL;
    struct kmse_why why = {""};
    ring_newest(&lease);
    snprintf(path, sizeof(path), "%s/emails.json", ring_fixture.folder);
    FILE *file = fopen(path, "w");
    fputs("{}", file);
    fclose(file);
    ring_time_ms += 2000;
    ring_newest(&lease);
    ring_time_ms += RING_MAX_AGE_MS;
    kmse_st st = kmse_lease_newest(&lease, ring_key(), &why);
    assert_false(kmse_is_ok(st));
    assert_non_null(strstr(why.text, "emails.json"));
}

static void an_older_file_is_refused(void **state)
{
    (void)state;
    char command[256];
    struct kmse_lease *lease = NULL;
    snprintf(command, sizeof(command),
             "cp -p %s/emails.json %s/old; sleep 0.01", ring_fixture.folder,
             ring_fixture.folder);
    assert_int_equal(system(command), 0);
    ring_rotate(0);
    assert_int_equal(ring_newest(&lease), 2);
    snprintf(command, sizeof(command), "cp %s/old %s/emails.json",
             ring_fixture.folder, ring_fixture.folder);
    assert_int_equal(system(command), 0);
    ring_time_ms += 1000;
    assert_int_equal(ring_newest(&lease), 2);
    ring_time_ms += RING_MAX_AGE_MS;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KEYFILE_ROLLED_BACK);
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "No",      "a b", "../emails",
        ".hidden", "-x",  "a123456789012345678901234567890x"};
    struct kmse_key *found = NULL;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        expect_reason(kmse_ring_find(ring_fixture.ring, BAD[i], &found, NULL),
                      KMSE_R_KEY_NAME);
    expect_reason(kmse_ring_find(ring_fixture.ring, "other", &found, NULL),
                  KMSE_R_KEY_NOT_FOUND);
}

/* The file of the fixture's key, as it travels. */
static char *print_key_file(void)
{
    struct kmse_keyfile *file = NULL;
    char *json = NULL;
    expect_ok(kmse_keyfile_read(&file, ring_fixture.folder,
                                kmse_key_name(ring_key()), NULL, NULL));
    expect_ok(kmse_keyfile_print(&json, file));
    kmse_keyfile_free(file);
    return json;
}

static void a_carried_key_is_found_by_its_file_alone(void **state)
{
    (void)state;
    struct kmse_ring *ring = ring_fixture.ring;
    const char *name = kmse_key_name(ring_key());
    struct kmse_key *first = NULL, *again = NULL, *later = NULL;
    struct kmse_lease *lease = NULL;
    char *json = print_key_file();
    expect_ok(
        kmse_ring_find_carried(ring, name, json, strlen(json), &first, NULL));
    expect_ok(
        kmse_ring_find_carried(ring, name, json, strlen(json), &again, NULL));
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, ring_key());
    assert_ptr_equal(kmse_ring_find_loaded(ring, name), ring_key());

    /* What is new in the folder is not in it, and is in the next. */
    ring_rotate(0);
    ring_time_ms += 1000;
    assert_int_equal(ring_newest(&lease), 2);
    kmse_lease_give_back(&lease);
    expect_ok(kmse_lease_newest(&lease, first, NULL));
    assert_int_equal(lease->datakey->version, 1);
    kmse_lease_give_back(&lease);
    expect_reason(kmse_lease_version(&lease, first, 2, NULL),
                  KMSE_R_KEY_VERSION_UNKNOWN);
    free(json);
    json = print_key_file();
    expect_ok(
        kmse_ring_find_carried(ring, name, json, strlen(json), &later, NULL));
    assert_ptr_not_equal(first, later);
    free(json);
}

static void a_carried_file_is_read_as_strictly(void **state)
{
    (void)state;
    struct kmse_key *key = NULL;
    struct kmse_lease *lease = NULL;
    char *json = print_key_file();
    expect_reason(kmse_ring_find_carried(ring_fixture.ring, "other", json,
                                         strlen(json), &key, NULL),
                  KMSE_R_KEYFILE_FIELD);
    expect_reason(
        kmse_ring_find_carried(ring_fixture.ring, "other", "{", 1, &key, NULL),
        KMSE_R_KEYFILE_SYNTAX);
    assert_null(key);
    /* Changed, it is found out before anything is encrypted. */
    char *created = strstr(json, "\"created\"");
    assert_non_null(created);
    char *year = strpbrk(created, "12");
    assert_non_null(year);
    year[3] = year[3] == '9' ? '8' : '9';
    expect_ok(kmse_ring_find_carried(ring_fixture.ring,
                                     kmse_key_name(ring_key()), json,
                                     strlen(json), &key, NULL));
    expect_reason(kmse_lease_newest(&lease, key, NULL), KMSE_R_KEYFILE_MAC);
    free(json);
}

static void a_snapshot_is_of_the_file_as_it_is_now(void **state)
{
    (void)state;
    struct kmse_snapshot *before = NULL, *after = NULL, *none = NULL;
    char path[128];
    expect_ok(kmse_key_snapshot(ring_key(), &before, NULL));
    ring_rotate(0); /* and the clock stands still */
    expect_ok(kmse_key_snapshot(ring_key(), &after, NULL));
    assert_int_equal(kmse_snapshot_file(before)->version_count, 1);
    assert_int_equal(kmse_snapshot_file(after)->version_count, 2);
    kmse_snapshot_release(before);
    kmse_snapshot_release(after);
    assert_int_equal(ring_unwraps, 0);
    snprintf(path, sizeof(path), "%s/%s.json", ring_fixture.folder,
             kmse_key_name(ring_key()));
    assert_int_equal(unlink(path), 0);
    expect_reason(kmse_key_snapshot(ring_key(), &none, NULL),
                  KMSE_R_KEY_NOT_FOUND);
    assert_null(none);
}

static void nonces_add_as_96_bit_numbers(void **state)
{
    (void)state;
    uint8_t nonce[KMSE_NONCE_LEN];
    memset(nonce, 0xFF, sizeof(nonce));
    kmse_nonce_add(nonce, 1);
    for (size_t i = 0; i < sizeof(nonce); i++)
        assert_int_equal(nonce[i], 0);
    kmse_nonce_add(nonce, 0x0102030405060708U);
    assert_memory_equal(nonce, "\0\0\0\0\1\2\3\4\5\6\7\10", sizeof(nonce));
    kmse_nonce_add(nonce, UINT64_MAX);
    assert_memory_equal(nonce, "\0\0\0\1\1\2\3\4\5\6\7\7", sizeof(nonce));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(one_unwrap_serves_many_messages),
        RING_STORY(past_max_age_it_is_unwrapped_again_and_nonces_count_on),
        RING_STORY(a_rotation_is_seen_within_a_second),
        RING_STORY(an_unknown_version_makes_it_look_at_once),
        RING_STORY(active_from_is_kept),
        RING_STORY(while_the_kms_is_away_a_cached_key_serves_for_a_time),
        RING_STORY(denied_takes_effect_within_max_age),
        RING_STORY(threads_that_miss_together_cost_one_unwrap),
        RING_STORY(limits_are_met_to_the_message_and_byte),
        RING_STORY(a_child_draws_its_own_nonces),
        RING_STORY(bad_file_is_not_used_and_told_once_keys_expire),
        RING_STORY(an_older_file_is_refused),
        RING_STORY(names_that_are_none_are_refused),
        RING_STORY(a_carried_key_is_found_by_its_file_alone),
        RING_STORY(a_carried_file_is_read_as_strictly),
        RING_STORY(a_snapshot_is_of_the_file_as_it_is_now),
        cmocka_unit_test(nonces_add_as_96_bit_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
