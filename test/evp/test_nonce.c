/* SPDX-License-Identifier: Apache-2.0 */
/* No nonce is used twice: over threads, forked children and contexts. */
#include "evp_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * With a sanitizer a message costs ten times as much; and ASan's allocator
 * does not hold its locks over a fork, so threads must not be within it.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MESSAGES = 1000000, FRESH_CONTEXT_EVERY = MESSAGES };
#else
enum { MESSAGES = 10000000, FRESH_CONTEXT_EVERY = 1000 };
#endif

enum {
    THREADS = 4,
    CHILDREN = 4,
    PER_WORKER = MESSAGES / (THREADS + CHILDREN),
    NONCE_LEN = 12,
    NONCE_AT = 4,
    RADIX = 1 << 16,
    DIGITS = NONCE_LEN / 2,
};

struct nonce {
    uint8_t bytes[NONCE_LEN];
};

static struct evp_env env;
static _Atomic int at_work;  /* workers */
static struct nonce *nonces; /* MESSAGES of them, shared with the children */

/* One worker's share: its own context, now and then a fresh one. */
static int write_messages(struct nonce *out)
{
    static const uint8_t FIELD[] = "anna@example.org";
    const struct evp_text in = {FIELD, sizeof(FIELD)}, no_aad = {NULL, 0};
    EVP_CIPHER_CTX *ctx = NULL;
    int ok = 1;
    for (int i = 0; i < PER_WORKER && ok; i++) {
        uint8_t message[sizeof(FIELD) + ENV_OVERHEAD];
        bool fresh = i % FRESH_CONTEXT_EVERY == 0;
        if (fresh) {
            EVP_CIPHER_CTX_free(ctx);
            ctx = EVP_CIPHER_CTX_new();
        }
        ok = evp_seal(ctx, fresh ? env.cipher : NULL, NULL, no_aad, in, message)
             > 0;
        memcpy(out[i].bytes, message + NONCE_AT, NONCE_LEN);
        if (i == 0)
            at_work++;
    }
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static void *thread_main(void *arg)
{
    return write_messages(arg) ? arg : NULL;
}

static pid_t start_child(struct nonce *out)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(write_messages(out) ? EXIT_SUCCESS : EXIT_FAILURE);
    return pid;
}

/* A stable sort by two bytes at a time, from the last pair to the first. */
static void sort_nonces(struct nonce *from, struct nonce *to)
{
    static size_t starts[RADIX + 1];
    for (int digit = DIGITS - 1; digit >= 0; digit--) {
        memset(starts, 0, sizeof(starts));
#define DIGIT(nonce)                                                           \
    ((size_t)(nonce).bytes[2 * digit] << 8 | (nonce).bytes[2 * digit + 1])
        for (size_t i = 0; i < MESSAGES; i++)
            starts[DIGIT(from[i]) + 1]++;
        for (size_t i = 0; i < RADIX; i++)
            starts[i + 1] += starts[i];
        for (size_t i = 0; i < MESSAGES; i++)
            to[starts[DIGIT(from[i])]++] = from[i];
#undef DIGIT
        struct nonce *swap = from;
        from = to;
        to = swap;
    }
}
_Static_assert(DIGITS % 2 == 0, "the sorted nonces end where they began");

static void expect_no_nonce_twice(void)
{
    struct nonce *scratch = malloc(MESSAGES * sizeof(*scratch));
    assert_non_null(scratch);
    sort_nonces(nonces, scratch);
    for (size_t i = 1; i < MESSAGES; i++) {
        if (memcmp(&nonces[i - 1], &nonces[i], NONCE_LEN) == 0)
            fail_msg("a nonce was used twice");
    }
    free(scratch);
}

/* The threads are at work while the children are forked and work too. */
static void ten_million_messages_of_threads_and_children(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    pid_t children[CHILDREN];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main,
                                        nonces + i * PER_WORKER),
                         0);
    while (at_work < THREADS)
        sched_yield();
    for (int i = 0; i < CHILDREN; i++)
        children[i] = start_child(nonces + (THREADS + i) * PER_WORKER);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    expect_no_nonce_twice();
}

/* A context that was made, and used, before the fork goes on in both. */
static void a_context_over_a_fork_draws_anew(void **state)
{
    (void)state;
    enum { ROUNDS = 100 };
    static const uint8_t FIELD[] = "x";
    const struct evp_text in = {FIELD, 1}, no_aad = {NULL, 0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t message[1 + ENV_OVERHEAD], *shared = (uint8_t *)nonces;
    for (int i = 0; i < ROUNDS; i++) {
        EXPECT(evp_seal(ctx, env.cipher, NULL, no_aad, in, message));
        pid_t pid = fork();
        if (pid == 0)
            _exit(evp_seal(ctx, env.cipher, NULL, no_aad, in, shared) < 0);
        EXPECT(evp_seal(ctx, env.cipher, NULL, no_aad, in, message));
        int status = -1;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        /* Not only another number: far away, from a start of its own. */
        assert_memory_not_equal(message + NONCE_AT, shared + NONCE_AT,
                                NONCE_LEN / 2);
    }
    EVP_CIPHER_CTX_free(ctx);
}

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    void *map = mmap(NULL, MESSAGES * sizeof(struct nonce),
                     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return 1;
    nonces = map;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(nonces, MESSAGES * sizeof(struct nonce));
    evp_env_close(&env);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_million_messages_of_threads_and_children),
        cmocka_unit_test(a_context_over_a_fork_draws_anew),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
