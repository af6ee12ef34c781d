/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys unwrapped once, cached, refreshed ahead, and given up in time. */
#include "keyring/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keyring/refresher.h"

enum {
    /* A failed unwrap is not tried again sooner; while a cached data key
     * serves, each further failure doubles that. */
    FAILURE_KEPT_MS = 1000,
    FAILURE_KEPT_MAX_MS = 30000,
    FLIGHT_DEADLINE_S = 10, /* longest wait for another thread's unwrap */
};

static uint64_t now_ms(const struct kmse_key *key)
{
    const struct kmse_clock *clock = key->environment->clock;
    return clock->elapsed_ms(clock->arg);
}

/* --- the entries of the cache ------------------------------------------- */

void kmse_entry_wipe(struct kmse_entry *entry)
{
    kmse_datakey_release(entry->datakey);
    free(entry->failed_why);
    *entry = (struct kmse_entry){0};
}

/* Stop using a data key: live leases fail at their next message. */
static void locked_drop(struct kmse_key *key, struct kmse_entry *entry)
{
    if (entry->datakey == NULL)
        return;
    kmse_datakey_release(entry->datakey);
    entry->datakey = NULL;
    atomic_fetch_add(&key->generation, 1);
}

/* Data keys that may not serve any more do not stay in memory. */
static void locked_drop_expired(struct kmse_key *key, uint64_t now)
{
    for (size_t i = 0; i < key->entry_count; i++) {
        struct kmse_entry *entry = &key->entries[i];
        if (entry->datakey != NULL && !entry->in_flight
            && now >= entry->stale_until_ms)
            locked_drop(key, entry);
    }
}

static struct kmse_entry *locked_entry(struct kmse_key *key, uint32_t version)
{
    return &key->entries[version - 1];
}

/* --- unwrapping --------------------------------------------------------- */

static kmse_st unwrap(struct kmse_key *key,
                      const struct kmse_snapshot *snapshot, uint32_t version,
                      struct kmse_datakey **datakey, struct kmse_why *why)
{
    const struct kmse_key_environment *env = key->environment;
    struct kmse_secret secret = {0};
    KMSE_TRY(kmse_keyfile_unwrap(&secret, env->kms, env->crypto, snapshot->file,
                                 kmse_keyfile_find(snapshot->file, version),
                                 why));

    struct kmse_datakey *made = NULL;
    KMSE_TRY(kmse_datakey_new(&made, env->crypto, snapshot->file->id, version,
                              &secret));
    made->usage.fork_generation = kmse_fork_generation(env->fork);
    kmse_st st = kmse_crypto_random(env->crypto, made->usage.nonce_start,
                                    KMSE_NONCE_LEN);
    if (!kmse_is_ok(st)) {
        kmse_datakey_release(made);
        return st;
    }
    *datakey = made;
    return KMSE_OK;
}

/*
 * A fleet that started together must not come back together: each refreshes at
 * some time between 75 % and 90 % of max-age.
 */
static uint64_t refresh_after_ms(const struct kmse_key *key, uint8_t random)
{
    enum { QUARTERS = 4, TWENTIETHS = 20, SPREAD = 3, RANDOM_MAX = 255 };
    uint64_t max_age_ms = key->environment->options.max_age_ms;
    return max_age_ms / QUARTERS * (QUARTERS - 1)
           + max_age_ms / TWENTIETHS * SPREAD * random / RANDOM_MAX;
}

