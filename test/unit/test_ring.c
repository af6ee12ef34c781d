/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: which version, for how long, how often the KMS is asked. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keyring/keyfile.h"
#include "keyring/ring.h"
#include "keyring/rotation.h"

/* --- time stands still unless told -------------------------------------- */

static _Atomic uint64_t time_ms;
static const int64_t EPOCH_S = 1800000000;

static uint64_t fake_ms(void *arg)
{
    (void)arg;
    return time_ms;
}

static int64_t fake_wall_s(void *arg)
{
    (void)arg;
    return EPOCH_S + (int64_t)(time_ms / 1000);
}

static const struct kmse_clock CLOCK = {fake_ms, fake_ms, fake_wall_s, NULL};

/* --- unwraps are counted, and fail when told ---------------------------- */

static _Atomic unsigned unwraps;
static _Atomic int failure;

kmse_st __real_kmse_keyfile_unwrap(struct kmse_secret *, struct kmse_kms *,
                                   struct kmse_crypto *,
                                   const struct kmse_keyfile *,
                                   const struct kmse_version *,
                                   struct kmse_why *);
kmse_st __wrap_kmse_keyfile_unwrap(struct kmse_secret *, struct kmse_kms *,
                                   struct kmse_crypto *,
                                   const struct kmse_keyfile *,
                                   const struct kmse_version *,
                                   struct kmse_why *);

kmse_st __wrap_kmse_keyfile_unwrap(struct kmse_secret *data_key,
                                   struct kmse_kms *kms,
                                   struct kmse_crypto *crypto,
                                   const struct kmse_keyfile *file,
                                   const struct kmse_version *version,
                                   struct kmse_why *why)
{
    unwraps++;
    if (failure != 0)
        return kmse_fail(why, failure, "as told");
    return __real_kmse_keyfile_unwrap(data_key, kms, crypto, file, version,
                                      why);
}

/* --- a folder with a key, and a ring over it ---------------------------- */

struct fixture {
    char folder[64];
    char uri[128];
    struct kmse_rotation rotation;
    struct kmse_ring *ring;
};

static struct fixture fixture;

enum { MAX_AGE_MS = 300000, STALE_MS = 3600000 };

static void make_ring(const struct kmse_ring_options *changes)
{
    struct kmse_ring_options options = {
        .folder = fixture.folder,
        .default_key = "emails",
        .max_age_ms = MAX_AGE_MS,
        .stale_ms = STALE_MS,
        .max_messages = 1 << 20,
        .max_bytes = 1 << 30,
    };
    if (changes != NULL && changes->max_messages != 0)
        options.max_messages = changes->max_messages;
    if (changes != NULL && changes->max_bytes != 0)
        options.max_bytes = changes->max_bytes;
    struct kmse_crypto *crypto = NULL;
    expect_ok(kmse_crypto_new(&crypto, NULL, false));
    expect_ok(kmse_ring_new(&fixture.ring, &options, crypto, &CLOCK));
}

