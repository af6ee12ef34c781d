/* SPDX-License-Identifier: Apache-2.0 */
/* The forms for look-ups, in threads and children, and as versions come and
 * go: what is made in one place must be found from another. */
#include "evp_test.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "kms_envelope/params.h"

enum {
    THREADS = 6,
    ROUNDS = 300,
    VALUE_LEN = 16,
    ENTRY_LEN = 20,
    OVERHEAD = 20,
    ROOM = 256,
    PATIENCE_S = 20,
    LATER_S = 3600,
};

static const uint8_t EMAIL[] = "anna@example.org";
static const struct evp_text TEXT = {EMAIL, sizeof(EMAIL)};
static const struct evp_text NO_AAD = {NULL, 0};

static struct evp_env env;
static EVP_CIPHER *siv;
static EVP_MAC *mac;

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    siv = EVP_CIPHER_fetch(env.libctx, KMSE_SIV_CIPHER_NAME, NULL);
    mac = EVP_MAC_fetch(env.libctx, KMSE_INDEX_NAME, NULL);
    return siv == NULL || mac == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_MAC_free(mac);
    EVP_CIPHER_free(siv);
    evp_env_close(&env);
    ERR_clear_error();
    return 0;
}

static EVP_MAC_CTX *new_index(int all_versions)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(KMSE_PARAM_ALL_VERSIONS, &all_versions),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_non_null(ctx);
    EXPECT(EVP_MAC_init(ctx, NULL, 0, params));
    return ctx;
}

static size_t make_index(int all_versions, uint8_t *out)
{
    size_t len = 0;
    EVP_MAC_CTX *ctx = new_index(all_versions);
    EXPECT(EVP_MAC_update(ctx, EMAIL, sizeof(EMAIL)));
    EXPECT(EVP_MAC_final(ctx, out, &len, ROOM));
    EVP_MAC_CTX_free(ctx);
    return len;
}

/* What everybody must make: a message, then a value. */
struct made {
    uint8_t message[sizeof(EMAIL) + OVERHEAD];
    uint8_t value[VALUE_LEN];
};

/* Without cmocka, which is for one thread and one process. */
static bool make(struct made *made)
{
    size_t len = 0;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *index = EVP_MAC_CTX_new(mac);
    uint8_t again[sizeof(EMAIL)];
    bool ok =
        evp_seal(cipher, siv, NULL, NO_AAD, TEXT, made->message)
            == sizeof(made->message)
        && evp_open(cipher, siv, NULL, NO_AAD,
                    (struct evp_text){made->message, sizeof(made->message)},
                    again)
               == sizeof(EMAIL)
        && memcmp(again, EMAIL, sizeof(EMAIL)) == 0
        && EVP_MAC_init(index, NULL, 0, NULL)
        && EVP_MAC_update(index, EMAIL, sizeof(EMAIL))
        && EVP_MAC_final(index, made->value, &len, VALUE_LEN)
        && len == VALUE_LEN;
    EVP_MAC_CTX_free(index);
    EVP_CIPHER_CTX_free(cipher);
    return ok;
}

static bool makes(const struct made *wanted)
{
    struct made made;
    return make(&made) && memcmp(&made, wanted, sizeof(made)) == 0;
}

static void *work(void *arg)
{
    const struct made *wanted = arg;
    bool ok = true;
    for (int round = 0; round < ROUNDS && ok; round++)
        ok = makes(wanted);
    return ok ? arg : NULL;
}

static void threads_make_the_same(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct made wanted;
    assert_true(make(&wanted));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &wanted), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &wanted);
    }
}

/* A value begun before the fork is finished in both. */
static void a_child_makes_the_same(void **state)
{
    (void)state;
    struct made wanted;
    uint8_t value[VALUE_LEN];
    size_t len = 0;
    int status = 0;
    assert_true(make(&wanted));
    EVP_MAC_CTX *begun = new_index(0);
    EXPECT(EVP_MAC_update(begun, EMAIL, 4));
    pid_t child = fork();
    assert_true(child >= 0);
    bool ok = EVP_MAC_update(begun, EMAIL + 4, sizeof(EMAIL) - 4) == 1
              && EVP_MAC_final(begun, value, &len, sizeof(value)) == 1
              && memcmp(value, wanted.value, sizeof(value)) == 0
              && makes(&wanted);
    if (child == 0)
        _exit(ok ? 0 : 1);
    assert_true(ok);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    EVP_MAC_CTX_free(begun);
}

/* --- versions come and go ------------------------------------------------ */

/* Rows of a machine whose clock is ahead are found as well. */
static void a_version_to_come_is_looked_for_already(void **state)
{
    (void)state;
    uint8_t before[ROOM], all[ROOM];
    assert_int_equal(make_index(0, before), VALUE_LEN);
    evp_env_rotate_in(&env, ENV_KEY, LATER_S);
    time_t give_up = time(NULL) + PATIENCE_S;
    while (make_index(1, all) != 2 * ENTRY_LEN)
        assert_true(time(NULL) < give_up);
    assert_memory_equal(all, "\0\0\0\x01", 4);
    assert_memory_equal(all + 4, before, VALUE_LEN);
    assert_memory_equal(all + ENTRY_LEN, "\0\0\0\x02", 4);
    make_index(0, all);
    assert_memory_equal(all, before, VALUE_LEN);
}

/* Until it is refused, in a copy each time: the key is bound before. */
static void expect_end_of(const EVP_MAC_CTX *begun, const char *words)
{
    char errors[ENV_ERRORS_LEN];
    uint8_t out[ROOM];
    size_t len = 0;
    time_t give_up = time(NULL) + PATIENCE_S;
    int made = 1;
    while (made == 1) {
        assert_true(time(NULL) < give_up);
        EVP_MAC_CTX *copy = EVP_MAC_CTX_dup(begun);
        if (copy == NULL)
            break;
        made = EVP_MAC_final(copy, out, &len, ROOM);
        EVP_MAC_CTX_free(copy);
    }
    assert_non_null(strstr(evp_errors(errors), words));
}

/* The last test: versions 1 and 2 end. */
static void a_revoked_version_ends_values_under_way(void **state)
{
    (void)state;
    uint8_t all[ROOM];
    unsigned one = 1;
    OSSL_PARAM version_1[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &one),
        OSSL_PARAM_construct_end(),
    };
    evp_env_rotate(&env, ENV_KEY);
    time_t give_up = time(NULL) + PATIENCE_S;
    while (make_index(1, all) != 3 * ENTRY_LEN)
        assert_true(time(NULL) < give_up);
    EVP_MAC_CTX *single = new_index(0), *every = new_index(1);
    EXPECT(EVP_MAC_CTX_set_params(single, version_1));
    EXPECT(EVP_MAC_update(single, EMAIL, 1));
    EXPECT(EVP_MAC_update(every, EMAIL, 1));
    evp_env_revoke(&env, ENV_KEY, 1);
    expect_end_of(single, "revoked");
    expect_end_of(every, "revoked");
    /* What begins now has two versions, and those are all. */
    assert_int_equal(make_index(1, all), 2 * ENTRY_LEN);
    assert_memory_equal(all, "\0\0\0\x02", 4);
    EVP_MAC_CTX_free(every);
    EVP_MAC_CTX_free(single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_make_the_same),
        cmocka_unit_test(a_child_makes_the_same),
        cmocka_unit_test(a_version_to_come_is_looked_for_already),
        cmocka_unit_test(a_revoked_version_ends_values_under_way),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
