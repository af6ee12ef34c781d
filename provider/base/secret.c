/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of key memory. */
#include "base/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/pages.h"

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
    struct kmse_pages pages; /* ARENA_BYTES */
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
    kmse_pages_wipe(&arena->pages);
    free(arena);
}

static struct arena *arena_new(void)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL)
        return NULL;
    if (!kmse_is_ok(kmse_pages_init(&arena->pages, ARENA_BYTES))) {
        free(arena);
        return NULL;
    }
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
        locked = locked && a->pages.locked;
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
        kmse_pages_lock(&a->pages);
    pthread_mutex_unlock(&pool->mutex);
}

static uint8_t *locked_take_slot(struct arena *arena)
{
    for (size_t i = 0; i < ARENA_SLOTS; i++) {
        if (!arena->used[i]) {
            arena->used[i] = true;
            return arena->pages.bytes + i * KMSE_SECRET_LEN;
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
        if (secret->bytes >= a->pages.bytes
            && secret->bytes < a->pages.bytes + ARENA_BYTES)
            a->used[(size_t)(secret->bytes - a->pages.bytes)
                    / KMSE_SECRET_LEN] = false;
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
