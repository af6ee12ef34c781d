/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials of a role that is assumed: by others, or by a token. */
#include "kms/aws_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/file.h"
#include "kms/aws_environment.h"

/* Of profiles: a chain of roles is seldom longer than two. */
enum { DEPTH_MAX = 8, SESSION_LEN = 64, TOKEN_MAX = 1 << 15 };

static const char VERSION[] = "2011-06-15";

/* AWS writes it to CloudTrail with each call of the role. */
static void print_session(char out[SESSION_LEN],
                          const struct kmse_aws_search *search)
{
    snprintf(out, SESSION_LEN, "kms-envelope-%" PRId64,
             kmse_aws_search_wall_s(search));
}

/* "WHAT, ARN", with what may be anything made printable. */
static void print_source(char out[KMSE_AWS_SOURCE_LEN], const char *what,
                         const char *role_arn, const char *by)
{
    enum { SHOWN_LEN = 100 };
    char arn[SHOWN_LEN], of[SHOWN_LEN];
    kmse_printable_copy(arn, sizeof(arn), (const uint8_t *)role_arn,
                        strlen(role_arn));
    kmse_printable_copy(of, sizeof(of), (const uint8_t *)by, strlen(by));
    int len = snprintf(out, KMSE_AWS_SOURCE_LEN, "%s %s via %s", what, arn, of);
    if (len >= KMSE_AWS_SOURCE_LEN)
        memcpy(out + KMSE_AWS_SOURCE_LEN - sizeof("..."), "...", sizeof("..."));
}

/* --- assume role -------------------------------------------------------- */

/* A profile on the way to the credentials that all of it begins with. */
struct step {
    const struct kmse_aws_search *search; /* of the profile */
    const struct step *from;
    unsigned depth;
};

static kmse_st fail_step(const struct step *step, struct kmse_why *why,
                         const char *what)
{
    return kmse_fail(why, KMSE_R_KMS_CREDENTIALS, "profile %.100s: %s",
                     step->search->profile, what);
}

static bool has_static(const struct kmse_aws_search *search)
{
    return kmse_aws_search_value(search, "aws_access_key_id") != NULL
           || kmse_aws_search_value(search, "aws_secret_access_key") != NULL;
}

/* With a token's file it is for kmse_aws_source_web_identity. */
static bool has_role(const struct kmse_aws_search *search)
{
    return kmse_aws_profiles_value(search->profiles, search->profile,
                                   "role_arn")
               != NULL
           && kmse_aws_search_value(search, "web_identity_token_file") == NULL;
}

static bool is_visited(const struct step *step, const char *profile)
{
    for (; step != NULL; step = step->from)
        if (strcmp(step->search->profile, profile) == 0)
            return true;
    return false;
}

static kmse_st assume(const struct step *step,
                      struct kmse_aws_credentials *credentials,
                      struct kmse_why *why);

static kmse_st of_source_itself(const struct step *step,
                                struct kmse_aws_credentials *credentials,
                                struct kmse_why *why)
{
    bool found = false;
    KMSE_TRY(kmse_aws_search_profile(step->search, credentials, &found, why));
    return found ? KMSE_OK
                 : fail_step(step, why,
                             "as a source_profile it must have"
                             " credentials, and has none");
}

/*
 * A profile may name itself, for the keys that it has. In a source_profile keys
 * come before a role to assume, as in botocore.
 */
static kmse_st of_profile(const struct step *step, const char *name,
                          struct kmse_aws_credentials *credentials,
                          struct kmse_why *why)
{
    struct kmse_aws_search search = *step->search;
    search.profile = name;
    search.profile_alone = true;
    const struct step next = {
        .search = &search, .from = step, .depth = step->depth + 1};
    bool is_own = strcmp(name, step->search->profile) == 0;
    if (!kmse_aws_profiles_has(search.profiles, name))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "profile %.100s: its source_profile %.100s is not"
                         " there",
                         step->search->profile, name);
    if (is_visited(step, name) && !(is_own && has_static(&search)))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "profile %.100s: by source_profile %.100s it comes"
                         " back to where it was",
                         step->search->profile, name);
    if (next.depth > DEPTH_MAX)
        return fail_step(step, why, "too many profiles by source_profile");
    if (has_static(&search) || !has_role(&search))
        return of_source_itself(&next, credentials, why);
    return assume(&next, credentials, why);
}

