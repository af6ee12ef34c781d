/* SPDX-License-Identifier: Apache-2.0 */
/* AWS credentials and the cache of them. */
#include "kms/aws_credentials.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/condition.h"
#include "base/interrupt.h"
#include "kms/aws_source.h"

enum {
    MS_PER_S = 1000,
    TIMEOUT_MS = 5000,
    EARLY_S = 600, /* before the end, or that share of a short life */
    EARLY_SHARE = 4,
    LAST_S = 60,
    LAST_SHARE = 10,
    LOOK_AGAIN_MS = 300000, /* at what does not expire */
    PAUSE_MS = 10000,       /* after a search that failed */
    WAIT_SLICE_MS = 50,
};

/* --- credentials -------------------------------------------------------- */

kmse_st kmse_aws_credentials_new(struct kmse_aws_credentials **credentials)
{
    struct kmse_pages pages = {0};
    KMSE_TRY(kmse_pages_init(&pages, sizeof(**credentials)));
    void *memory = pages.bytes;
    struct kmse_aws_credentials *made = memory;
    made->pages = pages;
    atomic_init(&made->references, 1);
    *credentials = made;
    return KMSE_OK;
}

void kmse_aws_credentials_release(struct kmse_aws_credentials *credentials)
{
    if (credentials == NULL
        || atomic_fetch_sub(&credentials->references, 1) > 1)
        return;
    struct kmse_pages pages = credentials->pages;
    kmse_pages_wipe(&pages);
}

static struct kmse_aws_credentials *
acquire(struct kmse_aws_credentials *credentials)
{
    atomic_fetch_add(&credentials->references, 1);
    return credentials;
}

/* --- the chain ---------------------------------------------------------- */

/* How the latest search ended, for those who waited for it. */
struct outcome {
    kmse_st st;
    struct kmse_why why;
};

struct kmse_aws_credential_chain {
    struct kmse_crypto *crypto;
    const struct kmse_aws_options *options;
    const struct kmse_http *http;
    const struct kmse_clock *clock;
    struct kmse_aws_wait wait;
    struct kmse_retry_bucket bucket;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t ended;  /* a search did */
    bool searching;
    uint64_t searches; /* that ended */
    struct outcome latest;
    struct kmse_aws_credentials *current; /* or NULL */
    uint64_t renew_ms, serve_until_ms;    /* of current */
    bool from_instance; /* so came the latest that there were */
};

static void sleep_ms(void *arg, uint32_t ms)
{
    (void)arg;
    kmse_interrupt_sleep(kmse_interrupt_current(), ms);
}

kmse_st kmse_aws_chain_new(struct kmse_aws_credential_chain **chain,
                           struct kmse_crypto *crypto,
                           const struct kmse_aws_options *options,
                           const struct kmse_http *http,
                           const struct kmse_clock *clock)
{
    struct kmse_aws_credential_chain *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->crypto = crypto;
    made->options = options;
    made->http = http;
    made->clock = clock;
    made->wait = (struct kmse_aws_wait){sleep_ms, NULL};
    kmse_st st = kmse_retry_bucket_init(&made->bucket);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        kmse_retry_bucket_wipe(&made->bucket);
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_condition_init(&made->ended);
    *chain = made;
    return KMSE_OK;
}

void kmse_aws_chain_free(struct kmse_aws_credential_chain *chain)
{
    if (chain == NULL)
        return;
    kmse_aws_credentials_release(chain->current);
    pthread_cond_destroy(&chain->ended);
    pthread_mutex_destroy(&chain->mutex);
    kmse_retry_bucket_wipe(&chain->bucket);
    free(chain);
}

void kmse_aws_chain_wait_with(struct kmse_aws_credential_chain *chain,
                              const struct kmse_aws_wait *wait)
{
    chain->wait = *wait;
}

/* --- forks -------------------------------------------------------------- */

void kmse_aws_chain_prepare_fork(struct kmse_aws_credential_chain *chain)
{
    pthread_mutex_lock(&chain->mutex);
    pthread_mutex_lock(&chain->bucket.mutex);
}

void kmse_aws_chain_parent(struct kmse_aws_credential_chain *chain)
{
    pthread_mutex_unlock(&chain->bucket.mutex);
    pthread_mutex_unlock(&chain->mutex);
}

