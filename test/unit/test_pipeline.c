/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline, over a database that fails and races as the test says. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "table/pipeline.h"

/* --- time goes by when somebody waits ----------------------------------- */

static _Atomic uint64_t time_ms;

static uint64_t fake_ms(void *arg)
{
    (void)arg;
    return time_ms;
}

static const struct kmse_clock CLOCK = {fake_ms, fake_ms, NULL, NULL};

int __wrap_nanosleep(const struct timespec *wait, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *rest)
{
    (void)rest;
    time_ms += (uint64_t)wait->tv_nsec / 1000000;
    return 0;
}

/* --- a table of numbers: row i holds values[i] -------------------------- */

enum { ROWS = 1000 };

static struct {
    pthread_mutex_t mutex;
    uint8_t values[ROWS];
    unsigned writes;  /* calls */
    unsigned writers; /* connections that may write */
    int write_fails;  /* so many calls; less than 0: all */
    int read_fails;
    int reopen_fails;
    int fatal_at;                 /* this write is refused for good; 0: none */
    bool acknowledgement_is_lost; /* of the first write */
    int race_rows;    /* of each batch's first write: changed before */
    bool race_always; /* of row 0: each time */
} db = {.mutex = PTHREAD_MUTEX_INITIALIZER};

struct kmse_database {
    int nothing;
};

static struct kmse_table table = {.key_count = 1, .many_writers = true};

kmse_st __wrap_kmse_database_open(struct kmse_database **, const char *,
                                  struct kmse_why *);
kmse_st __wrap_kmse_database_open_column(struct kmse_database *,
                                         const struct kmse_column *, bool,
                                         struct kmse_why *);
void __wrap_kmse_database_close(struct kmse_database *);
const struct kmse_table *
__wrap_kmse_database_table(const struct kmse_database *);
kmse_st __wrap_kmse_database_reopen(struct kmse_database *, struct kmse_why *);
kmse_st __wrap_kmse_database_read(struct kmse_database *, struct kmse_rows *,
                                  const struct kmse_range *, size_t,
                                  struct kmse_why *);
kmse_st __wrap_kmse_database_write(struct kmse_database *, struct kmse_rows *,
                                   struct kmse_why *);
kmse_st __wrap_kmse_database_reread(struct kmse_database *, struct kmse_rows *,
                                    struct kmse_why *);

kmse_st __wrap_kmse_database_open(struct kmse_database **database,
                                  const char *url, struct kmse_why *why)
{
    (void)url;
    (void)why;
    *database = calloc(1, sizeof(**database));
    return KMSE_OK;
}

kmse_st __wrap_kmse_database_open_column(struct kmse_database *database,
                                         const struct kmse_column *column,
                                         bool writes, struct kmse_why *why)
{
    (void)database;
    if (strcmp(column->column, "missing") == 0)
        return kmse_fail(why, KMSE_R_DATABASE, "no such column");
    db.writers += writes;
    return KMSE_OK;
}

void __wrap_kmse_database_close(struct kmse_database *database)
{
    free(database);
}

const struct kmse_table *
__wrap_kmse_database_table(const struct kmse_database *database)
{
    (void)database;
    return &table;
}

/* Whether it is to fail now, of so many times. */
static bool is_due(int *times)
{
    bool due = *times != 0;
    if (*times > 0)
        (*times)--;
    return due;
}

kmse_st __wrap_kmse_database_reopen(struct kmse_database *database,
                                    struct kmse_why *why)
{
    (void)database;
    pthread_mutex_lock(&db.mutex);
    bool fails = is_due(&db.reopen_fails);
    pthread_mutex_unlock(&db.mutex);
    return fails ? kmse_fail(why, KMSE_R_DATABASE_BUSY, "not there yet")
                 : KMSE_OK;
}

static uint32_t number_of(const struct kmse_rows *rows,
                          const struct kmse_row *row)
{
    uint32_t number = 0;
    memcpy(&number, kmse_rows_at(rows, &row->key[0]), sizeof(number));
    return number;
}

static kmse_st locked_read(struct kmse_rows *rows, uint32_t from, size_t limit)
{
    kmse_rows_clear(rows);
    for (uint32_t i = from; i < ROWS && rows->count < limit; i++) {
        struct kmse_row *row = NULL;
        KMSE_TRY(kmse_rows_add(rows, &row));
        KMSE_TRY(kmse_rows_put(rows, &row->key[0], &i, sizeof(i)));
        KMSE_TRY(kmse_rows_put(rows, &row->old, &db.values[i], 1));
    }
    return KMSE_OK;
}

