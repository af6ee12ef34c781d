/* SPDX-License-Identifier: Apache-2.0 */
/* AWS credentials of roles: what STS is asked, and what it answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws_fixture.h"

#define KEYS(id)                                                               \
    "aws_access_key_id = " id "\naws_secret_access_key = " AWS_SECRET "\n"
#define ROLE(name) "role_arn = arn:aws:iam::123456789012:role/" name "\n"
#define SESSION    "role_session_name = me@example.org\n"
#define BASE       "[profile base]\n" KEYS("BASE")
#define ROLE_OF_BASE                                                           \
    "[default]\nregion = eu-west-1\n" ROLE("r") "source_profile = base\n"
#define URL "https://sts.eu-west-1.amazonaws.com/"

static void will_assume(struct aws_fixture *f, const char *id)
{
    aws_will_answer(f, 200, aws_sts("AssumeRole", id, AWS_IN_1H));
}

static void expect_role(struct aws_fixture *f, const char *id)
{
    aws_expect_expiring(f, id, "assume-role arn:aws:iam::123456789012:role/",
                        AWS_NOW_S + 3600);
}

static const char *error_of(const char *code, const char *message)
{
    static char text[1024];
    snprintf(text, sizeof(text),
             "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/"
             "2011-06-15/\"><Error><Type>Sender</Type><Code>%s</Code>"
             "<Message>%s</Message></Error><RequestId>r</RequestId>"
             "</ErrorResponse>",
             code, message);
    return text;
}

/* --- the request -------------------------------------------------------- */

/* The signatures are botocore 1.43's. */
static void a_role_is_asked_for_as_sts_wants_it(void **state)
{
    struct aws_fixture *f = *state;
    const struct aws_asked *asked = &f->asked[0];
    aws_write(f->config, ROLE_OF_BASE SESSION "external_id = a b/c\n"
                                              "duration_seconds = 1800\n" BASE);
    f->options.proxy = aws_text_of("http://proxy:3128");
    f->options.no_proxy = aws_text_of("none");
    f->options.ca_bundle = aws_text_of("/ca");
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_int_equal(f->requests, 1);
    assert_string_equal(asked->method, "POST");
    assert_string_equal(asked->url, URL);
    assert_string_equal(
        asked->body,
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
        "123456789012%3Arole%2Fr&RoleSessionName=me%40example.org&ExternalId="
        "a%20b%2Fc&DurationSeconds=1800");
    aws_expect_header(
        asked, "authorization",
        "AWS4-HMAC-SHA256 Credential=BASE/20260101/eu-west-1/sts/aws4_request,"
        " SignedHeaders=content-type;host;x-amz-date, Signature="
        "c1d52d9fb0e6f0066f52ad64571c1002765d4a8752f57dbe804636311c1228e0");
    aws_expect_header(asked, "content-type",
                      "application/x-www-form-urlencoded; charset=utf-8");
    aws_expect_header(asked, "host", "sts.eu-west-1.amazonaws.com");
    aws_expect_header(asked, "x-amz-date", "20260101T000000Z");
    aws_expect_header(asked, "x-amz-security-token", NULL);
    assert_string_equal(asked->proxy, "http://proxy:3128");
    assert_string_equal(asked->no_proxy, "none");
    assert_string_equal(asked->ca_bundle, "/ca");
    assert_false(asked->allow_http);
    assert_int_equal(asked->connect_timeout_ms, 1000);
    assert_int_equal(asked->timeout_ms, 5000);
}

static void a_session_token_is_signed_too(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config,
              ROLE_OF_BASE SESSION "external_id = a b/c\n"
                                   "duration_seconds = 1800\n" BASE
                                   "aws_session_token = " AWS_TOKEN "\n");
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    aws_expect_header(&f->asked[0], "x-amz-security-token", AWS_TOKEN);
    aws_expect_header(
        &f->asked[0], "authorization",
        "AWS4-HMAC-SHA256 Credential=BASE/20260101/eu-west-1/sts/aws4_request,"
        " SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"
        " Signature="
        "d932d007d16987b8a3c7ff9e3e8ce38811d88ed549d7741213d983bd38ac177d");
}

static void what_is_not_set_is_not_sent(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_string_equal(
        f->asked[0].body,
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
        "123456789012%3Arole%2Fr&RoleSessionName=kms-envelope-1767225600");
}

static void expect_url(struct aws_fixture *f, const char *url)
{
    aws_forget(f);
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_string_equal(f->asked[0].url, url);
}

