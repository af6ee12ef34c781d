/* SPDX-License-Identifier: Apache-2.0 */
/* Retries: how many, how late, and until the bucket is empty. */
#include "kms/aws_retry.h"

#include <pthread.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static struct kmse_retry_bucket bucket;

static int set_up(void **state)
{
    (void)state;
    return kmse_is_ok(kmse_retry_bucket_init(&bucket)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_retry_bucket_wipe(&bucket);
    return 0;
}

static struct kmse_retry new_call(void)
{
    return (struct kmse_retry){.bucket = &bucket};
}

/* --- what is tried again ------------------------------------------------- */

static void what_may_pass_is_tried_three_times(void **state)
{
    (void)state;
    static const int REASONS[] = {KMSE_R_KMS_UNREACHABLE, KMSE_R_KMS_THROTTLED,
                                  KMSE_R_KMS_TIMEOUT, KMSE_R_KMS_ANSWER};
    for (size_t i = 0; i < COUNT(REASONS); i++) {
        struct kmse_retry retry = new_call();
        assert_true(kmse_retry_again(&retry, REASONS[i]));
        assert_true(kmse_retry_again(&retry, REASONS[i]));
        assert_false(kmse_retry_again(&retry, REASONS[i]));
        assert_false(kmse_retry_again(&retry, REASONS[i]));
    }
}

/* All other reasons there are, in whatever way they are made. */
static void what_stays_is_told_at_once(void **state)
{
    (void)state;
#define ONE_REASON(name, number, text) (number),
    static const int REASONS[] = {KMSE_REASONS(ONE_REASON)};
#undef ONE_REASON
    unsigned again = 0;
    for (size_t i = 0; i < COUNT(REASONS); i++) {
        struct kmse_retry retry = new_call();
        unsigned tokens = bucket.tokens;
        if (kmse_retry_again(&retry, REASONS[i]))
            again++;
        else
            assert_int_equal(bucket.tokens, tokens);
    }
    assert_int_equal(again, 4);
}

/* --- the bucket ---------------------------------------------------------- */

static void retries_cost_tokens(void **state)
{
    (void)state;
    struct kmse_retry retry = new_call();
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET);
    assert_true(kmse_retry_again(&retry, KMSE_R_KMS_THROTTLED));
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET - KMSE_RETRY_COST);
    assert_true(kmse_retry_again(&retry, KMSE_R_KMS_TIMEOUT));
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET - KMSE_RETRY_COST
                                        - KMSE_RETRY_COST_TIMEOUT);
    assert_false(kmse_retry_again(&retry, KMSE_R_KMS_TIMEOUT));
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET - KMSE_RETRY_COST
                                        - KMSE_RETRY_COST_TIMEOUT);

    kmse_retry_succeeded(&retry); /* the latest one's come back, once */
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET - KMSE_RETRY_COST);
    kmse_retry_succeeded(&retry);
    assert_int_equal(bucket.tokens,
                     KMSE_RETRY_BUCKET - KMSE_RETRY_COST + KMSE_RETRY_REWARD);
}

static void a_full_bucket_does_not_overflow(void **state)
{
    (void)state;
    struct kmse_retry retry = new_call(), other = new_call();
    kmse_retry_succeeded(&retry);
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET);
    assert_true(kmse_retry_again(&retry, KMSE_R_KMS_UNREACHABLE));
    for (unsigned i = 0; i < KMSE_RETRY_COST - 1; i++)
        kmse_retry_succeeded(&other);
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET - 1);
    kmse_retry_succeeded(&retry);
    assert_int_equal(bucket.tokens, KMSE_RETRY_BUCKET);
}

/* Calls that fail, one after the other: the KMS is in trouble. */
static unsigned drain(int reason)
{
    unsigned retries = 0;
    for (unsigned i = 0; i < KMSE_RETRY_BUCKET; i++) {
        struct kmse_retry retry = new_call();
        while (kmse_retry_again(&retry, reason))
            retries++;
    }
    return retries;
}

static void an_empty_bucket_ends_retries(void **state)
{
    (void)state;
    assert_int_equal(drain(KMSE_R_KMS_UNREACHABLE),
                     KMSE_RETRY_BUCKET / KMSE_RETRY_COST);
    assert_int_equal(bucket.tokens, 0);

    /* Successes fill it again: one a token. */
    for (unsigned i = 0; i < KMSE_RETRY_COST; i++) {
        struct kmse_retry failing = new_call(), fine = new_call();
        assert_false(kmse_retry_again(&failing, KMSE_R_KMS_UNREACHABLE));
        kmse_retry_succeeded(&fine);
    }
    struct kmse_retry retry = new_call(), late = new_call();
    assert_false(kmse_retry_again(&late, KMSE_R_KMS_TIMEOUT));
    assert_true(kmse_retry_again(&retry, KMSE_R_KMS_UNREACHABLE));
}

