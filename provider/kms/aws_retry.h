/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_RETRY_H
#define KMSE_KMS_AWS_RETRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/*
 * AWS's "standard" retry mode (AWS SDKs and Tools Reference Guide, "Retry
 * behavior"): at most 3 attempts, exponential backoff with full jitter, and a
 * token bucket that all calls of a client share, so that a KMS in trouble is
 * not buried. Pure but for the bucket's mutex: the caller waits and draws.
 */
enum {
    KMSE_RETRY_ATTEMPTS_MAX = 3,
    KMSE_RETRY_BUCKET = 500,
    KMSE_RETRY_COST = 5,
    KMSE_RETRY_COST_TIMEOUT = 10,
    KMSE_RETRY_REWARD = 1,
    KMSE_RETRY_BASE_MS = 50,
    KMSE_RETRY_BASE_THROTTLED_MS = 1000,
    KMSE_RETRY_DELAY_MAX_MS = 20000,
};

struct kmse_retry_bucket {
    pthread_mutex_t mutex; /* guards tokens */
    unsigned tokens;
};
kmse_st
kmse_retry_bucket_init(struct kmse_retry_bucket *bucket) KMSE_MUST_CHECK;
void kmse_retry_bucket_wipe(struct kmse_retry_bucket *bucket);

/* One call, from its first attempt to its end. */
struct kmse_retry {
    struct kmse_retry_bucket *bucket;
    unsigned attempts; /* that failed, and were asked about */
    unsigned paid;     /* for the latest retry: given back on success */
};

/*
 * After a failure of this reason: may it be tried again? Takes tokens. Yes for
 * KMSE_R_KMS_UNREACHABLE, _THROTTLED, _TIMEOUT, and _ANSWER: an answer that
 * breaks off is as transient as a connection that does, and one that is wrong
 * in another way costs two more requests before it is told. That it is tried
 * again does not make it retryable to the cache of data keys.
 */
bool kmse_retry_again(struct kmse_retry *retry, int reason);
/*
 * How long to wait first: random (any 32 bits) says how much of the backoff.
 * Never less than the KMS asks for, up to KMSE_RETRY_DELAY_MAX_MS; the
 * caller's deadline is its own. retry_after_ms: 0, not said.
 */
uint32_t kmse_retry_delay_ms(const struct kmse_retry *retry, int reason,
                             uint32_t random, uint64_t retry_after_ms);
/* The latest retry's tokens come back; KMSE_RETRY_REWARD if there was none. */
void kmse_retry_succeeded(struct kmse_retry *retry);

#endif
