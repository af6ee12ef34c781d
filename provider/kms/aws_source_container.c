/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of a container: ECS, EKS Pod Identity. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/file.h"
#include "kms/aws_environment.h"

enum {
    TIMEOUT_MS = 2000,
    ANSWER_MAX = 1 << 16,
    TOKEN_MAX = 1 << 14,
    HOST_LEN = 256,
    URL_LEN = 2048,
};

static const char RELATIVE[] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
static const char FULL[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
static const char TOKEN[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
static const char TOKEN_FILE[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
static const char ECS[] = "http://169.254.170.2";

/* --- the URL ------------------------------------------------------------ */

struct endpoint {
    char url[URL_LEN];
    bool allow_http;
    const char *variable;
};

/*
 * An authority of just a host and a port: with a user's name, or what one
 * parser of URLs takes for its end and another does not, it is none.
 */
static bool take_host(char host[HOST_LEN], const char *authority)
{
    size_t len = strcspn(authority, "/?#");
    size_t host_len = *authority == '[' ? strcspn(authority, "]") + 1
                                        : strcspn(authority, ":/?#");
    if (host_len > len || host_len == 0 || host_len >= HOST_LEN
        || memchr(authority, '@', len) != NULL
        || memchr(authority, '\\', len) != NULL
        || memchr(authority, '%', len) != NULL)
        return false;
    const char *port = authority + host_len;
    size_t port_len = len - host_len;
    if (port_len > 0
        && (port[0] != ':' || strspn(port + 1, "0123456789") != port_len - 1))
        return false;
    memcpy(host, authority, host_len);
    host[host_len] = '\0';
    return true;
}

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
           || (strncmp(host, "127.", strlen("127.")) == 0
               && host[strspn(host, "0123456789.")] == '\0');
}

/* Link-local: what is asked there does not leave the machine. */
static bool is_agent(const char *host)
{
    static const char *const AGENTS[] = {"169.254.170.2", "169.254.170.23",
                                         "[fd00:ec2::23]"};
    for (size_t i = 0; i < sizeof(AGENTS) / sizeof(AGENTS[0]); i++)
        if (strcasecmp(host, AGENTS[i]) == 0)
            return true;
    return false;
}

static kmse_st check_full(struct endpoint *endpoint, struct kmse_why *why)
{
    static const char HTTP[] = "http://", HTTPS[] = "https://";
    const char *url = endpoint->url;
    char host[HOST_LEN] = "";
    bool https = strncasecmp(url, HTTPS, strlen(HTTPS)) == 0;
    bool http = strncasecmp(url, HTTP, strlen(HTTP)) == 0;
    if ((!https && !http)
        || !take_host(host, url + (https ? strlen(HTTPS) : strlen(HTTP))))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: not a URL", FULL);
    endpoint->allow_http = http && is_agent(host);
    if (https || endpoint->allow_http || is_loopback(host))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                     "%s: %.100s is asked by https:// only; by http://"
                     " 169.254.170.2, 169.254.170.23, [fd00:ec2::23] and this"
                     " machine are",
                     FULL, host);
}

static kmse_st find_endpoint(struct endpoint *endpoint, const char *relative,
                             const char *full, struct kmse_why *why)
{
    bool is_relative = relative != NULL;
    endpoint->variable = is_relative ? RELATIVE : FULL;
    endpoint->allow_http = is_relative;
    int len = snprintf(endpoint->url, sizeof(endpoint->url), "%s%s",
                       is_relative ? ECS : "", is_relative ? relative : full);
    if ((size_t)len >= sizeof(endpoint->url) || !kmse_aws_is_word(endpoint->url)
        || (is_relative && relative[0] != '/'))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: %s",
                         endpoint->variable,
                         is_relative ? "not a path" : "not a URL");
    return is_relative ? KMSE_OK : check_full(endpoint, why);
}

/* --- the authorization -------------------------------------------------- */

/* A line's end in it would begin another header. */
static bool is_value(const char *text, size_t len)
{
    enum { FIRST = ' ', LAST = '~' };
    for (size_t i = 0; i < len; i++)
        if (text[i] < FIRST || text[i] > LAST)
            return false;
    return len > 0;
}

static kmse_st add_token(struct kmse_aws_lines *lines, const char *token,
                         size_t token_len, const char *variable,
                         struct kmse_why *why)
{
    if (!is_value(token, token_len))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%s: a token is one line, without the end of it",
                         variable);
    return kmse_aws_lines_add(lines, "Authorization", token);
}

