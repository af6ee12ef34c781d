/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL: arrays in, one statement a batch (libpq). */
#include "table/postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const char *const SCHEMES[] = {"postgresql:", "postgres:", NULL};

/* --- errors ------------------------------------------------------------- */

/* PostgreSQL's manual, appendix A. */
static bool is_worth_another_try(const char *state)
{
    static const char *const STATES[] = {
        "08",    /* connection exception */
        "40",    /* transaction rollback: serialization, deadlock */
        "53",    /* insufficient resources: disk full, too many connections */
        "55P03", /* lock not available */
        "57014", /* canceled: a statement's timeout */
        "57P01", "57P02", "57P03", /* shutdown, crash, starting */
        "58",                      /* system error */
        "0A000",                   /* a cached plan whose table changed */
    };
    for (size_t i = 0; i < sizeof(STATES) / sizeof(STATES[0]); i++) {
        if (strncmp(state, STATES[i], strlen(STATES[i])) == 0)
            return true;
    }
    return false;
}

/* One line, at most; invalid values are quoted after a colon, and stay out. */
static int words_len(const char *text, bool has_value)
{
    size_t len = strcspn(text, "\n");
    const char *quoted = has_value ? strstr(text, ": \"") : NULL;
    if (quoted != NULL && (size_t)(quoted - text) < len)
        len = (size_t)(quoted - text);
    return (int)len;
}

static kmse_st failed_connection(const struct postgres *p, struct kmse_why *why)
{
    const char *text = PQerrorMessage(p->connection);
    return kmse_fail(why, KMSE_R_DATABASE_BUSY, "PostgreSQL: %.*s",
                     words_len(text, false), text);
}

kmse_st kmse_postgres_failed(const struct postgres *p, const PGresult *result,
                             struct kmse_why *why)
{
    enum { CLASS_LEN = 2 };
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (PQstatus(p->connection) == CONNECTION_BAD || state == NULL
        || text == NULL)
        return failed_connection(p, why);
    int reason =
        is_worth_another_try(state) ? KMSE_R_DATABASE_BUSY : KMSE_R_DATABASE;
    /* Class 22: data exception. */
    bool has_value = strncmp(state, "22", CLASS_LEN) == 0;
    return kmse_fail(why, reason, "PostgreSQL: %.*s (%s)",
                     words_len(text, has_value), text, state);
}

static kmse_st check_result(const struct postgres *p, const PGresult *result,
                            struct kmse_why *why)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return KMSE_OK;
    return kmse_postgres_failed(p, result, why);
}

/* --- opening ------------------------------------------------------------ */

/* A command line is seen by all users of a host. */
static kmse_st check_no_password(const char *url, struct kmse_why *why)
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &error);
    bool has_password = false;
    if (options == NULL) {
        PQfreemem(error);
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the database's URL is not one that libpq reads");
    }
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
        has_password = has_password
                       || (strcmp(o->keyword, "password") == 0 && o->val != NULL
                           && o->val[0] != '\0');
    PQconninfoFree(options);
    if (has_password)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the database's URL has a password in it: all users "
                         "can see it there; use ~/.pgpass or PGPASSFILE");
    return KMSE_OK;
}

static kmse_st postgres_make(struct kmse_database **database, const char *url,
                             struct kmse_why *why)
{
    /* libpq wants slashes, also where all is said by PGHOST and the like. */
    if (strcmp(url, SCHEMES[0]) == 0)
        url = "postgresql://";
    KMSE_TRY(check_no_password(url, why));
    struct postgres *p = calloc(1, sizeof(*p));
    char *copy = strdup(url);
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    p->url = copy;
    *database = &p->base;
    return KMSE_OK;
}

static void postgres_free(struct kmse_database *database)
{
    struct postgres *p = (struct postgres *)database;
    for (size_t i = 0; i < KMSE_POSTGRES_ARRAYS; i++)
        free(p->arrays[i].bytes);
    free(p->numbers);
    free(p->url);
    free(p);
}

static void postgres_disconnect(struct kmse_database *database)
{
    struct postgres *p = (struct postgres *)database;
    PQfinish(p->connection);
    p->connection = NULL;
    kmse_table_name_free(&p->name);
}

