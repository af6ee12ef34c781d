/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite: prepared statements, a transaction a batch. */
#include "table/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const SCHEMES[] = {"sqlite:", NULL};

/* --- errors ------------------------------------------------------------- */

static int reason_of(int code)
{
    enum { PRIMARY = 0xFF };
    switch (code & PRIMARY) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_SCHEMA:
    case SQLITE_INTERRUPT:
        return KMSE_R_DATABASE_BUSY;
    case SQLITE_NOMEM:
        return KMSE_R_MEMORY;
    default:
        return KMSE_R_DATABASE;
    }
}

kmse_st kmse_sqlite_failed(const struct sqlite *s, struct kmse_why *why)
{
    return kmse_fail(why, reason_of(sqlite3_errcode(s->db)), "%.300s: %.300s",
                     s->path, sqlite3_errmsg(s->db));
}

/* --- opening ------------------------------------------------------------ */

static kmse_st sqlite_make(struct kmse_database **database, const char *url,
                           struct kmse_why *why)
{
    const char *path = url + strlen(SCHEMES[0]);
    if (path[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: the path is missing", url);
    struct sqlite *s = calloc(1, sizeof(*s));
    char *copy = strdup(path);
    if (s == NULL || copy == NULL) {
        free(s);
        free(copy);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    s->path = copy;
    *database = &s->base;
    return KMSE_OK;
}

static void sqlite_free(struct kmse_database *database)
{
    struct sqlite *s = (struct sqlite *)database;
    free(s->path);
    free(s);
}

static void sqlite_disconnect(struct kmse_database *database)
{
    struct sqlite *s = (struct sqlite *)database;
    for (size_t i = 0; i < KMSE_SQLITE_READS; i++)
        sqlite3_finalize(s->reads[i]);
    sqlite3_finalize(s->write);
    sqlite3_finalize(s->reread);
    sqlite3_finalize(s->begin);
    sqlite3_finalize(s->commit);
    sqlite3_finalize(s->rollback);
    sqlite3_close(s->db);
    kmse_table_name_free(&s->name);
    *s = (struct sqlite){.base = s->base, .path = s->path};
}

/*
 * Our own reader and writer meet all the time, for less than a millisecond:
 * SQLite's own handler would sleep up to 100 ms.
 */
static int wait_a_little(void *arg, int times)
{
    enum { WAIT_US = 500, NS_PER_US = 1000, MOST = 20000 };
    (void)arg;
    struct timespec wait = {0, WAIT_US * NS_PER_US};
    nanosleep(&wait, NULL);
    return times < MOST;
}

kmse_st kmse_sqlite_prepare(const struct sqlite *s, sqlite3_stmt **statement,
                            const char *sql, struct kmse_why *why)
{
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement,
                           NULL)
        != SQLITE_OK)
        return kmse_sqlite_failed(s, why);
    return KMSE_OK;
}

static kmse_st open_file(struct sqlite *s, struct kmse_why *why)
{
    int flags = s->base.writes ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    int code =
        sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (s->db == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    sqlite3_extended_result_codes(s->db, 1);
    if (code != SQLITE_OK)
        return kmse_sqlite_failed(s, why);
    /* Else a column that is not there is a text of that name. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_busy_handler(s->db, wait_a_little, NULL);
    if (s->base.writes && sqlite3_db_readonly(s->db, NULL) == 1)
        return kmse_fail(why, KMSE_R_DATABASE, "%.300s: is read-only for us",
                         s->path);
    return KMSE_OK;
}

/* The same from every folder, and by every link. */
static kmse_st tell_place(struct sqlite *s)
{
    struct kmse_sql place = {0};
    char *whole = realpath(s->path, NULL);
    kmse_sql_add(&place, "sqlite:%s", whole != NULL ? whole : s->path);
    free(whole);
    s->base.table.place = place.text;
    s->base.table.is_of_this_machine = true;
    return kmse_sql_check(&place);
}

static kmse_st sqlite_connect(struct kmse_database *database,
                              struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    KMSE_TRY(kmse_table_name_split(&s->name, s->base.column.table));
    KMSE_TRY(open_file(s, why));
    KMSE_TRY(tell_place(s));
    KMSE_TRY(kmse_sqlite_describe(s, why));
    return kmse_sqlite_prepare_all(s, why);
}

/* --- values ------------------------------------------------------------- */

enum { NUMBER_LEN = 32, DECIMAL = 10 };

/* A number as text that gives the same number again. */
static kmse_st put_double(struct kmse_rows *rows, struct kmse_span *span,
                          double value)
{
    char text[NUMBER_LEN];
    int len = snprintf(text, sizeof(text), "%.17g", value);
    return kmse_rows_put(rows, span, text, (size_t)len);
}

/* SQLite's values have their own types, whatever the column's is. */
static kmse_st put_value(struct kmse_rows *rows, struct kmse_span *span,
                         sqlite3_stmt *from, int index)
{
    span->kind = sqlite3_column_type(from, index);
    if (span->kind == SQLITE_FLOAT)
        return put_double(rows, span, sqlite3_column_double(from, index));
    const void *bytes = span->kind == SQLITE_BLOB
                            ? sqlite3_column_blob(from, index)
                            : (const void *)sqlite3_column_text(from, index);
    int len = sqlite3_column_bytes(from, index);
    if (bytes == NULL && len > 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    return kmse_rows_put(rows, span, bytes, (size_t)len);
}

static int bind_number(sqlite3_stmt *to, int index, const uint8_t *bytes,
                       const struct kmse_span *span)
{
    char text[NUMBER_LEN];
    snprintf(text, sizeof(text), "%.*s", (int)span->len, (const char *)bytes);
    if (span->kind == SQLITE_INTEGER)
        return sqlite3_bind_int64(to, index, strtoll(text, NULL, DECIMAL));
    return sqlite3_bind_double(to, index, strtod(text, NULL));
}

static int bind_value(sqlite3_stmt *to, int index, const struct kmse_rows *rows,
                      const struct kmse_span *span)
{
    const uint8_t *bytes = kmse_rows_at(rows, span);
    switch (span->kind) {
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        return bind_number(to, index, bytes, span);
    case SQLITE_BLOB:
        return sqlite3_bind_blob64(to, index, bytes, span->len, SQLITE_STATIC);
    default:
        return sqlite3_bind_text64(to, index, (const char *)bytes, span->len,
                                   SQLITE_STATIC, SQLITE_UTF8);
    }
}

static int bind_key(const struct sqlite *s, sqlite3_stmt *to, size_t first,
                    const struct kmse_rows *rows, const struct kmse_row *row)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < s->base.table.key_count && code == SQLITE_OK; i++)
        code = bind_value(to, (int)(first + i), rows, &row->key[i]);
    return code;
}

/* --- reading ------------------------------------------------------------ */

static kmse_st take_row(const struct sqlite *s, struct kmse_rows *rows,
                        sqlite3_stmt *from, struct kmse_why *why)
{
    struct kmse_row *row = NULL;
    KMSE_TRY(kmse_rows_add(rows, &row));
    for (size_t i = 0; i < s->base.table.key_count; i++) {
        KMSE_TRY(put_value(rows, &row->key[i], from, (int)i));
        /* NULL is never greater than anything: rows would be passed over. */
        if (row->key[i].kind == SQLITE_NULL)
            return kmse_fail(why, KMSE_R_DATABASE,
                             "%s: %s is NULL in a row: no key can name it",
                             s->base.column.table, s->base.table.keys[i].name);
    }
    return put_value(rows, &row->old, from, (int)s->base.table.key_count);
}

static kmse_st step_rows(const struct sqlite *s, struct kmse_rows *rows,
                         sqlite3_stmt *read, struct kmse_why *why)
{
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(read)) == SQLITE_ROW)
        KMSE_TRY(take_row(s, rows, read, why));
    return code == SQLITE_DONE ? KMSE_OK : kmse_sqlite_failed(s, why);
}

