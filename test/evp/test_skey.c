/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as EVP_SKEY objects, which OpenSSL has from 3.5 on. */
#include "evp_test.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include "kms_envelope/format.h"
#include "kms_envelope/params.h"

enum { ROOM = 1024, PARAMS_MAX = 4 };

static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;
static EVP_CIPHER *stream, *siv;

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    evp_env_rotate(&env, "orders");
    stream = EVP_CIPHER_fetch(env.libctx, KMSE_STREAM_CIPHER_NAME, NULL);
    siv = EVP_CIPHER_fetch(env.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    return stream == NULL || siv == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_CIPHER_free(siv);
    EVP_CIPHER_free(stream);
    evp_env_close(&env);
    return 0;
}

static int clear_errors(void **state)
{
    (void)state;
    ERR_clear_error();
    return 0;
}

/* --- objects ------------------------------------------------------------ */

/* Parameters have no const; these are only read. */
static OSSL_PARAM text(const char *key, const char *value)
{
    union {
        const char *read_only;
        char *bytes;
    } pointer = {.read_only = value};
    return OSSL_PARAM_construct_utf8_string(key, pointer.bytes, 0);
}

static EVP_SKEY *import(const OSSL_PARAM params[])
{
    return EVP_SKEY_import(env.libctx, KMSE_CIPHER_NAME, NULL,
                           OSSL_SKEYMGMT_SELECT_ALL, params);
}

static EVP_SKEY *generate(const OSSL_PARAM params[])
{
    return EVP_SKEY_generate(env.libctx, KMSE_CIPHER_NAME, NULL, params);
}

static EVP_SKEY *named(const char *name, unsigned version)
{
    const OSSL_PARAM params[] = {
        text("key", name),
        version != 0 ? OSSL_PARAM_construct_uint("version", &version)
                     : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    EVP_SKEY *skey = import(params);
    EXPECT(skey != NULL);
    return skey;
}

/* --- messages ----------------------------------------------------------- */

static int finish(EVP_CIPHER_CTX *ctx, struct evp_text in, uint8_t *out)
{
    int len = 0, tail_len = 0;
    if (!EVP_CipherUpdate(ctx, out, &len, in.bytes, (int)in.len)
        || !EVP_CipherFinal_ex(ctx, out + len, &tail_len))
        return -1;
    return len + tail_len;
}

static int whole(const EVP_CIPHER *cipher, EVP_SKEY *skey, int encrypt,
                 struct evp_text in, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(EVP_CipherInit_SKEY(ctx, cipher, skey, NULL, 0, encrypt, NULL));
    int len = finish(ctx, in, out);
    EVP_CIPHER_CTX_free(ctx);
    return len;
}

/* A message more in the same context, which keeps what was set. */
static int seal_by_name(EVP_CIPHER_CTX *ctx, const char *name, uint8_t *out)
{
    unsigned char bytes[ENV_KEY_LEN];
    evp_env_key(bytes, name);
    EXPECT(EVP_CipherInit_ex2(ctx, NULL, bytes, NULL, 1, NULL));
    return finish(ctx, TEXT, out);
}

/* A message from before its key was rotated. */
static int old_message(uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    evp_env_create_key(&env, "old");
    int len = evp_seal(ctx, env.cipher, "old", NO_AAD, TEXT, out);
    EXPECT(len);
    evp_env_rotate(&env, "old");
    EVP_CIPHER_CTX_free(ctx);
    return len;
}

static void all_ciphers_take_one_object(void **state)
{
    (void)state;
    EVP_SKEY *skey = named("orders", 0);
    const EVP_CIPHER *const ciphers[] = {env.cipher, stream, siv};
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        uint8_t message[ROOM], again[ROOM];
        int len = whole(ciphers[i], skey, 1, TEXT, message);
        EXPECT(len);
        len = whole(ciphers[i], skey, 0,
                    (struct evp_text){message, (size_t)len}, again);
        assert_int_equal(len, sizeof(EMAIL));
        assert_memory_equal(again, EMAIL, sizeof(EMAIL));
    }
    EVP_SKEY_free(skey);
}

