/* SPDX-License-Identifier: Apache-2.0 */
/* What kms-envelope reencrypt tells, to people and to programs. */
#include "tools/reencrypt_report.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "tools/progress.h"

enum { KEY_LEN = 256, MS_PER_S = 1000 };

/* Progress is told by one thread, rows by others. */
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

static uint64_t now_ms(void)
{
    return kmse_clock_system.elapsed_ms(kmse_clock_system.arg);
}

/* --- lines -------------------------------------------------------------- */

/* The bar's line is taken by what comes now. */
static void locked_clear_bar(struct kmse_report *report)
{
    if (report->has_bar)
        fputs("\r\033[K", stderr);
    report->has_bar = false;
}

static void locked_print_json(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    if (text != NULL)
        puts(text);
    fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(object);
}

static cJSON *event(const struct kmse_report *report, const char *name)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "event", name);
    cJSON_AddStringToObject(object, "column", report->what);
    return object;
}

static void add_number(cJSON *object, const char *name, uint64_t number)
{
    cJSON_AddNumberToObject(object, name, (double)number);
}

/* --- progress ----------------------------------------------------------- */

void kmse_report_begin(struct kmse_report *report,
                       const struct kmse_job_column *column,
                       uint64_t estimated_rows)
{
    pthread_mutex_lock(&telling);
    report->column = column;
    report->estimated = estimated_rows;
    report->began_ms = report->told_ms = now_ms();
    snprintf(report->what, sizeof(report->what), "%.60s.%.60s", column->table,
             column->column);
    pthread_mutex_unlock(&telling);
}

static void locked_tell_progress(struct kmse_report *report,
                                 const struct kmse_tally *tally, bool bar)
{
    char line[KMSE_PROGRESS_LEN];
    const struct kmse_progress progress = {
        .what = report->what,
        .rows = tally->read,
        .estimated = report->estimated,
        .elapsed_ms = now_ms() - report->began_ms,
    };
    if (report->json) {
        cJSON *object = event(report, "progress");
        add_number(object, "rows", progress.rows);
        add_number(object, "estimated", progress.estimated);
        add_number(object, "rate", kmse_progress_rate(&progress));
        locked_print_json(object);
        return;
    }
    kmse_progress_print(line, &progress, bar);
    fprintf(stderr, bar ? "\r%s\033[K" : "kms-envelope: %s\n", line);
    fflush(stderr);
    report->has_bar = bar;
}

void kmse_report_progress(struct kmse_report *report,
                          const struct kmse_tally *tally)
{
    enum { BAR_EVERY_MS = 200, LINE_EVERY_MS = 10000 };
    bool bar = !report->json && isatty(STDERR_FILENO) == 1;
    pthread_mutex_lock(&telling);
    uint64_t every = bar ? BAR_EVERY_MS : LINE_EVERY_MS;
    if (now_ms() - report->told_ms >= every) {
        report->told_ms = now_ms();
        locked_tell_progress(report, tally, bar);
    }
    pthread_mutex_unlock(&telling);
}

/* --- rows --------------------------------------------------------------- */

static const char *why_of(const struct kmse_row *row)
{
    if (row->state == KMSE_ROW_LOST)
        return "it was changed each time it should be written";
    return kmse_reason_text(row->reason);
}

static void locked_tell_json(const struct kmse_report *report,
                             const struct kmse_rows *rows,
                             const struct kmse_row *row,
                             const struct kmse_table *table)
{
    char value[KEY_LEN];
    cJSON *object = event(report, "unreadable");
    cJSON *key = cJSON_AddObjectToObject(object, "key");
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_progress_key(value, sizeof(value),
                          kmse_rows_at(rows, &row->key[i]), row->key[i].len);
        cJSON_AddStringToObject(key, table->keys[i].name, value);
    }
    cJSON_AddStringToObject(object, "why", why_of(row));
    locked_print_json(object);
}

