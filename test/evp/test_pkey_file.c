/* SPDX-License-Identifier: Apache-2.0 */
/* Keys made by EVP_PKEY_generate, shown as text, and carried as files. */
#include "pkey_test.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/encoder.h>
#include <openssl/params.h>
#include <openssl/pem.h>

enum { ROOM = 8192 };

static const char URI[] = "kms-envelope:emails";
static const char WITH_COPIES[] = "kms-envelope:emails?copies=yes";
static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;   /* where the keys are */
static struct evp_env other; /* and where they are brought */

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_open(&other, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ERR_clear_error();
    evp_env_close(&other);
    evp_env_close(&env);
    return 0;
}

/* The other machine does not have the key. */
static void forget_there(void)
{
    char path[ENV_PATH_LEN];
    snprintf(path, sizeof(path), "%s/keys/emails.json", other.folder);
    assert_int_equal(unlink(path), 0);
}

/* --- files -------------------------------------------------------------- */

struct bytes {
    uint8_t at[ROOM];
    size_t len;
};

/* pkey as the encoders have it; false if they refuse. */
static bool encode(const EVP_PKEY *pkey, int selection, const char *form,
                   const char *structure, struct bytes *out)
{
    unsigned char *at = out->at;
    size_t left = sizeof(out->at);
    OSSL_ENCODER_CTX *ctx =
        OSSL_ENCODER_CTX_new_for_pkey(pkey, selection, form, structure, NULL);
    bool ok = ctx != NULL && OSSL_ENCODER_to_data(ctx, &at, &left) == 1;
    OSSL_ENCODER_CTX_free(ctx);
    out->len = ok ? sizeof(out->at) - left : 0;
    return ok;
}

static void write_key(OSSL_LIB_CTX *libctx, const char *uri, const char *form,
                      struct bytes *out)
{
    EVP_PKEY *pkey = pkey_expect(libctx, uri);
    EXPECT(encode(pkey, EVP_PKEY_KEYPAIR, form, "PrivateKeyInfo", out));
    EVP_PKEY_free(pkey);
}

/* NULL, with the reason in the error queue. */
static EVP_PKEY *read_key(OSSL_LIB_CTX *libctx, const struct bytes *in)
{
    EVP_PKEY *pkey = NULL;
    const unsigned char *at = in->at;
    size_t left = in->len;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&pkey, NULL, NULL, NULL, 0, libctx, NULL);
    assert_non_null(ctx);
    OSSL_DECODER_from_data(ctx, &at, &left);
    OSSL_DECODER_CTX_free(ctx);
    return pkey;
}

static void expect_opens(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey,
                         const struct bytes *message)
{
    uint8_t plain[ROOM];
    size_t len = sizeof(plain);
    EXPECT(pkey_crypt(libctx, pkey, 0, NO_AAD,
                      (struct evp_text){message->at, message->len}, plain,
                      &len));
    assert_int_equal(len, sizeof(EMAIL));
    assert_memory_equal(plain, EMAIL, sizeof(EMAIL));
}

static void seal_here(struct bytes *message)
{
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    message->len = sizeof(message->at);
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message->at,
                      &message->len));
    EVP_PKEY_free(pkey);
}

static void a_key_comes_back_from_its_file(void **state)
{
    (void)state;
    static const char *const FORMS[] = {"PEM", "DER"};
    static const char *const URIS[] = {URI, WITH_COPIES,
                                       "kms-envelope:emails?version=1"};
    struct bytes file;
    for (size_t i = 0; i < 2; i++) {
        for (size_t u = 0; u < 3; u++) {
            EVP_PKEY *pkey = pkey_expect(env.libctx, URIS[u]);
            write_key(env.libctx, URIS[u], FORMS[i], &file);
            EVP_PKEY *again = read_key(env.libctx, &file);
            EXPECT(again != NULL);
            assert_int_equal(EVP_PKEY_eq(pkey, again), 1);
            assert_int_equal(pkey_number(again, "copies"), u == 1);
            EVP_PKEY_free(again);
            EVP_PKEY_free(pkey);
        }
    }
}

