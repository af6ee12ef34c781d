/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of AWS: which of option, environment and profile holds. */
#include "kms/aws_settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/aws_profile.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A home folder of its own, which the environment and no option names. */
struct fixture {
    char home[32], aws[48], credentials[64], config[64];
    struct kmse_aws_options options;
    struct kmse_why why;
};

static const char *const VARIABLES[] = {
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    for (size_t i = 0; i < COUNT(VARIABLES); i++)
        unsetenv(VARIABLES[i]);
    snprintf(f->home, sizeof(f->home), "/tmp/kmse-settings-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    snprintf(f->aws, sizeof(f->aws), "%s/.aws", f->home);
    snprintf(f->credentials, sizeof(f->credentials), "%s/credentials", f->aws);
    snprintf(f->config, sizeof(f->config), "%s/config", f->aws);
    assert_int_equal(mkdir(f->aws, 0700), 0);
    setenv("HOME", f->home, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->credentials);
    unlink(f->config);
    rmdir(f->aws);
    int removed = rmdir(f->home);
    free(f);
    return removed;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *text_of(const char *literal)
{
    char *text = strdup(literal);
    assert_non_null(text);
    return text;
}

/* expected NULL: nothing is set. Frees value. */
static void expect_text(char *value, const char *expected)
{
    if (expected == NULL)
        assert_null(value);
    else
        assert_string_equal(value, expected);
    free(value);
}

static void expect_region(struct fixture *f, const char *expected)
{
    char *value = NULL;
    expect_ok(kmse_aws_region(&value, &f->options, &f->why));
    expect_text(value, expected);
}

static void expect_url(struct fixture *f, const char *service,
                       const char *expected)
{
    char *value = NULL;
    expect_ok(kmse_aws_endpoint_url(&value, &f->options, service, &f->why));
    expect_text(value, expected);
}

static void expect_region_fails(struct fixture *f, int reason, const char *why)
{
    char *value = NULL;
    f->why.text[0] = '\0';
    expect_reason(kmse_aws_region(&value, &f->options, &f->why), reason);
    assert_null(value);
    if (strstr(f->why.text, why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", f->why.text, why);
}

/* --- options ------------------------------------------------------------ */

static void copies_options(void **state)
{
    char region[] = "r", profile[] = "p", url[] = "u", shared[] = "s",
         config[] = "c", bundle[] = "b";
    const struct kmse_aws_options from = {.region = region,
                                          .profile = profile,
                                          .endpoint_url = url,
                                          .shared_credentials_file = shared,
                                          .config_file = config,
                                          .ca_bundle = bundle,
                                          .use_fips = -1,
                                          .use_dualstack = 1,
                                          .allow_http = true,
                                          .credential_process = true,
                                          .timeout_ms = 7,
                                          .connect_timeout_ms = 8};
    struct kmse_aws_options copy;
    (void)state;
    expect_ok(kmse_aws_options_copy(&copy, &from));
    assert_string_equal(copy.region, "r");
    assert_ptr_not_equal(copy.region, region);
    assert_string_equal(copy.profile, "p");
    assert_string_equal(copy.endpoint_url, "u");
    assert_string_equal(copy.shared_credentials_file, "s");
    assert_string_equal(copy.config_file, "c");
    assert_string_equal(copy.ca_bundle, "b");
    assert_int_equal(copy.use_fips, -1);
    assert_int_equal(copy.use_dualstack, 1);
    assert_true(copy.allow_http && copy.credential_process);
    assert_int_equal(copy.timeout_ms, 7);
    assert_int_equal(copy.connect_timeout_ms, 8);
    kmse_aws_options_wipe(&copy);
    assert_null(copy.region);
    kmse_aws_options_wipe(&copy);

    const struct kmse_aws_options nothing = {0};
    expect_ok(kmse_aws_options_copy(&copy, &nothing));
    assert_null(copy.profile);
    kmse_aws_options_wipe(&copy);
}

/* --- region, profile, files --------------------------------------------- */

static void region_has_its_order(void **state)
{
    struct fixture *f = *state;
    expect_region(f, NULL);
    write_file(f->config, "[default]\nregion = of-config\n");
    expect_region(f, "of-config");
    write_file(f->credentials, "[default]\nregion = of-credentials\n");
    expect_region(f, "of-credentials");
    setenv("AWS_DEFAULT_REGION", "of-default", 1);
    expect_region(f, "of-default");
    setenv("AWS_REGION", "", 1); /* as if it were not set */
    expect_region(f, "of-default");
    setenv("AWS_REGION", "of-variable", 1);
    expect_region(f, "of-variable");
    f->options.region = text_of("of-option");
    expect_region(f, "of-option");
    kmse_aws_options_wipe(&f->options);
}

static void profile_is_chosen(void **state)
{
    struct fixture *f = *state;
    write_file(f->config, "[default]\nregion = d\n[profile x]\nregion = x\n"
                          "[profile y]\nregion = y\n[profile z]\n");
    expect_region(f, "d");
    setenv("AWS_PROFILE", "x", 1);
    expect_region(f, "x");
    f->options.profile = text_of("y");
    expect_region(f, "y");
    kmse_aws_options_wipe(&f->options);
    setenv("AWS_PROFILE", "z", 1); /* nothing of default's */
    expect_region(f, NULL);
}

static void profile_must_be_there(void **state)
{
    struct fixture *f = *state;
    setenv("AWS_PROFILE", "gone", 1);
    expect_region_fails(f, KMSE_R_KMS_CREDENTIALS, "'gone'");
    assert_non_null(strstr(f->why.text, f->config));
    assert_non_null(strstr(f->why.text, f->credentials));
    write_file(f->credentials, "[gone]\n");
    expect_region(f, NULL);
    f->options.profile = text_of("other");
    expect_region_fails(f, KMSE_R_KMS_CREDENTIALS, "'other'");
    kmse_aws_options_wipe(&f->options);
    setenv("AWS_PROFILE", "default", 1); /* named, so it must be there, too */
    expect_region_fails(f, KMSE_R_KMS_CREDENTIALS, "'default'");
}

static void files_are_found(void **state)
{
    struct fixture *f = *state;
    write_file(f->config, "[default]\nregion = of-home\n");
    write_file(f->credentials, "[default]\nregion = of-other\n");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    expect_region(f, "of-home");
    setenv("AWS_CONFIG_FILE", f->credentials, 1);
    expect_region(f, "of-other");
    setenv("AWS_CONFIG_FILE", "~/.aws/config", 1);
    expect_region(f, "of-home");
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    expect_region(f, NULL);
    f->options.config_file = text_of(f->config);
    expect_region(f, "of-home");
    f->options.shared_credentials_file = text_of(f->credentials);
    expect_region(f, "of-other");
    kmse_aws_options_wipe(&f->options);
    setenv("AWS_CONFIG_FILE", "/nowhere/at/all", 1);
    expect_region(f, NULL);
}

/* The user's entry says where home is; it may be anywhere, or nowhere. */
static void home_may_be_unknown(void **state)
{
    struct fixture *f = *state;
    struct kmse_aws_profiles *profiles = NULL;
    unsetenv("HOME");
    expect_ok(kmse_aws_profiles_read(&profiles, &f->options, &f->why));
    const char *path = kmse_aws_profiles_path(profiles, KMSE_AWS_CONFIG_FILE);
    assert_non_null(strstr(path, "/.aws/config"));
    assert_null(strstr(path, f->home));
    kmse_aws_profiles_free(profiles);
}

static void bad_files_are_errors(void **state)
{
    enum { TOO_LONG = (1 << 20) + 1 };
    struct fixture *f = *state;
    write_file(f->config, "[default]\n\nregion\n");
    expect_region_fails(f, KMSE_R_CONFIG_VALUE, "/.aws/config line 3");
    setenv("AWS_CONFIG_FILE", f->aws, 1);
    expect_region_fails(f, KMSE_R_FILE, "not a regular file");
    unsetenv("AWS_CONFIG_FILE");
    assert_int_equal(truncate(f->config, TOO_LONG), 0);
    expect_region_fails(f, KMSE_R_FILE, "longer than");
    unlink(f->config);
    write_file(f->credentials, "[default");
    expect_region_fails(f, KMSE_R_CONFIG_VALUE, "/.aws/credentials line 1");
}

/* --- the others --------------------------------------------------------- */

static void ca_bundle_has_its_order(void **state)
{
    struct fixture *f = *state;
    char *value = NULL;
    expect_ok(kmse_aws_ca_bundle(&value, &f->options, &f->why));
    assert_null(value);
    write_file(f->config, "[default]\nca_bundle = /a.pem\n");
    expect_ok(kmse_aws_ca_bundle(&value, &f->options, &f->why));
    expect_text(value, "/a.pem");
    setenv("AWS_CA_BUNDLE", "/b.pem", 1);
    expect_ok(kmse_aws_ca_bundle(&value, &f->options, &f->why));
    expect_text(value, "/b.pem");
    f->options.ca_bundle = text_of("/c.pem");
    expect_ok(kmse_aws_ca_bundle(&value, &f->options, &f->why));
    expect_text(value, "/c.pem");
    kmse_aws_options_wipe(&f->options);
}

static kmse_st fips(struct fixture *f, int set, bool *value)
{
    return kmse_aws_flag(value, &f->options, set, "AWS_USE_FIPS_ENDPOINT",
                         "use_fips_endpoint", &f->why);
}

static void expect_fips(struct fixture *f, int set, bool expected)
{
    bool value = !expected;
    expect_ok(fips(f, set, &value));
    assert_int_equal(value, expected);
}

static void flags_have_their_order(void **state)
{
    struct fixture *f = *state;
    expect_fips(f, 0, false);
    expect_fips(f, 1, true);
    write_file(f->config, "[default]\nuse_fips_endpoint = true\n");
    expect_fips(f, 0, true);
    expect_fips(f, -1, false);
    setenv("AWS_USE_FIPS_ENDPOINT", "False", 1);
    expect_fips(f, 0, false);
    expect_fips(f, 1, true);
    setenv("AWS_USE_FIPS_ENDPOINT", "TRUE", 1);
    expect_fips(f, 0, true);
}

static void flags_are_true_or_false(void **state)
{
    static const char *const bad[] = {"yes", "1", "tru", "truee", "on", " "};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        bool value = true;
        setenv("AWS_USE_FIPS_ENDPOINT", bad[i], 1);
        expect_reason(fips(f, 0, &value), KMSE_R_CONFIG_VALUE);
        assert_true(value);
        assert_non_null(strstr(f->why.text, "AWS_USE_FIPS_ENDPOINT"));
    }
}

static void endpoint_has_its_order(void **state)
{
    struct fixture *f = *state;
    expect_url(f, "kms", NULL);
    write_file(f->config, "[default]\nendpoint_url = http://profile\n");
    expect_url(f, "kms", "http://profile");
    write_file(f->config,
               "[default]\nendpoint_url = http://profile\nservices = s\n"
               "[services s]\nkms =\n  endpoint_url = http://service\n");
    expect_url(f, "kms", "http://service");
    expect_url(f, "sts", "http://profile");
    setenv("AWS_ENDPOINT_URL", "http://variable", 1);
    expect_url(f, "kms", "http://variable");
    expect_url(f, "sts", "http://variable");
    setenv("AWS_ENDPOINT_URL_KMS", "https://kms", 1);
    setenv("AWS_ENDPOINT_URL_STS", "https://sts", 1);
    expect_url(f, "kms", "https://kms");
    expect_url(f, "sts", "https://sts");
    f->options.endpoint_url = text_of("https://option");
    expect_url(f, "kms", "https://option");
    expect_url(f, "sts", "https://sts"); /* the option is KMS's */
    kmse_aws_options_wipe(&f->options);
}

static void endpoints_can_be_ignored(void **state)
{
    struct fixture *f = *state;
    write_file(f->config, "[default]\nendpoint_url = http://profile\n");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    setenv("AWS_ENDPOINT_URL", "http://variable", 1);
    setenv("AWS_ENDPOINT_URL_KMS", "http://kms", 1);
    expect_url(f, "kms", NULL);
    f->options.endpoint_url = text_of("https://option");
    expect_url(f, "kms", "https://option");
    kmse_aws_options_wipe(&f->options);
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false", 1);
    expect_url(f, "kms", "http://kms");
    unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    write_file(f->config, "[default]\nendpoint_url = http://profile\n"
                          "ignore_configured_endpoint_urls = true\n");
    expect_url(f, "kms", NULL);
}

static void expect_url_fails(struct fixture *f, const char *why)
{
    char *value = NULL;
    expect_reason(kmse_aws_endpoint_url(&value, &f->options, "kms", &f->why),
                  KMSE_R_CONFIG_VALUE);
    assert_null(value);
    if (strstr(f->why.text, why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", f->why.text, why);
}

static void bad_endpoints_are_errors(void **state)
{
    struct fixture *f = *state;
    write_file(f->config, "[default]\nservices = gone\n");
    expect_url_fails(f, "[services gone]");
    setenv("AWS_ENDPOINT_URL", "localhost:4566", 1);
    expect_url_fails(f, "does not begin with");
    setenv("AWS_ENDPOINT_URL", "ftp://localhost", 1);
    expect_url_fails(f, "does not begin with");
    setenv("AWS_ENDPOINT_URL", "HTTPS://localhost", 1);
    expect_url(f, "kms", "HTTPS://localhost");
    f->options.endpoint_url = text_of("x");
    expect_url_fails(f, "does not begin with");
    kmse_aws_options_wipe(&f->options);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_options),
        TEST(region_has_its_order),
        TEST(profile_is_chosen),
        TEST(profile_must_be_there),
        TEST(files_are_found),
        TEST(home_may_be_unknown),
        TEST(bad_files_are_errors),
        TEST(ca_bundle_has_its_order),
        TEST(flags_have_their_order),
        TEST(flags_are_true_or_false),
        TEST(endpoint_has_its_order),
        TEST(endpoints_can_be_ignored),
        TEST(bad_endpoints_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
