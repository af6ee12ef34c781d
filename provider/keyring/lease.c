/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: what makes a message cost no lock, no allocation, no random bytes. */
#include "keyring/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "keyring/handles.h"
#include "keyring/key.h"

enum {
    GRANT_MESSAGES = 256,
    GRANT_BYTES = 1 << 20,
    /* Near a limit grants shrink, so that it is met and not missed. */
    GRANT_SHARE = 64,
};

/* --- idle leases -------------------------------------------------------- */

/* Threads' own numbers lie a stack apart: multiply to spread them. */
static struct kmse_lane *_Atomic *lane_of_thread(struct kmse_key *key)
{
    enum { DROP_LOW_BITS = 6, KEEP_HIGH_BITS = 64 - 3 };
    uint64_t self = (uint64_t)(uintptr_t)pthread_self();
    uint64_t mixed = (self >> DROP_LOW_BITS) * 0x9E3779B97F4A7C15U;
    return &key->lanes[mixed >> KEEP_HIGH_BITS];
}
_Static_assert(KMSE_LANES == 8, "lane_of_thread keeps three bits");

/* NULL: no memory. */
static struct kmse_lane *make_lane(struct kmse_lane *_Atomic *place)
{
    struct kmse_lane *there = NULL;
    struct kmse_lane *made =
        aligned_alloc(_Alignof(struct kmse_lane), sizeof(struct kmse_lane));
    if (made == NULL)
        return NULL;
    for (size_t i = 0; i < KMSE_LANE_SLOTS; i++)
        atomic_init(&made->slots[i], NULL);
    if (atomic_compare_exchange_strong(place, &there, made))
        return made;
    free(made); /* another thread of that lane was first */
    return there;
}

static _Atomic(struct kmse_lease *) *
slot_in(struct kmse_lane *lane, enum kmse_direction direction, uint32_t version)
{
    if (direction == KMSE_SEAL)
        return &lane->slots[0];
    return &lane->slots[1 + version % KMSE_LANE_OPEN];
}

static struct kmse_lease *
take_idle(struct kmse_key *key, enum kmse_direction direction, uint32_t version)
{
    struct kmse_lane *lane =
        atomic_load_explicit(lane_of_thread(key), memory_order_acquire);
    return lane == NULL
               ? NULL
               : atomic_exchange(slot_in(lane, direction, version), NULL);
}

/* What has no place, or had it until now. */
static struct kmse_lease *put_idle(struct kmse_lease *lease)
{
    struct kmse_lane *_Atomic *place = lane_of_thread(lease->key);
    struct kmse_lane *lane = atomic_load_explicit(place, memory_order_acquire);
    if (lane == NULL)
        lane = make_lane(place);
    if (lane == NULL)
        return lease;
    return atomic_exchange(
        slot_in(lane, lease->direction, lease->datakey->version), lease);
}

/* A message costs no atomic: a lease counts for itself, and tells at times. */
static void locked_count(struct kmse_lease *lease)
{
    lease->key->numbers.hits += lease->hits;
    lease->hits = 0;
}

static void count(struct kmse_lease *lease)
{
    if (lease == NULL || lease->hits == 0)
        return;
    pthread_mutex_lock(&lease->key->mutex);
    locked_count(lease);
    pthread_mutex_unlock(&lease->key->mutex);
}

/* What was granted and not used is not lost to the limits; nonces are. */
static void lease_free(struct kmse_lease *lease)
{
    if (lease == NULL)
        return;
    pthread_mutex_lock(&lease->key->mutex);
    lease->datakey->usage.messages -= lease->nonces_left;
    lease->datakey->usage.bytes -= lease->bytes_left;
    locked_count(lease);
    pthread_mutex_unlock(&lease->key->mutex);
    kmse_gcm_free(lease->gcm);
    kmse_siv_free(lease->siv);
    kmse_hmac_free(lease->index);
    kmse_datakey_release(lease->datakey);
    free(lease);
}

void kmse_lease_give_back(struct kmse_lease **lease)
{
    struct kmse_lease *idle = *lease;
    *lease = NULL;
    if (idle == NULL)
        return;
    if (kmse_key_is_current(idle->key, &idle->asked))
        idle = put_idle(idle);
    lease_free(idle);
}

/* keep: whether a lease goes back to its slot. */
static void for_each_idle(struct kmse_key *key,
                          bool (*keep)(struct kmse_lease *lease))
{
    for (size_t i = 0; i < KMSE_LANES; i++) {
        struct kmse_lane *lane = atomic_load(&key->lanes[i]);
        for (size_t j = 0; lane != NULL && j < KMSE_LANE_SLOTS; j++) {
            struct kmse_lease *lease = atomic_exchange(&lane->slots[j], NULL);
            if (lease != NULL && keep(lease))
                lease = atomic_exchange(&lane->slots[j], lease);
            lease_free(lease);
        }
    }
}