/* The thread that searches, and those that wait for it, are not here. */
void kmse_aws_chain_child(struct kmse_aws_credential_chain *chain)
{
    chain->searching = false;
    kmse_condition_init(&chain->ended);
    if (chain->current != NULL)
        kmse_pages_lock(&chain->current->pages);
    pthread_mutex_unlock(&chain->bucket.mutex);
    pthread_mutex_unlock(&chain->mutex);
}

/* --- how long they serve ------------------------------------------------ */

static uint64_t now_ms(const struct kmse_aws_credential_chain *chain)
{
    return chain->clock->elapsed_ms(chain->clock->arg);
}

static uint64_t timeout_ms(const struct kmse_aws_credential_chain *chain)
{
    return chain->options->timeout_ms != 0 ? chain->options->timeout_ms
                                           : TIMEOUT_MS;
}

static uint64_t share_ms(uint64_t life_ms, uint64_t share, uint64_t most_s)
{
    uint64_t part_ms = life_ms / share;
    return part_ms < most_s * MS_PER_S ? part_ms : most_s * MS_PER_S;
}

/* By the clock that only goes ahead, from when they were found. */
static void locked_set_times(struct kmse_aws_credential_chain *chain,
                             const struct kmse_aws_credentials *credentials)
{
    uint64_t found_ms = now_ms(chain);
    int64_t wall_s = chain->clock->wall_s(chain->clock->arg);
    if (credentials->expires_s == 0) {
        chain->renew_ms = found_ms + LOOK_AGAIN_MS;
        chain->serve_until_ms = UINT64_MAX;
        return;
    }
    uint64_t life_ms =
        credentials->expires_s > wall_s
            ? (uint64_t)(credentials->expires_s - wall_s) * MS_PER_S
            : 0;
    chain->renew_ms =
        found_ms + life_ms - share_ms(life_ms, EARLY_SHARE, EARLY_S);
    chain->serve_until_ms =
        found_ms + life_ms - share_ms(life_ms, LAST_SHARE, LAST_S);
}

static bool locked_serves(const struct kmse_aws_credential_chain *chain)
{
    return chain->current != NULL && now_ms(chain) < chain->serve_until_ms;
}

/* --- a search ----------------------------------------------------------- */

static kmse_st check_expiration(const struct kmse_aws_credential_chain *chain,
                                const struct kmse_aws_credentials *credentials,
                                struct kmse_why *why)
{
    char when[KMSE_TIME_LEN];
    if (credentials->expires_s == 0
        || credentials->expires_s > chain->clock->wall_s(chain->clock->arg))
        return KMSE_OK;
    kmse_time_print(when, credentials->expires_s);
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: they expired at %s",
                     credentials->source, when);
}

/* Without the mutex. */
static kmse_st search(struct kmse_aws_credential_chain *chain,
                      uint64_t within_ms, bool instance_expected,
                      struct kmse_aws_credentials **credentials,
                      bool *from_instance, struct kmse_why *why)
{
    const struct kmse_aws_search search = {
        .crypto = chain->crypto,
        .options = chain->options,
        .http = chain->http,
        .clock = chain->clock,
        .instance_expected = instance_expected,
        .deadline_ms = now_ms(chain) + within_ms,
        .wait = chain->wait,
        .bucket = &chain->bucket,
    };
    struct kmse_aws_credentials *made = NULL;
    KMSE_TRY(kmse_aws_credentials_new(&made));
    kmse_st st = kmse_aws_search_all(&search, made, from_instance, why);
    if (kmse_is_ok(st))
        st = check_expiration(chain, made, why);
    if (!kmse_is_ok(st)) {
        kmse_aws_credentials_release(made);
        return why->text[0] != '\0' ? st
                                    : kmse_fail(why, st.reason, "%s",
                                                kmse_reason_text(st.reason));
    }
    *credentials = made;
    return KMSE_OK;
}

/* Puts *found in the place of current, which is left in it. */
static void locked_install(struct kmse_aws_credential_chain *chain,
                           struct kmse_aws_credentials **found,
                           bool from_instance)
{
    struct kmse_aws_credentials *old = chain->current;
    chain->current = *found;
    chain->from_instance = from_instance;
    locked_set_times(chain, chain->current);
    *found = old;
}

/*
 * Search, with the mutex let go meanwhile. While there are some to serve, the
 * one whose call this is shall not wait as long for others.
 */