static void sts_is_asked_where_it_is_set(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    expect_url(f, URL);
    setenv("AWS_REGION", "cn-north-1", 1);
    expect_url(f, "https://sts.cn-north-1.amazonaws.com.cn/");
    setenv("AWS_REGION", "us-west-2", 1);
    setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
    expect_url(f, "https://sts-fips.us-west-2.amazonaws.com/");
    setenv("AWS_ENDPOINT_URL", "http://localhost:1/", 1);
    expect_url(f, "http://localhost:1/");
    setenv("AWS_ENDPOINT_URL_STS", "http://localhost:2", 1);
    expect_url(f, "http://localhost:2");
    aws_expect_header(&f->asked[0], "host", "localhost:2");
    setenv("AWS_ENDPOINT_URL_STS", "http://localhost:2/path", 1);
    aws_expect_refused(f, "a path is not possible");
    f->options.endpoint_url = aws_text_of("https://kms"); /* not STS's */
    unsetenv("AWS_ENDPOINT_URL_STS");
    expect_url(f, "http://localhost:1/");
}

static void without_a_region_nobody_is_asked(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config,
              "[default]\n" ROLE("r") "source_profile = base\n" BASE);
    aws_expect_refused(f, "set aws-region or AWS_REGION");
    setenv("AWS_ENDPOINT_URL_STS", "http://localhost:2", 1); /* to sign for */
    aws_expect_refused(f, "set aws-region or AWS_REGION");
    assert_int_equal(f->requests, 0);
}

/* --- what STS answers --------------------------------------------------- */

static const struct {
    int status;
    const char *code, *message;
    int reason;
    size_t requests;
    const char *why;
} ERRORS[] = {
    {403, "AccessDenied", "User: u is not authorized", KMSE_R_KMS_CREDENTIALS,
     1, "STS says AccessDenied: User: u is not authorized"},
    {403, "AccessDenied", "", KMSE_R_KMS_CREDENTIALS, 1, "AccessDenied"},
    {403, "SignatureDoesNotMatch", "x-amz-security-token:" AWS_TOKEN,
     KMSE_R_KMS_CREDENTIALS, 1, "STS says SignatureDoesNotMatch"},
    {400, "ValidationError", AWS_TOKEN " at 'webIdentityToken' is bad",
     KMSE_R_KMS_CREDENTIALS, 1, "STS says ValidationError"},
    {403, "InvalidClientTokenId", "m", KMSE_R_KMS_CREDENTIALS, 1, "STS says"},
    {400, "IDPRejectedClaim", "m&lt;&#10;", KMSE_R_KMS_CREDENTIALS, 1,
     "STS says IDPRejectedClaim: m<?"},
    {400, "Throttling", "m", KMSE_R_KMS_THROTTLED, 3, "STS says Throttling"},
    {429, "Other", "m", KMSE_R_KMS_THROTTLED, 3, "STS says Other"},
    {400, "IDPCommunicationError", "m", KMSE_R_KMS_UNREACHABLE, 3,
     "STS says IDPCommunicationError: m"},
    {500, "InternalFailure", "m", KMSE_R_KMS_UNREACHABLE, 3, "STS says"},
    {503, "ServiceUnavailable", "m", KMSE_R_KMS_UNREACHABLE, 3, "STS says"},
    {503, "AccessDenied", "m", KMSE_R_KMS_UNREACHABLE, 3, "STS says"},
};

static void errors_of_sts_have_their_reasons(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    for (size_t i = 0; i < AWS_COUNT(ERRORS); i++) {
        aws_forget(f);
        for (size_t j = 0; j < ERRORS[i].requests; j++)
            aws_will_answer(f, ERRORS[i].status,
                            error_of(ERRORS[i].code, ERRORS[i].message));
        aws_expect_failed(f, false, ERRORS[i].reason, ERRORS[i].why);
        aws_expect_text(f->why.text, "via profile base of");
        if (f->requests != ERRORS[i].requests)
            fail_msg("row %zu: %zu requests", i, f->requests);
    }
}

