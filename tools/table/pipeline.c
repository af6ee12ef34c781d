/* SPDX-License-Identifier: Apache-2.0 */
/* Read, work and write at once, with a fixed number of batches. */
#include "table/pipeline.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/condition.h"
#include "table/queue.h"

enum { JOBS_MAX = 64, LANES_MAX = 1 + 2 * JOBS_MAX };

/* A thread of the pipeline, with what is its own. */
struct lane {
    struct kmse_pipeline *pipeline;
    void (*run)(struct lane *lane);
    pthread_t thread;
    struct kmse_database *database; /* of those that read or write */
    void *worker;                   /* of those that work or write */
    uint64_t failing_since_ms;      /* 0: it is not */
    uint64_t delay_ms;
};

struct kmse_pipeline {
    struct kmse_plan plan;
    struct lane lanes[LANES_MAX]; /* the reader is the first */
    size_t lane_count, started;
    struct kmse_rows *batches;
    size_t batch_count;
    struct kmse_queue empty, read, done;
    size_t queue_count;
    uint64_t began_ms;
    _Atomic bool stopped;

    pthread_mutex_t mutex; /* guards what follows, and work's reports */
    pthread_cond_t ended;
    size_t running;
    struct kmse_tally tally;
    kmse_st st; /* the first failure */
    struct kmse_why why;
};

static uint64_t now_ms(const struct kmse_pipeline *p)
{
    return p->plan.clock->elapsed_ms(p->plan.clock->arg);
}

/* --- failures ----------------------------------------------------------- */

static void fail(struct kmse_pipeline *p, kmse_st st,
                 const struct kmse_why *why)
{
    pthread_mutex_lock(&p->mutex);
    if (kmse_is_ok(p->st)) {
        p->st = st;
        p->why = *why;
    }
    pthread_mutex_unlock(&p->mutex);
    kmse_queue_abort(&p->empty);
    kmse_queue_abort(&p->read);
    kmse_queue_abort(&p->done);
}

/* In slices: a signal that wants an end cannot wake us. */
static void pause_ms(const struct kmse_pipeline *p, uint64_t ms)
{
    enum { SLICE_MS = 50, NS_PER_MS = 1000000 };
    while (ms > 0 && !atomic_load(&p->stopped)) {
        uint64_t slice = ms < SLICE_MS ? ms : SLICE_MS;
        struct timespec wait = {0, (long)slice * NS_PER_MS};
        nanosleep(&wait, NULL);
        ms -= slice;
    }
}

static void notice(struct kmse_pipeline *p, const struct kmse_why *why)
{
    pthread_mutex_lock(&p->mutex);
    p->tally.retries++;
    if (p->plan.work->noticed != NULL)
        p->plan.work->noticed(p->plan.work->report_arg, why);
    pthread_mutex_unlock(&p->mutex);
}

/* One round: whether there is time for it, the wait, the new connection. */
static bool may_try_again(struct lane *lane)
{
    enum { FIRST_DELAY_MS = 100, LONGEST_DELAY_MS = 5000 };
    struct kmse_pipeline *p = lane->pipeline;
    uint64_t now = now_ms(p);
    if (lane->failing_since_ms == 0) {
        lane->failing_since_ms = now;
        lane->delay_ms = FIRST_DELAY_MS;
    }
    if (atomic_load(&p->stopped)
        || now - lane->failing_since_ms >= p->plan.retry_ms)
        return false;
    pause_ms(p, lane->delay_ms);
    lane->delay_ms *= 2;
    if (lane->delay_ms > LONGEST_DELAY_MS)
        lane->delay_ms = LONGEST_DELAY_MS;
    return !atomic_load(&p->stopped);
}

/*
 * After an operation on the lane's database: whether it is to be done again.
 * On true there is a new connection; else *st says how it ended.
 */
static bool again(struct lane *lane, kmse_st *st, struct kmse_why *why)
{
    while (st->reason == KMSE_R_DATABASE_BUSY) {
        notice(lane->pipeline, why);
        if (!may_try_again(lane))
            return false;
        *st = kmse_database_reopen(lane->database, why);
        if (kmse_is_ok(*st))
            return true;
    }
    if (kmse_is_ok(*st))
        lane->failing_since_ms = 0;
    return false;
}

