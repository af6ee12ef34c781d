/* SPDX-License-Identifier: Apache-2.0 */
/* Where data keys come from: the agent of this host, or the KMS. */
#include "keyring/obtain.h"

#include <openssl/crypto.h>

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The agent may have another key file than we have, or be no agent. */
static kmse_st check_commitment(struct kmse_crypto *crypto,
                                const struct kmse_keyfile *file,
                                const struct kmse_version *version,
                                const struct kmse_secret *data_key,
                                struct kmse_why *why)
{
    uint8_t commitment[KMSE_HMAC_LEN];
    KMSE_TRY(kmse_keyfile_commitment(commitment, crypto, file->id,
                                     version->number, data_key));
    if (CRYPTO_memcmp(commitment, version->commitment, KMSE_HMAC_LEN) != 0)
        return kmse_fail(why, KMSE_R_COMMITMENT,
                         "what the agent lends is not this version's data "
                         "key; compare its key files with these");
    return KMSE_OK;
}

static kmse_st borrow(struct kmse_loan *loan,
                      const struct kmse_key_environment *env,
                      const struct kmse_keyfile *file,
                      const struct kmse_version *version,
                      const struct kmse_told *used, struct kmse_why *why)
{
    const struct kmse_wanted wanted = {
        .key = file->name,
        .id = file->id,
        .version = version->number,
        .messages = used->messages,
        .bytes = used->bytes,
    };
    struct kmse_loan made = {.fresh_ms = 0};
    KMSE_TRY(kmse_kms_borrow(env->kms, &wanted, &made, why));
    kmse_st st =
        check_commitment(env->crypto, file, version, &made.data_key, why);
    if (!kmse_is_ok(st)) {
        kmse_secret_wipe(&made.data_key);
        return st;
    }
    made.fresh_ms = lesser(made.fresh_ms, env->options.max_age_ms);
    made.stale_ms = lesser(made.stale_ms, env->options.stale_ms);
    *loan = made;
    return KMSE_OK;
}

static kmse_st tell(kmse_st st, const struct kmse_keyfile *file,
                    const struct kmse_version *version,
                    const struct kmse_why *cause, struct kmse_why *why)
{
    static const char *const MEND =
        "; start kms-envelope agent, or set agent-fallback = yes";
    return kmse_fail(why, st.reason, "key %s, version %u: %.880s%s", file->name,
                     version->number, cause->text,
                     st.reason == KMSE_R_AGENT ? MEND : "");
}

static kmse_st unwrap(struct kmse_loan *loan,
                      const struct kmse_key_environment *env,
                      const struct kmse_keyfile *file,
                      const struct kmse_version *version, struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    kmse_kms_set_subject(file->name, version->number);
    kmse_st st = kmse_keyfile_unwrap(&data_key, env->kms, env->crypto, file,
                                     version, why);
    kmse_kms_set_subject(NULL, 0);
    if (kmse_is_ok(st))
        *loan = (struct kmse_loan){
            .data_key = kmse_secret_take(&data_key),
            .fresh_ms = env->options.max_age_ms,
            .stale_ms = env->options.stale_ms,
        };
    return st;
}

kmse_st kmse_obtain(struct kmse_obtained *obtained,
                    const struct kmse_key_environment *environment,
                    const struct kmse_keyfile *file,
                    const struct kmse_version *version,
                    const struct kmse_told *used, struct kmse_why *why)
{
    enum kmse_kms_agent agent = kmse_kms_agent(environment->kms);
    struct kmse_why cause = {""};
    kmse_st st = KMSE_ERR(KMSE_R_AGENT);
    obtained->from_agent = agent != KMSE_KMS_AGENT_NONE;
    if (obtained->from_agent) {
        st = borrow(&obtained->loan, environment, file, version, used, &cause);
        if (kmse_is_ok(st))
            return st;
    }
    if (st.reason != KMSE_R_AGENT || agent == KMSE_KMS_AGENT_ONLY)
        return tell(st, file, version, &cause, why);
    obtained->from_agent = false;
    return unwrap(&obtained->loan, environment, file, version, why);
}