static void pem_functions_of_old_take_it(void **state)
{
    (void)state;
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *pkey = pkey_expect(env.libctx, WITH_COPIES);
    EXPECT(BIO_puts(bio, "what a person says of it\n"));
    EXPECT(PEM_write_bio_PrivateKey_ex(bio, pkey, NULL, NULL, 0, NULL, NULL,
                                       env.libctx, NULL));
    EVP_PKEY *again =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, env.libctx, NULL);
    EXPECT(again != NULL);
    assert_int_equal(EVP_PKEY_eq(pkey, again), 1);
    EVP_PKEY_free(again);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
}

static void with_its_copies_it_works_where_it_is_not_known(void **state)
{
    (void)state;
    struct bytes file, message;
    seal_here(&message);
    write_key(env.libctx, WITH_COPIES, "PEM", &file);
    forget_there();
    EVP_PKEY *first = read_key(other.libctx, &file);
    EVP_PKEY *second = read_key(other.libctx, &file);
    EXPECT(first != NULL);
    EXPECT(second != NULL);
    assert_int_equal(evp_env_kms_calls(other.libctx), 0);
    expect_opens(other.libctx, first, &message);
    expect_opens(other.libctx, second, &message);
    /* They are one key of the ring, unwrapped once. */
    assert_int_equal(evp_env_kms_calls(other.libctx), 1);
    assert_int_equal(pkey_number(first, "newest-version"), 1);
    EVP_PKEY_free(second);
    EVP_PKEY_free(first);
    /* But no key of the folder: the cipher does not find it. */
    REFUSED(pkey_load(other.libctx, URI) != NULL, "emails.json: No such file");
}

enum { THREADS = 6, ROUNDS = 20 };

struct meeting {
    pthread_barrier_t barrier;
    EVP_PKEY *pkey;
    const struct bytes *file, *message;
};

static int open_it(EVP_PKEY *pkey, const struct bytes *message)
{
    uint8_t plain[ROOM];
    size_t len = sizeof(plain);
    return pkey_crypt(other.libctx, pkey, 0, NO_AAD,
                      (struct evp_text){message->at, message->len}, plain, &len)
           && len == sizeof(EMAIL) && memcmp(plain, EMAIL, len) == 0;
}

/* All at once look for the key of one object, and each of one of its own. */
static void *meet(void *arg)
{
    static char failed;
    struct meeting *meeting = arg;
    bool ok = true;
    pthread_barrier_wait(&meeting->barrier);
    for (int i = 0; ok && i < ROUNDS; i++) {
        EVP_PKEY *own = read_key(other.libctx, meeting->file);
        ok = own != NULL && open_it(meeting->pkey, meeting->message)
             && open_it(own, meeting->message);
        EVP_PKEY_free(own);
    }
    return ok ? NULL : &failed;
}

static void threads_meet_at_a_key_that_was_brought(void **state)
{
    (void)state;
    struct bytes file, message;
    pthread_t threads[THREADS];
    seal_here(&message);
    write_key(env.libctx, WITH_COPIES, "PEM", &file);
    forget_there();
    struct meeting meeting = {.file = &file, .message = &message};
    meeting.pkey = read_key(other.libctx, &file);
    EXPECT(meeting.pkey != NULL);
    pthread_barrier_init(&meeting.barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet, &meeting), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    pthread_barrier_destroy(&meeting.barrier);
    assert_int_equal(evp_env_kms_calls(other.libctx), 1);
    EVP_PKEY_free(meeting.pkey);
}

static void what_it_encrypts_there_opens_here(void **state)
{
    (void)state;
    struct bytes file, message = {.len = ROOM};
    write_key(env.libctx, WITH_COPIES, "PEM", &file);
    forget_there();
    EVP_PKEY *there = read_key(other.libctx, &file);
    EXPECT(pkey_crypt(other.libctx, there, 1, NO_AAD, TEXT, message.at,
                      &message.len));
    EVP_PKEY *here = pkey_expect(env.libctx, URI);
    expect_opens(env.libctx, here, &message);
    EVP_PKEY_free(here);
    EVP_PKEY_free(there);
}