/* --- reading ------------------------------------------------------------ */

uint64_t kmse_pace_ms(uint64_t rows, uint64_t elapsed_ms, uint64_t rate)
{
    enum { MS_PER_S = 1000 };
    if (rate == 0)
        return 0;
    uint64_t due_ms = rows / rate * MS_PER_S + rows % rate * MS_PER_S / rate;
    return due_ms > elapsed_ms ? due_ms - elapsed_ms : 0;
}

static kmse_st read_batch(struct lane *lane, struct kmse_rows *rows,
                          const struct kmse_rows *position,
                          struct kmse_why *why)
{
    const struct kmse_plan *plan = &lane->pipeline->plan;
    const struct kmse_range range = {
        .after = position->count > 0 ? position : NULL,
    };
    kmse_st st;
    do
        st = kmse_database_read(lane->database, rows, &range, plan->batch, why);
    while (again(lane, &st, why));
    return st;
}

/* false: there is no more to read. */
static bool read_next(struct lane *lane, struct kmse_rows *position,
                      uint64_t *total)
{
    struct kmse_pipeline *p = lane->pipeline;
    struct kmse_why why = {""};
    struct kmse_rows *rows = kmse_queue_take(&p->empty);
    if (rows == NULL)
        return false;
    kmse_st st = read_batch(lane, rows, position, &why);
    if (kmse_is_ok(st) && rows->count > 0)
        st = kmse_rows_copy_key(position, rows, rows->count - 1);
    if (!kmse_is_ok(st)) {
        fail(p, st, &why);
        return false;
    }
    if (rows->count == 0)
        return false;
    *total += rows->count;
    kmse_queue_put(&p->read, rows);
    pause_ms(p, kmse_pace_ms(*total, now_ms(p) - p->began_ms, p->plan.rate));
    return true;
}

static void run_reader(struct lane *lane)
{
    struct kmse_pipeline *p = lane->pipeline;
    struct kmse_rows position = {0};
    uint64_t total = 0;
    while (!atomic_load(&p->stopped) && read_next(lane, &position, &total))
        ;
    kmse_queue_close(&p->read);
    kmse_rows_wipe(&position);
}

/* --- working ------------------------------------------------------------ */

static void run_worker(struct lane *lane)
{
    struct kmse_pipeline *p = lane->pipeline;
    struct kmse_rows *rows = NULL;
    while ((rows = kmse_queue_take(&p->read)) != NULL) {
        struct kmse_why why = {""};
        kmse_st st = p->plan.work->process(lane->worker, rows, &why);
        if (!kmse_is_ok(st)) {
            fail(p, st, &why);
            break;
        }
        kmse_queue_put(&p->done, rows);
    }
    kmse_queue_close(&p->done);
}

/* --- writing ------------------------------------------------------------ */

static kmse_st write_batch(struct lane *lane, struct kmse_rows *rows,
                           struct kmse_why *why)
{
    kmse_st st;
    do
        st = kmse_database_write(lane->database, rows, why);
    while (again(lane, &st, why));
    return st;
}

static bool is_same(const struct kmse_rows *rows, const struct kmse_span *a,
                    const struct kmse_span *b)
{
    const uint8_t *x = kmse_rows_at(rows, a), *y = kmse_rows_at(rows, b);
    for (size_t i = 0; a->len == b->len && i < a->len; i++) {
        if (x[i] != y[i])
            return false;
    }
    return a->len == b->len;
}

/*
 * Read again what was lost. A connection that was cut may have written all the
 * same: then the row is what we wanted it to be.
 */
static kmse_st reread_batch(struct lane *lane, struct kmse_rows *rows,
                            struct kmse_why *why)
{
    kmse_st st;
    do
        st = kmse_database_reread(lane->database, rows, why);
    while (again(lane, &st, why));
    for (size_t i = 0; kmse_is_ok(st) && i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        if (row->state == KMSE_ROW_READ
            && is_same(rows, &row->old, &row->fresh))
            row->state = KMSE_ROW_WRITTEN;
    }
    return st;
}