static bool keep_current(struct kmse_lease *lease)
{
    return kmse_key_is_current(lease->key, &lease->asked);
}

void kmse_key_sweep_leases(struct kmse_key *key)
{
    kmse_handles_forget(key->environment->handles, key);
    for_each_idle(key, keep_current);
}

static bool count_and_keep(struct kmse_lease *lease)
{
    count(lease);
    return true;
}

void kmse_key_count_leases(struct kmse_key *key)
{
    for_each_idle(key, count_and_keep);
}

static bool keep_none(struct kmse_lease *lease)
{
    (void)lease;
    return false;
}

void kmse_key_free_lanes(struct kmse_key *key)
{
    for_each_idle(key, keep_none);
    for (size_t i = 0; i < KMSE_LANES; i++)
        free(atomic_load(&key->lanes[i]));
}

/* --- taking a lease ----------------------------------------------------- */

static bool is_for(const struct kmse_lease *lease, const struct kmse_key *key,
                   enum kmse_direction direction, uint32_t version)
{
    return lease != NULL && lease->key == key && lease->direction == direction
           && (version == 0 || lease->datakey->version == version);
}

static kmse_st lease_new(struct kmse_lease **lease, struct kmse_key *key,
                         enum kmse_direction direction,
                         struct kmse_datakey *datakey)
{
    struct kmse_lease *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->key = key;
    made->direction = direction;
    made->datakey = kmse_datakey_acquire(datakey);
    kmse_st st = kmse_gcm_new(&made->gcm, key->environment->crypto,
                              datakey->message_key.bytes, direction);
    if (!kmse_is_ok(st)) {
        lease_free(made);
        return st;
    }
    *lease = made;
    return KMSE_OK;
}

/* Ask the key again: is this still the data key to use? */
static kmse_st renew(struct kmse_lease **lease, struct kmse_key *key,
                     enum kmse_direction direction, uint32_t version,
                     struct kmse_why *why)
{
    struct kmse_asked asked;
    struct kmse_datakey *datakey = NULL;
    kmse_st st = kmse_key_datakey(key, version, &datakey, &asked, why);
    if (kmse_is_ok(st) && *lease != NULL && (*lease)->datakey != datakey) {
        lease_free(*lease);
        *lease = NULL;
    }
    if (kmse_is_ok(st) && *lease == NULL)
        st = lease_new(lease, key, direction, datakey);
    kmse_datakey_release(datakey);
    if (!kmse_is_ok(st)) {
        lease_free(*lease);
        *lease = NULL;
        return st;
    }
    (*lease)->asked = asked;
    return KMSE_OK;
}

static kmse_st take(struct kmse_lease **lease, struct kmse_key *key,
                    enum kmse_direction direction, uint32_t version,
                    struct kmse_why *why)
{
    if (!is_for(*lease, key, direction, version)) {
        kmse_lease_give_back(lease);
        struct kmse_lease *idle = take_idle(key, direction, version);
        if (is_for(idle, key, direction, version))
            *lease = idle;
        else
            lease_free(idle);
    }
    if (*lease != NULL && kmse_key_is_fresh(key, &(*lease)->asked)) {
        (*lease)->hits++;
        return KMSE_OK;
    }
    count(*lease);
    return renew(lease, key, direction, version, why);
}

kmse_st kmse_lease_newest(struct kmse_lease **lease, struct kmse_key *key,
                          struct kmse_why *why)
{
    return take(lease, key, KMSE_SEAL, 0, why);
}

kmse_st kmse_lease_version(struct kmse_lease **lease, struct kmse_key *key,
                           uint32_t version, struct kmse_why *why)
{
    return take(lease, key, KMSE_OPEN, version, why);
}

/*
 * The message goes on with the data key object that it began with, also where
 * the key by now has another one of that version: the next message takes that.
 */
static kmse_st check_again(struct kmse_lease *lease, struct kmse_why *why)
{
    struct kmse_key *key = lease->key;
    struct kmse_asked asked;
    struct kmse_datakey *datakey = NULL;
    KMSE_TRY(
        kmse_key_datakey(key, lease->datakey->version, &datakey, &asked, why));
    if (datakey == lease->datakey)
        lease->asked = asked;
    kmse_datakey_release(datakey);
    return KMSE_OK;
}

kmse_st kmse_lease_check(struct kmse_lease *lease, struct kmse_why *why)
{
    /* The clock as well: in a message that takes long, nothing else looks. */
    return kmse_key_is_fresh(lease->key, &lease->asked)
               ? KMSE_OK
               : check_again(lease, why);
}

/* --- nonces and limits -------------------------------------------------- */