static void what_is_no_error_of_sts_has_its_status(void **state)
{
    static const struct {
        struct aws_answer answer;
        int reason;
        size_t requests;
        const char *why;
    } ANSWERS[] = {
        {{.status = 502, .body = "<html>"}, KMSE_R_KMS_UNREACHABLE, 3, "502"},
        {{.status = 429, .body = ""}, KMSE_R_KMS_THROTTLED, 3, "429"},
        {{.status = 403, .body = ""}, KMSE_R_KMS_CREDENTIALS, 1, "403"},
        {{.status = 301, .body = "x"}, KMSE_R_KMS_CREDENTIALS, 1, "301"},
        {{.reason = KMSE_R_KMS_UNREACHABLE}, KMSE_R_KMS_UNREACHABLE, 3, "s"},
        {{.reason = KMSE_R_KMS_TIMEOUT}, KMSE_R_KMS_TIMEOUT, 3, "scripted"},
        {{.reason = KMSE_R_KMS_ANSWER}, KMSE_R_KMS_CREDENTIALS, 3, "scripted"},
        {{.reason = KMSE_R_KMS_URI}, KMSE_R_KMS_CREDENTIALS, 1, "scripted"},
        {{.reason = KMSE_R_INTERRUPTED}, KMSE_R_INTERRUPTED, 1, "scripted"},
    };
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    for (size_t i = 0; i < AWS_COUNT(ANSWERS); i++) {
        aws_forget(f);
        for (size_t j = 0; j < ANSWERS[i].requests; j++)
            aws_will(f, ANSWERS[i].answer);
        aws_expect_failed(f, false, ANSWERS[i].reason, ANSWERS[i].why);
        assert_int_equal(f->requests, ANSWERS[i].requests);
    }
}

#define CREDENTIALS(text)                                                      \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials>" text                 \
    "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define ID     "<AccessKeyId>A</AccessKeyId>"
#define SECRET "<SecretAccessKey>" AWS_SECRET "</SecretAccessKey>"
#define TOKEN  "<SessionToken>" AWS_TOKEN "</SessionToken>"
#define UNTIL  "<Expiration>" AWS_IN_1H "</Expiration>"

static const char *const BAD[] = {
    "",
    "{}",
    "<AssumeRoleResponse/>",
    CREDENTIALS(SECRET TOKEN UNTIL),
    CREDENTIALS(ID TOKEN UNTIL),
    CREDENTIALS(ID SECRET UNTIL),
    CREDENTIALS(ID SECRET TOKEN),
    CREDENTIALS(ID SECRET TOKEN UNTIL UNTIL),
    CREDENTIALS("<AccessKeyId/>" SECRET TOKEN UNTIL),
    CREDENTIALS(ID SECRET "<SessionToken/>" UNTIL),
    CREDENTIALS(ID SECRET TOKEN "<Expiration/>"),
    CREDENTIALS(ID SECRET TOKEN "<Expiration>soon</Expiration>"),
    CREDENTIALS(ID SECRET "<SessionToken>a b</SessionToken>" UNTIL),
    "<!DOCTYPE x>" CREDENTIALS(ID SECRET TOKEN UNTIL),
};

static void bad_answers_are_refused(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    aws_will_answer(f, 200, CREDENTIALS(ID SECRET TOKEN UNTIL));
    expect_role(f, "A");
    for (size_t i = 0; i < AWS_COUNT(BAD); i++) {
        aws_forget(f);
        aws_will_answer(f, 200, BAD[i]);
        aws_expect_refused(f, "assume-role");
        assert_int_equal(f->requests, 1);
    }
    aws_forget(f); /* of another call */
    aws_will_answer(f, 200,
                    aws_sts("AssumeRoleWithWebIdentity", "A", AWS_IN_1H));
    aws_expect_refused(f, "STS gave a bad answer");
}

static void trouble_of_sts_passes(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    aws_will_answer(f, 400, error_of("IDPCommunicationError", "m"));
    aws_will_fail(f, KMSE_R_KMS_UNREACHABLE);
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_int_equal(f->requests, 3);
    assert_int_equal(f->waits, 2);
}

/* Each retry may take what is left. */
static void a_deadline_is_kept(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_OF_BASE BASE);
    aws_will_fail(f, KMSE_R_KMS_TIMEOUT);
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_in_range(f->asked[1].timeout_ms, 5000 - 50, 5000);
    assert_int_equal(5000 - f->asked[1].timeout_ms,
                     atomic_load(&f->elapsed_ms));
}

/* An hour behind, and once. */
static void a_clock_that_is_off_is_made_up_for(void **state)
{
    struct aws_fixture *f = *state;
    const struct aws_answer skewed = {
        .status = 403,
        .body = error_of("SignatureDoesNotMatch",
                         "Signature expired: 20260101T000000Z is now earlier"),
        .date = "Thu, 01 Jan 2026 01:00:00 GMT"};
    aws_write(f->config, ROLE_OF_BASE BASE);
    aws_will(f, skewed);
    aws_will(
        f, (struct aws_answer){.status = 200,
                               .body = aws_sts("AssumeRole", "ROLE", AWS_IN_2H),
                               .date = "Thu, 01 Jan 2026 01:00:00 GMT"});
    expect_role(f, "ROLE");
    aws_expect_header(&f->asked[0], "x-amz-date", "20260101T000000Z");
    aws_expect_header(&f->asked[1], "x-amz-date", "20260101T010000Z");
    aws_forget(f);
    aws_will(f, skewed);
    aws_will(f, skewed);
    aws_expect_refused(f, "SignatureDoesNotMatch");
    assert_int_equal(f->requests, 2);
}

