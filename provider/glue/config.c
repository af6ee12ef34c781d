/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one table of key, parser and default. */
#include "glue/config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/config_section.h"
#include "keyring/keyfile.h"
#include "kms_envelope/params.h"

/* --- parsers: the value as text -> the field ---------------------------- */

static kmse_st bad_value(const char *key, const char *value, const char *wanted,
                         struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_CONFIG_VALUE, "%s = %s: must be %s", key,
                     value, wanted);
}

static kmse_st parse_folder(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    if (value[0] != '/')
        return bad_value(key, value, "the absolute path of a folder", why);
    DIR *folder = opendir(value);
    if (folder == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_KEYS_FOLDER,
                         "%s = %s: %s; make the folder, or let this user "
                         "read it",
                         key, value, strerror(errno));
    closedir(folder);
    char **text = field;
    *text = strdup(value);
    return *text != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

static kmse_st parse_key_name(void *field, const char *key, const char *value,
                              struct kmse_why *why)
{
    if (!kmse_key_name_is_valid(value))
        return bad_value(key, value, "a key's name ([a-z0-9._-], at most 31)",
                         why);
    char **text = field;
    *text = strdup(value);
    return *text != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/* Digits, all of them, nothing else but what *end is left at. */
static bool parse_digits(uint64_t *number, const char *value, const char **end)
{
    size_t digits = strspn(value, "0123456789");
    char *stop = NULL;
    errno = 0;
    *number = strtoull(value, &stop, 10);
    *end = stop;
    return digits > 0 && errno == 0;
}

static uint64_t unit_seconds(const char *unit)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } UNITS[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(unit, UNITS[i].unit) == 0)
            return UNITS[i].seconds;
    }
    return 0;
}

static kmse_st parse_duration(uint64_t *ms, const char *key, const char *value,
                              uint64_t least_s, struct kmse_why *why)
{
    enum { MS_PER_S = 1000, YEAR_S = 366 * 86400 };
    const char *unit = NULL;
    uint64_t number = 0;
    uint64_t seconds = 0;
    if (parse_digits(&number, value, &unit) && number <= YEAR_S)
        seconds = number * unit_seconds(unit);
    bool is_duration = unit != NULL && unit_seconds(unit) != 0
                       && number <= YEAR_S && strspn(value, "0123456789") > 0;
    if (!is_duration || seconds < least_s || seconds > YEAR_S)
        return bad_value(key, value,
                         least_s > 0 ? "a time of 1s to 366d (300, 5m, 1h)"
                                     : "a time of 0 to 366d (300, 5m, 1h)",
                         why);
    *ms = seconds * MS_PER_S;
    return KMSE_OK;
}

static kmse_st parse_age(void *field, const char *key, const char *value,
                         struct kmse_why *why)
{
    return parse_duration(field, key, value, 1, why);
}

static kmse_st parse_delay(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    return parse_duration(field, key, value, 0, why);
}

static kmse_st parse_limit(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    uint64_t number = 0;
    const char *end = NULL;
    if (!parse_digits(&number, value, &end) || *end != '\0' || number == 0)
        return bad_value(key, value, "a number from 1", why);
    *(uint64_t *)field = number;
    return KMSE_OK;
}

static kmse_st parse_yes_no(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return bad_value(key, value, "yes or no", why);
    *(bool *)field = yes;
    return KMSE_OK;
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
    return bad_value(key, value, "auto, private or host", why);
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
};
enum { OPTION_COUNT = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

bool kmse_config_key_is_known(const char *key)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(key, OPTIONS[i].key) == 0)
            return true;
    }
    return false;
}

static kmse_st parse_options(struct kmse_config *config,
                             char *const values[OPTION_COUNT],
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

kmse_st kmse_config_read(struct kmse_config *config,
                         const OSSL_CORE_HANDLE *handle,
                         OSSL_FUNC_core_get_params_fn *get_params,
                         struct kmse_why *why)
{
    char *values[OPTION_COUNT] = {NULL};
    OSSL_PARAM params[OPTION_COUNT + 1];
    for (size_t i = 0; i < OPTION_COUNT; i++)
        params[i] =
            OSSL_PARAM_construct_utf8_ptr(OPTIONS[i].key, &values[i], 0);
    params[OPTION_COUNT] = OSSL_PARAM_construct_end();
    if (get_params == NULL || get_params(handle, params) != 1)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "the host gives no configuration");

    struct kmse_config parsed = {0};
    kmse_st st = kmse_config_check_section(handle, get_params, why);
    if (kmse_is_ok(st))
        st = parse_options(&parsed, values, why);
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
    *config = (struct kmse_config){0};
}
