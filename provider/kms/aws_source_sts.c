/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials from AWS's Security Token Service: one call. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "kms/aws_endpoint.h"
#include "kms/aws_message.h"
#include "kms/aws_request.h"
#include "kms/xml.h"

enum {
    CONNECT_TIMEOUT_MS = 1000,
    ANSWER_MAX = KMSE_XML_MAX,
    STATUS_OK = 200,
    SHOWN_LEN = 150,
};

static const char CONTENT_TYPE[] =
    "application/x-www-form-urlencoded; charset=utf-8";

/* --- where to ----------------------------------------------------------- */

struct route {
    char url[KMSE_AWS_URL_MAX];
    char host[KMSE_AWS_HOST_LEN];
    char *region; /* NULL: not said, and not needed */
    char *ca_bundle;
};

static void route_wipe(struct route *route)
{
    free(route->region);
    free(route->ca_bundle);
}

static kmse_st need_region(const struct route *route, const char *source,
                           struct kmse_why *why)
{
    if (route->region != NULL)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                     "%.200s: no AWS Region for STS: set aws-region or"
                     " AWS_REGION",
                     source);
}

static kmse_st find_standard_url(struct route *route,
                                 const struct kmse_aws_options *options,
                                 const char *source, struct kmse_why *why)
{
    KMSE_TRY(need_region(route, source, why));
    return kmse_aws_standard_url(route->url, options, "sts", route->region,
                                 why);
}

static kmse_st find_url(struct route *route,
                        const struct kmse_aws_options *options,
                        const char *source, struct kmse_why *why)
{
    char *url = NULL;
    KMSE_TRY(kmse_aws_endpoint_url(&url, options, "sts", why));
    if (url == NULL)
        return find_standard_url(route, options, source, why);
    bool fits = strlen(url) < sizeof(route->url);
    snprintf(route->url, sizeof(route->url), "%s", url);
    free(url);
    return fits ? KMSE_OK
                : kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                            "the URL of STS is too long");
}

/* On failure there is nothing to wipe. */
static kmse_st find_route(struct route *route,
                          const struct kmse_aws_options *options,
                          const struct kmse_aws_sts_call *call,
                          struct kmse_why *why)
{
    struct route made = {.region = NULL};
    KMSE_TRY(kmse_aws_region(&made.region, options, why));
    kmse_st st = find_url(&made, options, call->source, why);
    if (kmse_is_ok(st) && call->caller != NULL)
        st = need_region(&made, call->source, why);
    if (kmse_is_ok(st))
        st = kmse_aws_url_host(made.host, made.url, why);
    if (kmse_is_ok(st))
        st = kmse_aws_ca_bundle(&made.ca_bundle, options, why);
    if (!kmse_is_ok(st)) {
        route_wipe(&made);
        return st;
    }
    *route = made;
    return KMSE_OK;
}

/* --- an exchange -------------------------------------------------------- */

struct exchange {
    const struct kmse_aws_search *search;
    const struct kmse_aws_sts_call *call;
    struct route route;
    struct kmse_aws_form form;
    int64_t wall_s; /* to sign with: STS's time, as far as we know it */
    struct kmse_aws_error error; /* of an answer other than 200 */
    struct kmse_http_answer answer;
};

static void exchange_wipe(struct exchange *exchange)
{
    route_wipe(&exchange->route);
    kmse_aws_form_wipe(&exchange->form);
    kmse_http_answer_wipe(&exchange->answer);
}

static kmse_st sign(struct kmse_aws_lines *lines,
                    const struct exchange *exchange)
{
    const struct kmse_aws_post post = {
        .region = exchange->route.region,
        .service = "sts",
        .host = exchange->route.host,
        .content_type = CONTENT_TYPE,
        .body = exchange->form.text,
        .body_len = exchange->form.len,
        .wall_s = exchange->wall_s,
    };
    return kmse_aws_post_sign(lines, exchange->search->crypto, &post,
                              exchange->call->caller);
}

static kmse_st make_lines(struct kmse_aws_lines *lines,
                          const struct exchange *exchange, struct kmse_why *why)
{
    if (exchange->call->caller == NULL)
        return kmse_aws_lines_add(lines, "content-type", CONTENT_TYPE);
    kmse_st st = sign(lines, exchange);
    return kmse_is_ok(st)
               ? st
               : kmse_fail(why, st.reason, "%.200s: it cannot be signed",
                           exchange->call->source);
}

/* --- what is no success ------------------------------------------------- */

/*
 * Other errors may quote the request with its tokens: of a bad signature all
 * that was signed, of a bad parameter its value.
 */
