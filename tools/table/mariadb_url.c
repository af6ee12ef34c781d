/* SPDX-License-Identifier: Apache-2.0 */
/* mysql://user@host:port/database?socket=...: RFC 3986, strictly. */
#include "table/mariadb.h"

#include <stdlib.h>
#include <string.h>

static kmse_st bad(const char *what, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "the database's URL: %s; it is "
                     "mysql://user@host:port/database?socket=PATH, all of it "
                     "optional",
                     what);
}

/* --- percent-encoding (RFC 3986, 2.1) ----------------------------------- */

static int hex_digit(char c)
{
    static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
    enum { BASE = 16 };
    const char *at = c != '\0' ? strchr(DIGITS, c) : NULL;
    return at != NULL ? (int)((at - DIGITS) % BASE) : -1;
}

static kmse_st take_escape(char *out, const char *at, const char *end,
                           struct kmse_why *why)
{
    enum { BASE = 16, ESCAPE_LEN = 3 };
    if (end - at < ESCAPE_LEN || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
        return bad("a % without two hex digits", why);
    *out = (char)(hex_digit(at[1]) * BASE + hex_digit(at[2]));
    if (*out == '\0')
        return bad("%00 is in it", why);
    return KMSE_OK;
}

/* The characters up to end; what *out had is freed. Empty: NULL. */
static kmse_st decode(char **out, const char *at, const char *end,
                      struct kmse_why *why)
{
    enum { ESCAPE_LEN = 3 };
    char *text = NULL;
    if (at < end) {
        text = calloc(1, (size_t)(end - at) + 1);
        if (text == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
    }
    for (size_t len = 0; at < end; len++) {
        kmse_st st = KMSE_OK;
        if (*at != '%')
            text[len] = *at;
        else
            st = take_escape(&text[len], at, end, why);
        if (!kmse_is_ok(st)) {
            free(text);
            return st;
        }
        at += *at == '%' ? ESCAPE_LEN : 1;
    }
    free(*out);
    *out = text;
    return KMSE_OK;
}

/* --- its parts ---------------------------------------------------------- */

static const char *find(const char *at, const char *end, char c)
{
    const char *found = memchr(at, c, (size_t)(end - at));
    return found != NULL ? found : end;
}

static kmse_st take_port(struct kmse_mariadb_url *url, const char *at,
                         const char *end, struct kmse_why *why)
{
    enum { DECIMAL = 10, PORT_MAX = 65535 };
    unsigned int port = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || port > PORT_MAX)
            return bad("the port is a number of 1 to 65535", why);
        port = port * DECIMAL + (unsigned int)(*at - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return bad("the port is a number of 1 to 65535", why);
    url->port = port;
    return KMSE_OK;
}

/* host, host:port, [IPv6]:port */
static kmse_st take_host(struct kmse_mariadb_url *url, const char *at,
                         const char *end, struct kmse_why *why)
{
    const char *host_end = find(at, end, ':');
    const char *rest = host_end;
    if (at < end && *at == '[') {
        host_end = find(++at, end, ']');
        if (host_end == end)
            return bad("a [ without its ]", why);
        rest = host_end + 1;
    }
    KMSE_TRY(decode(&url->host, at, host_end, why));
    if (rest == end)
        return KMSE_OK;
    if (*rest != ':')
        return bad("something between ] and the port", why);
    return take_port(url, rest + 1, end, why);
}

/* A command line is seen by all users of a host. */
static kmse_st take_authority(struct kmse_mariadb_url *url, const char *at,
                              const char *end, struct kmse_why *why)
{
    const char *user_end = find(at, end, '@');
    if (user_end == end)
        return take_host(url, at, end, why);
    if (find(user_end + 1, end, '@') != end)
        return bad("two @: one that is not a separator is %40", why);
    if (find(at, user_end, ':') != user_end)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the database's URL has a password in it: all users "
                         "can see it there; use ~/.my.cnf or option-file");
    KMSE_TRY(decode(&url->user, at, user_end, why));
    return take_host(url, user_end + 1, end, why);
}

static bool is_word(const char *at, const char *end, const char *word)
{
    return strlen(word) == (size_t)(end - at)
           && memcmp(at, word, strlen(word)) == 0;
}

static kmse_st take_option(struct kmse_mariadb_url *url, const char *at,
                           const char *end, struct kmse_why *why)
{
    const char *name_end = find(at, end, '=');
    const char *value = name_end < end ? name_end + 1 : end;
    if (is_word(at, name_end, "socket"))
        return decode(&url->socket, value, end, why);
    if (is_word(at, name_end, "option-file"))
        return decode(&url->option_file, value, end, why);
    if (is_word(at, name_end, "bulk") && is_word(value, end, "off")) {
        url->no_bulk = true;
        return KMSE_OK;
    }
    return bad("after ? only socket, option-file and bulk=off", why);
}

static kmse_st take_options(struct kmse_mariadb_url *url, const char *at,
                            struct kmse_why *why)
{
    while (*at != '\0') {
        const char *end = at + strcspn(at, "&");
        KMSE_TRY(take_option(url, at, end, why));
        at = *end == '&' ? end + 1 : end;
    }
    return KMSE_OK;
}

static kmse_st parse(struct kmse_mariadb_url *url, const char *text,
                     struct kmse_why *why)
{
    const char *at = strchr(text, ':') + 1;
    if (strncmp(at, "//", 2) == 0) {
        at += 2;
        const char *end = at + strcspn(at, "/?");
        KMSE_TRY(take_authority(url, at, end, why));
        at = end;
    }
    if (*at == '/') {
        at++;
        const char *end = at + strcspn(at, "?");
        KMSE_TRY(decode(&url->database, at, end, why));
        at = end;
    }
    if (*at == '?')
        return take_options(url, at + 1, why);
    return *at == '\0' ? KMSE_OK : bad("// is missing", why);
}

kmse_st kmse_mariadb_url_parse(struct kmse_mariadb_url *url, const char *text,
                               struct kmse_why *why)
{
    struct kmse_mariadb_url made = {0};
    kmse_st st = parse(&made, text, why);
    if (!kmse_is_ok(st)) {
        kmse_mariadb_url_free(&made);
        return st;
    }
    *url = made;
    return KMSE_OK;
}

void kmse_mariadb_url_free(struct kmse_mariadb_url *url)
{
    free(url->user);
    free(url->host);
    free(url->database);
    free(url->socket);
    free(url->option_file);
    *url = (struct kmse_mariadb_url){0};
}
