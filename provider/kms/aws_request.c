/* SPDX-License-Identifier: Apache-2.0 */
/* One signed request to AWS KMS. */
#include "kms/aws_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "kms/sigv4.h"

static const char CONTENT_TYPE[] = "application/x-amz-json-1.1";
enum { ANSWER_MAX = 65536, STATUS_OK = 200, MS_PER_S = 1000 };

void kmse_aws_outcome_wipe(struct kmse_aws_outcome *outcome)
{
    kmse_http_answer_wipe(&outcome->answer);
}

/* --- URL and headers ---------------------------------------------------- */

static bool drop_suffix(char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);
    if (len <= suffix_len || strcmp(text + len - suffix_len, suffix) != 0)
        return false;
    text[len - suffix_len] = '\0';
    return true;
}

kmse_st kmse_aws_url_host(char host[KMSE_AWS_HOST_LEN], const char *url,
                          struct kmse_why *why)
{
    bool https = strncmp(url, "https://", strlen("https://")) == 0;
    bool http = strncmp(url, "http://", strlen("http://")) == 0;
    const char *start = strstr(url, "://");
    size_t len = start != NULL ? strcspn(start + 3, "/?#") : 0;
    if ((!https && !http) || len == 0 || len >= KMSE_AWS_HOST_LEN)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "endpoint %.200s: must be https://HOST", url);
    const char *rest = start + 3 + len;
    if (rest[0] != '\0' && strcmp(rest, "/") != 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "endpoint %.200s: a path is not possible", url);
    memcpy(host, start + 3, len);
    host[len] = '\0';
    drop_suffix(host, https ? ":443" : ":80");
    return KMSE_OK;
}

int64_t kmse_http_date_parse(const char *text)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    enum { MONTH_LEN = 3, YEAR_0 = 1900 };
    struct tm at = {0};
    char month[MONTH_LEN + 1] = "", zone[MONTH_LEN + 1] = "";
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3[A-Z]",
               &at.tm_mday, month, &at.tm_year, &at.tm_hour, &at.tm_min,
               &at.tm_sec, zone)
            != 7
        || strcmp(zone, "GMT") != 0 || strlen(month) != MONTH_LEN)
        return 0;
    const char *found = strstr(MONTHS, month);
    if (found == NULL || (found - MONTHS) % MONTH_LEN != 0)
        return 0;
    at.tm_mon = (int)(found - MONTHS) / MONTH_LEN;
    at.tm_year -= YEAR_0;
    time_t wall_s = timegm(&at);
    return wall_s > 0 ? (int64_t)wall_s : 0;
}

static uint64_t parse_retry_after(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != '\0')
        return 0;
    return strtoull(text, NULL, 10) * MS_PER_S;
}

/* "name: value" lines of what is signed, and the signature. */
enum { HEADERS_MAX = 6 };
struct header_lines {
    char *lines[HEADERS_MAX + 1];
    size_t count;
};

static void wipe_lines(struct header_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        OPENSSL_cleanse(lines->lines[i], strlen(lines->lines[i]));
        free(lines->lines[i]);
    }
}