/* Until each row has what it should, or somebody else is faster every time. */
static kmse_st settle(struct lane *lane, struct kmse_rows *rows,
                      uint64_t *races, struct kmse_why *why)
{
    enum { ROUNDS = 50 };
    const struct kmse_work *work = lane->pipeline->plan.work;
    KMSE_TRY(write_batch(lane, rows, why));
    for (int round = 0; round < ROUNDS; round++) {
        size_t lost = kmse_rows_count(rows, KMSE_ROW_LOST);
        if (lost == 0)
            break;
        *races += lost;
        KMSE_TRY(reread_batch(lane, rows, why));
        KMSE_TRY(work->process(lane->worker, rows, why));
        KMSE_TRY(write_batch(lane, rows, why));
    }
    return KMSE_OK;
}

static void count(struct kmse_pipeline *p, const struct kmse_rows *rows,
                  const struct kmse_table *table, uint64_t races)
{
    pthread_mutex_lock(&p->mutex);
    for (size_t i = 0; i < rows->count; i++)
        p->tally.rows[rows->list[i].state]++;
    p->tally.read += rows->count;
    p->tally.races += races;
    if (p->plan.work->settled != NULL)
        p->plan.work->settled(p->plan.work->report_arg, rows, table);
    pthread_mutex_unlock(&p->mutex);
}

static void run_writer(struct lane *lane)
{
    struct kmse_pipeline *p = lane->pipeline;
    struct kmse_rows *rows = NULL;
    while ((rows = kmse_queue_take(&p->done)) != NULL) {
        struct kmse_why why = {""};
        uint64_t races = 0;
        kmse_st st = KMSE_OK;
        if (p->plan.writes)
            st = settle(lane, rows, &races, &why);
        if (!kmse_is_ok(st)) {
            fail(p, st, &why);
            break;
        }
        count(p, rows, kmse_pipeline_table(p), races);
        kmse_queue_put(&p->empty, rows);
    }
}

/* --- beginning ---------------------------------------------------------- */

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct kmse_pipeline *p = lane->pipeline;
    lane->run(lane);
    pthread_mutex_lock(&p->mutex);
    p->running--;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static struct lane *add_lane(struct kmse_pipeline *p,
                             void (*run)(struct lane *lane))
{
    struct lane *lane = &p->lanes[p->lane_count++];
    lane->pipeline = p;
    lane->run = run;
    return lane;
}

static kmse_st connect_lane(struct lane *lane, bool writes,
                            struct kmse_why *why)
{
    const struct kmse_plan *plan = &lane->pipeline->plan;
    KMSE_TRY(kmse_database_open(&lane->database, plan->url, why));
    return kmse_database_open_column(lane->database, plan->column, writes, why);
}

const struct kmse_table *
kmse_pipeline_table(const struct kmse_pipeline *pipeline)
{
    return kmse_database_table(pipeline->lanes[0].database);
}

static kmse_st begin_work(struct lane *lane, struct kmse_why *why)
{
    struct kmse_pipeline *p = lane->pipeline;
    return p->plan.work->begin(&lane->worker, p->plan.work->arg,
                               kmse_pipeline_table(p), why);
}

/* The reader is asked first, also about what only writers may do. */
static kmse_st make_lanes(struct kmse_pipeline *p, struct kmse_why *why)
{
    KMSE_TRY(connect_lane(add_lane(p, run_reader), p->plan.writes, why));
    for (unsigned i = 0; i < p->plan.jobs; i++)
        KMSE_TRY(begin_work(add_lane(p, run_worker), why));
    bool many = kmse_pipeline_table(p)->many_writers && p->plan.writes;
    for (unsigned i = 0; i < (many ? p->plan.jobs : 1); i++) {
        struct lane *lane = add_lane(p, run_writer);
        KMSE_TRY(begin_work(lane, why));
        if (p->plan.writes)
            KMSE_TRY(connect_lane(lane, true, why));
    }
    return KMSE_OK;
}

static kmse_st make_queues(struct kmse_pipeline *p)
{
    KMSE_TRY(kmse_queue_init(&p->empty, 1));
    p->queue_count++;
    KMSE_TRY(kmse_queue_init(&p->read, 1));
    p->queue_count++;
    KMSE_TRY(kmse_queue_init(&p->done, p->plan.jobs));
    p->queue_count++;
    return KMSE_OK;
}