static void a_reference_alone_says_what_is_missing(void **state)
{
    (void)state;
    struct bytes file, message;
    uint8_t plain[ROOM];
    size_t len = sizeof(plain);
    seal_here(&message);
    write_key(env.libctx, URI, "PEM", &file);
    struct evp_text in = {message.at, message.len};
    EVP_PKEY *pkey = read_key(other.libctx, &file);
    EXPECT(pkey != NULL);
    REFUSED(pkey_crypt(other.libctx, pkey, 0, NO_AAD, in, plain, &len),
            "is another key than the one");
    forget_there();
    EVP_PKEY_free(pkey);

    OSSL_LIB_CTX *libctx = evp_env_load(&other);
    pkey = read_key(libctx, &file);
    REFUSED(pkey_crypt(libctx, pkey, 0, NO_AAD, in, plain, &len),
            "kms-envelope:emails?copies=yes");
    EVP_PKEY_free(pkey);
    OSSL_LIB_CTX_free(libctx);
}

/* Copies that came along are not believed over the folder. */
static void copies_do_not_stand_for_another_key_of_the_folder(void **state)
{
    (void)state;
    struct bytes file;
    uint8_t out[ROOM];
    size_t len = sizeof(out);
    write_key(env.libctx, WITH_COPIES, "PEM", &file);
    EVP_PKEY *pkey = read_key(other.libctx, &file);
    EVP_PKEY *of_folder = pkey_expect(other.libctx, URI);
    REFUSED(pkey_crypt(other.libctx, pkey, 1, NO_AAD, TEXT, out, &len),
            "is another key than the one");
    assert_int_equal(EVP_PKEY_eq(pkey, of_folder), 0);
    EVP_PKEY_free(of_folder);
    EVP_PKEY_free(pkey);
}

static void the_folder_is_newer_than_the_copies(void **state)
{
    (void)state;
    struct bytes file, message;
    write_key(env.libctx, WITH_COPIES, "PEM", &file);
    evp_env_rotate(&env, "emails");
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_PKEY *now = pkey_expect(libctx, URI);
    message.len = ROOM;
    EXPECT(pkey_crypt(libctx, now, 1, NO_AAD, TEXT, message.at, &message.len));
    EVP_PKEY *pkey = read_key(libctx, &file);
    assert_int_equal(pkey_number(pkey, "newest-version"), 2);
    expect_opens(libctx, pkey, &message);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(now);
    OSSL_LIB_CTX_free(libctx);
}

static void a_damaged_file_is_no_key(void **state)
{
    (void)state;
    struct bytes file, damaged;
    write_key(env.libctx, URI, "PEM", &file);
    for (size_t cut = 0; cut + sizeof("\n") - 1 < file.len; cut++) {
        damaged = file;
        damaged.len = cut;
        EVP_PKEY *pkey = read_key(env.libctx, &damaged);
        assert_null(pkey);
    }
    damaged = file;
    damaged.at[40] ^= 1;
    ERR_clear_error();
    REFUSED(read_key(env.libctx, &damaged) != NULL, "not a key as a file");
    damaged = file;
    damaged.at[40] = '*';
    REFUSED(read_key(env.libctx, &damaged) != NULL, "not base64");
    write_key(env.libctx, WITH_COPIES, "DER", &file);
    damaged = file;
    /* Its id: behind the header, "kms-envelope reference 1", and the URI. */
    damaged.at[4 + 26 + 2 + sizeof(URI) - 1 + 2] ^= 1;
    REFUSED(read_key(env.libctx, &damaged) != NULL,
            "its key file has another id");
    file.at[file.len - 3] ^= 1; /* in the key file */
    REFUSED(read_key(env.libctx, &file) != NULL, "the key file in the key");
}

