/* SPDX-License-Identifier: Apache-2.0 */
/* MariaDB and MySQL: a prepared statement, all rows of a batch at once. */
#include "table/mariadb.h"

#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <errmsg.h>
#include <mysqld_error.h>

static const char *const SCHEMES[] = {"mysql:", "mariadb:", NULL};

/* --- errors ------------------------------------------------------------- */

static bool is_worth_another_try(unsigned int code)
{
    static const unsigned int CODES[] = {
        /* The connection. */
        CR_CONNECTION_ERROR, CR_CONN_HOST_ERROR, CR_SERVER_GONE_ERROR,
        CR_SERVER_LOST, CR_SERVER_LOST_EXTENDED, CR_UNKNOWN_HOST,
        ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_SERVER_SHUTDOWN,
        ER_NORMAL_SHUTDOWN, ER_CONNECTION_KILLED, ER_NET_READ_ERROR,
        ER_NET_READ_INTERRUPTED, ER_NET_ERROR_ON_WRITE,
        ER_NET_WRITE_INTERRUPTED, ER_NEW_ABORTING_CONNECTION,
        /* Others who work on it. */
        ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_CHECKREAD,
        ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT, ER_TABLE_DEF_CHANGED,
        ER_NEED_REPREPARE, ER_ERROR_DURING_COMMIT,
        /* A node of a cluster that is not in it now. */
        ER_UNKNOWN_COM_ERROR,
        /* A disk that is full. */
        ER_DISK_FULL, ER_RECORD_FILE_FULL, ER_ERROR_ON_WRITE};
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        if (code == CODES[i])
            return true;
    }
    return false;
}

/* Classes 22 and 23, and errors of no class, quote values: those stay out. */
static int words_len(unsigned int code, const char *state, const char *text)
{
    enum { CLASS_LEN = 2 };
    bool has_value = strncmp(state, "22", CLASS_LEN) == 0
                     || strncmp(state, "23", CLASS_LEN) == 0
                     || code == ER_UNKNOWN_ERROR
                     || code == ER_TRUNCATED_WRONG_VALUE_FOR_FIELD;
    /* Those have names only. */
    if (code == ER_DATA_TOO_LONG || code == ER_BAD_NULL_ERROR)
        has_value = false;
    size_t len = strcspn(text, has_value ? "\n'" : "\n");
    while (len > 0 && text[len - 1] == ' ')
        len--;
    return (int)len;
}

static kmse_st failed(unsigned int code, const char *state, const char *text,
                      struct kmse_why *why)
{
    int reason =
        is_worth_another_try(code) ? KMSE_R_DATABASE_BUSY : KMSE_R_DATABASE;
    if (code == CR_OUT_OF_MEMORY)
        return KMSE_ERR(KMSE_R_MEMORY);
    return kmse_fail(why, reason, "MariaDB: %.*s (%u)",
                     words_len(code, state, text), text, code);
}

kmse_st kmse_mariadb_failed(const struct mariadb *m, struct kmse_why *why)
{
    return failed(mysql_errno(m->connection), mysql_sqlstate(m->connection),
                  mysql_error(m->connection), why);
}

static kmse_st failed_write(const struct mariadb *m, struct kmse_why *why)
{
    return failed(mysql_stmt_errno(m->write), mysql_stmt_sqlstate(m->write),
                  mysql_stmt_error(m->write), why);
}

/* --- opening ------------------------------------------------------------ */

/* libmariadb's own beginning is not safe for threads. */
static void begin_library(void)
{
    (void)mysql_library_init(0, NULL, NULL);
}

static kmse_st mariadb_make(struct kmse_database **database, const char *url,
                            struct kmse_why *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct mariadb *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = kmse_mariadb_url_parse(&m->url, url, why);
    if (!kmse_is_ok(st)) {
        free(m);
        return st;
    }
    pthread_once(&once, begin_library);
    *database = &m->base;
    return KMSE_OK;
}

static void free_parameters(struct mariadb *m)
{
    for (size_t i = 0; i < KMSE_MARIADB_PARAMETERS; i++) {
        free(m->at[i]);
        free(m->len[i]);
        m->at[i] = NULL;
        m->len[i] = NULL;
    }
    m->room = 0;
}

static void mariadb_free(struct kmse_database *database)
{
    struct mariadb *m = (struct mariadb *)database;
    free_parameters(m);
    kmse_mariadb_url_free(&m->url);
    free(m);
}

