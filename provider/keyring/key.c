/* SPDX-License-Identifier: Apache-2.0 */
/* One key: its file watched, its data keys unwrapped once and cached. */
#include "keyring/key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

enum {
    STAT_EVERY_MS = 800,    /* a new file is seen within a second */
    FAILURE_KEPT_MS = 1000, /* a failed unwrap is not tried again sooner */
    FLIGHT_DEADLINE_S = 10, /* longest wait for another thread's unwrap */
};

static uint64_t now_ms(const struct kmse_key *key)
{
    const struct kmse_clock *clock = key->environment->clock;
    return clock->elapsed_ms(clock->arg);
}

static uint64_t coarse_ms(const struct kmse_key *key)
{
    const struct kmse_clock *clock = key->environment->clock;
    return clock->coarse_ms(clock->arg);
}

/* --- snapshots ---------------------------------------------------------- */

static void snapshot_release(struct kmse_snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    kmse_keyfile_free(snapshot->file);
    free(snapshot);
}

static struct kmse_snapshot *snapshot_acquire(struct kmse_snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

static kmse_st snapshot_read(struct kmse_snapshot **snapshot,
                             const struct kmse_key *key, struct kmse_why *why)
{
    struct kmse_snapshot *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    atomic_init(&made->references, 1);
    kmse_st st =
        kmse_keyfile_read(&made->file, key->environment->options.folder,
                          key->name, &made->mark, why);
    if (!kmse_is_ok(st)) {
        snapshot_release(made);
        return st;
    }
    *snapshot = made;
    return KMSE_OK;
}

/* --- the entries of the cache ------------------------------------------- */

static void entry_wipe(struct kmse_entry *entry)
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

/* --- the file ----------------------------------------------------------- */

static bool same_version(const struct kmse_keyfile *a,
                         const struct kmse_keyfile *b, size_t i)
{
    return memcmp(a->id, b->id, KMSE_KEY_ID_LEN) == 0
           && memcmp(a->versions[i].commitment, b->versions[i].commitment,
                     KMSE_HMAC_LEN)
                  == 0
           && b->versions[i].state == KMSE_VERSION_ACTIVE;
}

/* Move over what still holds; the caller wipes what is left in old. */
static void move_entries(struct kmse_entry *to, size_t to_count,
                         struct kmse_key *key,
                         const struct kmse_snapshot *snapshot)
{
    for (size_t i = 0; i < key->entry_count && i < to_count; i++) {
        bool in_flight = key->entries[i].in_flight;
        if (same_version(key->snapshot->file, snapshot->file, i)) {
            to[i] = key->entries[i];
            key->entries[i] = (struct kmse_entry){0};
            /* A failure may be of the old file's copies: try the new. */
            to[i].failed_until_ms = 0;
        }
        to[i].in_flight = in_flight;
    }
}

/*
 * A file that is older than the one in use is a mistaken restore at best. A
 * file with another id is another key of the same name, made anew.
 */
static kmse_st check_not_older(const struct kmse_key *key,
                               const struct kmse_keyfile *now,
                               const struct kmse_keyfile *file,
                               struct kmse_why *why)
{
    if (memcmp(now->id, file->id, KMSE_KEY_ID_LEN) == 0
        && file->version_count < now->version_count)
        return kmse_fail(why, KMSE_R_KEYFILE_ROLLED_BACK,
                         "%s/%s.json had version %zu and now ends at %zu; "
                         "restore the newer file",
                         key->environment->options.folder, key->name,
                         now->version_count, file->version_count);
    return KMSE_OK;
}

/* Takes the snapshot. */
static kmse_st install(struct kmse_key *key, struct kmse_snapshot *snapshot,
                       struct kmse_why *why)
{
    size_t count = snapshot->file->version_count;
    struct kmse_entry *entries = calloc(count, sizeof(*entries));
    if (entries == NULL) {
        snapshot_release(snapshot);
        return KMSE_ERR(KMSE_R_MEMORY);
    }

    pthread_mutex_lock(&key->mutex);
    struct kmse_snapshot *old = key->snapshot;
    kmse_st st = old == NULL
                     ? KMSE_OK
                     : check_not_older(key, old->file, snapshot->file, why);
    struct kmse_entry *old_entries = entries;
    size_t old_count = count;
    if (kmse_is_ok(st)) {
        move_entries(entries, count, key, snapshot);
        old_entries = key->entries;
        old_count = key->entry_count;
        key->entries = entries;
        key->entry_count = count;
        key->snapshot = snapshot;
        key->reload_failed = KMSE_OK;
        atomic_fetch_add(&key->generation, 1);
    } else {
        old = snapshot;
    }
    pthread_mutex_unlock(&key->mutex);

    for (size_t i = 0; i < old_count; i++)
        entry_wipe(&old_entries[i]);
    free(old_entries);
    snapshot_release(old);
    kmse_key_sweep_leases(key, false);
    return st;
}

/*
 * Look at the file, and read it if it changed. A bad new file is not used and
 * is remembered: cached data keys serve until they expire, no new one does.
 */
static void look_at_file(struct kmse_key *key)
{
    struct kmse_why why = {""};
    struct kmse_file_mark mark;
    kmse_st st = kmse_keyfile_stat(key->environment->options.folder, key->name,
                                   &mark, &why);
    if (kmse_is_ok(st)) {
        pthread_mutex_lock(&key->mutex);
        bool same = kmse_file_mark_equal(&mark, &key->snapshot->mark);
        if (same)
            key->reload_failed = KMSE_OK;
        pthread_mutex_unlock(&key->mutex);
        if (same)
            return;
    }
    struct kmse_snapshot *snapshot = NULL;
    if (kmse_is_ok(st))
        st = snapshot_read(&snapshot, key, &why);
    if (kmse_is_ok(st))
        st = install(key, snapshot, &why);
    if (!kmse_is_ok(st)) {
        pthread_mutex_lock(&key->mutex);
        key->reload_failed = st;
        key->reload_why = why;
        pthread_mutex_unlock(&key->mutex);
    }
}

static void look_at_file_if_due(struct kmse_key *key)
{
    uint64_t now = coarse_ms(key);
    uint64_t due = atomic_load(&key->next_stat_ms);
    /* One thread wins the exchange and looks, the others go on. */
    if (now >= due
        && atomic_compare_exchange_strong(&key->next_stat_ms, &due,
                                          now + STAT_EVERY_MS))
        look_at_file(key);
}

kmse_st kmse_key_new(struct kmse_key **key, const char *name,
                     const struct kmse_key_environment *environment,
                     struct kmse_why *why)
{
    void *memory = NULL;
    if (posix_memalign(&memory, _Alignof(struct kmse_key),
                       sizeof(struct kmse_key))
        != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    struct kmse_key *made = memory;
    memset(made, 0, sizeof(*made));
    made->environment = environment;
    memcpy(made->name, name, strlen(name));
    atomic_store(&made->next_stat_ms, coarse_ms(made) + STAT_EVERY_MS);
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->landed, &attributes);
    pthread_condattr_destroy(&attributes);

    struct kmse_snapshot *snapshot = NULL;
    kmse_st st = snapshot_read(&snapshot, made, why);
    if (kmse_is_ok(st))
        st = install(made, snapshot, why);
    if (!kmse_is_ok(st)) {
        kmse_key_free(made);
        return st;
    }
    *key = made;
    return KMSE_OK;
}

void kmse_key_free(struct kmse_key *key)
{
    if (key == NULL)
        return;
    kmse_key_sweep_leases(key, true);
    for (size_t i = 0; i < key->entry_count; i++)
        entry_wipe(&key->entries[i]);
    free(key->entries);
    snapshot_release(key->snapshot);
    pthread_cond_destroy(&key->landed);
    pthread_mutex_destroy(&key->mutex);
    free(key);
}

void kmse_key_prepare_fork(struct kmse_key *key)
{
    pthread_mutex_lock(&key->mutex);
}

void kmse_key_parent(struct kmse_key *key)
{
    pthread_mutex_unlock(&key->mutex);
}

void kmse_key_child(struct kmse_key *key)
{
    /* The threads that were unwrapping, and those waiting, are not here. */
    for (size_t i = 0; i < key->entry_count; i++)
        key->entries[i].in_flight = false;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&key->landed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_unlock(&key->mutex);
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

static void locked_land_success(struct kmse_key *key, struct kmse_entry *entry,
                                struct kmse_datakey **datakey)
{
    uint64_t now = now_ms(key);
    /* The commitment says it is the same key: its nonces count on. */
    if (entry->datakey == NULL) {
        entry->datakey = *datakey;
        *datakey = NULL;
    }
    entry->expires_ms = now + key->environment->options.max_age_ms;
    entry->stale_until_ms =
        entry->expires_ms + key->environment->options.stale_ms;
    entry->failed_until_ms = 0;
}

static void locked_land_failure(struct kmse_key *key, struct kmse_entry *entry,
                                kmse_st failed, struct kmse_why **why)
{
    struct kmse_why *old = entry->failed_why;
    entry->failed = failed;
    entry->failed_why = *why;
    *why = old;
    entry->failed_until_ms = now_ms(key) + FAILURE_KEPT_MS;
    if (kmse_kms_classify(failed) != KMSE_KMS_RETRYABLE)
        locked_drop(key, entry);
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
    if (!kmse_is_ok(st))
        locked_land_failure(key, entry, st, why);
    else if (same_version(snapshot->file, key->snapshot->file, version - 1))
        locked_land_success(key, entry, datakey);
}

/* Unwrap, with the mutex let go meanwhile. */
static void locked_fly(struct kmse_key *key, uint32_t version)
{
    struct kmse_snapshot *snapshot = snapshot_acquire(key->snapshot);
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
    snapshot_release(snapshot);
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
        bool failed_now = now < entry->failed_until_ms;
        bool may_be_stale =
            failed_now && now < entry->stale_until_ms
            && kmse_kms_classify(entry->failed) == KMSE_KMS_RETRYABLE;
        if (entry->datakey != NULL
            && (now < entry->expires_ms || may_be_stale)) {
            *datakey = kmse_datakey_acquire(entry->datakey);
            return KMSE_OK;
        }
        if (failed_now) {
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
        struct kmse_snapshot *snapshot = snapshot_acquire(key->snapshot);
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
        snapshot_release(snapshot);
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

kmse_st kmse_key_datakey(struct kmse_key *key, uint32_t version,
                         struct kmse_datakey **datakey, struct kmse_why *why)
{
    uint64_t generation = atomic_load(&key->generation);
    look_at_file_if_due(key);
    pthread_mutex_lock(&key->mutex);
    bool unknown = version > key->snapshot->file->version_count;
    pthread_mutex_unlock(&key->mutex);
    if (unknown)
        look_at_file(key);

    pthread_mutex_lock(&key->mutex);
    kmse_st st = locked_datakey(key, version, datakey, why);
    pthread_mutex_unlock(&key->mutex);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key, false);
    return st;
}

static uint64_t stricter(uint64_t of_file, uint64_t of_configuration)
{
    return of_file != 0 && of_file < of_configuration ? of_file
                                                      : of_configuration;
}

struct kmse_policy kmse_key_locked_policy(const struct kmse_key *key)
{
    const struct kmse_ring_options *options = &key->environment->options;
    struct kmse_policy policy = key->snapshot->file->policy;
    policy.max_messages = stricter(policy.max_messages, options->max_messages);
    policy.max_bytes = stricter(policy.max_bytes, options->max_bytes);
    return policy;
}
