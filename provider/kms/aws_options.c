/* SPDX-License-Identifier: Apache-2.0 */
/* The AWS backend's part of the configuration: one table of key and parser. */
#include "kms/aws_options.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/setting.h"
#include "kms/aws_endpoint.h"
#include "kms_envelope/params.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* --- text --------------------------------------------------------------- */

/* Some of these, and nothing else. */
static bool is_made_of(const char *value, const char *characters)
{
    return value[0] != '\0' && value[strspn(value, characters)] == '\0';
}

static kmse_st parse_region(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    char url[KMSE_AWS_URL_MAX];
    if (!kmse_is_ok(kmse_aws_endpoint(url, "kms", value, false, false, NULL)))
        return kmse_setting_bad(key, value, "an AWS Region, as eu-west-1", why);
    return kmse_setting_text(field, value);
}

/* What can stand between the brackets of [profile NAME]. */
static kmse_st parse_profile(void *field, const char *key, const char *value,
                             struct kmse_why *why)
{
    enum { DELETE = 0x7f };
    bool is_name = value[0] != '\0';
    for (const char *at = value; *at != '\0'; at++)
        is_name = is_name && (unsigned char)*at >= ' ' && *at != DELETE
                  && *at != '[' && *at != ']';
    if (!is_name)
        return kmse_setting_bad(key, value, "the name of a profile", why);
    return kmse_setting_text(field, value);
}

/* Names, suffixes, addresses and nets, as libcurl and NO_PROXY have them. */
static kmse_st parse_hosts(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    if (strcmp(value, "*") != 0
        && !is_made_of(value, LETTERS DIGITS "-._:/[], "))
        return kmse_setting_bad(key, value, "hosts with commas between, or *",
                                why);
    return kmse_setting_text(field, value);
}

/* --- URLs --------------------------------------------------------------- */

static bool take_scheme(const char **at, const char *const *schemes)
{
    for (; *schemes != NULL; schemes++) {
        size_t len = strlen(*schemes);
        if (strncmp(*at, *schemes, len) == 0) {
            *at += len;
            return true;
        }
    }
    return false;
}

/* A name, an IPv4 address, or an IPv6 address in brackets. */
static bool take_host(const char **at)
{
    enum { HOST_MAX = 255 };
    bool has_brackets = **at == '[';
    *at += has_brackets;
    size_t len = strspn(*at, has_brackets ? DIGITS "abcdefABCDEF:."
                                          : LETTERS DIGITS "-._");
    *at += len;
    bool is_closed = !has_brackets || **at == ']';
    *at += has_brackets && is_closed;
    return is_closed && len > 0 && len <= HOST_MAX;
}

static bool take_port(const char **at)
{
    enum { PORT_DIGITS = 5, PORT_MAX = 65535 };
    if (**at != ':')
        return true;
    ++*at;
    size_t digits = strspn(*at, DIGITS);
    unsigned long port = strtoul(*at, NULL, 10);
    *at += digits;
    return digits > 0 && digits <= PORT_DIGITS && port > 0 && port <= PORT_MAX;
}

static kmse_st parse_url(void *field, const char *key, const char *value,
                         const char *const *schemes, const char *wanted,
                         struct kmse_why *why)
{
    const char *at = value;
    /* Before anything prints the value: there may be a password in it. */
    if (strchr(value, '@') != NULL)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "%s: user and password do not belong into this file",
                         key);
    if (!take_scheme(&at, schemes) || !take_host(&at) || !take_port(&at)
        || (at[0] != '\0' && strcmp(at, "/") != 0))
        return kmse_setting_bad(key, value, wanted, why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_endpoint(void *field, const char *key, const char *value,
                              struct kmse_why *why)
{
    static const char *const SCHEMES[] = {"https://", "http://", NULL};
    return parse_url(field, key, value, SCHEMES,
                     "https://HOST or https://HOST:PORT, without a path", why);
}

static kmse_st parse_proxy(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    static const char *const SCHEMES[] = {"http://", "https://", "socks5://",
                                          "socks5h://", NULL};
    return parse_url(field, key, value, SCHEMES,
                     "http://HOST:PORT (or https, socks5, socks5h)", why);
}

/* --- files -------------------------------------------------------------- */

static kmse_st bad_file(const char *key, const char *value, const char *cause,
                        struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                     "%s = %.200s: %s; put the file there, or let this user "
                     "read it",
                     key, value, cause);
}

