/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that refreshes data keys ahead of their expiry. */
#include "keyring/refresher.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/condition.h"
#include "base/interrupt.h"
#include "keyring/key.h"

/*
 * A fork waits that long for the thread to end, which takes a moment once it
 * is interrupted. What cannot be interrupted (a name server that is silent)
 * must not stop the host.
 */
enum { PAUSE_MAX_MS = 2000 };

struct kmse_refresher {
    void (*refresh)(struct kmse_key *key);
    struct kmse_interrupt interrupt;

    pthread_mutex_t mutex; /* guards what follows, and keys' next_refresh */
    pthread_cond_t changed;
    struct kmse_key *queue;
    pthread_t thread;
    bool joinable; /* there is a thread, or there was and it was not joined */
    bool running;  /* it has not come to its end */
    bool paused, stopped;
};

/* --- life --------------------------------------------------------------- */

static kmse_st init_locks(struct kmse_refresher *refresher)
{
    if (pthread_mutex_init(&refresher->mutex, NULL) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_condition_init(&refresher->changed) != 0) {
        pthread_mutex_destroy(&refresher->mutex);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
}

kmse_st kmse_refresher_new(struct kmse_refresher **refresher,
                           void (*refresh)(struct kmse_key *key))
{
    struct kmse_refresher *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->refresh = refresh;
    kmse_st st = kmse_interrupt_init(&made->interrupt);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    st = init_locks(made);
    if (!kmse_is_ok(st)) {
        kmse_interrupt_destroy(&made->interrupt);
        free(made);
        return st;
    }
    *refresher = made;
    return KMSE_OK;
}

void kmse_refresher_free(struct kmse_refresher *refresher)
{
    if (refresher == NULL)
        return;
    kmse_refresher_stop(refresher);
    pthread_cond_destroy(&refresher->changed);
    pthread_mutex_destroy(&refresher->mutex);
    kmse_interrupt_destroy(&refresher->interrupt);
    free(refresher);
}

/* --- the thread --------------------------------------------------------- */

static struct kmse_key *locked_pop(struct kmse_refresher *refresher)
{
    struct kmse_key *key = refresher->queue;
    if (key == NULL)
        return NULL;
    refresher->queue = key->next_refresh;
    key->next_refresh = NULL;
    key->refresh_queued = false;
    return key;
}

static void *run(void *arg)
{
    struct kmse_refresher *refresher = arg;
    struct kmse_key *key = NULL;
    kmse_interrupt_set_current(&refresher->interrupt);
    pthread_mutex_lock(&refresher->mutex);
    while (!refresher->paused && (key = locked_pop(refresher)) != NULL) {
        pthread_mutex_unlock(&refresher->mutex);
        refresher->refresh(key);
        pthread_mutex_lock(&refresher->mutex);
    }
    refresher->running = false;
    pthread_cond_broadcast(&refresher->changed);
    pthread_mutex_unlock(&refresher->mutex);
    return NULL;
}

static void locked_join(struct kmse_refresher *refresher)
{
    if (refresher->joinable && !refresher->running) {
        refresher->joinable = false;
        pthread_join(refresher->thread, NULL);
    }
}

/* The host's signals are for the host's threads. */
static bool locked_start(struct kmse_refresher *refresher)
{
    sigset_t all, before;
    if (refresher->running)
        return true;
    locked_join(refresher);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    refresher->running = true;
    refresher->joinable =
        pthread_create(&refresher->thread, NULL, run, refresher) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    refresher->running = refresher->joinable;
    return refresher->running;
}

bool kmse_refresher_wake(struct kmse_refresher *refresher, struct kmse_key *key)
{
    pthread_mutex_lock(&refresher->mutex);
    bool started = refresher->stopped  ? false
                   : refresher->paused ? true
                                       : locked_start(refresher);
    if (started && !key->refresh_queued) {
        key->refresh_queued = true;
        key->next_refresh = refresher->queue;
        refresher->queue = key;
    }
    pthread_mutex_unlock(&refresher->mutex);
    return started;
}

/* deadline NULL: however long it takes. */
static void locked_end(struct kmse_refresher *refresher,
                       const struct timespec *deadline)
{
    int error = 0;
    refresher->paused = true;
    kmse_interrupt_raise(&refresher->interrupt);
    while (refresher->running && error != ETIMEDOUT) {
        if (deadline == NULL)
            pthread_cond_wait(&refresher->changed, &refresher->mutex);
        else
            error = pthread_cond_timedwait(&refresher->changed,
                                           &refresher->mutex, deadline);
    }
    locked_join(refresher);
    kmse_interrupt_clear(&refresher->interrupt);
}

void kmse_refresher_stop(struct kmse_refresher *refresher)
{
    pthread_mutex_lock(&refresher->mutex);
    refresher->stopped = true;
    locked_end(refresher, NULL);
    while (locked_pop(refresher) != NULL)
        continue;
    pthread_mutex_unlock(&refresher->mutex);
}

void kmse_refresher_wait(struct kmse_refresher *refresher)
{
    pthread_mutex_lock(&refresher->mutex);
    while (refresher->running)
        pthread_cond_wait(&refresher->changed, &refresher->mutex);
    locked_join(refresher);
    pthread_mutex_unlock(&refresher->mutex);
}

/* --- forks -------------------------------------------------------------- */

void kmse_refresher_pause(struct kmse_refresher *refresher)
{
    const struct timespec deadline = kmse_condition_deadline(PAUSE_MAX_MS);
    pthread_mutex_lock(&refresher->mutex);
    locked_end(refresher, &deadline);
    pthread_mutex_unlock(&refresher->mutex);
}

void kmse_refresher_lock(struct kmse_refresher *refresher)
{
    pthread_mutex_lock(&refresher->mutex);
}

static void locked_resume(struct kmse_refresher *refresher)
{
    refresher->paused = refresher->stopped;
    if (!refresher->paused && refresher->queue != NULL)
        locked_start(refresher);
}

void kmse_refresher_parent(struct kmse_refresher *refresher)
{
    locked_resume(refresher);
    pthread_mutex_unlock(&refresher->mutex);
}

/* What the parent wanted refreshed, the child asks for when it needs it. */
void kmse_refresher_child(struct kmse_refresher *refresher)
{
    refresher->running = false;
    refresher->joinable = false;
    refresher->paused = refresher->stopped;
    while (locked_pop(refresher) != NULL)
        continue;
    pthread_mutex_unlock(&refresher->mutex);
}
