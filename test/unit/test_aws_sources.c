/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of AWS credentials: their order, and what each of them takes. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws_fixture.h"

#define KEYS(id)                                                               \
    "aws_access_key_id = " id "\naws_secret_access_key = " AWS_SECRET "\n"

/* --- the order ---------------------------------------------------------- */

static const char ROLE_PROFILE[] =
    "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/r\n"
    "source_profile = base\ncredential_process = /bin/echo '{\"Version\": 1,"
    " \"AccessKeyId\": \"PROCESS\", \"SecretAccessKey\": \"" AWS_SECRET
    "\"}'\n" KEYS("CONFIG") "[profile base]\n" KEYS("BASE");

static void write_all(struct aws_fixture *f, const char *left_out)
{
    const char *at = strstr(ROLE_PROFILE, left_out);
    char text[1024];
    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s#%s", (int)(at - ROLE_PROFILE),
             ROLE_PROFILE, at);
    aws_write(f->config, text);
}

/* Each in turn has credentials; the one found is taken away. */
static void the_first_of_all_is_taken(void **state)
{
    struct aws_fixture *f = *state;
    f->options.credential_process = true;
    aws_write(f->config, ROLE_PROFILE);
    aws_write(f->credentials, "[default]\n" KEYS("SHARED"));
    aws_write(f->token, "token");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f->token, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/w", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    aws_set_keys("ENVIRONMENT");
    aws_expect_found(f, "ENVIRONMENT", "environment");
    aws_unset_keys();

    aws_will_answer(f, 200, aws_sts("AssumeRole", "ROLE", AWS_IN_1H));
    aws_expect_expiring(f, "ROLE", "assume-role arn:aws:iam::1:role/r",
                        AWS_NOW_S + 3600);
    write_all(f, "role_arn");

    aws_will_answer(f, 200,
                    aws_sts("AssumeRoleWithWebIdentity", "WEB", AWS_IN_1H));
    aws_expect_expiring(f, "WEB", "web identity arn:aws:iam::1:role/w",
                        AWS_NOW_S + 3600);
    unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");

    aws_expect_found(f, "SHARED", f->credentials);
    unlink(f->credentials);
    aws_expect_found(f, "PROCESS", "credential_process of profile default");
    aws_write(f->config, "[default]\n" KEYS("CONFIG"));
    aws_expect_found(f, "CONFIG", f->config);
    unlink(f->config);

    aws_will_answer(f, 200, aws_json("CONTAINER", AWS_IN_1H));
    aws_expect_expiring(f, "CONTAINER", "container", AWS_NOW_S + 3600);
    unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");

    aws_will_answer(f, 200, AWS_IMDS_TOKEN);
    aws_will_answer(f, 200, "r");
    aws_will_answer(f, 200, aws_json("INSTANCE", AWS_IN_1H));
    aws_expect_expiring(f, "INSTANCE", "instance metadata, role r",
                        AWS_NOW_S + 3600);

    aws_expect_refused(f, "AWS_ACCESS_KEY_ID");
    aws_expect_text(f->why.text, f->credentials);
    aws_expect_text(f->why.text, f->config);
    assert_int_equal(f->requests, 7);
}

/* A container whose variables are there does not mean the files. */
static void what_is_configured_and_fails_ends_the_search(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    aws_will_answer(f, 403, "no");
    aws_expect_refused(f, "container endpoint");
    assert_int_equal(f->requests, 1);
}

static void with_keys_in_the_environment_no_file_is_read(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, "no section\n");
    setenv("AWS_PROFILE", "gone", 1);
    aws_set_keys("ENVIRONMENT");
    aws_expect_found(f, "ENVIRONMENT", "environment");
    aws_unset_keys();
    aws_expect_refused(f, f->config);
    aws_write(f->config, "");
    aws_expect_refused(f, "'gone'");
}

