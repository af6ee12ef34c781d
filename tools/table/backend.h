/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_BACKEND_H
#define KMSE_TABLE_BACKEND_H

#include "table/database.h"

/*
 * Inside table: what a backend is. Its connection begins with a
 * struct kmse_database. Each function does what the one of database.h of that
 * name does; connect also does what open_column and reopen say.
 */
struct kmse_backend {
    const char *name;
    const char *const *schemes; /* "sqlite:", ...; ends with NULL */
    kmse_st (*make)(struct kmse_database **database, const char *url,
                    struct kmse_why *why);
    void (*free)(struct kmse_database *database);

    kmse_st (*connect)(struct kmse_database *database, struct kmse_why *why);
    void (*disconnect)(struct kmse_database *database);
    kmse_st (*read)(struct kmse_database *database, struct kmse_rows *rows,
                    const struct kmse_range *range, size_t limit,
                    struct kmse_why *why);
    kmse_st (*write)(struct kmse_database *database, struct kmse_rows *rows,
                     struct kmse_why *why);
    kmse_st (*reread)(struct kmse_database *database, struct kmse_rows *rows,
                      struct kmse_why *why);
    /* NULL: not by this release. */
    kmse_st (*count)(struct kmse_database *database, struct kmse_heads *heads,
                     struct kmse_why *why);
    /* NULL: it has always settled. */
    kmse_st (*has_settled)(struct kmse_database *database, uint64_t *mark,
                           bool *settled, struct kmse_why *why);
};

struct kmse_database {
    const struct kmse_backend *backend;
    struct kmse_column column;
    bool writes;
    struct kmse_table table; /* filled by connect */
};

extern const struct kmse_backend kmse_backend_sqlite;
extern const struct kmse_backend kmse_backend_postgres;
extern const struct kmse_backend kmse_backend_mariadb;

/* For connect: forget what an earlier one has found. */
void kmse_table_wipe(struct kmse_table *table);
/* One more column of the key; KMSE_R_DATABASE if there are too many. */
kmse_st kmse_table_add_key(struct kmse_table *table, const char *name,
                           const char *type, bool is_binary,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/* "shop.users" in its parts; the schema is NULL if there is none. */
struct kmse_table_name {
    char *schema, *table;
};
kmse_st kmse_table_name_split(struct kmse_table_name *name,
                              const char *text) KMSE_MUST_CHECK;
void kmse_table_name_free(struct kmse_table_name *name);

/* After a write: KMSE_ROW_WRITE becomes WRITTEN where hit is set, else LOST. */
void kmse_rows_settle(struct kmse_rows *rows);

/* SQL in the making; text is NULL if memory ran out. */
struct kmse_sql {
    char *text;
    size_t len, size;
    bool failed;
};
void kmse_sql_add(struct kmse_sql *sql, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An identifier in double quotes, those in it doubled (SQL-92, 5.2). */
void kmse_sql_name(struct kmse_sql *sql, const char *name);
/* schema.table, each so. */
void kmse_sql_table(struct kmse_sql *sql, const struct kmse_table_name *name);
/* KMSE_R_MEMORY if it is not whole. */
kmse_st kmse_sql_check(const struct kmse_sql *sql) KMSE_MUST_CHECK;
void kmse_sql_free(struct kmse_sql *sql);

#endif
