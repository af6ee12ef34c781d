/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: by option, in the environment, in the profile. */
#include "kms/aws_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kms/aws_environment.h"
#include "kms/aws_profile.h"

enum { NAME_LEN = 64 };

/* --- options ------------------------------------------------------------ */

static bool copy_text(char **to, const char *from)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

kmse_st kmse_aws_options_copy(struct kmse_aws_options *to,
                              const struct kmse_aws_options *from)
{
    struct kmse_aws_options made = *from;
    /* Each is tried: those that are not copied must not stay from's. */
    bool copied = copy_text(&made.region, from->region);
    copied &= copy_text(&made.profile, from->profile);
    copied &= copy_text(&made.endpoint_url, from->endpoint_url);
    copied &=
        copy_text(&made.shared_credentials_file, from->shared_credentials_file);
    copied &= copy_text(&made.config_file, from->config_file);
    copied &= copy_text(&made.ca_bundle, from->ca_bundle);
    copied &= copy_text(&made.proxy, from->proxy);
    copied &= copy_text(&made.no_proxy, from->no_proxy);
    if (!copied) {
        kmse_aws_options_wipe(&made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    *to = made;
    return KMSE_OK;
}

void kmse_aws_options_wipe(struct kmse_aws_options *options)
{
    free(options->region);
    free(options->profile);
    free(options->endpoint_url);
    free(options->shared_credentials_file);
    free(options->config_file);
    free(options->ca_bundle);
    free(options->proxy);
    free(options->no_proxy);
    *options = (struct kmse_aws_options){0};
}

/* --- looking up --------------------------------------------------------- */

/* The first that is set, or NULL. What is empty is not set. */
static const char *in_environment(const char *first, const char *second)
{
    const char *value = kmse_aws_environment(first);
    if (value == NULL && second != NULL)
        value = kmse_aws_environment(second);
    return value;
}

static kmse_st copy_set(char **value, const char *from)
{
    *value = NULL;
    if (from != NULL && *from != '\0' && (*value = strdup(from)) == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    return KMSE_OK;
}

/* The files, and the name of the profile that was asked for. */
struct asked {
    struct kmse_aws_profiles *profiles;
    char *profile;
};

static kmse_st read_asked(struct asked *asked,
                          const struct kmse_aws_options *options,
                          struct kmse_why *why)
{
    bool is_named = false;
    KMSE_TRY(kmse_aws_profile_name(&asked->profile, &is_named, options));
    kmse_st st = kmse_aws_profiles_read(&asked->profiles, options, why);
    if (!kmse_is_ok(st))
        free(asked->profile);
    return st;
}

static void wipe_asked(struct asked *asked)
{
    kmse_aws_profiles_free(asked->profiles);
    free(asked->profile);
}

static kmse_st in_profile(char **value, const struct kmse_aws_options *options,
                          const char *key, struct kmse_why *why)
{
    struct asked asked = {0};
    KMSE_TRY(read_asked(&asked, options, why));
    kmse_st st = copy_set(
        value, kmse_aws_profiles_value(asked.profiles, asked.profile, key));
    wipe_asked(&asked);
    return st;
}

static kmse_st find(char **value, const struct kmse_aws_options *options,
                    const char *option, const char *variable,
                    const char *other_variable, const char *key,
                    struct kmse_why *why)
{
    const char *set =
        option != NULL ? option : in_environment(variable, other_variable);
    if (set != NULL)
        return copy_set(value, set);
    return in_profile(value, options, key, why);
}

/* botocore knows AWS_DEFAULT_REGION alone, other SDKs AWS_REGION. */
kmse_st kmse_aws_region(char **value, const struct kmse_aws_options *options,
                        struct kmse_why *why)
{
    return find(value, options, options->region, "AWS_REGION",
                "AWS_DEFAULT_REGION", "region", why);
}

kmse_st kmse_aws_ca_bundle(char **value, const struct kmse_aws_options *options,
                           struct kmse_why *why)
{
    return find(value, options, options->ca_bundle, "AWS_CA_BUNDLE", NULL,
                "ca_bundle", why);
}

/* botocore takes each other word as false: "use_fips_endpoint = yes", too. */
kmse_st kmse_aws_flag(bool *value, const struct kmse_aws_options *options,
                      int set, const char *environment_name,
                      const char *profile_key, struct kmse_why *why)
{
    char *text = NULL;
    if (set != 0) {
        *value = set > 0;
        return KMSE_OK;
    }
    KMSE_TRY(
        find(&text, options, NULL, environment_name, NULL, profile_key, why));
    kmse_st st = KMSE_OK;
    if (text == NULL || strcasecmp(text, "false") == 0)
        *value = false;
    else if (strcasecmp(text, "true") == 0)
        *value = true;
    else
        st = kmse_fail(why, KMSE_R_CONFIG_VALUE,
                       "%s (%s in a profile) must be true or false",
                       environment_name, profile_key);
    free(text);
    return st;
}

/* --- endpoints ---------------------------------------------------------- */

/* In the [services] section that the profile names, or in the profile. */
static kmse_st find_url(char **value, const struct asked *asked,
                        const char *service, struct kmse_why *why)
{
    const struct kmse_aws_profiles *profiles = asked->profiles;
    const char *services =
        kmse_aws_profiles_value(profiles, asked->profile, "services");
    const char *url = NULL;
    char key[NAME_LEN];
    snprintf(key, sizeof(key), "%s.endpoint_url", service);
    if (services != NULL && !kmse_aws_profiles_has_services(profiles, services))
        return kmse_fail(
            why, KMSE_R_CONFIG_VALUE,
            "%s: profile '%s' names [services %s], which is not there",
            kmse_aws_profiles_path(profiles, KMSE_AWS_CONFIG_FILE),
            asked->profile, services);
    if (services != NULL)
        url = kmse_aws_profiles_service(profiles, services, key);
    if (url == NULL || *url == '\0')
        url = kmse_aws_profiles_value(profiles, asked->profile, "endpoint_url");
    return copy_set(value, url);
}

static kmse_st url_in_profile(char **value,
                              const struct kmse_aws_options *options,
                              const char *service, struct kmse_why *why)
{
    struct asked asked = {0};
    KMSE_TRY(read_asked(&asked, options, why));
    kmse_st st = find_url(value, &asked, service, why);
    wipe_asked(&asked);
    return st;
}

static kmse_st configured_url(char **value,
                              const struct kmse_aws_options *options,
                              const char *service, struct kmse_why *why)
{
    char variable[NAME_LEN];
    bool ignored = false;
    snprintf(variable, sizeof(variable), "AWS_ENDPOINT_URL_%s",
             strcmp(service, "kms") == 0 ? "KMS" : "STS");
    KMSE_TRY(kmse_aws_flag(&ignored, options, 0,
                           "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                           "ignore_configured_endpoint_urls", why));
    if (ignored)
        return copy_set(value, NULL);
    const char *url = in_environment(variable, "AWS_ENDPOINT_URL");
    if (url != NULL)
        return copy_set(value, url);
    return url_in_profile(value, options, service, why);
}

static bool is_http(const char *url)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncasecmp(url, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

kmse_st kmse_aws_endpoint_url(char **value,
                              const struct kmse_aws_options *options,
                              const char *service, struct kmse_why *why)
{
    char *url = NULL;
    if (strcmp(service, "kms") == 0 && options->endpoint_url != NULL)
        KMSE_TRY(copy_set(&url, options->endpoint_url));
    else
        KMSE_TRY(configured_url(&url, options, service, why));
    if (url != NULL && !is_http(url)) {
        free(url);
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "the endpoint URL of %s, in the configuration,"
                         " AWS_ENDPOINT_URL... or the profile, does not begin"
                         " with https://",
                         service);
    }
    *value = url;
    return KMSE_OK;
}

kmse_st kmse_aws_standard_url(char url[KMSE_AWS_URL_MAX],
                              const struct kmse_aws_options *options,
                              const char *service, const char *region,
                              struct kmse_why *why)
{
    bool fips = false, dualstack = false;
    KMSE_TRY(kmse_aws_flag(&fips, options, options->use_fips,
                           "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", why));
    KMSE_TRY(kmse_aws_flag(&dualstack, options, options->use_dualstack,
                           "AWS_USE_DUALSTACK_ENDPOINT",
                           "use_dualstack_endpoint", why));
    return kmse_aws_endpoint(url, service, region, fips, dualstack, why);
}
