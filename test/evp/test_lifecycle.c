/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in somebody's process: loaded, unloaded, forked, ended anyhow. */
#include "evp_test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "kms_envelope/params.h"

enum { FIELD_LEN = 5, PATIENCE_S = 60 };

static struct evp_env env;
static const uint8_t FIELD[FIELD_LEN] = "anna";
static const struct evp_text NO_AAD = {NULL, 0};
static const struct evp_text TEXT = {FIELD, FIELD_LEN};

static int round_trip(OSSL_LIB_CTX *libctx)
{
    uint8_t message[FIELD_LEN + ENV_OVERHEAD], again[FIELD_LEN];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "KMS-ENVELOPE", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = evp_seal(ctx, cipher, NULL, NO_AAD, TEXT, message);
    int ok = len == sizeof(message)
             && evp_open(ctx, cipher, NULL, NO_AAD,
                         (struct evp_text){message, sizeof(message)}, again)
                    == FIELD_LEN
             && memcmp(again, FIELD, FIELD_LEN) == 0;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok;
}

/* Run in a child that must end by itself, with that status, in time. */
static void expect_child(int (*body)(void), const char *what)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(PATIENCE_S);
        exit(body() ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fail_msg("%s: signal %d", what, WTERMSIG(status));
    if (WEXITSTATUS(status) != EXIT_SUCCESS)
        fail_msg("%s: exit code %d", what, WEXITSTATUS(status));
}

static void two_contexts_live_side_by_side(void **state)
{
    (void)state;
    OSSL_LIB_CTX *first = evp_env_load(&env), *second = evp_env_load(&env);
    EXPECT(round_trip(first));
    EXPECT(round_trip(second));
    assert_int_equal(evp_env_kms_calls(first), 1); /* each counts its own */
    OSSL_LIB_CTX_free(first);
    EXPECT(round_trip(second));
    assert_int_equal(evp_env_kms_calls(second), 1);
    OSSL_LIB_CTX_free(second);
}

static void loaded_and_unloaded_a_thousand_times(void **state)
{
    (void)state;
    enum { TIMES = 1000, USE_EVERY = 10 };
    for (int i = 0; i < TIMES; i++) {
        OSSL_LIB_CTX *libctx = evp_env_load(&env);
        if (i % USE_EVERY == 0)
            EXPECT(round_trip(libctx));
        OSSL_LIB_CTX_free(libctx);
    }
}

static void unloaded_and_loaded_within_a_context(void **state)
{
    (void)state;
    enum { TIMES = 20 };
    OSSL_PROVIDER *other = OSSL_PROVIDER_load(env.libctx, "kms-envelope");
    assert_non_null(other);
    for (int i = 0; i < TIMES; i++) {
        OSSL_PROVIDER *again = OSSL_PROVIDER_load(env.libctx, "kms-envelope");
        EXPECT(round_trip(env.libctx));
        EXPECT(OSSL_PROVIDER_unload(again));
    }
    EXPECT(OSSL_PROVIDER_unload(other));
    EXPECT(round_trip(env.libctx));
}

/* libcrypto keeps the provider for as long as a context needs it. */
static void unloaded_with_live_contexts(void **state)
{
    (void)state;
    uint8_t message[FIELD_LEN + ENV_OVERHEAD], again[FIELD_LEN];
    int len = 0, tail_len = 0;
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "KMS-ENVELOPE", NULL);
    EVP_CIPHER_CTX *busy = EVP_CIPHER_CTX_new(), *idle = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX *unused = EVP_CIPHER_CTX_new();
    EXPECT(EVP_EncryptInit_ex2(unused, cipher, NULL, NULL, NULL));
    EXPECT(evp_seal(idle, cipher, NULL, NO_AAD, TEXT, message));
    EXPECT(EVP_DecryptInit_ex2(busy, cipher, NULL, NULL, NULL));
    EXPECT(EVP_DecryptUpdate(busy, again, &len, message, 20));
    EVP_CIPHER_free(cipher);
    OSSL_LIB_CTX_free(libctx);

    EXPECT(EVP_DecryptUpdate(busy, again, &len, message + 20,
                             sizeof(message) - 20));
    EXPECT(EVP_DecryptFinal_ex(busy, again + len, &tail_len));
    assert_memory_equal(again, FIELD, FIELD_LEN);
    EVP_CIPHER_CTX_free(busy);
    EVP_CIPHER_CTX_free(idle);
    EVP_CIPHER_CTX_free(unused);
}

/* --- ends of a process -------------------------------------------------- */

