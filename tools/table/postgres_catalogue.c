/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL: what the catalogue says of a column, and statements for it. */
#include "table/postgres.h"

#include <stdlib.h>
#include <string.h>

/* --- asking ------------------------------------------------------------- */

/* At least one line, in text; NULL and success if there is none. */
static kmse_st ask(const struct postgres *p, const char *sql,
                   const char *const *words, int word_count, PGresult **result,
                   struct kmse_why *why)
{
    *result = PQexecParams(p->connection, sql, word_count, NULL, words, NULL,
                           NULL, 0);
    kmse_st st = KMSE_OK;
    if (PQresultStatus(*result) != PGRES_TUPLES_OK)
        st = kmse_postgres_failed(p, *result, why);
    if (!kmse_is_ok(st) || PQntuples(*result) == 0) {
        PQclear(*result);
        *result = NULL;
    }
    return st;
}

static bool is_true(const PGresult *result, int line, int column)
{
    return strcmp(PQgetvalue(result, line, column), "t") == 0;
}

/* --- the table ---------------------------------------------------------- */

static const char TABLE[] =
    "SELECT c.oid, c.relkind IN ('r', 'p'), greatest(c.reltuples, 0)::int8,"
    " current_setting('transaction_read_only') = 'on',"
    " pg_catalog.pg_is_in_recovery()"
    " FROM pg_catalog.pg_class c"
    " WHERE c.oid = pg_catalog.to_regclass($1)";

/* libpq gives the folder of a socket as the host, and "" for its usual one. */
static bool is_of_this_machine(const char *host)
{
    return host[0] == '\0' || host[0] == '/' || strcmp(host, "localhost") == 0
           || strncmp(host, "127.", strlen("127.")) == 0
           || strncmp(host, "::1", strlen("::1")) == 0;
}

/* Whoever connects, and with whatever options. */
static kmse_st tell_place(struct postgres *p)
{
    struct kmse_sql place = {0};
    const char *found = PQhost(p->connection);
    const char *host = found != NULL ? found : "";
    kmse_sql_add(&place, "postgresql://%s:%s/%s", host, PQport(p->connection),
                 PQdb(p->connection));
    p->base.table.place = place.text;
    p->base.table.is_of_this_machine = is_of_this_machine(host);
    return kmse_sql_check(&place);
}

static kmse_st check_table(struct postgres *p, const PGresult *result,
                           struct kmse_why *why)
{
    const char *table = p->base.column.table;
    enum { OID, IS_TABLE, ROWS, READ_ONLY, IS_REPLICA };
    if (result == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: there is no table %s, or none on the "
                         "search_path",
                         table);
    if (!is_true(result, 0, IS_TABLE))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: %s is not a table: name the table itself",
                         table);
    if (p->base.writes && is_true(result, 0, READ_ONLY))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: this server is read-only, a standby it "
                         "may be");
    p->base.table.estimated_rows =
        strtoull(PQgetvalue(result, 0, ROWS), NULL, 0);
    p->base.table.is_replica = is_true(result, 0, IS_REPLICA);
    return tell_place(p);
}

static kmse_st find_table(struct postgres *p, char **oid, struct kmse_why *why)
{
    struct kmse_sql name = {0};
    PGresult *result = NULL;
    kmse_sql_table(&name, &p->name);
    kmse_st st = kmse_sql_check(&name);
    if (kmse_is_ok(st)) {
        const char *words[] = {name.text};
        st = ask(p, TABLE, words, 1, &result, why);
    }
    if (kmse_is_ok(st))
        st = check_table(p, result, why);
    if (kmse_is_ok(st) && (*oid = strdup(PQgetvalue(result, 0, 0))) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    PQclear(result);
    kmse_sql_free(&name);
    return st;
}

/* --- the column --------------------------------------------------------- */

/* A domain is what it is made of. */
static const char COLUMN[] =
    "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod),"
    " coalesce(nullif(t.typbasetype, 0), t.oid) = 'bytea'::regtype,"
    " t.typcategory = 'S', a.attgenerated <> '',"
    " pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'),"
    " pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),"
    " current_user"
    " FROM pg_catalog.pg_attribute a"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " WHERE a.attrelid = $1::oid AND a.attname = $2"
    " AND a.attnum > 0 AND NOT a.attisdropped";

enum { TYPE, IS_BYTEA, IS_TEXT, GENERATED, MAY_READ, MAY_WRITE, USER };

static kmse_st not_permitted(const char *table, const char *column,
                             const char *what, const char *user,
                             struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_DATABASE,
                     "PostgreSQL: permission denied: %s may not %s %s.%s", user,
                     what, table, column);
}

