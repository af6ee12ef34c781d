/* SPDX-License-Identifier: Apache-2.0 */
/* MariaDB: what the catalogue says of a column, and statements for it. */
#include "table/mariadb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DECIMAL = 10 };

/* --- parts of statements ------------------------------------------------ */

void kmse_mariadb_literal(struct kmse_sql *sql, const void *bytes, size_t len,
                          bool is_binary)
{
    const uint8_t *at = bytes;
    kmse_sql_add(sql, is_binary ? "x'" : "_utf8mb4 x'");
    for (size_t i = 0; i < len; i++)
        kmse_sql_add(sql, "%02x", at[i]);
    kmse_sql_add(sql, "'");
}

static void add_text(struct kmse_sql *sql, const char *text)
{
    kmse_mariadb_literal(sql, text, strlen(text), false);
}

static void add_name(struct kmse_sql *sql, const char *name)
{
    kmse_sql_add(sql, "`");
    for (const char *c = name; *c != '\0'; c++)
        kmse_sql_add(sql, *c == '`' ? "``" : "%c", *c);
    kmse_sql_add(sql, "`");
}

static void add_table(struct kmse_sql *sql, const struct mariadb *m)
{
    if (m->name.schema != NULL) {
        add_name(sql, m->name.schema);
        kmse_sql_add(sql, ".");
    }
    add_name(sql, m->name.table);
}

static void add_key_name(struct kmse_sql *sql, const struct mariadb *m,
                         size_t i)
{
    kmse_sql_add(sql, "t.");
    add_name(sql, m->base.table.keys[i].name);
}

static void add_column_name(struct kmse_sql *sql, const struct mariadb *m)
{
    kmse_sql_add(sql, "t.");
    add_name(sql, m->base.column.column);
}

/* --- statements --------------------------------------------------------- */

/*
 * CAST(<key> AS SIGNED): by the rules integers and text are compared as floats,
 * and it is up to the optimizer to know better.
 */
static void add_key_value(struct kmse_sql *sql, const struct mariadb *m,
                          size_t i, const struct kmse_rows *rows,
                          const struct kmse_row *row)
{
    const bool has_cast = m->casts[i][0] != '\0';
    kmse_sql_add(sql, has_cast ? "CAST(" : "");
    if (row == NULL)
        kmse_sql_add(sql, "?");
    else
        kmse_mariadb_literal(sql, kmse_rows_at(rows, &row->key[i]),
                             row->key[i].len, m->base.table.keys[i].is_binary);
    if (has_cast)
        kmse_sql_add(sql, " AS %s)", m->casts[i]);
}

/*
 * How a key compares is the key column's own, as is the order of its index:
 * "A" and "a" are one key where its collation says so.
 */
static void add_comparison(struct kmse_sql *sql, const struct mariadb *m,
                           size_t i, const char *how,
                           const struct kmse_rows *rows,
                           const struct kmse_row *row)
{
    add_key_name(sql, m, i);
    kmse_sql_add(sql, " %s ", how);
    add_key_value(sql, m, i, rows, row);
}

/*
 * (a, b) > (1, 2), for which no index would be used, as
 * (a > 1 OR (a = 1 AND b > 2)).
 */
static void add_bound(struct kmse_sql *sql, const struct mariadb *m,
                      const char *strictly, const char *last,
                      const struct kmse_rows *bound)
{
    const size_t keys = m->base.table.key_count;
    kmse_sql_add(sql, " AND (");
    for (size_t i = 0; i < keys; i++) {
        kmse_sql_add(sql, i > 0 ? " OR (" : "(");
        for (size_t before = 0; before < i; before++) {
            add_comparison(sql, m, before, "=", bound, bound->list);
            kmse_sql_add(sql, " AND ");
        }
        add_comparison(sql, m, i, i + 1 < keys ? strictly : last, bound,
                       bound->list);
        kmse_sql_add(sql, ")");
    }
    kmse_sql_add(sql, ")");
}

static void add_key_names(struct kmse_sql *sql, const struct mariadb *m)
{
    for (size_t i = 0; i < m->base.table.key_count; i++) {
        kmse_sql_add(sql, i > 0 ? ", " : "");
        add_key_name(sql, m, i);
    }
}

