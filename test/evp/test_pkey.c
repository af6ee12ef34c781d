/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as EVP_PKEY: found, made, looked at, used; never given away. */
#include "pkey_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "support/guard.h"

enum { ROOM = 8192, SMALL_MAX = 70, OVERHEAD = 32, UNTOUCHED = 0xAA };

static const char URI[] = "kms-envelope:emails";
static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;

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
    ERR_clear_error();
    evp_env_close(&env);
    return 0;
}

/* --- finding ------------------------------------------------------------ */

static void loading_and_looking_ask_no_kms(void **state)
{
    (void)state;
    char name[64] = "";
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    assert_true(EVP_PKEY_is_a(pkey, "KMS-ENVELOPE"));
    assert_int_equal(EVP_PKEY_get_bits(pkey), 256);
    assert_int_equal(EVP_PKEY_get_security_bits(pkey), 256);
    assert_int_equal(EVP_PKEY_get_size(pkey), KMSE_PKEY_MAX_SIZE);
    EXPECT(EVP_PKEY_get_utf8_string_param(pkey, "key-name", name, sizeof(name),
                                          NULL));
    assert_string_equal(name, "emails");
    assert_int_equal(pkey_number(pkey, "key-version"), 0);
    assert_int_equal(pkey_number(pkey, "versions"), 1);
    assert_int_equal(evp_env_kms_calls(env.libctx), 0);
    EVP_PKEY_free(pkey);
}

static void numbers_follow_a_rotation_at_once(void **state)
{
    (void)state;
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    assert_int_equal(pkey_number(pkey, "newest-version"), 1);
    evp_env_rotate(&env, "emails");
    assert_int_equal(pkey_number(pkey, "newest-version"), 2);
    assert_int_equal(pkey_number(pkey, "current-version"), 2);
    assert_int_equal(pkey_number(pkey, "versions"), 2);
    assert_int_equal(pkey_number(pkey, "active-versions"), 2);
    EVP_PKEY_free(pkey);
}

static void the_store_lists_what_can_be_loaded(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"kms-envelope:emails",
                                        "kms-envelope:orders"};
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(
        "kms-envelope:", env.libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EXPECT(store != NULL);
    for (size_t i = 0; i < 2; i++) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        EXPECT(info != NULL);
        assert_int_equal(OSSL_STORE_INFO_get_type(info), OSSL_STORE_INFO_NAME);
        assert_string_equal(OSSL_STORE_INFO_get0_NAME(info), NAMES[i]);
        EVP_PKEY_free(pkey_expect(env.libctx, OSSL_STORE_INFO_get0_NAME(info)));
        OSSL_STORE_INFO_free(info);
    }
    assert_true(OSSL_STORE_eof(store));
    assert_null(OSSL_STORE_load(store));
    assert_false(OSSL_STORE_error(store));
    OSSL_STORE_close(store);
}

