/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of an EC2 instance: its metadata service, version 2. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/json.h"
#include "kms/aws_environment.h"

enum {
    TIMEOUT_MS = 1000,
    ANSWER_MAX = 1 << 16,
    ENDPOINT_LEN = 256,
    URL_LEN = 512,
    TOKEN_LEN = 1024,
    ROLE_LEN = 65, /* IAM's limit is 64 */
    CODE_LEN = 64,
    NOT_FOUND = 404,
    NO_METHOD = 405,
};

static const char SOURCE[] = "instance metadata";
static const char ENDPOINT[] = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
static const char MODE[] = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
static const char DISABLED[] = "AWS_EC2_METADATA_DISABLED";
static const char IPV4[] = "http://169.254.169.254";
static const char IPV6[] = "http://[fd00:ec2::254]";
static const char TOKEN_PATH[] = "/latest/api/token";
static const char ROLES_PATH[] = "/latest/meta-data/iam/security-credentials/";

/* --- where -------------------------------------------------------------- */

static kmse_st is_disabled(bool *disabled, struct kmse_why *why)
{
    const char *text = kmse_aws_environment(DISABLED);
    *disabled = text != NULL && strcasecmp(text, "true") == 0;
    if (text == NULL || *disabled || strcasecmp(text, "false") == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s must be true or false",
                     DISABLED);
}

/* By the environment, else by the profile. */
static const char *setting(const struct kmse_aws_search *search,
                           const char *variable, const char *key)
{
    const char *value = kmse_aws_environment(variable);
    return value != NULL ? value : kmse_aws_search_value(search, key);
}

static kmse_st of_mode(const char **endpoint,
                       const struct kmse_aws_search *search,
                       struct kmse_why *why)
{
    const char *mode =
        setting(search, MODE, "ec2_metadata_service_endpoint_mode");
    *endpoint = IPV4;
    if (mode == NULL || strcasecmp(mode, "ipv4") == 0)
        return KMSE_OK;
    *endpoint = IPV6;
    if (strcasecmp(mode, "ipv6") == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s must be IPv4 or IPv6",
                     MODE);
}

/* Without a slash at its end. */
static kmse_st find_endpoint(char out[ENDPOINT_LEN],
                             const struct kmse_aws_search *search,
                             struct kmse_why *why)
{
    const char *endpoint =
        setting(search, ENDPOINT, "ec2_metadata_service_endpoint");
    if (endpoint == NULL)
        KMSE_TRY(of_mode(&endpoint, search, why));
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    if (len >= ENDPOINT_LEN || !kmse_aws_is_word(endpoint))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: not a URL",
                         ENDPOINT);
    memcpy(out, endpoint, len);
    out[len] = '\0';
    return KMSE_OK;
}

/* --- asking ------------------------------------------------------------- */

struct service {
    const struct kmse_aws_search *search;
    char endpoint[ENDPOINT_LEN];
    char token[TOKEN_LEN];
};

/* Where it is not expected, it was the last hope. */
static kmse_st judge(void *arg, const struct kmse_http_answer *answer,
                     struct kmse_why *why)
{
    enum { REFUSED = 403 };
    const struct kmse_aws_search *search = arg;
    if (answer->status != REFUSED)
        return kmse_aws_judge_status(answer->status, why);
    if (search->instance_expected)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "HTTP status %d: it is off for this instance",
                         answer->status);
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                     "HTTP status %d, and there are none in the environment"
                     " (AWS_ACCESS_KEY_ID) or profile %.60s",
                     answer->status, search->profile);
}

/* Who is expected there gets more than one try. */
static kmse_st ask(const struct service *service, const char *method,
                   const char *path, const char *name, const char *value,
                   struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct kmse_aws_search search = *service->search;
    struct kmse_aws_lines lines = {.count = 0};
    char url[URL_LEN];
    snprintf(url, sizeof(url), "%s%s", service->endpoint, path);
    bool is_own = strcmp(service->endpoint, IPV4) == 0
                  || strcmp(service->endpoint, IPV6) == 0;
    const struct kmse_aws_ask ask = {
        .request = {.method = method,
                    .url = url,
                    .headers = (const char *const *)lines.lines,
                    .answer_max = ANSWER_MAX,
                    .connect_timeout_ms = TIMEOUT_MS,
                    .timeout_ms = TIMEOUT_MS,
                    .no_proxy = "*",
                    .allow_http = is_own || search.options->allow_http},
        .source = SOURCE,
        .judge = judge,
        .judge_arg = &search,
        .once = !search.instance_expected,
    };
    *answer = (struct kmse_http_answer){.status = 0};
    kmse_st st = kmse_aws_lines_add(&lines, name, value);
    if (kmse_is_ok(st))
        st = kmse_aws_ask(&search, &ask, answer, why);
    kmse_aws_lines_wipe(&lines);
    return st;
}

/* The answer as a word of less than out_size letters. */
static bool take_word(char *out, size_t out_size,
                      const struct kmse_http_answer *answer)
{
    const void *body = answer->body;
    const char *text = body;
    size_t len = strcspn(text, "\r\n");
    size_t end = len + strspn(text + len, "\r\n");
    if (len >= out_size || end != answer->body_len)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return kmse_aws_is_word(out);
}

/* Anything may be at that address where this is no EC2. */
static bool is_absent(kmse_st st, const struct kmse_http_answer *answer)
{
    bool no_answer = answer->status == 0
                     && (st.reason == KMSE_R_KMS_UNREACHABLE
                         || st.reason == KMSE_R_KMS_TIMEOUT);
    return no_answer || answer->status == NOT_FOUND
           || answer->status == NO_METHOD;
}

