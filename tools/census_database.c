/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope census, of the columns of a database. */
#include "tools/census.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "table/job.h"
#include "tools/job_options.h"

struct column {
    const struct kmse_job_column *job;
    struct kmse_database *database;
    struct kmse_count count;
    enum kmse_encoding encoding;
    char *scope;
    uint64_t nulls;
    bool recorded;
};

struct census {
    const struct kmse_options *options;
    struct kmse_job job;
    char *folder, *default_key;
    struct column *columns;
};

/* --- what there is ------------------------------------------------------ */

/* "users.email of postgresql://host:5432/shop where id < 5" */
static kmse_st make_scope(struct column *column)
{
    const struct kmse_job_column *job = column->job;
    const struct kmse_table *table = kmse_database_table(column->database);
    /* None, where rows are not counted: it is told when they are to be. */
    const char *place = table->place != NULL ? table->place : "";
    struct utsname machine = {.nodename = ""};
    bool is_local = table->is_of_this_machine && uname(&machine) == 0;
    int len = asprintf(&column->scope, "%s.%s of %s%s%s%s%s", job->table,
                       job->column, place, is_local ? " on " : "",
                       is_local ? machine.nodename : "",
                       job->where != NULL ? " where " : "",
                       job->where != NULL ? job->where : "");
    if (len < 0) {
        column->scope = NULL;
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    column->count.scope = column->scope;
    return KMSE_OK;
}

static kmse_st check_recordable(const struct column *column,
                                struct kmse_why *why)
{
    if (kmse_database_table(column->database)->is_replica)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "this server is a standby, which may lack rows of the "
                         "primary: --record a census of the primary");
    if (!kmse_census_text_is_valid(column->scope, KMSE_SCOPE_MAX))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--record: what is counted cannot be told in one line "
                         "of %d bytes: %.300s",
                         KMSE_SCOPE_MAX, column->scope);
    return KMSE_OK;
}

static const char *key_of(const struct census *census,
                          const struct kmse_job_column *job)
{
    return job->key != NULL && job->key[0] != '\0' ? job->key
                                                   : census->default_key;
}

static kmse_st open_column(const struct census *census, struct column *column,
                           struct kmse_why *why)
{
    column->count.key = key_of(census, column->job);
    if (column->count.key == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s.%s: --key NAME is missing, and openssl.cnf has no "
                         "default-key",
                         column->job->table, column->job->column);
    KMSE_TRY(kmse_database_open(&column->database, census->job.database, why));
    KMSE_TRY(kmse_database_open_column(column->database, &column->job->spec,
                                       false, why));
    column->encoding = column->job->encoding;
    if (column->encoding == KMSE_ENCODING_AUTO)
        column->encoding = kmse_database_table(column->database)->is_binary
                               ? KMSE_ENCODING_BINARY
                               : KMSE_ENCODING_BASE64;
    KMSE_TRY(make_scope(column));
    return census->options->record != NULL ? check_recordable(column, why)
                                           : KMSE_OK;
}

/* --- counting ----------------------------------------------------------- */

static uint64_t now_ms(void)
{
    return kmse_clock_system.elapsed_ms(kmse_clock_system.arg);
}

static void wait_a_little(void)
{
    enum { WAIT_NS = 100000000 };
    struct timespec wait = {0, WAIT_NS};
    nanosleep(&wait, NULL);
}

/* A row that was written before the census began must be seen by it. */
static kmse_st settle(const struct census *census, struct column *column,
                      struct kmse_why *why)
{
    uint64_t mark = 0, began_ms = now_ms();
    bool settled = false;
    for (;;) {
        KMSE_TRY(
            kmse_database_has_settled(column->database, &mark, &settled, why));
        if (settled)
            return KMSE_OK;
        if (now_ms() - began_ms >= census->job.retry_ms)
            return kmse_fail(why, KMSE_R_STATE,
                             "a transaction that has written is open since the "
                             "census began: what it wrote cannot be counted "
                             "yet");
        wait_a_little();
    }
}

static void add(void *arg, const uint8_t *head, size_t len, uint64_t rows)
{
    struct column *column = arg;
    kmse_version_tally_add_rows(&column->count.tally, column->encoding, head,
                                len, rows);
}

/* From the beginning: nothing of an earlier try is left in it. */
static kmse_st count_once(const struct census *census, struct column *column,
                          struct kmse_why *why)
{
    kmse_count_wipe(&column->count);
    KMSE_TRY(kmse_count_init(&column->count, census->folder, why));
    struct kmse_heads heads = {
        .encoding = column->encoding,
        .newest = (uint32_t)column->count.tally.version_count,
        .add = add,
        .arg = column,
    };
    if (census->options->record != NULL)
        KMSE_TRY(settle(census, column, why));
    KMSE_TRY(kmse_database_count(column->database, &heads, why));
    column->nulls = heads.nulls;
    return KMSE_OK;
}

static kmse_st count_column(const struct census *census, struct column *column,
                            struct kmse_why *why)
{
    uint64_t began_ms = now_ms();
    kmse_st st = count_once(census, column, why);
    while (!kmse_is_ok(st) && st.reason == KMSE_R_DATABASE_BUSY
           && now_ms() - began_ms < census->job.retry_ms) {
        wait_a_little();
        st = kmse_database_reopen(column->database, why);
        if (kmse_is_ok(st))
            st = count_once(census, column, why);
    }
    return st;
}

