/* SPDX-License-Identifier: Apache-2.0 */
/* What EVP's callers do with a cipher, in every order they do it. */
#include "evp_test.h"

#include <stdbool.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "kms_envelope/params.h"

enum { ROOM = 1024, AAD_MAX = 65536 };

static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;
static EVP_CIPHER_CTX *ctx;

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
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

/* The rest of a message after Init: EMAIL, sealed under that key. */
static void finish_and_expect_key(const char *name)
{
    uint8_t message[ROOM], again[ROOM];
    int len = 0, tail_len = 0;
    EXPECT(EVP_EncryptUpdate(ctx, message, &len, EMAIL, sizeof(EMAIL)));
    EXPECT(EVP_EncryptFinal_ex(ctx, message + len, &tail_len));
    EVP_CIPHER_CTX *reader = EVP_CIPHER_CTX_new();
    len = evp_open(reader, env.cipher, name, NO_AAD,
                   (struct evp_text){message, (size_t)(len + tail_len)}, again);
    EVP_CIPHER_CTX_free(reader);
    EXPECT(len);
    assert_int_equal(len, sizeof(EMAIL));
    assert_memory_equal(again, EMAIL, sizeof(EMAIL));
}

/* --- what the cipher says of itself ------------------------------------- */

static void properties_fit_openssl_enc_and_its_buffers(void **state)
{
    (void)state;
    assert_int_equal(EVP_CIPHER_get_block_size(env.cipher), 32);
    assert_int_equal(EVP_CIPHER_get_key_length(env.cipher), 32);
    assert_int_equal(EVP_CIPHER_get_iv_length(env.cipher), 0);
    assert_int_equal(EVP_CIPHER_get_mode(env.cipher), EVP_CIPH_STREAM_CIPHER);
    assert_int_equal(
        EVP_CIPHER_get_flags(env.cipher) & EVP_CIPH_FLAG_AEAD_CIPHER, 0);
    assert_true(EVP_CIPHER_is_a(env.cipher, "kms-envelope"));
}

/* cmake/matrix.sh builds for other releases than the machine's. */
static void the_library_is_of_the_release_of_the_headers(void **state)
{
    (void)state;
    assert_int_equal(OpenSSL_version_num() >> 20, OPENSSL_VERSION_NUMBER >> 20);
}

static void it_is_fetched_by_either_case_and_by_property(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"KMS-ENVELOPE", "kms-envelope"};
    for (size_t i = 0; i < 2; i++) {
        EVP_CIPHER *cipher =
            EVP_CIPHER_fetch(env.libctx, NAMES[i], "provider=kms-envelope");
        assert_non_null(cipher);
        EVP_CIPHER_free(cipher);
    }
}

/* --- which key ---------------------------------------------------------- */

static void the_default_key_is_all_zero_or_none(void **state)
{
    (void)state;
    unsigned char zero[ENV_KEY_LEN] = {0};
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    finish_and_expect_key(ENV_KEY);
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, zero, NULL, NULL));
    finish_and_expect_key(ENV_KEY);
}

static void a_key_that_is_no_name_is_refused_and_not_shown(void **state)
{
    (void)state;
    char errors[ENV_ERRORS_LEN];
    unsigned char random[ENV_KEY_LEN], looks[ENV_KEY_LEN];
    fill_pattern(random, sizeof(random));
    memset(looks, 'a', sizeof(looks)); /* 32 characters: one too many */
    unsigned char inner[ENV_KEY_LEN] = "orders\0x";
    unsigned char upper[ENV_KEY_LEN] = "Orders";
    unsigned char *const keys[] = {random, looks, inner, upper};
    for (size_t i = 0; i < 4; i++) {
        assert_false(EVP_EncryptInit_ex2(ctx, env.cipher, keys[i], NULL, NULL));
        evp_errors(errors);
        assert_non_null(strstr(errors, "must be a key's name"));
        assert_null(strstr(errors, "aaaa"));
        assert_null(strstr(errors, "Orders"));
    }
}

static void a_key_that_is_not_there_fails_at_the_first_data(void **state)
{
    (void)state;
    unsigned char key[ENV_KEY_LEN];
    uint8_t out[ROOM];
    int len = 0;
    evp_env_key(key, "nobody");
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, key, NULL, NULL));
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 1), "nobody");
    assert_int_equal(len, 0);
}

