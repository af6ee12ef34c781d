/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which sources of AWS credentials are looked into. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <stdlib.h>

/* --- what a search knows ------------------------------------------------ */

const char *kmse_aws_search_value(const struct kmse_aws_search *search,
                                  const char *key)
{
    const char *value =
        kmse_aws_profiles_value(search->profiles, search->profile, key);
    return value != NULL && *value != '\0' ? value : NULL;
}

int64_t kmse_aws_search_wall_s(const struct kmse_aws_search *search)
{
    return search->clock->wall_s(search->clock->arg);
}

uint64_t kmse_aws_search_left_ms(const struct kmse_aws_search *search)
{
    uint64_t now_ms = search->clock->elapsed_ms(search->clock->arg);
    return now_ms < search->deadline_ms ? search->deadline_ms - now_ms : 0;
}

/* --- logins of people --------------------------------------------------- */

/* They need a browser, and their tokens are the CLI's: it can hand them on. */
static kmse_st refuse_login(const struct kmse_aws_search *search,
                            const char *key, const char *what, bool *found,
                            struct kmse_why *why)
{
    *found = kmse_aws_search_value(search, key) != NULL
             && kmse_aws_search_value(search, "credential_process") == NULL;
    if (!*found)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                     "profile %s: %s (%s) is not supported; give it"
                     " credential_process = aws configure export-credentials"
                     " --profile %s --format process",
                     search->profile, what, key, search->profile);
}

static kmse_st source_sso(const struct kmse_aws_search *search,
                          struct kmse_aws_credentials *credentials, bool *found,
                          struct kmse_why *why)
{
    static const char *const KEYS[] = {"sso_session", "sso_start_url",
                                       "sso_account_id", "sso_role_name"};
    (void)credentials;
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
        KMSE_TRY(
            refuse_login(search, KEYS[i], "IAM Identity Center", found, why));
    return KMSE_OK;
}

static kmse_st source_login(const struct kmse_aws_search *search,
                            struct kmse_aws_credentials *credentials,
                            bool *found, struct kmse_why *why)
{
    (void)credentials;
    return refuse_login(search, "login_session", "aws login", found, why);
}

/* --- orders ------------------------------------------------------------- */

static kmse_aws_source_fn *const OF_PROFILE[] = {
    kmse_aws_source_web_identity,
    source_sso,
    kmse_aws_source_shared_credentials_file,
    source_login,
    kmse_aws_source_process,
    kmse_aws_source_config_file,
};

static kmse_aws_source_fn *const ALL[] = {
    kmse_aws_source_assume_role,
    kmse_aws_search_profile,
    kmse_aws_source_container,
    kmse_aws_source_instance,
};

/* *which is where it ended. */
static kmse_st look(kmse_aws_source_fn *const *sources, size_t count,
                    const struct kmse_aws_search *search,
                    struct kmse_aws_credentials *credentials, size_t *which,
                    bool *found, struct kmse_why *why)
{
    *found = false;
    for (*which = 0; *which < count; (*which)++) {
        KMSE_TRY(sources[*which](search, credentials, found, why));
        if (*found)
            break;
    }
    return KMSE_OK;
}

kmse_st kmse_aws_search_profile(const struct kmse_aws_search *search,
                                struct kmse_aws_credentials *credentials,
                                bool *found, struct kmse_why *why)
{
    size_t which = 0;
    return look(OF_PROFILE, sizeof(OF_PROFILE) / sizeof(OF_PROFILE[0]), search,
                credentials, &which, found, why);
}

static kmse_st none(const struct kmse_aws_search *search, struct kmse_why *why)
{
    return kmse_fail(
        why, KMSE_R_KMS_CREDENTIALS,
        "there are none in the environment (AWS_ACCESS_KEY_ID), of a web"
        " identity, container or instance metadata, or in profile %s (%s, %s)",
        search->profile,
        kmse_aws_profiles_path(search->profiles, KMSE_AWS_CREDENTIALS_FILE),
        kmse_aws_profiles_path(search->profiles, KMSE_AWS_CONFIG_FILE));
}

static kmse_st look_in_all(const struct kmse_aws_search *search,
                           struct kmse_aws_credentials *credentials,
                           bool *from_instance, struct kmse_why *why)
{
    size_t count = sizeof(ALL) / sizeof(ALL[0]), which = 0;
    bool found = false;
    KMSE_TRY(look(ALL, count, search, credentials, &which, &found, why));
    if (!found)
        return none(search, why);
    *from_instance = ALL[which] == kmse_aws_source_instance;
    return KMSE_OK;
}

static kmse_st read_and_look(const struct kmse_aws_search *search,
                             struct kmse_aws_credentials *credentials,
                             bool *from_instance, struct kmse_why *why)
{
    struct kmse_aws_search whole = *search;
    struct kmse_aws_profiles *profiles = NULL;
    char *name = NULL;
    bool is_named = false;
    KMSE_TRY(kmse_aws_profile_name(&name, &is_named, search->options));
    kmse_st st = kmse_aws_profiles_read(&profiles, search->options, why);
    if (kmse_is_ok(st)) {
        whole.profiles = profiles;
        whole.profile = name;
        whole.profile_alone = search->options->profile != NULL;
        st = look_in_all(&whole, credentials, from_instance, why);
    }
    kmse_aws_profiles_free(profiles);
    free(name);
    return st;
}

/* The caller's classes: another time it may answer, our own, or no. */
static kmse_st settle(kmse_st st)
{
    switch (st.reason) {
    case 0:
    case KMSE_R_KMS_UNREACHABLE:
    case KMSE_R_KMS_TIMEOUT:
    case KMSE_R_KMS_THROTTLED:
    case KMSE_R_INTERRUPTED:
    case KMSE_R_MEMORY:
    case KMSE_R_SECURE_MEMORY:
    case KMSE_R_CRYPTO:
    case KMSE_R_CRYPTO_UNAVAILABLE:
    case KMSE_R_INTERNAL:
        return st;
    default:
        return KMSE_ERR(KMSE_R_KMS_CREDENTIALS);
    }
}

/* With keys in the environment no file is read, nor need be right. */
kmse_st kmse_aws_search_all(const struct kmse_aws_search *search,
                            struct kmse_aws_credentials *credentials,
                            bool *from_instance, struct kmse_why *why)
{
    bool found = false;
    kmse_st st = KMSE_OK;
    *from_instance = false;
    if (search->options->profile == NULL)
        st = kmse_aws_source_environment(search, credentials, &found, why);
    if (kmse_is_ok(st) && !found)
        st = read_and_look(search, credentials, from_instance, why);
    if (!kmse_is_ok(st))
        kmse_aws_credentials_wipe(credentials);
    return settle(st);
}