static void it_is_the_key_that_the_name_in_bytes_says(void **state)
{
    (void)state;
    uint8_t message[ROOM], again[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *skey = named("orders", 0);
    int len = whole(env.cipher, skey, 1, TEXT, message);
    struct evp_text sealed = {message, (size_t)len};
    assert_int_equal(evp_open(ctx, env.cipher, "orders", NO_AAD, sealed, again),
                     sizeof(EMAIL));
    REFUSED(evp_open(ctx, env.cipher, ENV_KEY, NO_AAD, sealed, again),
            "emails has no version 2");
    EVP_SKEY_free(skey);
    EVP_CIPHER_CTX_free(ctx);
}

static void a_context_outlives_the_object(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new(), *copy = EVP_CIPHER_CTX_new();
    EVP_SKEY *skey = named("orders", 0);
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, skey, NULL, 0, 1, NULL));
    EVP_SKEY_free(skey);
    EXPECT(EVP_CIPHER_CTX_copy(copy, ctx));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(finish(copy, TEXT, message));
    EVP_CIPHER_CTX_free(copy);
    EVP_CIPHER_CTX_free(ctx);
}

static const char *key_in_use(EVP_CIPHER_CTX *ctx)
{
    static char name[ENV_KEY_LEN];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, name,
                                         sizeof(name)),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CIPHER_CTX_get_params(ctx, params));
    return name;
}

