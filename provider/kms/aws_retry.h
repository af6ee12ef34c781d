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
    unsigned attempts; /* made so far */
    unsigned paid;     /* for the latest retry: given back on success */
};

/* After a failure of this reason: may it be tried again? Takes tokens. */
bool kmse_retry_again(struct kmse_retry *retry, int reason);
/* How long to wait first; random: any 32 bits. retry_after_ms: 0, not said. */
uint32_t kmse_retry_delay_ms(const struct kmse_retry *retry, int reason,
                             uint32_t random, uint64_t retry_after_ms);
void kmse_retry_succeeded(struct kmse_retry *retry);

#endif
