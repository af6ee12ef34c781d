/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256 of ours against the default provider's: with a key, and a handle. */
#include "evp_test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "kms_envelope/format.h"

enum { DATA_LEN = 1024, ROOM = DATA_LEN + 64, IV_LEN = 16, TAG_LEN = 16 };

static const char *const NAMES[] = {
    "AES-256-ECB",      "AES-256-CBC",      "AES-256-CBC-CTS",
    "AES-256-OFB",      "AES-256-CFB",      "AES-256-CFB1",
    "AES-256-CFB8",     "AES-256-CTR",      "AES-256-GCM",
    "AES-256-CCM",      "AES-256-OCB",      "AES-256-WRAP",
    "AES-256-WRAP-PAD", "AES-256-WRAP-INV", "AES-256-WRAP-PAD-INV",
};
enum { NAME_COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

static struct evp_env env;
static uint8_t data[DATA_LEN];
static uint8_t aes_key[ENV_KEY_LEN], iv[IV_LEN];
static uint8_t handle[KMSE_HANDLE_LEN + 1];

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "drop-in = yes\n");
    evp_env_handle(handle, &env, ENV_KEY, 1);
    fill_pattern(data, sizeof(data));
    fill_pattern(aes_key, sizeof(aes_key));
    memset(iv, 0x42, sizeof(iv));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evp_env_close(&env);
    return 0;
}

static EVP_CIPHER *ours(const char *name)
{
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(env.libctx, name, "provider=kms-envelope");
    if (cipher == NULL)
        fail_msg("%s is not offered", name);
    return cipher;
}

static EVP_CIPHER *theirs(const char *name)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(env.libctx, name, "provider=default");
    if (cipher == NULL)
        fail_msg("%s has no other", name);
    return cipher;
}

static void use_once(void)
{
    EVP_CIPHER *cipher = ours("AES-256-CBC");
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(EVP_EncryptInit_ex2(ctx, cipher, aes_key, iv, NULL));
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

/* --- what they say of themselves ---------------------------------------- */

static void count_names(const char *name, void *arg)
{
    (void)name;
    (*(int *)arg)++;
}

static void expect_same_list(const OSSL_PARAM *a, const OSSL_PARAM *b)
{
    for (; a->key != NULL && b->key != NULL; a++, b++)
        assert_string_equal(a->key, b->key);
    assert_true(a->key == b->key);
}

/* Once it is used: before, see the_lists_of_parameters_... below. */
static void facts_are_the_default_s(void **state)
{
    (void)state;
    use_once();
    for (size_t i = 0; i < NAME_COUNT; i++) {
        EVP_CIPHER *a = ours(NAMES[i]), *b = theirs(NAMES[i]);
        int names_a = 0, names_b = 0;
        assert_int_equal(EVP_CIPHER_get_mode(a), EVP_CIPHER_get_mode(b));
        assert_int_equal(EVP_CIPHER_get_flags(a), EVP_CIPHER_get_flags(b));
        assert_int_equal(EVP_CIPHER_get_nid(a), EVP_CIPHER_get_nid(b));
        assert_int_equal(EVP_CIPHER_get_key_length(a),
                         EVP_CIPHER_get_key_length(b));
        assert_int_equal(EVP_CIPHER_get_iv_length(a),
                         EVP_CIPHER_get_iv_length(b));
        assert_int_equal(EVP_CIPHER_get_block_size(a),
                         EVP_CIPHER_get_block_size(b));
        EXPECT(EVP_CIPHER_names_do_all(a, count_names, &names_a));
        EXPECT(EVP_CIPHER_names_do_all(b, count_names, &names_b));
        assert_int_equal(names_a, names_b);
        expect_same_list(EVP_CIPHER_settable_ctx_params(a),
                         EVP_CIPHER_settable_ctx_params(b));
        expect_same_list(EVP_CIPHER_gettable_ctx_params(a),
                         EVP_CIPHER_gettable_ctx_params(b));
        EVP_CIPHER_free(a);
        EVP_CIPHER_free(b);
    }
}

/* What has two keys, and TLS's own constructions, nobody gives a handle. */
static bool takes_one_key(const EVP_CIPHER *cipher)
{
    static const char *const OTHERS[] = {"SIV", "XTS", "HMAC"};
    const char *name = EVP_CIPHER_get0_name(cipher);
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        if (strcasestr(name, OTHERS[i]) != NULL)
            return false;
    }
    return strcasestr(name, "AES") != NULL
           && EVP_CIPHER_get_key_length(cipher) == ENV_KEY_LEN;
}

