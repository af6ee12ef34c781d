/* SPDX-License-Identifier: Apache-2.0 */
/* A flight: one data key obtained anew, and what comes of it. */
#include "keyring/cache.h"

#include <stdlib.h>

#include "keyring/obtain.h"

enum {
    /* A failed unwrap is not tried again sooner; while a cached data key
     * serves, each further failure doubles that. */
    FAILURE_KEPT_MS = 1000,
    FAILURE_KEPT_MAX_MS = 30000,
    /* What is lent for no time at all serves the message that waits for it. */
    FRESH_LEAST_MS = 100,
};

/* One data key being obtained, without the mutex. */
struct flight {
    struct kmse_snapshot *snapshot;
    uint32_t version;
    struct kmse_datakey *before; /* the one that is there, or NULL */
    struct kmse_told used;       /* with that one, and the agent not told */
    struct kmse_datakey *datakey;
    uint64_t fresh_ms, stale_ms;
    bool from_agent;
    kmse_st st;
    struct kmse_why *why; /* of a failure, or NULL */
};

static kmse_st make_datakey(struct flight *flight,
                            const struct kmse_key_environment *env,
                            struct kmse_secret *data_key)
{
    struct kmse_datakey *made = NULL;
    KMSE_TRY(kmse_datakey_new(&made, env->crypto, flight->snapshot->file->id,
                              flight->version, data_key));
    made->usage.fork_generation = kmse_fork_generation(env->fork);
    kmse_st st = kmse_crypto_random(env->crypto, made->usage.nonce_start,
                                    KMSE_NONCE_LEN);
    if (!kmse_is_ok(st)) {
        kmse_datakey_release(made);
        return st;
    }
    flight->datakey = made;
    return KMSE_OK;
}

static kmse_st obtain(struct flight *flight,
                      const struct kmse_key_environment *env,
                      struct kmse_why *why)
{
    const struct kmse_keyfile *file = flight->snapshot->file;
    struct kmse_obtained got;
    KMSE_TRY(kmse_obtain(&got, env, file,
                         kmse_keyfile_find(file, flight->version),
                         &flight->used, why));
    flight->from_agent = got.from_agent;
    flight->fresh_ms =
        got.loan.fresh_ms > FRESH_LEAST_MS ? got.loan.fresh_ms : FRESH_LEAST_MS;
    flight->stale_ms = got.loan.stale_ms;
    return make_datakey(flight, env, &got.loan.data_key);
}

/*
 * A fleet that started together must not come back together: each refreshes at
 * some time between 75 % and 90 % of max-age, or of what is left of the
 * agent's.
 */
static uint64_t refresh_after_ms(uint64_t fresh_ms, uint8_t random)
{
    enum { QUARTERS = 4, TWENTIETHS = 20, SPREAD = 3, RANDOM_MAX = 255 };
    return fresh_ms / QUARTERS * (QUARTERS - 1)
           + fresh_ms / TWENTIETHS * SPREAD * random / RANDOM_MAX;
}

static void locked_land_success(struct kmse_key *key, struct kmse_entry *entry,
                                struct flight *flight)
{
    uint64_t now = kmse_key_now_ms(key);
    key->numbers.unwraps++;
    if (flight->from_agent && flight->before != NULL) {
        flight->before->usage.told.messages += flight->used.messages;
        flight->before->usage.told.bytes += flight->used.bytes;
    }
    /* The next start is drawn anew with every unwrap: random, and no secret. */
    entry->refresh_ms =
        now
        + refresh_after_ms(flight->fresh_ms,
                           flight->datakey->usage.nonce_start[0]);
    /* The commitment says it is the same key: its nonces count on. */
    if (entry->datakey == NULL) {
        entry->datakey = flight->datakey;
        flight->datakey = NULL;
    }
    entry->expires_ms = now + flight->fresh_ms;
    entry->stale_until_ms = entry->expires_ms + flight->stale_ms;
    entry->failures = 0;
    entry->failed_until_ms = 0;
}

static uint64_t failure_kept_ms(const struct kmse_key *key,
                                const struct kmse_entry *entry)
{
    uint64_t most = key->environment->options.max_age_ms;
    uint64_t kept = FAILURE_KEPT_MS;
    if (most > FAILURE_KEPT_MAX_MS)
        most = FAILURE_KEPT_MAX_MS;
    for (unsigned i = 1; i < entry->failures && kept < most; i++)
        kept *= 2;
    return entry->datakey == NULL || kept < FAILURE_KEPT_MS ? FAILURE_KEPT_MS
           : kept < most                                    ? kept
                                                            : most;
}

