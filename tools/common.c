/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs share. */
#include "tools/common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>

#include "kms/aws_options.h"
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

bool kmse_tool_is_meant(const char *name)
{
    char answer[KMSE_KEY_NAME_MAX + 2] = "";
    fputs("Type the key's name to go on: ", stderr);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    return strcmp(answer, name) == 0;
}

kmse_st kmse_tool_check_can_ask(bool yes, struct kmse_why *why)
{
    if (!yes && !isatty(STDIN_FILENO))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "standard input is no terminal: --yes is needed");
    return KMSE_OK;
}

/* --- openssl.cnf -------------------------------------------------------- */

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

/* A mistyped one is not passed over: another KMS might be asked then. */
static bool is_of_kms(const char *key)
{
    return strncmp(key, "aws-", strlen("aws-")) == 0
           || strncmp(key, "kms-", strlen("kms-")) == 0;
}

static kmse_st take_settings(struct kmse_aws_options *options,
                             const struct kmse_cnf *cnf,
                             const struct kmse_cnf_provider *provider,
                             struct kmse_why *why)
{
    for (size_t i = 0; i < provider->pair_count; i++) {
        const struct kmse_cnf_pair *pair = &provider->pairs[i];
        struct kmse_why cause = {""};
        if (!is_of_kms(pair->name))
            continue;
        kmse_st st =
            kmse_aws_options_set(options, pair->name, pair->value, &cause);
        if (!kmse_is_ok(st))
            return kmse_fail(why, st.reason, "%.160s, section [%.40s]: %.300s",
                             kmse_cnf_path(cnf), provider->section, cause.text);
    }
    return KMSE_OK;
}

/* The first section of ours; a program may be given another. */
static kmse_st find_settings(struct kmse_aws_options *options,
                             const struct kmse_cnf *cnf, struct kmse_why *why)
{
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        if (kmse_cnf_is_ours(provider))
            return take_settings(options, cnf, provider, why);
    }
    return KMSE_OK;
}

static bool has_configuration(void)
{
    char *path = CONF_get1_default_config_file();
    bool is_there =
        path != NULL && (access(path, F_OK) == 0 || errno == EACCES);
    OPENSSL_free(path);
    return is_there;
}

/* No file is fine; one that cannot be read may say where the KMS is. */
kmse_st kmse_tool_read_settings(struct kmse_aws_options *options,
                                struct kmse_why *why)
{
    struct kmse_cnf *cnf = NULL;
    if (!has_configuration())
        return KMSE_OK;
    KMSE_TRY(kmse_cnf_open(&cnf, NULL, why));
    kmse_st st = find_settings(options, cnf, why);
    kmse_cnf_close(cnf);
    return st;
}

static const char *find_value(const struct kmse_cnf *cnf, const char *name)
{
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf); i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        const char *value = kmse_cnf_value(provider, name);
        if (kmse_cnf_is_ours(provider) && value != NULL)
            return value;
    }
    return NULL;
}

kmse_st kmse_tool_configured_folder(char **folder, struct kmse_why *why)
{
    struct kmse_cnf *cnf = NULL;
    KMSE_TRY(kmse_cnf_open(&cnf, NULL, why));
    const char *found = find_value(cnf, KMSE_CONF_KEYS);
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

kmse_st kmse_tool_configured_key(char **name)
{
    struct kmse_cnf *cnf = NULL;
    *name = NULL;
    if (!kmse_is_ok(kmse_cnf_open(&cnf, NULL, NULL)))
        return KMSE_OK;
    const char *found = find_value(cnf, KMSE_CONF_DEFAULT_KEY);
    if (found != NULL)
        *name = strdup(found);
    kmse_cnf_close(cnf);
    return found == NULL || *name != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/* --- one run ------------------------------------------------------------ */

static kmse_st session_init(struct kmse_rotation *made,
                            const struct kmse_aws_options *aws)
{
    const struct kmse_kms_options options = {.aws = aws};
    KMSE_TRY(kmse_crypto_new(&made->crypto, NULL, false));
    KMSE_TRY(kmse_pool_new(&made->pool));
    return kmse_kms_new(&made->kms, made->crypto, made->pool, made->clock,
                        &options);
}

kmse_st kmse_session_open(struct kmse_session *session, const char *folder,
                          struct kmse_why *why)
{
    struct kmse_aws_options aws = {0};
    struct kmse_rotation made = {
        .clock = &kmse_clock_system,
        .folder = folder,
    };
    kmse_st st = kmse_tool_read_settings(&aws, why);
    if (kmse_is_ok(st)) {
        st = session_init(&made, &aws);
        if (!kmse_is_ok(st))
            st = kmse_fail(why, st.reason, "at the start");
    }
    kmse_aws_options_wipe(&aws);
    session->rotation = made;
    if (!kmse_is_ok(st))
        kmse_session_close(session);
    return st;
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
    bool made = false;
    KMSE_TRY(kmse_kms_ensure(session->rotation.kms, uri, &made, why));
    if (made)
        kmse_tool_hint(
            "made the master key %s: back it up, apart from the data;"
            " what is encrypted under it opens with nothing else",
            uri);
    return KMSE_OK;
}

kmse_st kmse_session_ensure_master(char **absolute,
                                   const struct kmse_session *session,
                                   const char *uri, struct kmse_why *why)
{
    char *made = NULL;
    KMSE_TRY(kmse_kms_resolve(&made, session->rotation.kms, uri, why));
    kmse_st st = ensure(session, made, why);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    *absolute = made;
    return KMSE_OK;
}
