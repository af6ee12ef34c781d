/* SPDX-License-Identifier: Apache-2.0 */
/* KMS-ENVELOPE-SIV: a message an Update, the same for the same data. */
#include "evp_test.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "kms_envelope/params.h"
#include "support/guard.h"

enum {
    OVERHEAD = 20,
    BLOCK = 32,
    LONGEST = 300,
    ROOM = LONGEST + BLOCK,
    AAD_MAX = 65536,
    FILLING = 0x5A,
};

static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text COLUMN = {(const uint8_t *)"users.email", 11};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;
static EVP_CIPHER *siv;
static EVP_CIPHER_CTX *ctx;
static struct guard guard;
static uint8_t plain[LONGEST];

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    siv = EVP_CIPHER_fetch(env.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    fill_pattern(plain, sizeof(plain));
    guard_open(&guard, 2 * AAD_MAX);
    return siv == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    guard_close(&guard);
    EVP_CIPHER_free(siv);
    evp_env_close(&env);
    return 0;
}

static int new_ctx(void **state)
{
    (void)state;
    ctx = EVP_CIPHER_CTX_new();
    return ctx == NULL;
}

static int free_ctx(void **state)
{
    (void)state;
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return 0;
}

static struct evp_text text(const uint8_t *bytes, int len)
{
    return (struct evp_text){bytes, (size_t)len};
}

static int seal(struct evp_text aad, struct evp_text in, uint8_t *out)
{
    int len = evp_seal(ctx, siv, NULL, aad, in, out);
    EXPECT(len);
    return len;
}

static void set_version(unsigned version)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CIPHER_CTX_set_params(ctx, params));
}

static unsigned get_version(void)
{
    unsigned version = 99;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CIPHER_CTX_get_params(ctx, params));
    return version;
}

/* --- what it is for ----------------------------------------------------- */

static void properties_are_those_of_kms_envelope(void **state)
{
    (void)state;
    assert_int_equal(EVP_CIPHER_get_block_size(siv), BLOCK);
    assert_int_equal(EVP_CIPHER_get_key_length(siv), ENV_KEY_LEN);
    assert_int_equal(EVP_CIPHER_get_iv_length(siv), 0);
    assert_int_equal(EVP_CIPHER_get_mode(siv), EVP_CIPH_STREAM_CIPHER);
    assert_int_equal(EVP_CIPHER_get_flags(siv) & EVP_CIPH_FLAG_AEAD_CIPHER, 0);
    assert_non_null(EVP_get_cipherbyname(KMSE_SIV_CIPHER_LEGACY_NAME));
}

static void equal_values_make_equal_messages(void **state)
{
    (void)state;
    uint8_t first[ROOM], second[ROOM], other[ROOM];
    int len = seal(COLUMN, TEXT, first);
    assert_int_equal(len, sizeof(EMAIL) + OVERHEAD);
    assert_memory_equal(first, "\xC4\0\0\x01", 4);
    assert_int_equal(seal(COLUMN, TEXT, second), len);
    assert_memory_equal(first, second, (size_t)len);
    /* Another value, another AAD, another key. */
    seal(COLUMN, text(EMAIL, sizeof(EMAIL) - 1), other);
    assert_memory_not_equal(first + 4, other + 4, 16);
    seal(NO_AAD, TEXT, other);
    assert_memory_not_equal(first + 4, other + 4, 16);
    EXPECT(evp_seal(ctx, siv, "orders", COLUMN, TEXT, other));
    assert_memory_not_equal(first + 4, other + 4, 16);
}

/* In buffers of exactly what a caller by the book makes room for. */
static void every_length_goes_there_and_back(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    for (size_t len = 0; len <= LONGEST; len++) {
        struct evp_text aad = len % 2 == 0 ? COLUMN : NO_AAD;
        uint8_t *out = guard_last(&guard, len + OVERHEAD);
        int sealed = evp_seal(ctx, siv, NULL, aad, text(plain, (int)len), out);
        EXPECT(sealed);
        assert_int_equal(sealed, len + OVERHEAD);
        memcpy(message, out, len + OVERHEAD);
        out = guard_last(&guard, len);
        int opened = evp_open(ctx, siv, NULL, aad, text(message, sealed), out);
        assert_int_equal(opened, len);
        assert_memory_equal(out, plain, len);
    }
}

