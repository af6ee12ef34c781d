/* SPDX-License-Identifier: Apache-2.0 */
/* The KMS away for 50 minutes, under load: nobody fails, and nobody waits. */
#include "ring_fixture.h"

#include <pthread.h>

#include "base/interrupt.h"
#include "keyring/key.h"

enum {
    THREADS = 4,
    MESSAGES = 3, /* a second, thread and direction */
    A_SECOND_MS = 1000,
    FAILURE_KEPT_MAX_MS = 30000, /* until it is asked again */
    RECHECK_MS = 100,            /* what a lease needs to notice */
    OUTAGE_S = 3000,
    CALL_S = 5, /* what a call to a silent KMS takes: kms-timeout */
    MINUTE_S = 60,
};

/* --- load: each second of the clock, all threads write and read --------- */

static pthread_barrier_t begin, end;
static bool over;
static _Atomic unsigned served, refused;
static _Atomic int refusal; /* the reason of the last one */

static void use(kmse_st st, struct kmse_lease *const *lease)
{
    if (kmse_is_ok(st))
        st = kmse_lease_check(*lease, NULL);
    if (kmse_is_ok(st)) {
        served++;
        return;
    }
    refused++;
    refusal = st.reason;
}

static void *load(void *arg)
{
    struct kmse_lease *writes = NULL, *reads = NULL;
    (void)arg;
    for (;;) {
        pthread_barrier_wait(&begin);
        if (over)
            break;
        for (int i = 0; i < MESSAGES; i++) {
            use(kmse_lease_newest(&writes, ring_key(), NULL), &writes);
            use(kmse_lease_version(&reads, ring_key(), 1, NULL), &reads);
        }
        pthread_barrier_wait(&end);
    }
    kmse_lease_give_back(&writes);
    kmse_lease_give_back(&reads);
    return NULL;
}

static pthread_t threads[THREADS];

static int set_up(void **state)
{
    int failed = ring_set_up(state);
    over = false;
    pthread_barrier_init(&begin, NULL, THREADS + 1);
    pthread_barrier_init(&end, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        failed |= pthread_create(&threads[i], NULL, load, NULL);
    return failed;
}

static int tear_down(void **state)
{
    over = true;
    pthread_barrier_wait(&begin);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&begin);
    pthread_barrier_destroy(&end);
    return ring_tear_down(state);
}

static void run_load(void)
{
    served = refused = 0;
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
}

static void expect_all_served(void)
{
    run_load();
    assert_int_equal(refused, 0);
    assert_int_equal(served, 2 * THREADS * MESSAGES);
}

static void expect_all_refused(int reason)
{
    run_load();
    assert_int_equal(served, 0);
    assert_int_equal(refusal, reason);
}

static void start_warm(void)
{
    struct kmse_lease *lease = NULL;
    ring_newest(&lease); /* one, so that nobody waits for it */
    kmse_lease_give_back(&lease);
    expect_all_served();
    ring_unwraps = ring_unwraps_waited_for = 0;
}

/* --- what the numbers say ----------------------------------------------- */

static void take(void *arg, const struct kmse_cached *cached)
{
    struct kmse_cached *taken = arg;
    *taken = *cached;
}

static struct kmse_cached cached_key(void)
{
    struct kmse_cached cached = {.key = NULL};
    kmse_ring_visit(ring_fixture.ring, take, &cached);
    assert_non_null(cached.key);
    return cached;
}

/* --- outages ------------------------------------------------------------ */

static void second_of_refusals(void)
{
    ring_time_ms += A_SECOND_MS;
    expect_all_served();
    kmse_ring_wait(ring_fixture.ring); /* or the next second wins the race */
}

/* The refresher has nothing to do, or hangs: time may go on. */
static bool is_settled(struct kmse_key *key)
{
    pthread_mutex_lock(&key->mutex);
    bool settled = !key->refresh_wanted
                   && (!key->entries[0].in_flight || ring_hanging > 0);
    pthread_mutex_unlock(&key->mutex);
    return settled;
}