static kmse_st sqlite_read(struct kmse_database *database,
                           struct kmse_rows *rows,
                           const struct kmse_range *range, size_t limit,
                           struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    size_t which = (range->after != NULL ? KMSE_SQLITE_AFTER : 0)
                   | (range->until != NULL ? KMSE_SQLITE_UNTIL : 0);
    sqlite3_stmt *read = s->reads[which];
    int code = sqlite3_bind_int64(read, 1, (sqlite3_int64)limit);
    if (code == SQLITE_OK && range->after != NULL)
        code = bind_key(s, read, 2, range->after, range->after->list);
    if (code == SQLITE_OK && range->until != NULL)
        code = bind_key(s, read, 2 + s->base.table.key_count, range->until,
                        range->until->list);
    kmse_st st = code == SQLITE_OK ? step_rows(s, rows, read, why)
                                   : kmse_sqlite_failed(s, why);
    /* Else the lock on the file would stay. */
    sqlite3_reset(read);
    sqlite3_clear_bindings(read);
    return st;
}

/* --- writing ------------------------------------------------------------ */

static kmse_st step(const struct sqlite *s, sqlite3_stmt *statement,
                    struct kmse_why *why)
{
    int code = sqlite3_step(statement);
    kmse_st st = code == SQLITE_DONE ? KMSE_OK : kmse_sqlite_failed(s, why);
    sqlite3_reset(statement);
    return st;
}