static void who_expects_something_else_gets_nothing(void **state)
{
    (void)state;
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(URI, env.libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EXPECT(store != NULL);
    EXPECT(OSSL_STORE_expect(store, OSSL_STORE_INFO_CERT));
    assert_null(OSSL_STORE_load(store));
    assert_true(OSSL_STORE_eof(store));
    OSSL_STORE_close(store);
}

static void bad_uris_are_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *words;
    } CASES[] = {
        {"kms-envelope:missing", "missing.json: No such file"},
        {"kms-envelope:Emails", "not a key's name"},
        {"kms-envelope:../emails", "not a key's name"},
        {"kms-envelope:emails/", "not a key's name"},
        {"kms-envelope:a2345678901234567890123456789012", "not a key's name"},
        {"kms-envelope:emails?version=2", "the newest is 1"},
        {"kms-envelope:emails?version=0", "not what can be asked"},
        {"kms-envelope:emails?version=01", "not what can be asked"},
        {"kms-envelope:emails?version=", "not what can be asked"},
        {"kms-envelope:emails?version=16777216", "not what can be asked"},
        {"kms-envelope:emails?version=4294967297", "not what can be asked"},
        {"kms-envelope:emails?version=1&version=1", "not what can be asked"},
        {"kms-envelope:emails?copies=no", "not what can be asked"},
        {"kms-envelope:emails?copies=yes&", "not what can be asked"},
        {"kms-envelope:emails?", "not what can be asked"},
        {"kms-envelope:?version=1", "not what can be asked"},
        {"kms-envelope:emails\n", "kms-envelope:emails?: not"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        REFUSED(pkey_load(env.libctx, CASES[i].uri) != NULL, CASES[i].words);
}

/* --- comparing, copying, carrying --------------------------------------- */

static void equal_is_the_same_key_and_version(void **state)
{
    (void)state;
    EVP_PKEY *a = pkey_expect(env.libctx, URI);
    EVP_PKEY *same = pkey_expect(env.libctx, "KMS-Envelope:emails");
    EVP_PKEY *version =
        pkey_expect(env.libctx, "kms-envelope:emails?version=1");
    EVP_PKEY *other = pkey_expect(env.libctx, "kms-envelope:orders");
    EVP_PKEY *copy = EVP_PKEY_dup(a);
    EXPECT(copy != NULL);
    assert_int_equal(EVP_PKEY_eq(a, same), 1);
    assert_int_equal(EVP_PKEY_eq(a, copy), 1);
    assert_int_equal(EVP_PKEY_eq(a, version), 0);
    assert_int_equal(EVP_PKEY_eq(a, other), 0);
    EVP_PKEY_free(a); /* and the copy lives on */
    assert_int_equal(EVP_PKEY_eq(copy, same), 1);
    EVP_PKEY_free(copy);
    EVP_PKEY_free(other);
    EVP_PKEY_free(version);
    EVP_PKEY_free(same);
}

static void nothing_secret_is_exported(void **state)
{
    (void)state;
    OSSL_PARAM *params = NULL;
    uint8_t raw[ROOM];
    size_t len = sizeof(raw);
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    REFUSED(EVP_PKEY_todata(pkey, EVP_PKEY_KEYPAIR, &params),
            "holds no secret and gives none");
    REFUSED(EVP_PKEY_todata(pkey, OSSL_KEYMGMT_SELECT_PRIVATE_KEY, &params),
            "holds no secret and gives none");
    assert_int_not_equal(EVP_PKEY_get_raw_private_key(pkey, raw, &len), 1);
    ERR_clear_error();
    assert_null(params);
    EVP_PKEY_free(pkey);
}

/* Facts to parameters and back. */
static EVP_PKEY *from_data(OSSL_PARAM params[])
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(env.libctx, KMSE_PKEY_NAME, NULL);
    EXPECT(ctx != NULL);
    EXPECT(EVP_PKEY_fromdata_init(ctx));
    if (EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static void public_facts_make_the_same_key_again(void **state)
{
    (void)state;
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = pkey_expect(env.libctx, "kms-envelope:emails?version=1");
    EXPECT(EVP_PKEY_todata(pkey, EVP_PKEY_PUBLIC_KEY, &params));
    assert_non_null(OSSL_PARAM_locate(params, "newest-version"));
    assert_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY));
    EVP_PKEY *again = from_data(params);
    EXPECT(again != NULL);
    assert_int_equal(EVP_PKEY_eq(pkey, again), 1);
    EVP_PKEY_free(again);

    OSSL_PARAM *id = OSSL_PARAM_locate(params, "key-id");
    assert_non_null(id);
    *(uint8_t *)id->data ^= 1;
    REFUSED(from_data(params) != NULL, "is not that of the key of that name");
    OSSL_PARAM_free(params);
    EVP_PKEY_free(pkey);
}

static void facts_of_no_key_make_none(void **state)
{
    (void)state;
    char name[] = "emails", missing[] = "missing", bad[] = "Emails";
    unsigned version = 2;
    OSSL_PARAM none[] = {OSSL_PARAM_END};
    OSSL_PARAM named[] = {
        OSSL_PARAM_construct_utf8_string("key-name", missing, 0),
        OSSL_PARAM_END, OSSL_PARAM_END};
    REFUSED(from_data(none) != NULL, "key-name: a key's name");
    REFUSED(from_data(named) != NULL, "missing.json");
    named[0] = OSSL_PARAM_construct_utf8_string("key-name", bad, 0);
    REFUSED(from_data(named) != NULL, "a key's name is");
    named[0] = OSSL_PARAM_construct_utf8_string("key-name", name, 0);
    named[1] = OSSL_PARAM_construct_uint("key-version", &version);
    REFUSED(from_data(named) != NULL, "the newest is 1");
}

/* --- one call, one message ---------------------------------------------- */