/* As it is of a program's configuration, not of whoever started it. */
static void a_profile_by_option_stands_before_the_environment(void **state)
{
    struct aws_fixture *f = *state;
    aws_set_keys("ENVIRONMENT");
    aws_write(f->token, "token");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f->token, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/w", 1);
    aws_write(f->credentials, "[x]\n" KEYS("X") "[y]\n" KEYS("Y"));
    setenv("AWS_PROFILE", "y", 1);
    aws_expect_found(f, "ENVIRONMENT", "environment");
    f->options.profile = aws_text_of("x");
    aws_expect_found(f, "X", "profile x of");
    assert_int_equal(f->requests, 0);
}

static void a_login_of_people_names_the_way_around(void **state)
{
    static const char *const KEYS_OF_LOGINS[] = {
        "sso_session", "sso_start_url", "sso_account_id", "login_session"};
    struct aws_fixture *f = *state;
    for (size_t i = 0; i < AWS_COUNT(KEYS_OF_LOGINS); i++) {
        char text[256];
        snprintf(text, sizeof(text), "[default]\n%s = x\n" KEYS("CONFIG"),
                 KEYS_OF_LOGINS[i]);
        aws_write(f->config, text);
        aws_expect_refused(
            f, "aws configure export-credentials --profile default");
        aws_expect_text(f->why.text, KEYS_OF_LOGINS[i]);
    }
    f->options.credential_process = true;
    aws_write(f->config, "[default]\nsso_session = x\nlogin_session = x\n"
                         "credential_process = /bin/false\n");
    aws_expect_refused(f, "credential_process /bin/false");
}

/* --- keys that stand somewhere ------------------------------------------ */

static void halves_and_bad_values_are_refused(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_ACCESS_KEY_ID", "A", 1);
    aws_expect_refused(f, "AWS_SECRET_ACCESS_KEY is missing");
    setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET "\n", 1);
    aws_expect_refused(f, "AWS_SECRET_ACCESS_KEY has characters");
    setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET, 1);
    setenv("AWS_CREDENTIAL_EXPIRATION", "tomorrow", 1);
    aws_expect_refused(f, "AWS_CREDENTIAL_EXPIRATION is no time");
    setenv("AWS_CREDENTIAL_EXPIRATION", AWS_IN_1H, 1);
    aws_expect_expiring(f, "A", "environment", AWS_NOW_S + 3600);
    aws_unset_keys();
    setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET, 1);
    aws_expect_refused(f, "AWS_ACCESS_KEY_ID is missing");
    aws_unset_keys();

    aws_write(f->credentials, "[default]\naws_access_key_id = A\n");
    aws_expect_refused(f, "aws_secret_access_key is missing");
    aws_write(f->credentials, "[default]\naws_secret_access_key = " AWS_SECRET);
    aws_expect_refused(f, "aws_access_key_id is missing");
    aws_write(f->credentials, "[default]\naws_access_key_id =\n"
                              "aws_secret_access_key = " AWS_SECRET);
    aws_expect_refused(f, "aws_access_key_id is empty");
}

static void expect_token(struct aws_fixture *f, const char *token)
{
    struct aws_found found = aws_look(f, false);
    expect_ok(found.st);
    assert_string_equal(found.credentials->session_token, token);
    kmse_aws_credentials_release(found.credentials);
}

static void session_tokens_are_taken_by_both_names(void **state)
{
    struct aws_fixture *f = *state;
    aws_set_keys("A");
    expect_token(f, "");
    setenv("AWS_SECURITY_TOKEN", "old", 1);
    expect_token(f, "old");
    setenv("AWS_SESSION_TOKEN", "new", 1);
    expect_token(f, "new");
    aws_unset_keys();
    aws_write(f->config, "[default]\n" KEYS("A") "aws_security_token = o\n");
    expect_token(f, "o");
    aws_write(f->config, "[default]\n" KEYS("A") "aws_security_token = o\n"
                                                 "aws_session_token = n\n");
    expect_token(f, "n");
}

