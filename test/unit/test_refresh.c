/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys refreshed ahead of expiry: no message waits, no "no" is missed. */
#include "ring_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/interrupt.h"

static void wait_until_hanging(void)
{
    while (ring_hanging == 0)
        kmse_interrupt_sleep(NULL, 1);
}

/* A message finds it due, near the end of max-age, and is served. */
static void begin_refresh(struct kmse_lease **lease)
{
    ring_time_ms += RING_MAX_AGE_MS / 100 * 95;
    ring_newest(lease);
}

static void refresh(struct kmse_lease **lease)
{
    begin_refresh(lease);
    kmse_ring_wait(ring_fixture.ring);
}

static void begin_refresh_that_hangs(struct kmse_lease **lease)
{
    ring_hangs = true;
    begin_refresh(lease);
    wait_until_hanging();
}

static void a_key_in_use_is_refreshed_and_no_message_waits(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    begin_refresh_that_hangs(&lease);
    for (int i = 0; i < 100; i++) {
        ring_time_ms += 101;
        ring_newest(&lease);
    }
    assert_int_equal(ring_unwraps, 2);
    ring_hangs = false;
    kmse_ring_wait(ring_fixture.ring);
    /* It counts from when it was unwrapped last. */
    ring_time_ms += RING_MAX_AGE_MS / 100 * 70;
    ring_newest(&lease);
    kmse_ring_wait(ring_fixture.ring);
    assert_int_equal(ring_unwraps, 2);
    kmse_lease_give_back(&lease);
}

/* Hot, for as long as max-age and the stale time allow together. */
static void while_the_kms_hangs_no_message_waits_for_it(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_TIMEOUT;
    uint64_t end = ring_time_ms + RING_MAX_AGE_MS + RING_STALE_MS - 1000;
    while (ring_time_ms < end) {
        ring_time_ms += 1000;
        ring_newest(&lease);
        kmse_ring_wait(ring_fixture.ring); /* or the next wins the race */
    }
    /* 1, 2, 4, 8, 16 s apart, then 30: not once a second. */
    assert_in_range(ring_unwraps, 100, 140);
    ring_time_ms += 2000;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_TIMEOUT);
    assert_null(lease);
}

static void a_no_met_ahead_of_expiry_counts_at_once(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_DISABLED;
    refresh(&lease);
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_DISABLED);
    assert_null(lease);
}

static void a_bad_answer_ahead_of_expiry_takes_nothing_away(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_ANSWER;
    refresh(&lease);
    ring_newest(&lease);
    ring_time_ms += RING_MAX_AGE_MS / 10;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_ANSWER);
    assert_null(lease);
}

/* Neither is met late because it falls within a second of the clock. */
static void expect_end_at(uint64_t end_ms, struct kmse_lease **lease)
{
    while (ring_time_ms + 1000 < end_ms) {
        ring_time_ms += 1000;
        ring_newest(lease);
        kmse_ring_wait(ring_fixture.ring);
    }
    ring_time_ms = end_ms - end_ms % 1000;
    ring_newest(lease);
    kmse_ring_wait(ring_fixture.ring);
    ring_time_ms = end_ms - 1;
    ring_newest(lease);
    ring_time_ms += 100;
    int failure = ring_failure;
    expect_reason(kmse_lease_newest(lease, ring_key(), NULL), failure);
    assert_null(*lease);
}

static void max_age_and_the_stale_time_end_in_time(void **state)
{
    (void)state;
    enum { WITHIN_A_SECOND_MS = 350 };
    struct kmse_lease *lease = NULL;
    ring_time_ms += 1000 - ring_time_ms % 1000 + WITHIN_A_SECOND_MS;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_ANSWER;
    expect_end_at(ring_time_ms + RING_MAX_AGE_MS, &lease);
    ring_failure = 0;
    ring_time_ms += 30 * 1000 - 99;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    expect_end_at(ring_time_ms + RING_MAX_AGE_MS + RING_STALE_MS, &lease);
}

/* The KMS was away; by now it may say no. */
static void an_old_failure_is_no_leave_to_serve(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    refresh(&lease);
    ring_failure = KMSE_R_KMS_DENIED;
    ring_time_ms += RING_MAX_AGE_MS * 2;
    expect_reason(kmse_lease_newest(&lease, ring_key(), NULL),
                  KMSE_R_KMS_DENIED);
    assert_null(lease);
}

static void a_fork_does_not_wait_for_the_kms(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    begin_refresh_that_hangs(&lease);
    pid_t child = fork(); /* would hang with the refresh: nobody lets it go */
    if (child == 0) {
        ring_hangs = false;
        ring_hanging = 0;
        kmse_st st = kmse_lease_newest(&lease, ring_key(), NULL);
        kmse_lease_give_back(&lease);
        kmse_ring_wait(ring_fixture.ring);
        _exit(kmse_is_ok(st) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* What was interrupted is still due. */
    ring_time_ms += 101;
    ring_newest(&lease);
    wait_until_hanging();
    ring_hangs = false;
    kmse_ring_wait(ring_fixture.ring);
    ring_time_ms += RING_MAX_AGE_MS / 100 * 70;
    ring_newest(&lease);
    assert_int_equal(ring_unwraps, 3);
    kmse_lease_give_back(&lease);
}

static void the_end_does_not_wait_for_the_kms(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    begin_refresh_that_hangs(&lease);
    kmse_ring_stop(ring_fixture.ring);
    assert_int_equal(ring_hanging, 0);
    ring_hangs = false;
    /* Without the thread, a message that finds it due does it. */
    ring_time_ms += 101;
    ring_newest(&lease);
    assert_int_equal(ring_unwraps, 3);
    kmse_lease_give_back(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(a_key_in_use_is_refreshed_and_no_message_waits),
        RING_STORY(while_the_kms_hangs_no_message_waits_for_it),
        RING_STORY(a_no_met_ahead_of_expiry_counts_at_once),
        RING_STORY(a_bad_answer_ahead_of_expiry_takes_nothing_away),
        RING_STORY(max_age_and_the_stale_time_end_in_time),
        RING_STORY(an_old_failure_is_no_leave_to_serve),
        RING_STORY(a_fork_does_not_wait_for_the_kms),
        RING_STORY(the_end_does_not_wait_for_the_kms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