/* At the end of its own page: one byte too many is a crash. */
static uint8_t *fresh(const struct guard *guard, size_t len)
{
    uint8_t *out = guard_last(guard, len);
    memset(out, UNTOUCHED, len);
    return out;
}

static void expect_untouched(const uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(out[i], UNTOUCHED);
}

static void check_length(EVP_PKEY *pkey, const struct guard *guard, size_t len)
{
    uint8_t plain[ROOM], message[ROOM];
    size_t asked = 0, message_len = len + OVERHEAD, plain_len = len;
    fill_pattern(plain, len);
    struct evp_text in = {plain, len};
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, in, NULL, &asked));
    assert_int_equal(asked, len + OVERHEAD);
    size_t short_len = asked - 1;
    uint8_t *out = fresh(guard, short_len);
    REFUSED(pkey_crypt(env.libctx, pkey, 1, NO_AAD, in, out, &short_len),
            "the output buffer is too small");
    expect_untouched(out, asked - 1);
    out = fresh(guard, asked);
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, in, out, &message_len));
    assert_int_equal(message_len, asked);
    memcpy(message, out, message_len);

    struct evp_text sealed = {message, message_len};
    EXPECT(pkey_crypt(env.libctx, pkey, 0, NO_AAD, sealed, NULL, &asked));
    assert_int_equal(asked, len > 0 ? len : 1); /* who is told 0 never calls */
    if (len > 0) {
        short_len = len - 1;
        out = fresh(guard, len - 1);
        REFUSED(
            pkey_crypt(env.libctx, pkey, 0, NO_AAD, sealed, out, &short_len),
            "the output buffer is too small");
        expect_untouched(out, len - 1);
    }
    out = fresh(guard, len);
    EXPECT(pkey_crypt(env.libctx, pkey, 0, NO_AAD, sealed, out, &plain_len));
    assert_int_equal(plain_len, len);
    assert_memory_equal(out, plain, len);
}

static void sizes_are_told_and_kept(void **state)
{
    (void)state;
    static const size_t LONG[] = {4095, 4096, 4097, 5000};
    struct guard guard;
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    guard_open(&guard, ROOM);
    for (size_t len = 0; len <= SMALL_MAX; len++)
        check_length(pkey, &guard, len);
    for (size_t i = 0; i < sizeof(LONG) / sizeof(LONG[0]); i++)
        check_length(pkey, &guard, LONG[i]);
    guard_close(&guard);
    EVP_PKEY_free(pkey);
}

static void messages_are_the_ciphers(void **state)
{
    (void)state;
    static const struct evp_text AAD = {(const uint8_t *)"row 7", 5};
    uint8_t message[ROOM], plain[ROOM];
    size_t len = sizeof(message);
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EXPECT(pkey_crypt(env.libctx, pkey, 1, AAD, TEXT, message, &len));
    int opened = evp_open(ctx, env.cipher, "emails", AAD,
                          (struct evp_text){message, len}, plain);
    EXPECT(opened);
    assert_memory_equal(plain, EMAIL, sizeof(EMAIL));

    int sealed = evp_seal(ctx, env.cipher, "emails", AAD, TEXT, message);
    EXPECT(sealed);
    struct evp_text in = {message, (size_t)sealed};
    len = sizeof(plain);
    EXPECT(pkey_crypt(env.libctx, pkey, 0, AAD, in, plain, &len));
    assert_int_equal(len, sizeof(EMAIL));
    len = sizeof(plain);
    REFUSED(pkey_crypt(env.libctx, pkey, 0, NO_AAD, in, plain, &len),
            "key emails, version 1");
    EVP_CIPHER_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void no_byte_of_a_changed_message_comes_out(void **state)
{
    (void)state;
    uint8_t message[sizeof(EMAIL) + OVERHEAD], plain[sizeof(EMAIL)];
    size_t message_len = sizeof(message);
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    EXPECT(
        pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message, &message_len));
    for (size_t bit = 0; bit < 8 * sizeof(message); bit++) {
        size_t len = sizeof(plain);
        memset(plain, UNTOUCHED, sizeof(plain));
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(pkey_crypt(env.libctx, pkey, 0, NO_AAD,
                                (struct evp_text){message, message_len}, plain,
                                &len));
        expect_untouched(plain, sizeof(plain));
        message[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t cut = 0; cut < sizeof(message); cut++) {
        size_t len = sizeof(plain);
        memset(plain, UNTOUCHED, sizeof(plain));
        assert_false(pkey_crypt(env.libctx, pkey, 0, NO_AAD,
                                (struct evp_text){message, cut}, plain, &len));
        expect_untouched(plain, sizeof(plain));
    }
    ERR_clear_error();
    EVP_PKEY_free(pkey);
}

static void input_and_output_may_be_one_buffer(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    size_t len = sizeof(bytes);
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    memcpy(bytes, EMAIL, sizeof(EMAIL));
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD,
                      (struct evp_text){bytes, sizeof(EMAIL)}, bytes, &len));
    struct evp_text in = {bytes, len};
    len = sizeof(bytes);
    EXPECT(pkey_crypt(env.libctx, pkey, 0, NO_AAD, in, bytes, &len));
    assert_int_equal(len, sizeof(EMAIL));
    assert_memory_equal(bytes, EMAIL, sizeof(EMAIL));
    EVP_PKEY_free(pkey);
}

