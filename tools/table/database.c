/* SPDX-License-Identifier: Apache-2.0 */
/* Databases: which backend has a URL, and what all backends share. */
#include "table/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kmse_backend *const BACKENDS[] = {
#ifdef KMSE_HAS_POSTGRES
    &kmse_backend_postgres,
#endif
#ifdef KMSE_HAS_MARIADB
    &kmse_backend_mariadb,
#endif
#ifdef KMSE_HAS_SQLITE
    &kmse_backend_sqlite,
#endif
    NULL,
};

const char *kmse_database_backends(void)
{
    static const char NAMES[] = ""
#ifdef KMSE_HAS_POSTGRES
                                " postgresql"
#endif
#ifdef KMSE_HAS_MARIADB
                                " mariadb"
#endif
#ifdef KMSE_HAS_SQLITE
                                " sqlite"
#endif
        ;
    return NAMES[0] != '\0' ? NAMES + 1 : "none";
}

static bool has_scheme(const struct kmse_backend *backend, const char *url)
{
    for (size_t i = 0; backend->schemes[i] != NULL; i++) {
        if (strncmp(url, backend->schemes[i], strlen(backend->schemes[i])) == 0)
            return true;
    }
    return false;
}

/* Only the scheme is told: a password may have been put into the rest. */
kmse_st kmse_database_open(struct kmse_database **database, const char *url,
                           struct kmse_why *why)
{
    for (size_t i = 0; BACKENDS[i] != NULL; i++) {
        struct kmse_database *made = NULL;
        if (!has_scheme(BACKENDS[i], url))
            continue;
        KMSE_TRY(BACKENDS[i]->make(&made, url, why));
        made->backend = BACKENDS[i];
        *database = made;
        return KMSE_OK;
    }
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "the database's URL begins with \"%.*s\"; this build has: "
                     "%s",
                     (int)(strcspn(url, ":") < 20 ? strcspn(url, ":") : 20),
                     url, kmse_database_backends());
}

void kmse_database_close(struct kmse_database *database)
{
    if (database == NULL)
        return;
    database->backend->disconnect(database);
    kmse_table_wipe(&database->table);
    database->backend->free(database);
}

kmse_st kmse_database_open_column(struct kmse_database *database,
                                  const struct kmse_column *column, bool writes,
                                  struct kmse_why *why)
{
    database->column = *column;
    database->writes = writes;
    return kmse_database_reopen(database, why);
}

const struct kmse_table *
kmse_database_table(const struct kmse_database *database)
{
    return &database->table;
}

kmse_st kmse_database_reopen(struct kmse_database *database,
                             struct kmse_why *why)
{
    database->backend->disconnect(database);
    kmse_table_wipe(&database->table);
    kmse_st st = database->backend->connect(database, why);
    if (!kmse_is_ok(st))
        database->backend->disconnect(database);
    return st;
}

kmse_st kmse_database_read(struct kmse_database *database,
                           struct kmse_rows *rows,
                           const struct kmse_range *range, size_t limit,
                           struct kmse_why *why)
{
    kmse_rows_clear(rows);
    return database->backend->read(database, rows, range, limit, why);
}

kmse_st kmse_database_write(struct kmse_database *database,
                            struct kmse_rows *rows, struct kmse_why *why)
{
    if (kmse_rows_count(rows, KMSE_ROW_WRITE) == 0)
        return KMSE_OK;
    return database->backend->write(database, rows, why);
}

kmse_st kmse_database_reread(struct kmse_database *database,
                             struct kmse_rows *rows, struct kmse_why *why)
{
    if (kmse_rows_count(rows, KMSE_ROW_LOST) == 0)
        return KMSE_OK;
    return database->backend->reread(database, rows, why);
}

