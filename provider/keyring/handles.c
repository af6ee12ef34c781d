/* SPDX-License-Identifier: Apache-2.0 */
/* The handles that a ring has seen: whose they are, and their AES keys. */
#include "keyring/handles.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "keyring/key.h"

enum {
    /* As many as programs have; a further one takes the place of the oldest. */
    HANDLES_MAX = 32,
};

struct entry {
    struct kmse_secret handle; /* bytes NULL: the entry is empty */
    struct kmse_key *key;
    uint32_t version;
    struct kmse_datakey *datakey; /* that aes_key was derived from, or NULL */
    struct kmse_secret aes_key;
};

struct kmse_handles {
    struct kmse_pool *pool;
    pthread_mutex_t mutex; /* guards what follows; no I/O under it */
    struct entry entries[HANDLES_MAX];
    size_t oldest;
};

/* --- life --------------------------------------------------------------- */

kmse_st kmse_handles_new(struct kmse_handles **handles, struct kmse_pool *pool)
{
    struct kmse_handles *made = calloc(1, sizeof(*made));
    if (made == NULL || pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    made->pool = pool;
    *handles = made;
    return KMSE_OK;
}

static void forget_key(struct entry *entry)
{
    kmse_secret_wipe(&entry->aes_key);
    kmse_datakey_release(entry->datakey);
    entry->datakey = NULL;
}

static void entry_wipe(struct entry *entry)
{
    forget_key(entry);
    kmse_secret_wipe(&entry->handle);
    *entry = (struct entry){0};
}

void kmse_handles_free(struct kmse_handles *handles)
{
    if (handles == NULL)
        return;
    for (size_t i = 0; i < HANDLES_MAX; i++)
        entry_wipe(&handles->entries[i]);
    pthread_mutex_destroy(&handles->mutex);
    free(handles);
}

void kmse_handles_prepare_fork(struct kmse_handles *handles)
{
    pthread_mutex_lock(&handles->mutex);
}

void kmse_handles_after_fork(struct kmse_handles *handles)
{
    pthread_mutex_unlock(&handles->mutex);
}

void kmse_handles_forget(struct kmse_handles *handles,
                         const struct kmse_key *key)
{
    pthread_mutex_lock(&handles->mutex);
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        if (handles->entries[i].key == key)
            forget_key(&handles->entries[i]);
    }
    pthread_mutex_unlock(&handles->mutex);
}

/* --- whose it is -------------------------------------------------------- */

static struct entry *locked_find(struct kmse_handles *handles,
                                 const uint8_t handle[KMSE_HANDLE_LEN])
{
    for (size_t i = 0; i < HANDLES_MAX; i++) {
        struct entry *entry = &handles->entries[i];
        if (entry->handle.bytes != NULL
            && CRYPTO_memcmp(entry->handle.bytes, handle, KMSE_HANDLE_LEN) == 0)
            return entry;
    }
    return NULL;
}

static kmse_st locked_add(struct kmse_handles *handles,
                          const uint8_t handle[KMSE_HANDLE_LEN],
                          struct kmse_key *key, uint32_t version)
{
    struct entry *entry = &handles->entries[handles->oldest];
    if (locked_find(handles, handle) != NULL)
        return KMSE_OK; /* by another thread */
    entry_wipe(entry);
    KMSE_TRY(kmse_secret_init(&entry->handle, handles->pool));
    memcpy(entry->handle.bytes, handle, KMSE_HANDLE_LEN);
    entry->key = key;
    entry->version = version;
    handles->oldest = (handles->oldest + 1) % HANDLES_MAX;
    return KMSE_OK;
}

/* *version is 0 if it is none of this key's. */
static kmse_st search_file(uint32_t *version, struct kmse_crypto *crypto,
                           const struct kmse_keyfile *file,
                           const uint8_t handle[KMSE_HANDLE_LEN])
{
    *version = 0;
    for (size_t i = 0; i < file->version_count && *version == 0; i++) {
        bool fits = false;
        KMSE_TRY(kmse_handle_fits(&fits, handle, crypto, file->id,
                                  file->versions[i].number));
        *version = fits ? file->versions[i].number : 0;
    }
    return KMSE_OK;
}

/* A file that is bad is told only if none of the others has the handle. */
static kmse_st search(char *const *names, size_t count, size_t *found,
                      uint32_t *version, const struct kmse_key_environment *env,
                      const uint8_t handle[KMSE_HANDLE_LEN],
                      struct kmse_why *why)
{
    kmse_st failed = KMSE_OK;
    *version = 0;
    for (size_t i = 0; i < count && *version == 0; i++) {
        struct kmse_keyfile *file = NULL;
        kmse_st st = kmse_keyfile_read(&file, env->options.folder, names[i],
                                       NULL, kmse_is_ok(failed) ? why : NULL);
        if (kmse_is_ok(st))
            st = search_file(version, env->crypto, file, handle);
        kmse_keyfile_free(file);
        *found = i;
        if (kmse_is_ok(failed))
            failed = st;
    }
    if (*version != 0)
        return KMSE_OK;
    if (!kmse_is_ok(failed))
        return failed;
    return kmse_fail(why, KMSE_R_HANDLE,
                     "no key in %s has it: see kms-envelope handle NAME; is it"
                     " whole, and are these the key files it was made with?",
                     env->options.folder);
}