static void update_writes_all_and_final_nothing(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int len = 0, tail = 0;
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, message, &len, plain, 100));
    assert_int_equal(len, 120);
    assert_int_equal(get_version(), 1);
    EXPECT(EVP_EncryptFinal_ex(ctx, message + len, &tail));
    assert_int_equal(tail, 0);
    EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, 120));
    assert_int_equal(len, 100);
    EXPECT(EVP_DecryptFinal_ex(ctx, out + len, &tail));
    assert_int_equal(tail, 0);
    assert_memory_equal(out, plain, 100);
}

static void an_empty_message_comes_from_final(void **state)
{
    (void)state;
    uint8_t message[BLOCK], out[BLOCK];
    int len = 1, tail = 0;
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, message, &len, EMAIL, 0));
    assert_int_equal(len, 0);
    EXPECT(EVP_EncryptFinal_ex(ctx, message, &tail));
    assert_int_equal(tail, OVERHEAD);
    EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, OVERHEAD));
    assert_int_equal(len, 0);
    EXPECT(EVP_DecryptFinal_ex(ctx, out, &tail));
    message[7] ^= 1;
    EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    REFUSED(EVP_DecryptUpdate(ctx, out, &len, message, OVERHEAD),
            "not made with this key");
    /* Nothing at all is no message, though nothing was refused yet. */
    EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    REFUSED(EVP_DecryptFinal_ex(ctx, out, &tail), "truncated");
}

static void one_call_does_the_same(void **state)
{
    (void)state;
    uint8_t wanted[ROOM], message[ROOM], out[ROOM];
    for (int len = 0; len <= LONGEST; len += 60) {
        int sealed = seal(NO_AAD, text(plain, len), wanted);
        EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        assert_int_equal(EVP_Cipher(ctx, message, plain, (unsigned)len),
                         sealed);
        assert_memory_equal(message, wanted, (size_t)sealed);
        EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        assert_int_equal(EVP_Cipher(ctx, out, message, (unsigned)sealed), len);
        assert_memory_equal(out, plain, (size_t)len);
    }
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    REFUSED(EVP_Cipher(ctx, NULL, NULL, 0), "no output buffer");
}

static void in_place_and_overlapping(void **state)
{
    (void)state;
    enum { SHIFT_MAX = 40 };
    uint8_t wanted[ROOM], buffer[ROOM + SHIFT_MAX];
    for (size_t len = 1; len <= 100; len += 11) {
        int sealed = seal(COLUMN, text(plain, (int)len), wanted);
        for (int shift = 0; shift <= SHIFT_MAX; shift++) {
            for (int forward = 0; forward <= 1; forward++) {
                uint8_t *in = buffer + (forward ? 0 : shift);
                uint8_t *out = buffer + (forward ? shift : 0);
                memcpy(in, plain, len);
                seal(COLUMN, text(in, (int)len), out);
                assert_memory_equal(out, wanted, (size_t)sealed);
                memcpy(in, wanted, (size_t)sealed);
                EXPECT(evp_open(ctx, siv, NULL, COLUMN, text(in, sealed), out));
                assert_memory_equal(out, plain, len);
            }
        }
    }
}

/* --- what it refuses ---------------------------------------------------- */

static void a_second_update_is_refused_with_the_reason(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int len = 0;
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, message, &len, plain, 40));
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, plain, 1),
            "takes a whole message in one Update");
    REFUSED(EVP_EncryptFinal_ex(ctx, out, &len), "an earlier call failed");
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, message, &len, plain, 40));
    REFUSED(EVP_EncryptUpdate(ctx, NULL, &len, plain, 1), "before the data");
    /* The first piece of a message is no message. */
    for (int at = 1; at < 60; at++) {
        EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        REFUSED(EVP_DecryptUpdate(ctx, out, &len, message, at),
                at < OVERHEAD ? "truncated" : "not made with this key");
        assert_int_equal(len, 0);
    }
    EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, 60));
    REFUSED(EVP_DecryptUpdate(ctx, out, &len, message, 1), "one Update");
}

