/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys unwrapped once, cached, refreshed ahead, and given up in time. */
#include "keyring/cache.h"

#include <errno.h>
#include <stdlib.h>

#include "base/condition.h"
#include "base/interrupt.h"
#include "keyring/refresher.h"

enum {
    FLIGHT_DEADLINE_S = 10, /* longest wait for another thread's unwrap */
    MS_PER_S = 1000,
};

uint64_t kmse_key_now_ms(const struct kmse_key *key)
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

void kmse_locked_drop(struct kmse_key *key, struct kmse_entry *entry)
{
    if (entry->datakey == NULL)
        return;
    kmse_datakey_release(entry->datakey);
    entry->datakey = NULL;
    atomic_fetch_add(&key->generation, 1);
}

void kmse_locked_drop_expired(struct kmse_key *key)
{
    uint64_t now = kmse_key_now_ms(key);
    for (size_t i = 0; i < key->entry_count; i++) {
        struct kmse_entry *entry = &key->entries[i];
        if (entry->datakey != NULL && !entry->in_flight
            && now >= entry->stale_until_ms)
            kmse_locked_drop(key, entry);
    }
}

struct kmse_entry *kmse_locked_entry(struct kmse_key *key, uint32_t version)
{
    return &key->entries[version - 1];
}

/* --- who may be served ---------------------------------------------------- */

static kmse_st locked_wait(struct kmse_key *key, struct kmse_why *why)
{
    const struct timespec deadline =
        kmse_condition_deadline(FLIGHT_DEADLINE_S * MS_PER_S);
    if (pthread_cond_timedwait(&key->landed, &key->mutex, &deadline)
        == ETIMEDOUT)
        return kmse_fail(why, KMSE_R_KMS_TIMEOUT,
                         "key %s: no answer from its KMS within %d s",
                         key->name, FLIGHT_DEADLINE_S);
    return KMSE_OK;
}

static int reason_against(enum kmse_version_state state)
{
    switch (state) {
    case KMSE_VERSION_ACTIVE:
        return 0;
    case KMSE_VERSION_REVOKED:
        return KMSE_R_KEY_VERSION_REVOKED;
    case KMSE_VERSION_RETIRED:
        return KMSE_R_KEY_VERSION_RETIRED;
    case KMSE_VERSION_DESTROYED:
        return KMSE_R_KEY_VERSION_DESTROYED;
    }
    return KMSE_R_INTERNAL;
}

kmse_st kmse_locked_check_state(const struct kmse_key *key, uint32_t number,
                                struct kmse_why *why)
{
    char origin[KMSE_ORIGIN_LEN];
    const struct kmse_version *version =
        kmse_keyfile_find(key->snapshot->file, number);
    if (version != NULL && version->state == KMSE_VERSION_ACTIVE)
        return KMSE_OK; /* nearly always: nothing to print */
    kmse_key_print_origin(origin, key);
    if (version == NULL)
        return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                         "key %s has no version %u in %s; was it encrypted "
                         "with another key, or is the file old?",
                         key->name, number, origin);
    const char *mend = version->state == KMSE_VERSION_RETIRED
                           ? "; kms-envelope undo makes it open again"
                           : "";
    return kmse_fail(why, reason_against(version->state),
                     "key %s, version %u (%s)%s", key->name, number, origin,
                     mend);
}

