/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite: prepared statements, a transaction a batch. */
#include "table/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

enum { AFTER = 1, UNTIL = 2, READS = 4 };

struct sqlite {
    struct kmse_database base;
    char *path;
    sqlite3 *db;
    struct kmse_table_name name;
    sqlite3_stmt *reads[READS]; /* by AFTER and UNTIL, or-ed */
    sqlite3_stmt *write, *reread;
    sqlite3_stmt *begin, *commit, *rollback;
};

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

static kmse_st failed(const struct sqlite *s, struct kmse_why *why)
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
    for (size_t i = 0; i < READS; i++)
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

static kmse_st prepare(const struct sqlite *s, sqlite3_stmt **statement,
                       const char *sql, struct kmse_why *why)
{
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement,
                           NULL)
        != SQLITE_OK)
        return failed(s, why);
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
        return failed(s, why);
    /* Else a column that is not there is a text of that name. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_busy_handler(s->db, wait_a_little, NULL);
    if (s->base.writes && sqlite3_db_readonly(s->db, NULL) == 1)
        return kmse_fail(why, KMSE_R_DATABASE, "%.300s: is read-only for us",
                         s->path);
    return KMSE_OK;
}

/* --- the catalogue ------------------------------------------------------ */

/* What a statement of the catalogue says, row by row. */
static kmse_st ask(const struct sqlite *s, const char *sql,
                   const char *const *words, size_t word_count,
                   kmse_st (*take)(void *arg, sqlite3_stmt *row,
                                   struct kmse_why *why),
                   void *arg, struct kmse_why *why)
{
    sqlite3_stmt *statement = NULL;
    int code = SQLITE_DONE;
    KMSE_TRY(prepare(s, &statement, sql, why));
    for (size_t i = 0; i < word_count; i++)
        sqlite3_bind_text(statement, (int)i + 1, words[i], -1, SQLITE_STATIC);
    kmse_st st = KMSE_OK;
    while (kmse_is_ok(st) && (code = sqlite3_step(statement)) == SQLITE_ROW)
        st = take(arg, statement, why);
    if (kmse_is_ok(st) && code != SQLITE_DONE)
        st = failed(s, why);
    sqlite3_finalize(statement);
    return st;
}

static const char *text_of(sqlite3_stmt *row, int index)
{
    const unsigned char *text = sqlite3_column_text(row, index);
    return text != NULL ? (const char *)text : "";
}

/* BLOB, or no type at all, is for bytes (sqlite.org/datatype3.html, 3.1). */
static bool is_binary_type(const char *type)
{
    return type[0] == '\0' || sqlite3_strlike("%BLOB%", type, 0) == 0
           || sqlite3_strlike("%BINARY%", type, 0) == 0
           || sqlite3_strlike("BYTEA", type, 0) == 0;
}

struct columns {
    struct sqlite *s;
    size_t seen, primary;
    const char *wanted; /* a column of a named key */
    bool found;
};

enum { COLUMN_NAME, COLUMN_TYPE, COLUMN_PRIMARY };

