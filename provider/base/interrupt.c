/* SPDX-License-Identifier: Apache-2.0 */
/* Getting a thread of ours out of what it waits for. */
#include "base/interrupt.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "base/condition.h"

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

static _Thread_local struct kmse_interrupt *current;

kmse_st kmse_interrupt_init(struct kmse_interrupt *interrupt)
{
    *interrupt = (struct kmse_interrupt){.raised = false};
    if (pthread_mutex_init(&interrupt->mutex, NULL) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_condition_init(&interrupt->changed) != 0) {
        pthread_mutex_destroy(&interrupt->mutex);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
}

void kmse_interrupt_destroy(struct kmse_interrupt *interrupt)
{
    pthread_cond_destroy(&interrupt->changed);
    pthread_mutex_destroy(&interrupt->mutex);
}

void kmse_interrupt_raise(struct kmse_interrupt *interrupt)
{
    pthread_mutex_lock(&interrupt->mutex);
    interrupt->raised = true;
    if (interrupt->wake != NULL)
        interrupt->wake(interrupt->wake_arg);
    pthread_cond_broadcast(&interrupt->changed);
    pthread_mutex_unlock(&interrupt->mutex);
}

void kmse_interrupt_clear(struct kmse_interrupt *interrupt)
{
    pthread_mutex_lock(&interrupt->mutex);
    interrupt->raised = false;
    pthread_mutex_unlock(&interrupt->mutex);
}

bool kmse_interrupt_is_raised(struct kmse_interrupt *interrupt)
{
    if (interrupt == NULL)
        return false;
    pthread_mutex_lock(&interrupt->mutex);
    bool raised = interrupt->raised;
    pthread_mutex_unlock(&interrupt->mutex);
    return raised;
}

struct kmse_interrupt *kmse_interrupt_current(void)
{
    return current;
}

void kmse_interrupt_set_current(struct kmse_interrupt *interrupt)
{
    current = interrupt;
}

void kmse_interrupt_watch(struct kmse_interrupt *interrupt,
                          void (*wake)(void *arg), void *arg)
{
    if (interrupt == NULL)
        return;
    pthread_mutex_lock(&interrupt->mutex);
    interrupt->wake = wake;
    interrupt->wake_arg = arg;
    if (interrupt->raised)
        wake(arg);
    pthread_mutex_unlock(&interrupt->mutex);
}

void kmse_interrupt_unwatch(struct kmse_interrupt *interrupt)
{
    if (interrupt == NULL)
        return;
    pthread_mutex_lock(&interrupt->mutex);
    interrupt->wake = NULL;
    interrupt->wake_arg = NULL;
    pthread_mutex_unlock(&interrupt->mutex);
}

static void sleep_uninterrupted(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / MS_PER_S),
                            (long)(ms % MS_PER_S) * NS_PER_MS};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

void kmse_interrupt_sleep(struct kmse_interrupt *interrupt, uint64_t ms)
{
    if (interrupt == NULL) {
        sleep_uninterrupted(ms);
        return;
    }
    const struct timespec end = kmse_condition_deadline(ms);
    int error = 0;
    pthread_mutex_lock(&interrupt->mutex);
    while (!interrupt->raised && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&interrupt->changed, &interrupt->mutex,
                                       &end);
    pthread_mutex_unlock(&interrupt->mutex);
}
