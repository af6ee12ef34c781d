/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_DATABASE_H
#define KMSE_TABLE_DATABASE_H

#include <stdbool.h>

#include "table/encoding.h"
#include "table/rows.h"

/*
 * One connection to a database, for one thread at a time. Behind it a backend:
 * PostgreSQL, MariaDB or SQLite, each where its library was found.
 *
 * Failures have the database's own words in why, and never what a row holds:
 *   KMSE_R_DATABASE_BUSY  worth trying again: connection lost, restart, lock
 *                         wait, deadlock, serialization, disk full. After a
 *                         kmse_database_reopen, for the connection may be gone.
 *   KMSE_R_DATABASE       not so: no such column, no permission
 *   KMSE_R_PARAMETER      the URL, or a backend that was not built
 * A transaction that fails, or is cut off, changed nothing, or all of it: who
 * tries again finds out by the rows themselves.
 */
struct kmse_database;

/* A column to work on, as a job says it. Strings are the caller's. */
struct kmse_column {
    const char *table; /* "users", "shop.users" */
    const char *column;
    /* Columns that make a row, in this order; none: the primary key. */
    const char *keys[KMSE_KEY_COLUMNS_MAX];
    size_t key_count;
    const char *where; /* in the database's SQL, or NULL */
};

/* What the database says of it. */
struct kmse_key_column {
    char *name;
    char *type;
    bool is_binary; /* its bytes as they are; else the database's text form */
};
struct kmse_table {
    struct kmse_key_column keys[KMSE_KEY_COLUMNS_MAX];
    size_t key_count;
    char *type;              /* of the column */
    bool is_binary;          /* the column is for bytes, not for text */
    uint64_t estimated_rows; /* of the whole table, for showing progress */
    bool many_writers;       /* connections that write at once are of use */
    /* Which database this is, whoever asks: without user and options. */
    char *place;
    /* A file, a socket or the loopback: elsewhere that is another database. */
    bool is_of_this_machine;
    bool is_replica; /* what was written elsewhere may not be here yet */
};

/* No connection is made before kmse_database_open_column. url: see SCHEMES. */
kmse_st kmse_database_open(struct kmse_database **database, const char *url,
                           struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_database_close(struct kmse_database *database);
/* "postgresql sqlite": the backends that were built. */
const char *kmse_database_backends(void);

/*
 * Connect, look at the column, and prepare for it: to be called once, before
 * what follows. Checks that the columns of the key make a row, that none of
 * them is missing, and, if writes is set, that the column may be written.
 */
kmse_st kmse_database_open_column(struct kmse_database *database,
                                  const struct kmse_column *column, bool writes,
                                  struct kmse_why *why) KMSE_MUST_CHECK;
const struct kmse_table *
kmse_database_table(const struct kmse_database *database);
/* A new connection in place of one that failed, to the same column. */
kmse_st kmse_database_reopen(struct kmse_database *database,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* Keys between two, by the order of the key; each NULL, or one row. */
struct kmse_range {
    const struct kmse_rows *after; /* without it */
    const struct kmse_rows *until; /* with it */
};

/*
 * The next rows of the range, at most limit, in the order of their keys, into
 * rows, which is cleared first. Rows whose column is NULL are passed over. No
 * rows: the range is at its end.
 */
kmse_st kmse_database_read(struct kmse_database *database,
                           struct kmse_rows *rows,
                           const struct kmse_range *range, size_t limit,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Of each row that is KMSE_ROW_WRITE: if its column still holds old, byte for
 * byte, fresh is written and the row is KMSE_ROW_WRITTEN; else it is
 * KMSE_ROW_LOST. All in one transaction, by statements for sets of rows. On
 * failure no state changed, and the rows are either all written or none is.
 */
kmse_st kmse_database_write(struct kmse_database *database,
                            struct kmse_rows *rows,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/* Of each row that is KMSE_ROW_LOST: old as it is now, KMSE_ROW_READ or GONE.
 */
kmse_st kmse_database_reread(struct kmse_database *database,
                             struct kmse_rows *rows,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Values by how they begin, counted by the database: add is called for each
 * beginning, some of them perhaps several times. It gets what encoding needs to
 * tell a tag, or more; nulls is what is NULL besides.
 */
struct kmse_heads {
    enum kmse_encoding encoding; /* not KMSE_ENCODING_AUTO */
    uint32_t newest;             /* the version that most rows may be of */
    void (*add)(void *arg, const uint8_t *head, size_t len, uint64_t rows);
    void *arg;
    uint64_t nulls;
};
/*
 * All rows of the column and its where, as they are at one moment. On failure
 * what was added is of no use.
 */
kmse_st kmse_database_count(struct kmse_database *database,
                            struct kmse_heads *heads,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Whether all transactions that had written when *mark was 0 have ended, so
 * that a count sees what they wrote. *mark is for the next call. Databases with
 * one writer at a time have always settled.
 */
kmse_st kmse_database_has_settled(struct kmse_database *database,
                                  uint64_t *mark, bool *settled,
                                  struct kmse_why *why) KMSE_MUST_CHECK;

#endif
