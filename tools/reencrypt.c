/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope reencrypt: rows of a database to the newest version. */
#include "tools/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table/reencrypt.h"
#include "tools/common.h"
#include "tools/job_options.h"
#include "tools/reencrypt_report.h"
#include "tools/ring.h"

/* --- Ctrl-C ------------------------------------------------------------- */

static volatile sig_atomic_t signalled;

static void take_signal(int number)
{
    signalled = number;
}

/* Once, gently: the second one of a kind ends us as if we had not asked. */
static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = take_signal};
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* --- a column ----------------------------------------------------------- */

struct run {
    const struct kmse_options *options;
    struct kmse_job job;
    struct kmse_ring *ring;
    bool failed; /* a row, or all of it */
    bool stop;   /* no more columns */
};

static enum kmse_reencrypt_mode mode_of(const struct kmse_options *options)
{
    if (options->verify)
        return KMSE_REENCRYPT_VERIFY;
    return options->dry_run ? KMSE_REENCRYPT_DRY : KMSE_REENCRYPT_WRITE;
}

static struct kmse_reencrypt work_of(const struct run *run,
                                     const struct kmse_job_column *column)
{
    return (struct kmse_reencrypt){
        .ring = run->ring,
        .key = column->key != NULL ? column->key : "",
        .aad = column->aad,
        .encoding = column->encoding,
        .mode = mode_of(run->options),
    };
}

static void watch(struct kmse_pipeline *pipeline, struct kmse_report *report)
{
    enum { LOOK_MS = 100 };
    while (!kmse_pipeline_wait(pipeline, LOOK_MS)) {
        struct kmse_tally tally;
        if (signalled != 0)
            kmse_pipeline_stop(pipeline);
        kmse_pipeline_get_tally(pipeline, &tally);
        kmse_report_progress(report, &tally);
    }
}

static kmse_st run_pipeline(const struct run *run,
                            const struct kmse_job_column *column,
                            struct kmse_report *report,
                            struct kmse_tally *tally, struct kmse_why *why)
{
    struct kmse_reencrypt reencrypt = work_of(run, column);
    const struct kmse_work work = {
        .begin = kmse_reencrypt_begin,
        .end = kmse_reencrypt_end,
        .process = kmse_reencrypt_process,
        .settled = kmse_report_settled,
        .noticed = kmse_report_noticed,
        .arg = &reencrypt,
        .report_arg = report,
    };
    const struct kmse_plan plan = {
        .url = run->job.database,
        .column = &column->spec,
        .work = &work,
        .writes = reencrypt.mode == KMSE_REENCRYPT_WRITE,
        .batch = run->job.batch,
        .jobs = (unsigned)run->job.jobs,
        .rate = run->job.rate,
        .retry_ms = run->job.retry_ms,
        .clock = &kmse_clock_system,
    };
    struct kmse_pipeline *pipeline = NULL;
    KMSE_TRY(kmse_pipeline_start(&pipeline, &plan, why));
    kmse_report_begin(report, column,
                      kmse_pipeline_table(pipeline)->estimated_rows);
    watch(pipeline, report);
    return kmse_pipeline_finish(pipeline, tally, why);
}

static void run_column(struct run *run, const struct kmse_job_column *column)
{
    struct kmse_report report = {.json = run->options->json,
                                 .mode = mode_of(run->options)};
    struct kmse_tally tally = {0};
    struct kmse_why why = {""};
    kmse_st st = run_pipeline(run, column, &report, &tally, &why);
    bool is_whole = kmse_is_ok(st) && signalled == 0;
    kmse_report_end(&report, &tally, is_whole);
    if (!kmse_is_ok(st))
        kmse_tool_fail(st, &why);
    run->failed = run->failed || !is_whole
                  || tally.rows[KMSE_ROW_UNREADABLE] > 0
                  || tally.rows[KMSE_ROW_LOST] > 0;
    run->stop = !is_whole;
}

/* --- all of them -------------------------------------------------------- */

/* What is wrong with any column is found before a row of the first changes. */
static kmse_st check_column(const struct run *run,
                            const struct kmse_job_column *column,
                            struct kmse_why *why)
{
    struct kmse_reencrypt work = work_of(run, column);
    struct kmse_database *database = NULL;
    void *worker = NULL;
    KMSE_TRY(kmse_database_open(&database, run->job.database, why));
    kmse_st st = kmse_database_open_column(
        database, &column->spec, work.mode == KMSE_REENCRYPT_WRITE, why);
    if (kmse_is_ok(st))
        st = kmse_reencrypt_begin(&worker, &work, kmse_database_table(database),
                                  why);
    if (kmse_is_ok(st))
        kmse_reencrypt_end(worker);
    kmse_database_close(database);
    return st;
}

static kmse_st prepare(struct run *run, struct kmse_why *why)
{
    const char *keys = run->options->keys;
    KMSE_TRY(kmse_job_options_read(&run->job, run->options, why));
    KMSE_TRY(
        kmse_tool_ring(&run->ring, keys != NULL ? keys : run->job.keys, why));
    for (size_t i = 0; i < run->job.column_count; i++)
        KMSE_TRY(check_column(run, &run->job.columns[i], why));
    return KMSE_OK;
}

static int run_all(struct run *run)
{
    struct kmse_why why = {""};
    kmse_st st = prepare(run, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    for (size_t i = 0; i < run->job.column_count && !run->stop; i++) {
        if (signalled != 0)
            run->stop = run->failed = true;
        else
            run_column(run, &run->job.columns[i]);
    }
    if (run->stop)
        kmse_tool_hint("%s: each row is either as it was or of the newest "
                       "version; run it again and it goes on",
                       signalled != 0 ? "interrupted" : "stopped");
    return run->failed ? KMSE_EXIT_FAILED : KMSE_EXIT_DONE;
}

static int run(const struct kmse_options *options)
{
    struct run run = {.options = options};
    watch_signals();
    int exit_code = run_all(&run);
    kmse_ring_release(run.ring);
    kmse_job_wipe(&run.job);
    return exit_code;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->dry_run && options->verify)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--dry-run and --verify: only one of them");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_reencrypt = {
    .name = "reencrypt",
    .operands = "",
    .summary = "move rows of a database to the newest version",
    .details =
        "Each row is opened, sealed with the newest version, opened again and"
        " compared, and\nwritten only where its old bytes still stand. It may"
        " be interrupted anywhere: run it\nagain and it goes on. --table begins"
        " a column, and may be given several times.\nSee kms-envelope(1).",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_JSON | KMSE_OPTION_JOB
             | KMSE_OPTION_DRY_RUN | KMSE_OPTION_VERIFY,
    .check = check,
    .run = run,
};