static void other_peoples_keys_are_read_as_before(void **state)
{
    (void)state;
    struct bytes file, ours;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(env.libctx, NULL, "ED25519");
    EXPECT(encode(pkey, EVP_PKEY_KEYPAIR, "PEM", "PrivateKeyInfo", &file));
    EVP_PKEY *again = read_key(env.libctx, &file);
    EXPECT(again != NULL);
    assert_int_equal(EVP_PKEY_eq(pkey, again), 1);
    EVP_PKEY_free(again);
    EXPECT(encode(pkey, EVP_PKEY_KEYPAIR, "DER", "PrivateKeyInfo", &file));
    again = read_key(env.libctx, &file);
    EXPECT(again != NULL);
    EVP_PKEY_free(again);
    EVP_PKEY_free(pkey);

    /* The first in a file is the one, whoever it is of. */
    BIO *bio = BIO_new(BIO_s_mem());
    write_key(env.libctx, URI, "PEM", &ours);
    pkey = EVP_PKEY_Q_keygen(env.libctx, NULL, "ED25519");
    PEM_write_bio_PrivateKey_ex(bio, pkey, NULL, NULL, 0, NULL, NULL,
                                env.libctx, NULL);
    BIO_write(bio, ours.at, (int)ours.len);
    again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, env.libctx, NULL);
    EXPECT(again != NULL);
    assert_true(EVP_PKEY_is_a(again, "ED25519"));
    EVP_PKEY_free(again);
    again = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, env.libctx, NULL);
    EXPECT(again != NULL);
    assert_true(EVP_PKEY_is_a(again, "KMS-ENVELOPE"));
    EVP_PKEY_free(again);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
}

static void a_password_and_a_public_half_are_refused(void **state)
{
    (void)state;
    struct bytes file;
    EVP_PKEY *pkey = pkey_expect(env.libctx, URI);
    OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
        pkey, EVP_PKEY_KEYPAIR, "PEM", "PrivateKeyInfo", NULL);
    EXPECT(ctx != NULL);
    REFUSED(OSSL_ENCODER_CTX_set_cipher(ctx, "AES-256-CBC", NULL),
            "has no password");
    OSSL_ENCODER_CTX_free(ctx);
    REFUSED(
        encode(pkey, EVP_PKEY_PUBLIC_KEY, "PEM", "SubjectPublicKeyInfo", &file),
        "no public half");
    EVP_PKEY_free(pkey);
}

static void the_text_has_every_version_and_no_blob(void **state)
{
    (void)state;
    struct bytes text;
    static const char *const WORDS[] = {
        "KMS-ENVELOPE key: emails\n", "Version 1: active\n",
        "Version 2: active, encrypts\n", "s old)\n", "    master key: local:"};
    evp_env_rotate(&env, "emails");
    EVP_PKEY *pkey = pkey_expect(env.libctx, "kms-envelope:emails?version=2");
    EXPECT(encode(pkey, EVP_PKEY_KEYPAIR, "TEXT", NULL, &text));
    text.at[text.len] = '\0';
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strstr((char *)text.at, WORDS[i]) == NULL)
            fail_msg("no \"%s\" in %s", WORDS[i], (char *)text.at);
    }
    assert_non_null(strstr((char *)text.at, "confined to version: 2\n"));
    assert_null(strstr((char *)text.at, "blob"));
    EVP_PKEY_free(pkey);
}

/* --- making ------------------------------------------------------------- */

static void say(OSSL_PARAM *param, const char *name, char *value)
{
    *param = OSSL_PARAM_construct_utf8_string(name, value, 0);
}

