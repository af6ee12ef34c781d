/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CONDITION_H
#define KMSE_BASE_CONDITION_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/*
 * Condition variables whose deadlines a set clock does not move: they are of
 * CLOCK_MONOTONIC. As pthread_cond_init, 0 or what went wrong.
 */
int kmse_condition_init(pthread_cond_t *condition);

/* For pthread_cond_timedwait on such a one: that long from now. */
struct timespec kmse_condition_deadline(uint64_t ms);

#endif
