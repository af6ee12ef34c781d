/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of AWS credentials: when it looks, who looks, who waits. */
#include "kms/aws_credentials.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws_fixture.h"
#include "base/interrupt.h"

enum { THREADS = 16, SECOND_MS = 1000, MINUTE_MS = 60000 };

struct test {
    struct aws_fixture *f;
    struct kmse_aws_credential_chain *chain;
};

static int setup(void **state)
{
    struct test *t = calloc(1, sizeof(*t));
    void *fixture = NULL;
    assert_non_null(t);
    assert_int_equal(aws_setup(&fixture), 0);
    t->f = fixture;
    expect_ok(kmse_aws_chain_new(&t->chain, t->f->crypto, &t->f->options,
                                 &t->f->http, &t->f->clock));
    kmse_aws_chain_wait_with(t->chain, &t->f->wait);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct test *t = *state;
    void *fixture = t->f;
    kmse_aws_chain_free(t->chain);
    free(t);
    return aws_teardown(&fixture);
}

/* The source of most tests here: it expires, and can be told to fail. */
static void use_container(void)
{
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
}

static const char *expiring_in(const struct test *t, const char *id,
                               int64_t seconds)
{
    char when[KMSE_TIME_LEN];
    int64_t now_s = t->f->clock.wall_s(t->f->clock.arg);
    kmse_time_print(when, now_s + seconds);
    return aws_json(id, when);
}

static void will_give(struct test *t, const char *id, int64_t seconds)
{
    aws_will_answer(t->f, 200, expiring_in(t, id, seconds));
}

/* All of one search, with its retries. */
static void will_refuse(struct test *t, int reason)
{
    for (unsigned i = 0; i < 3; i++)
        aws_will_fail(t->f, reason);
}

static struct kmse_aws_credentials *get(struct test *t)
{
    struct kmse_aws_credentials *credentials = NULL;
    struct kmse_why why = {""};
    kmse_st st = kmse_aws_chain_get(t->chain, &credentials, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return credentials;
}

static void expect_get(struct test *t, const char *id)
{
    struct kmse_aws_credentials *credentials = get(t);
    assert_string_equal(credentials->access_key_id, id);
    assert_string_equal(credentials->secret_access_key, AWS_SECRET);
    kmse_aws_credentials_release(credentials);
}

static void expect_fails(struct test *t, int reason, const char *text)
{
    struct kmse_aws_credentials *credentials = NULL;
    struct kmse_why why = {""};
    expect_reason(kmse_aws_chain_get(t->chain, &credentials, &why), reason);
    assert_null(credentials);
    aws_expect_text(why.text, text);
}

/* --- credentials -------------------------------------------------------- */

static void credentials_are_counted(void **state)
{
    struct kmse_aws_credentials *credentials = NULL;
    (void)state;
    expect_ok(kmse_aws_credentials_new(&credentials));
    assert_non_null(credentials->pages.bytes);
    assert_string_equal(credentials->access_key_id, "");
    assert_int_equal(credentials->references, 1);
    kmse_aws_credentials_release(credentials);
    kmse_aws_credentials_release(NULL);
}

/* Who has some goes on with them, whatever becomes of the chain's. */
static void what_was_given_stays(void **state)
{
    struct test *t = *state;
    aws_set_keys("A");
    struct kmse_aws_credentials *held = get(t);
    kmse_aws_chain_invalidate(t->chain, held);
    aws_set_keys("B");
    expect_get(t, "B");
    assert_string_equal(held->access_key_id, "A");
    assert_string_equal(held->secret_access_key, AWS_SECRET);
    kmse_aws_credentials_release(held);
}

/* --- what does not expire ----------------------------------------------- */

static void files_are_looked_at_every_five_minutes(void **state)
{
    struct test *t = *state;
    aws_set_keys("A");
    expect_get(t, "A");
    aws_set_keys("B");
    aws_pass(t->f, 5 * MINUTE_MS - 1);
    expect_get(t, "A");
    aws_pass(t->f, 1);
    expect_get(t, "B");
}

/* Then at most every ten seconds, and what was there serves on. */
static void what_cannot_be_read_again_serves_on(void **state)
{
    struct test *t = *state;
    aws_set_keys("A");
    expect_get(t, "A");
    aws_unset_keys();
    use_container();
    aws_pass(t->f, 5 * MINUTE_MS);
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 3);
    aws_pass(t->f, 10 * SECOND_MS - 1);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 3);
    aws_pass(t->f, SECOND_MS);
    will_give(t, "B", 3600);
    expect_get(t, "B");
    assert_int_equal(t->f->requests, 4);
}