kmse_st kmse_postgres_execute(const struct postgres *p, const char *sql,
                              struct kmse_why *why)
{
    PGresult *result = PQexec(p->connection, sql);
    kmse_st st = check_result(p, result, why);
    PQclear(result);
    return st;
}

/*
 * Text forms that do not hang on the server's settings; rows that a policy
 * would hide are an error; and the one plan that is right for a batch of keys,
 * whatever the statistics of the table are.
 */
static const char SETTINGS[] =
    "SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC;"
    "SET extra_float_digits = 1; SET standard_conforming_strings = on;"
    "SET row_security = off; SET lock_timeout = '5s';"
    "SET enable_seqscan = off; SET enable_bitmapscan = off;"
    "SET enable_hashjoin = off; SET enable_mergejoin = off;"
    "SET enable_sort = off; SET plan_cache_mode = force_generic_plan;"
    /* What is off makes plans look dear: hundreds of milliseconds of code. */
    "SET jit = off";

/* libpq would print what triggers say, rows and all. */
static void take_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

static kmse_st open_connection(struct postgres *p, struct kmse_why *why)
{
    /* What the URL says counts, for it comes last. */
    static const char *const KEYWORDS[] = {"connect_timeout",
                                           "keepalives_idle",
                                           "tcp_user_timeout",
                                           "fallback_application_name",
                                           "client_encoding",
                                           "dbname",
                                           NULL};
    const char *const values[] = {"10",   "30",   "30000", "kms-envelope",
                                  "UTF8", p->url, NULL};
    p->connection = PQconnectdbParams(KEYWORDS, values, 1);
    if (p->connection == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (PQstatus(p->connection) != CONNECTION_OK)
        return failed_connection(p, why);
    PQsetNoticeReceiver(p->connection, take_notice, NULL);
    return kmse_postgres_execute(p, SETTINGS, why);
}

static kmse_st postgres_connect(struct kmse_database *database,
                                struct kmse_why *why)
{
    struct postgres *p = (struct postgres *)database;
    KMSE_TRY(kmse_table_name_split(&p->name, p->base.column.table));
    KMSE_TRY(open_connection(p, why));
    KMSE_TRY(kmse_postgres_describe(p, why));
    p->base.table.many_writers = true;
    return kmse_postgres_prepare(p, why);
}

/* --- parameters --------------------------------------------------------- */

enum { OID_BYTEA = 17, OID_TEXT = 25 };

static kmse_st array_reserve(struct kmse_postgres_array *array, size_t more)
{
    size_t size = array->size > 0 ? array->size : more;
    while (size - array->len < more)
        size *= 2;
    if (size == array->size)
        return KMSE_OK;
    uint8_t *grown = realloc(array->bytes, size);
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    array->bytes = grown;
    array->size = size;
    return KMSE_OK;
}

static void array_number(struct kmse_postgres_array *array, uint32_t number)
{
    kmse_store_be32(array->bytes + array->len, number);
    array->len += sizeof(number);
}

/* The binary form of a one-dimensional array without NULLs (array_recv). */
static kmse_st array_begin(struct kmse_postgres_array *array, bool is_binary,
                           size_t count)
{
    enum { DIMENSIONS = 1, NO_NULLS = 0, FIRST = 1, HEADER_LEN = 20 };
    array->len = 0;
    KMSE_TRY(array_reserve(array, HEADER_LEN));
    array_number(array, DIMENSIONS);
    array_number(array, NO_NULLS);
    array_number(array, is_binary ? OID_BYTEA : OID_TEXT);
    array_number(array, (uint32_t)count);
    array_number(array, FIRST);
    return KMSE_OK;
}

static kmse_st array_add(struct kmse_postgres_array *array, const void *bytes,
                         size_t len)
{
    KMSE_TRY(array_reserve(array, len + sizeof(uint32_t)));
    array_number(array, (uint32_t)len);
    if (len > 0)
        memcpy(array->bytes + array->len, bytes, len);
    array->len += len;
    return KMSE_OK;
}

/* --- rows --------------------------------------------------------------- */

static kmse_st put_field(struct kmse_rows *rows, struct kmse_span *span,
                         const PGresult *result, int row, int column)
{
    return kmse_rows_put(rows, span, PQgetvalue(result, row, column),
                         (size_t)PQgetlength(result, row, column));
}

static kmse_st take_rows(const struct postgres *p, struct kmse_rows *rows,
                         const PGresult *result)
{
    int keys = (int)p->base.table.key_count;
    for (int i = 0; i < PQntuples(result); i++) {
        struct kmse_row *row = NULL;
        KMSE_TRY(kmse_rows_add(rows, &row));
        for (int key = 0; key < keys; key++)
            KMSE_TRY(put_field(rows, &row->key[key], result, i, key));
        KMSE_TRY(put_field(rows, &row->old, result, i, keys));
    }
    return KMSE_OK;
}

struct parameters {
    const char *values[KMSE_POSTGRES_PARAMETERS];
    int lens[KMSE_POSTGRES_PARAMETERS];
    int formats[KMSE_POSTGRES_PARAMETERS];
    int count;
};

static void add_parameter(struct parameters *parameters, const void *bytes,
                          size_t len)
{
    enum { BINARY = 1 };
    parameters->values[parameters->count] = bytes;
    parameters->lens[parameters->count] = (int)len;
    parameters->formats[parameters->count++] = BINARY;
}

static kmse_st run(const struct postgres *p, const char *statement,
                   const struct parameters *parameters, PGresult **result,
                   struct kmse_why *why)
{
    enum { BINARY = 1 };
    *result = PQexecPrepared(p->connection, statement, parameters->count,
                             parameters->values, parameters->lens,
                             parameters->formats, BINARY);
    return check_result(p, *result, why);
}

/* Text goes as binary, too: it is the same bytes, without a NUL to end it. */
static void add_position(struct parameters *parameters,
                         const struct postgres *p,
                         const struct kmse_rows *position)
{
    for (size_t i = 0; position != NULL && i < p->base.table.key_count; i++) {
        const struct kmse_span *key = &position->list->key[i];
        add_parameter(parameters, kmse_rows_at(position, key), key->len);
    }
}

static kmse_st postgres_read(struct kmse_database *database,
                             struct kmse_rows *rows,
                             const struct kmse_range *range, size_t limit,
                             struct kmse_why *why)
{
    const struct postgres *p = (const struct postgres *)database;
    struct parameters parameters = {0};
    PGresult *result = NULL;
    uint8_t limit_bytes[sizeof(uint64_t)];
    kmse_store_be64(limit_bytes, limit);
    add_parameter(&parameters, limit_bytes, sizeof(limit_bytes));
    add_position(&parameters, p, range->after);
    add_position(&parameters, p, range->until);
    kmse_st st = run(
        p, kmse_postgres_read_name(range->after != NULL, range->until != NULL),
        &parameters, &result, why);
    if (kmse_is_ok(st))
        st = take_rows(p, rows, result);
    PQclear(result);
    return st;
}

/* An array of one part of each row that is in that state. */
static kmse_st add_array(struct parameters *parameters,
                         struct kmse_postgres_array *array, bool is_binary,
                         const struct kmse_rows *rows,
                         enum kmse_row_state state, size_t offset)
{
    KMSE_TRY(array_begin(array, is_binary, kmse_rows_count(rows, state)));
    for (size_t i = 0; i < rows->count; i++) {
        const struct kmse_row *row = &rows->list[i];
        struct kmse_span span;
        if (row->state != state)
            continue;
        memcpy(&span, (const uint8_t *)row + offset, sizeof(span));
        KMSE_TRY(array_add(array, kmse_rows_at(rows, &span), span.len));
    }
    if (array->len > INT32_MAX)
        return KMSE_ERR(KMSE_R_MEMORY);
    add_parameter(parameters, array->bytes, array->len);
    return KMSE_OK;
}

static kmse_st add_keys(struct parameters *parameters, struct postgres *p,
                        const struct kmse_rows *rows, enum kmse_row_state state)
{
    const struct kmse_table *table = &p->base.table;
    for (size_t i = 0; i < table->key_count; i++)
        KMSE_TRY(add_array(
            parameters, &p->arrays[i], table->keys[i].is_binary, rows, state,
            offsetof(struct kmse_row, key) + i * sizeof(struct kmse_span)));
    return KMSE_OK;
}

/* Statements number rows from 1, of those in that state: which they are. */
static kmse_st list_numbers(struct postgres *p, const struct kmse_rows *rows,
                            enum kmse_row_state state)
{
    if (p->numbers_room < rows->count) {
        size_t *grown =
            reallocarray(p->numbers, rows->count, sizeof(*p->numbers));
        if (grown == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        p->numbers = grown;
        p->numbers_room = rows->count;
    }
    p->numbers_count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->list[i].state == state)
            p->numbers[p->numbers_count++] = i;
    }
    return KMSE_OK;
}

