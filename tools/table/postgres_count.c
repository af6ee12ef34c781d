/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL: values counted by how they begin. */
#include "table/postgres.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kms_envelope/format.h"

/* As long as a tag is in each encoding; base64's last digit is half of it. */
enum { TAG_LEN = 4, BASE64_LEN = 6, HEX_LEN = 8, SHARED_BITS = 4 };

static const char *const BEGIN =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    /* All of the table is read: keys are of no use here. */
    "SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on";

/* --- statements --------------------------------------------------------- */

static void add_column(struct kmse_sql *sql, const struct postgres *p)
{
    kmse_sql_add(sql, "t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, p->base.table.is_binary ? "::bytea" : "::text");
}

static size_t head_len(enum kmse_encoding encoding)
{
    if (encoding == KMSE_ENCODING_BINARY)
        return TAG_LEN;
    return encoding == KMSE_ENCODING_HEX ? HEX_LEN : BASE64_LEN;
}

/* substring reads no more than it must of a long value. */
static void add_head(struct kmse_sql *sql, const struct postgres *p,
                     enum kmse_encoding encoding)
{
    kmse_sql_add(sql, "substring(");
    add_column(sql, p);
    kmse_sql_add(sql, " FROM 1 FOR %zu)", head_len(encoding));
}

static void add_literal(struct kmse_sql *sql, const struct postgres *p,
                        const uint8_t *head, size_t len, bool first)
{
    kmse_sql_add(sql, first ? "" : ", ");
    kmse_sql_add(sql, p->base.table.is_binary ? "'\\x" : "'");
    for (size_t i = 0; i < len; i++)
        kmse_sql_add(sql, p->base.table.is_binary ? "%02x" : "%c", head[i]);
    kmse_sql_add(sql, p->base.table.is_binary ? "'::bytea" : "'");
}

/* Each text that a tag may be; the bits that it shares are the nonce's. */
static void add_tag(struct kmse_sql *sql, const struct postgres *p,
                    enum kmse_encoding encoding, uint32_t version)
{
    enum { IN_LEN = TAG_LEN + 1, OUT_LEN = 12, SHIFT = 4 };
    uint8_t tag[IN_LEN], out[OUT_LEN];
    size_t variants = encoding == KMSE_ENCODING_BASE64 ? 1 << SHARED_BITS : 1;
    kmse_store_be32(tag, (uint32_t)KMSE_FORMAT_1 << 24 | version);
    for (size_t i = 0; i < variants; i++) {
        tag[TAG_LEN] = (uint8_t)(i << SHIFT);
        kmse_encoding_encode(encoding, out, tag, IN_LEN, NULL, 0);
        add_literal(sql, p, out, head_len(encoding), i == 0);
    }
}

/* Whether a row is of the version that most are of: cheap to ask. */
static void add_is_newest(struct kmse_sql *sql, const struct postgres *p,
                          const struct kmse_heads *heads)
{
    kmse_sql_add(sql, "(");
    add_head(sql, p, heads->encoding);
    kmse_sql_add(sql,
                 p->base.table.is_binary ? " IN (" : " COLLATE \"C\" IN (");
    add_tag(sql, p, heads->encoding, heads->newest);
    kmse_sql_add(sql, "))");
}

static void add_from(struct kmse_sql *sql, const struct postgres *p)
{
    kmse_sql_add(sql, " FROM ");
    kmse_sql_table(sql, &p->name);
    kmse_sql_add(sql, " AS t WHERE true");
    /* On a line of its own: it may end in a comment. */
    if (p->base.column.where != NULL)
        kmse_sql_add(sql, " AND (%s\n)", p->base.column.where);
}

enum { ALL, VALUES, NEWEST };

static void make_newest(struct kmse_sql *sql, const struct postgres *p,
                        const struct kmse_heads *heads)
{
    kmse_sql_add(sql, "SELECT count(*), count(t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, "), count(*) FILTER (WHERE ");
    add_is_newest(sql, p, heads);
    kmse_sql_add(sql, ")");
    add_from(sql, p);
}

/* Blanks and line ends, as readers of either encoding pass them over. */
static void add_text_head(struct kmse_sql *sql, const struct postgres *p)
{
    enum { LOOK_LEN = 32, HEAD_LEN = 10 };
    bool is_binary = p->base.table.is_binary;
    kmse_sql_add(sql, "left(translate(%ssubstring(",
                 is_binary ? "encode(" : "");
    add_column(sql, p);
    kmse_sql_add(sql, " FROM 1 FOR %d)%s, E' \\t\\r\\n', ''), ", LOOK_LEN,
                 is_binary ? ", 'escape')" : "");
    kmse_sql_add(sql, "%d)", HEAD_LEN);
}

static void make_others(struct kmse_sql *sql, const struct postgres *p,
                        const struct kmse_heads *heads)
{
    kmse_sql_add(sql, "SELECT ");
    if (heads->encoding == KMSE_ENCODING_BINARY) {
        add_head(sql, p, heads->encoding);
    } else if (heads->encoding == KMSE_ENCODING_HEX) {
        add_text_head(sql, p);
    } else {
        kmse_sql_add(sql, "left(");
        add_text_head(sql, p);
        kmse_sql_add(sql, ", %d)", BASE64_LEN);
    }
    kmse_sql_add(sql, " AS head, count(*)");
    add_from(sql, p);
    kmse_sql_add(sql, " AND t.");
    kmse_sql_name(sql, p->base.column.column);
    kmse_sql_add(sql, " IS NOT NULL AND NOT ");
    add_is_newest(sql, p, heads);
    kmse_sql_add(sql, " GROUP BY 1");
}

/* --- answers ------------------------------------------------------------ */

static uint64_t number_of(const PGresult *result, int column)
{
    uint64_t number = 0;
    if (PQgetlength(result, 0, column) == sizeof(number))
        number = kmse_load_be64((const uint8_t *)PQgetvalue(result, 0, column));
    return number;
}

/* Line by line: values that are not ours may begin in a million ways. */
static kmse_st ask(const struct postgres *p, const struct kmse_sql *sql,
                   void (*take)(void *arg, const PGresult *line), void *arg,
                   struct kmse_why *why)
{
    enum { BINARY = 1 };
    kmse_st st = kmse_sql_check(sql);
    if (!kmse_is_ok(st))
        return st;
    if (PQsendQueryParams(p->connection, sql->text, 0, NULL, NULL, NULL, NULL,
                          BINARY)
            != 1
        || PQsetSingleRowMode(p->connection) != 1)
        return kmse_postgres_failed(p, NULL, why);
    PGresult *result = NULL;
    while ((result = PQgetResult(p->connection)) != NULL) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_SINGLE_TUPLE)
            take(arg, result);
        else if (status != PGRES_TUPLES_OK && kmse_is_ok(st))
            st = kmse_postgres_failed(p, result, why);
        PQclear(result);
    }
    return st;
}

