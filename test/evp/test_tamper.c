/* SPDX-License-Identifier: Apache-2.0 */
/* A message that was changed anywhere is refused, and tells nothing. */
#include "evp_test.h"

#include <stdbool.h>

#include <openssl/err.h>

enum { LEN_MAX = 4097, HELD_LEN = 32, BITS = 8, UNTOUCHED = 0xA5 };

static const size_t LENGTHS[] = {0, 1, 15, 16, 17, 31, 32, 33, 48, 100, 4097};
enum { LENGTH_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };
static const struct evp_text NO_AAD = {NULL, 0};
static const struct evp_text AAD = {(const uint8_t *)"users.email:42", 14};

static struct evp_env env;
static EVP_CIPHER_CTX *ctx;
static uint8_t plaintext[LEN_MAX];
static uint8_t message[LEN_MAX + ENV_OVERHEAD + 1];
static uint8_t out[LEN_MAX + 2 * ENV_OVERHEAD];

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    evp_env_rotate(&env, ENV_KEY);
    ctx = EVP_CIPHER_CTX_new();
    fill_pattern(plaintext, sizeof(plaintext));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_CIPHER_CTX_free(ctx);
    evp_env_close(&env);
    return 0;
}

static size_t seal(size_t len, struct evp_text aad)
{
    int sealed = evp_seal(ctx, env.cipher, ENV_KEY, aad,
                          (struct evp_text){plaintext, len}, message);
    EXPECT(sealed);
    return (size_t)sealed;
}

static void expect_untouched(size_t len, const char *what)
{
    for (size_t i = 0; i < len; i++) {
        if (out[i] != UNTOUCHED)
            fail_msg("%s: byte %zu was written", what, i);
    }
}

static int open_in_one_call(const char *name, struct evp_text aad,
                            struct evp_text in)
{
    unsigned char key[ENV_KEY_LEN];
    int len = 0;
    evp_env_key(key, name);
    EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, key, NULL, NULL));
    if (aad.bytes != NULL)
        EXPECT(EVP_DecryptUpdate(ctx, NULL, &len, aad.bytes, (int)aad.len));
    return EVP_Cipher(ctx, out, in.bytes, (unsigned)in.len);
}

/* Both ways in: refused, and of a short one nothing is written. */
static void expect_refused_message(const char *name, struct evp_text aad,
                                   size_t len, const char *what)
{
    const struct evp_text in = {message, len};
    memset(out, UNTOUCHED, sizeof(out));
    if (open_in_one_call(name, aad, in) >= 0)
        fail_msg("EVP_Cipher opened a message with %s", what);
    expect_untouched(sizeof(out), what);
    if (evp_open(ctx, env.cipher, name, aad, in, out) >= 0)
        fail_msg("opened a message with %s", what);
    if (len <= HELD_LEN + ENV_OVERHEAD)
        expect_untouched(sizeof(out), what);
    ERR_clear_error();
}

static void every_flipped_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        struct evp_text aad = i % 2 == 0 ? AAD : NO_AAD;
        size_t len = seal(LENGTHS[i], aad);
        for (size_t bit = 0; bit < len * BITS; bit++) {
            message[bit / BITS] ^= (uint8_t)(1 << bit % BITS);
            expect_refused_message(ENV_KEY, aad, len, "a flipped bit");
            message[bit / BITS] ^= (uint8_t)(1 << bit % BITS);
        }
        assert_int_equal(evp_open(ctx, env.cipher, ENV_KEY, aad,
                                  (struct evp_text){message, len}, out),
                         LENGTHS[i]);
    }
}

static void every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        size_t len = seal(LENGTHS[i], AAD);
        for (size_t cut = 0; cut < len; cut++)
            expect_refused_message(ENV_KEY, AAD, cut, "its end cut off");
        message[len] = 0;
        expect_refused_message(ENV_KEY, AAD, len + 1, "a byte more");
    }
}

