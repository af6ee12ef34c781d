/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what may block. */
#include "agent/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/interrupt.h"

struct queue {
    struct kmse_job *first, **end;
    size_t count;
};

struct worker {
    pthread_t thread;
    struct kmse_jobs *jobs;
    struct kmse_interrupt interrupt;
};

struct kmse_jobs {
    size_t queue_max;
    size_t posted; /* and not done: of the collecting thread alone */
    int event_fd;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct queue waiting, ended;
    bool stopped;
    struct worker *workers;
    size_t worker_count;
};

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){.first = NULL};
    queue->end = &queue->first;
}

static void push(struct queue *queue, struct kmse_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
    queue->count++;
}

static struct kmse_job *pop(struct queue *queue)
{
    struct kmse_job *job = queue->first;
    if (job == NULL)
        return NULL;
    queue->first = job->next;
    queue->count--;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return job;
}

/* --- threads ------------------------------------------------------------ */

static void locked_end_job(struct kmse_jobs *jobs, struct kmse_job *job)
{
    static const uint64_t ONE = 1;
    push(&jobs->ended, job);
    /* It can only fail where it is readable anyway. */
    ssize_t n = write(jobs->event_fd, &ONE, sizeof(ONE));
    (void)n;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct kmse_jobs *jobs = worker->jobs;
    kmse_interrupt_set_current(&worker->interrupt);
    pthread_mutex_lock(&jobs->mutex);
    while (!jobs->stopped) {
        struct kmse_job *job = pop(&jobs->waiting);
        if (job == NULL) {
            pthread_cond_wait(&jobs->changed, &jobs->mutex);
            continue;
        }
        pthread_mutex_unlock(&jobs->mutex);
        job->run(job);
        pthread_mutex_lock(&jobs->mutex);
        locked_end_job(jobs, job);
    }
    pthread_mutex_unlock(&jobs->mutex);
    return NULL;
}

/* Signals are for the thread that serves. */
static kmse_st start(struct kmse_jobs *jobs)
{
    struct worker *worker = &jobs->workers[jobs->worker_count];
    sigset_t all, before;
    worker->jobs = jobs;
    KMSE_TRY(kmse_interrupt_init(&worker->interrupt));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        kmse_interrupt_destroy(&worker->interrupt);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    jobs->worker_count++;
    return KMSE_OK;
}

kmse_st kmse_jobs_new(struct kmse_jobs **jobs, size_t threads, size_t queue_max)
{
    struct kmse_jobs *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->queue_max = queue_max;
    queue_init(&made->waiting);
    queue_init(&made->ended);
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    made->workers = calloc(threads, sizeof(*made->workers));
    made->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    kmse_st st = made->workers != NULL && made->event_fd >= 0
                     ? KMSE_OK
                     : KMSE_ERR(KMSE_R_MEMORY);
    for (size_t i = 0; kmse_is_ok(st) && i < threads; i++)
        st = start(made);
    if (!kmse_is_ok(st)) {
        kmse_jobs_free(made);
        return st;
    }
    *jobs = made;
    return KMSE_OK;
}

static void stop(struct kmse_jobs *jobs)
{
    pthread_mutex_lock(&jobs->mutex);
    jobs->stopped = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->mutex);
    for (size_t i = 0; i < jobs->worker_count; i++)
        kmse_interrupt_raise(&jobs->workers[i].interrupt);
    for (size_t i = 0; i < jobs->worker_count; i++) {
        pthread_join(jobs->workers[i].thread, NULL);
        kmse_interrupt_destroy(&jobs->workers[i].interrupt);
    }
}

void kmse_jobs_free(struct kmse_jobs *jobs)
{
    if (jobs == NULL)
        return;
    stop(jobs);
    for (struct kmse_job *job = NULL; (job = pop(&jobs->waiting)) != NULL;)
        push(&jobs->ended, job);
    kmse_jobs_collect(jobs);
    if (jobs->event_fd >= 0)
        close(jobs->event_fd);
    free(jobs->workers);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
}

/* --- the thread that serves --------------------------------------------- */

bool kmse_jobs_post(struct kmse_jobs *jobs, struct kmse_job *job)
{
    pthread_mutex_lock(&jobs->mutex);
    bool posted = !jobs->stopped && jobs->waiting.count < jobs->queue_max;
    if (posted) {
        push(&jobs->waiting, job);
        pthread_cond_signal(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->mutex);
    if (posted)
        jobs->posted++;
    return posted;
}

int kmse_jobs_fd(const struct kmse_jobs *jobs)
{
    return jobs->event_fd;
}

void kmse_jobs_collect(struct kmse_jobs *jobs)
{
    uint64_t ended = 0;
    ssize_t n = read(jobs->event_fd, &ended, sizeof(ended));
    (void)n;
    for (;;) {
        pthread_mutex_lock(&jobs->mutex);
        struct kmse_job *job = pop(&jobs->ended);
        pthread_mutex_unlock(&jobs->mutex);
        if (job == NULL)
            return;
        jobs->posted--;
        job->done(job);
    }
}

size_t kmse_jobs_count(const struct kmse_jobs *jobs)
{
    return jobs->posted;
}