/* Written anew by whoever rotates it, so it is read for each request. */
static kmse_st add_token_of_file(struct kmse_aws_lines *lines, const char *path,
                                 struct kmse_why *why)
{
    struct kmse_why cause = {""};
    uint8_t *bytes = NULL;
    size_t len = 0;
    kmse_st st = kmse_file_read(path, TOKEN_MAX, 0, &bytes, &len, &cause);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "%s: %.300s", TOKEN_FILE, cause.text);
    const void *token = bytes;
    st = add_token(lines, token, len, TOKEN_FILE, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}

static kmse_st add_lines(struct kmse_aws_lines *lines, struct kmse_why *why)
{
    const char *path = kmse_aws_environment(TOKEN_FILE);
    const char *token = kmse_aws_environment(TOKEN);
    KMSE_TRY(kmse_aws_lines_add(lines, "Accept", "application/json"));
    if (path != NULL)
        return add_token_of_file(lines, path, why);
    if (token != NULL)
        return add_token(lines, token, strlen(token), TOKEN, why);
    return KMSE_OK;
}

/* --- asking ------------------------------------------------------------- */

static kmse_st judge(void *arg, const struct kmse_http_answer *answer,
                     struct kmse_why *why)
{
    (void)arg;
    return kmse_aws_judge_status(answer->status, why);
}

static kmse_st take_answer(const struct kmse_aws_search *search,
                           struct kmse_aws_credentials *credentials,
                           const struct kmse_http_answer *answer,
                           const char *source, struct kmse_why *why)
{
    const void *json = answer->body;
    KMSE_TRY(kmse_aws_credentials_from_json(credentials, json, answer->body_len,
                                            source, why));
    KMSE_TRY(kmse_aws_credentials_temporary(credentials, why));
    kmse_aws_credentials_by_our_clock(search, credentials, answer);
    return KMSE_OK;
}

static kmse_st ask(const struct kmse_aws_search *search,
                   struct kmse_aws_credentials *credentials,
                   const struct endpoint *endpoint,
                   const struct kmse_aws_lines *lines, const char *ca_bundle,
                   struct kmse_why *why)
{
    char source[KMSE_AWS_SOURCE_LEN];
    struct kmse_http_answer answer;
    snprintf(source, sizeof(source), "container endpoint (%s)",
             endpoint->variable);
    const struct kmse_aws_ask ask = {
        .request = {.method = "GET",
                    .url = endpoint->url,
                    .headers = (const char *const *)lines->lines,
                    .answer_max = ANSWER_MAX,
                    .connect_timeout_ms = TIMEOUT_MS,
                    .timeout_ms = TIMEOUT_MS,
                    .ca_bundle = ca_bundle,
                    .no_proxy = "*",
                    .allow_http = endpoint->allow_http},
        .source = source,
        .judge = judge,
    };
    kmse_st st = kmse_aws_ask(search, &ask, &answer, why);
    if (kmse_is_ok(st))
        st = take_answer(search, credentials, &answer, source, why);
    kmse_http_answer_wipe(&answer);
    return st;
}

static kmse_st find_and_ask(const struct kmse_aws_search *search,
                            struct kmse_aws_credentials *credentials,
                            const struct endpoint *endpoint,
                            struct kmse_why *why)
{
    struct kmse_aws_lines lines = {.count = 0};
    char *ca_bundle = NULL;
    KMSE_TRY(kmse_aws_ca_bundle(&ca_bundle, search->options, why));
    kmse_st st = add_lines(&lines, why);
    if (kmse_is_ok(st))
        st = ask(search, credentials, endpoint, &lines, ca_bundle, why);
    kmse_aws_lines_wipe(&lines);
    free(ca_bundle);
    return st;
}

/* Of both variables the relative one holds, as in botocore. */
kmse_st kmse_aws_source_container(const struct kmse_aws_search *search,
                                  struct kmse_aws_credentials *credentials,
                                  bool *found, struct kmse_why *why)
{
    const char *relative = kmse_aws_environment(RELATIVE);
    const char *full = kmse_aws_environment(FULL);
    struct endpoint endpoint;
    *found = relative != NULL || full != NULL;
    if (!*found)
        return KMSE_OK;
    KMSE_TRY(find_endpoint(&endpoint, relative, full, why));
    return find_and_ask(search, credentials, &endpoint, why);
}
