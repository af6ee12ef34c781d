/* SPDX-License-Identifier: Apache-2.0 */
/* AWS credentials from endpoints of the machine: containers, instances. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws_fixture.h"
#include "kms/aws_retry.h"

/* --- a container -------------------------------------------------------- */

static void a_container_is_asked_at_the_agents_address(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/c?id=1", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/full", 1);
    f->options.proxy = aws_text_of("http://proxy");
    aws_will_answer(f, 200, aws_json("A", AWS_IN_1H));
    aws_expect_expiring(f, "A", "RELATIVE_URI", AWS_NOW_S + 3600);
    assert_string_equal(f->asked[0].method, "GET");
    assert_string_equal(f->asked[0].url, "http://169.254.170.2/v2/c?id=1");
    assert_true(f->asked[0].allow_http);
    assert_string_equal(f->asked[0].no_proxy, "*");
    assert_string_equal(f->asked[0].proxy, "");
    assert_int_equal(f->asked[0].timeout_ms, 2000);
    assert_int_equal(f->asked[0].connect_timeout_ms, 2000);
    aws_expect_header(&f->asked[0], "Accept", "application/json");
    aws_expect_header(&f->asked[0], "Authorization", NULL);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/", 1);
    aws_expect_refused(f, "not a path");
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a b", 1);
    aws_expect_refused(f, "not a path");
    assert_int_equal(f->requests, 1);
}

enum { NO, PLAIN, LOOPBACK_OR_TLS };
static const struct {
    const char *url;
    int allowed; /* PLAIN: to another host by http */
} FULL[] = {
    {"http://169.254.170.2/c", PLAIN},
    {"http://169.254.170.23/v1/credentials", PLAIN},
    {"http://169.254.170.23", PLAIN},
    {"http://169.254.170.23:80/c", PLAIN},
    {"http://169.254.170.23?c", PLAIN},
    {"http://[fd00:ec2::23]/v1/credentials", PLAIN},
    {"http://[fd00:ec2::23]:80/v1/credentials", PLAIN},
    {"HTTP://[FD00:EC2::23]/v1/credentials", PLAIN},
    {"http://localhost/c", LOOPBACK_OR_TLS},
    {"http://LOCALHOST:1234/c", LOOPBACK_OR_TLS},
    {"http://127.0.0.1:1234/c", LOOPBACK_OR_TLS},
    {"http://127.1.2.3/c", LOOPBACK_OR_TLS},
    {"http://[::1]:1234/c", LOOPBACK_OR_TLS},
    {"https://example.org/c", LOOPBACK_OR_TLS},
    {"https://169.254.170.2/c", LOOPBACK_OR_TLS},
    {"https://user@example.org/c", NO},
    {"https://user:word@example.org/c", NO},
    {"https://example.org\\h/c", NO},
    {"https://example.org%2f/c", NO},
    {"http://example.org/c", NO},
    {"http://169.254.170.3/c", NO},
    {"http://169.254.169.254/c", NO},
    {"http://169.254.170.2.example.org/c", NO},
    {"http://169.254.170.23example.org/c", NO},
    {"http://127.0.0.1.example.org/c", NO},
    {"http://localhost.example.org/c", NO},
    {"http://169.254.170.2@example.org/c", NO},
    {"http://169.254.170.2:80@example.org/c", NO},
    {"http://user:word@169.254.170.2/c", NO},
    {"http://169.254.170.2\\@example.org/c", NO},
    {"http://169.254.170.2:8a/c", NO},
    {"http://169.254.170.2%2eexample.org/c", NO},
    {"http://[fd00:ec2::23/c", NO},
    {"http://[fd00:ec2::23]example.org/c", NO},
    {"http://[fd00:ec2::24]/c", NO},
    {"http:///c", NO},
    {"http://", NO},
    {"http:169.254.170.2/c", NO},
    {"ftp://169.254.170.2/c", NO},
    {"file:///etc/passwd", NO},
    {"169.254.170.2/c", NO},
    {"http://169.254.170.2/a b", NO},
    {"http://169.254.170.2/a\r\nb", NO},
};