static bool may_show(const char *code)
{
    static const char *const SHOWN[] = {
        "AccessDenied",     "ExpiredTokenException", "IDPCommunicationError",
        "IDPRejectedClaim", "InvalidIdentityToken",  "RegionDisabledException",
    };
    for (size_t i = 0; i < sizeof(SHOWN) / sizeof(SHOWN[0]); i++)
        if (strcmp(code, SHOWN[i]) == 0)
            return true;
    return false;
}

/* One text of an error; "" if it is not there. */
static void take_text(const struct exchange *exchange,
                      const struct kmse_http_answer *answer, const char *path,
                      char *out, size_t out_size)
{
    enum { TEXT_LEN = 4096 };
    char text[TEXT_LEN];
    const void *xml = answer->body;
    struct kmse_xml_text wanted = {
        .path = path, .out = text, .out_size = sizeof(text)};
    out[0] = '\0';
    if (kmse_is_ok(exchange->search->http->xml_texts(xml, answer->body_len,
                                                     &wanted, 1)))
        kmse_printable_copy(out, out_size, (const uint8_t *)text, strlen(text));
    OPENSSL_cleanse(text, sizeof(text));
}

/*
 * Of what KMS and STS have in common KMS's table knows the reason. That STS
 * cannot reach who made a token is as if we could not reach STS.
 */
static int reason_of(const struct kmse_aws_error *error, int status)
{
    int reason = kmse_aws_error_reason(error, status);
    if (strcmp(error->code, "IDPCommunicationError") == 0)
        return KMSE_R_KMS_UNREACHABLE;
    if (reason == KMSE_R_KMS_THROTTLED || reason == KMSE_R_KMS_UNREACHABLE)
        return reason;
    return kmse_aws_judge_status(status, NULL).reason;
}

static kmse_st judge(void *arg, const struct kmse_http_answer *answer,
                     struct kmse_why *why)
{
    struct exchange *exchange = arg;
    struct kmse_aws_error *error = &exchange->error;
    *error = (struct kmse_aws_error){.code = ""};
    if (answer->status == STATUS_OK)
        return KMSE_OK;
    take_text(exchange, answer, "ErrorResponse/Error/Code", error->code,
              sizeof(error->code));
    take_text(exchange, answer, "ErrorResponse/Error/Message", error->text,
              sizeof(error->text));
    int reason = reason_of(error, answer->status);
    if (error->code[0] == '\0')
        return kmse_fail(why, reason, "HTTP status %d, and no error of STS",
                         answer->status);
    if (!may_show(error->code) || error->text[0] == '\0')
        return kmse_fail(why, reason, "STS says %s", error->code);
    return kmse_fail(why, reason, "STS says %s: %.*s", error->code,
                     (int)SHOWN_LEN, error->text);
}

/* --- asking ------------------------------------------------------------- */

static kmse_st ask_with(struct exchange *exchange,
                        const struct kmse_aws_lines *lines,
                        struct kmse_why *why)
{
    const struct kmse_aws_options *options = exchange->search->options;
    uint64_t connect_ms = options->connect_timeout_ms != 0
                              ? options->connect_timeout_ms
                              : CONNECT_TIMEOUT_MS;
    const struct kmse_aws_ask ask = {
        .request = {.method = "POST",
                    .url = exchange->route.url,
                    .headers = (const char *const *)lines->lines,
                    .body = (const uint8_t *)exchange->form.text,
                    .body_len = exchange->form.len,
                    .answer_max = ANSWER_MAX,
                    .connect_timeout_ms = (uint32_t)connect_ms,
                    .timeout_ms = UINT32_MAX,
                    .ca_bundle = exchange->route.ca_bundle,
                    .proxy = options->proxy,
                    .no_proxy = options->no_proxy,
                    .allow_http = options->allow_http},
        .source = exchange->call->source,
        .judge = judge,
        .judge_arg = exchange,
    };
    kmse_http_answer_wipe(&exchange->answer);
    return kmse_aws_ask(exchange->search, &ask, &exchange->answer, why);
}

static kmse_st ask(struct exchange *exchange, struct kmse_why *why)
{
    struct kmse_aws_lines lines = {.count = 0};
    kmse_st st = make_lines(&lines, exchange, why);
    if (kmse_is_ok(st))
        st = ask_with(exchange, &lines, why);
    kmse_aws_lines_wipe(&lines);
    return st;
}

