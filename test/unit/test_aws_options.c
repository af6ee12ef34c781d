/* SPDX-License-Identifier: Apache-2.0 */
/* openssl.cnf's keys of the AWS backend: what each takes, and what not. */
#include "kms/aws_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/setting.h"
#include "kms_envelope/params.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { LONG_LEN = 600 };

struct fixture {
    char folder[32], file[48];
    struct kmse_aws_options options;
    struct kmse_why why;
};

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    snprintf(f->folder, sizeof(f->folder), "/tmp/kmse-options-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->file, sizeof(f->file), "%s/file", f->folder);
    write_file(f->file);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kmse_aws_options_wipe(&f->options);
    unlink(f->file);
    int removed = rmdir(f->folder);
    free(f);
    return removed;
}

static void set(struct fixture *f, const char *key, const char *value)
{
    kmse_st st = kmse_aws_options_set(&f->options, key, value, &f->why);
    if (!kmse_is_ok(st))
        fail_msg("%s", f->why.text);
}

/* In why: key and value, and what the value must be. */
static void refuse(struct fixture *f, const char *key, const char *value,
                   const char *wanted)
{
    char start[LONG_LEN];
    snprintf(start, sizeof(start), "%s = %s: ", key, value);
    f->why.text[0] = '\0';
    kmse_st st = kmse_aws_options_set(&f->options, key, value, &f->why);
    if (st.reason != KMSE_R_CONFIG_VALUE)
        fail_msg("%s = %s: %s", key, value, kmse_reason_text(st.reason));
    if (strncmp(f->why.text, start, strlen(start)) != 0
        || strstr(f->why.text, wanted) == NULL)
        fail_msg("\"%s\" has not \"%s...%s\"", f->why.text, start, wanted);
}

/* --- the table ---------------------------------------------------------- */

static void keys_are_known_and_each_is_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < KMSE_AWS_OPTION_COUNT; i++) {
        const char *key = kmse_aws_options_key(i);
        assert_true(kmse_setting_is_known(key));
        assert_true(strncmp(key, "aws-", 4) == 0
                    || strncmp(key, "kms-", 4) == 0);
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(key, kmse_aws_options_key(other));
    }
}

static void another_key_is_no_setting(void **state)
{
    static const char *const keys[] = {
        "aws-secret-access-key", "aws-access-key-id",
        "aws-session-token",     "aws-regio",
        "aws-regions",           "AWS-REGION",
        KMSE_CONF_MAX_AGE,       "",
    };
    struct fixture *f = *state;
    const struct kmse_aws_options nothing = {0};
    for (size_t i = 0; i < COUNT(keys); i++) {
        expect_reason(
            kmse_aws_options_set(&f->options, keys[i], "s3cret", &f->why),
            KMSE_R_CONFIG_KEY);
        assert_string_equal(f->why.text, keys[i]);
    }
    assert_memory_equal(&f->options, &nothing, sizeof(nothing));
}

static void each_key_sets_its_field(void **state)
{
    struct fixture *f = *state;
    const struct kmse_aws_options *o = &f->options;
    set(f, KMSE_CONF_KMS_TIMEOUT, "7");
    set(f, KMSE_CONF_KMS_CONNECT_TIMEOUT, "300ms");
    set(f, KMSE_CONF_AWS_REGION, "eu-west-1");
    set(f, KMSE_CONF_AWS_PROFILE, "my profile");
    set(f, KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE, "/dev/null");
    set(f, KMSE_CONF_AWS_CONFIG_FILE, f->file);
    set(f, KMSE_CONF_AWS_CREDENTIAL_PROCESS, "yes");
    set(f, KMSE_CONF_AWS_ENDPOINT_URL, "https://kms.internal:8443");
    set(f, KMSE_CONF_AWS_USE_FIPS_ENDPOINT, "yes");
    set(f, KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT, "no");
    set(f, KMSE_CONF_AWS_CA_BUNDLE, "/dev/null");
    set(f, KMSE_CONF_AWS_PROXY, "http://proxy:3128");
    set(f, KMSE_CONF_AWS_NO_PROXY, "localhost,.internal");
    set(f, KMSE_CONF_AWS_ALLOW_HTTP, "yes");
    assert_int_equal(o->timeout_ms, 7000);
    assert_int_equal(o->connect_timeout_ms, 300);
    assert_string_equal(o->region, "eu-west-1");
    assert_string_equal(o->profile, "my profile");
    assert_string_equal(o->shared_credentials_file, "/dev/null");
    assert_string_equal(o->config_file, f->file);
    assert_true(o->credential_process);
    assert_string_equal(o->endpoint_url, "https://kms.internal:8443");
    assert_int_equal(o->use_fips, 1);
    assert_int_equal(o->use_dualstack, -1);
    assert_string_equal(o->ca_bundle, "/dev/null");
    assert_string_equal(o->proxy, "http://proxy:3128");
    assert_string_equal(o->no_proxy, "localhost,.internal");
    assert_true(o->allow_http);
}