static kmse_st check_column(const struct postgres *p, const char *column,
                            const PGresult *result, struct kmse_why *why)
{
    const char *table = p->base.column.table;
    if (result == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: %s has no column %s", table, column);
    if (!is_true(result, 0, MAY_READ))
        return not_permitted(table, column, "SELECT",
                             PQgetvalue(result, 0, USER), why);
    return KMSE_OK;
}

static kmse_st check_writable(const struct postgres *p, const PGresult *result,
                              struct kmse_why *why)
{
    const struct kmse_column *column = &p->base.column;
    if (!is_true(result, 0, IS_BYTEA) && !is_true(result, 0, IS_TEXT))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: %s.%s is of type %s, which has neither "
                         "bytes nor text",
                         column->table, column->column,
                         PQgetvalue(result, 0, TYPE));
    if (!p->base.writes)
        return KMSE_OK;
    if (is_true(result, 0, GENERATED))
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: %s.%s is a generated column",
                         column->table, column->column);
    if (!is_true(result, 0, MAY_WRITE))
        return not_permitted(column->table, column->column, "UPDATE",
                             PQgetvalue(result, 0, USER), why);
    return KMSE_OK;
}

static kmse_st find_column(struct postgres *p, const char *oid,
                           struct kmse_why *why)
{
    const char *words[] = {oid, p->base.column.column};
    struct kmse_table *table = &p->base.table;
    PGresult *result = NULL;
    KMSE_TRY(ask(p, COLUMN, words, 2, &result, why));
    kmse_st st = check_column(p, p->base.column.column, result, why);
    if (kmse_is_ok(st))
        st = check_writable(p, result, why);
    if (kmse_is_ok(st)) {
        table->is_binary = is_true(result, 0, IS_BYTEA);
        table->type = strdup(PQgetvalue(result, 0, TYPE));
        if (table->type == NULL)
            st = KMSE_ERR(KMSE_R_MEMORY);
    }
    PQclear(result);
    return st;
}

/* --- the key ------------------------------------------------------------ */

static kmse_st add_key(struct postgres *p, const char *oid, const char *name,
                       struct kmse_why *why)
{
    const char *words[] = {oid, name};
    PGresult *result = NULL;
    KMSE_TRY(ask(p, COLUMN, words, 2, &result, why));
    kmse_st st = check_column(p, name, result, why);
    if (kmse_is_ok(st))
        st = kmse_table_add_key(&p->base.table, name,
                                PQgetvalue(result, 0, TYPE),
                                is_true(result, 0, IS_BYTEA), why);
    PQclear(result);
    return st;
}

static const char PRIMARY_KEY[] =
    "SELECT a.attname FROM pg_catalog.pg_index i,"
    " unnest(i.indkey) WITH ORDINALITY k (number, place),"
    " pg_catalog.pg_attribute a"
    " WHERE i.indrelid = $1::oid AND i.indisprimary AND i.indisvalid"
    " AND k.place <= i.indnkeyatts"
    " AND a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place";

static kmse_st find_primary_key(struct postgres *p, const char *oid,
                                struct kmse_why *why)
{
    const char *words[] = {oid};
    PGresult *result = NULL;
    kmse_st st = KMSE_OK;
    KMSE_TRY(ask(p, PRIMARY_KEY, words, 1, &result, why));
    if (result == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "PostgreSQL: %s has no primary key: name the columns "
                         "that make a row",
                         p->base.column.table);
    for (int i = 0; i < PQntuples(result) && kmse_is_ok(st); i++)
        st = add_key(p, oid, PQgetvalue(result, i, 0), why);
    PQclear(result);
    return st;
}

/* A unique index on whole columns, none of them NULL, that $2 or more names. */
static const char UNIQUE[] =
    "SELECT 1 FROM pg_catalog.pg_index i"
    " WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid"
    " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS ("
    "SELECT 1 FROM unnest(i.indkey) WITH ORDINALITY k (number, place),"
    " pg_catalog.pg_attribute a"
    " WHERE k.place <= i.indnkeyatts AND a.attrelid = i.indrelid"
    " AND a.attnum = k.number AND NOT (a.attnotnull"
    " AND a.attname = ANY (string_to_array($2, chr(1)))))"
    " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a"
    " WHERE a.attrelid = $1::oid AND NOT a.attnotnull"
    " AND a.attname = ANY (string_to_array($2, chr(1))))";