/* A device, as /dev/null, is how people say that there is no such file. */
static kmse_st parse_file(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    struct stat status;
    if (value[0] != '/')
        return kmse_setting_bad(key, value, "the absolute path of a file", why);
    int fd = open(value, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return bad_file(key, value, strerror(errno), why);
    bool is_file = fstat(fd, &status) == 0
                   && (S_ISREG(status.st_mode) || S_ISCHR(status.st_mode));
    close(fd);
    if (!is_file)
        return bad_file(key, value, "not a regular file", why);
    return kmse_setting_text(field, value);
}

/* --- others ------------------------------------------------------------- */

static kmse_st parse_yes_no(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    return kmse_setting_yes_no(field, key, value, why);
}

/* -1 or 1: "no" is something else than not to say it. */
static kmse_st parse_flag(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    bool yes = false;
    KMSE_TRY(kmse_setting_yes_no(&yes, key, value, why));
    *(int *)field = yes ? 1 : -1;
    return KMSE_OK;
}

static kmse_st parse_timeout(void *field, const char *key, const char *value,
                             struct kmse_why *why)
{
    static const struct kmse_setting_bounds BOUNDS = {
        .least_ms = 1,
        .most_ms = 3600000,
        .wanted = "a time of 1ms to 1h (5s, 500ms)",
    };
    return kmse_setting_duration(field, key, value, &BOUNDS, why);
}

/* --- the table ---------------------------------------------------------- */

struct option {
    const char *key;
    kmse_st (*parse)(void *field, const char *key, const char *value,
                     struct kmse_why *why);
    size_t offset;
};

#define FIELD(name) offsetof(struct kmse_aws_options, name)

static const struct option OPTIONS[] = {
    {KMSE_CONF_KMS_TIMEOUT, parse_timeout, FIELD(timeout_ms)},
    {KMSE_CONF_KMS_CONNECT_TIMEOUT, parse_timeout, FIELD(connect_timeout_ms)},
    {KMSE_CONF_AWS_REGION, parse_region, FIELD(region)},
    {KMSE_CONF_AWS_PROFILE, parse_profile, FIELD(profile)},
    {KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE, parse_file,
     FIELD(shared_credentials_file)},
    {KMSE_CONF_AWS_CONFIG_FILE, parse_file, FIELD(config_file)},
    {KMSE_CONF_AWS_CREDENTIAL_PROCESS, parse_yes_no, FIELD(credential_process)},
    {KMSE_CONF_AWS_ENDPOINT_URL, parse_endpoint, FIELD(endpoint_url)},
    {KMSE_CONF_AWS_USE_FIPS_ENDPOINT, parse_flag, FIELD(use_fips)},
    {KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT, parse_flag, FIELD(use_dualstack)},
    {KMSE_CONF_AWS_CA_BUNDLE, parse_file, FIELD(ca_bundle)},
    {KMSE_CONF_AWS_PROXY, parse_proxy, FIELD(proxy)},
    {KMSE_CONF_AWS_NO_PROXY, parse_hosts, FIELD(no_proxy)},
    {KMSE_CONF_AWS_ALLOW_HTTP, parse_yes_no, FIELD(allow_http)},
};
static_assert(sizeof(OPTIONS) / sizeof(OPTIONS[0]) == KMSE_AWS_OPTION_COUNT,
              "as many as the header says");

const char *kmse_aws_options_key(size_t index)
{
    return OPTIONS[index].key;
}

kmse_st kmse_aws_options_set(struct kmse_aws_options *options, const char *key,
                             const char *value, struct kmse_why *why)
{
    for (size_t i = 0; i < KMSE_AWS_OPTION_COUNT; i++) {
        void *field = (uint8_t *)options + OPTIONS[i].offset;
        if (strcmp(key, OPTIONS[i].key) == 0)
            return OPTIONS[i].parse(field, key, value, why);
    }
    return kmse_fail(why, KMSE_R_CONFIG_KEY, "%.100s", key);
}
