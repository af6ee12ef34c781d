/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: their form, whose they are, and the AES keys they stand for. */
#include "ring_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "keyring/handle.h"

enum { A_SECOND_MS = 1000 };

static struct kmse_why why;

static void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

/* --- the form ----------------------------------------------------------- */

/* Made by Python's hmac, hashlib and base64: not by what is tested. */
static const struct {
    uint32_t version;
    const char *handle, *aes_key;
} VECTORS[] = {
    {1, "kmshix7WosWOGkyUjXsz21frxJrqXO-T",
     "3923fdabc32ecbf671cd94006345fc7e6eb6b9d83bd8a0f424295f0643d1a76b"},
    {7, "kmshtLVUfBsMjCTtUOkAy7Nm8n2R-fVM",
     "8094ba98f8f1fb1c7ee07a28d140c9810b13962cc6d8850ab3ce6afe42ca17ba"},
    {0xFFFFFF, "kmsh8LilzF1X12siSNF2ZAbq3DZksUVy",
     "b81ea6bb8f902aae491db465ce9ec04419d767df6c49e9302544de024435684e"},
};
enum { VECTOR_COUNT = sizeof(VECTORS) / sizeof(VECTORS[0]) };

static uint8_t id[KMSE_KEY_ID_LEN];
static struct kmse_secret data_key;
static struct kmse_pool *pool;
static struct kmse_crypto *crypto;

static int set_up_form(void **state)
{
    (void)state;
    expect_ok(kmse_pool_new(&pool));
    expect_ok(kmse_crypto_new(&crypto, NULL, false));
    expect_ok(kmse_secret_init(&data_key, pool));
    for (int i = 0; i < KMSE_SECRET_LEN; i++)
        data_key.bytes[i] = (uint8_t)(i + 1);
    for (int i = 0; i < KMSE_KEY_ID_LEN; i++)
        id[i] = (uint8_t)(0xA0 + i);
    return 0;
}

static int tear_down_form(void **state)
{
    (void)state;
    kmse_secret_wipe(&data_key);
    kmse_crypto_free(crypto);
    kmse_pool_free(pool);
    return 0;
}

static void vectors_are_made_and_derived(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        uint8_t handle[KMSE_HANDLE_LEN], aes_key[KMSE_SECRET_LEN];
        char hex[2 * KMSE_SECRET_LEN + 1];
        expect_ok(kmse_handle_make(handle, crypto, id, VECTORS[i].version,
                                   &data_key));
        assert_memory_equal(handle, VECTORS[i].handle, KMSE_HANDLE_LEN);
        assert_true(kmse_handle_is_one(handle, KMSE_HANDLE_LEN));
        expect_ok(kmse_handle_derive(aes_key, handle, crypto, id,
                                     VECTORS[i].version, &data_key));
        kmse_hex_encode(hex, aes_key, sizeof(aes_key));
        assert_string_equal(hex, VECTORS[i].aes_key);
    }
}

static void a_handle_fits_its_own_version_alone(void **state)
{
    (void)state;
    uint8_t other_id[KMSE_KEY_ID_LEN] = {1};
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const uint8_t *handle = (const uint8_t *)VECTORS[i].handle;
        bool fits = false;
        for (size_t j = 0; j < VECTOR_COUNT; j++) {
            expect_ok(kmse_handle_fits(&fits, handle, crypto, id,
                                       VECTORS[j].version));
            assert_true(fits == (i == j));
        }
        expect_ok(kmse_handle_fits(&fits, handle, crypto, other_id,
                                   VECTORS[i].version));
        assert_false(fits);
    }
}

/* Each character counts, but not every one makes it look like another text. */
static void a_changed_handle_is_none_or_fits_nothing(void **state)
{
    (void)state;
    for (size_t at = 0; at < KMSE_HANDLE_LEN; at++) {
        uint8_t handle[KMSE_HANDLE_LEN], aes_key[KMSE_SECRET_LEN];
        bool fits = false;
        memcpy(handle, VECTORS[0].handle, KMSE_HANDLE_LEN);
        handle[at] = handle[at] == 'A' ? 'B' : 'A';
        if (at < strlen(KMSE_HANDLE_MAGIC)) {
            assert_false(kmse_handle_is_one(handle, KMSE_HANDLE_LEN));
            continue;
        }
        assert_true(kmse_handle_is_one(handle, KMSE_HANDLE_LEN));
        expect_ok(kmse_handle_fits(&fits, handle, crypto, id, 1));
        assert_false(fits);
        assert_int_equal(
            kmse_handle_derive(aes_key, handle, crypto, id, 1, &data_key)
                .reason,
            KMSE_R_HANDLE);
    }
}

