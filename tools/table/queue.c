/* SPDX-License-Identifier: Apache-2.0 */
/* Batches on their way from thread to thread. */
#include "table/queue.h"

kmse_st kmse_queue_init(struct kmse_queue *queue, unsigned writers)
{
    *queue = (struct kmse_queue){.writers = writers};
    if (pthread_mutex_init(&queue->mutex, NULL) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (pthread_cond_init(&queue->changed, NULL) != 0) {
        pthread_mutex_destroy(&queue->mutex);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
}

void kmse_queue_destroy(struct kmse_queue *queue)
{
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
}

void kmse_queue_put(struct kmse_queue *queue, struct kmse_rows *rows)
{
    pthread_mutex_lock(&queue->mutex);
    queue->list[(queue->first + queue->count) % KMSE_QUEUE_ROOM] = rows;
    queue->count++;
    pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}

struct kmse_rows *kmse_queue_take(struct kmse_queue *queue)
{
    struct kmse_rows *rows = NULL;
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && queue->writers > 0 && !queue->is_aborted)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    if (queue->count > 0 && !queue->is_aborted) {
        rows = queue->list[queue->first];
        queue->first = (queue->first + 1) % KMSE_QUEUE_ROOM;
        queue->count--;
    }
    pthread_mutex_unlock(&queue->mutex);
    return rows;
}

void kmse_queue_close(struct kmse_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    if (queue->writers > 0)
        queue->writers--;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}

void kmse_queue_abort(struct kmse_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->is_aborted = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
}