kmse_st __wrap_kmse_database_read(struct kmse_database *database,
                                  struct kmse_rows *rows,
                                  const struct kmse_range *range, size_t limit,
                                  struct kmse_why *why)
{
    (void)database;
    uint32_t from = 0;
    if (range->after != NULL)
        from = number_of(range->after, range->after->list) + 1;
    pthread_mutex_lock(&db.mutex);
    kmse_st st = KMSE_OK;
    if (is_due(&db.read_fails))
        st = kmse_fail(why, KMSE_R_DATABASE_BUSY, "cut");
    else
        st = locked_read(rows, from, limit);
    pthread_mutex_unlock(&db.mutex);
    return st;
}

static void locked_race(const struct kmse_rows *rows)
{
    for (size_t i = 0; i < rows->count && i < (size_t)db.race_rows; i++) {
        uint32_t number = number_of(rows, &rows->list[i]);
        /* Once: what is written by somebody else is 100 and more. */
        if (db.values[number] < 100 && rows->list[i].state == KMSE_ROW_WRITE)
            db.values[number] = (uint8_t)(db.values[number] + 100);
    }
    if (db.race_always && number_of(rows, rows->list) == 0)
        db.values[0] ^= 64;
}

static void locked_write(struct kmse_rows *rows, bool told)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        uint8_t *value = &db.values[number_of(rows, row)];
        if (row->state != KMSE_ROW_WRITE)
            continue;
        bool hit = *value == *kmse_rows_at(rows, &row->old);
        if (hit)
            *value = *kmse_rows_at(rows, &row->fresh);
        if (told)
            row->state = hit ? KMSE_ROW_WRITTEN : KMSE_ROW_LOST;
    }
}

kmse_st __wrap_kmse_database_write(struct kmse_database *database,
                                   struct kmse_rows *rows, struct kmse_why *why)
{
    (void)database;
    kmse_st st = KMSE_OK;
    if (kmse_rows_count(rows, KMSE_ROW_WRITE) == 0)
        return KMSE_OK;
    pthread_mutex_lock(&db.mutex);
    db.writes++;
    bool lost = db.acknowledgement_is_lost;
    db.acknowledgement_is_lost = false;
    if (db.fatal_at != 0 && (int)db.writes >= db.fatal_at) {
        st = kmse_fail(why, KMSE_R_DATABASE, "refused");
    } else if (is_due(&db.write_fails)) {
        st = kmse_fail(why, KMSE_R_DATABASE_BUSY, "deadlock");
    } else {
        locked_race(rows);
        locked_write(rows, !lost);
        if (lost)
            st = kmse_fail(why, KMSE_R_DATABASE_BUSY, "cut after the commit");
    }
    pthread_mutex_unlock(&db.mutex);
    return st;
}

kmse_st __wrap_kmse_database_reread(struct kmse_database *database,
                                    struct kmse_rows *rows,
                                    struct kmse_why *why)
{
    (void)database;
    (void)why;
    kmse_st st = KMSE_OK;
    pthread_mutex_lock(&db.mutex);
    for (size_t i = 0; i < rows->count && kmse_is_ok(st); i++) {
        struct kmse_row *row = &rows->list[i];
        if (row->state != KMSE_ROW_LOST)
            continue;
        st =
            kmse_rows_put(rows, &row->old, &db.values[number_of(rows, row)], 1);
        row->state = KMSE_ROW_READ;
    }
    pthread_mutex_unlock(&db.mutex);
    return st;
}

/* --- work: 0 becomes 1, and 100 becomes 101 ----------------------------- */

static _Atomic int process_fails_at; /* this row; less than 0: none */
static _Atomic unsigned noticed, settled;

static kmse_st begin(void **worker, void *arg, const struct kmse_table *of,
                     struct kmse_why *why)
{
    (void)arg;
    (void)of;
    (void)why;
    *worker = malloc(1);
    return KMSE_OK;
}

static kmse_st process(void *worker, struct kmse_rows *rows,
                       struct kmse_why *why)
{
    (void)worker;
    for (size_t i = 0; i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        uint8_t value = *kmse_rows_at(rows, &row->old);
        if (row->state != KMSE_ROW_READ)
            continue;
        if ((int)number_of(rows, row) == process_fails_at)
            return kmse_fail(why, KMSE_R_KMS_UNREACHABLE, "as told");
        if (value % 2 == 1) {
            row->state = KMSE_ROW_NEWEST;
            continue;
        }
        value++;
        KMSE_TRY(kmse_rows_put(rows, &row->fresh, &value, 1));
        row->state = KMSE_ROW_WRITE;
    }
    return KMSE_OK;
}