static void what_is_no_handle_does_not_look_like_one(void **state)
{
    (void)state;
    static const char *const NONE[] = {
        "kmshix7WosWOGkyUjXsz21frxJrqXO+T", "kmshix7WosWOGkyUjXsz21frxJrqXO/T",
        "kmshix7WosWOGkyUjXsz21frxJrqXO=T", "KMSHix7WosWOGkyUjXsz21frxJrqXO-T",
        "kmshix7WosWOGkyUjXsz21frxJrqXO T", "emails-are-a-name-not-a-handle--",
    };
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++)
        assert_false(
            kmse_handle_is_one((const uint8_t *)NONE[i], KMSE_HANDLE_LEN));
    const uint8_t *one = (const uint8_t *)VECTORS[0].handle;
    assert_false(kmse_handle_is_one(one, KMSE_HANDLE_LEN - 1));
    assert_false(kmse_handle_is_one(one, 24));
    uint8_t nul[KMSE_HANDLE_LEN];
    memcpy(nul, one, sizeof(nul));
    nul[KMSE_HANDLE_LEN - 1] = '\0';
    assert_false(kmse_handle_is_one(nul, sizeof(nul)));
}

/* --- in a ring ---------------------------------------------------------- */

static void make_handle(uint8_t handle[KMSE_HANDLE_LEN], uint32_t version)
{
    expect_done(kmse_rotation_handle(&ring_fixture.rotation, "emails", &version,
                                     handle, &why));
}

static kmse_st take(struct kmse_hold *hold, uint8_t aes_key[KMSE_SECRET_LEN],
                    const uint8_t *handle)
{
    why.text[0] = '\0';
    return kmse_hold_take(hold, aes_key, ring_fixture.ring, handle, &why);
}

static void each_version_has_its_own(void **state)
{
    (void)state;
    uint8_t one[KMSE_HANDLE_LEN], two[KMSE_HANDLE_LEN], again[KMSE_HANDLE_LEN];
    uint8_t key_one[KMSE_SECRET_LEN], key_two[KMSE_SECRET_LEN];
    struct kmse_hold hold = {0};
    make_handle(one, 1);
    assert_int_equal(ring_rotate(0), 2);
    make_handle(two, 0);
    make_handle(again, 1);
    assert_memory_equal(one, again, KMSE_HANDLE_LEN);
    assert_memory_not_equal(one, two, KMSE_HANDLE_LEN);

    expect_done(take(&hold, key_two, two));
    kmse_hold_drop(&hold);
    expect_done(take(&hold, key_one, one));
    kmse_hold_drop(&hold);
    assert_memory_not_equal(key_one, key_two, KMSE_SECRET_LEN);
    assert_memory_not_equal(key_one, one, KMSE_SECRET_LEN);
}

static void the_kms_is_asked_once(void **state)
{
    (void)state;
    uint8_t handle[KMSE_HANDLE_LEN], first[KMSE_SECRET_LEN];
    make_handle(handle, 1);
    ring_unwraps = 0;
    for (int i = 0; i < 5; i++) {
        uint8_t aes_key[KMSE_SECRET_LEN];
        struct kmse_hold hold = {0};
        expect_done(take(&hold, aes_key, handle));
        kmse_hold_drop(&hold);
        if (i == 0)
            memcpy(first, aes_key, sizeof(first));
        assert_memory_equal(first, aes_key, sizeof(first));
    }
    assert_int_equal(ring_unwraps, 1);
    /* Unwrapped anew, past max-age, it is the same. */
    struct kmse_hold hold = {0};
    uint8_t aes_key[KMSE_SECRET_LEN];
    ring_time_ms += RING_MAX_AGE_MS + RING_STALE_MS + A_SECOND_MS;
    expect_done(take(&hold, aes_key, handle));
    kmse_hold_drop(&hold);
    assert_memory_equal(first, aes_key, sizeof(first));
    assert_int_equal(ring_unwraps, 2);
}

