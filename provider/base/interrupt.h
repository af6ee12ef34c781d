/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_INTERRUPT_H
#define KMSE_BASE_INTERRUPT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/*
 * A thread of ours that waits for a KMS must give up at once when the host
 * forks or ends. What blocks looks at the interrupt of its thread; threads of
 * the host have none and are never interrupted.
 */
struct kmse_interrupt {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool raised;
    void (*wake)(void *arg); /* ends what the thread blocks in, or NULL */
    void *wake_arg;
};

kmse_st kmse_interrupt_init(struct kmse_interrupt *interrupt) KMSE_MUST_CHECK;
void kmse_interrupt_destroy(struct kmse_interrupt *interrupt);

void kmse_interrupt_raise(struct kmse_interrupt *interrupt);
void kmse_interrupt_clear(struct kmse_interrupt *interrupt);
bool kmse_interrupt_is_raised(struct kmse_interrupt *interrupt);

/* The calling thread's own; NULL: it has none. */
struct kmse_interrupt *kmse_interrupt_current(void);
void kmse_interrupt_set_current(struct kmse_interrupt *interrupt);

/*
 * Around a call that blocks: wake(arg) is called by whoever raises it, at once
 * if it is raised already. interrupt may be NULL.
 */
void kmse_interrupt_watch(struct kmse_interrupt *interrupt,
                          void (*wake)(void *arg), void *arg);
void kmse_interrupt_unwatch(struct kmse_interrupt *interrupt);

/* Sleep that long, or until it is raised. interrupt may be NULL. */
void kmse_interrupt_sleep(struct kmse_interrupt *interrupt, uint64_t ms);

#endif