static void more_than_one_call_can_take_is_refused(void **state)
{
    (void)state;
    size_t len = 0;
    struct evp_text in = {EMAIL, KMSE_PKEY_MAX_SIZE + 1}; /* is not read */
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    REFUSED(pkey_crypt(env.libctx, pkey, 1, NO_AAD, in, NULL, &len),
            "take the cipher KMS-ENVELOPE");
    REFUSED(pkey_crypt(env.libctx, pkey, 0, NO_AAD, in, NULL, &len),
            "take the cipher KMS-ENVELOPE");
    EVP_PKEY_free(pkey);
}

/* How many messages are made before the limit. */
static unsigned count_messages(const char *settings)
{
    struct evp_env limited;
    uint8_t message[ROOM];
    size_t len = ROOM;
    unsigned made = 0;
    evp_env_open(&limited, settings);
    EVP_PKEY *pkey = pkey_expect(limited.libctx, URI);
    while (
        made < 10
        && pkey_crypt(limited.libctx, pkey, 1, NO_AAD, TEXT, message, &len)) {
        made++;
        len = ROOM;
    }
    REFUSED(0, "reached its limit");
    EVP_PKEY_free(pkey);
    evp_env_close(&limited);
    return made;
}

static void limits_hold_for_one_call_too(void **state)
{
    (void)state;
    assert_int_equal(count_messages("max-messages = 3"), 3);
    assert_int_equal(sizeof(EMAIL), 17);
    assert_int_equal(count_messages("max-bytes = 40"), 2);
}

static void a_context_goes_on_and_is_copied(void **state)
{
    (void)state;
    uint8_t first[ROOM], second[ROOM];
    size_t first_len = ROOM, second_len = ROOM;
    unsigned version = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint("key-version", &version),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(env.libctx, pkey, NULL);
    EVP_PKEY_free(pkey); /* the context has its own */
    EXPECT(EVP_PKEY_encrypt_init(ctx));
    EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(ctx);
    EXPECT(copy != NULL);
    EXPECT(EVP_PKEY_encrypt(ctx, first, &first_len, EMAIL, sizeof(EMAIL)));
    EXPECT(EVP_PKEY_CTX_get_params(ctx, params));
    assert_int_equal(version, 1);
    EVP_PKEY_CTX_free(ctx);
    EXPECT(EVP_PKEY_encrypt(copy, second, &second_len, EMAIL, sizeof(EMAIL)));
    assert_int_equal(first_len, second_len);
    assert_memory_not_equal(first, second, first_len); /* another nonce */
    EVP_PKEY_CTX_free(copy);
}

static void a_confined_key_does_one_version(void **state)
{
    (void)state;
    uint8_t old[ROOM], message[ROOM], plain[ROOM];
    size_t old_len = ROOM, message_len = ROOM, len = ROOM;
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    EVP_PKEY *first = pkey_expect(env.libctx, "kms-envelope:emails?version=1");
    EXPECT(pkey_crypt(env.libctx, first, 1, NO_AAD, TEXT, old, &old_len));
    evp_env_rotate(&env, "emails");
    assert_int_equal(pkey_number(pkey, "current-version"), 2);
    EXPECT(
        pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message, &message_len));
    REFUSED(pkey_crypt(env.libctx, first, 0, NO_AAD,
                       (struct evp_text){message, message_len}, plain, &len),
            "the message's version is 2, and this object is confined to");
    len = ROOM;
    REFUSED(pkey_crypt(env.libctx, first, 1, NO_AAD, TEXT, plain, &len),
            "confined to version 1");
    len = ROOM;
    EXPECT(pkey_crypt(env.libctx, first, 0, NO_AAD,
                      (struct evp_text){old, old_len}, plain, &len));
    EVP_PKEY_free(first);
    EVP_PKEY_free(pkey);
}