static void locked_tell_row(struct kmse_report *report,
                            const struct kmse_rows *rows,
                            const struct kmse_row *row,
                            const struct kmse_table *table)
{
    char value[KEY_LEN];
    if (report->json) {
        locked_tell_json(report, rows, row, table);
        return;
    }
    locked_clear_bar(report);
    fprintf(stderr, "kms-envelope: %s:", report->what);
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_progress_key(value, sizeof(value),
                          kmse_rows_at(rows, &row->key[i]), row->key[i].len);
        fprintf(stderr, " %s=%s", table->keys[i].name, value);
    }
    fprintf(stderr, ": %s\n", why_of(row));
}

void kmse_report_settled(void *arg, const struct kmse_rows *rows,
                         const struct kmse_table *table)
{
    struct kmse_report *report = arg;
    for (size_t i = 0; i < rows->count; i++) {
        const struct kmse_row *row = &rows->list[i];
        if (row->state != KMSE_ROW_UNREADABLE && row->state != KMSE_ROW_LOST)
            continue;
        pthread_mutex_lock(&telling);
        locked_tell_row(report, rows, row, table);
        pthread_mutex_unlock(&telling);
    }
}

void kmse_report_noticed(void *arg, const struct kmse_why *why)
{
    struct kmse_report *report = arg;
    pthread_mutex_lock(&telling);
    if (report->json) {
        cJSON *object = event(report, "retry");
        cJSON_AddStringToObject(object, "why", why->text);
        locked_print_json(object);
    } else {
        locked_clear_bar(report);
        fprintf(stderr, "kms-envelope: trying again: %s\n", why->text);
    }
    pthread_mutex_unlock(&telling);
}

/* --- the end ------------------------------------------------------------ */

static void tell_end_json(const struct kmse_report *report,
                          const struct kmse_tally *tally, bool is_whole)
{
    cJSON *object = event(report, is_whole ? "done" : "stopped");
    add_number(object, "rows", tally->read);
    add_number(object, "reencrypted", tally->rows[KMSE_ROW_WRITTEN]);
    add_number(object, "newest", tally->rows[KMSE_ROW_NEWEST]);
    add_number(object, "older", tally->rows[KMSE_ROW_OLDER]);
    add_number(object, "not_ours", tally->rows[KMSE_ROW_FOREIGN]);
    add_number(object, "unreadable", tally->rows[KMSE_ROW_UNREADABLE]);
    add_number(object, "gone", tally->rows[KMSE_ROW_GONE]);
    add_number(object, "left", tally->rows[KMSE_ROW_LOST]);
    add_number(object, "races", tally->races);
    add_number(object, "retries", tally->retries);
    cJSON_AddNumberToObject(object, "seconds",
                            (double)(now_ms() - report->began_ms) / MS_PER_S);
    locked_print_json(object);
}

static void print_part(uint64_t number, const char *text)
{
    if (number > 0)
        printf(", %" PRIu64 " %s", number, text);
}

static void tell_end(const struct kmse_report *report,
                     const struct kmse_tally *tally, bool is_whole)
{
    const uint64_t *rows = tally->rows;
    printf("%s: %s%" PRIu64 " rows", report->what,
           is_whole ? "" : "stopped after ", tally->read);
    if (report->mode == KMSE_REENCRYPT_WRITE)
        printf(", %" PRIu64 " re-encrypted", rows[KMSE_ROW_WRITTEN]);
    else
        printf(", %" PRIu64 " of older versions", rows[KMSE_ROW_OLDER]);
    print_part(rows[KMSE_ROW_NEWEST], "of the newest version");
    print_part(rows[KMSE_ROW_FOREIGN], "not ours");
    print_part(rows[KMSE_ROW_UNREADABLE], "UNREADABLE");
    print_part(rows[KMSE_ROW_GONE], "deleted meanwhile");
    print_part(rows[KMSE_ROW_LOST], "LEFT: changed all the time");
    print_part(tally->races, "read again after somebody else's change");
    putchar('\n');
}

void kmse_report_end(struct kmse_report *report, const struct kmse_tally *tally,
                     bool is_whole)
{
    if (report->column == NULL)
        return;
    pthread_mutex_lock(&telling);
    locked_clear_bar(report);
    if (report->json)
        tell_end_json(report, tally, is_whole);
    else
        tell_end(report, tally, is_whole);
    pthread_mutex_unlock(&telling);
}
