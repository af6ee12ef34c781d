/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite: what the catalogue says of a column, and statements for it. */
#include "table/sqlite.h"

#include <stdlib.h>
#include <string.h>

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
    KMSE_TRY(kmse_sqlite_prepare(s, &statement, sql, why));
    for (size_t i = 0; i < word_count; i++)
        sqlite3_bind_text(statement, (int)i + 1, words[i], -1, SQLITE_STATIC);
    kmse_st st = KMSE_OK;
    while (kmse_is_ok(st) && (code = sqlite3_step(statement)) == SQLITE_ROW)
        st = take(arg, statement, why);
    if (kmse_is_ok(st) && code != SQLITE_DONE)
        st = kmse_sqlite_failed(s, why);
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
    if ((which & KMSE_SQLITE_AFTER) != 0)
        add_bound(&sql, table, ">", 2);
    if ((which & KMSE_SQLITE_UNTIL) != 0)
        add_bound(&sql, table, "<=", 2 + table->key_count);
    kmse_sql_add(&sql, " ORDER BY ");
    add_keys(&sql, table);
    kmse_sql_add(&sql, " LIMIT ?1");
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st))
        st = kmse_sqlite_prepare(s, &s->reads[which], sql.text, why);
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

static kmse_st prepare_write(struct sqlite *s, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "UPDATE ");
    kmse_sql_table(&sql, &s->name);
    kmse_sql_add(&sql, " SET ");
    kmse_sql_name(&sql, s->base.column.column);
    kmse_sql_add(&sql, " = ?1");
    add_match(&sql, s, KMSE_SQLITE_KEY);
    /* Byte for byte, whatever the column's own collation makes equal. */
    kmse_sql_add(&sql, " AND ");
    kmse_sql_name(&sql, s->base.column.column);
    kmse_sql_add(&sql, " = ?2 COLLATE BINARY");
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st))
        st = kmse_sqlite_prepare(s, &s->write, sql.text, why);
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
        st = kmse_sqlite_prepare(s, &s->reread, sql.text, why);
    kmse_sql_free(&sql);
    return st;
}

kmse_st kmse_sqlite_prepare_all(struct sqlite *s, struct kmse_why *why)
{
    for (size_t which = 0; which < KMSE_SQLITE_READS; which++)
        KMSE_TRY(prepare_read(s, which, why));
    KMSE_TRY(prepare_reread(s, why));
    if (!s->base.writes)
        return KMSE_OK;
    KMSE_TRY(prepare_write(s, why));
    KMSE_TRY(kmse_sqlite_prepare(s, &s->begin, "BEGIN IMMEDIATE", why));
    KMSE_TRY(kmse_sqlite_prepare(s, &s->commit, "COMMIT", why));
    return kmse_sqlite_prepare(s, &s->rollback, "ROLLBACK", why);
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
    /* Of one SELECT for both, SQLite would read the whole table. */
    kmse_sql_add(&sql, "SELECT (SELECT max(rowid) FROM ");
    kmse_sql_table(&sql, &s->name);
    kmse_sql_add(&sql, ") - (SELECT min(rowid) FROM ");
    kmse_sql_table(&sql, &s->name);
    kmse_sql_add(&sql, ") + 1");
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

kmse_st kmse_sqlite_describe(struct sqlite *s, struct kmse_why *why)
{
    KMSE_TRY(find_columns(s, why));
    KMSE_TRY(check_unique(s, why));
    return estimate_rows(s, why);
}