static void mariadb_disconnect(struct kmse_database *database)
{
    struct mariadb *m = (struct mariadb *)database;
    if (m->write != NULL)
        mysql_stmt_close(m->write);
    if (m->connection != NULL)
        mysql_close(m->connection);
    m->write = NULL;
    m->connection = NULL;
    kmse_table_name_free(&m->name);
}

static kmse_st execute(const struct mariadb *m, const char *sql,
                       struct kmse_why *why)
{
    if (mysql_real_query(m->connection, sql, strlen(sql)) != 0)
        return kmse_mariadb_failed(m, why);
    return KMSE_OK;
}

kmse_st kmse_mariadb_ask(const struct mariadb *m, const struct kmse_sql *sql,
                         MYSQL_RES **result, struct kmse_why *why)
{
    KMSE_TRY(kmse_sql_check(sql));
    if (mysql_real_query(m->connection, sql->text, sql->len) != 0)
        return kmse_mariadb_failed(m, why);
    *result = mysql_store_result(m->connection);
    if (*result == NULL && mysql_errno(m->connection) != 0)
        return kmse_mariadb_failed(m, why);
    return KMSE_OK;
}

/* A host that went away without a word; on a unix socket it means nothing. */
static void notice_silence(MYSQL *connection)
{
    enum { IDLE_S = 30, TIMEOUT_MS = 30000 };
    const int on = 1, idle = IDLE_S, timeout = TIMEOUT_MS;
    int fd = (int)mysql_get_socket(connection);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                     sizeof(timeout));
}

/* A server may ask for the client's files unless that is off. */
static bool set_options(const struct mariadb *m)
{
    enum { CONNECT_TIMEOUT_S = 10 };
    const unsigned int timeout = CONNECT_TIMEOUT_S, no = 0;
    MYSQL *c = m->connection;
    return mysql_options(c, MYSQL_OPT_CONNECT_TIMEOUT, &timeout) == 0
           && (m->url.option_file == NULL
               || mysql_options(c, MYSQL_READ_DEFAULT_FILE, m->url.option_file)
                      == 0)
           && mysql_options(c, MYSQL_READ_DEFAULT_GROUP, "kms-envelope") == 0
           && mysql_options(c, MYSQL_SET_CHARSET_NAME, "utf8mb4") == 0
           && mysql_options(c, MYSQL_OPT_LOCAL_INFILE, &no) == 0;
}

/*
 * Text forms that do not hang on the server's settings, CHAR without its
 * padding, and nothing cut that does not fit.
 */
static const char SETTINGS[] =
    "SET NAMES utf8mb4, SESSION sql_mode = 'STRICT_ALL_TABLES',"
    " SESSION time_zone = '+00:00', SESSION autocommit = 1,"
    " SESSION innodb_lock_wait_timeout = 5, SESSION lock_wait_timeout = 5,"
    " SESSION sql_safe_updates = 0, SESSION sql_auto_is_null = 0,"
    " SESSION sql_select_limit = DEFAULT";

/*
 * libmariadb goes on in clear text where the server has no TLS, whatever the
 * option files ask for.
 */
static kmse_st check_tls(const struct mariadb *m, struct kmse_why *why)
{
    char *ca = NULL, *ca_path = NULL;
    my_bool verify = 0, enforce = 0;
    MYSQL *c = m->connection;
    if (mysql_get_ssl_cipher(c) != NULL)
        return KMSE_OK;
    (void)mysql_get_option(c, MYSQL_OPT_SSL_CA, &ca);
    (void)mysql_get_option(c, MYSQL_OPT_SSL_CAPATH, &ca_path);
    (void)mysql_get_option(c, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    (void)mysql_get_option(c, MYSQL_OPT_SSL_ENFORCE, &enforce);
    if (ca == NULL && ca_path == NULL && !verify && !enforce)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_DATABASE,
                     "MariaDB: an option file asks for TLS, and the server "
                     "has none");
}

static kmse_st open_connection(struct mariadb *m, struct kmse_why *why)
{
    const struct kmse_mariadb_url *url = &m->url;
    m->connection = mysql_init(NULL);
    if (m->connection == NULL || !set_options(m))
        return KMSE_ERR(KMSE_R_MEMORY);
    /* Rows found are counted, not rows changed: it is the same for ours. */
    if (mysql_real_connect(m->connection, url->host, url->user, NULL,
                           url->database, url->port, url->socket,
                           CLIENT_FOUND_ROWS)
        == NULL)
        return kmse_mariadb_failed(m, why);
    /* A connection made anew behind our back would have other settings. */
    const my_bool no = 0;
    if (mysql_options(m->connection, MYSQL_OPT_RECONNECT, &no) != 0)
        return KMSE_ERR(KMSE_R_MEMORY);
    KMSE_TRY(check_tls(m, why));
    notice_silence(m->connection);
    return execute(m, SETTINGS, why);
}