static void other_addresses_of_containers_are_few(void **state)
{
    struct aws_fixture *f = *state;
    f->options.allow_http = true; /* is not meant for these */
    for (size_t i = 0; i < AWS_COUNT(FULL); i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", FULL[i].url, 1);
        aws_forget(f);
        if (FULL[i].allowed == NO) {
            aws_expect_refused(f, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
            if (f->requests != 0)
                fail_msg("%s was asked", FULL[i].url);
            continue;
        }
        aws_will_answer(f, 200, aws_json("A", AWS_IN_1H));
        aws_expect_expiring(f, "A", "FULL_URI", AWS_NOW_S + 3600);
        if (f->asked[0].allow_http != (FULL[i].allowed == PLAIN)
            || strcmp(f->asked[0].url, FULL[i].url) != 0)
            fail_msg("%s: %s %d", FULL[i].url, f->asked[0].url,
                     f->asked[0].allow_http);
    }
}

static void expect_authorization(struct aws_fixture *f, const char *value)
{
    aws_forget(f);
    aws_will_answer(f, 200, aws_json("A", AWS_IN_1H));
    aws_expect_expiring(f, "A", "container", AWS_NOW_S + 3600);
    aws_expect_header(&f->asked[0], "Authorization", value);
}

static void a_containers_token_is_read_anew(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/c", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc", 1);
    expect_authorization(f, "Basic abc");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f->token, 1);
    aws_write(f->token, "first");
    expect_authorization(f, "first");
    aws_write(f->token, "second");
    expect_authorization(f, "second");
}