/* A call takes some seconds, during which all go on, and then fails. */
static void second_of_silence(void)
{
    static int asked_for_s;
    ring_time_ms += A_SECOND_MS;
    expect_all_served();
    while (!is_settled(ring_key()))
        kmse_interrupt_sleep(NULL, 1);
    asked_for_s = ring_hanging > 0 ? asked_for_s + 1 : 0;
    if (asked_for_s < CALL_S)
        return;
    ring_hangs = false;
    kmse_ring_wait(ring_fixture.ring);
    ring_hangs = true;
}

static void expect_no_notice(int failure, void second(void))
{
    struct kmse_numbers numbers;
    start_warm();
    ring_failure = failure;
    ring_hangs = failure == KMSE_R_KMS_TIMEOUT;
    for (int s = 1; s <= OUTAGE_S; s++)
        second();
    assert_int_equal(ring_unwraps_waited_for, 0);
    assert_in_range(ring_unwraps, OUTAGE_S / MINUTE_S, 2 * OUTAGE_S / MINUTE_S);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.misses, 1);
    assert_int_not_equal(numbers.stale_serves, 0);
}

/*
 * The key expired after max-age, and serves until the stale time is over: how
 * long that is can be seen all the while.
 */
static void expect_countdown(int failure, void second(void))
{
    int64_t outage_ms = (int64_t)OUTAGE_S * A_SECOND_MS;
    int64_t left_ms = RING_MAX_AGE_MS + RING_STALE_MS - outage_ms;
    for (; left_ms > A_SECOND_MS; left_ms -= A_SECOND_MS) {
        struct kmse_cached cached = cached_key();
        assert_int_equal(cached.serves_ms, left_ms);
        assert_int_equal(cached.fresh_ms, left_ms - RING_STALE_MS);
        assert_int_not_equal(cached.failures, 0);
        second();
    }
    ring_hangs = false;
    kmse_ring_wait(ring_fixture.ring);
    ring_time_ms += A_SECOND_MS - RECHECK_MS;
    expect_all_served();
    assert_int_equal(ring_unwraps_waited_for, 0);
    ring_time_ms += RECHECK_MS;
    expect_all_refused(failure);
    ring_failure = 0;
    ring_time_ms += FAILURE_KEPT_MAX_MS;
    expect_all_served();
}

static void expect_no_outage(int failure, void second(void))
{
    expect_no_notice(failure, second);
    expect_countdown(failure, second);
}

static void refused_connections(void **state)
{
    (void)state;
    expect_no_outage(KMSE_R_KMS_UNREACHABLE, second_of_refusals);
}

static void throttling(void **state)
{
    (void)state;
    expect_no_outage(KMSE_R_KMS_THROTTLED, second_of_refusals);
}

static void a_black_hole(void **state)
{
    (void)state;
    expect_no_outage(KMSE_R_KMS_TIMEOUT, second_of_silence);
}

/* --- a no --------------------------------------------------------------- */

static void expect_no_within_max_age(int reason)
{
    uint64_t said_ms = ring_time_ms;
    ring_failure = reason;
    do {
        ring_time_ms += A_SECOND_MS;
        run_load();
        kmse_ring_wait(ring_fixture.ring);
    } while (refused == 0 && ring_time_ms < said_ms + 2 * RING_MAX_AGE_MS);
    assert_in_range(ring_time_ms - said_ms, 1, RING_MAX_AGE_MS);
    ring_time_ms += RECHECK_MS;
    expect_all_refused(reason);
}

static void a_no_counts_within_max_age(void **state)
{
    (void)state;
    start_warm();
    expect_no_within_max_age(KMSE_R_KMS_DENIED);
}

/* Also where the key serves on because the KMS could not be reached. */
static void and_after_an_outage(void **state)
{
    (void)state;
    start_warm();
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    for (int s = 1; s <= OUTAGE_S / 2; s++)
        second_of_refusals();
    expect_no_within_max_age(KMSE_R_KMS_DISABLED);
}

#define OUTAGE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTAGE(refused_connections), OUTAGE(throttling),
        OUTAGE(a_black_hole),        OUTAGE(a_no_counts_within_max_age),
        OUTAGE(and_after_an_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