/* What may be used for no message still proves the file. */
static kmse_st locked_check_proves(const struct kmse_key *key, uint32_t number,
                                   struct kmse_why *why)
{
    kmse_st st = kmse_locked_check_state(key, number, why);
    bool has_copies = st.reason == KMSE_R_KEY_VERSION_REVOKED
                      || st.reason == KMSE_R_KEY_VERSION_RETIRED;
    return has_copies ? KMSE_OK : st;
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

bool kmse_entry_may_serve(const struct kmse_key *key,
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

void kmse_locked_served(struct kmse_key *key, struct kmse_entry *entry,
                        uint64_t now)
{
    if (is_refresh_due(entry, now))
        entry->refresh_wanted = key->refresh_wanted = true;
    if (now >= entry->expires_ms)
        key->numbers.stale_serves++;
}

kmse_st kmse_entry_failed(const struct kmse_entry *entry, uint64_t now,
                          struct kmse_why *why)
{
    if (now >= entry->failed_until_ms)
        return KMSE_OK;
    if (entry->failed_why != NULL && why != NULL)
        *why = *entry->failed_why;
    return entry->failed;
}

/* Whether a version's data key may be had; asked after each wait. */
typedef kmse_st check_fn(const struct kmse_key *key, uint32_t version,
                         struct kmse_why *why);

/* The cached data key, or one unwrap whoever else waits for it too. */
static kmse_st locked_ensure(struct kmse_key *key, uint32_t version,
                             check_fn *check, struct kmse_datakey **datakey,
                             bool *missed, struct kmse_why *why)
{
    for (;;) {
        KMSE_TRY(check(key, version, why));
        struct kmse_entry *entry = kmse_locked_entry(key, version);
        uint64_t now = kmse_key_now_ms(key);
        if (kmse_entry_may_serve(key, entry, now)) {
            kmse_locked_served(key, entry, now);
            *datakey = kmse_datakey_acquire(entry->datakey);
            return KMSE_OK;
        }
        KMSE_TRY(kmse_entry_failed(entry, now, why));
        *missed = true;
        if (kmse_interrupt_is_raised(kmse_interrupt_current()))
            return kmse_fail(why, KMSE_R_INTERRUPTED, "key %s, version %u",
                             key->name, version);
        if (entry->in_flight)
            KMSE_TRY(locked_wait(key, why));
        else
            kmse_locked_fly(key, version);
    }
}

/* A data key that was there to prove the file, and for nothing else. */
static void locked_drop_if_unusable(struct kmse_key *key, uint32_t version)
{
    if (version <= key->entry_count
        && !kmse_is_ok(kmse_locked_check_state(key, version, NULL)))
        kmse_locked_drop(key, kmse_locked_entry(key, version));
}

/* The file's MAC, before anything is encrypted under what the file says. */
static kmse_st locked_check_mac(struct kmse_key *key, bool *missed,
                                struct kmse_why *why)
{
    while (!atomic_load(&key->snapshot->mac_checked)) {
        struct kmse_snapshot *snapshot = kmse_snapshot_acquire(key->snapshot);
        uint32_t number = kmse_keyfile_newest(snapshot->file)->number;
        struct kmse_datakey *newest = NULL;
        kmse_st st = locked_ensure(key, number, locked_check_proves, &newest,
                                   missed, why);
        pthread_mutex_unlock(&key->mutex);
        if (kmse_is_ok(st))
            st = kmse_keyfile_check_mac(key->environment->crypto,
                                        snapshot->file, &newest->data_key, why);
        if (kmse_is_ok(st))
            atomic_store(&snapshot->mac_checked, true);
        kmse_datakey_release(newest);
        kmse_snapshot_release(snapshot);
        pthread_mutex_lock(&key->mutex);
        locked_drop_if_unusable(key, number);
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
    if (current == NULL) {
        char origin[KMSE_ORIGIN_LEN];
        kmse_key_print_origin(origin, key);
        return kmse_fail(why, KMSE_R_KEY_NO_ACTIVE_VERSION,
                         "key %s: no version in %s is active now; check the "
                         "clock, or kms-envelope rotate %s",
                         key->name, origin, key->name);
    }
    *number = current->number;
    return KMSE_OK;
}

static kmse_st locked_datakey(struct kmse_key *key, uint32_t version,
                              struct kmse_datakey **datakey,
                              struct kmse_why *why)
{
    bool missed = false;
    kmse_locked_drop_expired(key);
    if (version != 0)
        KMSE_TRY(kmse_locked_check_state(key, version, why));
    if (version == 0 || version == key->snapshot->file->version_count)
        KMSE_TRY(locked_check_mac(key, &missed, why));
    if (version == 0)
        KMSE_TRY(locked_current(key, &version, why));
    KMSE_TRY(locked_ensure(key, version, kmse_locked_check_state, datakey,
                           &missed, why));
    if (missed)
        key->numbers.misses++;
    else
        key->numbers.hits++;
    return KMSE_OK;
}

/* Those that are wanted; each flight lets the mutex go. */
void kmse_key_refresh(struct kmse_key *key)
{
    uint64_t generation = atomic_load(&key->generation);
    pthread_mutex_lock(&key->mutex);
    bool file_is_good = kmse_is_ok(key->reload_failed);
    key->refresh_wanted = false;
    for (uint32_t version = 1; version <= key->entry_count; version++) {
        struct kmse_entry *entry = kmse_locked_entry(key, version);
        bool due = file_is_good && entry->refresh_wanted
                   && is_refresh_due(entry, kmse_key_now_ms(key));
        entry->refresh_wanted = false;
        if (due)
            kmse_locked_fly(key, version);
    }
    pthread_mutex_unlock(&key->mutex);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key);
}

/* In the refresher's thread; in this one only if there can be none. */
static void refresh_soon(struct kmse_key *key)
{
    struct kmse_refresher *refresher = key->environment->refresher;
    if (refresher == NULL || !kmse_refresher_wake(refresher, key))
        kmse_key_refresh(key);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * When time next does something to a data key that serves: in the past, if it
 * is being refreshed, or that is due.
 */
static uint64_t next_change_ms(const struct kmse_entry *entry, uint64_t now)
{
    if (now < entry->refresh_ms)
        return entry->refresh_ms;
    return lesser(entry->failed_until_ms, now < entry->expires_ms
                                              ? entry->expires_ms
                                              : entry->stale_until_ms);
}

enum {
    /* Max age, active-from and the file are looked at this often. */
    RECHECK_EVERY_MS = 100,
    NO_SECOND = -1, /* there may be a reason to ask again in any */
};

/*
 * Short of a new generation, three things make another answer: a new file, an
 * hour that a version is active from, which is a whole second, and what time
 * does to the data key.
 */
static int64_t locked_calm_s(struct kmse_key *key,
                             const struct kmse_datakey *datakey, int64_t second)
{
    const struct kmse_entry *entry = kmse_locked_entry(key, datakey->version);
    uint64_t now = kmse_key_now_ms(key);
    bool calm = atomic_load(&key->looked_s) == second
                && entry->datakey == datakey
                && now + MS_PER_S <= next_change_ms(entry, now);
    return calm ? second : NO_SECOND;
}

kmse_st kmse_key_datakey(struct kmse_key *key, uint32_t version,
                         struct kmse_datakey **datakey,
                         struct kmse_asked *asked, struct kmse_why *why)
{
    uint64_t recheck_ms = kmse_key_coarse_ms(key) + RECHECK_EVERY_MS;
    uint64_t generation = atomic_load(&key->generation);
    kmse_key_look_at_file_if_due(key);
    pthread_mutex_lock(&key->mutex);
    bool unknown = version > key->snapshot->file->version_count;
    pthread_mutex_unlock(&key->mutex);
    if (unknown)
        kmse_key_look_at_file(key);

    int64_t second = kmse_key_wall_s(key);
    pthread_mutex_lock(&key->mutex);
    kmse_st st = locked_datakey(key, version, datakey, why);
    bool refresh = key->refresh_wanted;
    if (kmse_is_ok(st) && asked != NULL)
        *asked = (struct kmse_asked){generation, recheck_ms,
                                     locked_calm_s(key, *datakey, second)};
    pthread_mutex_unlock(&key->mutex);
    if (refresh)
        refresh_soon(key);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key);
    return st;
}
