/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one table of key, parser and default. */
#include "glue/config.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/setting.h"
#include "glue/config_section.h"
#include "keyring/keyfile.h"
#include "kms/agent_client.h"
#include "kms/aws_options.h"
#include "kms_envelope/params.h"

/* --- parsers: the value as text -> the field ---------------------------- */

static kmse_st parse_folder(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    if (value[0] != '/')
        return kmse_setting_bad(key, value, "the absolute path of a folder",
                                why);
    DIR *folder = opendir(value);
    if (folder == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_KEYS_FOLDER,
                         "%s = %s: %s; make the folder, or let this user "
                         "read it",
                         key, value, strerror(errno));
    closedir(folder);
    return kmse_setting_text(field, value);
}

static kmse_st parse_key_name(void *field, const char *key, const char *value,
                              struct kmse_why *why)
{
    if (!kmse_key_name_is_valid(value))
        return kmse_setting_bad(key, value,
                                "a key's name ([a-z0-9._-], at most 31)", why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_age(void *field, const char *key, const char *value,
                         struct kmse_why *why)
{
    return kmse_setting_age(field, key, value, why);
}

static kmse_st parse_delay(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    return kmse_setting_delay(field, key, value, why);
}

static kmse_st parse_limit(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    return kmse_setting_count(field, key, value, why);
}

static kmse_st parse_yes_no(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    return kmse_setting_yes_no(field, key, value, why);
}

static kmse_st parse_library_context(void *field, const char *key,
                                     const char *value, struct kmse_why *why)
{
    static const char *const NAMES[] = {"auto", "private", "host"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(value, NAMES[i]) == 0) {
            *(enum kmse_library_context *)field = (enum kmse_library_context)i;
            return KMSE_OK;
        }
    }
    return kmse_setting_bad(key, value, "auto, private or host", why);
}

/* It need not be there yet: the agent may start after us. */
static kmse_st parse_socket(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    if (value[0] != '/' || strlen(value) > KMSE_AGENT_PATH_MAX)
        return kmse_setting_bad(key, value,
                                "the absolute path of the agent's socket, at "
                                "most 107 bytes",
                                why);
    return kmse_setting_text(field, value);
}

/* --- the table ---------------------------------------------------------- */

struct option {
    const char *key;
    kmse_st (*parse)(void *field, const char *key, const char *value,
                     struct kmse_why *why);
    const char *default_value; /* NULL: none; the field stays NULL */
    size_t offset;
};

#define FIELD(name) offsetof(struct kmse_config, name)

static const struct option OPTIONS[] = {
    {KMSE_CONF_KEYS, parse_folder, NULL, FIELD(keys)},
    {KMSE_CONF_DEFAULT_KEY, parse_key_name, NULL, FIELD(default_key)},
    {KMSE_CONF_MAX_AGE, parse_age, "300s", FIELD(max_age_ms)},
    {KMSE_CONF_STALE_IF_UNREACHABLE, parse_delay, "1h", FIELD(stale_ms)},
    /* SP 800-38D, 8.3: at most 2^32 invocations with one key. */
    {KMSE_CONF_MAX_MESSAGES, parse_limit, "4294967296", FIELD(max_messages)},
    /* 2^50 bytes are 2^46 blocks: 2^-36 to tell AES from random by them. */
    {KMSE_CONF_MAX_BYTES, parse_limit, "1125899906842624", FIELD(max_bytes)},
    {KMSE_CONF_LEGACY_NAMES, parse_yes_no, "yes", FIELD(legacy_names)},
    {KMSE_CONF_LIBRARY_CONTEXT, parse_library_context, "auto",
     FIELD(library_context)},
    {KMSE_CONF_AGENT, parse_socket, NULL, FIELD(agent)},
    {KMSE_CONF_AGENT_FALLBACK, parse_yes_no, "no", FIELD(agent_fallback)},
    {KMSE_CONF_DROP_IN, parse_yes_no, "no", FIELD(drop_in)},
};
enum { OPTION_COUNT = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

/* What is asked of the core: our own keys, then those of the AWS backend. */
enum { VALUE_COUNT = OPTION_COUNT + KMSE_AWS_OPTION_COUNT };

static const char *key_at(size_t index)
{
    return index < OPTION_COUNT ? OPTIONS[index].key
                                : kmse_aws_options_key(index - OPTION_COUNT);
}

static kmse_st parse_own(struct kmse_config *config, char *const *values,
                         struct kmse_why *why)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &OPTIONS[i];
        const char *value =
            values[i] != NULL ? values[i] : option->default_value;
        void *field = (uint8_t *)config + option->offset;
        if (value != NULL)
            KMSE_TRY(option->parse(field, option->key, value, why));
    }
    if (config->keys == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "%s is not set: the folder of key files",
                         KMSE_CONF_KEYS);
    return KMSE_OK;
}

static kmse_st parse_all(struct kmse_config *config,
                         char *const values[VALUE_COUNT], struct kmse_why *why)
{
    KMSE_TRY(parse_own(config, values, why));
    for (size_t i = OPTION_COUNT; i < VALUE_COUNT; i++) {
        if (values[i] != NULL)
            KMSE_TRY(
                kmse_aws_options_set(&config->aws, key_at(i), values[i], why));
    }
    return KMSE_OK;
}

static kmse_st ask_core(char *values[VALUE_COUNT],
                        const OSSL_CORE_HANDLE *handle,
                        OSSL_FUNC_core_get_params_fn *get_params,
                        struct kmse_why *why)
{
    OSSL_PARAM params[VALUE_COUNT + 1];
    for (size_t i = 0; i < VALUE_COUNT; i++)
        params[i] = OSSL_PARAM_construct_utf8_ptr(key_at(i), &values[i], 0);
    params[VALUE_COUNT] = OSSL_PARAM_construct_end();
    if (get_params == NULL || get_params(handle, params) != 1)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "the host gives no configuration");
    return KMSE_OK;
}

kmse_st kmse_config_read(struct kmse_config *config,
                         const OSSL_CORE_HANDLE *handle,
                         OSSL_FUNC_core_get_params_fn *get_params,
                         struct kmse_why *why)
{
    char *values[VALUE_COUNT] = {NULL};
    KMSE_TRY(ask_core(values, handle, get_params, why));

    struct kmse_config parsed = {0};
    kmse_st st = kmse_config_check_section(handle, get_params, why);
    if (kmse_is_ok(st))
        st = parse_all(&parsed, values, why);
    if (!kmse_is_ok(st)) {
        kmse_config_wipe(&parsed);
        return st;
    }
    *config = parsed;
    return KMSE_OK;
}

void kmse_config_wipe(struct kmse_config *config)
{
    free(config->default_key);
    free(config->keys);
    free(config->agent);
    kmse_aws_options_wipe(&config->aws);
    *config = (struct kmse_config){0};
}