struct newest {
    uint64_t all, values, newest;
};

static void take_newest(void *arg, const PGresult *line)
{
    struct newest *found = arg;
    *found = (struct newest){number_of(line, ALL), number_of(line, VALUES),
                             number_of(line, NEWEST)};
}

static void take_head(void *arg, const PGresult *line)
{
    const struct kmse_heads *heads = arg;
    heads->add(heads->arg, (const uint8_t *)PQgetvalue(line, 0, 0),
               (size_t)PQgetlength(line, 0, 0), number_of(line, 1));
}

static void tell_newest(const struct kmse_heads *heads, uint64_t rows)
{
    enum { OUT_LEN = 12 };
    uint8_t tag[TAG_LEN], out[OUT_LEN];
    kmse_store_be32(tag, (uint32_t)KMSE_FORMAT_1 << 24 | heads->newest);
    kmse_encoding_encode(heads->encoding, out, tag, TAG_LEN, NULL, 0);
    heads->add(heads->arg, out, head_len(heads->encoding), rows);
}

/* The others are looked at only where there are any. */
static kmse_st count(const struct postgres *p, struct kmse_heads *heads,
                     struct kmse_why *why)
{
    struct kmse_sql sql = {0}, others = {0};
    struct newest found = {0};
    make_newest(&sql, p, heads);
    make_others(&others, p, heads);
    kmse_st st = ask(p, &sql, take_newest, &found, why);
    if (kmse_is_ok(st)) {
        heads->nulls = found.all - found.values;
        tell_newest(heads, found.newest);
    }
    if (kmse_is_ok(st) && found.newest < found.values)
        st = ask(p, &others, take_head, heads, why);
    kmse_sql_free(&sql);
    kmse_sql_free(&others);
    return st;
}

kmse_st kmse_postgres_count(struct kmse_database *database,
                            struct kmse_heads *heads, struct kmse_why *why)
{
    const struct postgres *p = (const struct postgres *)database;
    KMSE_TRY(kmse_postgres_execute(p, BEGIN, why));
    kmse_st st = count(p, heads, why);
    if (kmse_is_ok(st))
        return kmse_postgres_execute(p, "COMMIT", why);
    struct kmse_why ignored = {""};
    kmse_st rolled = kmse_postgres_execute(p, "ROLLBACK", &ignored);
    (void)rolled;
    return st;
}

/* --- transactions ------------------------------------------------------- */

struct running {
    uint64_t number, oldest;
};

static void take_running(void *arg, const PGresult *line)
{
    struct running *running = arg;
    *running = (struct running){number_of(line, 0), number_of(line, 1)};
}

/* A number of our own comes after that of all who have written by now. */
static kmse_st ask_running(const struct postgres *p, struct running *running,
                           bool with_number, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_sql_add(&sql, "SELECT %s, txid_snapshot_xmin(txid_current_snapshot())",
                 with_number ? "txid_current()" : "0::int8");
    kmse_st st = ask(p, &sql, take_running, running, why);
    kmse_sql_free(&sql);
    return st;
}

kmse_st kmse_postgres_has_settled(struct kmse_database *database,
                                  uint64_t *mark, bool *settled,
                                  struct kmse_why *why)
{
    const struct postgres *p = (const struct postgres *)database;
    struct running running = {0};
    if (*mark == 0) {
        KMSE_TRY(ask_running(p, &running, true, why));
        *mark = running.number;
    }
    KMSE_TRY(ask_running(p, &running, false, why));
    *settled = running.oldest >= *mark;
    return KMSE_OK;
}
