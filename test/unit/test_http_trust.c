/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the HTTP module asks, and whom it believes. */
#include "http_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- which URLs --------------------------------------------------------- */

static void a_url_that_may_not_be_asked_is_not_asked(void **state)
{
    static const char PLAIN[] = "only https:// (or http:// to this machine)";
    static const char NONE[] = "must be https://HOST";
    static const struct {
        const char *url, *words;
    } bad[] = {
        {"http://127.0.0.1.example.org/", PLAIN},
        {"http://localhost.example.org/", PLAIN},
        {"http://127.example/", PLAIN},
        {"http://[::2]/", PLAIN},
        {"http://128.0.0.1/", PLAIN},
        {"http://169.254.169.254/", PLAIN},
        {"ftp://127.0.0.1/", PLAIN},
        {"file:///etc/passwd", NONE},
        {"127.0.0.1", NONE},
        {"https://", NONE},
        {"", NONE},
    };
    struct asked asked;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        init(&asked, bad[i].url, "");
        expect_failure(*state, &asked, KMSE_R_KMS_URI, bad[i].words);
    }
}

static void a_url_has_no_user_in_it_and_is_not_shown(void **state)
{
    static const char *const URLS[] = {
        "https://anna:geheim@127.0.0.1/", "https://anna@127.0.0.1/",
        "https://:geheim@127.0.0.1/", "https://anna:geheim@127.0.0.1:x/"};
    struct asked asked;
    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        init(&asked, URLS[i], "");
        expect_failure(*state, &asked, KMSE_R_KMS_URI, "a URL with a user");
        assert_null(strstr(asked.why.text, "geheim"));
    }
}

static void plain_http_elsewhere_is_asked_if_the_request_says_so(void **state)
{
    struct asked asked;
    init(&asked, "http://host.invalid/", "");
    asked.request.allow_http = true;
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "host.invalid: ");
}

/* --- TLS ---------------------------------------------------------------- */

static void a_certificate_is_always_verified(void **state)
{
    const struct {
        const char *url, *bundle;
    } bad[] = {
        {env.other, env.bundle},
        {env.good, env.other_bundle},
        {env.elsewhere, env.bundle},
        {env.expired, env.bundle},
        {env.good, NULL},
    };
    struct asked asked;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        init(&asked, bad[i].url, "/");
        asked.request.ca_bundle = bad[i].bundle;
        expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    }
    init(&asked, env.other, "/");
    asked.request.ca_bundle = env.other_bundle;
    expect_answer(*state, &asked, NULL);
}

static void a_bundle_that_cannot_be_used_is_not_passed_by(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/");
    asked.request.ca_bundle = "/nowhere/bundle.pem";
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    asked.request.ca_bundle = KMSE_ECHO; /* no certificate in it */
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
}

static void a_server_without_tls_is_told_as_one(void **state)
{
    struct asked asked;
    char url[VALUE_LEN];
    snprintf(url, sizeof(url), "https%.200s", env.plain + strlen("http"));
    init(&asked, url, "/");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
    assert_null(strstr(asked.why.text, "default provider"));
}

/* The connection that is open was made by another bundle's grace. */
static void a_connection_is_not_used_for_another_bundle(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/");
    expect_answer(*state, &asked, NULL);
    asked.request.ca_bundle = env.other_bundle;
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    asked.request.ca_bundle = env.bundle;
    expect_answer(*state, &asked, NULL);
}

static void a_bundle_that_changes_is_read_anew(void **state)
{
    char path[URL_LEN], command[3 * URL_LEN];
    struct asked asked;
    snprintf(path, sizeof(path), "%.250s/changing.pem", env.folder);
    snprintf(command, sizeof(command), "cp %s %s", env.bundle, path);
    assert_int_equal(system(command), 0);
    init(&asked, env.good, "/last");
    asked.request.ca_bundle = path;
    expect_answer(*state, &asked, NULL);
    snprintf(command, sizeof(command), "cp %s %s", env.other_bundle, path);
    assert_int_equal(system(command), 0);
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
}

/* --- proxies ------------------------------------------------------------ */

/* The name is not looked up here: it is the proxy's to find. */
static void a_proxy_makes_a_tunnel_and_learns_nothing(void **state)
{
    static const char *const HEADERS[] = {"authorization: geheim", NULL};
    struct asked asked;
    init(&asked, "https://kms.eu-central-1.amazonaws.com", "/");
    asked.request.proxy = env.proxy;
    asked.request.headers = HEADERS;
    expect_ok(ask(*state, &asked));
    assert_non_null(strstr((const char *)asked.answer.body, "geheim"));
    assert_true(asked.answer.date[0] != '\0');
    kmse_http_answer_wipe(&asked.answer);
    init(&asked, env.plain, "/proxy-heads");
    expect_ok(ask(*state, &asked));
    const char *heads = (const char *)asked.answer.body;
    assert_non_null(
        strstr(heads, "CONNECT kms.eu-central-1.amazonaws.com:443"));
    assert_null(strstr(heads, "geheim"));
    kmse_http_answer_wipe(&asked.answer);
}

static void plain_loopback_is_asked_without_a_proxy(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/");
    asked.request.proxy = env.proxy;
    expect_answer(*state, &asked, NULL);
    asked.request.allow_http = true;
    expect_answer(*state, &asked, NULL);
    setenv("http_proxy", env.proxy, 1);
    setenv("ALL_PROXY", env.proxy, 1);
    asked.request.proxy = NULL;
    expect_answer(*state, &asked, NULL);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void hosts_without_a_proxy_are_asked_directly(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/size/1");
    asked.request.proxy = "http://127.0.0.1:1";
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
    asked.request.no_proxy = "example.org,127.0.0.1";
    expect_answer(*state, &asked, "x");
    asked.request.no_proxy = "*";
    expect_answer(*state, &asked, "x");
}

static void the_password_of_a_proxy_is_not_shown(void **state)
{
    static const char *const PROXIES[] = {"what://anna:geheim@127.0.0.1:1",
                                          "http://anna:geheim@127.0.0.1:x",
                                          "http://anna:geheim@127.0.0.1:1"};
    struct asked asked;
    for (size_t i = 0; i < sizeof(PROXIES) / sizeof(PROXIES[0]); i++) {
        init(&asked, env.good, "/");
        asked.request.proxy = PROXIES[i];
        expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
        assert_null(strstr(asked.why.text, "geheim"));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_url_that_may_not_be_asked_is_not_asked),
        HTTP_TEST(a_url_has_no_user_in_it_and_is_not_shown),
        HTTP_TEST(plain_http_elsewhere_is_asked_if_the_request_says_so),
        HTTP_TEST(a_certificate_is_always_verified),
        HTTP_TEST(a_bundle_that_cannot_be_used_is_not_passed_by),
        HTTP_TEST(a_server_without_tls_is_told_as_one),
        HTTP_TEST(a_connection_is_not_used_for_another_bundle),
        HTTP_TEST(a_bundle_that_changes_is_read_anew),
        HTTP_TEST(a_proxy_makes_a_tunnel_and_learns_nothing),
        HTTP_TEST(plain_loopback_is_asked_without_a_proxy),
        HTTP_TEST(hosts_without_a_proxy_are_asked_directly),
        HTTP_TEST(the_password_of_a_proxy_is_not_shown),
    };
    return RUN_HTTP_TESTS(tests, argc, argv);
}
