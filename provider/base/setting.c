/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: which keys there are, and what a value says. */
#include "base/setting.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kms_envelope/params.h"

#define DIGITS "0123456789"

/* --- keys --------------------------------------------------------------- */

static const char *const OPENSSL_KEYS[] = {
    "identity",
    "soft_load",
    "module",
    "activate",
};
enum { OPENSSL_KEY_COUNT = sizeof(OPENSSL_KEYS) / sizeof(OPENSSL_KEYS[0]) };

static const char *const KEYS[] = {
    KMSE_CONF_KEYS,
    KMSE_CONF_DEFAULT_KEY,
    KMSE_CONF_MAX_AGE,
    KMSE_CONF_MAX_MESSAGES,
    KMSE_CONF_MAX_BYTES,
    KMSE_CONF_STALE_IF_UNREACHABLE,
    KMSE_CONF_LEGACY_NAMES,
    KMSE_CONF_LIBRARY_CONTEXT,
    KMSE_CONF_AGENT,
    KMSE_CONF_AGENT_FALLBACK,
    KMSE_CONF_DROP_IN,
    KMSE_CONF_KMS_TIMEOUT,
    KMSE_CONF_KMS_CONNECT_TIMEOUT,
    KMSE_CONF_AWS_REGION,
    KMSE_CONF_AWS_PROFILE,
    KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE,
    KMSE_CONF_AWS_CONFIG_FILE,
    KMSE_CONF_AWS_CREDENTIAL_PROCESS,
    KMSE_CONF_AWS_ENDPOINT_URL,
    KMSE_CONF_AWS_USE_FIPS_ENDPOINT,
    KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT,
    KMSE_CONF_AWS_CA_BUNDLE,
    KMSE_CONF_AWS_PROXY,
    KMSE_CONF_AWS_NO_PROXY,
    KMSE_CONF_AWS_ALLOW_HTTP,
};
enum { KEY_COUNT = sizeof(KEYS) / sizeof(KEYS[0]) };

static bool is_one_of(const char *const *keys, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i], key) == 0)
            return true;
    }
    return false;
}

/* OpenSSL reads "1.module" as "module", but hands on other keys as they are. */
bool kmse_setting_is_known(const char *key)
{
    const char *dot = strchr(key, '.');
    return is_one_of(KEYS, KEY_COUNT, key)
           || is_one_of(OPENSSL_KEYS, OPENSSL_KEY_COUNT,
                        dot != NULL ? dot + 1 : key);
}

/* --- values ------------------------------------------------------------- */

kmse_st kmse_setting_bad(const char *key, const char *value, const char *wanted,
                         struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_CONFIG_VALUE, "%s = %.200s: must be %s", key,
                     value, wanted);
}

kmse_st kmse_setting_text(char **field, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    free(*field);
    *field = copy;
    return KMSE_OK;
}

kmse_st kmse_setting_yes_no(bool *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    bool yes = strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "no") != 0)
        return kmse_setting_bad(key, value, "yes or no", why);
    *field = yes;
    return KMSE_OK;
}

/* Digits; *end is what comes behind them. */
static bool take_number(uint64_t *number, const char *value, const char **end)
{
    size_t digits = strspn(value, DIGITS);
    *end = value + digits;
    errno = 0;
    *number = strtoull(value, NULL, 10);
    return digits > 0 && errno == 0;
}

kmse_st kmse_setting_count(uint64_t *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    uint64_t number = 0;
    const char *end = NULL;
    if (!take_number(&number, value, &end) || *end != '\0' || number == 0)
        return kmse_setting_bad(key, value, "a number from 1", why);
    *field = number;
    return KMSE_OK;
}

/* 0 if it is none. */
static uint64_t unit_ms(const char *unit)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } UNITS[] = {{"", 1000},   {"ms", 1},      {"s", 1000},
                 {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(unit, UNITS[i].unit) == 0)
            return UNITS[i].ms;
    }
    return 0;
}

kmse_st kmse_setting_duration(uint64_t *ms, const char *key, const char *value,
                              const struct kmse_setting_bounds *bounds,
                              struct kmse_why *why)
{
    uint64_t number = 0;
    const char *end = NULL;
    bool is_number = take_number(&number, value, &end);
    uint64_t unit = unit_ms(end);
    if (!is_number || unit == 0 || number > bounds->most_ms / unit
        || number * unit < bounds->least_ms)
        return kmse_setting_bad(key, value, bounds->wanted, why);
    *ms = number * unit;
    return KMSE_OK;
}

#define SECOND_MS  ((uint64_t)1000)
#define LONGEST_MS (366 * 86400 * SECOND_MS)

kmse_st kmse_setting_age(uint64_t *ms, const char *key, const char *value,
                         struct kmse_why *why)
{
    static const struct kmse_setting_bounds BOUNDS = {
        .least_ms = SECOND_MS,
        .most_ms = LONGEST_MS,
        .wanted = "a time of 1s to 366d (300, 5m, 1h)",
    };
    return kmse_setting_duration(ms, key, value, &BOUNDS, why);
}

kmse_st kmse_setting_delay(uint64_t *ms, const char *key, const char *value,
                           struct kmse_why *why)
{
    static const struct kmse_setting_bounds BOUNDS = {
        .least_ms = 0,
        .most_ms = LONGEST_MS,
        .wanted = "a time of 0 to 366d (300, 5m, 1h)",
    };
    return kmse_setting_duration(ms, key, value, &BOUNDS, why);
}

kmse_st kmse_setting_up_to(uint64_t *field, uint64_t most, const char *key,
                           const char *value, const char *wanted,
                           struct kmse_why *why)
{
    uint64_t number = 0;
    if (!kmse_is_ok(kmse_setting_count(&number, key, value, NULL))
        || number > most)
        return kmse_setting_bad(key, value, wanted, why);
    *field = number;
    return KMSE_OK;
}
