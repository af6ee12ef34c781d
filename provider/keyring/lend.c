/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent needs of its ring: data keys lent, and numbers. */
#include "keyring/cache.h"

#include <string.h>

#include "keyring/refresher.h"

/*
 * While the KMS is away a data key is lent for a second, and then again: who
 * borrowed it learns soon that the KMS is back, or what it says then.
 */
enum { STALE_LENT_MS = 1000 };

static kmse_st locked_check_id(const struct kmse_key *key,
                               const struct kmse_wanted *wanted,
                               struct kmse_why *why)
{
    if (memcmp(key->snapshot->file->id, wanted->id, KMSE_KEY_ID_LEN) == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NOT_FOUND,
                     "%s/%s.json of the agent is another key of that name, "
                     "with another id",
                     key->environment->options.folder, key->name);
}

static uint64_t left_ms(uint64_t end, uint64_t now)
{
    return end > now ? end - now : 0;
}

static void locked_set_terms(struct kmse_loan *loan,
                             const struct kmse_entry *entry, uint64_t now)
{
    uint64_t all = left_ms(entry->stale_until_ms, now);
    loan->fresh_ms = left_ms(entry->expires_ms, now);
    if (loan->fresh_ms == 0)
        loan->fresh_ms = all < STALE_LENT_MS ? all : STALE_LENT_MS;
    loan->stale_ms = all - loan->fresh_ms;
}

static kmse_st copy_data_key(struct kmse_loan *loan, struct kmse_pool *pool,
                             const struct kmse_datakey *datakey)
{
    KMSE_TRY(kmse_secret_init(&loan->data_key, pool));
    memcpy(loan->data_key.bytes, datakey->data_key.bytes, KMSE_SECRET_LEN);
    return KMSE_OK;
}

/* --- without I/O -------------------------------------------------------- */

static bool locked_needs_io(const struct kmse_key *key,
                            const struct kmse_wanted *wanted)
{
    size_t newest = key->snapshot->file->version_count;
    return !kmse_is_ok(locked_check_id(key, wanted, NULL))
           || wanted->version > newest
           || (wanted->version == newest
               && !atomic_load(&key->snapshot->mac_checked));
}

static enum kmse_lending locked_try(struct kmse_key *key,
                                    const struct kmse_wanted *wanted,
                                    struct kmse_loan *loan, kmse_st *st,
                                    struct kmse_why *why)
{
    if (locked_needs_io(key, wanted))
        return KMSE_LENDING_WAIT;
    *st = kmse_locked_check_state(key, wanted->version, why);
    if (!kmse_is_ok(*st))
        return KMSE_LENDING_DONE;
    struct kmse_entry *entry = kmse_locked_entry(key, wanted->version);
    uint64_t now = kmse_key_now_ms(key);
    if (!kmse_entry_may_serve(key, entry, now)) {
        *st = kmse_entry_failed(entry, now, why);
        return kmse_is_ok(*st) ? KMSE_LENDING_WAIT : KMSE_LENDING_DONE;
    }
    key->numbers.hits++;
    kmse_locked_served(key, entry, now);
    locked_set_terms(loan, entry, now);
    *st = copy_data_key(loan, key->environment->pool, entry->datakey);
    return KMSE_LENDING_DONE;
}

enum kmse_lending kmse_key_try_lend(struct kmse_key *key,
                                    const struct kmse_wanted *wanted,
                                    struct kmse_loan *loan, kmse_st *st,
                                    struct kmse_why *why)
{
    struct kmse_loan made = {.fresh_ms = 0};
    if (kmse_key_is_look_due(key))
        return KMSE_LENDING_LOOK;
    pthread_mutex_lock(&key->mutex);
    enum kmse_lending how = locked_try(key, wanted, &made, st, why);
    bool refresh = key->refresh_wanted;
    pthread_mutex_unlock(&key->mutex);
    /* If there is no thread to be had, it waits until the key has expired. */
    if (refresh)
        (void)kmse_refresher_wake(key->environment->refresher, key);
    if (how == KMSE_LENDING_DONE && kmse_is_ok(*st))
        *loan = made;
    return how;
}

void kmse_key_look(struct kmse_key *key)
{
    kmse_key_look_at_file_if_due(key);
}

/* --- with I/O ----------------------------------------------------------- */

/* The file may have been replaced by that of the other key just now. */
static kmse_st check_id(struct kmse_key *key, const struct kmse_wanted *wanted,
                        struct kmse_why *why)
{
    kmse_key_look_at_file_if_due(key);
    pthread_mutex_lock(&key->mutex);
    kmse_st st = locked_check_id(key, wanted, why);
    pthread_mutex_unlock(&key->mutex);
    if (kmse_is_ok(st))
        return st;
    kmse_key_look_at_file(key);
    pthread_mutex_lock(&key->mutex);
    st = locked_check_id(key, wanted, why);
    pthread_mutex_unlock(&key->mutex);
    return st;
}

static void set_terms(struct kmse_key *key, struct kmse_loan *loan,
                      const struct kmse_datakey *datakey)
{
    pthread_mutex_lock(&key->mutex);
    struct kmse_entry *entry = datakey->version <= key->entry_count
                                   ? kmse_locked_entry(key, datakey->version)
                                   : NULL;
    /* Given up meanwhile: for no time at all, so that the next asks again. */
    if (entry != NULL && entry->datakey == datakey)
        locked_set_terms(loan, entry, kmse_key_now_ms(key));
    pthread_mutex_unlock(&key->mutex);
}

kmse_st kmse_key_lend(struct kmse_key *key, const struct kmse_wanted *wanted,
                      struct kmse_loan *loan, struct kmse_why *why)
{
    struct kmse_datakey *datakey = NULL;
    struct kmse_loan made = {.fresh_ms = 0};
    KMSE_TRY(check_id(key, wanted, why));
    KMSE_TRY(kmse_key_datakey(key, wanted->version, &datakey, NULL, why));
    kmse_st st = copy_data_key(&made, key->environment->pool, datakey);
    if (kmse_is_ok(st)) {
        set_terms(key, &made, datakey);
        *loan = made;
    }
    kmse_datakey_release(datakey);
    return st;
}