kmse_st kmse_database_count(struct kmse_database *database,
                            struct kmse_heads *heads, struct kmse_why *why)
{
    if (database->backend->count == NULL)
        return kmse_fail(why, KMSE_R_DATABASE,
                         "rows of %s are not counted yet, by this release",
                         database->backend->name);
    if (heads->encoding == KMSE_ENCODING_BINARY && !database->table.is_binary)
        return kmse_fail(
            why, KMSE_R_DATABASE,
            "%s.%s is of type %s, which has no bytes: its encoding "
            "is base64 or hex",
            database->column.table, database->column.column,
            database->table.type);
    heads->nulls = 0;
    return database->backend->count(database, heads, why);
}

kmse_st kmse_database_has_settled(struct kmse_database *database,
                                  uint64_t *mark, bool *settled,
                                  struct kmse_why *why)
{
    *settled = true;
    if (database->backend->has_settled == NULL)
        return KMSE_OK;
    return database->backend->has_settled(database, mark, settled, why);
}

/* --- what backends share ------------------------------------------------ */

void kmse_table_wipe(struct kmse_table *table)
{
    for (size_t i = 0; i < table->key_count; i++) {
        free(table->keys[i].name);
        free(table->keys[i].type);
    }
    free(table->type);
    free(table->place);
    *table = (struct kmse_table){0};
}

kmse_st kmse_table_add_key(struct kmse_table *table, const char *name,
                           const char *type, bool is_binary,
                           struct kmse_why *why)
{
    if (table->key_count == KMSE_KEY_COLUMNS_MAX)
        return kmse_fail(why, KMSE_R_DATABASE, "a key of more than %d columns",
                         KMSE_KEY_COLUMNS_MAX);
    struct kmse_key_column *key = &table->keys[table->key_count++];
    *key = (struct kmse_key_column){strdup(name), strdup(type), is_binary};
    if (key->name == NULL || key->type == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    return KMSE_OK;
}

kmse_st kmse_table_name_split(struct kmse_table_name *name, const char *text)
{
    const char *dot = strchr(text, '.');
    struct kmse_table_name made = {NULL, strdup(dot != NULL ? dot + 1 : text)};
    if (dot != NULL)
        made.schema = strndup(text, (size_t)(dot - text));
    if (made.table == NULL || (dot != NULL && made.schema == NULL)) {
        kmse_table_name_free(&made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    *name = made;
    return KMSE_OK;
}

void kmse_table_name_free(struct kmse_table_name *name)
{
    free(name->schema);
    free(name->table);
    *name = (struct kmse_table_name){0};
}

void kmse_rows_settle(struct kmse_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        if (row->state == KMSE_ROW_WRITE)
            row->state = row->hit ? KMSE_ROW_WRITTEN : KMSE_ROW_LOST;
    }
}

static bool sql_grow(struct kmse_sql *sql, size_t more)
{
    if (sql->size - sql->len > more)
        return true;
    size_t size = (sql->len + more + 1) * 2;
    char *grown = realloc(sql->text, size);
    if (grown == NULL) {
        sql->failed = true;
        return false;
    }
    sql->text = grown;
    sql->size = size;
    return true;
}

void kmse_sql_add(struct kmse_sql *sql, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        sql->failed = true;
    else if (sql_grow(sql, (size_t)len))
        sql->len += (size_t)vsnprintf(sql->text + sql->len,
                                      sql->size - sql->len, format, again);
    va_end(again);
}

void kmse_sql_name(struct kmse_sql *sql, const char *name)
{
    kmse_sql_add(sql, "\"");
    for (const char *c = name; *c != '\0'; c++)
        kmse_sql_add(sql, *c == '"' ? "\"\"" : "%c", *c);
    kmse_sql_add(sql, "\"");
}

void kmse_sql_table(struct kmse_sql *sql, const struct kmse_table_name *name)
{
    if (name->schema != NULL) {
        kmse_sql_name(sql, name->schema);
        kmse_sql_add(sql, ".");
    }
    kmse_sql_name(sql, name->table);
}

kmse_st kmse_sql_check(const struct kmse_sql *sql)
{
    return sql->failed || sql->text == NULL ? KMSE_ERR(KMSE_R_MEMORY) : KMSE_OK;
}

void kmse_sql_free(struct kmse_sql *sql)
{
    free(sql->text);
    *sql = (struct kmse_sql){0};
}
