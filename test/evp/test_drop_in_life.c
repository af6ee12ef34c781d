/* SPDX-License-Identifier: Apache-2.0 */
/* Handles in threads, over a fork, in two library contexts, in a MAC. */
#include "evp_test.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "kms_envelope/format.h"

enum { TEXT_LEN = 64, IV_LEN = 16, ROOM = TEXT_LEN + 32 };

static struct evp_env env;
static uint8_t handle[KMSE_HANDLE_LEN], text[TEXT_LEN], iv[IV_LEN];
static uint8_t expected[TEXT_LEN];

/* As programs do that know nothing: false, if any call fails. */
static bool encrypt_with(uint8_t out[ROOM], EVP_CIPHER_CTX *ctx,
                         OSSL_LIB_CTX *libctx, const uint8_t *key)
{
    int len = 0;
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(libctx, "AES-256-CTR", "?provider=kms-envelope");
    bool done = cipher != NULL
                && EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL) == 1
                && EVP_EncryptUpdate(ctx, out, &len, text, TEXT_LEN) == 1
                && len == TEXT_LEN;
    EVP_CIPHER_free(cipher);
    return done;
}

static bool encrypt_once(uint8_t out[ROOM], OSSL_LIB_CTX *libctx,
                         const uint8_t *key)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool done = encrypt_with(out, ctx, libctx, key);
    EVP_CIPHER_CTX_free(ctx);
    return done;
}

static bool is_as_expected(OSSL_LIB_CTX *libctx)
{
    uint8_t out[ROOM];
    return encrypt_once(out, libctx, handle)
           && memcmp(out, expected, TEXT_LEN) == 0;
}

static int set_up(void **state)
{
    uint8_t out[ROOM];
    (void)state;
    evp_env_open(&env, "drop-in = yes\n");
    evp_env_handle(handle, &env, ENV_KEY, 1);
    fill_pattern(text, sizeof(text));
    memset(iv, 0x42, sizeof(iv));
    EXPECT(encrypt_once(out, env.libctx, handle));
    memcpy(expected, out, TEXT_LEN);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evp_env_close(&env);
    return 0;
}

/* --- threads ------------------------------------------------------------ */

enum { THREADS = 8, TURNS = 200 };

static void *use_it(void *arg)
{
    OSSL_LIB_CTX *libctx = arg;
    for (int i = 0; i < TURNS; i++)
        if (!is_as_expected(libctx))
            return NULL;
    return arg;
}

static void threads_have_the_same_key(void **state)
{
    (void)state;
    OSSL_LIB_CTX *cold = evp_env_load(&env);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_it, cold), 0);
    for (int i = 0; i < THREADS; i++) {
        void *worked = NULL;
        pthread_join(threads[i], &worked);
        assert_non_null(worked);
    }
    assert_int_equal(evp_env_kms_calls(cold), 1);
    OSSL_LIB_CTX_free(cold);
}

/* --- forks -------------------------------------------------------------- */

static void expect_child(bool (*run)(void *arg), void *arg)
{
    enum { GOOD = 7, PATIENCE_S = 60 };
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE_S);
        _exit(run(arg) ? GOOD : EXIT_FAILURE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* The parent's context goes on, and a new one has the same key. */
static bool in_the_child(void *arg)
{
    EVP_CIPHER_CTX *ctx = arg;
    uint8_t out[ROOM];
    int len = 0;
    return EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL) == 1
           && EVP_EncryptUpdate(ctx, out, &len, text, TEXT_LEN) == 1
           && memcmp(out, expected, TEXT_LEN) == 0
           && is_as_expected(env.libctx);
}

static bool in_a_cold_child(void *arg)
{
    return is_as_expected(arg);
}

static void a_forked_child_goes_on(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(encrypt_with(out, ctx, env.libctx, handle));
    expect_child(in_the_child, ctx);
    EVP_CIPHER_CTX_free(ctx);
    /* As a server that forks before any client asks. */
    OSSL_LIB_CTX *cold = evp_env_load(&env);
    expect_child(in_a_cold_child, cold);
    OSSL_LIB_CTX_free(cold);
}

/* --- library contexts --------------------------------------------------- */

static void two_contexts_have_keys_of_their_own(void **state)
{
    (void)state;
    struct evp_env other;
    uint8_t out[ROOM], theirs[KMSE_HANDLE_LEN];
    evp_env_open(&other, "drop-in = yes\n");
    evp_env_handle(theirs, &other, ENV_KEY, 1);
    REFUSED(encrypt_once(out, other.libctx, handle),
            "not a handle of any key here");
    REFUSED(encrypt_once(out, env.libctx, theirs),
            "not a handle of any key here");
    EXPECT(encrypt_once(out, other.libctx, theirs));
    assert_memory_not_equal(out, expected, TEXT_LEN);
    assert_true(is_as_expected(env.libctx));
    evp_env_close(&other);
}

static void a_context_outlives_its_library_context(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(encrypt_with(out, ctx, libctx, handle));
    OSSL_LIB_CTX_free(libctx);
    EVP_CIPHER_CTX_free(ctx);
}

/* --- by way of other algorithms ----------------------------------------- */

static size_t mac(uint8_t out[TEXT_LEN], OSSL_LIB_CTX *libctx,
                  const uint8_t *key, const char *cipher_properties)
{
    char cipher[] = "AES-256-CBC", properties[64];
    size_t len = 0;
    strncpy(properties, cipher_properties, sizeof(properties) - 1);
    properties[sizeof(properties) - 1] = '\0';
    EVP_MAC *cmac = EVP_MAC_fetch(libctx, "CMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(cmac);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES, properties,
                                         0),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_MAC_init(ctx, key, KMSE_HANDLE_LEN, params));
    EXPECT(EVP_MAC_update(ctx, text, TEXT_LEN));
    EXPECT(EVP_MAC_final(ctx, out, &len, TEXT_LEN));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(cmac);
    return len;
}

static void cmac_has_the_key_behind_the_handle(void **state)
{
    (void)state;
    uint8_t ours[TEXT_LEN], theirs[TEXT_LEN], again[TEXT_LEN];
    size_t len = mac(ours, env.libctx, handle, "provider=kms-envelope");
    assert_int_equal(len, 16);
    mac(again, env.libctx, handle, "provider=kms-envelope");
    mac(theirs, env.libctx, handle, "provider=default");
    assert_memory_equal(ours, again, len);
    assert_memory_not_equal(ours, theirs, len);
}

/*
 * The manual says where a handle is not seen: ciphers that are no AES-256, and
 * those with two keys. Nothing of ours is in their way.
 */
static void where_a_handle_is_not_seen(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"AES-128-XTS",      "AES-256-XTS",
                                        "AES-128-SIV",      "ChaCha20-Poly1305",
                                        "CAMELLIA-256-CBC", "ARIA-256-GCM"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        assert_null(
            EVP_CIPHER_fetch(env.libctx, NAMES[i], "provider=kms-envelope"));
        EVP_CIPHER *cipher =
            EVP_CIPHER_fetch(env.libctx, NAMES[i], "?provider=kms-envelope");
        assert_non_null(cipher);
        EVP_CIPHER_free(cipher);
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_have_the_same_key),
        cmocka_unit_test(a_forked_child_goes_on),
        cmocka_unit_test(two_contexts_have_keys_of_their_own),
        cmocka_unit_test(a_context_outlives_its_library_context),
        cmocka_unit_test(cmac_has_the_key_behind_the_handle),
        cmocka_unit_test(where_a_handle_is_not_seen),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