static kmse_st of_named_source(const struct step *step, const char *name,
                               struct kmse_aws_credentials *credentials,
                               struct kmse_why *why)
{
    static const struct {
        const char *name;
        kmse_aws_source_fn *source;
    } SOURCES[] = {
        {"Environment", kmse_aws_source_environment},
        {"Ec2InstanceMetadata", kmse_aws_source_instance},
        {"EcsContainer", kmse_aws_source_container},
    };
    struct kmse_aws_search search = *step->search;
    bool found = false;
    search.instance_expected = true;
    for (size_t i = 0; i < sizeof(SOURCES) / sizeof(SOURCES[0]); i++) {
        if (strcmp(name, SOURCES[i].name) != 0)
            continue;
        KMSE_TRY(SOURCES[i].source(&search, credentials, &found, why));
        return found ? KMSE_OK
                     : kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                                 "profile %.100s: credential_source %s has no"
                                 " credentials",
                                 search.profile, name);
    }
    return fail_step(step, why,
                     "credential_source must be Environment,"
                     " Ec2InstanceMetadata or EcsContainer");
}

static kmse_st find_caller(const struct step *step,
                           struct kmse_aws_credentials *caller,
                           struct kmse_why *why)
{
    const char *profile = kmse_aws_search_value(step->search, "source_profile");
    const char *source =
        kmse_aws_search_value(step->search, "credential_source");
    if (profile != NULL && source != NULL)
        return fail_step(step, why,
                         "it has both source_profile and"
                         " credential_source");
    if (profile != NULL)
        return of_profile(step, profile, caller, why);
    if (source != NULL)
        return of_named_source(step, source, caller, why);
    return fail_step(step, why,
                     "role_arn needs source_profile or"
                     " credential_source");
}

/* What STS would refuse with less to say, or cannot be done here. */
static kmse_st check_role(const struct step *step, struct kmse_why *why)
{
    enum { DIGITS_MAX = 5 };
    const struct kmse_aws_search *search = step->search;
    const char *seconds = kmse_aws_search_value(search, "duration_seconds");
    if (kmse_aws_search_value(search, "role_arn") == NULL)
        return fail_step(step, why, "role_arn is empty");
    if (kmse_aws_search_value(search, "mfa_serial") != NULL)
        return fail_step(step, why,
                         "mfa_serial: there is nobody here to type"
                         " a code; use credential_process");
    if (seconds != NULL
        && (strlen(seconds) > DIGITS_MAX
            || seconds[strspn(seconds, "0123456789")] != '\0'))
        return fail_step(step, why,
                         "duration_seconds is no number of"
                         " seconds up to 43200");
    return KMSE_OK;
}

static kmse_st assume_as(const struct step *step,
                         const struct kmse_aws_credentials *caller,
                         struct kmse_aws_credentials *credentials,
                         struct kmse_why *why)
{
    const struct kmse_aws_search *search = step->search;
    const char *arn = kmse_aws_search_value(search, "role_arn");
    const char *session = kmse_aws_search_value(search, "role_session_name");
    char own_session[SESSION_LEN], source[KMSE_AWS_SOURCE_LEN];
    print_session(own_session, search);
    print_source(source, "assume-role", arn, caller->source);
    const struct kmse_aws_field fields[] = {
        {"Action", "AssumeRole"},
        {"Version", VERSION},
        {"RoleArn", arn},
        {"RoleSessionName", session != NULL ? session : own_session},
        {"ExternalId", kmse_aws_search_value(search, "external_id")},
        {"DurationSeconds", kmse_aws_search_value(search, "duration_seconds")},
    };
    const struct kmse_aws_sts_call call = {
        .action = "AssumeRole",
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .caller = caller,
        .source = source,
    };
    return kmse_aws_sts_call(search, &call, credentials, why);
}

static kmse_st assume(const struct step *step,
                      struct kmse_aws_credentials *credentials,
                      struct kmse_why *why)
{
    struct kmse_aws_credentials *caller = NULL;
    KMSE_TRY(check_role(step, why));
    KMSE_TRY(kmse_aws_credentials_new(&caller));
    kmse_st st = find_caller(step, caller, why);
    if (kmse_is_ok(st))
        st = assume_as(step, caller, credentials, why);
    kmse_aws_credentials_release(caller);
    return st;
}