static kmse_st check_unique(const struct postgres *p, const char *oid,
                            struct kmse_why *why)
{
    const struct kmse_column *column = &p->base.column;
    struct kmse_sql names = {0};
    PGresult *result = NULL;
    for (size_t i = 0; i < column->key_count; i++)
        kmse_sql_add(&names, "%s%s", i > 0 ? "\x01" : "", column->keys[i]);
    kmse_st st = kmse_sql_check(&names);
    if (kmse_is_ok(st)) {
        const char *words[] = {oid, names.text};
        st = ask(p, UNIQUE, words, 2, &result, why);
    }
    if (kmse_is_ok(st) && result == NULL)
        st = kmse_fail(why, KMSE_R_DATABASE,
                       "PostgreSQL: %s: no unique index of columns that are "
                       "NOT NULL says that the columns named make a row",
                       column->table);
    PQclear(result);
    kmse_sql_free(&names);
    return st;
}

static kmse_st find_keys(struct postgres *p, const char *oid,
                         struct kmse_why *why)
{
    const struct kmse_column *column = &p->base.column;
    if (column->key_count == 0)
        return find_primary_key(p, oid, why);
    for (size_t i = 0; i < column->key_count; i++)
        KMSE_TRY(add_key(p, oid, column->keys[i], why));
    return check_unique(p, oid, why);
}

kmse_st kmse_postgres_describe(struct postgres *p, struct kmse_why *why)
{
    char *oid = NULL;
    KMSE_TRY(find_table(p, &oid, why));
    kmse_st st = find_column(p, oid, why);
    if (kmse_is_ok(st))
        st = find_keys(p, oid, why);
    free(oid);
    return st;
}

/* --- statements --------------------------------------------------------- */

static const char *const READ_NAMES[] = {
    "kmse_read", "kmse_read_after", "kmse_read_until", "kmse_read_between"};
enum { AFTER = 1, UNTIL = 2, READS = 4 };

const char *kmse_postgres_read_name(bool after, bool until)
{
    return READ_NAMES[(after ? AFTER : 0) + (until ? UNTIL : 0)];
}

static kmse_st prepare(const struct postgres *p, const char *name,
                       const struct kmse_sql *sql, struct kmse_why *why)
{
    KMSE_TRY(kmse_sql_check(sql));
    PGresult *result = PQprepare(p->connection, name, sql->text, 0, NULL);
    kmse_st st = KMSE_OK;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        st = kmse_postgres_failed(p, result, why);
    PQclear(result);
    return st;
}

/* What travels: bytes as they are, all else in its text form. */
static const char *wire_type(bool is_binary)
{
    return is_binary ? "bytea" : "text";
}

static void add_value(struct kmse_sql *sql, const struct postgres *p)
{
    kmse_sql_add(sql, "t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, "::%s", wire_type(p->base.table.is_binary));
}

static void add_key_names(struct kmse_sql *sql, const struct kmse_table *table)
{
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_sql_add(sql, "%st.", i > 0 ? ", " : "");
        kmse_sql_name(sql, table->keys[i].name);
    }
}

/* (a, b) > ($2::..., $3::...); a parameter is sent as wire_type says. */
static void add_bound(struct kmse_sql *sql, const struct kmse_table *table,
                      const char *how, size_t first)
{
    kmse_sql_add(sql, " AND (");
    add_key_names(sql, table);
    kmse_sql_add(sql, ") %s (", how);
    for (size_t i = 0; i < table->key_count; i++)
        kmse_sql_add(sql, "%s$%zu::%s::%s", i > 0 ? ", " : "", first + i,
                     wire_type(table->keys[i].is_binary), table->keys[i].type);
    kmse_sql_add(sql, ")");
}