static void timeouts_empty_it_sooner(void **state)
{
    (void)state;
    assert_int_equal(drain(KMSE_R_KMS_TIMEOUT),
                     KMSE_RETRY_BUCKET / KMSE_RETRY_COST_TIMEOUT);
}

enum { THREADS = 8, ROUNDS = 20000 };

/* Each call gives back what it took: nothing is lost, nothing made. */
static void *fail_and_succeed(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct kmse_retry retry = new_call();
        if (kmse_retry_again(&retry, KMSE_R_KMS_UNREACHABLE))
            kmse_retry_succeeded(&retry);
    }
    return NULL;
}

static void threads_share_a_bucket(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    bucket.tokens = 2 * KMSE_RETRY_COST; /* not enough for all at once */
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, fail_and_succeed, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(bucket.tokens, 2 * KMSE_RETRY_COST);
}

/* --- how late ------------------------------------------------------------ */

static uint32_t delay(unsigned attempts, int reason, uint32_t random,
                      uint64_t retry_after_ms)
{
    const struct kmse_retry retry = {.bucket = &bucket, .attempts = attempts};
    return kmse_retry_delay_ms(&retry, reason, random, retry_after_ms);
}

static const uint32_t HALF = UINT32_C(1) << 31;

static void backoffs_double_up_to_their_limit(void **state)
{
    (void)state;
    static const struct {
        unsigned attempts;
        uint32_t most, most_throttled;
    } BACKOFFS[] = {
        {1, 50, 1000},      {2, 100, 2000},      {3, 200, 4000},
        {5, 800, 16000},    {6, 1600, 20000},    {9, 12800, 20000},
        {10, 20000, 20000}, {100, 20000, 20000}, {UINT32_MAX, 20000, 20000},
    };
    for (size_t i = 0; i < COUNT(BACKOFFS); i++) {
        unsigned attempts = BACKOFFS[i].attempts;
        uint32_t most = BACKOFFS[i].most;
        assert_int_equal(delay(attempts, KMSE_R_KMS_UNREACHABLE, 0, 0), 0);
        assert_int_equal(delay(attempts, KMSE_R_KMS_TIMEOUT, HALF, 0),
                         most / 2);
        assert_int_equal(delay(attempts, KMSE_R_KMS_ANSWER, UINT32_MAX, 0),
                         most - 1);
        most = BACKOFFS[i].most_throttled;
        assert_int_equal(delay(attempts, KMSE_R_KMS_THROTTLED, HALF, 0),
                         most / 2);
        assert_int_equal(delay(attempts, KMSE_R_KMS_THROTTLED, UINT32_MAX, 0),
                         most - 1);
    }
}

/* Each of the first backoff's milliseconds is drawn, as often as the others. */
static void jitter_is_full_and_even(void **state)
{
    (void)state;
    enum { DRAWS = 100000, EXPECTED = DRAWS / KMSE_RETRY_BASE_MS };
    static const uint32_t STEP = UINT32_MAX / DRAWS;
    unsigned drawn[KMSE_RETRY_BASE_MS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t ms = delay(1, KMSE_R_KMS_UNREACHABLE, i * STEP, 0);
        assert_in_range(ms, 0, KMSE_RETRY_BASE_MS - 1);
        drawn[ms]++;
    }
    for (size_t i = 0; i < KMSE_RETRY_BASE_MS; i++)
        assert_in_range(drawn[i], EXPECTED - 50, EXPECTED + 50);
}

static void the_kms_may_ask_for_more(void **state)
{
    (void)state;
    static const int REASON = KMSE_R_KMS_THROTTLED;
    assert_int_equal(delay(1, REASON, 0, 1), 1);
    assert_int_equal(delay(1, REASON, HALF, 499), 500);
    assert_int_equal(delay(1, REASON, HALF, 501), 501);
    assert_int_equal(delay(1, REASON, UINT32_MAX, 3000), 3000);
    assert_int_equal(delay(1, REASON, 0, 20001), 20000);
    assert_int_equal(delay(1, REASON, 0, UINT64_MAX), 20000);
    assert_int_equal(delay(1, REASON, 0, (UINT64_C(1) << 32) + 1), 20000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_may_pass_is_tried_three_times),
        TEST(what_stays_is_told_at_once),
        TEST(retries_cost_tokens),
        TEST(a_full_bucket_does_not_overflow),
        TEST(an_empty_bucket_ends_retries),
        TEST(timeouts_empty_it_sooner),
        TEST(threads_share_a_bucket),
        TEST(backoffs_double_up_to_their_limit),
        TEST(jitter_is_full_and_even),
        TEST(the_kms_may_ask_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