/* One that our table lacks would have the handle for its key. */
static void note_missing(EVP_CIPHER *cipher, void *arg)
{
    bool *complete = arg;
    const char *name = EVP_CIPHER_get0_name(cipher);
    if (!takes_one_key(cipher))
        return;
    ERR_set_mark();
    EVP_CIPHER *own =
        EVP_CIPHER_fetch(env.libctx, name, "provider=kms-envelope");
    ERR_pop_to_mark();
    if (own == NULL) {
        print_error("%s is not covered\n", name);
        *complete = false;
    }
    EVP_CIPHER_free(own);
}

static void every_aes_of_that_key_length_is_covered(void **state)
{
    (void)state;
    bool complete = true;
    EVP_CIPHER_do_all_provided(env.libctx, note_missing, &complete);
    assert_true(complete);
}

static void it_is_off_unless_asked_for(void **state)
{
    (void)state;
    struct evp_env plain;
    evp_env_open(&plain, "");
    assert_null(
        EVP_CIPHER_fetch(plain.libctx, "AES-256-CBC", "provider=kms-envelope"));
    evp_env_close(&plain);
}

/* --- one message, whole, with either ------------------------------------ */

struct result {
    uint8_t out[ROOM];
    int len; /* -1: it failed */
    uint8_t tag[TAG_LEN];
};

static bool is_wrap(const EVP_CIPHER *cipher)
{
    return EVP_CIPHER_get_mode(cipher) == EVP_CIPH_WRAP_MODE;
}

static bool is_aead(const EVP_CIPHER *cipher)
{
    return (EVP_CIPHER_get_flags(cipher) & EVP_CIPH_FLAG_AEAD_CIPHER) != 0;
}

/* Before the key: CCM is keyed for a length of tags. */
static bool set_tag(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, uint8_t *tag)
{
    bool is_ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;
    return !is_aead(cipher) || (tag == NULL && !is_ccm)
           || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag)
                  == 1;
}

/* CCM is told the length of the data. */
static bool set_aad(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, int len)
{
    int none = 0;
    if (EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE
        && EVP_CipherUpdate(ctx, NULL, &none, NULL, len) != 1)
        return false;
    return !is_aead(cipher)
           || EVP_CipherUpdate(ctx, NULL, &none, (const uint8_t *)"aad", 3)
                  == 1;
}

static bool run_message(struct result *result, EVP_CIPHER_CTX *ctx,
                        const EVP_CIPHER *cipher, const uint8_t *in, int len,
                        bool encrypt)
{
    int tail = 0;
    bool is_ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;
    if (!set_aad(ctx, cipher, len)
        || EVP_CipherUpdate(ctx, result->out, &result->len, in, len) != 1)
        return false;
    if (!(is_ccm && !encrypt)
        && EVP_CipherFinal_ex(ctx, result->out + result->len, &tail) != 1)
        return false;
    result->len += tail;
    return !encrypt || !is_aead(cipher)
           || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN,
                                  result->tag)
                  == 1;
}

/* result->tag is taken, where it decrypts. */
static void cipher_with(struct result *result, const EVP_CIPHER *cipher,
                        const uint8_t *key, const uint8_t *in, int len,
                        bool encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool done =
        EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, encrypt, NULL) == 1
        && set_tag(ctx, cipher, encrypt ? NULL : result->tag)
        && EVP_CipherInit_ex2(ctx, NULL, key, is_wrap(cipher) ? NULL : iv,
                              encrypt, NULL)
               == 1
        && run_message(result, ctx, cipher, in, len, encrypt);
    if (!done)
        result->len = -1;
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
}

static void expect_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->len, b->len);
    if (a->len > 0)
        assert_memory_equal(a->out, b->out, (size_t)a->len);
    assert_memory_equal(a->tag, b->tag, TAG_LEN);
}

static const int LENGTHS[] = {0,  1,  8,  15, 16,  17,
                              24, 32, 33, 64, 160, DATA_LEN};
enum { LENGTH_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };

