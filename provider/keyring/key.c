/* SPDX-License-Identifier: Apache-2.0 */
/* One key: its file, read and watched, and its life. cache.c has the rest. */
#include "keyring/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/condition.h"

enum { STAT_EVERY_MS = 800 }; /* a new file is seen within a second */

/* --- snapshots ---------------------------------------------------------- */

void kmse_snapshot_release(struct kmse_snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    kmse_keyfile_free(snapshot->file);
    free(snapshot);
}

struct kmse_snapshot *kmse_snapshot_acquire(struct kmse_snapshot *snapshot)
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
        kmse_snapshot_release(made);
        return st;
    }
    *snapshot = made;
    return KMSE_OK;
}

static kmse_st snapshot_parse(struct kmse_snapshot **snapshot, const char *name,
                              const char *json, size_t json_len,
                              struct kmse_why *why)
{
    struct kmse_snapshot *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    atomic_init(&made->references, 1);
    kmse_st st = kmse_keyfile_parse(&made->file, json, json_len, name,
                                    KMSE_CARRIED_ORIGIN, why);
    if (!kmse_is_ok(st)) {
        kmse_snapshot_release(made);
        return st;
    }
    *snapshot = made;
    return KMSE_OK;
}

const struct kmse_keyfile *
kmse_snapshot_file(const struct kmse_snapshot *snapshot)
{
    return snapshot->file;
}

/* --- the file ----------------------------------------------------------- */

bool kmse_keyfile_same_version(const struct kmse_keyfile *a,
                               const struct kmse_keyfile *b, size_t i)
{
    return memcmp(a->id, b->id, KMSE_KEY_ID_LEN) == 0
           && memcmp(a->versions[i].commitment, b->versions[i].commitment,
                     KMSE_HMAC_LEN)
                  == 0;
}

/* Move over what still holds; the caller wipes what is left in old. */
static void move_entries(struct kmse_entry *to, size_t to_count,
                         struct kmse_key *key,
                         const struct kmse_snapshot *snapshot)
{
    for (size_t i = 0; i < key->entry_count && i < to_count; i++) {
        bool in_flight = key->entries[i].in_flight;
        if (kmse_keyfile_same_version(key->snapshot->file, snapshot->file, i)
            && snapshot->file->versions[i].state == KMSE_VERSION_ACTIVE) {
            to[i] = key->entries[i];
            key->entries[i] = (struct kmse_entry){0};
            /* A failure may be of the old file's copies: try the new. */
            to[i].failed_until_ms = 0;
            to[i].refresh_wanted = false;
        }
        to[i].in_flight = in_flight;
    }
}

/* What the last look found; the caller frees what the one before found. */
static struct kmse_why *locked_set_reload(struct kmse_key *key, kmse_st st,
                                          struct kmse_why *why)
{
    struct kmse_why *old = key->reload_why;
    key->reload_failed = st;
    key->reload_why = why;
    return old;
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
        kmse_snapshot_release(snapshot);
        return KMSE_ERR(KMSE_R_MEMORY);
    }

    pthread_mutex_lock(&key->mutex);
    struct kmse_snapshot *old = key->snapshot;
    kmse_st st = old == NULL
                     ? KMSE_OK
                     : check_not_older(key, old->file, snapshot->file, why);
    struct kmse_entry *old_entries = entries;
    size_t old_count = count;
    struct kmse_why *old_why = NULL;
    if (kmse_is_ok(st)) {
        move_entries(entries, count, key, snapshot);
        old_entries = key->entries;
        old_count = key->entry_count;
        key->entries = entries;
        key->entry_count = count;
        key->snapshot = snapshot;
        old_why = locked_set_reload(key, KMSE_OK, NULL);
        atomic_fetch_add(&key->generation, 1);
    } else {
        old = snapshot;
    }
    pthread_mutex_unlock(&key->mutex);

    for (size_t i = 0; i < old_count; i++)
        kmse_entry_wipe(&old_entries[i]);
    free(old_entries);
    free(old_why);
    kmse_snapshot_release(old);
    kmse_key_sweep_leases(key);
    return st;
}

static bool is_same_file(struct kmse_key *key,
                         const struct kmse_file_mark *mark)
{
    struct kmse_why *old_why = NULL;
    pthread_mutex_lock(&key->mutex);
    bool same = kmse_file_mark_equal(mark, &key->snapshot->mark);
    if (same)
        old_why = locked_set_reload(key, KMSE_OK, NULL);
    pthread_mutex_unlock(&key->mutex);
    free(old_why);
    return same;
}

static void remember_bad_file(struct kmse_key *key, kmse_st st,
                              const struct kmse_why *why)
{
    struct kmse_why *kept = malloc(sizeof(*kept));
    if (kept != NULL)
        *kept = *why;
    pthread_mutex_lock(&key->mutex);
    struct kmse_why *old_why = locked_set_reload(key, st, kept);
    pthread_mutex_unlock(&key->mutex);
    free(old_why);
}

/*
 * Look at the file, and read it if it changed. A bad new file is not used and
 * is remembered: cached data keys serve until they expire, no new one does.
 */
