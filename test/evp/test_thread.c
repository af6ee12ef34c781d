/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that read and write while the key rotates under them. */
#include "evp_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 4, ROTATIONS = 5, FIELD_LEN = 32, NAMES = 3 };

static struct evp_env env;
static _Atomic bool stop;
static _Atomic unsigned seen_versions; /* a bit each */
static const char *const KEY_NAMES[NAMES] = {NULL, "orders", "invoices"};

/* The latest message of each thread, for another thread to read. */
static struct {
    pthread_mutex_t mutex;
    const char *name;
    uint8_t message[FIELD_LEN + ENV_OVERHEAD];
    int len;
} mailbox[THREADS];

static void put_message(int box, const char *name, const uint8_t *message,
                        int len)
{
    pthread_mutex_lock(&mailbox[box].mutex);
    mailbox[box].name = name;
    mailbox[box].len = len;
    memcpy(mailbox[box].message, message, (size_t)len);
    pthread_mutex_unlock(&mailbox[box].mutex);
}

static int get_message(int box, const char **name, uint8_t *message)
{
    pthread_mutex_lock(&mailbox[box].mutex);
    int len = mailbox[box].len;
    *name = mailbox[box].name;
    memcpy(message, mailbox[box].message, (size_t)len);
    pthread_mutex_unlock(&mailbox[box].mutex);
    return len;
}

static bool write_one(EVP_CIPHER_CTX *ctx, int box, unsigned round)
{
    enum { VERSION_AT = 3 };
    uint8_t field[FIELD_LEN], message[FIELD_LEN + ENV_OVERHEAD];
    const char *name = KEY_NAMES[round % NAMES];
    memset(field, (int)(round & 0xFF), sizeof(field));
    int len = evp_seal(ctx, env.cipher, name, (struct evp_text){NULL, 0},
                       (struct evp_text){field, sizeof(field)}, message);
    if (len < 0)
        return false;
    if (name == NULL)
        atomic_fetch_or(&seen_versions, 1U << message[VERSION_AT]);
    put_message(box, name, message, len);
    return true;
}

static bool read_one(EVP_CIPHER_CTX *ctx, int box)
{
    uint8_t message[FIELD_LEN + ENV_OVERHEAD], field[FIELD_LEN];
    const char *name = NULL;
    int len = get_message(box, &name, message);
    if (len == 0)
        return true;
    if (evp_open(ctx, env.cipher, name, (struct evp_text){NULL, 0},
                 (struct evp_text){message, (size_t)len}, field)
        != FIELD_LEN)
        return false;
    for (int i = 1; i < FIELD_LEN; i++) {
        if (field[i] != field[0])
            return false;
    }
    return true;
}

static void *work(void *arg)
{
    int self = (int)(intptr_t)arg;
    EVP_CIPHER_CTX *writer = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX *reader = EVP_CIPHER_CTX_new();
    bool ok = true;
    for (unsigned round = 0; ok && !stop; round++)
        ok = write_one(writer, self, round)
             && read_one(reader, (self + 1) % THREADS);
    if (!ok) {
        char errors[ENV_ERRORS_LEN];
        print_error("%s\n", evp_errors(errors));
    }
    EVP_CIPHER_CTX_free(writer);
    EVP_CIPHER_CTX_free(reader);
    return ok ? &env : NULL;
}

/* Until all threads together wrote under that version: it takes a second. */
static void wait_for_version(unsigned version)
{
    enum { PATIENCE_MS = 20000, STEP_MS = 10 };
    const struct timespec step = {0, STEP_MS * 1000000};
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += STEP_MS) {
        if ((seen_versions & 1U << version) != 0)
            return;
        nanosleep(&step, NULL);
    }
    stop = true;
    fail_msg("version %u was not seen", version);
}

static void threads_go_on_while_the_key_rotates(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i), 0);
    for (unsigned version = 1; version <= ROTATIONS; version++) {
        wait_for_version(version);
        evp_env_rotate(&env, ENV_KEY);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    /* Two other keys, and each version of ours: once, whoever came first. */
    assert_in_range(evp_env_kms_calls(env.libctx), NAMES,
                    ROTATIONS + 1 + NAMES - 1);
}

struct cold {
    pthread_barrier_t start;
    EVP_CIPHER *cipher;
};

static void *write_cold(void *arg)
{
    struct cold *cold = arg;
    static const uint8_t FIELD[] = "x";
    uint8_t message[1 + ENV_OVERHEAD];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    pthread_barrier_wait(&cold->start);
    int len = evp_seal(ctx, cold->cipher, NULL, (struct evp_text){NULL, 0},
                       (struct evp_text){FIELD, 1}, message);
    EVP_CIPHER_CTX_free(ctx);
    return len > 0 ? cold : NULL;
}

/* All threads miss together: one of them asks the KMS. */
static void a_cold_key_is_unwrapped_once(void **state)
{
    (void)state;
    enum { MANY = 32 };
    struct cold cold;
    pthread_t threads[MANY];
    OSSL_LIB_CTX *libctx = evp_env_load(&env);
    cold.cipher = EVP_CIPHER_fetch(libctx, "KMS-ENVELOPE", NULL);
    pthread_barrier_init(&cold.start, NULL, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_cold, &cold),
                         0);
    for (int i = 0; i < MANY; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    assert_int_equal(evp_env_kms_calls(libctx), 1);
    pthread_barrier_destroy(&cold.start);
    EVP_CIPHER_free(cold.cipher);
    OSSL_LIB_CTX_free(libctx);
}

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    evp_env_create_key(&env, "invoices");
    for (int i = 0; i < THREADS; i++)
        pthread_mutex_init(&mailbox[i].mutex, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evp_env_close(&env);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_go_on_while_the_key_rotates),
        cmocka_unit_test(a_cold_key_is_unwrapped_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