/* One in each thread, and one that waits for it. */
static kmse_st make_batches(struct kmse_pipeline *p)
{
    size_t count = 2 * p->lane_count;
    p->batches = calloc(count, sizeof(*p->batches));
    if (p->batches == NULL || count > KMSE_QUEUE_ROOM)
        return KMSE_ERR(KMSE_R_MEMORY);
    p->batch_count = count;
    for (size_t i = 0; i < count; i++)
        kmse_queue_put(&p->empty, &p->batches[i]);
    return KMSE_OK;
}

static kmse_st start_lanes(struct kmse_pipeline *p)
{
    p->began_ms = now_ms(p);
    for (; p->started < p->lane_count; p->started++) {
        struct lane *lane = &p->lanes[p->started];
        pthread_mutex_lock(&p->mutex);
        p->running++;
        pthread_mutex_unlock(&p->mutex);
        if (pthread_create(&lane->thread, NULL, run_lane, lane) == 0)
            continue;
        p->running--;
        fail(p, KMSE_ERR(KMSE_R_MEMORY), &(struct kmse_why){"threads"});
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
}

static void pipeline_free(struct kmse_pipeline *p)
{
    struct kmse_queue *queues[] = {&p->empty, &p->read, &p->done};
    for (size_t i = 0; i < p->started; i++)
        pthread_join(p->lanes[i].thread, NULL);
    for (size_t i = 0; i < p->lane_count; i++) {
        kmse_database_close(p->lanes[i].database);
        if (p->lanes[i].worker != NULL)
            p->plan.work->end(p->lanes[i].worker);
    }
    for (size_t i = 0; i < p->batch_count; i++)
        kmse_rows_wipe(&p->batches[i]);
    free(p->batches);
    for (size_t i = 0; i < p->queue_count; i++)
        kmse_queue_destroy(queues[i]);
    pthread_cond_destroy(&p->ended);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

static kmse_st pipeline_init(struct kmse_pipeline *p,
                             const struct kmse_plan *plan)
{
    p->plan = *plan;
    if (plan->jobs == 0 || plan->jobs > JOBS_MAX || plan->batch == 0)
        return KMSE_ERR(KMSE_R_PARAMETER);
    if (pthread_mutex_init(&p->mutex, NULL) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_condition_init(&p->ended) != 0) {
        pthread_mutex_destroy(&p->mutex);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
}

kmse_st kmse_pipeline_start(struct kmse_pipeline **pipeline,
                            const struct kmse_plan *plan, struct kmse_why *why)
{
    struct kmse_pipeline *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = pipeline_init(p, plan);
    if (!kmse_is_ok(st)) {
        free(p);
        return st;
    }
    st = make_queues(p);
    if (kmse_is_ok(st))
        st = make_lanes(p, why);
    if (kmse_is_ok(st))
        st = make_batches(p);
    if (kmse_is_ok(st))
        st = start_lanes(p);
    if (!kmse_is_ok(st)) {
        pipeline_free(p);
        return st;
    }
    *pipeline = p;
    return KMSE_OK;
}

/* --- from outside ------------------------------------------------------- */

bool kmse_pipeline_wait(struct kmse_pipeline *p, uint64_t ms)
{
    struct timespec deadline = kmse_condition_deadline(ms);
    int late = 0;
    pthread_mutex_lock(&p->mutex);
    while (p->running > 0 && late == 0)
        late = pthread_cond_timedwait(&p->ended, &p->mutex, &deadline);
    bool ended = p->running == 0;
    pthread_mutex_unlock(&p->mutex);
    return ended;
}

void kmse_pipeline_get_tally(struct kmse_pipeline *p, struct kmse_tally *tally)
{
    pthread_mutex_lock(&p->mutex);
    *tally = p->tally;
    pthread_mutex_unlock(&p->mutex);
}

void kmse_pipeline_stop(struct kmse_pipeline *p)
{
    atomic_store(&p->stopped, true);
}

kmse_st kmse_pipeline_finish(struct kmse_pipeline *p, struct kmse_tally *tally,
                             struct kmse_why *why)
{
    enum { HOUR_MS = 3600000 };
    while (!kmse_pipeline_wait(p, HOUR_MS))
        ;
    kmse_st st = p->st;
    if (!kmse_is_ok(st) && why != NULL)
        *why = p->why;
    if (tally != NULL)
        *tally = p->tally;
    pipeline_free(p);
    return st;
}