void kmse_mariadb_make_read(struct kmse_sql *sql, const struct mariadb *m,
                            const struct kmse_range *range, size_t limit)
{
    kmse_sql_add(sql, "SELECT ");
    add_key_names(sql, m);
    kmse_sql_add(sql, ", ");
    add_column_name(sql, m);
    kmse_sql_add(sql, " FROM ");
    add_table(sql, m);
    kmse_sql_add(sql, " AS t");
    /* The one plan that is right for a batch, whatever the statistics are. */
    if (m->base.column.key_count == 0)
        kmse_sql_add(sql, " FORCE INDEX (PRIMARY)");
    kmse_sql_add(sql, " WHERE ");
    add_column_name(sql, m);
    kmse_sql_add(sql, " IS NOT NULL");
    /* On a line of its own: it may end in a comment. */
    if (m->base.column.where != NULL)
        kmse_sql_add(sql, " AND (%s\n)", m->base.column.where);
    if (range->after != NULL)
        add_bound(sql, m, ">", ">", range->after);
    if (range->until != NULL)
        add_bound(sql, m, "<", "<=", range->until);
    kmse_sql_add(sql, " ORDER BY ");
    add_key_names(sql, m);
    kmse_sql_add(sql, " LIMIT %zu", limit);
}

static void add_match(struct kmse_sql *sql, const struct mariadb *m,
                      const struct kmse_rows *rows, const struct kmse_row *row)
{
    for (size_t i = 0; i < m->base.table.key_count; i++) {
        kmse_sql_add(sql, i > 0 ? " AND " : "");
        add_comparison(sql, m, i, "=", rows, row);
    }
}

/*
 * Byte for byte, as the bytes were read: a column's collation may make others
 * equal, and even its binary ones pass over spaces at the end.
 */
void kmse_mariadb_make_write(struct kmse_sql *sql, const struct mariadb *m)
{
    const bool is_binary = m->base.table.is_binary;
    kmse_sql_add(sql, "UPDATE ");
    add_table(sql, m);
    kmse_sql_add(sql, " AS t SET ");
    add_column_name(sql, m);
    kmse_sql_add(sql, " = ? WHERE ");
    add_match(sql, m, NULL, NULL);
    kmse_sql_add(sql, is_binary ? " AND " : " AND CAST(CONVERT(");
    add_column_name(sql, m);
    kmse_sql_add(sql, is_binary ? " = ?" : " USING utf8mb4) AS BINARY) = ?");
}

void kmse_mariadb_make_look(struct kmse_sql *sql, const struct mariadb *m,
                            const struct kmse_rows *rows, size_t number)
{
    kmse_sql_add(sql, "SELECT %zu, ", number);
    add_column_name(sql, m);
    kmse_sql_add(sql, " FROM ");
    add_table(sql, m);
    kmse_sql_add(sql, " AS t WHERE ");
    add_match(sql, m, rows, &rows->list[number]);
}

/* --- asking ------------------------------------------------------------- */

static bool is_true(const char *value)
{
    return value != NULL && strcmp(value, "1") == 0;
}

/* Ends and frees the statement. *line: the first, or NULL; of *result. */
static kmse_st ask_line(const struct mariadb *m, struct kmse_sql *sql,
                        MYSQL_RES **result, MYSQL_ROW *line,
                        struct kmse_why *why)
{
    kmse_st st = kmse_mariadb_ask(m, sql, result, why);
    kmse_sql_free(sql);
    KMSE_TRY(st);
    if (*result == NULL)
        return KMSE_ERR(KMSE_R_INTERNAL);
    *line = mysql_fetch_row(*result);
    return KMSE_OK;
}

/* Names of schemas and tables are bytes, unless the server folds case. */
static void add_in_table(struct kmse_sql *sql, const struct mariadb *m)
{
    kmse_sql_add(sql, "TABLE_SCHEMA = ");
    if (m->name.schema != NULL)
        add_text(sql, m->name.schema);
    else
        kmse_sql_add(sql, "DATABASE()");
    kmse_sql_add(sql, " AND TABLE_NAME = ");
    add_text(sql, m->name.table);
    kmse_sql_add(sql, " AND (@@lower_case_table_names <> 0 OR"
                      " CAST(TABLE_NAME AS BINARY) = CAST(");
    add_text(sql, m->name.table);
    kmse_sql_add(sql, " AS BINARY))");
}

/* --- the table ---------------------------------------------------------- */

enum { T_IS_TABLE, T_ROWS, T_ENGINE, T_IS_SAFE, T_READ_ONLY, T_PACKET };

