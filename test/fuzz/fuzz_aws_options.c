/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of AWS, KEY=VALUE: what is accepted can be used as it is. */
#include "fuzz.h"

#include "kms/aws_endpoint.h"
#include "kms/aws_options.h"
#include "kms/aws_request.h"
#include "kms_envelope/params.h"

enum { HOUR_MS = 3600000 };

/* The keys that are files open whatever they are given. */
static bool is_file(const char *key)
{
    static const char *const FILES[] = {KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE,
                                        KMSE_CONF_AWS_CONFIG_FILE,
                                        KMSE_CONF_AWS_CA_BUNDLE};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        if (strcmp(key, FILES[i]) == 0)
            return true;
    }
    return false;
}

/* Text is kept as it is, and is nothing that ends a line or has a password. */
static void check_text(const char *field, const char *value)
{
    if (field == NULL)
        return;
    FUZZ_CHECK(strcmp(field, value) == 0);
    FUZZ_CHECK(value[0] != '\0');
    FUZZ_CHECK(strpbrk(value, "\r\n\t") == NULL);
}

static void check_url(const char *url)
{
    char host[KMSE_AWS_HOST_LEN];
    if (url == NULL)
        return;
    FUZZ_CHECK(strchr(url, '@') == NULL && strchr(url, ' ') == NULL);
    FUZZ_CHECK(strlen(url) < KMSE_AWS_URL_MAX);
    if (strncmp(url, "http", strlen("http")) == 0)
        FUZZ_OK(kmse_aws_url_host(host, url, NULL));
}

static void check_taken(const struct kmse_aws_options *options,
                        const char *value)
{
    char url[KMSE_AWS_URL_MAX];
    check_text(options->region, value);
    check_text(options->profile, value);
    check_text(options->endpoint_url, value);
    check_text(options->proxy, value);
    check_text(options->no_proxy, value);
    check_url(options->endpoint_url);
    check_url(options->proxy);
    if (options->region != NULL)
        FUZZ_OK(
            kmse_aws_endpoint(url, "kms", options->region, true, true, NULL));
    FUZZ_CHECK(options->timeout_ms <= HOUR_MS);
    FUZZ_CHECK(options->connect_timeout_ms <= HOUR_MS);
}

static void check_set(const char *key, const char *value)
{
    static const struct kmse_aws_options NOTHING;
    struct kmse_aws_options options = NOTHING;
    struct kmse_why why = {""};
    kmse_st st = kmse_aws_options_set(&options, key, value, &why);
    if (kmse_is_ok(st)) {
        check_taken(&options, value);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_CONFIG_VALUE
                   || st.reason == KMSE_R_CONFIG_KEY);
        FUZZ_CHECK(memcmp(&options, &NOTHING, sizeof(options)) == 0);
        FUZZ_CHECK(strncmp(why.text, key, strnlen(key, 100)) == 0);
    }
    kmse_aws_options_wipe(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *key = fuzz_text(data, size);
    char *equals = strchr(key, '=');
    if (equals != NULL) {
        *equals = '\0';
        if (!is_file(key))
            check_set(key, equals + 1);
    }
    free(key);
    return 0;
}
