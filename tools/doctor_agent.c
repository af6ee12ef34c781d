/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: whether the agent that openssl.cnf names lends this user his keys. */
#include "tools/doctor.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kms/agent_client.h"
#include "kms_envelope/params.h"

enum { TIMEOUT_MS = 6000 };

static const char *mend(int reason)
{
    switch (reason) {
    case KMSE_R_AGENT:
        return "systemctl start kms-envelope-agent, or set agent-fallback ="
               " yes";
    case KMSE_R_KMS_DENIED:
        return "allow it: in the agent's configuration, a section [allow NAME];"
               " or to the agent, in the KMS";
    case KMSE_R_COMMITMENT:
    case KMSE_R_KEY_NOT_FOUND:
    case KMSE_R_KEY_VERSION_UNKNOWN:
        return "give the agent and this user the same key files";
    default:
        return "see the agent's audit, and run doctor as its user";
    }
}

static kmse_st borrow(const struct kmse_agent_address *agent,
                      const struct kmse_session *session,
                      const struct kmse_keyfile *file,
                      const struct kmse_version *version, struct kmse_why *why)
{
    const struct kmse_wanted wanted = {
        .key = file->name, .id = file->id, .version = version->number};
    uint8_t commitment[KMSE_HMAC_LEN];
    struct kmse_loan loan;
    KMSE_TRY(
        kmse_agent_fetch(agent, session->rotation.pool, &wanted, &loan, why));
    kmse_st st =
        kmse_keyfile_commitment(commitment, session->rotation.crypto, file->id,
                                version->number, &loan.data_key);
    if (kmse_is_ok(st)
        && CRYPTO_memcmp(commitment, version->commitment, KMSE_HMAC_LEN) != 0)
        st = kmse_fail(why, KMSE_R_COMMITMENT, "the agent lends another key");
    kmse_secret_wipe(&loan.data_key);
    return st;
}

/* True: go on with the others. */
static bool check_key(struct kmse_doctor *doctor,
                      const struct kmse_agent_address *agent,
                      const struct kmse_session *session, const char *name)
{
    struct kmse_keyfile *file = NULL;
    struct kmse_why why = {""};
    size_t lent = 0;
    kmse_st st =
        kmse_keyfile_read(&file, session->rotation.folder, name, NULL, &why);
    for (size_t i = 0; kmse_is_ok(st) && i < file->version_count; i++) {
        if (file->versions[i].state != KMSE_VERSION_ACTIVE)
            continue;
        st = borrow(agent, session, file, &file->versions[i], &why);
        lent += kmse_is_ok(st) ? 1 : 0;
    }
    kmse_keyfile_free(file);
    if (kmse_is_ok(st))
        kmse_doctor_ok("%s: the agent lends %zu version%s", name, lent,
                       lent == 1 ? "" : "s");
    else
        kmse_doctor_find_and_mend(doctor, name, st, &why, mend(st.reason));
    return st.reason != KMSE_R_AGENT;
}

static void check_keys(struct kmse_doctor *doctor,
                       const struct kmse_agent_address *agent,
                       const struct kmse_session *session)
{
    char **names = NULL;
    size_t count = 0;
    struct kmse_why why = {""};
    const char *folder = session->rotation.folder;
    kmse_st st = kmse_keyfile_list(&names, &count, folder, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_failure(doctor, folder, st, &why);
        return;
    }
    kmse_doctor_ok("data keys are the agent's, at %s: no KMS is asked",
                   agent->path);
    bool go_on = true;
    for (size_t i = 0; go_on && i < count; i++)
        go_on = check_key(doctor, agent, session, names[i]);
    kmse_keyfile_free_list(names, count);
}

void kmse_doctor_check_agent(struct kmse_doctor *doctor, const char *folder,
                             const char *path)
{
    const struct kmse_agent_address agent = {
        .path = path,
        .timeout_ms = TIMEOUT_MS,
        .clock = &kmse_clock_system,
    };
    struct kmse_session session = {0};
    struct kmse_why why = {""};
    kmse_st st = kmse_session_open(&session, folder, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_failure(doctor, folder, st, &why);
        return;
    }
    check_keys(doctor, &agent, &session);
    kmse_session_close(&session);
}