/* *found is false if nobody is there who knows tokens, nor is expected. */
static kmse_st take_token(struct service *service, bool *found,
                          struct kmse_why *why)
{
    static const char TTL[] = "X-aws-ec2-metadata-token-ttl-seconds";
    struct kmse_http_answer answer;
    kmse_st st = ask(service, "PUT", TOKEN_PATH, TTL, "21600", &answer, why);
    *found = service->search->instance_expected || !is_absent(st, &answer);
    if (kmse_is_ok(st)) {
        if (!take_word(service->token, sizeof(service->token), &answer))
            st = kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                           "%s: its answer is no token", SOURCE);
    } else if (!*found) {
        st = KMSE_OK;
    }
    kmse_http_answer_wipe(&answer);
    return st;
}

static kmse_st get(const struct service *service, const char *path,
                   struct kmse_http_answer *answer, struct kmse_why *why)
{
    return ask(service, "GET", path, "X-aws-ec2-metadata-token", service->token,
               answer, why);
}

/* *found is false if the instance has no role. */
static kmse_st take_role(const struct service *service, char role[ROLE_LEN],
                         bool *found, struct kmse_why *why)
{
    static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+=,.@-_";
    struct kmse_http_answer answer;
    kmse_st st = get(service, ROLES_PATH, &answer, why);
    *found =
        answer.status != NOT_FOUND && !(kmse_is_ok(st) && answer.body_len == 0);
    if (!*found && service->search->instance_expected)
        st = kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                       "%s: no IAM role is attached to this instance", SOURCE);
    else if (!*found)
        st = KMSE_OK;
    else if (kmse_is_ok(st)
             && (!take_word(role, ROLE_LEN, &answer)
                 || role[strspn(role, LETTERS)] != '\0'))
        st = kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                       "%s: its answer is no name of a role", SOURCE);
    kmse_http_answer_wipe(&answer);
    return st;
}

/* --- credentials -------------------------------------------------------- */

/*
 * Success, or why EC2 cannot assume the role: a body of status 200, too.
 * Emulators leave it out, and no SDK misses it.
 */
static kmse_st check_code(const struct kmse_http_answer *answer,
                          struct kmse_why *why)
{
    char code[CODE_LEN] = "Success";
    const void *json = answer->body;
    cJSON *object = kmse_json_parse(json, answer->body_len);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "Code");
    const char *text = cJSON_IsString(item) ? item->valuestring : "none";
    if (item != NULL)
        kmse_printable_copy(code, sizeof(code), (const uint8_t *)text,
                            strlen(text));
    kmse_json_wipe(object);
    if (strcmp(code, "Success") == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: its answer has Code %s",
                     SOURCE, code);
}

/*
 * New ones are there five minutes before the old expire (EC2 User Guide). While
 * the service cannot get any it hands on old ones, which AWS then takes: they
 * are to be used, and looked at again soon. botocore does so too.
 */
static kmse_st stretch(const struct kmse_aws_search *search,
                       struct kmse_aws_credentials *credentials)
{
    enum { SOON_S = 300, STRETCH_S = 300, JITTER_S = 256 };
    uint8_t random = 0;
    int64_t now_s = kmse_aws_search_wall_s(search);
    if (credentials->expires_s - now_s > SOON_S)
        return KMSE_OK;
    KMSE_TRY(kmse_crypto_random(search->crypto, &random, sizeof(random)));
    credentials->expires_s = now_s + STRETCH_S + random % JITTER_S;
    return KMSE_OK;
}

static kmse_st take_answer(const struct kmse_aws_search *search,
                           struct kmse_aws_credentials *credentials,
                           const struct kmse_http_answer *answer,
                           const char *role, struct kmse_why *why)
{
    char source[KMSE_AWS_SOURCE_LEN];
    const void *json = answer->body;
    snprintf(source, sizeof(source), "%s, role %s", SOURCE, role);
    KMSE_TRY(check_code(answer, why));
    KMSE_TRY(kmse_aws_credentials_from_json(credentials, json, answer->body_len,
                                            source, why));
    KMSE_TRY(kmse_aws_credentials_temporary(credentials, why));
    kmse_aws_credentials_by_our_clock(search, credentials, answer);
    return stretch(search, credentials);
}

static kmse_st take_credentials(const struct service *service, const char *role,
                                struct kmse_aws_credentials *credentials,
                                struct kmse_why *why)
{
    char path[sizeof(ROLES_PATH) + ROLE_LEN];
    struct kmse_http_answer answer;
    snprintf(path, sizeof(path), "%s%s", ROLES_PATH, role);
    kmse_st st = get(service, path, &answer, why);
    if (kmse_is_ok(st))
        st = take_answer(service->search, credentials, &answer, role, why);
    kmse_http_answer_wipe(&answer);
    return st;
}

kmse_st kmse_aws_source_instance(const struct kmse_aws_search *search,
                                 struct kmse_aws_credentials *credentials,
                                 bool *found, struct kmse_why *why)
{
    struct service service = {.search = search};
    char role[ROLE_LEN] = "";
    bool disabled = false;
    *found = false;
    KMSE_TRY(is_disabled(&disabled, why));
    if (disabled)
        return KMSE_OK;
    KMSE_TRY(find_endpoint(service.endpoint, search, why));
    kmse_st st = take_token(&service, found, why);
    if (kmse_is_ok(st) && *found)
        st = take_role(&service, role, found, why);
    if (kmse_is_ok(st) && *found)
        st = take_credentials(&service, role, credentials, why);
    OPENSSL_cleanse(service.token, sizeof(service.token));
    return st;
}