static void the_refused_are_looked_up_at_once(void **state)
{
    struct test *t = *state;
    aws_set_keys("A");
    struct kmse_aws_credentials *refused = get(t);
    aws_set_keys("B");
    expect_get(t, "A");
    kmse_aws_chain_invalidate(t->chain, refused);
    expect_get(t, "B");
    kmse_aws_chain_invalidate(t->chain, refused); /* of others, long ago */
    aws_set_keys("C");
    expect_get(t, "B");
    kmse_aws_credentials_release(refused);
}

/* --- what expires ------------------------------------------------------- */

static void an_hours_are_renewed_ten_minutes_before(void **state)
{
    struct test *t = *state;
    use_container();
    will_give(t, "A", 3600);
    expect_get(t, "A");
    aws_pass(t->f, 50 * MINUTE_MS - 1);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 1);
    aws_pass(t->f, 1);
    will_give(t, "B", 3600);
    expect_get(t, "B");
    assert_int_equal(t->f->requests, 2);
}

static void a_short_life_is_renewed_in_its_last_quarter(void **state)
{
    struct test *t = *state;
    use_container();
    will_give(t, "A", 100);
    expect_get(t, "A");
    aws_pass(t->f, 75 * SECOND_MS - 1);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 1);
    aws_pass(t->f, 1);
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 4);
    aws_pass(t->f, 14 * SECOND_MS);
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_get(t, "A");
    assert_int_equal(t->f->requests, 7);
    aws_pass(t->f, SECOND_MS); /* a tenth is left */
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_fails(t, KMSE_R_KMS_UNREACHABLE, "container endpoint");
}

static void the_old_serve_until_a_minute_before(void **state)
{
    struct test *t = *state;
    use_container();
    will_give(t, "A", 3600);
    expect_get(t, "A");
    aws_pass(t->f, 50 * MINUTE_MS);
    aws_will_fail(t->f, KMSE_R_KMS_CREDENTIALS); /* even of a no */
    expect_get(t, "A");
    aws_pass(t->f, 9 * MINUTE_MS - SECOND_MS);
    will_refuse(t, KMSE_R_KMS_TIMEOUT);
    expect_get(t, "A");
    aws_pass(t->f, SECOND_MS);
    will_refuse(t, KMSE_R_KMS_TIMEOUT);
    expect_fails(t, KMSE_R_KMS_TIMEOUT, "container endpoint");
    will_give(t, "B", 3600); /* and there is no pause without any */
    expect_get(t, "B");
}

static void an_early_search_takes_half_the_time(void **state)
{
    struct test *t = *state;
    use_container();
    t->f->options.timeout_ms = 3000;
    will_give(t, "A", 3600);
    expect_get(t, "A");
    assert_int_equal(t->f->asked[0].timeout_ms, 2000); /* the endpoint's own */
    aws_pass(t->f, 50 * MINUTE_MS);
    will_give(t, "B", 3600);
    expect_get(t, "B");
    assert_int_equal(t->f->asked[1].timeout_ms, 1500);
}

static void what_has_expired_is_told(void **state)
{
    struct test *t = *state;
    aws_set_keys("A");
    setenv("AWS_CREDENTIAL_EXPIRATION", "2025-12-31T23:00:00Z", 1);
    expect_fails(t, KMSE_R_KMS_CREDENTIALS,
                 "AWS_ACCESS_KEY_ID: they expired at 2025-12-31T23:00:00Z");
    setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z", 1);
    expect_fails(t, KMSE_R_KMS_CREDENTIALS, "they expired");
    setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:01Z", 1);
    expect_get(t, "A");
}

/* A wall clock that is set does not make the valid expire, nor others last. */
static void lives_are_measured_by_what_has_elapsed(void **state)
{
    struct test *t = *state;
    use_container();
    will_give(t, "A", 3600);
    expect_get(t, "A");
    atomic_store(&t->f->skew_s, 86400);
    expect_get(t, "A");
    atomic_store(&t->f->skew_s, -86400);
    aws_pass(t->f, 60 * MINUTE_MS);
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_fails(t, KMSE_R_KMS_UNREACHABLE, "container");
}

/* --- an instance that was there ----------------------------------------- */

static void will_give_as_instance(struct test *t, const char *id)
{
    aws_will_answer(t->f, 200, "t");
    aws_will_answer(t->f, 200, "r");
    will_give(t, id, 3600);
}