static kmse_st check_table(struct mariadb *m, MYSQL_ROW line,
                           struct kmse_why *why)
{
    const char *table = m->base.column.table;
    if (line == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: there is no table %s, or this user may not "
                         "see it",
                         table);
    if (!is_true(line[T_IS_TABLE]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s is not a table: name the table itself",
                         table);
    if (m->base.writes && !is_true(line[T_IS_SAFE]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s is of the engine %s, which has no "
                         "transactions: ALTER TABLE ... ENGINE = InnoDB",
                         table, line[T_ENGINE] != NULL ? line[T_ENGINE] : "?");
    if (m->base.writes && is_true(line[T_READ_ONLY]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: this server is read-only, a replica it may "
                         "be");
    return KMSE_OK;
}

static kmse_st find_table(struct mariadb *m, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    MYSQL_ROW line = NULL;
    kmse_sql_add(&sql,
                 "SELECT TABLE_TYPE = 'BASE TABLE', COALESCE(TABLE_ROWS, 0),"
                 " ENGINE, (SELECT e.TRANSACTIONS = 'YES'"
                 " FROM information_schema.ENGINES e"
                 " WHERE e.ENGINE = t.ENGINE),"
                 " @@global.read_only, @@max_allowed_packet"
                 " FROM information_schema.TABLES t WHERE ");
    add_in_table(&sql, m);
    kmse_st st = ask_line(m, &sql, &result, &line, why);
    if (kmse_is_ok(st))
        st = check_table(m, line, why);
    if (kmse_is_ok(st)) {
        m->base.table.estimated_rows = strtoull(line[T_ROWS], NULL, DECIMAL);
        m->packet_bytes = strtoull(line[T_PACKET], NULL, DECIMAL);
    }
    mysql_free_result(result);
    return st;
}

/* --- columns ------------------------------------------------------------ */

enum {
    C_NAME,
    C_TYPE,
    C_KIND,
    C_GENERATED,
    C_MAY_READ,
    C_MAY_WRITE,
    C_IS_NULLABLE,
    C_PRECISION,
    C_SCALE,
    C_USER,
};

static kmse_st ask_column(const struct mariadb *m, const char *column,
                          MYSQL_RES **result, MYSQL_ROW *line,
                          struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql,
                 "SELECT COLUMN_NAME, COLUMN_TYPE, LOWER(DATA_TYPE),"
                 " COALESCE(GENERATION_EXPRESSION, '') <> '',"
                 " FIND_IN_SET('select', PRIVILEGES) > 0,"
                 " FIND_IN_SET('update', PRIVILEGES) > 0,"
                 " IS_NULLABLE = 'YES', NUMERIC_PRECISION, NUMERIC_SCALE,"
                 " CURRENT_USER() FROM information_schema.COLUMNS WHERE ");
    add_in_table(&sql, m);
    kmse_sql_add(&sql, " AND COLUMN_NAME = ");
    add_text(&sql, column);
    KMSE_TRY(ask_line(m, &sql, result, line, why));
    if (*line == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s has no column %s, or this user may not "
                         "see it",
                         m->base.column.table, column);
    if (!is_true((*line)[C_MAY_READ]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: permission denied: %s may not SELECT %s.%s",
                         (*line)[C_USER], m->base.column.table, column);
    return KMSE_OK;
}

static bool is_one_of(const char *kind, const char *const *kinds)
{
    for (size_t i = 0; kinds[i] != NULL; i++) {
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

static bool is_bytes(const char *kind)
{
    static const char *const KINDS[] = {"binary", "varbinary",  "tinyblob",
                                        "blob",   "mediumblob", "longblob",
                                        NULL};
    return is_one_of(kind, KINDS);
}

static bool is_text(const char *kind)
{
    static const char *const KINDS[] = {
        "char", "varchar", "tinytext", "text", "mediumtext", "longtext", NULL};
    return is_one_of(kind, KINDS);
}

static kmse_st check_column(const struct mariadb *m, MYSQL_ROW line,
                            struct kmse_why *why)
{
    const struct kmse_column *column = &m->base.column;
    if (!is_bytes(line[C_KIND]) && !is_text(line[C_KIND]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s.%s is of type %s, which has neither "
                         "bytes nor text",
                         column->table, column->column, line[C_TYPE]);
    if (m->base.writes && is_true(line[C_GENERATED]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s.%s is a generated column", column->table,
                         column->column);
    if (m->base.writes && !is_true(line[C_MAY_WRITE]))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: permission denied: %s may not UPDATE %s.%s",
                         line[C_USER], column->table, column->column);
    return KMSE_OK;
}

static kmse_st find_column(struct mariadb *m, struct kmse_why *why)
{
    struct kmse_table *table = &m->base.table;
    MYSQL_RES *result = NULL;
    MYSQL_ROW line = NULL;
    kmse_st st = ask_column(m, m->base.column.column, &result, &line, why);
    if (kmse_is_ok(st))
        st = check_column(m, line, why);
    if (kmse_is_ok(st)) {
        table->is_binary = is_bytes(line[C_KIND]);
        table->type = strdup(line[C_TYPE]);
        if (table->type == NULL)
            st = KMSE_ERR(KMSE_R_MEMORY);
    }
    mysql_free_result(result);
    return st;
}

/* --- the key ------------------------------------------------------------ */

/* FLOAT is printed short; the others' order is not the one of their text. */
static const char *const NO_KEYS[] = {"float", "bit", "enum", "set", NULL};
static const char *const INTEGERS[] = {
    "tinyint", "smallint", "mediumint", "int", "bigint", "year", NULL};

static void choose_cast(char *cast, MYSQL_ROW line)
{
    const char *kind = line[C_KIND];
    const bool is_unsigned = strstr(line[C_TYPE], "unsigned") != NULL;
    cast[0] = '\0';
    if (is_one_of(kind, INTEGERS))
        snprintf(cast, KMSE_MARIADB_CAST_LEN, "%s",
                 is_unsigned ? "UNSIGNED" : "SIGNED");
    else if (strcmp(kind, "double") == 0)
        snprintf(cast, KMSE_MARIADB_CAST_LEN, "DOUBLE");
    else if (strcmp(kind, "decimal") == 0)
        snprintf(cast, KMSE_MARIADB_CAST_LEN, "DECIMAL(%.4s,%.4s)",
                 line[C_PRECISION], line[C_SCALE]);
}

static kmse_st add_found_key(struct mariadb *m, MYSQL_ROW line,
                             struct kmse_why *why)
{
    struct kmse_table *table = &m->base.table;
    if (is_one_of(line[C_KIND], NO_KEYS))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "MariaDB: %s.%s is of type %s, by which rows cannot "
                         "be named: name other columns that make a row",
                         m->base.column.table, line[C_NAME], line[C_TYPE]);
    KMSE_TRY(kmse_table_add_key(table, line[C_NAME], line[C_TYPE],
                                is_bytes(line[C_KIND]), why));
    choose_cast(m->casts[table->key_count - 1], line);
    return KMSE_OK;
}

static kmse_st add_key(struct mariadb *m, const char *name,
                       struct kmse_why *why)
{
    MYSQL_RES *result = NULL;
    MYSQL_ROW line = NULL;
    kmse_st st = ask_column(m, name, &result, &line, why);
    if (kmse_is_ok(st) && is_true(line[C_IS_NULLABLE]))
        st = kmse_fail(why, KMSE_R_DATABASE,
                       "MariaDB: %s.%s may be NULL: no unique index of columns "
                       "that are NOT NULL says that the columns named make a "
                       "row",
                       m->base.column.table, name);
    if (kmse_is_ok(st))
        st = add_found_key(m, line, why);
    mysql_free_result(result);
    return st;
}

static kmse_st find_primary_key(struct mariadb *m, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    MYSQL_ROW line = NULL;
    kmse_sql_add(&sql, "SELECT COLUMN_NAME FROM information_schema.STATISTICS"
                       " WHERE INDEX_NAME = 'PRIMARY' AND ");
    add_in_table(&sql, m);
    kmse_sql_add(&sql, " ORDER BY SEQ_IN_INDEX");
    kmse_st st = ask_line(m, &sql, &result, &line, why);
    if (kmse_is_ok(st) && line == NULL)
        st = kmse_fail(why, KMSE_R_DATABASE,
                       "MariaDB: %s has no primary key: name the columns that "
                       "make a row",
                       m->base.column.table);
    for (; kmse_is_ok(st) && line != NULL; line = mysql_fetch_row(result))
        st = add_key(m, line[0], why);
    mysql_free_result(result);
    return st;
}

/* A unique index on columns that all are among those named. */
static kmse_st check_unique(const struct mariadb *m, struct kmse_why *why)
{
    const struct kmse_column *column = &m->base.column;
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    MYSQL_ROW line = NULL;
    kmse_sql_add(&sql, "SELECT 1 FROM information_schema.STATISTICS"
                       " WHERE NON_UNIQUE = 0 AND ");
    add_in_table(&sql, m);
    kmse_sql_add(&sql, " GROUP BY INDEX_NAME HAVING"
                       " SUM(COLUMN_NAME IS NULL OR COLUMN_NAME NOT IN (");
    for (size_t i = 0; i < column->key_count; i++) {
        kmse_sql_add(&sql, i > 0 ? ", " : "");
        add_text(&sql, column->keys[i]);
    }
    kmse_sql_add(&sql, ")) = 0");
    kmse_st st = ask_line(m, &sql, &result, &line, why);
    if (kmse_is_ok(st) && line == NULL)
        st = kmse_fail(why, KMSE_R_DATABASE,
                       "MariaDB: %s: no unique index says that the columns "
                       "named make a row",
                       column->table);
    mysql_free_result(result);
    return st;
}

static kmse_st find_keys(struct mariadb *m, struct kmse_why *why)
{
    const struct kmse_column *column = &m->base.column;
    if (column->key_count == 0)
        return find_primary_key(m, why);
    for (size_t i = 0; i < column->key_count; i++)
        KMSE_TRY(add_key(m, column->keys[i], why));
    return check_unique(m, why);
}

kmse_st kmse_mariadb_describe(struct mariadb *m, struct kmse_why *why)
{
    KMSE_TRY(find_table(m, why));
    KMSE_TRY(find_column(m, why));
    return find_keys(m, why);
}