static void another_key_of_the_name_is_not_taken_for_it(void **state)
{
    (void)state;
    char path[ENV_PATH_LEN];
    uint8_t message[ROOM];
    size_t len = ROOM;
    EVP_PKEY *pkey = pkey_expect(env.libctx, "kms-envelope:orders");
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message, &len));
    snprintf(path, sizeof(path), "%s/keys/orders.json", env.folder);
    assert_int_equal(unlink(path), 0);
    evp_env_create_key(&env, "orders");
    REFUSED(EVP_PKEY_get_size(pkey) > 0
                && EVP_PKEY_get_int_param(pkey, "versions", &(int){0}),
            "is another key than the one");
    len = ROOM;
    REFUSED(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message, &len),
            "another key has that name by now");
    EVP_PKEY_free(pkey);
}

static void a_child_uses_its_parents_key(void **state)
{
    (void)state;
    uint8_t of_parent[ROOM], of_child[ROOM];
    size_t len = ROOM;
    int status = -1, ends[2];
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, of_parent, &len));
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        len = ROOM;
        int ok = pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, of_child, &len);
        ok = ok && write(ends[1], of_child, len) == (ssize_t)len;
        EVP_PKEY_free(pkey);
        _exit(ok ? 0 : 1);
    }
    len = ROOM;
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, of_parent, &len));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], of_child, len), (ssize_t)len);
    assert_memory_not_equal(of_child, of_parent, len);
    close(ends[0]);
    close(ends[1]);
    EVP_PKEY_free(pkey);
}

/* libcrypto keeps the provider for as long as a key needs it. */
static void a_key_outlives_its_library_context(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    size_t len = ROOM;
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_PKEY *pkey = pkey_expect(libctx, URI);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, pkey, NULL);
    EXPECT(EVP_PKEY_encrypt_init(ctx));
    OSSL_LIB_CTX_free(libctx);

    EXPECT(EVP_PKEY_encrypt(ctx, message, &len, EMAIL, sizeof(EMAIL)));
    assert_int_equal(pkey_number(pkey, "newest-version"), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

/* Static, so that leak checkers see that it is not lost. */
static EVP_PKEY *left_pkey;

static void free_late(void)
{
    EVP_PKEY_free(left_pkey);
}

static void a_process_may_free_it_last_or_never(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            left_pkey = pkey_load(env.libctx, URI);
            if (late != 0)
                atexit(free_late);
            OPENSSL_cleanup();
            exit(left_pkey != NULL ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
#define PKEY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest TESTS[] = {
        PKEY_TEST(loading_and_looking_ask_no_kms),
        PKEY_TEST(numbers_follow_a_rotation_at_once),
        PKEY_TEST(the_store_lists_what_can_be_loaded),
        PKEY_TEST(who_expects_something_else_gets_nothing),
        PKEY_TEST(bad_uris_are_refused_in_words),
        PKEY_TEST(equal_is_the_same_key_and_version),
        PKEY_TEST(nothing_secret_is_exported),
        PKEY_TEST(public_facts_make_the_same_key_again),
        PKEY_TEST(facts_of_no_key_make_none),
        PKEY_TEST(sizes_are_told_and_kept),
        PKEY_TEST(messages_are_the_ciphers),
        PKEY_TEST(no_byte_of_a_changed_message_comes_out),
        PKEY_TEST(input_and_output_may_be_one_buffer),
        PKEY_TEST(more_than_one_call_can_take_is_refused),
        PKEY_TEST(limits_hold_for_one_call_too),
        PKEY_TEST(a_context_goes_on_and_is_copied),
        PKEY_TEST(a_confined_key_does_one_version),
        PKEY_TEST(another_key_of_the_name_is_not_taken_for_it),
        PKEY_TEST(a_child_uses_its_parents_key),
        PKEY_TEST(a_key_outlives_its_library_context),
        PKEY_TEST(a_process_may_free_it_last_or_never),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