static void one_of_no_key_here_is_refused(void **state)
{
    (void)state;
    struct kmse_hold hold = {0};
    uint8_t aes_key[KMSE_SECRET_LEN];
    kmse_st st = take(&hold, aes_key, (const uint8_t *)VECTORS[0].handle);
    assert_int_equal(st.reason, KMSE_R_HANDLE);
    assert_non_null(strstr(why.text, ring_fixture.folder));
    assert_non_null(strstr(why.text, "kms-envelope handle"));
    /* It is a secret. */
    assert_null(strstr(why.text, VECTORS[0].handle));
    assert_null(hold.key);
}

/* The check is of 40 bits, and may be made to fit: the data key decides. */
static void one_that_the_data_key_did_not_make_is_refused(void **state)
{
    (void)state;
    uint8_t handle[KMSE_HANDLE_LEN], aes_key[KMSE_SECRET_LEN];
    struct kmse_hold hold = {0};
    uint8_t file_id[KMSE_KEY_ID_LEN];
    struct kmse_keyfile *file = NULL;
    expect_ok(
        kmse_keyfile_read(&file, ring_fixture.folder, "emails", NULL, NULL));
    memcpy(file_id, file->id, sizeof(file_id));
    kmse_keyfile_free(file);
    expect_ok(kmse_handle_make(handle, crypto, file_id, 1, &data_key));
    assert_int_equal(take(&hold, aes_key, handle).reason, KMSE_R_HANDLE);
    assert_non_null(strstr(why.text, "did not make it"));
}

static void a_revoked_version_stops_who_holds_it(void **state)
{
    (void)state;
    uint8_t handle[KMSE_HANDLE_LEN], aes_key[KMSE_SECRET_LEN];
    struct kmse_hold hold = {0}, copy = {0};
    uint32_t number = 0;
    make_handle(handle, 1);
    expect_done(take(&hold, aes_key, handle));
    kmse_hold_copy(&copy, &hold);
    expect_done(kmse_hold_check(&hold, &why));
    expect_done(kmse_rotation_revoke(&ring_fixture.rotation, "emails", 1, true,
                                     &number, &why));
    ring_time_ms += A_SECOND_MS;
    assert_int_equal(kmse_hold_check(&hold, &why).reason,
                     KMSE_R_KEY_VERSION_REVOKED);
    kmse_hold_drop(&hold);
    assert_int_equal(kmse_hold_check(&copy, &why).reason,
                     KMSE_R_KEY_VERSION_REVOKED);
    kmse_hold_drop(&copy);
    assert_int_equal(take(&hold, aes_key, handle).reason,
                     KMSE_R_KEY_VERSION_REVOKED);
    uint32_t one = 1;
    assert_int_equal(kmse_rotation_handle(&ring_fixture.rotation, "emails",
                                          &one, handle, &why)
                         .reason,
                     KMSE_R_STATE);
}

/* More handles than the ring remembers. */
static void forgotten_ones_are_found_again(void **state)
{
    (void)state;
    enum { MANY = 40 };
    uint8_t handles[MANY][KMSE_HANDLE_LEN], keys[MANY][KMSE_SECRET_LEN];
    struct kmse_hold hold = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        make_handle(handles[i], i + 1);
        ring_rotate(0);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            uint8_t aes_key[KMSE_SECRET_LEN];
            expect_done(take(&hold, aes_key, handles[i]));
            kmse_hold_drop(&hold);
            if (round == 0)
                memcpy(keys[i], aes_key, KMSE_SECRET_LEN);
            assert_memory_equal(keys[i], aes_key, KMSE_SECRET_LEN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_made_and_derived),
        cmocka_unit_test(a_handle_fits_its_own_version_alone),
        cmocka_unit_test(a_changed_handle_is_none_or_fits_nothing),
        cmocka_unit_test(what_is_no_handle_does_not_look_like_one),
        RING_STORY(each_version_has_its_own),
        RING_STORY(the_kms_is_asked_once),
        RING_STORY(one_of_no_key_here_is_refused),
        RING_STORY(one_that_the_data_key_did_not_make_is_refused),
        RING_STORY(a_revoked_version_stops_who_holds_it),
        RING_STORY(forgotten_ones_are_found_again),
    };
    return cmocka_run_group_tests(tests, set_up_form, tear_down_form);
}
