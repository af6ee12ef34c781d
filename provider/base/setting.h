/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_SETTING_H
#define KMSE_BASE_SETTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/*
 * Settings: keys of the provider's section in openssl.cnf, and their values as
 * text. Each function that reads one leaves the field as it was on failure,
 * which is KMSE_R_CONFIG_VALUE with "key = value: must be ..." in why.
 */

/* One that OpenSSL has in every such section, or one of params.h. */
bool kmse_setting_is_known(const char *key);

/* wanted: "yes or no". */
kmse_st kmse_setting_bad(const char *key, const char *value, const char *wanted,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/* A copy, in place of what *field has. The caller frees it. */
kmse_st kmse_setting_text(char **field, const char *value) KMSE_MUST_CHECK;

kmse_st kmse_setting_yes_no(bool *field, const char *key, const char *value,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/* Decimal digits, from 1. */
kmse_st kmse_setting_count(uint64_t *field, const char *key, const char *value,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * "300" (seconds), "500ms", "300s", "5m", "1h", "1d". wanted says the bounds,
 * which are part of them, for people.
 */
struct kmse_setting_bounds {
    uint64_t least_ms, most_ms;
    const char *wanted;
};
kmse_st kmse_setting_duration(uint64_t *ms, const char *key, const char *value,
                              const struct kmse_setting_bounds *bounds,
                              struct kmse_why *why) KMSE_MUST_CHECK;

/* How long a data key serves, from 1s, and serves on, from 0; to 366d. */
kmse_st kmse_setting_age(uint64_t *ms, const char *key, const char *value,
                         struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_setting_delay(uint64_t *ms, const char *key, const char *value,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/* A number of 1 to most, which wanted says in words. */
kmse_st kmse_setting_up_to(uint64_t *field, uint64_t most, const char *key,
                           const char *value, const char *wanted,
                           struct kmse_why *why) KMSE_MUST_CHECK;

#endif
