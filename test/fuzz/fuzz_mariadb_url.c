/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of MariaDB: what is read is read again from its parts. */
#include "fuzz.h"

#include "table/mariadb.h"

/* Each character of a part in its escaped form. */
static void add_part(struct kmse_sql *sql, const char *before, const char *part)
{
    kmse_sql_add(sql, "%s", before);
    for (const char *c = part != NULL ? part : ""; *c != '\0'; c++)
        kmse_sql_add(sql, "%%%02x", (uint8_t)*c);
}

static void print(struct kmse_sql *sql, const struct kmse_mariadb_url *url)
{
    add_part(sql, "mysql://", url->user);
    add_part(sql, "@", url->host);
    if (url->port != 0)
        kmse_sql_add(sql, ":%u", url->port);
    add_part(sql, "/", url->database);
    add_part(sql, "?socket=", url->socket);
    add_part(sql, "&option-file=", url->option_file);
    kmse_sql_add(sql, url->no_bulk ? "&bulk=off" : "");
}

static void check_same(const char *a, const char *b)
{
    FUZZ_CHECK((a == NULL) == (b == NULL));
    FUZZ_CHECK(a == NULL || strcmp(a, b) == 0);
}

static void check_is_read_again(const struct kmse_mariadb_url *url)
{
    struct kmse_mariadb_url again = {0};
    struct kmse_sql sql = {0};
    struct kmse_why why = {0};
    print(&sql, url);
    FUZZ_OK(kmse_mariadb_url_parse(&again, sql.text, &why));
    check_same(url->user, again.user);
    check_same(url->host, again.host);
    check_same(url->database, again.database);
    check_same(url->socket, again.socket);
    check_same(url->option_file, again.option_file);
    FUZZ_CHECK(url->port == again.port && url->no_bulk == again.no_bulk);
    kmse_mariadb_url_free(&again);
    kmse_sql_free(&sql);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *rest = fuzz_text(data, size);
    struct kmse_mariadb_url url = {.port = 1};
    struct kmse_sql text = {0};
    struct kmse_why why = {0};
    kmse_sql_add(&text, "mysql:%s", rest);
    kmse_st st = kmse_mariadb_url_parse(&url, text.text, &why);
    if (kmse_is_ok(st)) {
        check_is_read_again(&url);
        kmse_mariadb_url_free(&url);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_PARAMETER);
        FUZZ_CHECK(url.port == 1 && url.host == NULL);
    }
    kmse_sql_free(&text);
    free(rest);
    return 0;
}