static void a_later_value_replaces_an_earlier_one(void **state)
{
    struct fixture *f = *state;
    set(f, KMSE_CONF_AWS_REGION, "eu-west-1");
    set(f, KMSE_CONF_AWS_REGION, "eu-west-2");
    assert_string_equal(f->options.region, "eu-west-2");
    set(f, KMSE_CONF_AWS_ALLOW_HTTP, "yes");
    set(f, KMSE_CONF_AWS_ALLOW_HTTP, "no");
    assert_false(f->options.allow_http);
}

static void a_bad_value_leaves_what_was_there(void **state)
{
    struct fixture *f = *state;
    set(f, KMSE_CONF_AWS_REGION, "eu-west-1");
    refuse(f, KMSE_CONF_AWS_REGION, "EU", "must be an AWS Region");
    assert_string_equal(f->options.region, "eu-west-1");
    set(f, KMSE_CONF_KMS_TIMEOUT, "2s");
    refuse(f, KMSE_CONF_KMS_TIMEOUT, "0", "must be a time of");
    assert_int_equal(f->options.timeout_ms, 2000);
    set(f, KMSE_CONF_AWS_USE_FIPS_ENDPOINT, "yes");
    refuse(f, KMSE_CONF_AWS_USE_FIPS_ENDPOINT, "true", "must be yes or no");
    assert_int_equal(f->options.use_fips, 1);
}

/* --- values ------------------------------------------------------------- */

static void accept_all(struct fixture *f, const char *key,
                       const char *const *values)
{
    for (; *values != NULL; values++)
        set(f, key, *values);
}

static void refuse_all(struct fixture *f, const char *key,
                       const char *const *values, const char *wanted)
{
    for (; *values != NULL; values++)
        refuse(f, key, *values, wanted);
}

static void durations(void **state)
{
    static const struct {
        const char *value;
        uint64_t ms;
    } good[] = {
        {"1ms", 1},      {"999ms", 999},  {"1", 1000},
        {"5s", 5000},    {"1m", 60000},   {"60m", 3600000},
        {"1h", 3600000}, {"0005s", 5000}, {"3600000ms", 3600000},
    };
    static const char *const bad[] = {
        "",     "0",    "0ms",    "-1",   "+1",  " 1",        "1 s",
        "1.5s", "5S",   "5MS",    "ms",   "5x",  "3600001ms", "61m",
        "2h",   "1d",   "1s1s",   "0x10", "1e3", "5 ",        "99999999999d",
        "3601", "five", "1ms500", NULL,
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(good); i++) {
        set(f, KMSE_CONF_KMS_TIMEOUT, good[i].value);
        assert_int_equal(f->options.timeout_ms, good[i].ms);
        set(f, KMSE_CONF_KMS_CONNECT_TIMEOUT, good[i].value);
        assert_int_equal(f->options.connect_timeout_ms, good[i].ms);
    }
    refuse_all(f, KMSE_CONF_KMS_TIMEOUT, bad,
               "must be a time of 1ms to 1h (5s, 500ms)");
    refuse_all(f, KMSE_CONF_KMS_CONNECT_TIMEOUT, bad,
               "must be a time of 1ms to 1h (5s, 500ms)");
    /* What 64 bits do not hold, and what they would hold wrapped around. */
    refuse(f, KMSE_CONF_KMS_TIMEOUT, "99999999999999999999999999", "must be");
    refuse(f, KMSE_CONF_KMS_TIMEOUT, "18446744073709552", "must be");
}