/* Signatures are good for five minutes: a clock that is off is made up for. */
static kmse_st ask_by_right_clock(struct exchange *exchange,
                                  struct kmse_why *why)
{
    kmse_st st = ask(exchange, why);
    int64_t server_s = kmse_http_date_parse(exchange->answer.date);
    if (kmse_is_ok(st) || server_s == 0
        || !kmse_aws_error_is_skew(&exchange->error))
        return st;
    exchange->wall_s = server_s;
    return ask(exchange, why);
}

/* --- credentials -------------------------------------------------------- */

enum { ID, SECRET, TOKEN, EXPIRATION, TEXTS };
static const char *const NAMES[TEXTS] = {
    [ID] = "AccessKeyId",
    [SECRET] = "SecretAccessKey",
    [TOKEN] = "SessionToken",
    [EXPIRATION] = "Expiration",
};

static kmse_st read_texts(const struct exchange *exchange,
                          struct kmse_xml_text texts[TEXTS])
{
    enum { PATH_LEN = 128 };
    char paths[TEXTS][PATH_LEN];
    const char *action = exchange->call->action;
    const void *xml = exchange->answer.body;
    for (size_t i = 0; i < TEXTS; i++) {
        snprintf(paths[i], PATH_LEN, "%sResponse/%sResult/Credentials/%s",
                 action, action, NAMES[i]);
        texts[i].path = paths[i];
    }
    KMSE_TRY(exchange->search->http->xml_texts(xml, exchange->answer.body_len,
                                               texts, TEXTS));
    for (size_t i = 0; i < TEXTS; i++)
        if (!texts[i].found)
            return KMSE_ERR(KMSE_R_KMS_ANSWER);
    return KMSE_OK;
}

/* scratch: for texts that are not checked yet, wiped as credentials are. */
static kmse_st read_credentials(const struct exchange *exchange,
                                struct kmse_aws_credentials *scratch,
                                struct kmse_aws_credentials *credentials,
                                struct kmse_why *why)
{
    enum { TIME_LEN = 64 };
    char time[TIME_LEN];
    struct kmse_xml_text texts[TEXTS] = {
        [ID] = {.out = scratch->access_key_id,
                .out_size = sizeof(scratch->access_key_id)},
        [SECRET] = {.out = scratch->secret_access_key,
                    .out_size = sizeof(scratch->secret_access_key)},
        [TOKEN] = {.out = scratch->session_token,
                   .out_size = sizeof(scratch->session_token)},
        [EXPIRATION] = {.out = time, .out_size = sizeof(time)},
    };
    const struct kmse_aws_parts parts = {
        .id_name = NAMES[ID],
        .secret_name = NAMES[SECRET],
        .token_name = NAMES[TOKEN],
        .expiration_name = NAMES[EXPIRATION],
        .id = texts[ID].out,
        .secret = texts[SECRET].out,
        .token = texts[TOKEN].out,
        .expiration = texts[EXPIRATION].out,
        .where = exchange->call->source,
    };
    bool found = false;
    kmse_st st = read_texts(exchange, texts);
    if (st.reason == KMSE_R_KMS_ANSWER)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%.200s: STS gave a bad answer",
                         exchange->call->source);
    KMSE_TRY(st);
    KMSE_TRY(kmse_aws_credentials_take(credentials, &parts, &found, why));
    return kmse_aws_credentials_temporary(credentials, why);
}

static kmse_st take_answer(const struct exchange *exchange,
                           struct kmse_aws_credentials *credentials,
                           struct kmse_why *why)
{
    struct kmse_aws_credentials *scratch = NULL;
    KMSE_TRY(kmse_aws_credentials_new(&scratch));
    kmse_st st = read_credentials(exchange, scratch, credentials, why);
    kmse_aws_credentials_release(scratch);
    if (kmse_is_ok(st))
        kmse_aws_credentials_by_our_clock(exchange->search, credentials,
                                          &exchange->answer);
    return st;
}

kmse_st kmse_aws_sts_call(const struct kmse_aws_search *search,
                          const struct kmse_aws_sts_call *call,
                          struct kmse_aws_credentials *credentials,
                          struct kmse_why *why)
{
    struct exchange exchange = {.search = search, .call = call};
    exchange.wall_s = kmse_aws_search_wall_s(search);
    KMSE_TRY(find_route(&exchange.route, search->options, call, why));
    kmse_st st =
        kmse_aws_form_print(&exchange.form, call->fields, call->field_count);
    if (kmse_is_ok(st))
        st = ask_by_right_clock(&exchange, why);
    if (kmse_is_ok(st))
        st = take_answer(&exchange, credentials, why);
    exchange_wipe(&exchange);
    return st;
}