static void make_read(struct kmse_sql *sql, const struct postgres *p,
                      size_t which)
{
    const struct kmse_table *table = &p->base.table;
    size_t next = 2;
    kmse_sql_add(sql, "SELECT ");
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_sql_add(sql, "t.");
        kmse_sql_name(sql, table->keys[i].name);
        kmse_sql_add(sql, "::%s, ", wire_type(table->keys[i].is_binary));
    }
    add_value(sql, p);
    kmse_sql_add(sql, " FROM ");
    kmse_sql_table(sql, &p->name);
    kmse_sql_add(sql, " AS t WHERE t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, " IS NOT NULL");
    /* On a line of its own: it may end in a comment. */
    if (p->base.column.where != NULL)
        kmse_sql_add(sql, " AND (%s\n)", p->base.column.where);
    if ((which & AFTER) != 0) {
        add_bound(sql, table, ">", next);
        next += table->key_count;
    }
    if ((which & UNTIL) != 0)
        add_bound(sql, table, "<=", next);
    kmse_sql_add(sql, " ORDER BY ");
    add_key_names(sql, table);
    kmse_sql_add(sql, " LIMIT $1::int8");
}

/* unnest($1::text[], ..., $2::bytea[]) WITH ORDINALITY n (k0, ..., number) */
static void add_arrays(struct kmse_sql *sql, const struct postgres *p,
                       bool with_values)
{
    const struct kmse_table *table = &p->base.table;
    const char *type = wire_type(table->is_binary);
    size_t count = table->key_count;
    kmse_sql_add(sql, "unnest(");
    for (size_t i = 0; i < count; i++)
        kmse_sql_add(sql, "%s$%zu::%s[]", i > 0 ? ", " : "", i + 1,
                     wire_type(table->keys[i].is_binary));
    if (with_values)
        kmse_sql_add(sql, ", $%zu::%s[], $%zu::%s[]", count + 1, type,
                     count + 2, type);
    kmse_sql_add(sql, ") WITH ORDINALITY AS n (");
    for (size_t i = 0; i < count; i++)
        kmse_sql_add(sql, "k%zu, ", i);
    kmse_sql_add(sql, with_values ? "old, fresh, number)" : "number)");
}

static void add_match(struct kmse_sql *sql, const struct kmse_table *table)
{
    for (size_t i = 0; i < table->key_count; i++) {
        kmse_sql_add(sql, "%st.", i > 0 ? " AND " : "");
        kmse_sql_name(sql, table->keys[i].name);
        kmse_sql_add(sql, " = n.k%zu::%s", i, table->keys[i].type);
    }
}

/* Byte for byte, whatever the column's own collation makes equal. */
static void make_write(struct kmse_sql *sql, const struct postgres *p)
{
    const char *collation = p->base.table.is_binary ? "" : " COLLATE \"C\"";
    kmse_sql_add(sql, "UPDATE ");
    kmse_sql_table(sql, &p->name);
    kmse_sql_add(sql, " AS t SET ");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, " = n.fresh FROM ");
    add_arrays(sql, p, true);
    kmse_sql_add(sql, " WHERE ");
    add_match(sql, &p->base.table);
    kmse_sql_add(sql, " AND ");
    add_value(sql, p);
    kmse_sql_add(sql, "%s = n.old%s RETURNING n.number", collation, collation);
}

static void make_reread(struct kmse_sql *sql, const struct postgres *p)
{
    kmse_sql_add(sql, "SELECT n.number, ");
    add_value(sql, p);
    kmse_sql_add(sql, " FROM ");
    add_arrays(sql, p, false);
    kmse_sql_add(sql, ", ");
    kmse_sql_table(sql, &p->name);
    kmse_sql_add(sql, " AS t WHERE ");
    add_match(sql, &p->base.table);
    kmse_sql_add(sql, " AND t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, " IS NOT NULL");
}

static kmse_st prepare_reads(const struct postgres *p, struct kmse_why *why)
{
    kmse_st st = KMSE_OK;
    for (size_t which = 0; which < READS && kmse_is_ok(st); which++) {
        struct kmse_sql sql = {0};
        make_read(&sql, p, which);
        st = prepare(p, READ_NAMES[which], &sql, why);
        kmse_sql_free(&sql);
    }
    return st;
}

kmse_st kmse_postgres_prepare(struct postgres *p, struct kmse_why *why)
{
    struct kmse_sql write = {0}, reread = {0};
    KMSE_TRY(prepare_reads(p, why));
    make_reread(&reread, p);
    kmse_st st = prepare(p, KMSE_POSTGRES_REREAD, &reread, why);
    make_write(&write, p);
    if (kmse_is_ok(st) && p->base.writes)
        st = prepare(p, KMSE_POSTGRES_WRITE, &write, why);
    kmse_sql_free(&reread);
    kmse_sql_free(&write);
    return st;
}