static uint64_t grant_size(uint64_t used, uint64_t limit, uint64_t most)
{
    uint64_t left = used < limit ? limit - used : 0;
    uint64_t share = left / GRANT_SHARE;
    if (share > most)
        return most;
    return share > 0 ? share : left > 0 ? 1 : 0;
}

static kmse_st limit_reached(const struct kmse_lease *lease, const char *what,
                             uint64_t limit, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_KEY_LIMIT,
                     "key %s, version %u: max-%s %llu; "
                     "kms-envelope rotate %s",
                     lease->key->name, lease->datakey->version, what,
                     (unsigned long long)limit, lease->key->name);
}

static bool locked_grant_nonces(struct kmse_lease *lease, uint64_t limit)
{
    struct kmse_usage *usage = &lease->datakey->usage;
    uint64_t count = grant_size(usage->messages, limit, GRANT_MESSAGES);
    if (count == 0)
        return false;
    memcpy(lease->nonce, usage->nonce_start, KMSE_NONCE_LEN);
    kmse_nonce_add(lease->nonce, usage->nonces);
    usage->nonces += count;
    usage->messages += count;
    lease->nonces_left = count;
    lease->fork_generation = usage->fork_generation;
    return true;
}

/* A forked child has its parent's numbers; it must draw a start of its own. */
static void locked_start_over(struct kmse_usage *usage, uint64_t generation,
                              const uint8_t start[KMSE_NONCE_LEN])
{
    if (usage->fork_generation == generation)
        return;
    memcpy(usage->nonce_start, start, KMSE_NONCE_LEN);
    usage->nonces = 0;
    usage->fork_generation = generation;
}

static kmse_st grant_nonces(struct kmse_lease *lease, struct kmse_why *why)
{
    struct kmse_key *key = lease->key;
    uint64_t generation = kmse_fork_generation(key->environment->fork);
    uint8_t start[KMSE_NONCE_LEN];
    struct kmse_usage *usage = &lease->datakey->usage;

    pthread_mutex_lock(&key->mutex);
    bool forked = usage->fork_generation != generation;
    pthread_mutex_unlock(&key->mutex);
    if (forked)
        KMSE_TRY(
            kmse_crypto_random(key->environment->crypto, start, sizeof(start)));

    pthread_mutex_lock(&key->mutex);
    usage->messages -= lease->nonces_left;
    lease->nonces_left = 0;
    locked_start_over(usage, generation, start);
    uint64_t limit = kmse_key_locked_policy(key).max_messages;
    bool granted = locked_grant_nonces(lease, limit);
    pthread_mutex_unlock(&key->mutex);
    return granted ? KMSE_OK : limit_reached(lease, "messages", limit, why);
}

kmse_st kmse_lease_take_nonce(struct kmse_lease *lease,
                              uint8_t nonce[KMSE_NONCE_LEN],
                              struct kmse_why *why)
{
    if (lease->nonces_left == 0
        || lease->fork_generation
               != kmse_fork_generation(lease->key->environment->fork))
        KMSE_TRY(grant_nonces(lease, why));
    memcpy(nonce, lease->nonce, KMSE_NONCE_LEN);
    kmse_nonce_add(lease->nonce, 1);
    lease->nonces_left--;
    return KMSE_OK;
}

kmse_st kmse_lease_check_process(const struct kmse_lease *lease,
                                 struct kmse_why *why)
{
    if (lease->fork_generation
        == kmse_fork_generation(lease->key->environment->fork))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_STATE,
                     "an encrypting context cannot go on in a forked child: "
                     "the parent's has the same nonce");
}

/* Its number stays unused: messages and numbers are granted as one. */
kmse_st kmse_lease_take_message(struct kmse_lease *lease, struct kmse_why *why)
{
    uint8_t unused[KMSE_NONCE_LEN];
    return kmse_lease_take_nonce(lease, unused, why);
}

kmse_st kmse_lease_take_bytes(struct kmse_lease *lease, uint64_t len,
                              struct kmse_why *why)
{
    if (len > lease->bytes_left) {
        struct kmse_key *key = lease->key;
        struct kmse_usage *usage = &lease->datakey->usage;
        uint64_t needed = len - lease->bytes_left;
        pthread_mutex_lock(&key->mutex);
        uint64_t limit = kmse_key_locked_policy(key).max_bytes;
        uint64_t left = usage->bytes < limit ? limit - usage->bytes : 0;
        bool granted = needed <= left;
        if (granted) {
            uint64_t size = grant_size(usage->bytes, limit, GRANT_BYTES);
            size = size > needed ? size : needed;
            usage->bytes += size;
            lease->bytes_left += size;
        }
        pthread_mutex_unlock(&key->mutex);
        if (!granted)
            return limit_reached(lease, "bytes", limit, why);
    }
    lease->bytes_left -= len;
    return KMSE_OK;
}
