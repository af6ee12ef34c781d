/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of key memory. */
#include "base/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

/*
 * One arena is 16 KiB: several fit under the 64 KiB that older kernels let an
 * unprivileged process lock.
 */
enum {
    ARENA_BYTES = 16384,
    ARENA_SLOTS = ARENA_BYTES / KMSE_SECRET_LEN,
    ARENAS_MAX = 64,
};

struct arena {
    struct arena *next;
    uint8_t *mapping; /* guard page, ARENA_BYTES, guard page */
    size_t mapping_len;
    uint8_t *slots;
    bool locked;
    bool used[ARENA_SLOTS];
};

struct kmse_pool {
    pthread_mutex_t mutex; /* guards everything below */
    struct arena *arenas;
    unsigned arena_count;
};

static void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    OPENSSL_cleanse(arena->slots, ARENA_BYTES);
    munmap(arena->mapping, arena->mapping_len);
    free(arena);
}

static struct arena *arena_new(void)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL)
        return NULL;

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t data_len = (ARENA_BYTES + page - 1) / page * page;
    arena->mapping_len = data_len + 2 * page;
    void *mapping = mmap(NULL, arena->mapping_len, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        free(arena);
        return NULL;
    }
    arena->mapping = mapping;
    arena->slots = arena->mapping + page;
    /* Out of core dumps is a promise, locked is best effort: SECURITY.md. */
    if (mprotect(arena->slots, data_len, PROT_READ | PROT_WRITE) != 0
        || madvise(arena->slots, data_len, MADV_DONTDUMP) != 0) {
        munmap(mapping, arena->mapping_len);
        free(arena);
        return NULL;
    }
    arena->locked = mlock(arena->slots, ARENA_BYTES) == 0;
    return arena;
}

kmse_st kmse_pool_new(struct kmse_pool **pool)
{
    struct kmse_pool *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    *pool = made;
    return KMSE_OK;
}

void kmse_pool_free(struct kmse_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->arenas != NULL) {
        struct arena *next = pool->arenas->next;
        arena_free(pool->arenas);
        pool->arenas = next;
    }
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

bool kmse_pool_is_locked(struct kmse_pool *pool)
{
    bool locked = true;
    pthread_mutex_lock(&pool->mutex);
    for (const struct arena *a = pool->arenas; a != NULL; a = a->next)
        locked = locked && a->locked;
    pthread_mutex_unlock(&pool->mutex);
    return locked;
}

void kmse_pool_prepare_fork(struct kmse_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
}

void kmse_pool_parent(struct kmse_pool *pool)
{
    pthread_mutex_unlock(&pool->mutex);
}

void kmse_pool_child(struct kmse_pool *pool)
{
    for (struct arena *a = pool->arenas; a != NULL; a = a->next)
        a->locked = mlock(a->slots, ARENA_BYTES) == 0;
    pthread_mutex_unlock(&pool->mutex);
}

static uint8_t *locked_take_slot(struct arena *arena)
{
    for (size_t i = 0; i < ARENA_SLOTS; i++) {
        if (!arena->used[i]) {
            arena->used[i] = true;
            return arena->slots + i * KMSE_SECRET_LEN;
        }
    }
    return NULL;
}

static uint8_t *locked_take(struct kmse_pool *pool)
{
    for (struct arena *a = pool->arenas; a != NULL; a = a->next) {
        uint8_t *slot = locked_take_slot(a);
        if (slot != NULL)
            return slot;
    }
    if (pool->arena_count == ARENAS_MAX)
        return NULL;
    struct arena *arena = arena_new();
    if (arena == NULL)
        return NULL;
    arena->next = pool->arenas;
    pool->arenas = arena;
    pool->arena_count++;
    return locked_take_slot(arena);
}

kmse_st kmse_secret_init(struct kmse_secret *secret, struct kmse_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint8_t *slot = locked_take(pool);
    pthread_mutex_unlock(&pool->mutex);
    if (slot == NULL)
        return KMSE_ERR(KMSE_R_SECURE_MEMORY);
    *secret = (struct kmse_secret){.pool = pool, .bytes = slot};
    return KMSE_OK;
}

void kmse_secret_wipe(struct kmse_secret *secret)
{
    if (secret->bytes == NULL)
        return;
    OPENSSL_cleanse(secret->bytes, KMSE_SECRET_LEN);
    pthread_mutex_lock(&secret->pool->mutex);
    for (struct arena *a = secret->pool->arenas; a != NULL; a = a->next) {
        if (secret->bytes >= a->slots && secret->bytes < a->slots + ARENA_BYTES)
            a->used[(size_t)(secret->bytes - a->slots) / KMSE_SECRET_LEN] =
                false;
    }
    pthread_mutex_unlock(&secret->pool->mutex);
    *secret = (struct kmse_secret){0};
}

struct kmse_secret kmse_secret_take(struct kmse_secret *from)
{
    struct kmse_secret moved = *from;
    *from = (struct kmse_secret){0};
    return moved;
}