static void regions(void **state)
{
    static const char *const good[] = {"us-east-1", "us-gov-west-1",
                                       "cn-north-1", "eusc-de-east-1", NULL};
    static const char *const bad[] = {"",
                                      "EU-WEST-1",
                                      "eu west 1",
                                      "eu-west-1.evil.example",
                                      "-eu-west-1",
                                      "eu-west-1-",
                                      "eu/west",
                                      "eu_west_1",
                                      "1",
                                      "eu-west-1\t",
                                      "\xc3\xa9",
                                      "eu-west-1@evil",
                                      "aws-global",
                                      "eu-west-1:80",
                                      "a-name-that-is-longer-than-a-region-s",
                                      NULL};
    struct fixture *f = *state;
    accept_all(f, KMSE_CONF_AWS_REGION, good);
    refuse_all(f, KMSE_CONF_AWS_REGION, bad,
               "must be an AWS Region, as eu-west-1");
}

static void profiles(void **state)
{
    static const char *const good[] = {"default", "a b", "team/app:prod@x",
                                       "\xc3\xa9quipe", NULL};
    static const char *const bad[] = {"",   "a\nb", "a\tb", "a]",
                                      "[a", "\x7f", NULL};
    struct fixture *f = *state;
    accept_all(f, KMSE_CONF_AWS_PROFILE, good);
    refuse_all(f, KMSE_CONF_AWS_PROFILE, bad, "must be the name of a profile");
}

static void words(void **state)
{
    static const char *const bad[] = {"",     "Yes", "YES",   "true",
                                      "1",    "noo", "y",     "off",
                                      "yes ", " no", "false", NULL};
    static const char *const keys[] = {
        KMSE_CONF_AWS_CREDENTIAL_PROCESS, KMSE_CONF_AWS_ALLOW_HTTP,
        KMSE_CONF_AWS_USE_FIPS_ENDPOINT, KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(keys); i++)
        refuse_all(f, keys[i], bad, "must be yes or no");
    set(f, KMSE_CONF_AWS_USE_FIPS_ENDPOINT, "no");
    assert_int_equal(f->options.use_fips, -1);
    set(f, KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT, "yes");
    assert_int_equal(f->options.use_dualstack, 1);
    assert_false(f->options.allow_http || f->options.credential_process);
}

static void endpoints(void **state)
{
    static const char *const good[] = {
        "https://kms.eu-west-1.amazonaws.com",
        "https://kms.eu-west-1.amazonaws.com/",
        "http://127.0.0.1:4566",
        "http://localhost:5000/",
        "https://[2001:db8::1]",
        "https://[::1]:65535/",
        "https://vpce-0a.kms.eu-west-1.vpce.amazonaws.com:443",
        NULL};
    static const char *const bad[] = {"",
                                      "kms.eu-west-1.amazonaws.com",
                                      "localhost:4566",
                                      "ftp://host",
                                      "HTTPS://host",
                                      "https:/host",
                                      "https://",
                                      "https:///",
                                      "https://host/path",
                                      "https://host/?query",
                                      "https://host#fragment",
                                      "https://host:",
                                      "https://host:0",
                                      "https://host:65536",
                                      "https://host:8o",
                                      "https://host:443:443",
                                      "https://host name",
                                      "https://host//",
                                      "https://h\xc3\xb6st",
                                      "https://host\r\nX: y",
                                      "https://[::1",
                                      "https://[::1x",
                                      "https://host:000443",
                                      "https://[]",
                                      "https://[host]",
                                      "https://::1",
                                      "https://host\\evil",
                                      "file:///etc/passwd",
                                      "socks5://host",
                                      NULL};
    struct fixture *f = *state;
    accept_all(f, KMSE_CONF_AWS_ENDPOINT_URL, good);
    refuse_all(f, KMSE_CONF_AWS_ENDPOINT_URL, bad, "must be https://HOST or");
}

static void proxies(void **state)
{
    static const char *const good[] = {
        "http://proxy:3128", "https://proxy.example:443/",
        "socks5://127.0.0.1:1080", "socks5h://[::1]:1080", NULL};
    static const char *const bad[] = {
        "",          "proxy:3128",       "proxy", "http://", "http://proxy/x",
        "HTTP://px", "socks://proxy:80", "*",     NULL};
    struct fixture *f = *state;
    accept_all(f, KMSE_CONF_AWS_PROXY, good);
    refuse_all(f, KMSE_CONF_AWS_PROXY, bad, "must be http://HOST:PORT");
}

