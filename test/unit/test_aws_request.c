/* SPDX-License-Identifier: Apache-2.0 */
/* The host of a URL, and dates of HTTP. Whole requests: test_aws_client.c. */
#include "kms/aws_request.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* host NULL: refused. */
static const struct {
    const char *url, *host;
} URLS[] = {
    {"https://kms.eu-west-1.amazonaws.com/", "kms.eu-west-1.amazonaws.com"},
    {"https://kms.eu-west-1.amazonaws.com", "kms.eu-west-1.amazonaws.com"},
    {"http://localhost:4566/", "localhost:4566"},
    {"http://kms_double:80", "kms_double"},
    {"https://A.example:443/", "A.example"},
    {"https://a.example:80/", "a.example:80"},
    {"http://a.example:443/", "a.example:443"},
    {"https://127.0.0.1:8443/", "127.0.0.1:8443"},
    {"https://[::1]:8443/", "[::1]:8443"},
    {"https://[fd00:ec2::23]:443/", "[fd00:ec2::23]"},

    {"", NULL},
    {"kms.eu-west-1.amazonaws.com", NULL},
    {"//a.example/", NULL},
    {"ftp://a.example/", NULL},
    {"HTTPS://a.example/", NULL},
    {"https:/x://a.example/", NULL},
    {"https://", NULL},
    {"https:///", NULL},
    {"https://:443/", NULL},
    {"https://a.example:/", NULL},
    {"https://a.example:443:443/", NULL},
    {"https://a.example:x/", NULL},
    {"https://a.example/kms", NULL},
    {"https://a.example//", NULL},
    {"https://a.example/?q", NULL},
    {"https://a.example?q", NULL},
    {"https://a.example#f", NULL},
    {"https://a example/", NULL},
    {"https://a.example\r\nX: y", NULL},
    {"https://a.example\\@b.example/", NULL},
    {"https://user@a.example/", NULL},
    {"https://user:password@a.example/", NULL},
    {"https://[::1", NULL},
    {"https://[]/", NULL},
    {"https://[a.example]/", NULL},
    {"https://\xc3\xa9.example/", NULL},
};

static void urls_are_of_a_host_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(URLS); i++) {
        char host[KMSE_AWS_HOST_LEN] = "untouched";
        const char *expected = URLS[i].host;
        struct kmse_why why = {.text = ""};
        kmse_st st = kmse_aws_url_host(host, URLS[i].url, &why);
        if (kmse_is_ok(st) != (expected != NULL))
            fail_msg("%s: %s", URLS[i].url, host);
        if (expected == NULL)
            expect_reason(st, KMSE_R_CONFIG_VALUE);
        assert_string_equal(host, expected != NULL ? expected : "untouched");
        assert_null(strstr(why.text, "password"));
        assert_null(strpbrk(why.text, "\r\n\xc3"));
    }
}

static void hosts_have_their_limit(void **state)
{
    (void)state;
    char url[2 * KMSE_AWS_HOST_LEN], host[KMSE_AWS_HOST_LEN];
    snprintf(url, sizeof(url), "https://%0*d/", KMSE_AWS_HOST_LEN - 1, 0);
    expect_ok(kmse_aws_url_host(host, url, NULL));
    assert_int_equal(strlen(host), KMSE_AWS_HOST_LEN - 1);
    snprintf(url, sizeof(url), "https://%0*d/", KMSE_AWS_HOST_LEN, 0);
    expect_reason(kmse_aws_url_host(host, url, NULL), KMSE_R_CONFIG_VALUE);
}

static const struct {
    const char *text;
    int64_t wall_s; /* 0: not a date */
} DATES[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Thu, 01 Jan 1970 00:00:01 GMT", 1},
    {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
    {"Mon, 31 Dec 2035 00:00:00 GMT", 2082672000},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    {"Fri, 01 Mar 2024 00:00:00 GMT", 1709251200},
    {"Mon, 01 Apr 2024 00:00:00 GMT", 1711929600},
    {"Wed, 01 May 2024 00:00:00 GMT", 1714521600},
    {"Sat, 01 Jun 2024 00:00:00 GMT", 1717200000},
    {"Mon, 01 Jul 2024 00:00:00 GMT", 1719792000},
    {"Thu, 01 Aug 2024 00:00:00 GMT", 1722470400},
    {"Sun, 01 Sep 2024 00:00:00 GMT", 1725148800},
    {"Tue, 01 Oct 2024 00:00:00 GMT", 1727740800},

    {"", 0},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Wed, 31 Dec 1969 23:59:59 GMT", 0},
    {"Wed, 29 Feb 2001 00:00:00 GMT", 0},
    {"Sun, 00 Nov 1994 08:49:37 GMT", 0},
    {"Sun, 06 Nov 1994 24:00:00 GMT", 0},
    {"Sun, 06 Nov 1994 08:60:00 GMT", 0},
    {"Sat, 31 Dec 2016 23:59:60 GMT", 0},
    {"Sun, 06 Nov 1994 08:49:-7 GMT", 0},
    {"Sun, +6 Nov 1994 08:49:37 GMT", 0},
    {"Sun,  6 Nov 1994 08:49:37 GMT", 0},
    {"Sun, 6 Nov 1994 08:49:37 GMT", 0},
    {"Sun,06 Nov 1994 08:49:37 GMT", 0},
    {"Su, 06 Nov 1994 08:49:37 GMT", 0},
    {"Sun, 06 nov 1994 08:49:37 GMT", 0},
    {"Sun, 06 ovD 1994 08:49:37 GMT", 0},
    {"Sun, 06 anF 1994 08:49:37 GMT", 0},
    {"Sun, 06 N 1994 08:49:37 GMT", 0},
    {"Sun, 06 Nov 94 08:49:37 GMT", 0},
    {"Sun, 06 Nov 1994 08:49:37 CET", 0},
    {"Sun, 06 Nov 1994 08:49:37", 0},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", 0},
    {" Sun, 06 Nov 1994 08:49:37 GMT", 0},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 0},
    {"Sun Nov  6 08:49:37 1994", 0},
};

static void dates_are_of_one_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(DATES); i++) {
        int64_t wall_s = kmse_http_date_parse(DATES[i].text);
        if (wall_s != DATES[i].wall_s)
            fail_msg("%s: %lld", DATES[i].text, (long long)wall_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_of_a_host_and_no_more),
        cmocka_unit_test(hosts_have_their_limit),
        cmocka_unit_test(dates_are_of_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
