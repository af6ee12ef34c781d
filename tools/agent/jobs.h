/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_JOBS_H
#define KMSE_AGENT_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * What may block is done by a few threads, never by the one that serves the
 * sockets. A job is run in one of them, and then is done in the thread that
 * collects; no lock is held in either.
 */
struct kmse_job {
    void (*run)(struct kmse_job *job);
    void (*done)(struct kmse_job *job); /* may free it */
    struct kmse_job *next;              /* the queue's own */
};

struct kmse_jobs;

kmse_st kmse_jobs_new(struct kmse_jobs **jobs, size_t threads,
                      size_t queue_max) KMSE_MUST_CHECK;
/*
 * Jobs that run are interrupted (base/interrupt.h) and come to their end;
 * those that were not begun are done without. Each is done here.
 */
void kmse_jobs_free(struct kmse_jobs *jobs);

/* False: the queue is full, the job is still the caller's. */
bool kmse_jobs_post(struct kmse_jobs *jobs, struct kmse_job *job);

/* Readable while there is something to collect. */
int kmse_jobs_fd(const struct kmse_jobs *jobs);
void kmse_jobs_collect(struct kmse_jobs *jobs);
/* Posted and not done yet. */
size_t kmse_jobs_count(const struct kmse_jobs *jobs);

#endif