/* A message that another cipher made is refused by its first byte. */
static void the_two_ciphers_keep_apart(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int sealed = seal(NO_AAD, TEXT, message);
    REFUSED(evp_open(ctx, env.cipher, NULL, NO_AAD, text(message, sealed), out),
            "decrypt it with the cipher KMS-ENVELOPE-SIV");
    sealed = evp_seal(ctx, env.cipher, NULL, NO_AAD, TEXT, message);
    EXPECT(sealed);
    REFUSED(evp_open(ctx, siv, NULL, NO_AAD, text(message, sealed), out),
            "decrypt it with the cipher KMS-ENVELOPE");
    message[0] = 0xC4;
    REFUSED(evp_open(ctx, siv, NULL, NO_AAD, text(message, sealed), out),
            "not made with this key");
}

static void a_flipped_bit_releases_nothing(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int sealed = seal(COLUMN, TEXT, message), len = 0;
    for (int bit = 0; bit < sealed * 8; bit++) {
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
        memset(out, FILLING, sizeof(out));
        EXPECT(EVP_DecryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        EXPECT(
            EVP_DecryptUpdate(ctx, NULL, &len, COLUMN.bytes, (int)COLUMN.len));
        if (EVP_DecryptUpdate(ctx, out, &len, message, sealed) == 1)
            fail_msg("bit %d", bit);
        assert_int_equal(len, 0);
        for (size_t i = 0; i < sizeof(EMAIL); i++)
            assert_true(out[i] == 0 || out[i] == FILLING);
        assert_int_equal(EVP_DecryptFinal_ex(ctx, out, &len), 0);
        ERR_clear_error();
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    EXPECT(evp_open(ctx, siv, NULL, COLUMN, text(message, sealed), out));
}

static void another_key_or_aad_does_not_open_it(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int sealed = seal(COLUMN, TEXT, message);
    REFUSED(evp_open(ctx, siv, "orders", COLUMN, text(message, sealed), out),
            "key orders, version 1");
    REFUSED(evp_open(ctx, siv, NULL, NO_AAD, text(message, sealed), out),
            "not made with this key");
    REFUSED(evp_open(ctx, siv, "nobody", COLUMN, text(message, sealed), out),
            "nobody");
    unsigned char key[ENV_KEY_LEN];
    fill_pattern(key, sizeof(key));
    REFUSED(EVP_EncryptInit_ex2(ctx, siv, key, NULL, NULL),
            "must be a key's name");
}

static void aad_comes_in_pieces_up_to_its_bound(void **state)
{
    (void)state;
    static uint8_t aad[AAD_MAX + 1];
    static const int LENGTHS[] = {1, 63, 64, 65, 4096, AAD_MAX};
    uint8_t wanted[ROOM], message[ROOM];
    int len = 0;
    fill_pattern(aad, sizeof(aad));
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        int sealed = seal(text(aad, LENGTHS[i]), TEXT, wanted);
        EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        for (int at = 0; at < LENGTHS[i]; at += len) {
            int left = LENGTHS[i] - at;
            EXPECT(EVP_EncryptUpdate(ctx, NULL, &len, aad + at,
                                     left < 61 ? left : 61));
        }
        EXPECT(EVP_EncryptUpdate(ctx, message, &len, EMAIL, sizeof(EMAIL)));
        assert_int_equal(len, sealed);
        assert_memory_equal(message, wanted, (size_t)sealed);
    }
    EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
    REFUSED(EVP_EncryptUpdate(ctx, NULL, &len, aad, AAD_MAX + 1),
            "at most 65536");
}

/* There is no nonce to be used twice. */
static void a_context_can_be_copied_at_any_time(void **state)
{
    (void)state;
    uint8_t wanted[ROOM], message[ROOM];
    int len = 0, sealed = seal(COLUMN, TEXT, wanted);
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    for (int step = 0; step < 3; step++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, siv, NULL, NULL, NULL));
        if (step > 0)
            EXPECT(EVP_EncryptUpdate(ctx, NULL, &len, COLUMN.bytes,
                                     (int)COLUMN.len));
        if (step > 1)
            EXPECT(EVP_EncryptUpdate(ctx, message, &len, EMAIL, 3));
        EXPECT(EVP_CIPHER_CTX_copy(copy, ctx));
        if (step == 0)
            EXPECT(EVP_EncryptUpdate(copy, NULL, &len, COLUMN.bytes,
                                     (int)COLUMN.len));
        if (step == 2) {
            EXPECT(EVP_EncryptFinal_ex(copy, message, &len));
            continue;
        }
        EXPECT(EVP_EncryptUpdate(copy, message, &len, EMAIL, sizeof(EMAIL)));
        assert_memory_equal(message, wanted, (size_t)sealed);
    }
    EVP_CIPHER_CTX_free(copy);
}