static void a_containers_bad_token_is_not_sent(void **state)
{
    static const char *const TOKENS[] = {"", "a\n", "a\r\nX: y", "a\tb",
                                         "\xc3"};
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/c", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nX: y", 1);
    aws_expect_refused(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN: ");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f->token, 1);
    for (size_t i = 0; i < AWS_COUNT(TOKENS); i++) {
        aws_write(f->token, TOKENS[i]);
        aws_expect_refused(f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: ");
    }
    unlink(f->token);
    aws_expect_refused(f, f->token);
    assert_int_equal(f->requests, 0);
}

static void a_containers_trouble_is_tried_three_times(void **state)
{
    static const struct {
        struct aws_answer answer;
        int reason;
    } TROUBLE[] = {
        {{.reason = KMSE_R_KMS_UNREACHABLE}, KMSE_R_KMS_UNREACHABLE},
        {{.reason = KMSE_R_KMS_TIMEOUT}, KMSE_R_KMS_TIMEOUT},
        {{.reason = KMSE_R_KMS_ANSWER}, KMSE_R_KMS_CREDENTIALS},
        {{.status = 500, .body = ""}, KMSE_R_KMS_UNREACHABLE},
        {{.status = 503, .body = "x"}, KMSE_R_KMS_UNREACHABLE},
        {{.status = 429, .body = ""}, KMSE_R_KMS_THROTTLED},
    };
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    for (size_t i = 0; i < AWS_COUNT(TROUBLE); i++) {
        aws_forget(f);
        for (size_t j = 0; j < 3; j++)
            aws_will(f, TROUBLE[i].answer);
        aws_expect_failed(f, false, TROUBLE[i].reason, "container endpoint");
        assert_int_equal(f->requests, 3);
        assert_int_equal(f->waits, 2);
        aws_forget(f);
        aws_will(f, TROUBLE[i].answer);
        aws_will_answer(f, 200, aws_json("A", AWS_IN_2H));
        aws_expect_expiring(f, "A", "container", AWS_NOW_S + 7200);
        assert_int_equal(f->tokens, KMSE_RETRY_BUCKET); /* given back */
    }
}

static void a_containers_no_and_bad_answers_are_final(void **state)
{
    static const struct {
        int status;
        const char *body, *why;
    } BAD[] = {
        {400, "x", "HTTP status 400"},
        {401, "", "HTTP status 401"},
        {404, "", "HTTP status 404"},
        {302, "", "HTTP status 302"},
        {200, "", "no JSON object"},
        {200, "<html>", "no JSON object"},
        {200, "{}", "no AccessKeyId"},
        {200, "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s\"}",
         "no Token"},
        {200,
         "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s\","
         " \"Token\": \"t\"}",
         "no Expiration"},
        {200,
         "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s\","
         " \"Token\": \"t\", \"Expiration\": \"never\"}",
         "Expiration is no time"},
    };
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    for (size_t i = 0; i < AWS_COUNT(BAD); i++) {
        aws_forget(f);
        aws_will_answer(f, BAD[i].status, BAD[i].body);
        aws_expect_refused(f, BAD[i].why);
        assert_int_equal(f->requests, 1);
    }
}

/* By its Date the server is an hour ahead: so is its Expiration. */
static void times_are_by_the_servers_clock(void **state)
{
    struct aws_fixture *f = *state;
    struct aws_answer answer = {.status = 200,
                                .body = aws_json("A", AWS_IN_2H),
                                .date = "Thu, 01 Jan 2026 01:00:00 GMT"};
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    aws_will(f, answer);
    aws_expect_expiring(f, "A", "container", AWS_NOW_S + 3600);
    answer.date = "Wed, 31 Dec 2025 23:00:00 GMT";
    answer.body = aws_json("A", "2025-12-31T23:30:00Z"); /* past, by ours */
    aws_will(f, answer);
    aws_expect_expiring(f, "A", "container", AWS_NOW_S + 1800);
    answer.date = "Thu, 01 Jan 2026 03:00:00 GMT"; /* after its own end */
    answer.body = aws_json("A", AWS_IN_2H);
    aws_will(f, answer);
    aws_expect_expiring(f, "A", "container", AWS_NOW_S + 7200);
    answer.date = "yesterday";
    aws_will(f, answer);
    aws_expect_expiring(f, "A", "container", AWS_NOW_S + 7200);
}

/* --- an instance -------------------------------------------------------- */

static void answer_as_instance(struct aws_fixture *f)
{
    aws_forget(f);
    aws_will_answer(f, 200, AWS_IMDS_TOKEN);
    aws_will_answer(f, 200, "my-role\n");
    aws_will_answer(f, 200, aws_json("I", AWS_IN_1H));
}

static void expect_instance_at(struct aws_fixture *f, const char *endpoint,
                               bool allow_http)
{
    char url[256];
    answer_as_instance(f);
    aws_expect_expiring(f, "I", "instance metadata, role my-role",
                        AWS_NOW_S + 3600);
    snprintf(url, sizeof(url), "%s/latest/api/token", endpoint);
    assert_string_equal(f->asked[0].url, url);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->asked[i].allow_http, allow_http);
        assert_string_equal(f->asked[i].no_proxy, "*");
        assert_int_equal(f->asked[i].timeout_ms, 1000);
    }
}

static void an_instance_is_asked_in_three_steps(void **state)
{
    struct aws_fixture *f = *state;
    expect_instance_at(f, "http://169.254.169.254", true);
    assert_int_equal(f->requests, 3);
    assert_string_equal(f->asked[0].method, "PUT");
    aws_expect_header(&f->asked[0], "X-aws-ec2-metadata-token-ttl-seconds",
                      "21600");
    assert_string_equal(f->asked[1].method, "GET");
    assert_string_equal(f->asked[1].url,
                        "http://169.254.169.254/latest/meta-data/iam/"
                        "security-credentials/");
    aws_expect_header(&f->asked[1], "X-aws-ec2-metadata-token", AWS_IMDS_TOKEN);
    assert_string_equal(f->asked[2].url,
                        "http://169.254.169.254/latest/meta-data/iam/"
                        "security-credentials/my-role");
    aws_expect_header(&f->asked[2], "X-aws-ec2-metadata-token", AWS_IMDS_TOKEN);
}