static void an_instance_that_was_there_is_missed(void **state)
{
    struct test *t = *state;
    will_give_as_instance(t, "A");
    expect_get(t, "A");
    aws_pass(t->f, 60 * MINUTE_MS);
    will_refuse(t, KMSE_R_KMS_UNREACHABLE);
    expect_fails(t, KMSE_R_KMS_UNREACHABLE, "instance metadata");
    will_refuse(t, KMSE_R_KMS_TIMEOUT);
    expect_fails(t, KMSE_R_KMS_TIMEOUT, "instance metadata");
    aws_forget(t->f);
    will_give_as_instance(t, "B");
    expect_get(t, "B");
}

static void one_that_never_was_is_not(void **state)
{
    struct test *t = *state;
    aws_will_fail(t->f, KMSE_R_KMS_UNREACHABLE);
    expect_fails(t, KMSE_R_KMS_CREDENTIALS, "there are none");
    assert_int_equal(t->f->requests, 1);
}

/* --- threads ------------------------------------------------------------ */

/* Assertions are the main thread's: others keep what they got. */
struct getter {
    struct test *t;
    pthread_t thread;
    bool interruptible;
    kmse_st st;
    struct kmse_aws_credentials *credentials;
    struct kmse_why why;
    struct kmse_interrupt interrupt;
    atomic_bool calling, done;
};

static void *get_in_thread(void *arg)
{
    struct getter *getter = arg;
    if (getter->interruptible)
        kmse_interrupt_set_current(&getter->interrupt);
    atomic_store(&getter->calling, true);
    getter->st = kmse_aws_chain_get(getter->t->chain, &getter->credentials,
                                    &getter->why);
    atomic_store(&getter->done, true);
    return NULL;
}

static void start(struct getter *getter, struct test *t, bool interruptible)
{
    *getter = (struct getter){.t = t, .interruptible = interruptible};
    expect_ok(kmse_interrupt_init(&getter->interrupt));
    assert_int_equal(
        pthread_create(&getter->thread, NULL, get_in_thread, getter), 0);
}

static void finish(struct getter *getter, int reason, const char *id)
{
    pthread_join(getter->thread, NULL);
    kmse_interrupt_destroy(&getter->interrupt);
    expect_reason(getter->st, reason);
    if (id != NULL)
        assert_string_equal(getter->credentials->access_key_id, id);
    kmse_aws_credentials_release(getter->credentials);
}

static void will_block(struct test *t, struct aws_answer answer)
{
    answer.blocks = true;
    aws_will(t->f, answer);
}

static void all_share_one_search(void **state)
{
    struct test *t = *state;
    struct getter getters[THREADS];
    use_container();
    will_block(t, (struct aws_answer){.status = 200,
                                      .body = expiring_in(t, "A", 3600)});
    for (size_t i = 0; i < THREADS; i++)
        start(&getters[i], t, i % 2 == 0);
    aws_await_blocked(t->f);
    aws_let_go(t->f);
    for (size_t i = 0; i < THREADS; i++)
        finish(&getters[i], 0, "A");
    assert_int_equal(aws_requests(t->f), 1);
}

/* Of so many one at least is in time for it; the others look again. */
static void a_failure_is_shared_too(void **state)
{
    enum { OTHERS = 8 };
    struct test *t = *state;
    struct getter first, others[OTHERS];
    use_container();
    will_block(t, (struct aws_answer){.status = 403, .body = ""});
    for (size_t i = 0; i < OTHERS; i++)
        aws_will_answer(t->f, 403, "");
    start(&first, t, false);
    aws_await_blocked(t->f);
    for (size_t i = 0; i < OTHERS; i++)
        start(&others[i], t, false);
    for (size_t i = 0; i < OTHERS; i++)
        while (!atomic_load(&others[i].calling))
            sched_yield();
    aws_let_go(t->f);
    finish(&first, KMSE_R_KMS_CREDENTIALS, NULL);
    for (size_t i = 0; i < OTHERS; i++) {
        finish(&others[i], KMSE_R_KMS_CREDENTIALS, NULL);
        aws_expect_text(others[i].why.text, "HTTP status 403");
    }
    assert_in_range(t->f->requests, 1, OTHERS);
}

static void others_go_on_while_one_renews(void **state)
{
    struct test *t = *state;
    struct getter renewing, others[THREADS];
    use_container();
    will_give(t, "A", 3600);
    expect_get(t, "A");
    aws_pass(t->f, 50 * MINUTE_MS);
    will_block(t, (struct aws_answer){.status = 200,
                                      .body = expiring_in(t, "B", 3600)});
    start(&renewing, t, false);
    aws_await_blocked(t->f);
    for (size_t i = 0; i < THREADS; i++)
        start(&others[i], t, false);
    for (size_t i = 0; i < THREADS; i++)
        finish(&others[i], 0, "A");
    assert_false(atomic_load(&renewing.done));
    aws_let_go(t->f);
    finish(&renewing, 0, "B");
    expect_get(t, "B");
    assert_int_equal(t->f->requests, 2);
}

