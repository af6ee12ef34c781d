/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_REENCRYPT_REPORT_H
#define KMSE_TOOLS_REENCRYPT_REPORT_H

#include "table/job.h"
#include "table/reencrypt.h"

/*
 * What a run over a column tells while it goes: progress, rows that do not
 * open, what is tried again, and the numbers in the end. To stdout the result,
 * or, with json, one object a line of all of it; to stderr the rest. Of a row
 * only its key is told.
 */
struct kmse_report {
    bool json;
    enum kmse_reencrypt_mode mode;
    const struct kmse_job_column *column; /* NULL: it did not begin */
    char what[128];                       /* "users.email" */
    uint64_t estimated, began_ms, told_ms;
    bool has_bar; /* a line of the terminal is the bar's now */
};

void kmse_report_begin(struct kmse_report *report,
                       const struct kmse_job_column *column,
                       uint64_t estimated_rows);
/* When there is something to tell again. */
void kmse_report_progress(struct kmse_report *report,
                          const struct kmse_tally *tally);
void kmse_report_end(struct kmse_report *report, const struct kmse_tally *tally,
                     bool is_whole);

/* Of struct kmse_work; arg is the report. */
void kmse_report_settled(void *arg, const struct kmse_rows *rows,
                         const struct kmse_table *table);
void kmse_report_noticed(void *arg, const struct kmse_why *why);

#endif
