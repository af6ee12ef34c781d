/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: master keys, how they are reached, and what their KMS says. */
#include "tools/doctor.h"

#include <stdlib.h>
#include <string.h>

/* --- mends -------------------------------------------------------------- */

static const struct {
    int reason;
    const char *mend;
} AWS_MENDS[] = {
    {KMSE_R_KMS_DENIED, "allow it in the key's policy and in IAM; who asks:"
                        " aws sts get-caller-identity"},
    {KMSE_R_KMS_DISABLED, "if nobody meant it: aws kms enable-key"},
    {KMSE_R_KMS_PENDING_DELETION,
     "before its day comes: aws kms cancel-key-deletion, then enable-key; or,"
     " with another copy, kms-envelope rewrap --to another master key"},
    {KMSE_R_KMS_STATE, "aws kms describe-key; PendingImport: import its key"
                       " material, Unavailable: connect its key store"},
    {KMSE_R_KMS_KEY_NOT_FOUND,
     "correct Region, account and id; what AWS has deleted is gone for ever"},
    {KMSE_R_KMS_CREDENTIALS,
     "give credentials as for the aws command: profile, role or environment;"
     " OSSL_PROVIDER-kms-envelope(7) has the order"},
    {KMSE_R_KMS_HTTP, "install kms-envelope-http.so beside kms-envelope.so,"
                      " and libcurl"},
    {KMSE_R_KMS_UNREACHABLE,
     "see network, proxy (aws-proxy, HTTPS_PROXY), endpoint (aws-endpoint-url,"
     " AWS_ENDPOINT_URL_KMS) and certificates (aws-ca-bundle)"},
    {KMSE_R_KMS_TIMEOUT,
     "see network and proxy, or raise kms-timeout and kms-connect-timeout"},
    {KMSE_R_KMS_THROTTLED,
     "try again; if it goes on, raise max-age, or the quota in AWS"},
    {KMSE_R_KMS_REFUSED, "take a symmetric key, for encryption and decryption"},
    {KMSE_R_KMS_WRONG_KEY, "restore the key file from a backup: its copy was"
                           " made by another key of AWS KMS"},
    {KMSE_R_KMS_BLOB, "restore the key file from a backup: the copy or its"
                      " encryption context was changed"},
    {KMSE_R_KMS_ANSWER, "see that the endpoint is AWS KMS: aws-endpoint-url,"
                        " AWS_ENDPOINT_URL_KMS, proxy"},
    {KMSE_R_KMS_URI, "give the key's ARN, an alias or its id; a URL must be"
                     " https"},
};

static bool is_aws(const char *uri)
{
    static const char SCHEME[] = "aws-kms:";
    return strncmp(uri, SCHEME, strlen(SCHEME)) == 0;
}

void kmse_doctor_find_kms_failure(struct kmse_doctor *doctor,
                                  const char *subject, const char *uri,
                                  kmse_st st, const struct kmse_why *why)
{
    for (size_t i = 0; i < sizeof(AWS_MENDS) / sizeof(AWS_MENDS[0]); i++) {
        if (is_aws(uri) && AWS_MENDS[i].reason == st.reason) {
            kmse_doctor_find_and_mend(doctor, subject, st, why,
                                      AWS_MENDS[i].mend);
            return;
        }
    }
    kmse_doctor_find_failure(doctor, subject, st, why);
}

/* --- one master key ----------------------------------------------------- */

/* KMS Developer Guide, "Key states of AWS KMS keys": those that say no. */
static int reason_of_state(const char *state)
{
    if (strcmp(state, "Disabled") == 0)
        return KMSE_R_KMS_DISABLED;
    if (strcmp(state, "PendingDeletion") == 0)
        return KMSE_R_KMS_PENDING_DELETION;
    return KMSE_R_KMS_STATE;
}

/* A key whose primary Region is being changed goes on serving. */
static bool state_serves(const char *state)
{
    static const char *const STATES[] = {"", "Enabled", "Updating"};
    for (size_t i = 0; i < sizeof(STATES) / sizeof(STATES[0]); i++) {
        if (strcmp(state, STATES[i]) == 0)
            return true;
    }
    return false;
}

/* Who may unwrap need not be allowed to ask for the state. */
static bool check_state(struct kmse_doctor *doctor,
                        const struct kmse_session *session, const char *uri)
{
    struct kmse_kms_description description = {0};
    struct kmse_why why = {""};
    kmse_st st =
        kmse_kms_describe(session->rotation.kms, uri, &description, &why);
    if (st.reason == KMSE_R_KMS_DENIED) {
        kmse_doctor_note("its state is not known: %s", why.text);
        return true;
    }
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_kms_failure(doctor, "master key", uri, st, &why);
        return false;
    }
    if (state_serves(description.state))
        return true;
    st = kmse_fail(&why, reason_of_state(description.state), "KeyState %s",
                   description.state);
    kmse_doctor_find_kms_failure(doctor, uri, uri, st, &why);
    return false;
}

/* What is wrong with the file, each copy under it tells. */
static void show_local(const struct kmse_session *session, const char *uri)
{
    struct kmse_kms_description description = {0};
    char newest[KMSE_TIME_LEN];
    if (!kmse_is_ok(
            kmse_kms_describe(session->rotation.kms, uri, &description, NULL)))
        return;
    kmse_time_print(newest, description.newest_s);
    kmse_doctor_ok("%s: %u backing %s, the newest of %s", uri,
                   description.backing_keys,
                   description.backing_keys == 1 ? "key" : "keys", newest);
}

static bool check(struct kmse_doctor *doctor,
                  const struct kmse_session *session, const char *uri)
{
    char access[KMSE_KMS_ACCESS_LEN] = "";
    struct kmse_why why = {""};
    kmse_st st = kmse_kms_access(session->rotation.kms, uri, access, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_kms_failure(doctor, uri, uri, st, &why);
        return false;
    }
    if (access[0] == '\0') {
        show_local(session, uri);
        return true;
    }
    kmse_doctor_ok("%s: %s", uri, access);
    return check_state(doctor, session, uri);
}

/* --- all of them, each once --------------------------------------------- */

struct kmse_doctor_master {
    char *uri;
    bool serves;
};

/* Without memory for it, it is looked at once more. */
static void remember(struct kmse_doctor *doctor, const char *uri, bool serves)
{
    struct kmse_doctor_master *grown =
        realloc(doctor->masters, (doctor->master_count + 1) * sizeof(*grown));
    if (grown == NULL)
        return;
    doctor->masters = grown;
    char *copy = strdup(uri);
    if (copy != NULL)
        grown[doctor->master_count++] =
            (struct kmse_doctor_master){.uri = copy, .serves = serves};
}

bool kmse_doctor_check_master(struct kmse_doctor *doctor,
                              const struct kmse_session *session,
                              const char *uri)
{
    for (size_t i = 0; i < doctor->master_count; i++) {
        if (strcmp(doctor->masters[i].uri, uri) == 0)
            return doctor->masters[i].serves;
    }
    bool serves = check(doctor, session, uri);
    remember(doctor, uri, serves);
    return serves;
}

void kmse_doctor_wipe(struct kmse_doctor *doctor)
{
    for (size_t i = 0; i < doctor->master_count; i++)
        free(doctor->masters[i].uri);
    free(doctor->masters);
    doctor->masters = NULL;
    doctor->master_count = 0;
    kmse_usage_close(&doctor->usage);
}
