/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_SECRET_H
#define KMSE_BASE_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { KMSE_SECRET_LEN = 32 };

/*
 * Memory for 32-byte keys: pages of our own between guard pages, locked where
 * RLIMIT_MEMLOCK allows, left out of core dumps, wiped when a key is released.
 * Not OpenSSL's secure heap: there is one a process, and it is its owner's.
 * A pool may be used by several threads. After fork the child has the keys
 * (pre-forking servers need that) but not the lock: kmse_pool_child.
 */
struct kmse_pool;

kmse_st kmse_pool_new(struct kmse_pool **pool) KMSE_MUST_CHECK;
void kmse_pool_free(struct kmse_pool *pool);
/* Whether every page is locked into memory. */
bool kmse_pool_is_locked(struct kmse_pool *pool);

/* For fork handlers: hold the pool's mutex over a fork; lock pages anew. */
void kmse_pool_prepare_fork(struct kmse_pool *pool);
void kmse_pool_parent(struct kmse_pool *pool);
void kmse_pool_child(struct kmse_pool *pool);

/* One key in a pool. bytes is NULL until kmse_secret_init. */
struct kmse_secret {
    struct kmse_pool *pool;
    uint8_t *bytes; /* KMSE_SECRET_LEN of them */
};

/* 32 zero bytes; KMSE_R_SECURE_MEMORY if the pool is full. */
kmse_st kmse_secret_init(struct kmse_secret *secret,
                         struct kmse_pool *pool) KMSE_MUST_CHECK;
/* Wipes, and gives the memory back. Wiping one never initialised is fine. */
void kmse_secret_wipe(struct kmse_secret *secret);
/* Moves the key out of *from, which is left empty. */
struct kmse_secret kmse_secret_take(struct kmse_secret *from);

#endif
