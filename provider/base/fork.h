/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_FORK_H
#define KMSE_BASE_FORK_H

#include <stdint.h>

#include "base/status.h"

/*
 * Three needs of a library whose host forks, and ends.
 *
 * struct kmse_fork: did a fork happen since I last looked? A page that the
 * kernel wipes in every child (MADV_WIPEONFORK) answers in one load, also for
 * children made behind libc's back (_Fork, clone). Nonces hang on it.
 */
struct kmse_fork;

kmse_st kmse_fork_new(struct kmse_fork **fork) KMSE_MUST_CHECK;
void kmse_fork_free(struct kmse_fork *fork);
/* A number that differs between a process and each of its descendants. */
uint64_t kmse_fork_generation(struct kmse_fork *fork);

/*
 * struct kmse_fork_hooks: hold my locks over a fork (pthread_atfork), so that
 * the child of a threaded process finds them free and what they guard whole.
 * And at_exit (or NULL): stop my threads, for OPENSSL_cleanup begins and all of
 * libcrypto is still there. The caller owns the struct; it stays in place from
 * watch to unwatch.
 */
struct kmse_fork_hooks {
    void (*prepare)(void *arg);
    void (*parent)(void *arg);
    void (*child)(void *arg);
    void (*at_exit)(void *arg);
    void *arg;
    struct kmse_fork_hooks *next, *previous; /* the list's own */
};

/*
 * Threads may watch the same hooks at once: they are there for each of them
 * that comes back. KMSE_R_INTERRUPTED once the process ends, for at_exit would
 * not be called.
 */
kmse_st kmse_fork_watch(struct kmse_fork_hooks *hooks) KMSE_MUST_CHECK;
void kmse_fork_unwatch(struct kmse_fork_hooks *hooks);

/*
 * Of one lock of the process: under it others may call the two above, so it is
 * taken before what they take, at a fork and at the end. For ever; the same
 * hooks each time. KMSE_R_MEMORY.
 */
kmse_st
kmse_fork_watch_outermost(struct kmse_fork_hooks *hooks) KMSE_MUST_CHECK;

#endif
