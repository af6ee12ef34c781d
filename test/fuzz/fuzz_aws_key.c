/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of AWS: keys, Regions, the hosts of URLs, and dates of HTTP. What is
 * accepted means what it says, and nothing that a URL or header could hide.
 */
#include "fuzz.h"

#include <time.h>

#include "kms/aws_endpoint.h"
#include "kms/aws_request.h"

static bool is_printable(const char *text)
{
    while (*text > ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

/* The name again, from what was read of it. */
static void check_means_what_it_says(const struct kmse_aws_key *key,
                                     const char *text)
{
    char again[KMSE_AWS_URL_MAX * 2];
    const char *resource = key->resource;
    bool is_id = !key->is_arn && !key->is_alias;
    if (key->is_arn)
        snprintf(again, sizeof(again), "arn:%s:kms:%s:%s:%s", key->partition,
                 key->region, key->account, resource);
    else
        snprintf(again, sizeof(again), "%s",
                 is_id ? resource + strlen("key/") : resource);
    FUZZ_CHECK(strcmp(again, text) == 0);
    FUZZ_CHECK(is_printable(again));
    FUZZ_CHECK(
        strncmp(resource, key->is_alias ? "alias/" : "key/", strlen("key/"))
        == 0);
    FUZZ_CHECK(!key->is_multi_region
               || strncmp(resource, "key/mrk-", strlen("key/mrk-")) == 0);
}

static void check_key(const char *text)
{
    struct kmse_aws_key key = {.is_arn = false};
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_aws_key_parse(&key, text, &why);
    if (!kmse_is_ok(st)) {
        FUZZ_CHECK(st.reason == KMSE_R_KMS_URI);
        FUZZ_CHECK(key.resource[0] == '\0');
        FUZZ_CHECK(why.text[0] != '\0');
        return;
    }
    check_means_what_it_says(&key, text);
    bool is_key_arn = key.is_arn && !key.is_alias;
    FUZZ_CHECK(kmse_aws_key_matches(&key, text, false) == is_key_arn);
    FUZZ_CHECK(kmse_aws_key_matches(&key, text, true) == is_key_arn);
}

/* The Region is one label of the host, and no more than that. */
static void check_region(const char *text)
{
    char url[KMSE_AWS_URL_MAX] = "", host[KMSE_AWS_HOST_LEN];
    if (!kmse_is_ok(kmse_aws_endpoint(url, "kms", text, true, false, NULL))) {
        FUZZ_CHECK(url[0] == '\0');
        return;
    }
    static const char START[] = "kms-fips.";
    FUZZ_OK(kmse_aws_url_host(host, url, NULL));
    FUZZ_CHECK(strncmp(host, START, strlen(START)) == 0);
    FUZZ_CHECK(strncmp(host + strlen(START), text, strlen(text)) == 0);
    FUZZ_CHECK(host[strlen(START) + strlen(text)] == '.');
    FUZZ_CHECK(strcspn(text, ".:/?#@%") == strlen(text));
}

/* The host is in the URL as it stands, between its scheme and its end. */
static void check_url(const char *text)
{
    char host[KMSE_AWS_HOST_LEN] = "untouched";
    kmse_st st = kmse_aws_url_host(host, text, NULL);
    if (!kmse_is_ok(st)) {
        FUZZ_CHECK(st.reason == KMSE_R_CONFIG_VALUE);
        FUZZ_CHECK(strcmp(host, "untouched") == 0);
        return;
    }
    const char *start = strstr(text, "://");
    FUZZ_CHECK(start != NULL && (start == text + 4 || start == text + 5));
    FUZZ_CHECK(strncmp(start + 3, host, strlen(host)) == 0);
    FUZZ_CHECK(host[0] != '\0' && is_printable(host));
    FUZZ_CHECK(strcspn(host, "/?#@\\") == strlen(host));
}

/* Printed anew it is the same, but for the day of the week. */
static void check_date(const char *text)
{
    enum { DAY_LEN = sizeof("Sun") - 1 };
    char again[sizeof("Sun, 06 Nov 1994 08:49:37 GMT")];
    struct tm utc;
    time_t wall_s = (time_t)kmse_http_date_parse(text);
    if (wall_s == 0)
        return;
    FUZZ_CHECK(wall_s > 0);
    FUZZ_CHECK(gmtime_r(&wall_s, &utc) != NULL);
    FUZZ_CHECK(strftime(again, sizeof(again), "%a, %d %b %Y %H:%M:%S GMT", &utc)
               == sizeof(again) - 1);
    FUZZ_CHECK(strcmp(text + DAY_LEN, again + DAY_LEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    check_key(text);
    check_region(text);
    check_url(text);
    check_date(text);
    free(text);
    return 0;
}
