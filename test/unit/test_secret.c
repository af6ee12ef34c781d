/* SPDX-License-Identifier: Apache-2.0 */
/* Key memory, and forks. */
#include "test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/fork.h"
#include "base/secret.h"

static void a_key_is_zero_at_first_and_wiped_at_last(void **state)
{
    (void)state;
    static const uint8_t zeros[KMSE_SECRET_LEN];
    struct kmse_pool *pool = NULL;
    struct kmse_secret secret = {0};
    expect_ok(kmse_pool_new(&pool));
    expect_ok(kmse_secret_init(&secret, pool));
    uint8_t *bytes = secret.bytes;
    assert_memory_equal(bytes, zeros, KMSE_SECRET_LEN);
    memset(bytes, 0xAA, KMSE_SECRET_LEN);
    kmse_secret_wipe(&secret);
    assert_null(secret.bytes);
    assert_memory_equal(bytes, zeros, KMSE_SECRET_LEN);
    kmse_secret_wipe(&secret);
    kmse_pool_free(pool);
}

static void taking_moves_a_key(void **state)
{
    (void)state;
    struct kmse_pool *pool = NULL;
    struct kmse_secret from = {0};
    expect_ok(kmse_pool_new(&pool));
    expect_ok(kmse_secret_init(&from, pool));
    uint8_t *bytes = from.bytes;
    struct kmse_secret to = kmse_secret_take(&from);
    assert_null(from.bytes);
    assert_ptr_equal(to.bytes, bytes);
    kmse_secret_wipe(&to);
    kmse_pool_free(pool);
}

enum { MANY = 2000 };

static void many_keys_fit_and_none_shares_bytes(void **state)
{
    (void)state;
    static struct kmse_secret secrets[MANY];
    struct kmse_pool *pool = NULL;
    expect_ok(kmse_pool_new(&pool));
    for (int i = 0; i < MANY; i++) {
        expect_ok(kmse_secret_init(&secrets[i], pool));
        memset(secrets[i].bytes, i, KMSE_SECRET_LEN);
    }
    for (int i = 0; i < MANY; i++) {
        for (int j = 0; j < KMSE_SECRET_LEN; j++)
            assert_int_equal(secrets[i].bytes[j], (uint8_t)i);
        kmse_secret_wipe(&secrets[i]);
    }
    kmse_pool_free(pool);
}

static void the_pool_ends_and_says_so(void **state)
{
    (void)state;
    enum { MORE_THAN_FIT = 40000 };
    static struct kmse_secret secrets[MORE_THAN_FIT];
    struct kmse_pool *pool = NULL;
    size_t count = 0;
    kmse_st st = KMSE_OK;
    expect_ok(kmse_pool_new(&pool));
    while (count < MORE_THAN_FIT && kmse_is_ok(st)) {
        st = kmse_secret_init(&secrets[count], pool);
        count += kmse_is_ok(st);
    }
    expect_reason(st, KMSE_R_SECURE_MEMORY);
    while (count > 0)
        kmse_secret_wipe(&secrets[--count]);
    kmse_pool_free(pool);
}

static void a_child_has_another_generation(void **state)
{
    (void)state;
    struct kmse_fork *fork_seen = NULL;
    expect_ok(kmse_fork_new(&fork_seen));
    uint64_t mine = kmse_fork_generation(fork_seen);
    assert_true(mine == kmse_fork_generation(fork_seen));
    pid_t child = fork();
    if (child == 0) {
        uint64_t its = kmse_fork_generation(fork_seen);
        _exit(its != mine && its == kmse_fork_generation(fork_seen) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(mine == kmse_fork_generation(fork_seen));
    kmse_fork_free(fork_seen);
}

static int calls[3];

static void count_prepare(void *arg)
{
    (void)arg;
    calls[0]++;
}

static void count_parent(void *arg)
{
    (void)arg;
    calls[1]++;
}

static void count_child(void *arg)
{
    (void)arg;
    calls[2]++;
}

static int fork_and_count_in_child(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(calls[2]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void hooks_are_called_while_watched(void **state)
{
    (void)state;
    struct kmse_fork_hooks a = {
        .prepare = count_prepare, .parent = count_parent, .child = count_child};
    struct kmse_fork_hooks b = a;
    expect_ok(kmse_fork_watch(&a));
    expect_ok(kmse_fork_watch(&b));
    expect_ok(kmse_fork_watch(&a)); /* twice is once */
    assert_int_equal(fork_and_count_in_child(), 2);
    kmse_fork_unwatch(&a);
    assert_int_equal(fork_and_count_in_child(), 1);
    kmse_fork_unwatch(&b);
    assert_int_equal(fork_and_count_in_child(), 0);
    assert_int_equal(calls[0], 3);
    assert_int_equal(calls[1], 3);
}

/* As a libcurl does that loads this provider once more while it starts. */
static void watch_and_unwatch(void *arg)
{
    struct kmse_fork_hooks *other = arg;
    expect_ok(kmse_fork_watch(other));
    kmse_fork_unwatch(other);
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static void watchers_may_come_under_the_outermost_lock(void **state)
{
    (void)state;
    static struct kmse_fork_hooks other = {
        .prepare = do_nothing, .parent = do_nothing, .child = do_nothing};
    static struct kmse_fork_hooks first = {.prepare = watch_and_unwatch,
                                           .parent = watch_and_unwatch,
                                           .child = watch_and_unwatch,
                                           .at_exit = do_nothing,
                                           .arg = &other};
    expect_ok(kmse_fork_watch_outermost(&first));
    alarm(10); /* it is a lock that would be waited for */
    assert_int_equal(fork_and_count_in_child(), 0);
    alarm(0);
}

static int stopped;
static bool is_ending_child;

static void count_stop(void *arg)
{
    (void)arg;
    stopped++;
}

/* After all that atexit knows: OpenSSL 3 cleans up there, OpenSSL 4 does not.
 */
__attribute__((destructor)) static void look_at_the_end(void)
{
    struct kmse_fork_hooks late = {.prepare = count_prepare,
                                   .parent = count_parent,
                                   .child = count_child,
                                   .at_exit = count_stop};
    if (!is_ending_child)
        return;
    bool ok =
        stopped == 1 && kmse_fork_watch(&late).reason == KMSE_R_INTERRUPTED;
    _exit(ok ? 0 : 1);
}

/* What ends the process is told to whom it reaches, and nobody comes later. */
static void nobody_watches_once_the_process_ends(void **state)
{
    (void)state;
    struct kmse_fork_hooks a = {.prepare = count_prepare,
                                .parent = count_parent,
                                .child = count_child,
                                .at_exit = count_stop};
    pid_t child = fork();
    if (child == 0) {
        is_ending_child =
            OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1
            && kmse_is_ok(kmse_fork_watch(&a));
        exit(1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_zero_at_first_and_wiped_at_last),
        cmocka_unit_test(taking_moves_a_key),
        cmocka_unit_test(many_keys_fit_and_none_shares_bytes),
        cmocka_unit_test(the_pool_ends_and_says_so),
        cmocka_unit_test(a_child_has_another_generation),
        cmocka_unit_test(hooks_are_called_while_watched),
        cmocka_unit_test(watchers_may_come_under_the_outermost_lock),
        cmocka_unit_test(nobody_watches_once_the_process_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