/* openssl enc, pgcrypto, SQLCipher, Ruby; set_padding and friends between. */
static void init_comes_in_parts(void **state)
{
    (void)state;
    unsigned char key[ENV_KEY_LEN];
    const uint64_t calls = evp_env_kms_calls(env.libctx);
    evp_env_key(key, "orders");
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_CIPHER_CTX_set_padding(ctx, 0));
    EXPECT(EVP_CIPHER_CTX_set_key_length(ctx, ENV_KEY_LEN));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, key, NULL, NULL));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    assert_int_equal(evp_env_kms_calls(env.libctx), calls);
    finish_and_expect_key("orders");
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    finish_and_expect_key("orders"); /* a later Init without a key keeps it */
}

static void other_key_lengths_are_refused(void **state)
{
    (void)state;
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    REFUSED(EVP_CIPHER_CTX_set_key_length(ctx, 16), "32 bytes");
}

static void an_iv_is_not_looked_at(void **state)
{
    (void)state;
    unsigned char key[ENV_KEY_LEN], iv[16] = {1};
    evp_env_key(key, "orders");
    EXPECT(EVP_EncryptInit_ex(ctx, env.cipher, NULL, key, iv));
    finish_and_expect_key("orders");
}

/* --- parameters --------------------------------------------------------- */

static void set_params(const char *name, unsigned version)
{
    char text[ENV_KEY_LEN];
    snprintf(text, sizeof(text), "%s", name);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, text, 0),
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CIPHER_CTX_set_params(ctx, params));
}

static unsigned get_params(char name[ENV_KEY_LEN])
{
    unsigned version = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, name,
                                         ENV_KEY_LEN),
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CIPHER_CTX_get_params(ctx, params));
    return version;
}

static void name_and_version_are_read_after_a_message(void **state)
{
    (void)state;
    char name[ENV_KEY_LEN];
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    assert_int_equal(get_params(name), 0);
    assert_string_equal(name, ENV_KEY);
    set_params("orders", 0);
    finish_and_expect_key("orders");
    assert_int_equal(get_params(name), 1);
    assert_string_equal(name, "orders");
}

static void another_version_than_asked_for_is_refused(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    int len = 0;
    int sealed = evp_seal(ctx, env.cipher, "orders", NO_AAD, TEXT, message);
    EXPECT(sealed);
    EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    set_params("orders", 1);
    EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, sealed));
    EXPECT(EVP_DecryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    set_params("orders", 7);
    REFUSED(EVP_DecryptUpdate(ctx, out, &len, message, sealed),
            "version is 1, and key-version asks for 7");
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    char bad_name[] = "Not A Name";
    unsigned too_high = 1U << 24;
    OSSL_PARAM name[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, bad_name, 0),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM version[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &too_high),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM type[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_NAME, &too_high),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    REFUSED(EVP_CIPHER_CTX_set_params(ctx, name), "key-name");
    REFUSED(EVP_CIPHER_CTX_set_params(ctx, type), "key-name");
    REFUSED(EVP_CIPHER_CTX_set_params(ctx, version), "key-version");
    REFUSED(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, name), "key-name");
}

static void the_key_stands_once_a_message_is_under_way(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    char other[] = "orders";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, other, 0),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 1));
    REFUSED(EVP_CIPHER_CTX_set_params(ctx, params), "within a message");
}

/* --- order of calls ----------------------------------------------------- */

static void a_context_is_used_again_and_reset(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    for (int i = 0; i < 3; i++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
        finish_and_expect_key(ENV_KEY);
    }
    /* Given up half way, then used again. */
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 5));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL));
    finish_and_expect_key(ENV_KEY);
    EXPECT(EVP_CIPHER_CTX_reset(ctx));
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 5), "invalid operation");
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    finish_and_expect_key(ENV_KEY);
}

static void a_complete_message_takes_no_more(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    EXPECT(evp_seal(ctx, env.cipher, NULL, NO_AAD, TEXT, out));
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 1), "state");
    EXPECT(evp_seal(ctx, env.cipher, NULL, NO_AAD, TEXT, out));
    REFUSED(EVP_EncryptFinal_ex(ctx, out, &len), "state");
}