/* The row that a line of a result is about; column 0 is its number. */
static kmse_st find_row(struct kmse_row **row, const struct postgres *p,
                        const struct kmse_rows *rows, const PGresult *result,
                        int line)
{
    uint64_t number = 0;
    if (PQgetlength(result, line, 0) == sizeof(number))
        number = kmse_load_be64((const uint8_t *)PQgetvalue(result, line, 0));
    if (number == 0 || number > p->numbers_count)
        return KMSE_ERR(KMSE_R_INTERNAL);
    *row = &rows->list[p->numbers[number - 1]];
    return KMSE_OK;
}

static kmse_st take_hits(const struct postgres *p, struct kmse_rows *rows,
                         const PGresult *result)
{
    struct kmse_row *row = NULL;
    for (size_t i = 0; i < rows->count; i++)
        rows->list[i].hit = false;
    for (int line = 0; line < PQntuples(result); line++) {
        KMSE_TRY(find_row(&row, p, rows, result, line));
        row->hit = true;
    }
    kmse_rows_settle(rows);
    return KMSE_OK;
}

/* One statement is one transaction. */
static kmse_st postgres_write(struct kmse_database *database,
                              struct kmse_rows *rows, struct kmse_why *why)
{
    struct postgres *p = (struct postgres *)database;
    const bool is_binary = p->base.table.is_binary;
    struct kmse_postgres_array *arrays = p->arrays + p->base.table.key_count;
    struct parameters parameters = {0};
    PGresult *result = NULL;
    KMSE_TRY(list_numbers(p, rows, KMSE_ROW_WRITE));
    KMSE_TRY(add_keys(&parameters, p, rows, KMSE_ROW_WRITE));
    KMSE_TRY(add_array(&parameters, &arrays[0], is_binary, rows, KMSE_ROW_WRITE,
                       offsetof(struct kmse_row, old)));
    KMSE_TRY(add_array(&parameters, &arrays[1], is_binary, rows, KMSE_ROW_WRITE,
                       offsetof(struct kmse_row, fresh)));
    kmse_st st = run(p, KMSE_POSTGRES_WRITE, &parameters, &result, why);
    if (kmse_is_ok(st))
        st = take_hits(p, rows, result);
    PQclear(result);
    return st;
}

