/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that stand somewhere as they are: environment and files. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/json.h"
#include "kms/aws_environment.h"
#include "kms/aws_time.h"

enum { WHERE_LEN = KMSE_WHY_LEN / 2 };

bool kmse_aws_is_word(const char *text)
{
    enum { FIRST = '!', LAST = '~' };
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text < FIRST || *text > LAST)
            return false;
    return true;
}

/* --- from texts --------------------------------------------------------- */

static kmse_st set(char *field, size_t field_size, const char *value,
                   const char *field_name, const char *source,
                   struct kmse_why *why)
{
    const char *wrong = NULL;
    size_t len = strnlen(value, field_size);
    if (len == 0)
        wrong = "is empty";
    else if (len == field_size)
        wrong = "is too long";
    else if (!kmse_aws_is_word(value))
        wrong = "has characters that no AWS credential has";
    if (wrong != NULL)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: %s %s", source,
                         field_name, wrong);
    memcpy(field, value, len + 1);
    return KMSE_OK;
}

static kmse_st missing(const struct kmse_aws_parts *parts, const char *name,
                       const char *present, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                     "%s: %s is there, but %s is missing", parts->where,
                     present, name);
}

static kmse_st set_expiration(struct kmse_aws_credentials *credentials,
                              const struct kmse_aws_parts *parts,
                              struct kmse_why *why)
{
    if (parts->expiration == NULL || *parts->expiration == '\0')
        return KMSE_OK;
    if (!kmse_is_ok(
            kmse_aws_time_parse(&credentials->expires_s, parts->expiration)))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%s: %s is no time as 2026-01-01T00:00:00Z",
                         parts->where, parts->expiration_name);
    return KMSE_OK;
}

static kmse_st set_parts(struct kmse_aws_credentials *credentials,
                         const struct kmse_aws_parts *parts,
                         struct kmse_why *why)
{
    KMSE_TRY(set(credentials->access_key_id, sizeof(credentials->access_key_id),
                 parts->id, parts->id_name, parts->where, why));
    KMSE_TRY(set(credentials->secret_access_key,
                 sizeof(credentials->secret_access_key), parts->secret,
                 parts->secret_name, parts->where, why));
    credentials->session_token[0] = '\0';
    if (parts->token != NULL && *parts->token != '\0')
        KMSE_TRY(set(credentials->session_token,
                     sizeof(credentials->session_token), parts->token,
                     parts->token_name, parts->where, why));
    credentials->expires_s = 0;
    KMSE_TRY(set_expiration(credentials, parts, why));
    snprintf(credentials->source, sizeof(credentials->source), "%s",
             parts->where);
    return KMSE_OK;
}

void kmse_aws_credentials_wipe(struct kmse_aws_credentials *credentials)
{
    OPENSSL_cleanse(credentials->access_key_id,
                    sizeof(credentials->access_key_id));
    OPENSSL_cleanse(credentials->secret_access_key,
                    sizeof(credentials->secret_access_key));
    OPENSSL_cleanse(credentials->session_token,
                    sizeof(credentials->session_token));
    credentials->expires_s = 0;
}

/*
 * Half of a pair ends the search: who set it meant these credentials. botocore
 * goes on if it is the access key's id that is missing.
 */
kmse_st kmse_aws_credentials_take(struct kmse_aws_credentials *credentials,
                                  const struct kmse_aws_parts *parts,
                                  bool *found, struct kmse_why *why)
{
    *found = parts->id != NULL || parts->secret != NULL;
    if (!*found)
        return KMSE_OK;
    if (parts->id == NULL)
        return missing(parts, parts->id_name, parts->secret_name, why);
    if (parts->secret == NULL)
        return missing(parts, parts->secret_name, parts->id_name, why);
    kmse_st st = set_parts(credentials, parts, why);
    if (!kmse_is_ok(st))
        kmse_aws_credentials_wipe(credentials);
    return st;
}

/* --- the sources -------------------------------------------------------- */

/*
 * Of the token's two names the one that AWS documents comes first; botocore
 * takes the old one first, which nothing refreshes any more.
 */
kmse_st kmse_aws_source_environment(const struct kmse_aws_search *search,
                                    struct kmse_aws_credentials *credentials,
                                    bool *found, struct kmse_why *why)
{
    struct kmse_aws_parts parts = {
        .id_name = "AWS_ACCESS_KEY_ID",
        .secret_name = "AWS_SECRET_ACCESS_KEY",
        .token_name = "AWS_SESSION_TOKEN",
        .expiration_name = "AWS_CREDENTIAL_EXPIRATION",
        .where = "environment AWS_ACCESS_KEY_ID",
    };
    (void)search;
    parts.id = kmse_aws_environment(parts.id_name);
    parts.secret = kmse_aws_environment(parts.secret_name);
    parts.token = kmse_aws_environment(parts.token_name);
    if (parts.token == NULL)
        parts.token = kmse_aws_environment("AWS_SECURITY_TOKEN");
    parts.expiration = kmse_aws_environment(parts.expiration_name);
    return kmse_aws_credentials_take(credentials, &parts, found, why);
}

