/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_POSTGRES_H
#define KMSE_TABLE_POSTGRES_H

#include <libpq-fe.h>

#include "table/backend.h"

/* Inside table: between postgres.c and postgres_catalogue.c. */

enum {
    KMSE_POSTGRES_ARRAYS = KMSE_KEY_COLUMNS_MAX + 2, /* keys, old, fresh */
    KMSE_POSTGRES_PARAMETERS = 1 + 2 * KMSE_KEY_COLUMNS_MAX,
};
_Static_assert(KMSE_POSTGRES_PARAMETERS >= KMSE_POSTGRES_ARRAYS,
               "a write has as many parameters as there are arrays");

/* A parameter in the making; its memory is used again. */
struct kmse_postgres_array {
    uint8_t *bytes;
    size_t len, size;
};

struct postgres {
    struct kmse_database base;
    char *url;
    PGconn *connection;
    struct kmse_table_name name;
    struct kmse_postgres_array arrays[KMSE_POSTGRES_ARRAYS];
    size_t *numbers; /* of the rows that a statement is about */
    size_t numbers_count, numbers_room;
};

#define KMSE_POSTGRES_WRITE  "kmse_write"
#define KMSE_POSTGRES_REREAD "kmse_reread"
/* The statement that reads within such bounds. */
const char *kmse_postgres_read_name(bool after, bool until);

/* Fill base.table from the catalogue, and check what may be done. */
kmse_st kmse_postgres_describe(struct postgres *p,
                               struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_postgres_prepare(struct postgres *p,
                              struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_postgres_failed(const struct postgres *p, const PGresult *result,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* A statement without parameters and lines. */
kmse_st kmse_postgres_execute(const struct postgres *p, const char *sql,
                              struct kmse_why *why) KMSE_MUST_CHECK;

kmse_st kmse_postgres_count(struct kmse_database *database,
                            struct kmse_heads *heads,
                            struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_postgres_has_settled(struct kmse_database *database,
                                  uint64_t *mark, bool *settled,
                                  struct kmse_why *why) KMSE_MUST_CHECK;

#endif