static kmse_st write_row(const struct sqlite *s, struct kmse_rows *rows,
                         struct kmse_row *row, struct kmse_why *why)
{
    /* As it was: what was text stays text. */
    row->fresh.kind = row->old.kind;
    int code = bind_value(s->write, KMSE_SQLITE_FRESH, rows, &row->fresh);
    if (code == SQLITE_OK)
        code = bind_value(s->write, KMSE_SQLITE_OLD, rows, &row->old);
    if (code == SQLITE_OK)
        code = bind_key(s, s->write, KMSE_SQLITE_KEY, rows, row);
    if (code != SQLITE_OK)
        return kmse_sqlite_failed(s, why);
    KMSE_TRY(step(s, s->write, why));
    row->hit = sqlite3_changes(s->db) > 0;
    return KMSE_OK;
}

static kmse_st write_rows(const struct sqlite *s, struct kmse_rows *rows,
                          struct kmse_why *why)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->list[i].state == KMSE_ROW_WRITE)
            KMSE_TRY(write_row(s, rows, &rows->list[i], why));
    }
    return step(s, s->commit, why);
}

static kmse_st sqlite_write(struct kmse_database *database,
                            struct kmse_rows *rows, struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    KMSE_TRY(step(s, s->begin, why));
    kmse_st st = write_rows(s, rows, why);
    sqlite3_clear_bindings(s->write);
    if (kmse_is_ok(st))
        kmse_rows_settle(rows);
    /* Some errors have rolled back already; then this fails, to no harm. */
    else if (sqlite3_get_autocommit(s->db) == 0 && sqlite3_step(s->rollback))
        sqlite3_reset(s->rollback);
    return st;
}

static kmse_st reread_row(const struct sqlite *s, struct kmse_rows *rows,
                          size_t index, struct kmse_why *why)
{
    struct kmse_row *row = &rows->list[index];
    if (bind_key(s, s->reread, 1, rows, row) != SQLITE_OK)
        return kmse_sqlite_failed(s, why);
    int code = sqlite3_step(s->reread);
    if (code == SQLITE_DONE)
        row->state = KMSE_ROW_GONE;
    else if (code != SQLITE_ROW)
        return kmse_sqlite_failed(s, why);
    else if (sqlite3_column_type(s->reread, 0) == SQLITE_NULL)
        row->state = KMSE_ROW_GONE;
    else {
        KMSE_TRY(put_value(rows, &row->old, s->reread, 0));
        row->state = KMSE_ROW_READ;
    }
    return KMSE_OK;
}

static kmse_st sqlite_reread(struct kmse_database *database,
                             struct kmse_rows *rows, struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < rows->count && kmse_is_ok(st); i++) {
        if (rows->list[i].state != KMSE_ROW_LOST)
            continue;
        st = reread_row(s, rows, i, why);
        sqlite3_reset(s->reread);
        sqlite3_clear_bindings(s->reread);
    }
    return st;
}

const struct kmse_backend kmse_backend_sqlite = {
    .name = "sqlite",
    .schemes = SCHEMES,
    .make = sqlite_make,
    .free = sqlite_free,
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .read = sqlite_read,
    .write = sqlite_write,
    .reread = sqlite_reread,
    .count = kmse_sqlite_count,
};