static void an_init_without_a_key_keeps_it(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *skey = named("orders", 0);
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, skey, NULL, 0, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(EVP_CipherInit_SKEY(ctx, NULL, NULL, NULL, 0, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(EVP_CipherInit_ex2(ctx, NULL, NULL, NULL, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    assert_string_equal(key_in_use(ctx), "orders");
    EVP_SKEY_free(skey);
    EVP_CIPHER_CTX_free(ctx);
}

static void is_of_emails(EVP_CIPHER_CTX *ctx)
{
    uint8_t message[ROOM], again[ROOM];
    int len = finish(ctx, TEXT, message);
    EXPECT(len);
    assert_string_equal(key_in_use(ctx), ENV_KEY);
    assert_int_equal(evp_open(ctx, env.cipher, ENV_KEY, NO_AAD,
                              (struct evp_text){message, (size_t)len}, again),
                     sizeof(EMAIL));
}

static void a_later_key_takes_its_place(void **state)
{
    (void)state;
    unsigned char bytes[ENV_KEY_LEN];
    uint8_t message[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *orders = named("orders", 2), *emails = named(ENV_KEY, 0);
    evp_env_key(bytes, ENV_KEY);
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, orders, NULL, 0, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(EVP_CipherInit_ex2(ctx, NULL, bytes, NULL, 1, NULL));
    is_of_emails(ctx);
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, orders, NULL, 0, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(EVP_CipherInit_SKEY(ctx, NULL, emails, NULL, 0, 1, NULL));
    is_of_emails(ctx);
    EVP_SKEY_free(emails);
    EVP_SKEY_free(orders);
    EVP_CIPHER_CTX_free(ctx);
}

/* --- versions ----------------------------------------------------------- */

static void an_object_may_be_confined_to_a_version(void **state)
{
    (void)state;
    uint8_t old[ROOM], again[ROOM];
    int old_len = old_message(old);
    struct evp_text message = {old, (size_t)old_len};
    EVP_SKEY *first = named("old", 1), *second = named("old", 2);
    assert_string_equal(EVP_SKEY_get0_key_id(first),
                        "kms-envelope:old?version=1");
    assert_int_equal(whole(env.cipher, first, 0, message, again),
                     sizeof(EMAIL));
    REFUSED(whole(env.cipher, second, 0, message, again), "version is 1");
    REFUSED(whole(env.cipher, first, 1, TEXT, again), "version is 2");
    EXPECT(whole(env.cipher, second, 1, TEXT, again));
    EVP_SKEY_free(first);
    EVP_SKEY_free(second);
}

static void its_version_goes_with_it(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *first = named("orders", 1), *any = named("orders", 0);
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, first, NULL, 0, 1, NULL));
    REFUSED(finish(ctx, TEXT, message), "version is 2");
    EXPECT(EVP_CipherInit_SKEY(ctx, NULL, any, NULL, 0, 1, NULL));
    EXPECT(finish(ctx, TEXT, message));
    EXPECT(EVP_CipherInit_SKEY(ctx, NULL, first, NULL, 0, 1, NULL));
    EXPECT(seal_by_name(ctx, "orders", message));
    EVP_SKEY_free(any);
    EVP_SKEY_free(first);
    EVP_CIPHER_CTX_free(ctx);
}

static void a_version_that_is_set_stays(void **state)
{
    (void)state;
    unsigned one = 1;
    uint8_t message[ROOM];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *second = named("orders", 2);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &one),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_CipherInit_SKEY(ctx, env.cipher, second, NULL, 0, 1, params));
    REFUSED(finish(ctx, TEXT, message), "asks for 1");
    REFUSED(seal_by_name(ctx, "orders", message), "asks for 1");
    EVP_SKEY_free(second);
    EVP_CIPHER_CTX_free(ctx);
}

/* --- what it says, and does not ----------------------------------------- */

static void it_says_which_key_it_is(void **state)
{
    (void)state;
    EVP_SKEY *skey = named("orders", 0);
    assert_string_equal(EVP_SKEY_get0_key_id(skey), "kms-envelope:orders");
    assert_string_equal(EVP_SKEY_get0_provider_name(skey), KMSE_PROVIDER_NAME);
    assert_true(EVP_SKEY_is_a(skey, KMSE_CIPHER_NAME));
    EVP_SKEY_free(skey);
}

static int never(const OSSL_PARAM params[], void *arg)
{
    (void)params;
    (void)arg;
    fail_msg("something was exported");
    return 1;
}

static void nothing_is_ever_exported(void **state)
{
    (void)state;
    const unsigned char *bytes = NULL;
    size_t len = 0;
    EVP_SKEY *skey = named("orders", 0);
    REFUSED(EVP_SKEY_get0_raw_key(skey, &bytes, &len), "does not leave");
    assert_null(bytes);
    for (int selection = OSSL_SKEYMGMT_SELECT_PARAMETERS;
         selection <= OSSL_SKEYMGMT_SELECT_ALL; selection++)
        REFUSED(EVP_SKEY_export(skey, selection, never, NULL),
                "does not leave");
    EVP_SKEY_free(skey);
}

static void ciphers_of_others_do_not_get_it(void **state)
{
    (void)state;
    static const unsigned char IV[12] = {0};
    EVP_CIPHER *aes = EVP_CIPHER_fetch(env.libctx, "AES-256-GCM", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *skey = named("orders", 0);
    assert_false(EVP_CipherInit_SKEY(ctx, aes, skey, IV, sizeof(IV), 1, NULL));
    EVP_SKEY_free(skey);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(aes);
}

static void keys_of_others_do_not_come_in(void **state)
{
    (void)state;
    unsigned char bytes[ENV_KEY_LEN];
    evp_env_key(bytes, ENV_KEY);
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, KMSE_CIPHER_NAME, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_SKEY *aes =
        EVP_SKEY_import_raw_key(env.libctx, "AES", bytes, sizeof(bytes), NULL);
    EVP_SKEY *skey = named("orders", 0);
    EXPECT(aes != NULL);
    assert_false(EVP_CipherInit_SKEY(ctx, env.cipher, aes, NULL, 0, 1, NULL));
    assert_false(EVP_CipherInit_SKEY(ctx, cipher, skey, NULL, 0, 1, NULL));
    EVP_SKEY_free(skey);
    EVP_SKEY_free(aes);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    OSSL_LIB_CTX_free(libctx);
}

/* --- parameters --------------------------------------------------------- */

static void raw_bytes_are_no_key(void **state)
{
    (void)state;
    char errors[ENV_ERRORS_LEN];
    unsigned char bytes[ENV_KEY_LEN + 1] = "Secret/Secret/Secret/Secret/1234";
    assert_null(EVP_SKEY_import_raw_key(env.libctx, KMSE_CIPHER_NAME, bytes,
                                        ENV_KEY_LEN, NULL));
    evp_errors(errors);
    assert_non_null(strstr(errors, "unknown: raw-bytes"));
    assert_null(strstr(errors, "Secret"));
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    unsigned zero = 0, huge = KMSE_VERSION_MAX + 1, three = 3, one = 1;
    const struct {
        OSSL_PARAM params[PARAMS_MAX];
        const char *words;
    } cases[] = {
        {{OSSL_PARAM_construct_end()}, "the key's name is missing"},
        {{text("key", "")}, "not a key's name"},
        {{text("key", "Orders")}, "not a key's name"},
        {{text("key", "a-name-that-has-32-characters-in")}, "not a key's name"},
        {{OSSL_PARAM_construct_uint("key", &one)}, "not a key's name"},
        {{text("key", "orders"), text("key", "orders")}, "given twice"},
        {{text("key", "nobody")}, "kms-envelope create nobody"},
        {{text("key", "orders"), text("key-name", "orders")},
         "unknown: key-name"},
        {{text("key", "orders"), OSSL_PARAM_construct_uint("version", &zero)},
         "one number from 1"},
        {{text("key", "orders"), OSSL_PARAM_construct_uint("version", &huge)},
         "one number from 1"},
        {{text("key", "orders"), OSSL_PARAM_construct_uint("version", &three)},
         "version 3; the newest is 2"},
        {{text("key", "orders"), OSSL_PARAM_construct_uint("version", &one),
          OSSL_PARAM_construct_uint("version", &one)},
         "one number from 1"},
        {{text("version", "1")}, "one number from 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        REFUSED(import(cases[i].params) != NULL, cases[i].words);
        REFUSED(generate(cases[i].params) != NULL, cases[i].words);
    }
}

/* openssl skeyutl of 3.5 to 4.0 does that when it knows no parameter. */
static void generating_without_parameters_is_refused(void **state)
{
    (void)state;
    REFUSED(generate(NULL) != NULL, "the key's name is missing");
}

static void a_new_key_is_made_with_a_master_key(void **state)
{
    (void)state;
    char uri[ENV_PATH_LEN];
    uint8_t message[ROOM];
    snprintf(uri, sizeof(uri), "local:%s/master-key", env.folder);
    const OSSL_PARAM params[] = {
        text("key", "invoices"),
        text("master-key", uri),
        OSSL_PARAM_construct_end(),
    };
    EVP_SKEY *skey = generate(params);
    EXPECT(skey != NULL);
    assert_string_equal(EVP_SKEY_get0_key_id(skey), "kms-envelope:invoices");
    EXPECT(whole(env.cipher, skey, 1, TEXT, message));
    EVP_SKEY_free(skey);
    REFUSED(generate(params) != NULL, "exists");
    REFUSED(import(params) != NULL, "unknown: master-key");
}

static void an_existing_key_is_generated_as_it_is(void **state)
{
    (void)state;
    const OSSL_PARAM params[] = {text("key", "orders"),
                                 OSSL_PARAM_construct_end()};
    EVP_SKEY *skey = generate(params);
    EXPECT(skey != NULL);
    assert_string_equal(EVP_SKEY_get0_key_id(skey), "kms-envelope:orders");
    EVP_SKEY_free(skey);
}

/* --- stores ------------------------------------------------------------- */

#if OPENSSL_VERSION_MAJOR >= 4
static EVP_SKEY *load(const char *uri)
{
    EVP_SKEY *skey = NULL;
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, env.libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EXPECT(store != NULL);
    EXPECT(OSSL_STORE_expect(store, OSSL_STORE_INFO_SKEY));
    OSSL_STORE_INFO *info = OSSL_STORE_load(store);
    EXPECT(info != NULL);
    skey = OSSL_STORE_INFO_get1_SKEY(info);
    OSSL_STORE_INFO_free(info);
    assert_null(OSSL_STORE_load(store));
    assert_true(OSSL_STORE_eof(store));
    OSSL_STORE_close(store);
    return skey;
}

static void a_store_gives_it_by_its_id(void **state)
{
    (void)state;
    static const char *const URIS[] = {"kms-envelope:orders",
                                       "kms-envelope:orders?version=2"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t message[ROOM];
        EVP_SKEY *skey = load(URIS[i]);
        EXPECT(skey != NULL);
        assert_string_equal(EVP_SKEY_get0_key_id(skey), URIS[i]);
        EXPECT(whole(env.cipher, skey, 1, TEXT, message));
        EVP_SKEY_free(skey);
    }
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, clear_errors)
    const struct CMUnitTest tests[] = {
        TEST(all_ciphers_take_one_object),
        TEST(it_is_the_key_that_the_name_in_bytes_says),
        TEST(a_context_outlives_the_object),
        TEST(an_init_without_a_key_keeps_it),
        TEST(a_later_key_takes_its_place),
        TEST(an_object_may_be_confined_to_a_version),
        TEST(its_version_goes_with_it),
        TEST(a_version_that_is_set_stays),
        TEST(it_says_which_key_it_is),
        TEST(nothing_is_ever_exported),
        TEST(ciphers_of_others_do_not_get_it),
        TEST(keys_of_others_do_not_come_in),
        TEST(raw_bytes_are_no_key),
        TEST(bad_parameters_are_refused),
        TEST(generating_without_parameters_is_refused),
        TEST(a_new_key_is_made_with_a_master_key),
        TEST(an_existing_key_is_generated_as_it_is),
#if OPENSSL_VERSION_MAJOR >= 4
        TEST(a_store_gives_it_by_its_id),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
