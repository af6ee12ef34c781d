/* SPDX-License-Identifier: Apache-2.0 */
/* AWS credentials of roles: whose credentials assume them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws_fixture.h"

#define KEYS(id)                                                               \
    "aws_access_key_id = " id "\naws_secret_access_key = " AWS_SECRET "\n"
#define ROLE(name) "role_arn = arn:aws:iam::123456789012:role/" name "\n"
#define BASE       "[profile base]\n" KEYS("BASE")
#define ROLE_OF_BASE                                                           \
    "[default]\nregion = eu-west-1\n" ROLE("r") "source_profile = base\n"

static void will_assume(struct aws_fixture *f, const char *id)
{
    aws_will_answer(f, 200, aws_sts("AssumeRole", id, AWS_IN_1H));
}

static void expect_role(struct aws_fixture *f, const char *id)
{
    aws_expect_expiring(f, id, "assume-role arn:aws:iam::123456789012:role/",
                        AWS_NOW_S + 3600);
}

/* --- whose credentials -------------------------------------------------- */

static void expect_caller(struct aws_fixture *f, size_t request, const char *id)
{
    char credential[64];
    char *authorization = aws_header(&f->asked[request], "authorization");
    assert_non_null(authorization);
    snprintf(credential, sizeof(credential), "Credential=%s/", id);
    aws_expect_text(authorization, credential);
    free(authorization);
}

static void roles_go_through_roles(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config,
              "[default]\nregion = eu-west-1\n" ROLE(
                  "last") "source_profile = "
                          "b\n[profile "
                          "b]\n" ROLE("middl"
                                      "e") "source_profile = c\n[profile "
                                           "c]\n" ROLE("first") "sour"
                                                                "ce_"
                                                                "prof"
                                                                "ile "
                                                                "= "
                                                                "base"
                                                                "\n" BASE);
    will_assume(f, "FIRST");
    will_assume(f, "MIDDLE");
    will_assume(f, "LAST");
    expect_role(f, "LAST");
    expect_caller(f, 0, "BASE");
    aws_expect_text(f->asked[0].body, "role%2Ffirst");
    expect_caller(f, 1, "FIRST");
    aws_expect_text(f->asked[1].body, "role%2Fmiddle");
    aws_expect_header(&f->asked[1], "x-amz-security-token", AWS_TOKEN);
    expect_caller(f, 2, "MIDDLE");
    aws_expect_text(f->asked[2].body, "role%2Flast");
    assert_int_equal(f->requests, 3);
}

static void a_source_profiles_keys_come_before_its_role(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(
        f->config,
        "[default]\nregion = eu-west-1\n" ROLE(
            "r") "source_profile = b\n[profile b]\n" ROLE("unused") "source_"
                                                                    "profile = "
                                                                    "gone"
                                                                    "\n" KEYS(
                                                                        "B"));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 0, "B");
    aws_forget(f); /* keys of either file */
    aws_write(f->credentials, "[b]\n" KEYS("SHARED"));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 0, "SHARED");
}

static void a_profile_may_name_itself_for_its_keys(void **state)
{
    struct aws_fixture *f = *state;
    aws_write(f->config, "[default]\nregion = eu-west-1\n" ROLE(
                             "r") "source_profile = default\n" KEYS("OWN"));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 0, "OWN");
}

static void a_source_profile_may_have_a_program_or_a_token(void **state)
{
    struct aws_fixture *f = *state;
    f->options.credential_process = true;
    aws_write(f->config, ROLE_OF_BASE
              "[profile base]\ncredential_process = /bin/echo '{\"Version\": 1,"
              " \"AccessKeyId\": \"P\", \"SecretAccessKey\": \"" AWS_SECRET
              "\"}'\n");
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 0, "P");
    aws_forget(f);
    char text[512];
    snprintf(text, sizeof(text), "%s[profile base]\n%s%s%s\n", ROLE_OF_BASE,
             ROLE("web"), "web_identity_token_file = ", f->token);
    aws_write(f->config, text);
    aws_write(f->token, "jwt");
    setenv("AWS_ROLE_ARN", "of-the-environment", 1); /* not of this profile */
    aws_will_answer(f, 200,
                    aws_sts("AssumeRoleWithWebIdentity", "WEB", AWS_IN_1H));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    aws_expect_text(f->asked[0].body, "role%2Fweb");
    expect_caller(f, 1, "WEB");
}

static void write_source(struct aws_fixture *f, const char *source)
{
    char text[512];
    snprintf(text, sizeof(text),
             "[default]\nregion = eu-west-1\n" ROLE("r") "credential_source ="
                                                         " %s\n",
             source);
    aws_write(f->config, text);
    aws_forget(f);
}