static void on_settled(void *arg, const struct kmse_rows *rows,
                       const struct kmse_table *of)
{
    (void)arg;
    assert_ptr_equal(of, &table);
    settled += (unsigned)rows->count;
}

static void on_noticed(void *arg, const struct kmse_why *why)
{
    (void)arg;
    assert_true(why->text[0] != '\0');
    noticed++;
}

static const struct kmse_work WORK = {
    .begin = begin,
    .end = free,
    .process = process,
    .settled = on_settled,
    .noticed = on_noticed,
};

static struct kmse_column column = {.table = "t", .column = "c"};
static struct kmse_plan plan;
static struct kmse_tally tally;
static struct kmse_why why;

static int set_up(void **state)
{
    (void)state;
    memset(db.values, 0, sizeof(db.values));
    db.writes = db.writers = 0;
    db.write_fails = db.read_fails = db.reopen_fails = 0;
    db.fatal_at = db.race_rows = 0;
    db.acknowledgement_is_lost = db.race_always = false;
    process_fails_at = -1;
    noticed = settled = 0;
    time_ms = 1000;
    column.column = "c";
    plan = (struct kmse_plan){.url = "",
                              .column = &column,
                              .work = &WORK,
                              .writes = true,
                              .batch = 10,
                              .jobs = 1,
                              .retry_ms = 60000,
                              .clock = &CLOCK};
    tally = (struct kmse_tally){0};
    why.text[0] = '\0';
    return 0;
}

#define STORY(f) cmocka_unit_test_setup(f, set_up)

static kmse_st run(void)
{
    struct kmse_pipeline *pipeline = NULL;
    KMSE_TRY(kmse_pipeline_start(&pipeline, &plan, &why));
    return kmse_pipeline_finish(pipeline, &tally, &why);
}

static size_t values_that_are(uint8_t value)
{
    size_t count = 0;
    for (size_t i = 0; i < ROWS; i++)
        count += db.values[i] == value;
    return count;
}

/* --- stories ------------------------------------------------------------ */

static void every_row_is_worked_on_once(void **state)
{
    (void)state;
    static const size_t BATCHES[] = {1, 7, 999, 1000, 1001};
    static const unsigned JOBS[] = {1, 3, 64};
    for (size_t i = 0; i < sizeof(BATCHES) / sizeof(BATCHES[0]); i++) {
        for (size_t j = 0; j < sizeof(JOBS) / sizeof(JOBS[0]); j++) {
            set_up(NULL);
            plan.batch = BATCHES[i];
            plan.jobs = JOBS[j];
            expect_ok(run());
            assert_int_equal(values_that_are(1), ROWS);
            assert_int_equal(tally.read, ROWS);
            assert_int_equal(tally.rows[KMSE_ROW_WRITTEN], ROWS);
            assert_int_equal(settled, ROWS);
            assert_int_equal(db.writers, JOBS[j] + 1);
        }
    }
}

static void one_writer_is_enough_where_more_are_no_use(void **state)
{
    (void)state;
    table.many_writers = false;
    plan.jobs = 3;
    kmse_st st = run();
    table.many_writers = true;
    expect_ok(st);
    assert_int_equal(db.writers, 2);
    assert_int_equal(values_that_are(1), ROWS);
}

static void nothing_is_written_if_nothing_is_to_be(void **state)
{
    (void)state;
    plan.writes = false;
    expect_ok(run());
    assert_int_equal(db.writes, 0);
    assert_int_equal(tally.rows[KMSE_ROW_WRITE], ROWS);
    memset(db.values, 1, sizeof(db.values));
    plan.writes = true;
    expect_ok(run());
    assert_int_equal(db.writes, 0);
    assert_int_equal(tally.rows[KMSE_ROW_NEWEST], ROWS);
}

static void a_lost_race_is_read_again(void **state)
{
    (void)state;
    db.race_rows = 3;
    expect_ok(run());
    /* What somebody else wrote is the base of what is there now. */
    assert_int_equal(values_that_are(101), 3 * ROWS / 10);
    assert_int_equal(values_that_are(1), 7 * ROWS / 10);
    assert_int_equal(tally.races, 3 * ROWS / 10);
    assert_int_equal(tally.rows[KMSE_ROW_WRITTEN], ROWS);
}

static void a_race_that_is_always_lost_ends(void **state)
{
    (void)state;
    db.race_always = true;
    expect_ok(run());
    assert_int_equal(tally.rows[KMSE_ROW_LOST], 1);
    assert_int_equal(tally.rows[KMSE_ROW_WRITTEN], ROWS - 1);
    assert_true(db.values[0] % 64 == 0);
}

