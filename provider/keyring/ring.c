/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: finding keys by name, and coming through forks. */
#include "keyring/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keyring/cache.h"
#include "keyring/handles.h"
#include "keyring/refresher.h"

enum { BUCKETS = 64 };

struct kmse_ring {
    _Atomic unsigned references;
    struct kmse_key_environment environment;
    struct kmse_fork_hooks fork_hooks;
    bool fork_watched;
    /*
     * Keys are added under the mutex, found without it, and stay until the
     * ring goes: there are as many as there are files.
     */
    pthread_mutex_t mutex;
    struct kmse_key *_Atomic buckets[BUCKETS];
};

static void for_each_key(struct kmse_ring *ring,
                         void (*call)(struct kmse_key *key))
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct kmse_key *key = atomic_load(&ring->buckets[i]);
        while (key != NULL) {
            struct kmse_key *next = atomic_load(&key->next);
            call(key);
            key = next;
        }
    }
}

/* Locks in the order in which the rest of the code takes them. */
static void prepare_fork(void *arg)
{
    struct kmse_ring *ring = arg;
    kmse_refresher_pause(ring->environment.refresher);
    kmse_handles_prepare_fork(ring->environment.handles);
    pthread_mutex_lock(&ring->mutex);
    for_each_key(ring, kmse_key_prepare_fork);
    kmse_refresher_lock(ring->environment.refresher);
    kmse_kms_prepare_fork(ring->environment.kms);
    kmse_pool_prepare_fork(ring->environment.pool);
    kmse_crypto_prepare_fork(ring->environment.crypto);
}

static void after_fork_parent(void *arg)
{
    struct kmse_ring *ring = arg;
    kmse_crypto_after_fork(ring->environment.crypto);
    kmse_pool_parent(ring->environment.pool);
    kmse_kms_parent(ring->environment.kms);
    kmse_refresher_parent(ring->environment.refresher);
    for_each_key(ring, kmse_key_parent);
    pthread_mutex_unlock(&ring->mutex);
    kmse_handles_after_fork(ring->environment.handles);
}

static void after_fork_child(void *arg)
{
    struct kmse_ring *ring = arg;
    kmse_crypto_after_fork(ring->environment.crypto);
    kmse_pool_child(ring->environment.pool);
    kmse_kms_child(ring->environment.kms);
    kmse_refresher_child(ring->environment.refresher);
    for_each_key(ring, kmse_key_child);
    pthread_mutex_unlock(&ring->mutex);
    kmse_handles_after_fork(ring->environment.handles);
}

static void at_exit(void *arg)
{
    kmse_ring_stop(arg);
}