static void every_wrong_aad(void **state)
{
    (void)state;
    uint8_t wrong[16];
    size_t len = seal(HELD_LEN, AAD);
    expect_refused_message(ENV_KEY, NO_AAD, len, "no AAD");
    for (size_t cut = 1; cut < AAD.len; cut++)
        expect_refused_message(ENV_KEY, (struct evp_text){AAD.bytes, cut}, len,
                               "shorter AAD");
    for (size_t bit = 0; bit < AAD.len * BITS; bit++) {
        memcpy(wrong, AAD.bytes, AAD.len);
        wrong[bit / BITS] ^= (uint8_t)(1 << bit % BITS);
        expect_refused_message(ENV_KEY, (struct evp_text){wrong, AAD.len}, len,
                               "other AAD");
    }
    len = seal(HELD_LEN, NO_AAD);
    expect_refused_message(ENV_KEY, AAD, len, "AAD that it never had");
    /* AAD is not taken for a part of the message, nor the other way round. */
    expect_refused_message(ENV_KEY, (struct evp_text){message, 4}, len,
                           "its own header as AAD");
}

static void another_key_or_version(void **state)
{
    (void)state;
    enum { LAST_VERSION_BYTE = 3 };
    size_t len = seal(HELD_LEN, AAD);
    assert_int_equal(message[LAST_VERSION_BYTE], 2);
    expect_refused_message("orders", AAD, len, "another key's name");
    message[LAST_VERSION_BYTE] = 1;
    expect_refused_message(ENV_KEY, AAD, len, "another version in its tag");
    evp_env_rotate(&env, "orders");
    message[LAST_VERSION_BYTE] = 2;
    expect_refused_message("orders", AAD, len, "the same version of another");
}

/* Nonces count up, so that the first bytes of both are the same. */
static void pieces_of_two_messages(void **state)
{
    (void)state;
    uint8_t first[HELD_LEN + ENV_OVERHEAD], second[sizeof(first)];
    size_t len = seal(HELD_LEN, AAD);
    memcpy(first, message, len);
    seal(HELD_LEN, AAD);
    memcpy(second, message, len);
    for (size_t at = 1; at < len; at++) {
        memcpy(message, first, at);
        memcpy(message + at, second + at, len - at);
        if (memcmp(message, first, len) != 0
            && memcmp(message, second, len) != 0)
            expect_refused_message(ENV_KEY, AAD, len, "the start of another");
    }
}

/* Callers ignore return codes: nothing may come out of a failed context. */
static void a_failed_context_goes_on_failing(void **state)
{
    (void)state;
    int len = 0;
    size_t sealed = seal(sizeof(plaintext), NO_AAD);
    message[sealed - 1] ^= 1;
    EXPECT(EVP_DecryptInit_ex2(ctx, env.cipher, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(ctx, out, &len, message, (int)sealed));
    REFUSED(EVP_DecryptFinal_ex(ctx, out, &len), "not made with this key");
    assert_int_equal(len, 0);

    memset(out, UNTOUCHED, sizeof(out));
    REFUSED(EVP_DecryptUpdate(ctx, out, &len, message, (int)sealed), "state");
    assert_int_equal(len, 0);
    REFUSED(EVP_DecryptFinal_ex(ctx, out, &len), "state");
    assert_int_equal(EVP_Cipher(ctx, out, message, (unsigned)sealed), -1);
    expect_untouched(sizeof(out), "a failed context");
    ERR_clear_error();

    message[sealed - 1] ^= 1;
    assert_int_equal(evp_open(ctx, env.cipher, NULL, NO_AAD,
                              (struct evp_text){message, sealed}, out),
                     sizeof(plaintext));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(every_wrong_aad),
        cmocka_unit_test(another_key_or_version),
        cmocka_unit_test(pieces_of_two_messages),
        cmocka_unit_test(a_failed_context_goes_on_failing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