/* --- versions ----------------------------------------------------------- */

/* The last test: from here on there is a version 2. */
static void both_versions_are_written_to_find_rows_of_both(void **state)
{
    (void)state;
    uint8_t old[ROOM], now[ROOM], again[ROOM], out[ROOM];
    int len = 0, sealed = seal(COLUMN, TEXT, old);
    evp_env_rotate(&env, ENV_KEY);
    /* A lease is looked at again after 100 ms; a fresh library has none. */
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER *fresh = EVP_CIPHER_fetch(libctx, KMSE_SIV_CIPHER_NAME, NULL);
    EXPECT(evp_seal(ctx, fresh, NULL, COLUMN, TEXT, now));
    assert_memory_equal(now, "\xC4\0\0\x02", 4);
    assert_memory_not_equal(now + 4, old + 4, 16);

    static const unsigned VERSIONS[] = {1, 2, 1, 0};
    uint8_t *const wanted[] = {old, now, old, now};
    for (size_t i = 0; i < 4; i++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, fresh, NULL, NULL, NULL));
        set_version(VERSIONS[i]);
        EXPECT(
            EVP_EncryptUpdate(ctx, NULL, &len, COLUMN.bytes, (int)COLUMN.len));
        EXPECT(EVP_EncryptUpdate(ctx, again, &len, EMAIL, sizeof(EMAIL)));
        assert_memory_equal(again, wanted[i], (size_t)sealed);
        assert_int_equal(get_version(), VERSIONS[i] == 0 ? 2 : VERSIONS[i]);
    }
    EXPECT(evp_open(ctx, fresh, NULL, COLUMN, text(old, sealed), out));
    assert_memory_equal(out, EMAIL, sizeof(EMAIL));
    EXPECT(EVP_DecryptInit_ex2(ctx, fresh, NULL, NULL, NULL));
    set_version(2);
    REFUSED(EVP_DecryptUpdate(ctx, out, &len, old, sealed),
            "version is 1, and key-version asks for 2");
    EXPECT(EVP_EncryptInit_ex2(ctx, fresh, NULL, NULL, NULL));
    set_version(3);
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 1), "has no version 3");
    EVP_CIPHER_free(fresh);
    OSSL_LIB_CTX_free(libctx);
}

/* Init with a cipher would make a new context of it. */
static int seal_again(const char *name, uint8_t *out)
{
    unsigned char key[ENV_KEY_LEN];
    int len = 0;
    evp_env_key(key, name);
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, key, NULL, NULL));
    return EVP_EncryptUpdate(ctx, out, &len, EMAIL, sizeof(EMAIL));
}