kmse_st kmse_aws_source_assume_role(const struct kmse_aws_search *search,
                                    struct kmse_aws_credentials *credentials,
                                    bool *found, struct kmse_why *why)
{
    const struct step first = {.search = search, .depth = 1};
    *found = has_role(search);
    return *found ? assume(&first, credentials, why) : KMSE_OK;
}

/* --- web identity ------------------------------------------------------- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* The token, without the white space that editors put behind it. */
static kmse_st read_token(uint8_t **token, size_t *token_len, const char *path,
                          struct kmse_why *why)
{
    struct kmse_why cause = {""};
    uint8_t *bytes = NULL;
    size_t len = 0;
    kmse_st st = kmse_file_read(path, TOKEN_MAX, 0, &bytes, &len, &cause);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "web identity token: %.300s",
                         cause.text);
    size_t end = len;
    while (end > 0 && is_blank(bytes[end - 1]))
        bytes[--end] = '\0';
    const void *text = bytes;
    if (strlen(text) != end || !kmse_aws_is_word(text)) {
        kmse_file_free_bytes(bytes, len);
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "web identity token: %.300s has no token in it", path);
    }
    *token = bytes;
    *token_len = len;
    return KMSE_OK;
}

struct identity {
    char *path, *arn, *session;
};

static kmse_st assume_by_token(const struct kmse_aws_search *search,
                               const struct identity *identity,
                               const char *token,
                               struct kmse_aws_credentials *credentials,
                               struct kmse_why *why)
{
    char own_session[SESSION_LEN], source[KMSE_AWS_SOURCE_LEN];
    print_session(own_session, search);
    print_source(source, "web identity", identity->arn, identity->path);
    const struct kmse_aws_field fields[] = {
        {"Action", "AssumeRoleWithWebIdentity"},
        {"Version", VERSION},
        {"RoleArn", identity->arn},
        {"RoleSessionName",
         identity->session != NULL ? identity->session : own_session},
        {"WebIdentityToken", token},
    };
    const struct kmse_aws_sts_call call = {
        .action = "AssumeRoleWithWebIdentity",
        .fields = fields,
        .field_count = sizeof(fields) / sizeof(fields[0]),
        .source = source,
    };
    return kmse_aws_sts_call(search, &call, credentials, why);
}

/* Each of its own: by the environment, else by the profile. NULL: not set. */
static kmse_st copy_value(char **copy, const struct kmse_aws_search *search,
                          const char *variable, const char *key)
{
    const char *value =
        search->profile_alone ? NULL : kmse_aws_environment(variable);
    if (value == NULL)
        value = kmse_aws_search_value(search, key);
    *copy = value != NULL ? strdup(value) : NULL;
    return value == NULL || *copy != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

static void identity_wipe(struct identity *identity)
{
    free(identity->path);
    free(identity->arn);
    free(identity->session);
}

/* On failure, too, identity is to be wiped. */
static kmse_st find_identity(struct identity *identity,
                             const struct kmse_aws_search *search)
{
    KMSE_TRY(copy_value(&identity->path, search, "AWS_WEB_IDENTITY_TOKEN_FILE",
                        "web_identity_token_file"));
    KMSE_TRY(copy_value(&identity->arn, search, "AWS_ROLE_ARN", "role_arn"));
    return copy_value(&identity->session, search, "AWS_ROLE_SESSION_NAME",
                      "role_session_name");
}

static kmse_st read_and_assume(const struct kmse_aws_search *search,
                               const struct identity *identity,
                               struct kmse_aws_credentials *credentials,
                               struct kmse_why *why)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (identity->arn == NULL)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "a web identity token (%.200s) needs the ARN of a"
                         " role: AWS_ROLE_ARN, or role_arn in profile %.100s",
                         identity->path, search->profile);
    KMSE_TRY(read_token(&bytes, &len, identity->path, why));
    const void *token = bytes;
    kmse_st st = assume_by_token(search, identity, token, credentials, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}

kmse_st kmse_aws_source_web_identity(const struct kmse_aws_search *search,
                                     struct kmse_aws_credentials *credentials,
                                     bool *found, struct kmse_why *why)
{
    struct identity identity = {.path = NULL};
    kmse_st st = find_identity(&identity, search);
    *found = identity.path != NULL;
    if (kmse_is_ok(st) && *found)
        st = read_and_assume(search, &identity, credentials, why);
    identity_wipe(&identity);
    return st;
}