/* Proxies may hide what the server behind them can: it is asked for. */
static bool takes_bulk(const struct mariadb *m)
{
    enum { EXTENDED_AT = 32 };
    unsigned int extended = 0;
    if (m->url.no_bulk
        || mariadb_get_infov(m->connection,
                             MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES,
                             &extended)
               != 0)
        return false;
    return (extended & (MARIADB_CLIENT_STMT_BULK_OPERATIONS >> EXTENDED_AT))
           != 0;
}

static kmse_st prepare_write(struct mariadb *m, struct kmse_why *why)
{
    struct kmse_sql sql = {0};
    kmse_mariadb_make_write(&sql, m);
    kmse_st st = kmse_sql_check(&sql);
    if (kmse_is_ok(st) && (m->write = mysql_stmt_init(m->connection)) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_is_ok(st) && mysql_stmt_prepare(m->write, sql.text, sql.len) != 0)
        st = failed_write(m, why);
    kmse_sql_free(&sql);
    return st;
}

/* The condition's mistakes are told before a key is in a statement. */
static kmse_st try_read(const struct mariadb *m, struct kmse_why *why)
{
    static const struct kmse_range ALL = {0};
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    kmse_mariadb_make_read(&sql, m, &ALL, 0);
    kmse_st st = kmse_mariadb_ask(m, &sql, &result, why);
    mysql_free_result(result);
    kmse_sql_free(&sql);
    return st;
}

static kmse_st mariadb_connect_column(struct kmse_database *database,
                                      struct kmse_why *why)
{
    struct mariadb *m = (struct mariadb *)database;
    KMSE_TRY(kmse_table_name_split(&m->name, m->base.column.table));
    KMSE_TRY(open_connection(m, why));
    KMSE_TRY(kmse_mariadb_describe(m, why));
    KMSE_TRY(try_read(m, why));
    m->base.table.many_writers = true;
    m->bulk = takes_bulk(m);
    return m->base.writes ? prepare_write(m, why) : KMSE_OK;
}

/* --- reading ------------------------------------------------------------ */

static kmse_st take_rows(const struct mariadb *m, struct kmse_rows *rows,
                         MYSQL_RES *result)
{
    const size_t keys = m->base.table.key_count;
    MYSQL_ROW line;
    while ((line = mysql_fetch_row(result)) != NULL) {
        const unsigned long *lens = mysql_fetch_lengths(result);
        struct kmse_row *row = NULL;
        KMSE_TRY(kmse_rows_add(rows, &row));
        for (size_t i = 0; i < keys; i++)
            KMSE_TRY(kmse_rows_put(rows, &row->key[i], line[i], lens[i]));
        KMSE_TRY(kmse_rows_put(rows, &row->old, line[keys], lens[keys]));
    }
    return KMSE_OK;
}

static kmse_st mariadb_read(struct kmse_database *database,
                            struct kmse_rows *rows,
                            const struct kmse_range *range, size_t limit,
                            struct kmse_why *why)
{
    const struct mariadb *m = (const struct mariadb *)database;
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    kmse_mariadb_make_read(&sql, m, range, limit);
    kmse_st st = kmse_mariadb_ask(m, &sql, &result, why);
    if (kmse_is_ok(st) && result == NULL)
        st = KMSE_ERR(KMSE_R_INTERNAL);
    if (kmse_is_ok(st))
        st = take_rows(m, rows, result);
    mysql_free_result(result);
    kmse_sql_free(&sql);
    return st;
}

/* --- looking at rows ---------------------------------------------------- */

/* value: NULL if the column is. */
typedef kmse_st take_value(struct kmse_rows *rows, struct kmse_row *row,
                           const char *value, size_t len);

static kmse_st take_values(struct kmse_rows *rows, MYSQL_RES *result,
                           take_value *take)
{
    enum { DECIMAL = 10, NUMBER = 0, VALUE = 1 };
    MYSQL_ROW line;
    while ((line = mysql_fetch_row(result)) != NULL) {
        size_t number = (size_t)strtoull(line[NUMBER], NULL, DECIMAL);
        if (number >= rows->count)
            return KMSE_ERR(KMSE_R_INTERNAL);
        KMSE_TRY(take(rows, &rows->list[number], line[VALUE],
                      mysql_fetch_lengths(result)[VALUE]));
    }
    return KMSE_OK;
}

