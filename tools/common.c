/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share. */
#include "tools/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms_envelope/params.h"

const char *const kmse_release = KMSE_RELEASE;

int kmse_tool_fail(kmse_st st, const struct kmse_why *why)
{
    const char *text = why != NULL ? why->text : "";
    fprintf(stderr, "kms-envelope: %s%s%s\n", kmse_reason_text(st.reason),
            text[0] != '\0' ? ": " : "", text);
    return KMSE_EXIT_FAILED;
}

void kmse_tool_hint(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("kms-envelope: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

kmse_st kmse_session_open(struct kmse_session *session, const char *folder,
                          struct kmse_why *why)
{
    struct kmse_rotation made = {
        .clock = &kmse_clock_system,
        .folder = folder,
    };
    kmse_st st = kmse_crypto_new(&made.crypto, NULL, false);
    if (kmse_is_ok(st))
        st = kmse_pool_new(&made.pool);
    if (kmse_is_ok(st))
        st = kmse_kms_new(&made.kms, made.crypto, made.pool, made.clock);
    session->rotation = made;
    if (!kmse_is_ok(st)) {
        kmse_session_close(session);
        return kmse_fail(why, st.reason, "at the start");
    }
    return KMSE_OK;
}

void kmse_session_close(struct kmse_session *session)
{
    kmse_kms_free(session->rotation.kms);
    kmse_pool_free(session->rotation.pool);
    kmse_crypto_free(session->rotation.crypto);
    *session = (struct kmse_session){0};
}

int64_t kmse_session_now(const struct kmse_session *session)
{
    return session->rotation.clock->wall_s(session->rotation.clock->arg);
}

static kmse_st ensure(const struct kmse_session *session, const char *uri,
                      struct kmse_why *why)
{
    struct kmse_kms *kms = session->rotation.kms;
    struct kmse_kms_description description;
    kmse_st st = kmse_kms_describe(kms, uri, &description, why);
    if (st.reason != KMSE_R_KMS_KEY_NOT_FOUND)
        return st;
    KMSE_TRY(kmse_kms_ensure(kms, uri, why));
    kmse_tool_hint("made the master key %s: back it up, apart from the data;"
                   " what is encrypted under it opens with nothing else",
                   uri);
    return KMSE_OK;
}

kmse_st kmse_session_ensure_master(char **absolute,
                                   const struct kmse_session *session,
                                   const char *uri, struct kmse_why *why)
{
    char *made = NULL;
    KMSE_TRY(kmse_kms_absolute_uri(&made, uri, why));
    kmse_st st = ensure(session, made, why);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    *absolute = made;
    return KMSE_OK;
}

bool kmse_cnf_is_ours(const struct kmse_cnf_provider *provider)
{
    if (strcmp(provider->name, KMSE_PROVIDER_NAME) == 0)
        return true;
    return provider->module != NULL
           && strstr(provider->module, KMSE_PROVIDER_NAME ".so") != NULL;
}

const char *kmse_cnf_value(const struct kmse_cnf_provider *provider,
                           const char *name)
{
    for (size_t i = 0; i < provider->pair_count; i++) {
        if (strcmp(provider->pairs[i].name, name) == 0)
            return provider->pairs[i].value;
    }
    return NULL;
}

static const char *find_folder(const struct kmse_cnf *cnf)
{
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        const char *folder = kmse_cnf_value(provider, KMSE_CONF_KEYS);
        if (kmse_cnf_is_ours(provider) && folder != NULL)
            return folder;
    }
    return NULL;
}

kmse_st kmse_tool_configured_folder(char **folder, struct kmse_why *why)
{
    struct kmse_cnf *cnf = NULL;
    KMSE_TRY(kmse_cnf_open(&cnf, NULL, why));
    const char *found = find_folder(cnf);
    kmse_st st = KMSE_OK;
    if (found == NULL)
        st = kmse_fail(why, KMSE_R_CONFIG_KEYS_FOLDER,
                       "%s has no %s provider with keys = ...: give --keys DIR",
                       kmse_cnf_path(cnf), KMSE_PROVIDER_NAME);
    else if ((*folder = strdup(found)) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    kmse_cnf_close(cnf);
    return st;
}