static void what_is_no_handle_passes_bit_for_bit(void **state)
{
    (void)state;
    int worked = 0;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        EVP_CIPHER *a = ours(NAMES[i]), *b = theirs(NAMES[i]);
        for (size_t j = 0; j < LENGTH_COUNT; j++) {
            struct result by_us = {.len = 0}, by_them = {.len = 0};
            cipher_with(&by_us, a, aes_key, data, LENGTHS[j], true);
            cipher_with(&by_them, b, aes_key, data, LENGTHS[j], true);
            expect_same(&by_us, &by_them);
            if (by_them.len <= 0)
                continue;
            struct result back_us = by_them, back_them = by_them;
            cipher_with(&back_us, a, aes_key, by_them.out, by_them.len, false);
            cipher_with(&back_them, b, aes_key, by_them.out, by_them.len,
                        false);
            expect_same(&back_us, &back_them);
            worked += back_us.len == LENGTHS[j];
        }
        EVP_CIPHER_free(a);
        EVP_CIPHER_free(b);
    }
    assert_true(worked > (int)NAME_COUNT * 4);
}

static void a_handle_is_not_the_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        EVP_CIPHER *a = ours(NAMES[i]), *b = theirs(NAMES[i]);
        struct result under_key = {.len = 0}, under_bytes = {.len = 0};
        cipher_with(&under_key, a, handle, data, 64, true);
        cipher_with(&under_bytes, b, handle, data, 64, true);
        if (under_key.len <= 0)
            fail_msg("%s", NAMES[i]);
        assert_int_equal(under_key.len, under_bytes.len);
        assert_memory_not_equal(under_key.out, under_bytes.out,
                                (size_t)under_key.len);
        struct result back = under_key;
        cipher_with(&back, a, handle, under_key.out, under_key.len, false);
        assert_int_equal(back.len, 64);
        assert_memory_equal(back.out, data, 64);
        EVP_CIPHER_free(a);
        EVP_CIPHER_free(b);
    }
}

/* --- contexts ----------------------------------------------------------- */

static EVP_CIPHER_CTX *init_cbc(EVP_CIPHER *cipher, const uint8_t *key)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL));
    return ctx;
}

static void expect_block(EVP_CIPHER_CTX *ctx, const struct result *expected)
{
    uint8_t out[ROOM];
    int len = 0;
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, data, 64));
    assert_int_equal(len, 64);
    assert_memory_equal(out, expected->out, 64);
}

static void a_context_is_used_as_programs_do(void **state)
{
    (void)state;
    EVP_CIPHER *cipher = ours("AES-256-CBC");
    struct result expected = {.len = 0}, with_key = {.len = 0};
    cipher_with(&expected, cipher, handle, data, 64, true);
    cipher_with(&with_key, cipher, aes_key, data, 64, true);

    EVP_CIPHER_CTX *ctx = init_cbc(cipher, handle);
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    EXPECT(EVP_CIPHER_CTX_copy(copy, ctx));
    expect_block(ctx, &expected);
    expect_block(copy, &expected);
    /* The same key again, then another, then the handle after it. */
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL));
    expect_block(ctx, &expected);
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, aes_key, iv, NULL));
    expect_block(ctx, &with_key);
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, handle, NULL, NULL));
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL));
    expect_block(ctx, &expected);
    EVP_CIPHER_CTX_free(copy);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

/* Who does not look at return codes must not write under an earlier key. */
static void a_handle_of_no_key_here_poisons_the_context(void **state)
{
    (void)state;
    uint8_t wrong[KMSE_HANDLE_LEN], out[ROOM];
    int len = 0;
    EVP_CIPHER *cipher = ours("AES-256-CBC");
    EVP_CIPHER_CTX *ctx = init_cbc(cipher, aes_key);
    memcpy(wrong, handle, sizeof(wrong));
    wrong[10] = wrong[10] == 'x' ? 'y' : 'x';
    REFUSED(EVP_EncryptInit_ex2(ctx, NULL, wrong, iv, NULL),
            "not a handle of any key here");
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, data, 64), "init with a key");
    REFUSED(EVP_EncryptFinal_ex(ctx, out, &len), "init with a key");
    REFUSED(EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL), "init with a key");
    EXPECT(EVP_EncryptInit_ex2(ctx, NULL, aes_key, iv, NULL));
    EXPECT(EVP_EncryptUpdate(ctx, out, &len, data, 64));
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

static void another_version_has_another_handle(void **state)
{
    (void)state;
    uint8_t next[KMSE_HANDLE_LEN + 1];
    EVP_CIPHER *cipher = ours("AES-256-CTR");
    struct result before = {.len = 0}, after = {.len = 0}, other = {.len = 0};
    cipher_with(&before, cipher, handle, data, 64, true);
    evp_env_rotate(&env, ENV_KEY);
    evp_env_handle(next, &env, ENV_KEY, 2);
    cipher_with(&after, cipher, handle, data, 64, true);
    cipher_with(&other, cipher, next, data, 64, true);
    expect_same(&before, &after);
    assert_int_equal(other.len, 64);
    assert_memory_not_equal(other.out, before.out, 64);
    EVP_CIPHER_free(cipher);
}