static kmse_st find_in_folder(struct kmse_ring *ring,
                              const struct kmse_key_environment *env,
                              const uint8_t handle[KMSE_HANDLE_LEN],
                              struct kmse_key **key, uint32_t *version,
                              struct kmse_why *why)
{
    char **names = NULL;
    size_t count = 0, found = 0;
    KMSE_TRY(kmse_keyfile_list(&names, &count, env->options.folder, why));
    kmse_st st = search(names, count, &found, version, env, handle, why);
    if (kmse_is_ok(st))
        st = kmse_ring_find(ring, names[found], key, why);
    kmse_keyfile_free_list(names, count);
    return st;
}

static kmse_st find(struct kmse_ring *ring,
                    const uint8_t handle[KMSE_HANDLE_LEN],
                    struct kmse_key **key, uint32_t *version,
                    struct kmse_why *why)
{
    struct kmse_handles *handles = kmse_ring_environment(ring)->handles;
    pthread_mutex_lock(&handles->mutex);
    const struct entry *entry = locked_find(handles, handle);
    if (entry != NULL) {
        *key = entry->key;
        *version = entry->version;
    }
    pthread_mutex_unlock(&handles->mutex);
    if (entry != NULL)
        return KMSE_OK;
    KMSE_TRY(find_in_folder(ring, kmse_ring_environment(ring), handle, key,
                            version, why));
    pthread_mutex_lock(&handles->mutex);
    kmse_st st = locked_add(handles, handle, *key, *version);
    pthread_mutex_unlock(&handles->mutex);
    return st;
}

/* --- its AES key -------------------------------------------------------- */

/* True if the AES key of that data key is at hand. */
static bool look_up(uint8_t aes_key[KMSE_SECRET_LEN],
                    struct kmse_handles *handles,
                    const uint8_t handle[KMSE_HANDLE_LEN],
                    const struct kmse_datakey *datakey)
{
    pthread_mutex_lock(&handles->mutex);
    const struct entry *entry = locked_find(handles, handle);
    bool is_there = entry != NULL && entry->datakey == datakey;
    if (is_there)
        memcpy(aes_key, entry->aes_key.bytes, KMSE_SECRET_LEN);
    pthread_mutex_unlock(&handles->mutex);
    return is_there;
}

/* One that cannot be kept is derived again. */
static void keep(const uint8_t aes_key[KMSE_SECRET_LEN],
                 struct kmse_handles *handles,
                 const uint8_t handle[KMSE_HANDLE_LEN],
                 struct kmse_datakey *datakey)
{
    pthread_mutex_lock(&handles->mutex);
    struct entry *entry = locked_find(handles, handle);
    if (entry != NULL
        && (entry->aes_key.bytes != NULL
            || kmse_is_ok(kmse_secret_init(&entry->aes_key, handles->pool)))) {
        kmse_datakey_release(entry->datakey);
        entry->datakey = kmse_datakey_acquire(datakey);
        memcpy(entry->aes_key.bytes, aes_key, KMSE_SECRET_LEN);
    }
    pthread_mutex_unlock(&handles->mutex);
}

static kmse_st get_aes_key(uint8_t aes_key[KMSE_SECRET_LEN],
                           struct kmse_ring *ring,
                           const uint8_t handle[KMSE_HANDLE_LEN],
                           struct kmse_datakey *datakey, struct kmse_why *why)
{
    struct kmse_handles *handles = kmse_ring_environment(ring)->handles;
    if (look_up(aes_key, handles, handle, datakey))
        return KMSE_OK;
    kmse_st st =
        kmse_handle_derive(aes_key, handle, kmse_ring_environment(ring)->crypto,
                           datakey->id, datakey->version, &datakey->data_key);
    if (st.reason == KMSE_R_HANDLE)
        return kmse_fail(why, st.reason,
                         "it has the form of one, but its key did not make it");
    KMSE_TRY(st);
    keep(aes_key, handles, handle, datakey);
    return KMSE_OK;
}

/* --- holds -------------------------------------------------------------- */

kmse_st kmse_hold_take(struct kmse_hold *hold, uint8_t aes_key[KMSE_SECRET_LEN],
                       struct kmse_ring *ring,
                       const uint8_t handle[KMSE_HANDLE_LEN],
                       struct kmse_why *why)
{
    struct kmse_hold taken = {0};
    uint32_t version = 0;
    KMSE_TRY(find(ring, handle, &taken.key, &version, why));
    KMSE_TRY(kmse_key_datakey(taken.key, version, &taken.datakey, &taken.asked,
                              why));
    kmse_st st = get_aes_key(aes_key, ring, handle, taken.datakey, why);
    if (kmse_is_ok(st))
        *hold = taken;
    else
        kmse_hold_drop(&taken);
    return st;
}

static kmse_st check_again(struct kmse_hold *hold, struct kmse_why *why)
{
    struct kmse_datakey *datakey = NULL;
    KMSE_TRY(kmse_key_datakey(hold->key, hold->datakey->version, &datakey,
                              &hold->asked, why));
    kmse_datakey_release(datakey);
    return KMSE_OK;
}

bool kmse_hold_is_fresh(const struct kmse_hold *hold)
{
    return kmse_key_is_fresh(hold->key, &hold->asked);
}

kmse_st kmse_hold_check(struct kmse_hold *hold, struct kmse_why *why)
{
    return kmse_hold_is_fresh(hold) ? KMSE_OK : check_again(hold, why);
}

void kmse_hold_copy(struct kmse_hold *copy, const struct kmse_hold *hold)
{
    *copy = *hold;
    if (copy->datakey != NULL)
        kmse_datakey_acquire(copy->datakey);
}

void kmse_hold_drop(struct kmse_hold *hold)
{
    kmse_datakey_release(hold->datakey);
    *hold = (struct kmse_hold){0};
}