static void locked_search(struct kmse_aws_credential_chain *chain)
{
    struct outcome outcome = {.why = {""}};
    struct kmse_aws_credentials *found = NULL;
    bool instance_expected = chain->from_instance, from_instance = false;
    uint64_t within_ms = timeout_ms(chain) / (locked_serves(chain) ? 2 : 1);
    chain->searching = true;
    pthread_mutex_unlock(&chain->mutex);
    outcome.st = search(chain, within_ms, instance_expected, &found,
                        &from_instance, &outcome.why);
    pthread_mutex_lock(&chain->mutex);
    chain->searching = false;
    chain->searches++;
    chain->latest = outcome;
    if (kmse_is_ok(outcome.st))
        locked_install(chain, &found, from_instance);
    else if (outcome.st.reason != KMSE_R_INTERRUPTED)
        chain->renew_ms = now_ms(chain) + PAUSE_MS;
    pthread_cond_broadcast(&chain->ended);
    if (found == NULL)
        return;
    pthread_mutex_unlock(&chain->mutex);
    kmse_aws_credentials_release(found);
    pthread_mutex_lock(&chain->mutex);
}

/* --- waiting for another's search --------------------------------------- */

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec
           || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* A thread that can be interrupted looks whether it is, now and then. */
static kmse_st locked_wait(struct kmse_aws_credential_chain *chain,
                           struct kmse_why *why)
{
    struct kmse_interrupt *interrupt = kmse_interrupt_current();
    const struct timespec deadline = kmse_condition_deadline(timeout_ms(chain));
    uint64_t searches = chain->searches;
    while (chain->searching && chain->searches == searches) {
        struct timespec until = deadline;
        if (interrupt != NULL)
            until = kmse_condition_deadline(WAIT_SLICE_MS);
        if (is_before(&deadline, &until))
            until = deadline;
        int error =
            pthread_cond_timedwait(&chain->ended, &chain->mutex, &until);
        if (kmse_interrupt_is_raised(interrupt))
            return KMSE_ERR(KMSE_R_INTERRUPTED);
        if (error == ETIMEDOUT && !is_before(&until, &deadline))
            return kmse_fail(why, KMSE_R_KMS_TIMEOUT,
                             "another thread still looks for credentials");
    }
    return KMSE_OK;
}

/*
 * What another's search found is good for all who waited for it, and what it
 * did not find nobody looks for again; but that it was given up says nothing.
 */
static kmse_st locked_share(struct kmse_aws_credential_chain *chain,
                            bool *decided, struct kmse_why *why)
{
    KMSE_TRY(locked_wait(chain, why));
    *decided = chain->latest.st.reason != KMSE_R_INTERRUPTED;
    if (!*decided || kmse_is_ok(chain->latest.st))
        return KMSE_OK;
    return kmse_fail(why, chain->latest.st.reason, "%s",
                     chain->latest.why.text);
}

/* On success there are some to serve. */
static kmse_st locked_obtain(struct kmse_aws_credential_chain *chain,
                             struct kmse_why *why)
{
    bool decided = false;
    while (!locked_serves(chain)) {
        if (decided)
            return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                             "new credentials expire at once");
        if (chain->searching) {
            KMSE_TRY(locked_share(chain, &decided, why));
            continue;
        }
        locked_search(chain);
        decided = true;
        if (!kmse_is_ok(chain->latest.st) && !locked_serves(chain))
            return kmse_fail(why, chain->latest.st.reason, "%s",
                             chain->latest.why.text);
    }
    return KMSE_OK;
}

/* --- the chain's callers ------------------------------------------------ */

kmse_st kmse_aws_chain_get(struct kmse_aws_credential_chain *chain,
                           struct kmse_aws_credentials **credentials,
                           struct kmse_why *why)
{
    pthread_mutex_lock(&chain->mutex);
    if (locked_serves(chain) && now_ms(chain) >= chain->renew_ms
        && !chain->searching)
        locked_search(chain);
    kmse_st st = locked_obtain(chain, why);
    if (kmse_is_ok(st))
        *credentials = acquire(chain->current);
    pthread_mutex_unlock(&chain->mutex);
    return st;
}

void kmse_aws_chain_invalidate(struct kmse_aws_credential_chain *chain,
                               const struct kmse_aws_credentials *refused)
{
    struct kmse_aws_credentials *dropped = NULL;
    pthread_mutex_lock(&chain->mutex);
    if (chain->current == refused) {
        dropped = chain->current;
        chain->current = NULL;
    }
    pthread_mutex_unlock(&chain->mutex);
    kmse_aws_credentials_release(dropped);
}
