/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_SQLITE_H
#define KMSE_TABLE_SQLITE_H

#include <sqlite3.h>

#include "table/backend.h"

/* Inside table: between sqlite.c and sqlite_catalogue.c. */

enum { KMSE_SQLITE_AFTER = 1, KMSE_SQLITE_UNTIL = 2, KMSE_SQLITE_READS = 4 };

struct sqlite {
    struct kmse_database base;
    char *path;
    sqlite3 *db;
    struct kmse_table_name name;
    sqlite3_stmt *reads[KMSE_SQLITE_READS]; /* by the two, or-ed */
    sqlite3_stmt *write, *reread;
    sqlite3_stmt *begin, *commit, *rollback;
};

/* Parameters of the write: the new value, the old one, and from there the key.
 */
enum { KMSE_SQLITE_FRESH = 1, KMSE_SQLITE_OLD = 2, KMSE_SQLITE_KEY = 3 };

kmse_st kmse_sqlite_failed(const struct sqlite *s,
                           struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_sqlite_prepare(const struct sqlite *s, sqlite3_stmt **statement,
                            const char *sql,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/* Fill base.table from the catalogue, and check that the key makes a row. */
kmse_st kmse_sqlite_describe(struct sqlite *s,
                             struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_sqlite_prepare_all(struct sqlite *s,
                                struct kmse_why *why) KMSE_MUST_CHECK;

kmse_st kmse_sqlite_count(struct kmse_database *database,
                          struct kmse_heads *heads,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