/* Static, so that leak checkers see that it is not lost. */
static EVP_CIPHER *left_cipher;
static EVP_CIPHER_CTX *left_ctx;

static int leave_everything(void)
{
    uint8_t message[FIELD_LEN + ENV_OVERHEAD];
    left_cipher = EVP_CIPHER_fetch(env.libctx, "KMS-ENVELOPE", NULL);
    left_ctx = EVP_CIPHER_CTX_new();
    return evp_seal(left_ctx, left_cipher, NULL, NO_AAD, TEXT, message) > 0;
}

static int clean_up_first(void)
{
    int ok = leave_everything();
    OPENSSL_cleanup();
    return ok;
}

static void free_late(void)
{
    EVP_CIPHER_CTX_free(left_ctx);
}

/* As C++ programs with static objects do: freed after OPENSSL_cleanup. */
static int free_after_cleanup(void)
{
    uint8_t message[FIELD_LEN + ENV_OVERHEAD];
    if (atexit(free_late) != 0)
        return 0;
    left_ctx = EVP_CIPHER_CTX_new();
    int len = evp_seal(left_ctx, env.cipher, NULL, NO_AAD, TEXT, message);
    OPENSSL_cleanup();
    return len > 0;
}

static void a_process_ends_without_cleaning_up(void **state)
{
    (void)state;
    expect_child(leave_everything, "nothing freed");
    expect_child(clean_up_first, "OPENSSL_cleanup with all in use");
    expect_child(free_after_cleanup, "a context freed after OPENSSL_cleanup");
}

/* --- forks -------------------------------------------------------------- */

static _Atomic int stop, at_work;

enum { THREADS = 3 };
static EVP_CIPHER_CTX *busy_ctxs[THREADS]; /* not on stacks: see above */

static void *keep_busy(void *arg)
{
    uint8_t message[FIELD_LEN + ENV_OVERHEAD];
    EVP_CIPHER_CTX **busy = arg, *ctx = *busy = EVP_CIPHER_CTX_new();
    if (evp_seal(ctx, env.cipher, NULL, NO_AAD, TEXT, message) < 0)
        arg = NULL;
    at_work++;
    /* NULL for the cipher: no allocation, whose locks ASan loses in forks. */
    while (!stop) {
        if (evp_seal(ctx, NULL, NULL, NO_AAD, TEXT, message) < 0)
            arg = NULL;
    }
    EVP_CIPHER_CTX_free(ctx);
    return arg;
}

static int use_everything_in_child(void)
{
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    int ok = round_trip(env.libctx) && round_trip(libctx);
    OSSL_LIB_CTX_free(libctx);
    /* Not exit(): the parent's threads are not here to be cleaned up after. */
    _exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void a_threaded_process_forks(void **state)
{
    (void)state;
    enum { FORKS = 50 };
    pthread_t threads[THREADS];
    stop = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, keep_busy, &busy_ctxs[i]), 0);
    while (at_work < THREADS)
        sched_yield();
    for (int i = 0; i < FORKS; i++)
        expect_child(use_everything_in_child, "a child of a threaded process");
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
}

/* Forked before the first key, as a preforking server does; then a fork each.
 */
static int use_before_and_after(void)
{
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    int ok = 1;
    for (int i = 0; i < 5 && ok; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(round_trip(libctx) ? EXIT_SUCCESS : EXIT_FAILURE);
        ok = waitpid(pid, &status, 0) == pid && status == 0;
    }
    ok = ok && round_trip(libctx);
    OSSL_LIB_CTX_free(libctx);
    return ok;
}

static void children_of_a_loaded_but_unused_provider(void **state)
{
    (void)state;
    expect_child(use_before_and_after, "a preforking server");
}

/* --- names for programs that look no further ---------------------------- */