/* NULL, with the reason in the error queue. */
static EVP_PKEY *generate(const OSSL_PARAM params[])
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(env.libctx, KMSE_PKEY_NAME, NULL);
    EXPECT(ctx != NULL);
    EXPECT(EVP_PKEY_keygen_init(ctx));
    if (params == NULL || EVP_PKEY_CTX_set_params(ctx, params) == 1)
        EVP_PKEY_generate(ctx, &pkey);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static void a_generated_key_is_in_the_folder_and_works(void **state)
{
    (void)state;
    char key[] = "new", master[ENV_PATH_LEN], pair[] = "app=shop";
    struct bytes message = {.len = ROOM};
    OSSL_PARAM params[4] = {OSSL_PARAM_END, OSSL_PARAM_END, OSSL_PARAM_END,
                            OSSL_PARAM_END};
    snprintf(master, sizeof(master), "local:%s/master-key", env.folder);
    say(&params[0], "key", key);
    say(&params[1], "master-key", master);
    say(&params[2], "context", pair);
    EVP_PKEY *pkey = generate(params);
    EXPECT(pkey != NULL);
    EVP_PKEY *found = pkey_expect(env.libctx, "kms-envelope:new");
    assert_int_equal(EVP_PKEY_eq(pkey, found), 1);
    EXPECT(pkey_crypt(env.libctx, pkey, 1, NO_AAD, TEXT, message.at,
                      &message.len));
    expect_opens(env.libctx, found, &message);
    EVP_PKEY_free(found);

    REFUSED(generate(params) != NULL, "the key exists already");
    expect_opens(env.libctx, pkey, &message);
    EVP_PKEY_free(pkey);
}

static void what_is_not_understood_makes_no_key(void **state)
{
    (void)state;
    static const struct {
        const char *names[3], *values[3];
        const char *words;
    } CASES[] = {
        {{NULL}, {NULL}, "a new key needs key:NAME"},
        {{"master-key"}, {"local:/x"}, "a new key needs key:NAME"},
        {{"key"}, {"fresh"}, "a new key needs master-key:URI"},
        {{"key", "colour"}, {"fresh", "red"}, "unknown: colour"},
        {{"key", "key"}, {"fresh", "again"}, "key is given twice"},
        {{"key"}, {"Fresh"}, "beginning with a letter or a digit"},
        {{"key", "context"}, {"fresh", "novalue"}, "NAME=VALUE"},
        {{"key", "context"}, {"fresh", "kms-envelope:key=x"}, "NAME=VALUE"},
        {{"key", "copies"}, {"fresh", "maybe"}, "copies: yes or no"},
        {{"key", "master-key"}, {"fresh", "nokms:x"}, "nokms"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        OSSL_PARAM params[4];
        char values[3][ENV_PATH_LEN];
        size_t count = 0;
        for (; count < 3 && CASES[i].names[count] != NULL; count++) {
            snprintf(values[count], ENV_PATH_LEN, "%s", CASES[i].values[count]);
            say(&params[count], CASES[i].names[count], values[count]);
        }
        params[count] = OSSL_PARAM_construct_end();
        REFUSED(generate(params) != NULL, CASES[i].words);
    }
    REFUSED(pkey_load(env.libctx, "kms-envelope:fresh") != NULL,
            "fresh.json: No such file");
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest TESTS[] = {
        FILE_TEST(a_key_comes_back_from_its_file),
        FILE_TEST(pem_functions_of_old_take_it),
        FILE_TEST(with_its_copies_it_works_where_it_is_not_known),
        FILE_TEST(threads_meet_at_a_key_that_was_brought),
        FILE_TEST(what_it_encrypts_there_opens_here),
        FILE_TEST(a_reference_alone_says_what_is_missing),
        FILE_TEST(copies_do_not_stand_for_another_key_of_the_folder),
        FILE_TEST(the_folder_is_newer_than_the_copies),
        FILE_TEST(a_damaged_file_is_no_key),
        FILE_TEST(other_peoples_keys_are_read_as_before),
        FILE_TEST(a_password_and_a_public_half_are_refused),
        FILE_TEST(the_text_has_every_version_and_no_blob),
        FILE_TEST(a_generated_key_is_in_the_folder_and_works),
        FILE_TEST(what_is_not_understood_makes_no_key),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