static void what_is_too_long_is_refused(void **state)
{
    enum { LONG = KMSE_AWS_TOKEN_MAX + 2 };
    struct aws_fixture *f = *state;
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, 'x', LONG);
    aws_set_keys("A");
    text[KMSE_AWS_TOKEN_MAX] = '\0';
    setenv("AWS_SESSION_TOKEN", text, 1);
    expect_token(f, text);
    text[KMSE_AWS_TOKEN_MAX] = 'x';
    text[KMSE_AWS_TOKEN_MAX + 1] = '\0';
    setenv("AWS_SESSION_TOKEN", text, 1);
    aws_expect_refused(f, "AWS_SESSION_TOKEN is too long");
    free(text);
}

/* --- a program ---------------------------------------------------------- */

static void write_process(struct aws_fixture *f, const char *printed)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "[default]\ncredential_process = /bin/echo '%s'\n", printed);
    aws_write(f->config, text);
}

static void a_program_is_run_with_leave_only(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, ROLE_PROFILE);
    write_all(f, "role_arn");
    aws_expect_refused(f, "aws-credential-process");
    f->options.credential_process = true;
    aws_expect_found(f, "PROCESS", "credential_process");
}

static const struct {
    const char *printed, *why;
} BAD_OUTPUT[] = {
    {"", "\"Version\": 1"},
    {"x", "\"Version\": 1"},
    {"[]", "\"Version\": 1"},
    {"{}", "\"Version\": 1"},
    {"{\"Version\": 2}", "\"Version\": 1"},
    {"{\"Version\": \"1\"}", "\"Version\": 1"},
    {"{\"Version\": 1}", "no AccessKeyId"},
    {"{\"Version\": 1, \"AccessKeyId\": \"A\"}", "SecretAccessKey is missing"},
    {"{\"Version\": 1, \"AccessKeyId\": 1}", "AccessKeyId is no text"},
    {"{\"Version\": 1, \"AccessKeyId\": \"A\", \"AccessKeyId\": \"B\","
     " \"SecretAccessKey\": \"" AWS_SECRET "\"}",
     "AccessKeyId is there twice"},
    {"{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": "
     "\"" AWS_SECRET "\", \"Expiration\": \"soon\"}",
     "Expiration is no time"},
    {"{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": "
     "\"" AWS_SECRET "\"} x",
     "\"Version\": 1"},
    {"{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"a b\"}",
     "SecretAccessKey has characters"},
};

static void what_a_program_prints_is_read_strictly(void **state)
{
    struct aws_fixture *f = *state;
    f->options.credential_process = true;
    for (size_t i = 0; i < AWS_COUNT(BAD_OUTPUT); i++) {
        write_process(f, BAD_OUTPUT[i].printed);
        aws_expect_refused(f, BAD_OUTPUT[i].why);
    }
    write_process(f, "{\"Version\": 1, \"AccessKeyId\": \"A\","
                     " \"SecretAccessKey\": \"" AWS_SECRET "\","
                     " \"SessionToken\": null, \"Expiration\": \"" AWS_IN_1H
                     "\"}");
    aws_expect_expiring(f, "A", "credential_process", AWS_NOW_S + 3600);
    aws_write(f->config, "[default]\ncredential_process = /bin/echo 'x\n");
    aws_expect_refused(f, "open quote");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, aws_setup, aws_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_of_all_is_taken),
        TEST(what_is_configured_and_fails_ends_the_search),
        TEST(with_keys_in_the_environment_no_file_is_read),
        TEST(a_profile_by_option_stands_before_the_environment),
        TEST(a_login_of_people_names_the_way_around),
        TEST(halves_and_bad_values_are_refused),
        TEST(session_tokens_are_taken_by_both_names),
        TEST(what_is_too_long_is_refused),
        TEST(a_program_is_run_with_leave_only),
        TEST(what_a_program_prints_is_read_strictly),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