static kmse_st from_file(const struct kmse_aws_search *search,
                         enum kmse_aws_file kind,
                         struct kmse_aws_credentials *credentials, bool *found,
                         struct kmse_why *why)
{
    const struct kmse_aws_profiles *profiles = search->profiles;
    const char *name = search->profile;
    char where[WHERE_LEN];
    snprintf(where, sizeof(where), "profile %s of %s", name,
             kmse_aws_profiles_path(profiles, kind));
    struct kmse_aws_parts parts = {
        .id_name = "aws_access_key_id",
        .secret_name = "aws_secret_access_key",
        .token_name = "aws_session_token",
        .where = where,
    };
    parts.id = kmse_aws_profiles_get(profiles, kind, name, parts.id_name);
    parts.secret =
        kmse_aws_profiles_get(profiles, kind, name, parts.secret_name);
    parts.token = kmse_aws_profiles_get(profiles, kind, name, parts.token_name);
    if (parts.token == NULL)
        parts.token =
            kmse_aws_profiles_get(profiles, kind, name, "aws_security_token");
    return kmse_aws_credentials_take(credentials, &parts, found, why);
}

kmse_st kmse_aws_source_shared_credentials_file(
    const struct kmse_aws_search *search,
    struct kmse_aws_credentials *credentials, bool *found, struct kmse_why *why)
{
    return from_file(search, KMSE_AWS_CREDENTIALS_FILE, credentials, found,
                     why);
}

kmse_st kmse_aws_source_config_file(const struct kmse_aws_search *search,
                                    struct kmse_aws_credentials *credentials,
                                    bool *found, struct kmse_why *why)
{
    return from_file(search, KMSE_AWS_CONFIG_FILE, credentials, found, why);
}

/* --- from JSON ---------------------------------------------------------- */

/* NULL if it is not there or null. */
static kmse_st take_text(const char **text, const cJSON *object,
                         const char *name, const char *source,
                         struct kmse_why *why)
{
    const cJSON *found = NULL, *item = NULL;
    *text = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (strcmp(item->string, name) != 0)
            continue;
        if (found != NULL)
            return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                             "%s: %s is there twice", source, name);
        found = item;
    }
    if (found == NULL || cJSON_IsNull(found))
        return KMSE_OK;
    if (!cJSON_IsString(found))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: %s is no text",
                         source, name);
    *text = found->valuestring;
    return KMSE_OK;
}

static kmse_st take_object(struct kmse_aws_credentials *credentials,
                           const cJSON *object, const char *source,
                           struct kmse_why *why)
{
    bool found = false;
    struct kmse_aws_parts parts = {
        .id_name = "AccessKeyId",
        .secret_name = "SecretAccessKey",
        .token_name = "SessionToken",
        .expiration_name = "Expiration",
        .where = source,
    };
    KMSE_TRY(take_text(&parts.id, object, parts.id_name, source, why));
    KMSE_TRY(take_text(&parts.secret, object, parts.secret_name, source, why));
    KMSE_TRY(take_text(&parts.token, object, parts.token_name, source, why));
    if (parts.token == NULL)
        KMSE_TRY(take_text(&parts.token, object, "Token", source, why));
    KMSE_TRY(take_text(&parts.expiration, object, parts.expiration_name, source,
                       why));
    KMSE_TRY(kmse_aws_credentials_take(credentials, &parts, &found, why));
    if (!found)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%s: its answer has no AccessKeyId", source);
    return KMSE_OK;
}

kmse_st kmse_aws_credentials_from_json(struct kmse_aws_credentials *credentials,
                                       const char *json, size_t json_len,
                                       const char *source, struct kmse_why *why)
{
    cJSON *object = kmse_json_parse(json, json_len);
    kmse_st st = KMSE_OK;
    if (cJSON_IsObject(object))
        st = take_object(credentials, object, source, why);
    else
        st = kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                       "%s: its answer is no JSON object", source);
    kmse_json_wipe(object);
    return st;
}

kmse_st
kmse_aws_credentials_temporary(const struct kmse_aws_credentials *credentials,
                               struct kmse_why *why)
{
    const char *missing_name = NULL;
    if (credentials->session_token[0] == '\0')
        missing_name = "Token";
    else if (credentials->expires_s == 0)
        missing_name = "Expiration";
    if (missing_name == NULL)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "%s: its answer has no %s",
                     credentials->source, missing_name);
}