static void an_instances_endpoint_can_be_set(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv4", 1);
    expect_instance_at(f, "http://169.254.169.254", true);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6", 1);
    expect_instance_at(f, "http://[fd00:ec2::254]", true);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5", 1);
    aws_expect_refused(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:8//", 1);
    expect_instance_at(f, "http://127.0.0.1:8", false);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://a b", 1);
    aws_expect_refused(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT: not a URL");
    unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    aws_write(f->config,
              "[default]\nec2_metadata_service_endpoint_mode = IPv6\n");
    expect_instance_at(f, "http://[fd00:ec2::254]", true);
    aws_write(f->config,
              "[default]\nec2_metadata_service_endpoint = http://h/\n");
    expect_instance_at(f, "http://h", false);
    f->options.allow_http = true;
    expect_instance_at(f, "http://h", true);
}

static void an_instances_metadata_can_be_disabled(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
    aws_expect_refused(f, "there are none");
    setenv("AWS_EC2_METADATA_DISABLED", "yes", 1);
    aws_expect_refused(f, "must be true or false");
    assert_int_equal(f->requests, 0);
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    expect_instance_at(f, "http://169.254.169.254", true);
}

/* Nobody there, or somebody else: no credentials, and nobody to wait for. */
static void where_no_instance_is_none_is_missed(void **state)
{
    static const struct aws_answer NOBODY[] = {
        {.reason = KMSE_R_KMS_UNREACHABLE},
        {.reason = KMSE_R_KMS_TIMEOUT},
        {.status = 404, .body = "not here"},
        {.status = 405, .body = ""},
    };
    struct aws_fixture *f = *state;
    for (size_t i = 0; i < AWS_COUNT(NOBODY); i++) {
        aws_forget(f);
        aws_will(f, NOBODY[i]);
        aws_expect_refused(f, "there are none");
        assert_int_equal(f->requests, 1);
    }
    aws_forget(f);
    aws_will_answer(f, 200, AWS_IMDS_TOKEN);
    aws_will_answer(f, 404, "no role");
    aws_expect_refused(f, "there are none");
    aws_forget(f);
    aws_will_answer(f, 200, AWS_IMDS_TOKEN);
    aws_will_answer(f, 200, "");
    aws_expect_refused(f, "there are none");
}

static void where_an_instance_is_expected_it_is_missed(void **state)
{
    struct aws_fixture *f = *state;
    aws_expect_failed(f, true, KMSE_R_KMS_UNREACHABLE, "instance metadata");
    assert_int_equal(f->requests, 3);
    for (size_t i = 0; i < 3; i++)
        aws_will_fail(f, KMSE_R_KMS_TIMEOUT);
    aws_expect_failed(f, true, KMSE_R_KMS_TIMEOUT, "instance metadata");
    aws_will_answer(f, 404, "");
    aws_expect_failed(f, true, KMSE_R_KMS_CREDENTIALS, "HTTP status 404");
    aws_will_answer(f, 403, "");
    aws_expect_failed(f, true, KMSE_R_KMS_CREDENTIALS, "is off for this");
    aws_will_answer(f, 200, AWS_IMDS_TOKEN);
    aws_will_answer(f, 404, "");
    aws_expect_failed(f, true, KMSE_R_KMS_CREDENTIALS, "no IAM role");
}

static void an_instances_trouble_has_its_reason(void **state)
{
    static const struct {
        struct aws_answer answers[3];
        int reason;
        const char *why;
    } TROUBLE[] = {
        {{{.status = 400, .body = ""}}, KMSE_R_KMS_CREDENTIALS, "status 400"},
        {{{.status = 403, .body = ""}},
         KMSE_R_KMS_CREDENTIALS,
         "AWS_ACCESS_KEY_ID"},
        {{{.status = 500, .body = ""}}, KMSE_R_KMS_UNREACHABLE, "status 500"},
        {{{.status = 429, .body = ""}}, KMSE_R_KMS_THROTTLED, "status 429"},
        {{{.reason = KMSE_R_KMS_URI}}, KMSE_R_KMS_CREDENTIALS, "scripted"},
        {{{.status = 200, .body = ""}}, KMSE_R_KMS_CREDENTIALS, "no token"},
        {{{.status = 200, .body = "a b"}}, KMSE_R_KMS_CREDENTIALS, "no token"},
        {{{.status = 200, .body = "a\r\nb"}},
         KMSE_R_KMS_CREDENTIALS,
         "no token"},
        {{{.status = 200, .body = "t"}, {.reason = KMSE_R_KMS_TIMEOUT}},
         KMSE_R_KMS_TIMEOUT,
         "instance metadata"},
        {{{.status = 200, .body = "t"}, {.status = 401, .body = ""}},
         KMSE_R_KMS_CREDENTIALS,
         "status 401"},
        {{{.status = 200, .body = "t"}, {.status = 200, .body = "a/../b"}},
         KMSE_R_KMS_CREDENTIALS,
         "no name of a role"},
        {{{.status = 200, .body = "t"}, {.status = 200, .body = "a\nb"}},
         KMSE_R_KMS_CREDENTIALS,
         "no name of a role"},
        {{{.status = 200, .body = "t"},
          {.status = 200, .body = "r"},
          {.status = 404, .body = ""}},
         KMSE_R_KMS_CREDENTIALS,
         "status 404"},
        {{{.status = 200, .body = "t"},
          {.status = 200, .body = "r"},
          {.status = 503, .body = ""}},
         KMSE_R_KMS_UNREACHABLE,
         "status 503"},
        {{{.status = 200, .body = "t"},
          {.status = 200, .body = "r"},
          {.status = 200, .body = "{\"Code\": \"AssumeRoleUnauthorized\"}"}},
         KMSE_R_KMS_CREDENTIALS,
         "Code AssumeRoleUnauthorized"},
        {{{.status = 200, .body = "t"},
          {.status = 200, .body = "r"},
          {.status = 200, .body = "x"}},
         KMSE_R_KMS_CREDENTIALS,
         "no JSON object"},
        {{{.status = 200, .body = "t"},
          {.status = 200, .body = "r"},
          {.status = 200,
           .body = "{\"Code\": \"Success\", \"AccessKeyId\": \"A\","
                   " \"SecretAccessKey\": \"s\", \"Token\": \"t\"}"}},
         KMSE_R_KMS_CREDENTIALS,
         "no Expiration"},
    };
    struct aws_fixture *f = *state;
    for (size_t i = 0; i < AWS_COUNT(TROUBLE); i++) {
        aws_forget(f);
        for (size_t j = 0; j < 3; j++)
            if (TROUBLE[i].answers[j].status != 0
                || TROUBLE[i].answers[j].reason != 0)
                aws_will(f, TROUBLE[i].answers[j]);
        size_t answers = f->answers;
        aws_expect_failed(f, false, TROUBLE[i].reason, TROUBLE[i].why);
        assert_int_equal(f->requests, answers);
    }
}

/* Old ones, handed on because there are no new ones, are good for a while. */
static void an_instances_old_credentials_are_stretched(void **state)
{
    struct aws_fixture *f = *state;
    static const char *const OLD[] = {"2025-12-31T12:00:00Z",
                                      "2026-01-01T00:04:59Z"};
    for (size_t i = 0; i < AWS_COUNT(OLD); i++) {
        aws_forget(f);
        aws_will_answer(f, 200, "t");
        aws_will_answer(f, 200, "r");
        aws_will_answer(f, 200, aws_json("I", OLD[i]));
        struct aws_found found = aws_look(f, false);
        expect_ok(found.st);
        assert_true(found.from_instance);
        assert_in_range(found.credentials->expires_s, AWS_NOW_S + 300,
                        AWS_NOW_S + 300 + 256);
        kmse_aws_credentials_release(found.credentials);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, aws_setup, aws_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_container_is_asked_at_the_agents_address),
        TEST(other_addresses_of_containers_are_few),
        TEST(a_containers_token_is_read_anew),
        TEST(a_containers_bad_token_is_not_sent),
        TEST(a_containers_trouble_is_tried_three_times),
        TEST(a_containers_no_and_bad_answers_are_final),
        TEST(times_are_by_the_servers_clock),
        TEST(an_instance_is_asked_in_three_steps),
        TEST(an_instances_endpoint_can_be_set),
        TEST(an_instances_metadata_can_be_disabled),
        TEST(where_no_instance_is_none_is_missed),
        TEST(where_an_instance_is_expected_it_is_missed),
        TEST(an_instances_trouble_has_its_reason),
        TEST(an_instances_old_credentials_are_stretched),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