static void locked_land_success(struct kmse_key *key, struct kmse_entry *entry,
                                struct kmse_datakey **datakey)
{
    uint64_t now = now_ms(key);
    /* The next start is drawn anew with every unwrap: random, and no secret. */
    entry->refresh_ms =
        now + refresh_after_ms(key, (*datakey)->usage.nonce_start[0]);
    /* The commitment says it is the same key: its nonces count on. */
    if (entry->datakey == NULL) {
        entry->datakey = *datakey;
        *datakey = NULL;
    }
    entry->expires_ms = now + key->environment->options.max_age_ms;
    entry->stale_until_ms =
        entry->expires_ms + key->environment->options.stale_ms;
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

/* The KMS does not want the data key to be used any more. */
static bool is_a_no(kmse_st failed)
{
    enum kmse_kms_class class = kmse_kms_classify(failed);
    return class == KMSE_KMS_DENIED || class == KMSE_KMS_NOT_FOUND;
}

static void locked_land_failure(struct kmse_key *key, struct kmse_entry *entry,
                                kmse_st failed, struct kmse_why **why)
{
    struct kmse_why *old = entry->failed_why;
    entry->failed = failed;
    entry->failed_why = *why;
    *why = old;
    entry->failures++;
    entry->failed_ms = now_ms(key);
    bool retryable = kmse_kms_classify(failed) == KMSE_KMS_RETRYABLE;
    bool expired = entry->failed_ms >= entry->expires_ms;
    if (is_a_no(failed) || (expired && !retryable))
        locked_drop(key, entry);
    entry->failed_until_ms = entry->failed_ms + failure_kept_ms(key, entry);
}

/* The file may have changed during the flight, even to another key's. */
static void locked_land(struct kmse_key *key,
                        const struct kmse_snapshot *snapshot, uint32_t version,
                        kmse_st st, struct kmse_datakey **datakey,
                        struct kmse_why **why)
{
    pthread_cond_broadcast(&key->landed);
    if (version > key->entry_count)
        return;
    struct kmse_entry *entry = locked_entry(key, version);
    entry->in_flight = false;
    if (st.reason == KMSE_R_INTERRUPTED)
        return; /* nothing was learned: whoever needs it asks again */
    if (!kmse_is_ok(st))
        locked_land_failure(key, entry, st, why);
    else if (kmse_keyfile_same_version(snapshot->file, key->snapshot->file,
                                       version - 1))
        locked_land_success(key, entry, datakey);
}

/* Unwrap, with the mutex let go meanwhile. */
static void locked_fly(struct kmse_key *key, uint32_t version)
{
    struct kmse_snapshot *snapshot = kmse_snapshot_acquire(key->snapshot);
    locked_entry(key, version)->in_flight = true;
    kmse_st st = key->reload_failed;
    struct kmse_why reason = key->reload_why;
    pthread_mutex_unlock(&key->mutex);

    struct kmse_datakey *datakey = NULL;
    if (kmse_is_ok(st)) {
        reason.text[0] = '\0';
        st = unwrap(key, snapshot, version, &datakey, &reason);
    }
    struct kmse_why *why = NULL;
    if (!kmse_is_ok(st) && (why = malloc(sizeof(*why))) != NULL)
        *why = reason;

    pthread_mutex_lock(&key->mutex);
    locked_land(key, snapshot, version, st, &datakey, &why);
    pthread_mutex_unlock(&key->mutex);

    free(why);
    kmse_datakey_release(datakey);
    kmse_snapshot_release(snapshot);
    pthread_mutex_lock(&key->mutex);
}

static kmse_st locked_wait(struct kmse_key *key, struct kmse_why *why)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += FLIGHT_DEADLINE_S;
    if (pthread_cond_timedwait(&key->landed, &key->mutex, &deadline)
        == ETIMEDOUT)
        return kmse_fail(why, KMSE_R_KMS_TIMEOUT,
                         "key %s: no answer from its KMS within %d s",
                         key->name, FLIGHT_DEADLINE_S);
    return KMSE_OK;
}

static kmse_st check_state(const struct kmse_key *key,
                           const struct kmse_version *version, uint32_t number,
                           struct kmse_why *why)
{
    const char *folder = key->environment->options.folder;
    if (version == NULL)
        return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                         "key %s has no version %u in %s/%s.json; was it "
                         "encrypted with another key, or is the file old?",
                         key->name, number, folder, key->name);
    if (version->state == KMSE_VERSION_RETIRED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_RETIRED,
                         "key %s, version %u (%s/%s.json)", key->name, number,
                         folder, key->name);
    if (version->state == KMSE_VERSION_DESTROYED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_DESTROYED,
                         "key %s, version %u (%s/%s.json)", key->name, number,
                         folder, key->name);
    return KMSE_OK;
}

/*
 * Whether the KMS, asked lately, could not be reached or had no time. An answer
 * of long ago is none: it may have another one by now.
 */
static bool is_kms_away(const struct kmse_key *key,
                        const struct kmse_entry *entry, uint64_t now)
{
    return entry->failures > 0
           && kmse_kms_classify(entry->failed) == KMSE_KMS_RETRYABLE
           && now - entry->failed_ms <= key->environment->options.max_age_ms;
}

static bool may_serve(const struct kmse_key *key,
                      const struct kmse_entry *entry, uint64_t now)
{
    if (entry->datakey == NULL)
        return false;
    return now < entry->expires_ms
           || (now < entry->stale_until_ms && is_kms_away(key, entry, now));
}

static bool is_refresh_due(const struct kmse_entry *entry, uint64_t now)
{
    return entry->datakey != NULL && !entry->in_flight
           && now >= entry->refresh_ms && now >= entry->failed_until_ms;
}