static void sources_can_be_named(void **state)
{
    struct aws_fixture *f = *state;
    f->options.profile = aws_text_of("default"); /* passes 1 by, but not this */
    aws_set_keys("ENVIRONMENT");
    write_source(f, "Environment");
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 0, "ENVIRONMENT");

    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c", 1);
    write_source(f, "EcsContainer");
    aws_will_answer(f, 200, aws_json("CONTAINER", AWS_IN_1H));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 1, "CONTAINER");

    write_source(f, "Ec2InstanceMetadata");
    aws_will_answer(f, 200, "t");
    aws_will_answer(f, 200, "r");
    aws_will_answer(f, 200, aws_json("INSTANCE", AWS_IN_1H));
    will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    expect_caller(f, 3, "INSTANCE");
}

static void a_source_that_is_named_is_expected(void **state)
{
    struct aws_fixture *f = *state;
    write_source(f, "Ec2InstanceMetadata");
    aws_expect_failed(f, false, KMSE_R_KMS_UNREACHABLE, "instance metadata");
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    aws_expect_refused(f, "Ec2InstanceMetadata has no credentials");
    write_source(f, "EcsContainer");
    aws_expect_refused(f, "EcsContainer has no credentials");
    write_source(f, "Environment");
    aws_expect_refused(f, "Environment has no credentials");
    write_source(f, "environment");
    aws_expect_refused(f, "must be Environment, Ec2InstanceMetadata or");
    write_source(f, "");
    aws_expect_refused(f, "needs source_profile or credential_source");
}

static const struct {
    const char *config, *why;
} MISCONFIGURED[] = {
    {"[default]\n" ROLE("r"), "needs source_profile or credential_source"},
    {"[default]\n" ROLE("r") "source_profile = a\n"
                             "credential_source = Environment\n",
     "both source_profile and credential_source"},
    {"[default]\n" ROLE("r") "source_profile = gone\n", "gone is not there"},
    {"[default]\nrole_arn =\nsource_profile = a\n", "role_arn is empty"},
    {"[default]\n" ROLE("r") "source_profile = default\n", "comes back"},
    {"[default]\n" ROLE("r") "source_profile = a\n[profile a]\n" ROLE(
         "r") "source_profile = default\n",
     "comes back"},
    {"[default]\n" ROLE("r") "source_profile = a\n[profile a]\n" ROLE(
         "r") "source_profile = b\n[profile b]\n" ROLE("r") "source_profile = "
                                                            "a\n",
     "profile b: by source_profile a it comes back"},
    {"[default]\n" ROLE("r") "source_profile = a\n[profile a]\n" ROLE(
         "r") "source_profile = a\n",
     "comes back"},
    {"[default]\n" ROLE("r") "source_profile = a\n[profile a]\nregion = r\n",
     "profile a: as a source_profile"},
    {"[default]\n" ROLE("r") "source_profile = a\n[profile a]\n"
                             "sso_session = s\n",
     "profile a: IAM Identity Center"},
    {"[default]\n" ROLE("r") "source_profile = a\n"
                             "mfa_serial = arn:aws:iam::1:mfa/m\n",
     "mfa_serial"},
    {"[default]\n" ROLE("r") "source_profile = base\n"
                             "duration_seconds = 1h\n" BASE,
     "duration_seconds"},
    {"[default]\n" ROLE("r") "source_profile = base\n"
                             "duration_seconds = 100000\n" BASE,
     "duration_seconds"},
};

static void what_cannot_be_assumed_is_told_at_once(void **state)
{
    struct aws_fixture *f = *state;
    setenv("AWS_REGION", "eu-west-1", 1);
    for (size_t i = 0; i < AWS_COUNT(MISCONFIGURED); i++) {
        aws_write(f->config, MISCONFIGURED[i].config);
        aws_expect_refused(f, MISCONFIGURED[i].why);
        if (f->requests != 0)
            fail_msg("row %zu: somebody was asked", i);
    }
}

static void write_chain(struct aws_fixture *f, unsigned roles)
{
    char text[4096] =
        "[default]\nregion = eu-west-1\n" ROLE("r") "source_profile = p1\n";
    for (unsigned i = 1; i < roles; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len,
                 "[profile p%u]\n" ROLE("r") "source_profile = p%u\n", i,
                 i + 1);
    }
    size_t len = strlen(text);
    snprintf(text + len, sizeof(text) - len, "[profile p%u]\n" KEYS("BASE"),
             roles);
    aws_write(f->config, text);
}

static void chains_of_profiles_have_an_end(void **state)
{
    struct aws_fixture *f = *state;
    write_chain(f, 8);
    aws_expect_refused(f, "too many profiles");
    assert_int_equal(f->requests, 0);
    write_chain(f, 7);
    for (unsigned i = 0; i < 7; i++)
        will_assume(f, "ROLE");
    expect_role(f, "ROLE");
    assert_int_equal(f->requests, 7);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, aws_setup, aws_teardown)
    const struct CMUnitTest tests[] = {
        TEST(roles_go_through_roles),
        TEST(a_source_profiles_keys_come_before_its_role),
        TEST(a_profile_may_name_itself_for_its_keys),
        TEST(a_source_profile_may_have_a_program_or_a_token),
        TEST(sources_can_be_named),
        TEST(a_source_that_is_named_is_expected),
        TEST(what_cannot_be_assumed_is_told_at_once),
        TEST(chains_of_profiles_have_an_end),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