/* --- web identity ------------------------------------------------------- */

static void set_identity(struct aws_fixture *f)
{
    setenv("AWS_REGION", "eu-west-1", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f->token, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/w", 1);
    aws_write(f->token, AWS_JWT "\n");
}

static void expect_identity(struct aws_fixture *f, const char *body)
{
    aws_forget(f);
    aws_will_answer(f, 200,
                    aws_sts("AssumeRoleWithWebIdentity", "WEB", AWS_IN_1H));
    aws_expect_expiring(f, "WEB", "web identity arn:aws:iam::1:role/w",
                        AWS_NOW_S + 3600);
    assert_string_equal(f->asked[0].body, body);
}

static void a_token_is_sent_unsigned_and_read_anew(void **state)
{
    struct aws_fixture *f = *state;
    set_identity(f);
    expect_identity(
        f, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn="
           "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fw&RoleSessionName="
           "kms-envelope-1767225600&WebIdentityToken=" AWS_JWT);
    assert_string_equal(f->asked[0].url, URL);
    aws_expect_header(&f->asked[0], "content-type",
                      "application/x-www-form-urlencoded; charset=utf-8");
    aws_expect_header(&f->asked[0], "authorization", NULL);
    aws_expect_header(&f->asked[0], "x-amz-date", NULL);
    aws_write(f->token, "second");
    setenv("AWS_ROLE_SESSION_NAME", "me", 1);
    expect_identity(f, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                       "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fw"
                       "&RoleSessionName=me&WebIdentityToken=second");
}

static void a_token_can_be_of_the_profile(void **state)
{
    struct aws_fixture *f = *state;
    char text[512];
    snprintf(text, sizeof(text),
             "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/w\n"
             "role_session_name = of-profile\nweb_identity_token_file = %s\n",
             f->token);
    aws_write(f->config, text);
    aws_write(f->token, "jwt");
    expect_identity(f, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                       "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fw"
                       "&RoleSessionName=of-profile&WebIdentityToken=jwt");
}

static void without_a_token_or_a_role_nobody_is_asked(void **state)
{
    static const char *const TOKENS[] = {"", "\n", "a b", "a\nb", "\xc3\xa9"};
    struct aws_fixture *f = *state;
    set_identity(f);
    for (size_t i = 0; i < AWS_COUNT(TOKENS); i++) {
        aws_write(f->token, TOKENS[i]);
        aws_expect_refused(f, "has no token in it");
    }
    unlink(f->token);
    aws_expect_refused(f, f->token);
    unsetenv("AWS_ROLE_ARN");
    aws_expect_refused(f, "AWS_ROLE_ARN");
    assert_int_equal(f->requests, 0);
}

static void errors_do_not_show_the_token(void **state)
{
    struct aws_fixture *f = *state;
    set_identity(f);
    aws_write(f->token, AWS_JWT);
    aws_will_answer(f, 400, error_of("ValidationError", AWS_JWT " is no good"));
    aws_expect_refused(f, "ValidationError");
    aws_expect_no_text(f->why.text, "claims");
    aws_will_answer(f, 400, error_of("ExpiredTokenException", "Token expired"));
    aws_expect_refused(f, "ExpiredTokenException: Token expired");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, aws_setup, aws_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_role_is_asked_for_as_sts_wants_it),
        TEST(a_session_token_is_signed_too),
        TEST(what_is_not_set_is_not_sent),
        TEST(sts_is_asked_where_it_is_set),
        TEST(without_a_region_nobody_is_asked),
        TEST(errors_of_sts_have_their_reasons),
        TEST(what_is_no_error_of_sts_has_its_status),
        TEST(bad_answers_are_refused),
        TEST(trouble_of_sts_passes),
        TEST(a_deadline_is_kept),
        TEST(a_clock_that_is_off_is_made_up_for),
        TEST(a_token_is_sent_unsigned_and_read_anew),
        TEST(a_token_can_be_of_the_profile),
        TEST(without_a_token_or_a_role_nobody_is_asked),
        TEST(errors_do_not_show_the_token),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
