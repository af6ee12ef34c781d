/* SPDX-License-Identifier: Apache-2.0 */
/* A ring for the tool, as openssl.cnf sets up the provider's. */
#include "tools/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/setting.h"
#include "kms/aws_options.h"
#include "kms_envelope/params.h"
#include "tools/common.h"

/* What the section says; defaults are the provider's. */
struct settings {
    struct kmse_aws_options aws;
    uint64_t max_age_ms, stale_ms, max_messages, max_bytes;
    char *default_key, *agent, *folder;
    bool agent_fallback;
};

static const struct settings DEFAULTS = {
    .max_age_ms = 300000,
    .stale_ms = 3600000,
    .max_messages = 1ULL << 32,
    .max_bytes = 1ULL << 50,
};

static kmse_st take(struct settings *s, const char *key, const char *value,
                    struct kmse_why *why)
{
    if (strcmp(key, KMSE_CONF_MAX_AGE) == 0)
        return kmse_setting_age(&s->max_age_ms, key, value, why);
    if (strcmp(key, KMSE_CONF_STALE_IF_UNREACHABLE) == 0)
        return kmse_setting_delay(&s->stale_ms, key, value, why);
    if (strcmp(key, KMSE_CONF_MAX_MESSAGES) == 0)
        return kmse_setting_count(&s->max_messages, key, value, why);
    if (strcmp(key, KMSE_CONF_MAX_BYTES) == 0)
        return kmse_setting_count(&s->max_bytes, key, value, why);
    if (strcmp(key, KMSE_CONF_DEFAULT_KEY) == 0)
        return kmse_setting_text(&s->default_key, value);
    if (strcmp(key, KMSE_CONF_AGENT) == 0)
        return kmse_setting_text(&s->agent, value);
    if (strcmp(key, KMSE_CONF_AGENT_FALLBACK) == 0)
        return kmse_setting_yes_no(&s->agent_fallback, key, value, why);
    if (strcmp(key, KMSE_CONF_KEYS) == 0)
        return kmse_setting_text(&s->folder, value);
    return KMSE_OK;
}

static kmse_st take_section(struct settings *s, const struct kmse_cnf *cnf,
                            const struct kmse_cnf_provider *provider,
                            struct kmse_why *why)
{
    for (size_t i = 0; i < provider->pair_count; i++) {
        const struct kmse_cnf_pair *pair = &provider->pairs[i];
        struct kmse_why cause = {""};
        kmse_st st = take(s, pair->name, pair->value, &cause);
        if (!kmse_is_ok(st))
            return kmse_fail(why, st.reason, "%.160s, section [%.40s]: %.300s",
                             kmse_cnf_path(cnf), provider->section, cause.text);
    }
    return KMSE_OK;
}

/* A file that is not there, or cannot be read, was settled by who read AWS's.
 */
static kmse_st read_sections(struct settings *s, struct kmse_why *why)
{
    struct kmse_cnf *cnf = NULL;
    kmse_st st = KMSE_OK;
    KMSE_TRY(kmse_tool_read_settings(&s->aws, why));
    if (!kmse_is_ok(kmse_cnf_open(&cnf, NULL, NULL)))
        return KMSE_OK;
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        if (kmse_cnf_is_ours(provider)) {
            st = take_section(s, cnf, provider, why);
            break;
        }
    }
    kmse_cnf_close(cnf);
    return st;
}

static kmse_st make(struct kmse_ring **ring, const struct settings *s,
                    const char *folder)
{
    const struct kmse_kms_options kms = {
        .aws = &s->aws,
        .agent = s->agent,
        .agent_fallback = s->agent_fallback,
    };
    const struct kmse_ring_options options = {
        .folder = folder,
        .default_key = s->default_key,
        .max_age_ms = s->max_age_ms,
        .stale_ms = s->stale_ms,
        .max_messages = s->max_messages,
        .max_bytes = s->max_bytes,
        .kms = &kms,
    };
    struct kmse_crypto *crypto = NULL;
    KMSE_TRY(kmse_crypto_new(&crypto, NULL, false));
    return kmse_ring_new(ring, &options, crypto, &kmse_clock_system);
}

kmse_st kmse_tool_ring(struct kmse_ring **ring, const char *folder,
                       struct kmse_why *why)
{
    struct settings s = DEFAULTS;
    kmse_st st = read_sections(&s, why);
    if (kmse_is_ok(st) && folder == NULL && s.folder == NULL)
        st = kmse_fail(why, KMSE_R_CONFIG_KEYS_FOLDER,
                       "openssl.cnf names none: give --keys DIR");
    if (kmse_is_ok(st))
        st = make(ring, &s, folder != NULL ? folder : s.folder);
    kmse_aws_options_wipe(&s.aws);
    free(s.default_key);
    free(s.agent);
    free(s.folder);
    return st;
}