/* --- where the inner ciphers come from ---------------------------------- */

/* With the host's own context, in which we are as well, nothing is a circle. */
static void it_does_not_wait_for_itself(void **state)
{
    (void)state;
    enum { TOO_LONG_S = 60 };
    struct evp_env host;
    uint8_t own[KMSE_HANDLE_LEN + 1], out[ROOM];
    struct evp_text none = {NULL, 0}, text = {data, 64};
    alarm(TOO_LONG_S); /* a circle never ends */
    evp_env_open(&host, "drop-in = yes\nlibrary-context = host\n");
    EXPECT(EVP_set_default_properties(host.libctx, "?provider=kms-envelope"));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(evp_seal(ctx, host.cipher, NULL, none, text, out),
                     64 + ENV_OVERHEAD);
    EXPECT(RAND_bytes_ex(host.libctx, out, 16, 0));
    evp_env_handle(own, &host, ENV_KEY, 1);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(host.libctx, "AES-256-CBC", NULL);
    struct result by_us = {.len = 0};
    cipher_with(&by_us, cipher, own, data, 64, true);
    assert_true(by_us.len > 0);
    alarm(0);
    EVP_CIPHER_free(cipher);
    EVP_CIPHER_CTX_free(ctx);
    evp_env_close(&host);
}

/* What a list says before the first use, when nothing may be fetched for it. */
static void the_lists_of_parameters_are_there_from_the_start(void **state)
{
    (void)state;
    struct evp_env fresh;
    evp_env_open(&fresh, "drop-in = yes\n");
    for (size_t i = 0; i < NAME_COUNT; i++) {
        EVP_CIPHER *a =
            EVP_CIPHER_fetch(fresh.libctx, NAMES[i], "provider=kms-envelope");
        EVP_CIPHER *b = theirs(NAMES[i]);
        assert_non_null(a);
        const OSSL_PARAM *p = EVP_CIPHER_settable_ctx_params(b);
        for (; p->key != NULL; p++)
            assert_true(strcmp(p->key, OSSL_CIPHER_PARAM_KEYLEN) == 0
                        || OSSL_PARAM_locate_const(
                               EVP_CIPHER_settable_ctx_params(a), p->key)
                               != NULL);
        for (p = EVP_CIPHER_gettable_ctx_params(b); p->key != NULL; p++)
            assert_non_null(OSSL_PARAM_locate_const(
                EVP_CIPHER_gettable_ctx_params(a), p->key));
        assert_null(OSSL_PARAM_locate_const(EVP_CIPHER_settable_ctx_params(a),
                                            OSSL_CIPHER_PARAM_KEYLEN));
        EVP_CIPHER_free(a);
        EVP_CIPHER_free(b);
    }
    evp_env_close(&fresh);
}

/*
 * An init that the inner cipher refuses leaves it with its old key, which was a
 * handle's: nobody would look any more whether that may still be used.
 */
static void an_init_that_fails_does_not_keep_the_handle_s_key(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    int len = 0;
    char bad[] = "not a number";
    EVP_CIPHER *cipher = ours("AES-256-CBC");
    EVP_CIPHER_CTX *ctx = init_cbc(cipher, handle);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_PADDING, bad,
                                          sizeof(bad)),
        OSSL_PARAM_construct_end(),
    };
    assert_int_equal(EVP_EncryptInit_ex2(ctx, NULL, aes_key, iv, params), 0);
    ERR_clear_error();
    REFUSED(EVP_EncryptUpdate(ctx, out, &len, data, 64), "init with a key");
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_the_default_s),
        cmocka_unit_test(every_aes_of_that_key_length_is_covered),
        cmocka_unit_test(it_is_off_unless_asked_for),
        cmocka_unit_test(what_is_no_handle_passes_bit_for_bit),
        cmocka_unit_test(a_handle_is_not_the_key),
        cmocka_unit_test(a_context_is_used_as_programs_do),
        cmocka_unit_test(a_handle_of_no_key_here_poisons_the_context),
        cmocka_unit_test(another_version_has_another_handle),
        cmocka_unit_test(it_does_not_wait_for_itself),
        cmocka_unit_test(the_lists_of_parameters_are_there_from_the_start),
        cmocka_unit_test(an_init_that_fails_does_not_keep_the_handle_s_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
