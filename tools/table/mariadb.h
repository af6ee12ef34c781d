/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_MARIADB_H
#define KMSE_TABLE_MARIADB_H

#include <mysql.h>

#include "table/backend.h"

/* Inside table: between mariadb.c, mariadb_catalogue.c and mariadb_url.c. */

/*
 * mysql://user@host:port/database?socket=PATH&option-file=PATH&bulk=off, all of
 * it optional: what is missing is as the option files say. Percent-encoded.
 */
struct kmse_mariadb_url {
    char *user, *host, *database, *socket, *option_file;
    unsigned int port; /* 0: the default */
    bool no_bulk;
};
/* text: begins with a scheme. KMSE_R_PARAMETER, and never with a password in
 * why. */
kmse_st kmse_mariadb_url_parse(struct kmse_mariadb_url *url, const char *text,
                               struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_mariadb_url_free(struct kmse_mariadb_url *url);

enum {
    KMSE_MARIADB_PARAMETERS = KMSE_KEY_COLUMNS_MAX + 2, /* fresh, keys, old */
    KMSE_MARIADB_CAST_LEN = 48,
};

struct mariadb {
    struct kmse_database base;
    struct kmse_mariadb_url url;
    MYSQL *connection;
    MYSQL_STMT *write;
    struct kmse_table_name name;
    /* What makes a key of its text: "SIGNED" of CAST(... AS SIGNED), or "". */
    char casts[KMSE_KEY_COLUMNS_MAX][KMSE_MARIADB_CAST_LEN];
    bool bulk;           /* the server takes many rows at once */
    size_t packet_bytes; /* the most that the server takes at once */
    /* Of each parameter, for each row of a write. */
    char **at[KMSE_MARIADB_PARAMETERS];
    unsigned long *len[KMSE_MARIADB_PARAMETERS];
    size_t room;
};

kmse_st kmse_mariadb_failed(const struct mariadb *m,
                            struct kmse_why *why) KMSE_MUST_CHECK;
/* What a statement says, or NULL if it says nothing. */
kmse_st kmse_mariadb_ask(const struct mariadb *m, const struct kmse_sql *sql,
                         MYSQL_RES **result,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/* Fill base.table and casts from the catalogue; check what may be done. */
kmse_st kmse_mariadb_describe(struct mariadb *m,
                              struct kmse_why *why) KMSE_MUST_CHECK;

/* Statements. Parameters of the write: fresh, keys, old. */
void kmse_mariadb_make_read(struct kmse_sql *sql, const struct mariadb *m,
                            const struct kmse_range *range, size_t limit);
void kmse_mariadb_make_write(struct kmse_sql *sql, const struct mariadb *m);
/* number and column of that row, which another may follow. */
void kmse_mariadb_make_look(struct kmse_sql *sql, const struct mariadb *m,
                            const struct kmse_rows *rows, size_t number);

/* Bytes as text of the connection, or as bytes. */
void kmse_mariadb_literal(struct kmse_sql *sql, const void *bytes, size_t len,
                          bool is_binary);

#endif