static int find_by_name(void)
{
    char path[ENV_PATH_LEN];
    uint8_t message[FIELD_LEN + ENV_OVERHEAD], again[FIELD_LEN];
    if (CONF_modules_load_file_ex(NULL, evp_env_conf(path, &env), NULL, 0) != 1)
        return 0;
    const EVP_CIPHER *cipher = EVP_get_cipherbyname("kms-envelope");
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int ok = cipher != NULL
             && evp_seal(ctx, cipher, NULL, NO_AAD, TEXT, message) > 0
             && evp_open(ctx, cipher, NULL, NO_AAD,
                         (struct evp_text){message, sizeof(message)}, again)
                    == FIELD_LEN;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* The pointer was given out uncounted: it stays good, and says what is up. */
static int use_name_after_unload(void)
{
    char errors[ENV_ERRORS_LEN];
    uint8_t message[FIELD_LEN + ENV_OVERHEAD];
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER_free(env.cipher);
    OSSL_LIB_CTX_free(env.libctx);
    const EVP_CIPHER *cipher = EVP_get_cipherbyname("kms-envelope");
    EVP_CIPHER_CTX *live = EVP_CIPHER_CTX_new(), *late = EVP_CIPHER_CTX_new();
    if (evp_seal(live, cipher, NULL, NO_AAD, TEXT, message) < 0)
        return 0;
    OSSL_LIB_CTX_free(libctx);
    /* With NULL for the cipher, or libcrypto makes a new context of ours. */
    int ok = evp_seal(live, NULL, NULL, NO_AAD, TEXT, message) > 0
             && evp_seal(late, cipher, NULL, NO_AAD, TEXT, message) < 0
             && strstr(evp_errors(errors), "unloaded") != NULL;
    EVP_CIPHER_CTX_free(live);
    EVP_CIPHER_CTX_free(late);
    env.libctx = evp_env_load(&env);
    env.cipher = EVP_CIPHER_fetch(env.libctx, "KMS-ENVELOPE", NULL);
    return ok && leave_everything();
}

static void programs_find_it_by_name(void **state)
{
    (void)state;
    expect_child(find_by_name, "EVP_get_cipherbyname");
    expect_child(use_name_after_unload, "the name after an unload");
}

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evp_env_close(&env);
    return 0;
}

static pthread_barrier_t used, unloaded;

static void *use_and_outlive(void *arg)
{
    int ok = round_trip(arg);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&unloaded);
    return ok ? arg : NULL;
}

/* What libcrypto keeps for a thread, it frees when the thread ends. */
static int a_thread_ends_after_the_provider_body(void)
{
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    pthread_t thread;
    void *worked = NULL;
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&unloaded, NULL, 2);
    pthread_create(&thread, NULL, use_and_outlive, libctx);
    pthread_barrier_wait(&used);
    OSSL_LIB_CTX_free(libctx);
    pthread_barrier_wait(&unloaded);
    pthread_join(thread, &worked);
    return worked != NULL;
}

static void a_thread_ends_after_the_provider(void **state)
{
    (void)state;
    expect_child(a_thread_ends_after_the_provider_body, "ends after it");
}

/* --- numbers ------------------------------------------------------------ */

static uint64_t number(OSSL_LIB_CTX *libctx, const char *name)
{
    uint64_t value = UINT64_MAX;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint64(name, &value),
                           OSSL_PARAM_construct_end()};
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, KMSE_PROVIDER_NAME);
    EXPECT(OSSL_PROVIDER_get_params(provider, params));
    EXPECT(
        OSSL_PARAM_locate_const(OSSL_PROVIDER_gettable_params(provider), name)
        != NULL);
    OSSL_PROVIDER_unload(provider);
    return value;
}

static void an_operator_can_ask_for_numbers(void **state)
{
    (void)state;
    enum { TIMES = 100 };
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "KMS-ENVELOPE", NULL);
    uint8_t out[FIELD_LEN + ENV_OVERHEAD];
    assert_int_equal(number(libctx, KMSE_PARAM_HITS), 0);
    for (int i = 0; i < TIMES; i++)
        EXPECT(round_trip(libctx));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(evp_seal(ctx, cipher, "no-such-key", NO_AAD, TEXT, out),
                     -1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    ERR_clear_error();
    assert_int_equal(number(libctx, KMSE_PARAM_UNWRAPS), 1);
    assert_int_equal(number(libctx, KMSE_PARAM_FAILURES), 0);
    assert_int_equal(number(libctx, KMSE_PARAM_MISSES), 1);
    assert_int_equal(number(libctx, KMSE_PARAM_HITS), 2 * TIMES - 1);
    assert_int_equal(number(libctx, KMSE_PARAM_STALE_SERVES), 0);
    OSSL_LIB_CTX_free(libctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_contexts_live_side_by_side),
        cmocka_unit_test(loaded_and_unloaded_a_thousand_times),
        cmocka_unit_test(unloaded_and_loaded_within_a_context),
        cmocka_unit_test(unloaded_with_live_contexts),
        cmocka_unit_test(a_thread_ends_after_the_provider),
        cmocka_unit_test(a_process_ends_without_cleaning_up),
        cmocka_unit_test(a_threaded_process_forks),
        cmocka_unit_test(children_of_a_loaded_but_unused_provider),
        cmocka_unit_test(programs_find_it_by_name),
        cmocka_unit_test(an_operator_can_ask_for_numbers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