/* For PHP and others, which can set no parameter. */
static void the_key_bytes_may_say_a_version(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    EXPECT(evp_seal(ctx, siv, "orders/1", COLUMN, TEXT, message));
    assert_int_equal(get_version(), 1);
    REFUSED(seal_again("orders/7", message), "has no version 7");
    /* It is gone with the key that said it; a parameter's stays. */
    EXPECT(seal_again("orders", message));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    set_version(7);
    REFUSED(seal_again("orders", message), "has no version 7");
    EXPECT(seal_again("orders/1", message));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    set_version(7);
    REFUSED(seal_again("orders", message), "has no version 7");
    static const char *const BAD[] = {
        "orders/",         "orders/0",  "orders/01",        "orders/-1",
        "orders/+1",       "orders/1 ", "orders/1/1",       "/1",
        "orders/16777216", "orders/x",  "orders/999999999", "orders/ 1",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        REFUSED(evp_seal(ctx, siv, BAD[i], COLUMN, TEXT, message),
                "must be a key's name");
    REFUSED(evp_seal(ctx, siv, "orders/16777215", COLUMN, TEXT, message),
            "has no version 16777215");
}

/* In the host's context there is an AES of ours, and here it is preferred. */
static void it_does_not_ask_our_own_aes(void **state)
{
    (void)state;
    struct evp_env host;
    uint8_t message[ROOM], out[ROOM];
    evp_env_open(&host, "library-context = host\ndrop-in = yes\n");
    EXPECT(EVP_set_default_properties(host.libctx, "?provider=kms-envelope"));
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(host.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    int sealed = evp_seal(ctx, cipher, NULL, COLUMN, TEXT, message);
    EXPECT(sealed);
    EXPECT(evp_open(ctx, cipher, NULL, COLUMN, text(message, sealed), out));
    assert_memory_equal(out, EMAIL, sizeof(EMAIL));
    EVP_CIPHER_CTX_reset(ctx);
    EVP_CIPHER_free(cipher);
    evp_env_close(&host);
}

/* --- limits ------------------------------------------------------------- */

/* A limit stops what is written, not what is looked for. */
static void a_limit_stops_the_newest_version_alone(void **state)
{
    (void)state;
    struct evp_env limited;
    uint8_t out[ROOM];
    int len = 0;
    evp_env_open(&limited, "max-messages = 3\n");
    evp_env_rotate(&limited, ENV_KEY);
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(limited.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    for (int i = 0; i < 3; i++)
        EXPECT(evp_seal(ctx, cipher, NULL, NO_AAD, TEXT, out));
    REFUSED(evp_seal(ctx, cipher, NULL, NO_AAD, TEXT, out), "max-messages 3");
    for (int i = 0; i < 5; i++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, cipher, NULL, NULL, NULL));
        set_version(1);
        EXPECT(EVP_EncryptUpdate(ctx, out, &len, EMAIL, sizeof(EMAIL)));
    }
    EXPECT(evp_open(ctx, cipher, NULL, NO_AAD, text(out, len), out));
    EVP_CIPHER_CTX_reset(ctx);
    EVP_CIPHER_free(cipher);
    evp_env_close(&limited);
}

static void bytes_count_too(void **state)
{
    (void)state;
    struct evp_env limited;
    uint8_t out[ROOM];
    evp_env_open(&limited, "max-bytes = 40\n");
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(limited.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    const struct evp_text half = text(plain, 20);
    EXPECT(evp_seal(ctx, cipher, NULL, NO_AAD, half, out));
    EXPECT(evp_seal(ctx, cipher, NULL, NO_AAD, half, out));
    REFUSED(evp_seal(ctx, cipher, NULL, NO_AAD, half, out), "max-bytes 40");
    EVP_CIPHER_CTX_reset(ctx);
    EVP_CIPHER_free(cipher);
    evp_env_close(&limited);
}

#define SIV_TEST(name) cmocka_unit_test_setup_teardown(name, new_ctx, free_ctx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIV_TEST(properties_are_those_of_kms_envelope),
        SIV_TEST(equal_values_make_equal_messages),
        SIV_TEST(every_length_goes_there_and_back),
        SIV_TEST(update_writes_all_and_final_nothing),
        SIV_TEST(an_empty_message_comes_from_final),
        SIV_TEST(one_call_does_the_same),
        SIV_TEST(in_place_and_overlapping),
        SIV_TEST(a_second_update_is_refused_with_the_reason),
        SIV_TEST(the_two_ciphers_keep_apart),
        SIV_TEST(a_flipped_bit_releases_nothing),
        SIV_TEST(another_key_or_aad_does_not_open_it),
        SIV_TEST(aad_comes_in_pieces_up_to_its_bound),
        SIV_TEST(a_context_can_be_copied_at_any_time),
        SIV_TEST(the_key_bytes_may_say_a_version),
        SIV_TEST(a_limit_stops_the_newest_version_alone),
        SIV_TEST(it_does_not_ask_our_own_aes),
        SIV_TEST(bytes_count_too),
        SIV_TEST(both_versions_are_written_to_find_rows_of_both),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
