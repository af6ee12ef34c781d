/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_PIPELINE_H
#define KMSE_TABLE_PIPELINE_H

#include "base/clock.h"
#include "table/database.h"

/*
 * A column from its beginning to its end: one connection reads batches,
 * threads work on them, other connections write them, all at once. A fixed
 * number of batches goes round: memory does not grow with the table.
 *
 * What a database cannot do now is tried again for a time, with a new
 * connection. A row that was changed by somebody else since it was read is
 * read again and worked on again, never overwritten.
 */
struct kmse_pipeline;

/* What is done to rows. */
struct kmse_work {
    /* One worker a thread. */
    kmse_st (*begin)(void **worker, void *arg, const struct kmse_table *table,
                     struct kmse_why *why);
    void (*end)(void *worker);
    /* Gives each row that is KMSE_ROW_READ its state: not LOST, not GONE. A
     * failure ends the run, and nothing of the batch is written. */
    kmse_st (*process)(void *worker, struct kmse_rows *rows,
                       struct kmse_why *why);
    /* What became of a batch, and what is tried again; each may be NULL. Of
     * all threads, one at a time. */
    void (*settled)(void *arg, const struct kmse_rows *rows,
                    const struct kmse_table *table);
    void (*noticed)(void *arg, const struct kmse_why *why);
    void *arg;        /* of begin */
    void *report_arg; /* of settled and noticed */
};

struct kmse_plan {
    const char *url;
    const struct kmse_column *column;
    const struct kmse_work *work;
    bool writes;
    size_t batch;  /* rows */
    unsigned jobs; /* threads that work, and connections that write */
    uint64_t rate; /* rows a second; 0: as fast as it goes */
    uint64_t retry_ms;
    const struct kmse_clock *clock;
};

/* Rows by their last state, and what else was counted. */
struct kmse_tally {
    uint64_t rows[KMSE_ROW_STATES];
    uint64_t read;
    uint64_t races;   /* rows that somebody else had changed meanwhile */
    uint64_t retries; /* of the database */
};

/* The plan's pointers must stay. Failures are those of database.h and work. */
kmse_st kmse_pipeline_start(struct kmse_pipeline **pipeline,
                            const struct kmse_plan *plan,
                            struct kmse_why *why) KMSE_MUST_CHECK;
const struct kmse_table *
kmse_pipeline_table(const struct kmse_pipeline *pipeline);
/* Whether it is at its end, if it is so within that time. */
bool kmse_pipeline_wait(struct kmse_pipeline *pipeline, uint64_t ms);
void kmse_pipeline_get_tally(struct kmse_pipeline *pipeline,
                             struct kmse_tally *tally);
/* Read no more: what was read is finished. */
void kmse_pipeline_stop(struct kmse_pipeline *pipeline);
/* Wait for all threads, free it, and say how it went. tally may be NULL. */
kmse_st kmse_pipeline_finish(struct kmse_pipeline *pipeline,
                             struct kmse_tally *tally,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* How long to wait, so that rows in elapsed_ms are not more than the rate. */
uint64_t kmse_pace_ms(uint64_t rows, uint64_t elapsed_ms, uint64_t rate);

#endif