static kmse_st take_column(void *arg, sqlite3_stmt *row, struct kmse_why *why)
{
    struct columns *columns = arg;
    struct kmse_table *table = &columns->s->base.table;
    const char *name = text_of(row, COLUMN_NAME);
    const char *type = text_of(row, COLUMN_TYPE);
    columns->seen++;
    if (sqlite3_stricmp(name, columns->s->base.column.column) == 0) {
        free(table->type);
        table->type = strdup(type);
        table->is_binary = is_binary_type(type);
        if (table->type == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
    }
    if (sqlite3_column_int(row, COLUMN_PRIMARY) == 0)
        return KMSE_OK;
    columns->primary++;
    if (columns->s->base.column.key_count > 0)
        return KMSE_OK;
    return kmse_table_add_key(table, name, type, false, why);
}

static kmse_st take_key(void *arg, sqlite3_stmt *row, struct kmse_why *why)
{
    struct columns *columns = arg;
    if (sqlite3_stricmp(text_of(row, COLUMN_NAME), columns->wanted) != 0)
        return KMSE_OK;
    columns->found = true;
    return kmse_table_add_key(&columns->s->base.table,
                              text_of(row, COLUMN_NAME),
                              text_of(row, COLUMN_TYPE), false, why);
}

static const char COLUMNS[] =
    "SELECT name, type, pk FROM pragma_table_info(?1, ?2) ORDER BY pk, cid";

static kmse_st find_named_keys(struct columns *columns,
                               const char *const words[2], struct kmse_why *why)
{
    const struct kmse_column *column = &columns->s->base.column;
    for (size_t i = 0; i < column->key_count; i++) {
        columns->wanted = column->keys[i];
        columns->found = false;
        KMSE_TRY(ask(columns->s, COLUMNS, words, 2, take_key, columns, why));
        if (!columns->found)
            return kmse_fail(why, KMSE_R_DATABASE, "%s has no column %s",
                             column->table, column->keys[i]);
    }
    return KMSE_OK;
}

static kmse_st find_columns(struct sqlite *s, struct kmse_why *why)
{
    const struct kmse_column *column = &s->base.column;
    const char *words[] = {s->name.table,
                           s->name.schema != NULL ? s->name.schema : "main"};
    struct columns columns = {.s = s};
    KMSE_TRY(ask(s, COLUMNS, words, 2, take_column, &columns, why));
    if (columns.seen == 0)
        return kmse_fail(why, KMSE_R_DATABASE, "%s: there is no table %s",
                         s->path, column->table);
    if (s->base.table.type == NULL)
        return kmse_fail(why, KMSE_R_DATABASE, "%s has no column %s",
                         column->table, column->column);
    KMSE_TRY(find_named_keys(&columns, words, why));
    if (s->base.table.key_count == 0)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "%s has no primary key: name the columns that make "
                         "a row",
                         column->table);
    return KMSE_OK;
}

/* --- whether the columns make a row ------------------------------------- */

struct uniqueness {
    const struct sqlite *s;
    bool proved;
};

static bool is_key(const struct sqlite *s, const char *name)
{
    for (size_t i = 0; i < s->base.table.key_count; i++) {
        if (sqlite3_stricmp(s->base.table.keys[i].name, name) == 0)
            return true;
    }
    return false;
}

/* name of an index, its columns as a list: 'a', 'b', or NULL: an expression. */
static kmse_st take_index_column(void *arg, sqlite3_stmt *row,
                                 struct kmse_why *why)
{
    struct uniqueness *uniqueness = arg;
    (void)why;
    const unsigned char *name = sqlite3_column_text(row, 0);
    if (name == NULL || !is_key(uniqueness->s, (const char *)name))
        uniqueness->proved = false;
    return KMSE_OK;
}

struct indexes {
    const struct sqlite *s;
    const char *schema;
    bool proved;
};

static kmse_st take_index(void *arg, sqlite3_stmt *row, struct kmse_why *why)
{
    struct indexes *indexes = arg;
    struct uniqueness uniqueness = {indexes->s, true};
    const char *words[] = {text_of(row, 0), indexes->schema};
    KMSE_TRY(ask(indexes->s, "SELECT name FROM pragma_index_info(?1, ?2)",
                 words, 2, take_index_column, &uniqueness, why));
    indexes->proved = indexes->proved || uniqueness.proved;
    return KMSE_OK;
}

static kmse_st take_primary(void *arg, sqlite3_stmt *row, struct kmse_why *why)
{
    return take_index_column(arg, row, why);
}

/* The primary key, or a unique index, is within the columns that were named. */
static kmse_st check_unique(const struct sqlite *s, struct kmse_why *why)
{
    const char *schema = s->name.schema != NULL ? s->name.schema : "main";
    const char *words[] = {s->name.table, schema};
    struct indexes indexes = {s, schema, false};
    struct uniqueness primary = {s, true};
    if (s->base.column.key_count == 0)
        return KMSE_OK;
    KMSE_TRY(ask(s,
                 "SELECT name FROM pragma_index_list(?1, ?2)"
                 " WHERE \"unique\" AND NOT partial",
                 words, 2, take_index, &indexes, why));
    KMSE_TRY(ask(s,
                 "SELECT name FROM pragma_table_info(?1, ?2) WHERE pk > 0"
                 " UNION ALL SELECT NULL WHERE NOT EXISTS"
                 " (SELECT 1 FROM pragma_table_info(?1, ?2) WHERE pk > 0)",
                 words, 2, take_primary, &primary, why));
    if (!indexes.proved && !primary.proved)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "%s: no unique index says that the columns named make "
                         "a row",
                         s->base.column.table);
    return KMSE_OK;
}