static kmse_st add_line(struct header_lines *lines, const char *name,
                        const char *value)
{
    size_t size = strlen(name) + strlen(": ") + strlen(value) + 1;
    char *line = malloc(size);
    if (line == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    snprintf(line, size, "%s: %s", name, value);
    lines->lines[lines->count++] = line;
    lines->lines[lines->count] = NULL;
    return KMSE_OK;
}

static kmse_st sign(struct header_lines *lines, struct kmse_crypto *crypto,
                    const struct kmse_aws_credentials *credentials,
                    const struct kmse_aws_request *request, const char *host)
{
    enum { TARGET_LEN = 64 };
    struct kmse_sigv4_scope scope = {.region = request->region,
                                     .service = "kms"};
    char target[TARGET_LEN];
    snprintf(target, sizeof(target), "TrentService.%s", request->action);
    kmse_sigv4_time_print(scope.time, request->wall_s);
    const struct kmse_sigv4_header headers[] = {
        {"content-type", CONTENT_TYPE},
        {"host", host},
        {"x-amz-date", scope.time},
        {"x-amz-target", target},
        {"x-amz-security-token", credentials->session_token},
    };
    size_t count = sizeof(headers) / sizeof(headers[0]);
    if (credentials->session_token[0] == '\0')
        count--;
    const struct kmse_sigv4_request to_sign = {
        .method = "POST",
        .headers = headers,
        .header_count = count,
        .body = (const uint8_t *)request->body->text,
        .body_len = request->body->len,
    };
    char *authorization = NULL;
    KMSE_TRY(kmse_sigv4_authorization(&authorization, crypto, &to_sign, &scope,
                                      credentials->access_key_id,
                                      credentials->secret_access_key));
    kmse_st st = add_line(lines, "authorization", authorization);
    free(authorization);
    for (size_t i = 0; i < count && kmse_is_ok(st); i++)
        st = add_line(lines, headers[i].name, headers[i].value);
    return st;
}

/* --- what came of it ---------------------------------------------------- */

/* AWS's text on a signature quotes the request with its session token. */
static kmse_st explain(const struct kmse_aws_outcome *outcome,
                       const struct kmse_aws_credentials *credentials,
                       struct kmse_why *why)
{
    const struct kmse_aws_error *error = &outcome->error;
    const struct kmse_http_answer *answer = &outcome->answer;
    int reason = kmse_aws_error_reason(error, answer->status);
    if (error->code[0] == '\0')
        return kmse_fail(why, reason, "HTTP status %d, and no error of KMS",
                         answer->status);
    if (reason == KMSE_R_KMS_CREDENTIALS)
        return kmse_fail(why, reason, "%s; the credentials are from %s",
                         error->code, credentials->source);
    char request_id[KMSE_HTTP_HEADER_MAX];
    kmse_printable_copy(request_id, sizeof(request_id),
                        (const uint8_t *)answer->request_id,
                        strlen(answer->request_id));
    return kmse_fail(why, reason, "%s: %.150s (request id %.40s)", error->code,
                     error->text, request_id);
}

kmse_st kmse_aws_attempt(struct kmse_aws_outcome *outcome,
                         struct kmse_crypto *crypto,
                         const struct kmse_http *http,
                         const struct kmse_aws_credentials *credentials,
                         const struct kmse_aws_request *request,
                         struct kmse_why *why)
{
    char host[KMSE_AWS_HOST_LEN];
    struct header_lines lines = {.count = 0};
    *outcome = (struct kmse_aws_outcome){.server_s = 0};
    KMSE_TRY(kmse_aws_url_host(host, request->url, why));
    kmse_st st = sign(&lines, crypto, credentials, request, host);
    if (!kmse_is_ok(st)) {
        wipe_lines(&lines);
        return kmse_fail(why, st.reason, "the request cannot be signed");
    }
    const struct kmse_http_request exchange = {
        .method = "POST",
        .url = request->url,
        .headers = (const char *const *)lines.lines,
        .body = (const uint8_t *)request->body->text,
        .body_len = request->body->len,
        .answer_max = ANSWER_MAX,
        .connect_timeout_ms = request->connect_timeout_ms,
        .timeout_ms = request->timeout_ms,
        .ca_bundle = request->ca_bundle,
        .allow_http = request->allow_http,
    };
    st = http->perform(http->arg, &exchange, &outcome->answer, why);
    wipe_lines(&lines);
    KMSE_TRY(st);
    outcome->server_s = kmse_http_date_parse(outcome->answer.date);
    outcome->retry_after_ms = parse_retry_after(outcome->answer.retry_after);
    if (outcome->answer.status == STATUS_OK)
        return KMSE_OK;
    kmse_aws_error_parse(&outcome->error, (const char *)outcome->answer.body,
                         outcome->answer.body_len);
    return explain(outcome, credentials, why);
}