/* That one thread gave up says nothing to those that waited for it. */
static void a_search_that_is_given_up_is_done_by_another(void **state)
{
    struct test *t = *state;
    struct getter first, other;
    use_container();
    will_block(t, (struct aws_answer){.reason = KMSE_R_INTERRUPTED});
    will_give(t, "A", 3600);
    start(&first, t, false);
    aws_await_blocked(t->f);
    start(&other, t, false);
    aws_let_go(t->f);
    finish(&first, KMSE_R_INTERRUPTED, NULL);
    finish(&other, 0, "A");
    assert_int_equal(t->f->requests, 2);
}

static void a_thread_that_waits_can_be_interrupted(void **state)
{
    struct test *t = *state;
    struct getter first, other;
    use_container();
    will_block(t, (struct aws_answer){.status = 200,
                                      .body = expiring_in(t, "A", 3600)});
    start(&first, t, false);
    aws_await_blocked(t->f);
    start(&other, t, true);
    kmse_interrupt_raise(&other.interrupt);
    finish(&other, KMSE_R_INTERRUPTED, NULL);
    aws_let_go(t->f);
    finish(&first, 0, "A");
}

/* The deadline is one of real time: a short one. */
static void who_waits_does_not_wait_for_ever(void **state)
{
    struct test *t = *state;
    struct getter first, other;
    use_container();
    t->f->options.timeout_ms = 50;
    will_block(t, (struct aws_answer){.status = 200,
                                      .body = expiring_in(t, "A", 3600)});
    start(&first, t, false);
    aws_await_blocked(t->f);
    start(&other, t, false);
    finish(&other, KMSE_R_KMS_TIMEOUT, NULL);
    start(&other, t, true);
    finish(&other, KMSE_R_KMS_TIMEOUT, NULL);
    aws_let_go(t->f);
    finish(&first, 0, "A");
}

/* --- forks -------------------------------------------------------------- */

/* In the child: the answer that a thread of the parent waits for is not. */
static int get_in_child(struct test *t)
{
    struct kmse_aws_credentials *credentials = NULL;
    struct kmse_why why = {""};
    kmse_aws_chain_child(t->chain);
    aws_set_keys("CHILD");
    kmse_st st = kmse_aws_chain_get(t->chain, &credentials, &why);
    if (!kmse_is_ok(st) || strcmp(credentials->access_key_id, "CHILD") != 0)
        return 1;
    kmse_aws_credentials_release(credentials);
    return 0;
}

static void a_child_looks_for_itself(void **state)
{
    struct test *t = *state;
    struct getter first, other;
    use_container();
    will_block(t, (struct aws_answer){.status = 200,
                                      .body = expiring_in(t, "A", 3600)});
    start(&first, t, false);
    aws_await_blocked(t->f);
    start(&other, t, false);
    kmse_aws_chain_prepare_fork(t->chain);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20); /* a deadlock is a failure */
        _exit(get_in_child(t));
    }
    kmse_aws_chain_parent(t->chain);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    aws_let_go(t->f);
    finish(&first, 0, "A");
    finish(&other, 0, "A");
}

static void a_child_has_what_there_was(void **state)
{
    struct test *t = *state;
    aws_set_keys("CHILD");
    expect_get(t, "CHILD");
    aws_unset_keys();
    kmse_aws_chain_prepare_fork(t->chain);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        _exit(get_in_child(t));
    }
    kmse_aws_chain_parent(t->chain);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    expect_get(t, "CHILD");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_are_counted),
        TEST(what_was_given_stays),
        TEST(files_are_looked_at_every_five_minutes),
        TEST(what_cannot_be_read_again_serves_on),
        TEST(the_refused_are_looked_up_at_once),
        TEST(an_hours_are_renewed_ten_minutes_before),
        TEST(a_short_life_is_renewed_in_its_last_quarter),
        TEST(the_old_serve_until_a_minute_before),
        TEST(an_early_search_takes_half_the_time),
        TEST(what_has_expired_is_told),
        TEST(lives_are_measured_by_what_has_elapsed),
        TEST(an_instance_that_was_there_is_missed),
        TEST(one_that_never_was_is_not),
        TEST(all_share_one_search),
        TEST(a_failure_is_shared_too),
        TEST(others_go_on_while_one_renews),
        TEST(a_search_that_is_given_up_is_done_by_another),
        TEST(a_thread_that_waits_can_be_interrupted),
        TEST(who_waits_does_not_wait_for_ever),
        TEST(a_child_looks_for_itself),
        TEST(a_child_has_what_there_was),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