/* --- statements --------------------------------------------------------- */

static void add_keys(struct kmse_sql *sql, const struct kmse_table *table)
{
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_sql_add(sql, i > 0 ? ", " : "");
        kmse_sql_name(sql, table->keys[i].name);
    }
}

/* (a, b) > (?1, ?2) */
static void add_bound(struct kmse_sql *sql, const struct kmse_table *table,
                      const char *how, size_t first)
{
    kmse_sql_add(sql, " AND (");
    add_keys(sql, table);
    kmse_sql_add(sql, ") %s (", how);
    for (size_t i = 0; i < table->key_count; i++)
        kmse_sql_add(sql, "%s?%zu", i > 0 ? ", " : "", first + i);
    kmse_sql_add(sql, ")");
}

static kmse_st prepare_read(struct sqlite *s, size_t which,
                            struct kmse_why *why)
{
    const struct kmse_table *table = &s->base.table;
    const struct kmse_column *column = &s->base.column;
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "SELECT ");
    add_keys(&sql, table);
    kmse_sql_add(&sql, ", ");
    kmse_sql_name(&sql, column->column);
    kmse_sql_add(&sql, " FROM ");
    kmse_sql_table(&sql, &s->name);
    kmse_sql_add(&sql, " WHERE ");
    kmse_sql_name(&sql, column->column);
    kmse_sql_add(&sql, " IS NOT NULL");
    /* On a line of its own: it may end in a comment. */
    if (column->where != NULL)
        kmse_sql_add(&sql, " AND (%s\n)", column->where);
    if ((which & AFTER) != 0)
        add_bound(&sql, table, ">", 2);
    if ((which & UNTIL) != 0)
        add_bound(&sql, table, "<=", 2 + table->key_count);
    kmse_sql_add(&sql, " ORDER BY ");
    add_keys(&sql, table);
    kmse_sql_add(&sql, " LIMIT ?1");
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st))
        st = prepare(s, &s->reads[which], sql.text, why);
    kmse_sql_free(&sql);
    return st;
}

static void add_match(struct kmse_sql *sql, const struct sqlite *s,
                      size_t first)
{
    for (size_t i = 0; i < s->base.table.key_count; i++) {
        kmse_sql_add(sql, i > 0 ? " AND " : " WHERE ");
        kmse_sql_name(sql, s->base.table.keys[i].name);
        kmse_sql_add(sql, " = ?%zu", first + i);
    }
}

enum { WRITE_FRESH = 1, WRITE_OLD = 2, WRITE_KEY = 3 };

static kmse_st prepare_write(struct sqlite *s, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "UPDATE ");
    kmse_sql_table(&sql, &s->name);
    kmse_sql_add(&sql, " SET ");
    kmse_sql_name(&sql, s->base.column.column);
    kmse_sql_add(&sql, " = ?1");
    add_match(&sql, s, WRITE_KEY);
    /* Byte for byte, whatever the column's own collation makes equal. */
    kmse_sql_add(&sql, " AND ");
    kmse_sql_name(&sql, s->base.column.column);
    kmse_sql_add(&sql, " = ?2 COLLATE BINARY");
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st))
        st = prepare(s, &s->write, sql.text, why);
    kmse_sql_free(&sql);
    return st;
}

static kmse_st prepare_reread(struct sqlite *s, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "SELECT ");
    kmse_sql_name(&sql, s->base.column.column);
    kmse_sql_add(&sql, " FROM ");
    kmse_sql_table(&sql, &s->name);
    add_match(&sql, s, 1);
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st))
        st = prepare(s, &s->reread, sql.text, why);
    kmse_sql_free(&sql);
    return st;
}