/* The rows say that it was written; nobody's change is taken for it. */
static void an_acknowledgement_may_get_lost(void **state)
{
    (void)state;
    db.acknowledgement_is_lost = true;
    expect_ok(run());
    assert_int_equal(values_that_are(1), ROWS);
    assert_int_equal(tally.rows[KMSE_ROW_WRITTEN], ROWS);
    assert_int_equal(tally.retries, 1);
    assert_int_equal(noticed, 1);
}

static void what_fails_for_a_while_is_tried_again(void **state)
{
    (void)state;
    db.read_fails = 3;
    db.write_fails = 4;
    db.reopen_fails = 2;
    expect_ok(run());
    assert_int_equal(values_that_are(1), ROWS);
    assert_int_equal(tally.rows[KMSE_ROW_WRITTEN], ROWS);
    assert_int_equal(tally.retries, 9);
    assert_int_equal(noticed, 9);
}

static void what_fails_for_long_ends_it(void **state)
{
    (void)state;
    db.write_fails = -1;
    expect_reason(run(), KMSE_R_DATABASE_BUSY);
    assert_string_equal(why.text, "deadlock");
    assert_int_equal(values_that_are(0), ROWS);
    /* 100 ms, 200 ms, ... up to 5 s, for a minute. */
    assert_in_range(time_ms, 61000, 66500);
    assert_in_range(tally.retries, 15, 19);
}

static void what_is_refused_ends_it_at_once(void **state)
{
    (void)state;
    db.fatal_at = 5;
    expect_reason(run(), KMSE_R_DATABASE);
    assert_string_equal(why.text, "refused");
    assert_int_equal(values_that_are(1), 40);
    assert_int_equal(noticed, 0);
}

static void a_kms_that_is_away_ends_it(void **state)
{
    (void)state;
    process_fails_at = 505;
    expect_reason(run(), KMSE_R_KMS_UNREACHABLE);
    assert_string_equal(why.text, "as told");
    /* Whole batches, and none of the one that failed. */
    assert_int_equal(values_that_are(1) % 10, 0);
    assert_int_equal(db.values[500], 0);
    assert_true(values_that_are(1) <= 500);
}

static void what_is_wrong_at_the_beginning_is_told_then(void **state)
{
    (void)state;
    column.column = "missing";
    expect_reason(run(), KMSE_R_DATABASE);
    assert_string_equal(why.text, "no such column");
    column.column = "c";
    plan.jobs = 65;
    expect_reason(run(), KMSE_R_PARAMETER);
}

static void it_stops_after_what_was_read(void **state)
{
    (void)state;
    struct kmse_pipeline *pipeline = NULL;
    /* The first batch takes until the stop: it is never written before. */
    plan.rate = 1;
    plan.batch = 1;
    expect_ok(kmse_pipeline_start(&pipeline, &plan, &why));
    kmse_pipeline_stop(pipeline);
    expect_ok(kmse_pipeline_finish(pipeline, &tally, &why));
    assert_int_equal(values_that_are(1), tally.read);
}

static void a_rate_is_kept(void **state)
{
    (void)state;
    plan.rate = 100;
    expect_ok(run());
    assert_in_range(time_ms - 1000, 10000, 10100);
    assert_int_equal(kmse_pace_ms(1000, 0, 0), 0);
    assert_int_equal(kmse_pace_ms(1000, 0, 100), 10000);
    assert_int_equal(kmse_pace_ms(1000, 9999, 100), 1);
    assert_int_equal(kmse_pace_ms(1000, 10001, 100), 0);
    assert_int_equal(kmse_pace_ms(150, 0, 100), 1500);
    assert_int_equal(kmse_pace_ms(UINT64_MAX / 1000, 0, 1000),
                     UINT64_MAX / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(every_row_is_worked_on_once),
        STORY(one_writer_is_enough_where_more_are_no_use),
        STORY(nothing_is_written_if_nothing_is_to_be),
        STORY(a_lost_race_is_read_again),
        STORY(a_race_that_is_always_lost_ends),
        STORY(an_acknowledgement_may_get_lost),
        STORY(what_fails_for_a_while_is_tried_again),
        STORY(what_fails_for_long_ends_it),
        STORY(what_is_refused_ends_it_at_once),
        STORY(a_kms_that_is_away_ends_it),
        STORY(what_is_wrong_at_the_beginning_is_told_then),
        STORY(it_stops_after_what_was_read),
        STORY(a_rate_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