static kmse_st take_reread(const struct postgres *p, struct kmse_rows *rows,
                           const PGresult *result)
{
    struct kmse_row *row = NULL;
    for (int line = 0; line < PQntuples(result); line++) {
        KMSE_TRY(find_row(&row, p, rows, result, line));
        KMSE_TRY(put_field(rows, &row->old, result, line, 1));
        row->state = KMSE_ROW_READ;
    }
    for (size_t i = 0; i < p->numbers_count; i++) {
        row = &rows->list[p->numbers[i]];
        if (row->state == KMSE_ROW_LOST)
            row->state = KMSE_ROW_GONE;
    }
    return KMSE_OK;
}

static kmse_st postgres_reread(struct kmse_database *database,
                               struct kmse_rows *rows, struct kmse_why *why)
{
    struct postgres *p = (struct postgres *)database;
    struct parameters parameters = {0};
    PGresult *result = NULL;
    KMSE_TRY(list_numbers(p, rows, KMSE_ROW_LOST));
    KMSE_TRY(add_keys(&parameters, p, rows, KMSE_ROW_LOST));
    kmse_st st = run(p, KMSE_POSTGRES_REREAD, &parameters, &result, why);
    if (kmse_is_ok(st))
        st = take_reread(p, rows, result);
    PQclear(result);
    return st;
}

const struct kmse_backend kmse_backend_postgres = {
    .name = "postgresql",
    .schemes = SCHEMES,
    .make = postgres_make,
    .free = postgres_free,
    .connect = postgres_connect,
    .disconnect = postgres_disconnect,
    .read = postgres_read,
    .write = postgres_write,
    .reread = postgres_reread,
    .count = kmse_postgres_count,
    .has_settled = kmse_postgres_has_settled,
};