static kmse_st prepare_all(struct sqlite *s, struct kmse_why *why)
{
    for (size_t which = 0; which < READS; which++)
        KMSE_TRY(prepare_read(s, which, why));
    KMSE_TRY(prepare_reread(s, why));
    if (!s->base.writes)
        return KMSE_OK;
    KMSE_TRY(prepare_write(s, why));
    KMSE_TRY(prepare(s, &s->begin, "BEGIN IMMEDIATE", why));
    KMSE_TRY(prepare(s, &s->commit, "COMMIT", why));
    return prepare(s, &s->rollback, "ROLLBACK", why);
}

static kmse_st take_estimate(void *arg, sqlite3_stmt *row, struct kmse_why *why)
{
    uint64_t *estimate = arg;
    (void)why;
    sqlite3_int64 count = sqlite3_column_int64(row, 0);
    *estimate = count > 0 ? (uint64_t)count : 0;
    return KMSE_OK;
}

/* The span of rowids costs no walk through the table, a count does. */
static kmse_st estimate_rows(struct sqlite *s, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "SELECT max(rowid) - min(rowid) + 1 FROM ");
    kmse_sql_table(&sql, &s->name);
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st)
        && !kmse_is_ok(ask(s, sql.text, NULL, 0, take_estimate,
                           &s->base.table.estimated_rows, why))) {
        /* WITHOUT ROWID. */
        sql.len = 0;
        kmse_sql_add(&sql, "SELECT count(*) FROM ");
        kmse_sql_table(&sql, &s->name);
        st = ask(s, sql.text, NULL, 0, take_estimate,
                 &s->base.table.estimated_rows, why);
    }
    kmse_sql_free(&sql);
    return st;
}

static kmse_st sqlite_connect(struct kmse_database *database,
                              struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    KMSE_TRY(kmse_table_name_split(&s->name, s->base.column.table));
    KMSE_TRY(open_file(s, why));
    KMSE_TRY(find_columns(s, why));
    KMSE_TRY(check_unique(s, why));
    KMSE_TRY(prepare_all(s, why));
    return estimate_rows(s, why);
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
    return code == SQLITE_DONE ? KMSE_OK : failed(s, why);
}

static kmse_st sqlite_read(struct kmse_database *database,
                           struct kmse_rows *rows,
                           const struct kmse_range *range, size_t limit,
                           struct kmse_why *why)
{
    struct sqlite *s = (struct sqlite *)database;
    size_t which =
        (range->after != NULL ? AFTER : 0) | (range->until != NULL ? UNTIL : 0);
    sqlite3_stmt *read = s->reads[which];
    int code = sqlite3_bind_int64(read, 1, (sqlite3_int64)limit);
    if (code == SQLITE_OK && range->after != NULL)
        code = bind_key(s, read, 2, range->after, range->after->list);
    if (code == SQLITE_OK && range->until != NULL)
        code = bind_key(s, read, 2 + s->base.table.key_count, range->until,
                        range->until->list);
    kmse_st st =
        code == SQLITE_OK ? step_rows(s, rows, read, why) : failed(s, why);
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
    kmse_st st = code == SQLITE_DONE ? KMSE_OK : failed(s, why);
    sqlite3_reset(statement);
    return st;
}

static kmse_st write_row(const struct sqlite *s, struct kmse_rows *rows,
                         struct kmse_row *row, struct kmse_why *why)
{
    /* As it was: what was text stays text. */
    row->fresh.kind = row->old.kind;
    int code = bind_value(s->write, WRITE_FRESH, rows, &row->fresh);
    if (code == SQLITE_OK)
        code = bind_value(s->write, WRITE_OLD, rows, &row->old);
    if (code == SQLITE_OK)
        code = bind_key(s, s->write, WRITE_KEY, rows, row);
    if (code != SQLITE_OK)
        return failed(s, why);
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
        return failed(s, why);
    int code = sqlite3_step(s->reread);
    if (code == SQLITE_DONE)
        row->state = KMSE_ROW_GONE;
    else if (code != SQLITE_ROW)
        return failed(s, why);
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
};