static void an_empty_update_changes_nothing(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 1;
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 0));
    assert_int_equal(len, 0);
    EXPECT(EVP_EncryptUpdate(ctx, NULL, &len, EMAIL, 0));
    finish_and_expect_key(ENV_KEY);
}

static void aad_comes_before_the_data(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    for (int encrypt = 0; encrypt <= 1; encrypt++) {
        EXPECT(EVP_CipherInit_ex2(ctx, env.cipher, NULL, NULL, encrypt, NULL));
        EXPECT(EVP_CipherUpdate(ctx, out, &len, EMAIL, 1));
        REFUSED(EVP_CipherUpdate(ctx, NULL, &len, EMAIL, 1), "before");
    }
}

/* Before a decrypt's header the AAD waits: up to a bound. */
static void aad_in_pieces_and_up_to_its_bound(void **state)
{
    (void)state;
    static uint8_t aad[AAD_MAX + 1];
    uint8_t message[ROOM], out[ROOM];
    fill_pattern(aad, sizeof(aad));
    static const size_t LENGTHS[] = {1, 63, 64, 65, 4096, AAD_MAX};
    int len = 0, done = 0;
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        int sealed =
            evp_seal(ctx, env.cipher, NULL, (struct evp_text){aad, LENGTHS[i]},
                     TEXT, message);
        EXPECT(sealed);
        EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
        for (size_t at = 0; at < LENGTHS[i]; at += (size_t)len) {
            size_t left = LENGTHS[i] - at;
            EXPECT(EVP_DecryptUpdate(ctx, NULL, &len, aad + at,
                                     (int)(left < 61 ? left : 61)));
        }
        EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, sealed));
        EXPECT(EVP_DecryptFinal_ex(ctx, out + len, &done));
        assert_memory_equal(out, EMAIL, sizeof(EMAIL));
    }
    EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(ctx, NULL, &len, aad, AAD_MAX));
    REFUSED(EVP_DecryptUpdate(ctx, NULL, &len, aad, 1), "at most 65536");
}

static void one_call_does_not_mix_with_updates(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, EMAIL, 1));
    assert_int_equal(EVP_Cipher(ctx, out, EMAIL, 1), -1);
    /* The end of a message, as ciphers of the old kind want it. */
    EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    REFUSED(EVP_Cipher(ctx, NULL, NULL, 0), "no output buffer");
}

/* --- copies ------------------------------------------------------------- */

static void a_copy_of_a_fresh_context_writes_its_own_message(void **state)
{
    (void)state;
    unsigned char key[ENV_KEY_LEN];
    evp_env_key(key, "orders");
    EVP_CIPHER_CTX *original = ctx;
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    EXPECT(EVP_EncryptInit_ex2(original, env.cipher, key, NULL, NULL));
    EXPECT(EVP_CIPHER_CTX_copy(copy, original));
    finish_and_expect_key("orders");
    ctx = copy;
    finish_and_expect_key("orders");
    ctx = original;
    EVP_CIPHER_CTX_free(copy);
}

static void a_copy_cannot_repeat_a_nonce(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    for (int aad_only = 0; aad_only <= 1; aad_only++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
        EXPECT(EVP_EncryptUpdate(ctx, aad_only ? NULL : out, &len, EMAIL, 1));
        REFUSED(EVP_CIPHER_CTX_copy(copy, ctx), "nonce would be used twice");
    }
    EVP_CIPHER_CTX_free(copy);
}