static int set_up(void **state)
{
    (void)state;
    struct kmse_rotation *r = &fixture.rotation;
    snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/kmse-ring-XXXXXX");
    if (mkdtemp(fixture.folder) == NULL)
        return -1;
    snprintf(fixture.uri, sizeof(fixture.uri), "local:%s/master.key",
             fixture.folder);
    r->folder = fixture.folder;
    r->clock = &CLOCK;
    expect_ok(kmse_crypto_new(&r->crypto, NULL, false));
    expect_ok(kmse_pool_new(&r->pool));
    expect_ok(kmse_kms_new(&r->kms, r->crypto, r->pool, r->clock));
    const char *uris[] = {fixture.uri};
    struct kmse_why why = {""};
    kmse_st st = kmse_rotation_create(r, "emails", uris, 1, NULL, NULL, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    make_ring(NULL);
    failure = 0;
    unwraps = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    kmse_ring_release(fixture.ring);
    kmse_kms_free(fixture.rotation.kms);
    kmse_pool_free(fixture.rotation.pool);
    kmse_crypto_free(fixture.rotation.crypto);
    snprintf(command, sizeof(command), "rm -r '%s'", fixture.folder);
    return system(command);
}

static struct kmse_key *key(void)
{
    struct kmse_key *found = NULL;
    struct kmse_why why = {""};
    kmse_st st = kmse_ring_find(fixture.ring, "", &found, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return found;
}

static uint32_t rotate(int64_t active_in_s)
{
    uint32_t number = 0;
    unsigned before = unwraps;
    expect_ok(kmse_rotation_rotate(&fixture.rotation, "emails", active_in_s,
                                   &number, NULL));
    unwraps = before;
    return number;
}

static uint32_t newest(struct kmse_lease **lease)
{
    struct kmse_why why = {""};
    kmse_st st = kmse_lease_newest(lease, key(), &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return (*lease)->datakey->version;
}

/* --- stories ------------------------------------------------------------ */

static void one_unwrap_serves_many_messages(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(newest(&lease), 1);
        if (i % 3 == 0)
            kmse_lease_give_back(&lease);
    }
    kmse_lease_give_back(&lease);
    assert_int_equal(unwraps, 1);
}

static void past_max_age_it_is_unwrapped_again_and_nonces_count_on(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    uint8_t first[KMSE_NONCE_LEN], second[KMSE_NONCE_LEN];
    newest(&lease);
    expect_ok(kmse_lease_take_nonce(lease, first, NULL));
    time_ms += MAX_AGE_MS - 1;
    newest(&lease);
    assert_int_equal(unwraps, 1);
    time_ms += 101;
    newest(&lease);
    assert_int_equal(unwraps, 2);
    expect_ok(kmse_lease_take_nonce(lease, second, NULL));
    kmse_nonce_add(first, 1);
    assert_memory_equal(first, second, sizeof(first));
    kmse_lease_give_back(&lease);
}

static void a_rotation_is_seen_within_a_second(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    assert_int_equal(newest(&lease), 1);
    assert_int_equal(rotate(0), 2);
    time_ms += 1000;
    assert_int_equal(newest(&lease), 2);
    kmse_lease_give_back(&lease);
    expect_ok(kmse_lease_version(&lease, key(), 1, NULL));
    kmse_lease_give_back(&lease);
    assert_int_equal(unwraps, 2);
}

static void an_unknown_version_makes_it_look_at_once(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    struct kmse_why why;
    newest(&lease);
    expect_reason(kmse_lease_version(&lease, key(), 2, &why),
                  KMSE_R_KEY_VERSION_UNKNOWN);
    assert_null(lease);
    rotate(0);
    expect_ok(kmse_lease_version(&lease, key(), 2, NULL));
    kmse_lease_give_back(&lease);
}

static void active_from_is_kept(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    assert_int_equal(rotate(600), 2);
    assert_int_equal(newest(&lease), 1);
    time_ms += 590 * 1000;
    assert_int_equal(newest(&lease), 1);
    expect_ok(kmse_lease_version(&lease, key(), 2, NULL));
    time_ms += 11 * 1000;
    assert_int_equal(newest(&lease), 2);
    kmse_lease_give_back(&lease);
}

static void while_the_kms_is_away_a_cached_key_serves_for_a_time(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    newest(&lease);
    failure = KMSE_R_KMS_UNREACHABLE;
    time_ms += MAX_AGE_MS + STALE_MS - 1000;
    newest(&lease);
    time_ms += 2000;
    expect_reason(kmse_lease_newest(&lease, key(), NULL),
                  KMSE_R_KMS_UNREACHABLE);
    assert_null(lease);
    failure = 0;
    time_ms += 1001;
    newest(&lease);
    kmse_lease_give_back(&lease);
}

static void denied_takes_effect_within_max_age(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL, *other = NULL;
    newest(&lease);
    newest(&other);
    failure = KMSE_R_KMS_DENIED;
    time_ms += MAX_AGE_MS + 101;
    expect_reason(kmse_lease_newest(&lease, key(), NULL), KMSE_R_KMS_DENIED);
    expect_reason(kmse_lease_newest(&other, key(), NULL), KMSE_R_KMS_DENIED);
    /* And is remembered for a second: one call, not two. */
    assert_int_equal(unwraps, 2);
    failure = 0;
    time_ms += 1001;
    newest(&lease);
    kmse_lease_give_back(&lease);
}

static void *lease_in_thread(void *arg)
{
    (void)arg;
    struct kmse_lease *lease = NULL;
    kmse_st st = kmse_lease_newest(&lease, key(), NULL);
    kmse_lease_give_back(&lease);
    return kmse_is_ok(st) ? NULL : &fixture;
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
    assert_int_equal(unwraps, 1);
}

static void limits_are_met_to_the_message_and_byte(void **state)
{
    (void)state;
    struct kmse_lease *a = NULL, *b = NULL;
    uint8_t nonce[KMSE_NONCE_LEN];
    kmse_ring_release(fixture.ring);
    make_ring(
        &(struct kmse_ring_options){.max_messages = 1000, .max_bytes = 5000});
    newest(&a);
    newest(&b);
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
    newest(&lease);
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
    newest(&lease);
    snprintf(path, sizeof(path), "%s/emails.json", fixture.folder);
    FILE *file = fopen(path, "w");
    fputs("{}", file);
    fclose(file);
    time_ms += 2000;
    newest(&lease);
    time_ms += MAX_AGE_MS;
    kmse_st st = kmse_lease_newest(&lease, key(), &why);
    assert_false(kmse_is_ok(st));
    assert_non_null(strstr(why.text, "emails.json"));
}

static void an_older_file_is_refused(void **state)
{
    (void)state;
    char command[256];
    struct kmse_lease *lease = NULL;
    snprintf(command, sizeof(command),
             "cp -p %s/emails.json %s/old; sleep 0.01", fixture.folder,
             fixture.folder);
    assert_int_equal(system(command), 0);
    rotate(0);
    assert_int_equal(newest(&lease), 2);
    snprintf(command, sizeof(command), "cp %s/old %s/emails.json",
             fixture.folder, fixture.folder);
    assert_int_equal(system(command), 0);
    time_ms += 1000;
    assert_int_equal(newest(&lease), 2);
    time_ms += MAX_AGE_MS;
    expect_reason(kmse_lease_newest(&lease, key(), NULL),
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
        expect_reason(kmse_ring_find(fixture.ring, BAD[i], &found, NULL),
                      KMSE_R_KEY_NAME);
    expect_reason(kmse_ring_find(fixture.ring, "other", &found, NULL),
                  KMSE_R_KEY_NOT_FOUND);
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

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(one_unwrap_serves_many_messages),
        STORY(past_max_age_it_is_unwrapped_again_and_nonces_count_on),
        STORY(a_rotation_is_seen_within_a_second),
        STORY(an_unknown_version_makes_it_look_at_once),
        STORY(active_from_is_kept),
        STORY(while_the_kms_is_away_a_cached_key_serves_for_a_time),
        STORY(denied_takes_effect_within_max_age),
        STORY(threads_that_miss_together_cost_one_unwrap),
        STORY(limits_are_met_to_the_message_and_byte),
        STORY(a_child_draws_its_own_nonces),
        STORY(bad_file_is_not_used_and_told_once_keys_expire),
        STORY(an_older_file_is_refused),
        STORY(names_that_are_none_are_refused),
        cmocka_unit_test(nonces_add_as_96_bit_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
