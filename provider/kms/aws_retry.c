/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's "standard" retry mode. */
#include "kms/aws_retry.h"

kmse_st kmse_retry_bucket_init(struct kmse_retry_bucket *bucket)
{
    if (pthread_mutex_init(&bucket->mutex, NULL) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    bucket->tokens = KMSE_RETRY_BUCKET;
    return KMSE_OK;
}

void kmse_retry_bucket_wipe(struct kmse_retry_bucket *bucket)
{
    pthread_mutex_destroy(&bucket->mutex);
}

static bool take(struct kmse_retry_bucket *bucket, unsigned tokens)
{
    pthread_mutex_lock(&bucket->mutex);
    bool enough = bucket->tokens >= tokens;
    if (enough)
        bucket->tokens -= tokens;
    pthread_mutex_unlock(&bucket->mutex);
    return enough;
}

static void give_back(struct kmse_retry_bucket *bucket, unsigned tokens)
{
    pthread_mutex_lock(&bucket->mutex);
    unsigned room = KMSE_RETRY_BUCKET - bucket->tokens;
    bucket->tokens += tokens < room ? tokens : room;
    pthread_mutex_unlock(&bucket->mutex);
}

/* Of a retry after such a failure; 0: it would fail again. */
static unsigned cost_of(int reason)
{
    switch (reason) {
    case KMSE_R_KMS_UNREACHABLE:
    case KMSE_R_KMS_THROTTLED:
    case KMSE_R_KMS_ANSWER:
        return KMSE_RETRY_COST;
    case KMSE_R_KMS_TIMEOUT:
        return KMSE_RETRY_COST_TIMEOUT;
    default:
        return 0;
    }
}

bool kmse_retry_again(struct kmse_retry *retry, int reason)
{
    unsigned cost = cost_of(reason);
    retry->attempts++;
    if (cost == 0 || retry->attempts >= KMSE_RETRY_ATTEMPTS_MAX
        || !take(retry->bucket, cost))
        return false;
    retry->paid = cost;
    return true;
}

void kmse_retry_succeeded(struct kmse_retry *retry)
{
    give_back(retry->bucket, retry->paid > 0 ? retry->paid : KMSE_RETRY_REWARD);
    retry->paid = 0;
}

/* base, and twice that for each attempt after the first. */
static uint32_t backoff_ms(unsigned attempts, uint32_t base_ms)
{
    uint32_t backoff = base_ms;
    for (unsigned i = 1; i < attempts && backoff < KMSE_RETRY_DELAY_MAX_MS; i++)
        backoff *= 2;
    return backoff < KMSE_RETRY_DELAY_MAX_MS ? backoff
                                             : KMSE_RETRY_DELAY_MAX_MS;
}

uint32_t kmse_retry_delay_ms(const struct kmse_retry *retry, int reason,
                             uint32_t random, uint64_t retry_after_ms)
{
    enum { RANDOM_BITS = 32 };
    bool throttled = reason == KMSE_R_KMS_THROTTLED;
    uint64_t backoff =
        backoff_ms(retry->attempts, throttled ? KMSE_RETRY_BASE_THROTTLED_MS
                                              : KMSE_RETRY_BASE_MS);
    uint32_t delay = (uint32_t)(backoff * random >> RANDOM_BITS);
    uint32_t least = retry_after_ms < KMSE_RETRY_DELAY_MAX_MS
                         ? (uint32_t)retry_after_ms
                         : KMSE_RETRY_DELAY_MAX_MS;
    return delay > least ? delay : least;
}
