/* SPDX-License-Identifier: Apache-2.0 */
/* One signed request to AWS KMS. */
#include "kms/aws_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "kms/aws_post.h"

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

/* "host", "host:port" or "[address]:port": how much of the text is that. */
static size_t authority_len(const char *text)
{
    static const char DIGITS[] = "0123456789";
    static const char ADDRESS[] = "0123456789ABCDEFabcdef:.";
    static const char NAME[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    bool is_address = text[0] == '[';
    size_t len =
        is_address ? 1 + strspn(text + 1, ADDRESS) : strspn(text, NAME);
    if (is_address && (len == 1 || text[len++] != ']'))
        return 0;
    size_t port_len = text[len] == ':' ? strspn(text + len + 1, DIGITS) : 0;
    return len > 0 && port_len > 0 ? len + 1 + port_len : len;
}

/* Without what may be a password in it. */
static kmse_st bad_url(const char *url, const char *what, struct kmse_why *why)
{
    enum { SHOWN_LEN = 200 };
    char shown[SHOWN_LEN];
    size_t len = strcspn(url, "@?#");
    kmse_printable_copy(shown, sizeof(shown), (const uint8_t *)url,
                        url[len] == '\0' ? len : 0);
    return kmse_fail(why, KMSE_R_CONFIG_VALUE, "endpoint %s: %s", shown, what);
}

kmse_st kmse_aws_url_host(char host[KMSE_AWS_HOST_LEN], const char *url,
                          struct kmse_why *why)
{
    static const char HTTPS[] = "https://", HTTP[] = "http://";
    bool https = strncmp(url, HTTPS, strlen(HTTPS)) == 0;
    bool http = strncmp(url, HTTP, strlen(HTTP)) == 0;
    if (!https && !http)
        return bad_url(url, "must be https://HOST", why);
    const char *start = url + (https ? strlen(HTTPS) : strlen(HTTP));
    size_t len = authority_len(start);
    const char *rest = start + len;
    if (len == 0 || len >= KMSE_AWS_HOST_LEN
        || (rest[0] != '\0' && rest[0] != '/'))
        return bad_url(url, "must be https://HOST or https://HOST:PORT", why);
    if (rest[0] == '/' && rest[1] != '\0')
        return bad_url(url, "a path is not possible", why);
    memcpy(host, start, len);
    host[len] = '\0';
    drop_suffix(host, https ? ":443" : ":80");
    return KMSE_OK;
}

int64_t kmse_http_date_parse(const char *text)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    enum { MONTH_LEN = 3, YEAR_0 = 1900, WORDS = 7, DATE_LEN = 80 };
    static const char FORM[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    struct tm at = {0};
    char day[MONTH_LEN + 1] = "", month[MONTH_LEN + 1] = "", again[DATE_LEN];
    if (strlen(text) != strlen(FORM)
        || sscanf(text, "%3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d", day,
                  &at.tm_mday, month, &at.tm_year, &at.tm_hour, &at.tm_min,
                  &at.tm_sec)
               != WORDS)
        return 0;
    const char *found = strstr(MONTHS, month);
    if (found == NULL || (found - MONTHS) % MONTH_LEN != 0)
        return 0;
    at.tm_mon = (int)(found - MONTHS) / MONTH_LEN;
    at.tm_year -= YEAR_0;
    int64_t wall_s = kmse_time_join(&at);
    /* sscanf takes signs and blanks, and join the 30th of February. */
    kmse_time_split(&at, wall_s);
    snprintf(again, sizeof(again), "%s, %02d %.3s %04d %02d:%02d:%02d GMT", day,
             at.tm_mday, MONTHS + MONTH_LEN * at.tm_mon, at.tm_year + YEAR_0,
             at.tm_hour, at.tm_min, at.tm_sec);
    return wall_s > 0 && strcmp(text, again) == 0 ? wall_s : 0;
}

static uint64_t parse_retry_after(const char *text)
{
    enum { DIGITS_MAX = 9 };
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || text[digits] != '\0')
        return 0;
    return strtoull(text, NULL, 10) * MS_PER_S;
}

static kmse_st sign(struct kmse_aws_lines *lines, struct kmse_crypto *crypto,
                    const struct kmse_aws_credentials *credentials,
                    const struct kmse_aws_request *request, const char *host)
{
    enum { TARGET_LEN = 64 };
    char target[TARGET_LEN];
    snprintf(target, sizeof(target), "TrentService.%s", request->action);
    const struct kmse_aws_post post = {
        .region = request->region,
        .service = "kms",
        .host = host,
        .content_type = CONTENT_TYPE,
        .target = target,
        .body = request->body->text,
        .body_len = request->body->len,
        .wall_s = request->wall_s,
    };
    return kmse_aws_post_sign(lines, crypto, &post, credentials);
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
    struct kmse_aws_lines lines = {.count = 0};
    *outcome = (struct kmse_aws_outcome){.server_s = 0};
    KMSE_TRY(kmse_aws_url_host(host, request->url, why));
    kmse_st st = sign(&lines, crypto, credentials, request, host);
    if (!kmse_is_ok(st)) {
        kmse_aws_lines_wipe(&lines);
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
        .proxy = request->proxy,
        .no_proxy = request->no_proxy,
        .allow_http = request->allow_http,
        .interrupt = kmse_interrupt_current(),
    };
    st = http->perform(http->arg, &exchange, &outcome->answer, why);
    kmse_aws_lines_wipe(&lines);
    KMSE_TRY(st);
    outcome->server_s = kmse_http_date_parse(outcome->answer.date);
    outcome->retry_after_ms = parse_retry_after(outcome->answer.retry_after);
    if (outcome->answer.status == STATUS_OK)
        return KMSE_OK;
    kmse_aws_error_parse(&outcome->error, (const char *)outcome->answer.body,
                         outcome->answer.body_len);
    return explain(outcome, credentials, why);
}