/* As long as a name of the DNS can be, with which a request still has room. */
static void hosts_have_a_length(void **state)
{
    enum { HOST_MAX = 255 };
    struct fixture *f = *state;
    char url[LONG_LEN];
    snprintf(url, sizeof(url), "https://%0*d:65535/", HOST_MAX, 0);
    set(f, KMSE_CONF_AWS_ENDPOINT_URL, url);
    snprintf(url, sizeof(url), "https://%0*d", HOST_MAX + 1, 0);
    expect_reason(kmse_aws_options_set(&f->options, KMSE_CONF_AWS_ENDPOINT_URL,
                                       url, &f->why),
                  KMSE_R_CONFIG_VALUE);
}

/* The file is open to all, and so is the error. */
static void passwords_are_refused_and_not_shown(void **state)
{
    static const char *const keys[] = {KMSE_CONF_AWS_PROXY,
                                       KMSE_CONF_AWS_ENDPOINT_URL};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        expect_reason(kmse_aws_options_set(&f->options, keys[i],
                                           "https://anna:s3cret@proxy:3128",
                                           &f->why),
                      KMSE_R_CONFIG_VALUE);
        assert_non_null(strstr(f->why.text, keys[i]));
        assert_non_null(strstr(f->why.text, "user and password do not belong"));
        assert_null(strstr(f->why.text, "s3cret"));
        assert_null(strstr(f->why.text, "anna"));
    }
    assert_null(f->options.proxy);
    assert_null(f->options.endpoint_url);
}

static void hosts(void **state)
{
    static const char *const good[] = {"*", "a", ".internal, 10.0.0.0/8",
                                       "[::1],fd00::/8,kms.local:8443", NULL};
    static const char *const bad[] = {"",     "**",        "*.internal", "a;b",
                                      "a\nb", "http@host", NULL};
    struct fixture *f = *state;
    accept_all(f, KMSE_CONF_AWS_NO_PROXY, good);
    refuse_all(f, KMSE_CONF_AWS_NO_PROXY, bad,
               "must be hosts with commas between, or *");
}

/* --- files -------------------------------------------------------------- */

static const char *const FILE_KEYS[] = {KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE,
                                        KMSE_CONF_AWS_CONFIG_FILE,
                                        KMSE_CONF_AWS_CA_BUNDLE};

static void paths_are_absolute(void **state)
{
    static const char *const bad[] = {"", "credentials", "./x", "~/.aws/config",
                                      NULL};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(FILE_KEYS); i++)
        refuse_all(f, FILE_KEYS[i], bad, "must be the absolute path of a file");
}

static void files_are_there(void **state)
{
    struct fixture *f = *state;
    char missing[LONG_LEN];
    snprintf(missing, sizeof(missing), "%s/missing", f->folder);
    for (size_t i = 0; i < COUNT(FILE_KEYS); i++) {
        set(f, FILE_KEYS[i], f->file);
        refuse(f, FILE_KEYS[i], missing,
               "No such file or directory; put the file there");
        refuse(f, FILE_KEYS[i], f->folder, "not a regular file");
    }
    assert_string_equal(f->options.ca_bundle, f->file);
}

/* A pipe that nobody writes to must not stop the program that loads us. */
static void pipes_are_no_files(void **state)
{
    struct fixture *f = *state;
    unlink(f->file);
    assert_int_equal(mkfifo(f->file, 0600), 0);
    for (size_t i = 0; i < COUNT(FILE_KEYS); i++)
        refuse(f, FILE_KEYS[i], f->file, "not a regular file");
}

static void long_values_do_not_hide_what_is_wanted(void **state)
{
    struct fixture *f = *state;
    char value[LONG_LEN];
    memset(value, 'A', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    expect_reason(
        kmse_aws_options_set(&f->options, KMSE_CONF_AWS_REGION, value, &f->why),
        KMSE_R_CONFIG_VALUE);
    assert_non_null(strstr(f->why.text, "must be an AWS Region"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_known_and_each_is_there_once),
        TEST(another_key_is_no_setting),
        TEST(each_key_sets_its_field),
        TEST(a_later_value_replaces_an_earlier_one),
        TEST(a_bad_value_leaves_what_was_there),
        TEST(durations),
        TEST(regions),
        TEST(profiles),
        TEST(words),
        TEST(endpoints),
        TEST(proxies),
        TEST(hosts_have_a_length),
        TEST(passwords_are_refused_and_not_shown),
        TEST(hosts),
        TEST(paths_are_absolute),
        TEST(files_are_there),
        TEST(pipes_are_no_files),
        TEST(long_values_do_not_hide_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