static kmse_st copy_options(struct kmse_ring_options *to,
                            const struct kmse_ring_options *from)
{
    *to = *from;
    to->default_key = NULL;
    to->kms = NULL; /* the KMS has its own copy */
    to->folder = strdup(from->folder);
    if (to->folder == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (from->default_key == NULL)
        return KMSE_OK;
    to->default_key = strdup(from->default_key);
    return to->default_key != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/* The options' strings are const to everybody but their owner. */
static void free_string(const char *string)
{
    union {
        const char *read_only;
        char *owned;
    } pointer = {.read_only = string};
    free(pointer.owned);
}

static void ring_free(struct kmse_ring *ring)
{
    if (ring->fork_watched)
        kmse_fork_unwatch(&ring->fork_hooks);
    kmse_refresher_free(ring->environment.refresher);
    kmse_handles_free(ring->environment.handles);
    for_each_key(ring, kmse_key_free);
    kmse_kms_free(ring->environment.kms);
    kmse_fork_free(ring->environment.fork);
    kmse_pool_free(ring->environment.pool);
    kmse_crypto_free(ring->environment.crypto);
    free_string(ring->environment.options.default_key);
    free_string(ring->environment.options.folder);
    pthread_mutex_destroy(&ring->mutex);
    free(ring);
}

static kmse_st ring_init(struct kmse_ring *ring,
                         const struct kmse_ring_options *options)
{
    struct kmse_key_environment *env = &ring->environment;
    KMSE_TRY(copy_options(&env->options, options));
    KMSE_TRY(kmse_pool_new(&env->pool));
    KMSE_TRY(kmse_handles_new(&env->handles, env->pool));
    KMSE_TRY(kmse_fork_new(&env->fork));
    KMSE_TRY(kmse_kms_new(&env->kms, env->crypto, env->pool, env->clock,
                          options->kms));
    KMSE_TRY(kmse_refresher_new(&env->refresher, kmse_key_refresh));
    ring->fork_hooks = (struct kmse_fork_hooks){
        .prepare = prepare_fork,
        .parent = after_fork_parent,
        .child = after_fork_child,
        .at_exit = at_exit,
        .arg = ring,
    };
    KMSE_TRY(kmse_fork_watch(&ring->fork_hooks));
    ring->fork_watched = true;
    return KMSE_OK;
}

kmse_st kmse_ring_new(struct kmse_ring **ring,
                      const struct kmse_ring_options *options,
                      struct kmse_crypto *crypto,
                      const struct kmse_clock *clock)
{
    struct kmse_ring *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        kmse_crypto_free(crypto);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    atomic_init(&made->references, 1);
    made->environment.crypto = crypto;
    made->environment.clock = clock;
    pthread_mutex_init(&made->mutex, NULL);
    kmse_st st = ring_init(made, options);
    if (!kmse_is_ok(st)) {
        ring_free(made);
        return st;
    }
    *ring = made;
    return KMSE_OK;
}

struct kmse_ring *kmse_ring_acquire(struct kmse_ring *ring)
{
    atomic_fetch_add_explicit(&ring->references, 1, memory_order_relaxed);
    return ring;
}

void kmse_ring_release(struct kmse_ring *ring)
{
    if (ring != NULL
        && atomic_fetch_sub_explicit(&ring->references, 1, memory_order_acq_rel)
               == 1)
        ring_free(ring);
}

kmse_st kmse_ring_ready(struct kmse_ring *ring)
{
    return kmse_crypto_ready(ring->environment.crypto);
}

kmse_st kmse_ring_algorithms(struct kmse_ring *ring,
                             struct kmse_algorithms *algorithms)
{
    return kmse_algorithms_ready(algorithms, ring->environment.crypto);
}

const struct kmse_key_environment *
kmse_ring_environment(const struct kmse_ring *ring)
{
    return &ring->environment;
}

const struct kmse_ring_options *
kmse_ring_get_options(const struct kmse_ring *ring)
{
    return &ring->environment.options;
}

void kmse_ring_stop(struct kmse_ring *ring)
{
    kmse_refresher_stop(ring->environment.refresher);
}

void kmse_ring_wait(struct kmse_ring *ring)
{
    kmse_refresher_wait(ring->environment.refresher);
}

uint64_t kmse_ring_kms_calls(const struct kmse_ring *ring)
{
    return kmse_kms_calls(ring->environment.kms);
}

const char *kmse_key_name(const struct kmse_key *key)
{
    return key->name;
}

/* FNV-1a: names are short and not secret. */
static size_t bucket_of(const char *name)
{
    uint32_t hash = 2166136261U;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    return hash % BUCKETS;
}

/* digest: of a key that was carried here, or NULL. */
static bool is_wanted(const struct kmse_key *key, const char *name,
                      const uint8_t *digest)
{
    return strcmp(key->name, name) == 0
           && (digest == NULL
                   ? !key->is_carried
                   : key->is_carried
                         && memcmp(key->carried, digest, KMSE_HMAC_LEN) == 0);
}

static struct kmse_key *lookup(struct kmse_ring *ring, const char *name,
                               const uint8_t *digest)
{
    struct kmse_key *key = atomic_load_explicit(&ring->buckets[bucket_of(name)],
                                                memory_order_acquire);
    while (key != NULL && !is_wanted(key, name, digest))
        key = atomic_load_explicit(&key->next, memory_order_acquire);
    return key;
}

/* Takes the key; another thread may have added one of that name meanwhile. */
static struct kmse_key *add(struct kmse_ring *ring, struct kmse_key *key)
{
    pthread_mutex_lock(&ring->mutex);
    struct kmse_key *there =
        lookup(ring, key->name, key->is_carried ? key->carried : NULL);
    if (there == NULL) {
        struct kmse_key *_Atomic *bucket = &ring->buckets[bucket_of(key->name)];
        atomic_store(&key->next, atomic_load(bucket));
        atomic_store_explicit(bucket, key, memory_order_release);
        there = key;
        key = NULL;
    }
    pthread_mutex_unlock(&ring->mutex);
    kmse_key_free(key);
    return there;
}

struct kmse_key *kmse_ring_find_loaded(struct kmse_ring *ring, const char *name)
{
    return lookup(ring, name, NULL);
}

kmse_st kmse_ring_find(struct kmse_ring *ring, const char *name,
                       struct kmse_key **key, struct kmse_why *why)
{
    const struct kmse_ring_options *options = &ring->environment.options;
    if (name[0] == '\0') {
        if (options->default_key == NULL)
            return kmse_fail(why, KMSE_R_KEY_NAME,
                             "no key was named and openssl.cnf has no "
                             "default-key");
        name = options->default_key;
    }
    struct kmse_key *found = lookup(ring, name, NULL);
    if (found == NULL) {
        if (!kmse_key_name_is_valid(name))
            return kmse_fail(why, KMSE_R_KEY_NAME,
                             "\"%s\" is not a key's name ([a-z0-9._-], at "
                             "most %d)",
                             name, KMSE_KEY_NAME_MAX);
        KMSE_TRY(kmse_key_new(&found, name, &ring->environment, why));
        found = add(ring, found);
    }
    *key = found;
    return KMSE_OK;
}

kmse_st kmse_ring_find_carried(struct kmse_ring *ring, const char *name,
                               const char *json, size_t json_len,
                               struct kmse_key **key, struct kmse_why *why)
{
    uint8_t digest[KMSE_HMAC_LEN];
    const struct kmse_key_environment *environment = &ring->environment;
    KMSE_TRY(kmse_crypto_sha256(environment->crypto, digest,
                                (const uint8_t *)json, json_len));
    struct kmse_key *found = lookup(ring, name, digest);
    if (found == NULL) {
        KMSE_TRY(kmse_key_new_carried(&found, name, json, json_len, digest,
                                      environment, why));
        found = add(ring, found);
    }
    *key = found;
    return KMSE_OK;
}

struct kmse_rotation kmse_ring_rotation(const struct kmse_ring *ring)
{
    const struct kmse_key_environment *environment = &ring->environment;
    return (struct kmse_rotation){
        .crypto = environment->crypto,
        .pool = environment->pool,
        .kms = environment->kms,
        .clock = environment->clock,
        .folder = environment->options.folder,
    };
}

/* --- numbers ------------------------------------------------------------ */

bool kmse_ring_is_locked(struct kmse_ring *ring)
{
    struct kmse_secret probe = {0};
    /* A pool without a page has nothing that could be unlocked. */
    bool is_locked =
        kmse_is_ok(kmse_secret_init(&probe, ring->environment.pool))
        && kmse_pool_is_locked(ring->environment.pool);
    kmse_secret_wipe(&probe);
    return is_locked;
}

static void tidy(struct kmse_key *key)
{
    uint64_t generation = atomic_load(&key->generation);
    pthread_mutex_lock(&key->mutex);
    kmse_locked_drop_expired(key);
    pthread_mutex_unlock(&key->mutex);
    if (atomic_load(&key->generation) != generation)
        kmse_key_sweep_leases(key);
}

void kmse_ring_tidy(struct kmse_ring *ring)
{
    for_each_key(ring, tidy);
}

void kmse_ring_get_numbers(struct kmse_ring *ring, struct kmse_numbers *numbers)
{
    struct kmse_numbers sum = {0};
    for (size_t i = 0; i < BUCKETS; i++) {
        struct kmse_key *key = atomic_load(&ring->buckets[i]);
        for (; key != NULL; key = atomic_load(&key->next)) {
            kmse_key_count_leases(key);
            pthread_mutex_lock(&key->mutex);
            sum.unwraps += key->numbers.unwraps;
            sum.failures += key->numbers.failures;
            sum.hits += key->numbers.hits;
            sum.misses += key->numbers.misses;
            sum.stale_serves += key->numbers.stale_serves;
            pthread_mutex_unlock(&key->mutex);
        }
    }
    *numbers = sum;
}

static bool locked_describe(struct kmse_cached *cached,
                            const struct kmse_key *key,
                            const struct kmse_entry *entry)
{
    int64_t now = (int64_t)kmse_key_now_ms(key);
    if (entry->datakey == NULL)
        return false;
    *cached = (struct kmse_cached){
        .key = key->name,
        .version = entry->datakey->version,
        .fresh_ms = (int64_t)entry->expires_ms - now,
        .serves_ms = (int64_t)entry->stale_until_ms - now,
        .failures = entry->failures,
        .messages = entry->datakey->usage.messages,
        .bytes = entry->datakey->usage.bytes,
    };
    return true;
}

static void
visit_key(struct kmse_key *key,
          void (*visit)(void *arg, const struct kmse_cached *cached), void *arg)
{
    for (size_t i = 0;; i++) {
        struct kmse_cached cached;
        pthread_mutex_lock(&key->mutex);
        bool more = i < key->entry_count;
        bool is_cached =
            more && locked_describe(&cached, key, &key->entries[i]);
        pthread_mutex_unlock(&key->mutex);
        if (!more)
            return;
        if (is_cached)
            visit(arg, &cached);
    }
}

void kmse_ring_visit(struct kmse_ring *ring,
                     void (*visit)(void *arg, const struct kmse_cached *cached),
                     void *arg)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct kmse_key *key = atomic_load(&ring->buckets[i]);
        for (; key != NULL; key = atomic_load(&key->next))
            visit_key(key, visit, arg);
    }
}