/* The KMS, or the agent, does not want the data key to be used any more. */
static bool is_a_no(kmse_st failed)
{
    if (failed.reason == KMSE_R_KEY_VERSION_REVOKED)
        return true;
    enum kmse_kms_class class = kmse_kms_classify(failed);
    return class == KMSE_KMS_DENIED || class == KMSE_KMS_NOT_FOUND;
}

static void locked_land_failure(struct kmse_key *key, struct kmse_entry *entry,
                                struct flight *flight)
{
    struct kmse_why *old = entry->failed_why;
    key->numbers.failures++;
    entry->failed = flight->st;
    entry->failed_why = flight->why;
    flight->why = old;
    entry->failures++;
    entry->failed_ms = kmse_key_now_ms(key);
    bool retryable = kmse_kms_classify(entry->failed) == KMSE_KMS_RETRYABLE;
    bool expired = entry->failed_ms >= entry->expires_ms;
    if (is_a_no(entry->failed) || (expired && !retryable))
        kmse_locked_drop(key, entry);
    entry->failed_until_ms = entry->failed_ms + failure_kept_ms(key, entry);
}

/*
 * The file may have changed during the flight, even to another key's. A version
 * that is not active is of use if it is the newest: it proves the file.
 */
static bool locked_is_of_use(const struct kmse_key *key,
                             const struct flight *flight)
{
    const struct kmse_keyfile *file = key->snapshot->file;
    const struct kmse_version *version =
        kmse_keyfile_find(file, flight->version);
    return kmse_keyfile_same_version(flight->snapshot->file, file,
                                     flight->version - 1)
           && (version->state == KMSE_VERSION_ACTIVE
               || version == kmse_keyfile_newest(file));
}

static void locked_land(struct kmse_key *key, struct flight *flight)
{
    pthread_cond_broadcast(&key->landed);
    if (flight->version > key->entry_count)
        return;
    struct kmse_entry *entry = kmse_locked_entry(key, flight->version);
    entry->in_flight = false;
    if (flight->st.reason == KMSE_R_INTERRUPTED)
        return; /* nothing was learned: whoever needs it asks again */
    if (!kmse_is_ok(flight->st))
        locked_land_failure(key, entry, flight);
    else if (locked_is_of_use(key, flight))
        locked_land_success(key, entry, flight);
}

static struct kmse_told untold(const struct kmse_usage *usage)
{
    const struct kmse_told *told = &usage->told;
    return (struct kmse_told){
        .messages = usage->messages > told->messages
                        ? usage->messages - told->messages
                        : 0,
        .bytes = usage->bytes > told->bytes ? usage->bytes - told->bytes : 0,
    };
}

static void locked_take_off(struct kmse_key *key, struct flight *flight)
{
    struct kmse_entry *entry = kmse_locked_entry(key, flight->version);
    entry->in_flight = true;
    flight->snapshot = kmse_snapshot_acquire(key->snapshot);
    flight->st = key->reload_failed;
    if (entry->datakey == NULL)
        return;
    flight->before = kmse_datakey_acquire(entry->datakey);
    flight->used = untold(&entry->datakey->usage);
}

void kmse_locked_fly(struct kmse_key *key, uint32_t version)
{
    struct flight flight = {.version = version};
    struct kmse_why reason = {""};
    if (key->reload_why != NULL)
        reason = *key->reload_why;
    locked_take_off(key, &flight);
    pthread_mutex_unlock(&key->mutex);

    if (kmse_is_ok(flight.st)) {
        reason.text[0] = '\0';
        flight.st = obtain(&flight, key->environment, &reason);
    }
    if (!kmse_is_ok(flight.st)
        && (flight.why = malloc(sizeof(*flight.why))) != NULL)
        *flight.why = reason;

    pthread_mutex_lock(&key->mutex);
    locked_land(key, &flight);
    pthread_mutex_unlock(&key->mutex);

    free(flight.why);
    kmse_datakey_release(flight.datakey);
    kmse_datakey_release(flight.before);
    kmse_snapshot_release(flight.snapshot);
    pthread_mutex_lock(&key->mutex);
}
