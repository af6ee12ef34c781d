/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_LEGACY_H
#define KMSE_GLUE_LEGACY_H

#include "base/status.h"
#include "keyring/ring.h"

/*
 * EVP_get_cipherbyname - PHP, Ruby, Node, Lua call it - looks only into
 * libcrypto's legacy name table, where provider ciphers are not. We put ours
 * there: a cipher fetched from a second, built-in registration of the same
 * implementation in a private library context.
 *
 * The table gives out its pointers uncounted, so nobody can know when the last
 * user is gone: cipher and context are made once a process and never freed.
 * Contexts made from it use the ring of the instance added first and not yet
 * removed; with none left they refuse to be made.
 */
struct kmse_legacy_instance {
    struct kmse_ring *ring; /* borrowed until removed */
    struct kmse_legacy_instance *next;
};

kmse_st kmse_legacy_add(struct kmse_legacy_instance *instance) KMSE_MUST_CHECK;
/* Removing one that was never added is fine. */
void kmse_legacy_remove(struct kmse_legacy_instance *instance);
/* With a reference for the caller; NULL if no instance is left. */
struct kmse_ring *kmse_legacy_acquire_ring(void);

#endif