/* A reader may look ahead: each copy goes on by itself, from any point. */
static void a_copied_reader_goes_on_by_itself(void **state)
{
    (void)state;
    uint8_t plain[300], message[sizeof(plain) + ENV_OVERHEAD];
    uint8_t first[sizeof(plain)], second[sizeof(plain)];
    fill_pattern(plain, sizeof(plain));
    int sealed = evp_seal(ctx, env.cipher, NULL, TEXT,
                          (struct evp_text){plain, sizeof(plain)}, message);
    for (int at = 0; at <= sealed; at++) {
        int len = 0, rest = 0, tail = 0;
        EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
        EXPECT(EVP_DecryptUpdate(ctx, NULL, &len, TEXT.bytes, (int)TEXT.len));
        EXPECT(EVP_DecryptUpdate(ctx, first, &len, message, at));
        EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
        EXPECT(EVP_CIPHER_CTX_copy(copy, ctx));
        memcpy(second, first, (size_t)len);
        EVP_CIPHER_CTX *const readers[] = {ctx, copy};
        uint8_t *const outs[] = {first, second};
        for (int i = 0; i < 2; i++) {
            uint8_t *out = outs[i] + len;
            EXPECT(EVP_DecryptUpdate(readers[i], out, &rest, message + at,
                                     sealed - at));
            EXPECT(EVP_DecryptFinal_ex(readers[i], out + rest, &tail));
            assert_int_equal(len + rest + tail, sizeof(plain));
            assert_memory_equal(outs[i], plain, sizeof(plain));
        }
        EVP_CIPHER_CTX_free(copy);
    }
}

/* --- BIO_f_cipher, under it all of openssl enc -------------------------- */

static void a_cipher_bio_writes_and_reads(void **state)
{
    (void)state;
    uint8_t plain[10000], message[sizeof(plain) + ENV_OVERHEAD];
    uint8_t again[sizeof(plain) + 1];
    fill_pattern(plain, sizeof(plain));
    for (int chunk = 1; chunk < (int)sizeof(plain); chunk = chunk * 3 + 1) {
        BIO *end = BIO_new(BIO_s_mem()), *bio = BIO_new(BIO_f_cipher());
        EXPECT(BIO_set_cipher(bio, env.cipher, NULL, NULL, 1));
        BIO_push(bio, end);
        for (int at = 0; at < (int)sizeof(plain); at += chunk) {
            int left = (int)sizeof(plain) - at;
            int len = left < chunk ? left : chunk;
            assert_int_equal(BIO_write(bio, plain + at, len), len);
        }
        EXPECT(BIO_flush(bio));
        assert_int_equal(BIO_read(end, message, sizeof(message)),
                         sizeof(message));
        BIO_free_all(bio);

        end = BIO_new_mem_buf(message, sizeof(message));
        bio = BIO_new(BIO_f_cipher());
        EXPECT(BIO_set_cipher(bio, env.cipher, NULL, NULL, 0));
        BIO_push(bio, end);
        int total = 0, len = 0;
        while ((len = BIO_read(bio, again + total,
                               (int)sizeof(again) - total < chunk
                                   ? (int)sizeof(again) - total
                                   : chunk))
               > 0)
            total += len;
        EXPECT((int)BIO_get_cipher_status(bio));
        assert_int_equal(total, sizeof(plain));
        assert_memory_equal(again, plain, sizeof(plain));
        BIO_free_all(bio);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, new_ctx, free_ctx)
    const struct CMUnitTest tests[] = {
        TEST(properties_fit_openssl_enc_and_its_buffers),
        TEST(the_library_is_of_the_release_of_the_headers),
        TEST(it_is_fetched_by_either_case_and_by_property),
        TEST(the_default_key_is_all_zero_or_none),
        TEST(a_key_that_is_no_name_is_refused_and_not_shown),
        TEST(a_key_that_is_not_there_fails_at_the_first_data),
        TEST(init_comes_in_parts),
        TEST(other_key_lengths_are_refused),
        TEST(an_iv_is_not_looked_at),
        TEST(name_and_version_are_read_after_a_message),
        TEST(another_version_than_asked_for_is_refused),
        TEST(bad_parameters_are_refused),
        TEST(the_key_stands_once_a_message_is_under_way),
        TEST(a_context_is_used_again_and_reset),
        TEST(a_complete_message_takes_no_more),
        TEST(an_empty_update_changes_nothing),
        TEST(aad_comes_before_the_data),
        TEST(aad_in_pieces_and_up_to_its_bound),
        TEST(one_call_does_not_mix_with_updates),
        TEST(a_copy_of_a_fresh_context_writes_its_own_message),
        TEST(a_copy_cannot_repeat_a_nonce),
        TEST(a_copied_reader_goes_on_by_itself),
        TEST(a_cipher_bio_writes_and_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