static void look_at_file(struct kmse_key *key)
{
    struct kmse_why why = {""};
    struct kmse_file_mark mark;
    if (key->is_carried)
        return;
    kmse_st st = kmse_keyfile_stat(key->environment->options.folder, key->name,
                                   &mark, &why);
    if (kmse_is_ok(st) && is_same_file(key, &mark))
        return;
    struct kmse_snapshot *snapshot = NULL;
    if (kmse_is_ok(st))
        st = snapshot_read(&snapshot, key, &why);
    if (kmse_is_ok(st))
        st = install(key, snapshot, &why);
    if (!kmse_is_ok(st))
        remember_bad_file(key, st, &why);
}

void kmse_key_look_at_file(struct kmse_key *key)
{
    int64_t began_s = kmse_key_wall_s(key);
    look_at_file(key);
    atomic_store(&key->looked_s, began_s);
}

bool kmse_key_is_look_due(const struct kmse_key *key)
{
    return kmse_key_coarse_ms(key) >= atomic_load(&key->next_stat_ms);
}

void kmse_key_look_at_file_if_due(struct kmse_key *key)
{
    uint64_t now = kmse_key_coarse_ms(key);
    uint64_t due = atomic_load(&key->next_stat_ms);
    int64_t second = kmse_key_wall_s(key);
    /*
     * One thread wins the exchange and looks, the others go on. Early in a
     * second as well: then the rest of it is calm.
     */
    if (atomic_exchange(&key->look_s, second) != second)
        atomic_store(&key->next_stat_ms, now + STAT_EVERY_MS);
    else if (now < due
             || !atomic_compare_exchange_strong(&key->next_stat_ms, &due,
                                                now + STAT_EVERY_MS))
        return;
    kmse_key_look_at_file(key);
}

kmse_st kmse_key_snapshot(struct kmse_key *key, struct kmse_snapshot **snapshot,
                          struct kmse_why *why)
{
    kmse_key_look_at_file(key);
    pthread_mutex_lock(&key->mutex);
    kmse_st st = key->reload_failed;
    if (kmse_is_ok(st))
        *snapshot = kmse_snapshot_acquire(key->snapshot);
    else if (why != NULL && key->reload_why != NULL)
        *why = *key->reload_why;
    pthread_mutex_unlock(&key->mutex);
    return st;
}

/* Without a file yet: kmse_key_free wants nothing of one. */
static kmse_st key_make(struct kmse_key **key, const char *name,
                        const struct kmse_key_environment *environment)
{
    struct kmse_key *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->environment = environment;
    memcpy(made->name, name, strlen(name));
    atomic_store(&made->next_stat_ms, kmse_key_coarse_ms(made) + STAT_EVERY_MS);
    atomic_store(&made->look_s, kmse_key_wall_s(made));
    atomic_store(&made->looked_s, kmse_key_wall_s(made));
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_condition_init(&made->landed);
    *key = made;
    return KMSE_OK;
}

kmse_st kmse_key_new(struct kmse_key **key, const char *name,
                     const struct kmse_key_environment *environment,
                     struct kmse_why *why)
{
    struct kmse_key *made = NULL;
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(key_make(&made, name, environment));
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

kmse_st kmse_key_new_carried(struct kmse_key **key, const char *name,
                             const char *json, size_t json_len,
                             const uint8_t digest[KMSE_HMAC_LEN],
                             const struct kmse_key_environment *environment,
                             struct kmse_why *why)
{
    struct kmse_key *made = NULL;
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(key_make(&made, name, environment));
    made->is_carried = true;
    memcpy(made->carried, digest, sizeof(made->carried));
    kmse_st st = snapshot_parse(&snapshot, name, json, json_len, why);
    if (kmse_is_ok(st))
        st = install(made, snapshot, why);
    if (!kmse_is_ok(st)) {
        kmse_key_free(made);
        return st;
    }
    *key = made;
    return KMSE_OK;
}

void kmse_key_print_origin(char out[KMSE_ORIGIN_LEN],
                           const struct kmse_key *key)
{
    if (key->is_carried)
        snprintf(out, KMSE_ORIGIN_LEN, "%s", KMSE_CARRIED_ORIGIN);
    else
        snprintf(out, KMSE_ORIGIN_LEN, "%s/%s.json",
                 key->environment->options.folder, key->name);
}

void kmse_key_free(struct kmse_key *key)
{
    if (key == NULL)
        return;
    kmse_key_free_lanes(key);
    for (size_t i = 0; i < key->entry_count; i++)
        kmse_entry_wipe(&key->entries[i]);
    free(key->entries);
    free(key->reload_why);
    kmse_snapshot_release(key->snapshot);
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

/* The parent tells the agent what it encrypted before the fork. */
static void forget_untold(struct kmse_datakey *datakey)
{
    if (datakey == NULL)
        return;
    datakey->usage.told.messages = datakey->usage.messages;
    datakey->usage.told.bytes = datakey->usage.bytes;
}

void kmse_key_child(struct kmse_key *key)
{
    /* The threads that were unwrapping, and those waiting, are not here. */
    key->refresh_wanted = false;
    for (size_t i = 0; i < key->entry_count; i++) {
        key->entries[i].in_flight = false;
        key->entries[i].refresh_wanted = false;
        forget_untold(key->entries[i].datakey);
    }
    kmse_condition_init(&key->landed);
    pthread_mutex_unlock(&key->mutex);
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