/* Some rows in that state, from *next on: each part of it opens the table. */
static kmse_st look_at_some(const struct mariadb *m, struct kmse_rows *rows,
                            size_t *next, enum kmse_row_state state,
                            take_value *take, struct kmse_why *why)
{
    enum { AT_ONCE = 64 };
    struct kmse_sql sql = {0};
    MYSQL_RES *result = NULL;
    for (size_t some = 0; *next < rows->count && some < AT_ONCE; (*next)++) {
        if (rows->list[*next].state != state)
            continue;
        kmse_sql_add(&sql, some++ > 0 ? " UNION ALL " : "");
        kmse_mariadb_make_look(&sql, m, rows, *next);
    }
    if (sql.text == NULL && !sql.failed)
        return KMSE_OK;
    kmse_st st = kmse_mariadb_ask(m, &sql, &result, why);
    if (kmse_is_ok(st) && result == NULL)
        st = KMSE_ERR(KMSE_R_INTERNAL);
    if (kmse_is_ok(st))
        st = take_values(rows, result, take);
    mysql_free_result(result);
    kmse_sql_free(&sql);
    return st;
}

static kmse_st look(const struct mariadb *m, struct kmse_rows *rows,
                    enum kmse_row_state state, take_value *take,
                    struct kmse_why *why)
{
    for (size_t next = 0; next < rows->count;)
        KMSE_TRY(look_at_some(m, rows, &next, state, take, why));
    return KMSE_OK;
}

/* It stays KMSE_ROW_LOST until all of them are known. */
static kmse_st take_again(struct kmse_rows *rows, struct kmse_row *row,
                          const char *value, size_t len)
{
    row->hit = value != NULL;
    return value != NULL ? kmse_rows_put(rows, &row->old, value, len) : KMSE_OK;
}

static void forget_hits(struct kmse_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        rows->list[i].hit = false;
}

static kmse_st mariadb_reread(struct kmse_database *database,
                              struct kmse_rows *rows, struct kmse_why *why)
{
    const struct mariadb *m = (const struct mariadb *)database;
    forget_hits(rows);
    KMSE_TRY(look(m, rows, KMSE_ROW_LOST, take_again, why));
    for (size_t i = 0; i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        if (row->state == KMSE_ROW_LOST)
            row->state = row->hit ? KMSE_ROW_READ : KMSE_ROW_GONE;
    }
    return KMSE_OK;
}

/* --- writing ------------------------------------------------------------ */

static kmse_st reserve_parameters(struct mariadb *m, size_t count)
{
    if (count <= m->room)
        return KMSE_OK;
    free_parameters(m);
    for (size_t i = 0; i < KMSE_MARIADB_PARAMETERS; i++) {
        m->at[i] = calloc(count, sizeof(*m->at[i]));
        m->len[i] = calloc(count, sizeof(*m->len[i]));
        if (m->at[i] == NULL || m->len[i] == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
    }
    m->room = count;
    return KMSE_OK;
}

static void set_parameter(struct mariadb *m, size_t parameter, size_t place,
                          struct kmse_rows *rows, const struct kmse_span *span)
{
    m->at[parameter][place] = (char *)kmse_rows_edit(rows, span);
    m->len[parameter][place] = (unsigned long)span->len;
}

enum { FRESH, FIRST_KEY }; /* and old behind the keys */

/* Returns the bytes of it. */
static size_t set_row(struct mariadb *m, size_t place, struct kmse_rows *rows,
                      const struct kmse_row *row)
{
    const size_t keys = m->base.table.key_count;
    size_t bytes = row->fresh.len + row->old.len;
    set_parameter(m, FRESH, place, rows, &row->fresh);
    for (size_t i = 0; i < keys; i++) {
        set_parameter(m, FIRST_KEY + i, place, rows, &row->key[i]);
        bytes += row->key[i].len;
    }
    set_parameter(m, FIRST_KEY + keys, place, rows, &row->old);
    return bytes;
}

static bool is_binary_parameter(const struct mariadb *m, size_t parameter)
{
    const struct kmse_table *table = &m->base.table;
    if (parameter == FRESH)
        return table->is_binary;
    /* old is compared byte for byte, whatever it is. */
    return parameter > table->key_count
           || table->keys[parameter - FIRST_KEY].is_binary;
}

static kmse_st bind_rows(struct mariadb *m, size_t count, struct kmse_why *why)
{
    MYSQL_BIND binds[KMSE_MARIADB_PARAMETERS];
    unsigned int rows = m->bulk ? (unsigned int)count : 0;
    memset(binds, 0, sizeof(binds));
    for (size_t i = 0; i <= FIRST_KEY + m->base.table.key_count; i++) {
        binds[i].buffer_type =
            is_binary_parameter(m, i) ? MYSQL_TYPE_BLOB : MYSQL_TYPE_STRING;
        binds[i].buffer = m->bulk ? (void *)m->at[i] : (void *)m->at[i][0];
        binds[i].buffer_length = m->len[i][0];
        binds[i].length = m->len[i];
    }
    if (mysql_stmt_attr_set(m->write, STMT_ATTR_ARRAY_SIZE, &rows) != 0
        || mysql_stmt_bind_param(m->write, binds) != 0)
        return failed_write(m, why);
    return KMSE_OK;
}

/* found: how many of the rows still had what was read. */
static kmse_st send_rows(struct mariadb *m, size_t count, uint64_t *found,
                         struct kmse_why *why)
{
    KMSE_TRY(bind_rows(m, count, why));
    if (mysql_stmt_execute(m->write) != 0)
        return failed_write(m, why);
    *found += mysql_stmt_affected_rows(m->write);
    return KMSE_OK;
}

/* The server would end the connection, which looks as if it might help to try
 * again. */
static kmse_st too_large(const struct mariadb *m, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_DATABASE,
                     "MariaDB: a row's old and new value are larger than "
                     "max_allowed_packet of the server, %zu bytes: raise it",
                     m->packet_bytes);
}

