/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_QUEUE_H
#define KMSE_TABLE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

#include "table/rows.h"

/*
 * Batches on their way from thread to thread. There is a fixed number of them,
 * and each queue has room for all: who waits waits for a batch, never for room.
 */
enum { KMSE_QUEUE_ROOM = 320 };

struct kmse_queue {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct kmse_rows *list[KMSE_QUEUE_ROOM];
    size_t first, count;
    unsigned writers; /* that have not closed it yet */
    bool is_aborted;
};

/* writers: so many kmse_queue_close until it is at its end. */
kmse_st kmse_queue_init(struct kmse_queue *queue,
                        unsigned writers) KMSE_MUST_CHECK;
void kmse_queue_destroy(struct kmse_queue *queue);

void kmse_queue_put(struct kmse_queue *queue, struct kmse_rows *rows);
/* Waits; NULL: it is empty and closed, or aborted. */
struct kmse_rows *kmse_queue_take(struct kmse_queue *queue);
void kmse_queue_close(struct kmse_queue *queue);
/* Nobody waits any more; what is in it stays in it. */
void kmse_queue_abort(struct kmse_queue *queue);

#endif