/* The cached data key, or one unwrap whoever else waits for it too. */
static kmse_st locked_ensure(struct kmse_key *key, uint32_t version,
                             struct kmse_datakey **datakey,
                             struct kmse_why *why)
{
    for (;;) {
        KMSE_TRY(check_state(key,
                             kmse_keyfile_find(key->snapshot->file, version),
                             version, why));
        struct kmse_entry *entry = locked_entry(key, version);
        uint64_t now = now_ms(key);
        if (may_serve(key, entry, now)) {
            if (is_refresh_due(entry, now))
                entry->refresh_wanted = key->refresh_wanted = true;
            *datakey = kmse_datakey_acquire(entry->datakey);
            return KMSE_OK;
        }
        if (now < entry->failed_until_ms) {
            if (entry->failed_why != NULL && why != NULL)
                *why = *entry->failed_why;
            return entry->failed;
        }
        if (entry->in_flight)
            KMSE_TRY(locked_wait(key, why));
        else
            locked_fly(key, version);
    }
}

/* The file's MAC, before anything is encrypted under what the file says. */
static kmse_st locked_check_mac(struct kmse_key *key, struct kmse_why *why)
{
    while (!atomic_load(&key->snapshot->mac_checked)) {
        struct kmse_snapshot *snapshot = kmse_snapshot_acquire(key->snapshot);
        struct kmse_datakey *newest = NULL;
        kmse_st st = locked_ensure(
            key, kmse_keyfile_newest(snapshot->file)->number, &newest, why);
        pthread_mutex_unlock(&key->mutex);
        if (kmse_is_ok(st))
            st = kmse_keyfile_check_mac(key->environment->crypto,
                                        snapshot->file, &newest->data_key, why);
        if (kmse_is_ok(st))
            atomic_store(&snapshot->mac_checked, true);
        kmse_datakey_release(newest);
        kmse_snapshot_release(snapshot);
        pthread_mutex_lock(&key->mutex);
        KMSE_TRY(st);
    }
    return KMSE_OK;
}

static kmse_st locked_current(struct kmse_key *key, uint32_t *number,
                              struct kmse_why *why)
{
    const struct kmse_clock *clock = key->environment->clock;
    const struct kmse_version *current =
        kmse_keyfile_current(key->snapshot->file, clock->wall_s(clock->arg));
    if (current == NULL)
        return kmse_fail(why, KMSE_R_KEY_NO_ACTIVE_VERSION,
                         "key %s: no version in %s/%s.json is active now; "
                         "check the clock, or kms-envelope rotate %s",
                         key->name, key->environment->options.folder, key->name,
                         key->name);
    *number = current->number;
    return KMSE_OK;
}

static kmse_st locked_datakey(struct kmse_key *key, uint32_t version,
                              struct kmse_datakey **datakey,
                              struct kmse_why *why)
{
    locked_drop_expired(key, now_ms(key));
    if (version == 0 || version == key->snapshot->file->version_count)
        KMSE_TRY(locked_check_mac(key, why));
    if (version == 0)
        KMSE_TRY(locked_current(key, &version, why));
    return locked_ensure(key, version, datakey, why);
}

/* Those that are wanted; each flight lets the mutex go. */
void kmse_key_refresh(struct kmse_key *key)
{
    uint64_t generation = atomic_load(&key->generation);
    pthread_mutex_lock(&key->mutex);
    bool file_is_good = kmse_is_ok(key->reload_failed);
    key->refresh_wanted = false;
    for (uint32_t version = 1; version <= key->entry_count; version++) {
        struct kmse_entry *entry = locked_entry(key, version);
        bool due = file_is_good && entry->refresh_wanted
                   && is_refresh_due(entry, now_ms(key));
        entry->refresh_wanted = false;
        if (due)
            locked_fly(key, version);
    }
    pthread_mutex_unlock(&key->mutex);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key, false);
}

/* In the refresher's thread; in this one only if there can be none. */
static void refresh_soon(struct kmse_key *key)
{
    struct kmse_refresher *refresher = key->environment->refresher;
    if (refresher == NULL || !kmse_refresher_wake(refresher, key))
        kmse_key_refresh(key);
}

kmse_st kmse_key_datakey(struct kmse_key *key, uint32_t version,
                         struct kmse_datakey **datakey, struct kmse_why *why)
{
    uint64_t generation = atomic_load(&key->generation);
    kmse_key_look_at_file_if_due(key);
    pthread_mutex_lock(&key->mutex);
    bool unknown = version > key->snapshot->file->version_count;
    pthread_mutex_unlock(&key->mutex);
    if (unknown)
        kmse_key_look_at_file(key);

    pthread_mutex_lock(&key->mutex);
    kmse_st st = locked_datakey(key, version, datakey, why);
    bool refresh = key->refresh_wanted;
    pthread_mutex_unlock(&key->mutex);
    if (refresh)
        refresh_soon(key);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key, false);
    return st;
}