/* As many as one packet has ample room for; without bulk, one by one. */
static kmse_st send_all(struct mariadb *m, struct kmse_rows *rows,
                        uint64_t *found, struct kmse_why *why)
{
    enum { SHARE = 4 };
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->list[i].state != KMSE_ROW_WRITE)
            continue;
        size_t row_bytes = set_row(m, count++, rows, &rows->list[i]);
        if (row_bytes >= m->packet_bytes)
            return too_large(m, why);
        bytes += row_bytes;
        if (m->bulk && bytes < m->packet_bytes / SHARE)
            continue;
        KMSE_TRY(send_rows(m, count, found, why));
        count = 0;
        bytes = 0;
    }
    return count > 0 ? send_rows(m, count, found, why) : KMSE_OK;
}

static kmse_st take_hit(struct kmse_rows *rows, struct kmse_row *row,
                        const char *value, size_t len)
{
    row->hit = value != NULL && len == row->fresh.len
               && memcmp(value, kmse_rows_at(rows, &row->fresh), len) == 0;
    return KMSE_OK;
}

/* In the transaction that wrote: what is there is ours, or another's. */
static kmse_st find_hits(const struct mariadb *m, struct kmse_rows *rows,
                         uint64_t found, struct kmse_why *why)
{
    bool all = found == kmse_rows_count(rows, KMSE_ROW_WRITE);
    forget_hits(rows);
    for (size_t i = 0; i < rows->count && all; i++)
        rows->list[i].hit = rows->list[i].state == KMSE_ROW_WRITE;
    return all ? KMSE_OK : look(m, rows, KMSE_ROW_WRITE, take_hit, why);
}

static kmse_st write_rows(struct mariadb *m, struct kmse_rows *rows,
                          struct kmse_why *why)
{
    uint64_t found = 0;
    KMSE_TRY(execute(m, "START TRANSACTION", why));
    KMSE_TRY(send_all(m, rows, &found, why));
    KMSE_TRY(find_hits(m, rows, found, why));
    return execute(m, "COMMIT", why);
}

static kmse_st mariadb_write(struct kmse_database *database,
                             struct kmse_rows *rows, struct kmse_why *why)
{
    struct mariadb *m = (struct mariadb *)database;
    KMSE_TRY(reserve_parameters(m, rows->count));
    kmse_st st = write_rows(m, rows, why);
    if (kmse_is_ok(st))
        kmse_rows_settle(rows);
    /* To no harm if the connection is gone: the server does it then. */
    else
        (void)mysql_rollback(m->connection);
    return st;
}

const struct kmse_backend kmse_backend_mariadb = {
    .name = "mariadb",
    .schemes = SCHEMES,
    .make = mariadb_make,
    .free = mariadb_free,
    .connect = mariadb_connect_column,
    .disconnect = mariadb_disconnect,
    .read = mariadb_read,
    .write = mariadb_write,
    .reread = mariadb_reread,
};