static kmse_st record_all(struct census *census, struct kmse_why *why)
{
    struct kmse_session session = {0};
    kmse_st st = kmse_session_open(&session, census->folder, why);
    for (size_t i = 0; i < census->job.column_count && kmse_is_ok(st); i++) {
        st = kmse_count_record(&census->columns[i].count, &session, why);
        census->columns[i].recorded = kmse_is_ok(st);
    }
    kmse_session_close(&session);
    return st;
}

/* --- telling ------------------------------------------------------------ */

static void tell_text(const struct column *column)
{
    const struct kmse_version_tally *tally = &column->count.tally;
    printf("%s.%s: key %s", column->job->table, column->job->column,
           column->count.key);
    for (size_t i = 0; i < tally->version_count; i++)
        printf("%s %" PRIu64 " of version %zu", i == 0 ? ":" : ",",
               tally->counts[i], i + 1);
    if (tally->unknown > 0)
        printf(", %" PRIu64 " of versions that it does not have, up to %u",
               tally->unknown, (unsigned)tally->unknown_version);
    if (tally->other > 0)
        printf(", %" PRIu64 " not ours", tally->other);
    if (column->nulls > 0)
        printf(", %" PRIu64 " NULL", column->nulls);
    putchar('\n');
}

/* These names are an interface: never changed. */
static bool add_json(cJSON *root, const struct column *column)
{
    char taken[KMSE_TIME_LEN];
    kmse_time_print(taken, column->count.taken_s);
    return cJSON_AddStringToObject(root, "key", column->count.key) != NULL
           && cJSON_AddStringToObject(root, "table", column->job->table) != NULL
           && cJSON_AddStringToObject(root, "column", column->job->column)
                  != NULL
           && cJSON_AddStringToObject(root, "scope", column->scope) != NULL
           && cJSON_AddStringToObject(root, "taken", taken) != NULL
           && cJSON_AddBoolToObject(root, "recorded", column->recorded) != NULL
           && kmse_count_add_json(root, &column->count)
           && kmse_count_add_number(root, "null", column->nulls);
}

static kmse_st tell_json(const struct column *column)
{
    cJSON *root = cJSON_CreateObject();
    char *text = root != NULL && add_json(root, column)
                     ? cJSON_PrintUnformatted(root)
                     : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    puts(text);
    cJSON_free(text);
    return KMSE_OK;
}

static kmse_st tell_all(const struct census *census)
{
    for (size_t i = 0; i < census->job.column_count; i++) {
        if (census->options->json)
            KMSE_TRY(tell_json(&census->columns[i]));
        else
            tell_text(&census->columns[i]);
    }
    return KMSE_OK;
}

/* --- the verb ----------------------------------------------------------- */

static kmse_st prepare(struct census *census, struct kmse_why *why)
{
    const char *keys = census->options->keys;
    KMSE_TRY(kmse_job_options_read(&census->job, census->options, why));
    keys = keys != NULL ? keys : census->job.keys;
    if (keys == NULL)
        KMSE_TRY(kmse_tool_configured_folder(&census->folder, why));
    else if ((census->folder = strdup(keys)) == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    KMSE_TRY(kmse_tool_configured_key(&census->default_key));
    census->columns =
        calloc(census->job.column_count, sizeof(*census->columns));
    if (census->columns == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    /* What is wrong with any column is found before the first is counted. */
    for (size_t i = 0; i < census->job.column_count; i++) {
        census->columns[i].job = &census->job.columns[i];
        KMSE_TRY(open_column(census, &census->columns[i], why));
    }
    return KMSE_OK;
}

/* Nothing is told or recorded, unless all was counted. */
static kmse_st run_all(struct census *census, struct kmse_why *why)
{
    KMSE_TRY(prepare(census, why));
    for (size_t i = 0; i < census->job.column_count; i++)
        KMSE_TRY(count_column(census, &census->columns[i], why));
    kmse_st recorded =
        census->options->record != NULL ? record_all(census, why) : KMSE_OK;
    kmse_st told = tell_all(census);
    return kmse_is_ok(recorded) ? told : recorded;
}

static void wipe(struct census *census)
{
    for (size_t i = 0; census->columns != NULL && i < census->job.column_count;
         i++) {
        kmse_count_wipe(&census->columns[i].count);
        kmse_database_close(census->columns[i].database);
        free(census->columns[i].scope);
    }
    free(census->columns);
    free(census->folder);
    free(census->default_key);
    kmse_job_wipe(&census->job);
}

int kmse_census_database(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct census census = {.options = options};
    kmse_st st = run_all(&census, &why);
    int exit_code = kmse_is_ok(st) ? KMSE_EXIT_DONE : kmse_tool_fail(st, &why);
    for (size_t i = 0; census.columns != NULL && i < census.job.column_count;
         i++) {
        if (census.columns[i].recorded)
            kmse_tool_hint("recorded as the census of %s",
                           census.columns[i].scope);
    }
    wipe(&census);
    return exit_code;
}
