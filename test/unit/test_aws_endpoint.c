/* SPDX-License-Identifier: Apache-2.0 */
/* Names of keys, which of them may answer, and where KMS and STS are. */
#include "kms/aws_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/file.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define ID    "1234abcd-12ab-34cd-56ef-1234567890ab"
#define OTHER "1234abcd-12ab-34cd-56ef-1234567890ac"
#define MRK   "mrk-1234abcd12ab34cd56ef1234567890ab"
#define OF    "arn:aws:kms:eu-west-1:111122223333:"

enum { FILE_MAX = 1 << 20, ALIAS_MAX = 256 };

/* --- names of keys ------------------------------------------------------- */

static const struct {
    const char *location, *partition, *region, *account, *resource;
    bool is_alias, is_arn, is_multi_region;
} KEYS[] = {
    {ID, "", "", "", "key/" ID, false, false, false},
    {MRK, "", "", "", "key/" MRK, false, false, true},
    {"alias/a", "", "", "", "alias/a", true, false, false},
    {"alias/aws/s3", "", "", "", "alias/aws/s3", true, false, false},
    {"alias/A_z-0:9", "", "", "", "alias/A_z-0:9", true, false, false},
    {OF "key/" ID, "aws", "eu-west-1", "111122223333", "key/" ID, false, true,
     false},
    {OF "key/" MRK, "aws", "eu-west-1", "111122223333", "key/" MRK, false, true,
     true},
    {OF "alias/a:b", "aws", "eu-west-1", "111122223333", "alias/a:b", true,
     true, false},
    {"arn:aws-us-gov:kms:us-gov-east-1:000000000000:key/" ID, "aws-us-gov",
     "us-gov-east-1", "000000000000", "key/" ID, false, true, false},
    {"arn:aws-iso-b:kms:us-isob-east-1:111122223333:alias/x", "aws-iso-b",
     "us-isob-east-1", "111122223333", "alias/x", true, true, false},
    {"arn:aws-new:kms:mars-north-1:111122223333:key/" ID, "aws-new",
     "mars-north-1", "111122223333", "key/" ID, false, true, false},
};

static void names_of_keys_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(KEYS); i++) {
        struct kmse_aws_key key;
        expect_ok(kmse_aws_key_parse(&key, KEYS[i].location, NULL));
        assert_string_equal(key.partition, KEYS[i].partition);
        assert_string_equal(key.region, KEYS[i].region);
        assert_string_equal(key.account, KEYS[i].account);
        assert_string_equal(key.resource, KEYS[i].resource);
        assert_int_equal(key.is_alias, KEYS[i].is_alias);
        assert_int_equal(key.is_arn, KEYS[i].is_arn);
        assert_int_equal(key.is_multi_region, KEYS[i].is_multi_region);
    }
}

static const char *const NO_KEYS[] = {
    "",
    " ",
    "1234ABCD-12ab-34cd-56ef-1234567890ab",
    "1234abcd-12ab-34cd-56ef-1234567890a",
    ID "0",
    ID " ",
    " " ID,
    "1234abcd_12ab_34cd_56ef_1234567890ab",
    "1234abcd12ab34cd56ef1234567890ab",
    "g234abcd-12ab-34cd-56ef-1234567890ab",
    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    "mrk-",
    MRK "0",
    "mrk-1234abcd12ab34cd56ef1234567890a",
    "MRK-1234abcd12ab34cd56ef1234567890ab",
    "mrk-" ID,
    "key/" ID,
    "customer-emails",
    "alias",
    "alias/",
    "Alias/a",
    "alias/a b",
    "alias/\xc3\xa9",
    "alias/a\n",
    "alias/a?",
    "https://kms.eu-west-1.amazonaws.com/",
    "arn:",
    "arn:aws:kms:eu-west-1:111122223333",
    OF,
    OF "key/",
    OF "key/alias/a",
    OF "key/" ID "/x",
    OF "key:" ID,
    OF ID,
    OF "alias/",
    OF "grant/" ID,
    OF "key/" ID ":",
    "ARN:aws:kms:eu-west-1:111122223333:key/" ID,
    "arn:aws:kms::111122223333:key/" ID,
    "arn:aws:kms:eu-west-1::key/" ID,
    "arn::kms:eu-west-1:111122223333:key/" ID,
    "arn:aws::eu-west-1:111122223333:key/" ID,
    "arn:aws:s3:eu-west-1:111122223333:key/" ID,
    "arn:aws:km:eu-west-1:111122223333:key/" ID,
    "arn:aws:kmss:eu-west-1:111122223333:key/" ID,
    "arn:gcp:kms:eu-west-1:111122223333:key/" ID,
    "arn:AWS:kms:eu-west-1:111122223333:key/" ID,
    "arn:aws-much-too-long:kms:eu-west-1:111122223333:key/" ID,
    "arn:aws:kms:EU-WEST-1:111122223333:key/" ID,
    "arn:aws:kms:eu west 1:111122223333:key/" ID,
    "arn:aws:kms:eu-west-1.evil.example/:111122223333:key/" ID,
    "arn:aws:kms:a-region-of-thirty-two-letters-1:111122223333:key/" ID,
    "arn:aws:kms:aws-global:111122223333:key/" ID,
    "arn:aws:kms:eu-west-1:11112222333:key/" ID,
    "arn:aws:kms:eu-west-1:1111222233334:key/" ID,
    "arn:aws:kms:eu-west-1:11112222333a:key/" ID,
};

static void other_names_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(NO_KEYS); i++) {
        struct kmse_aws_key key = {.resource = "untouched"};
        struct kmse_why why = {.text = ""};
        kmse_st st = kmse_aws_key_parse(&key, NO_KEYS[i], &why);
        if (st.reason != KMSE_R_KMS_URI)
            fail_msg("'%s' is taken", NO_KEYS[i]);
        assert_string_equal(key.resource, "untouched");
        assert_non_null(strstr(why.text, "not a key of AWS KMS"));
    }
}

static void aliases_are_of_256_letters(void **state)
{
    (void)state;
    char longest[sizeof(OF) + ALIAS_MAX + 1];
    struct kmse_aws_key key;
    struct kmse_why why = {.text = ""};
    snprintf(longest, sizeof(longest), "alias/%0*d", ALIAS_MAX - 6, 0);
    expect_ok(kmse_aws_key_parse(&key, longest, &why));
    assert_int_equal(strlen(key.resource), ALIAS_MAX);
    snprintf(longest, sizeof(longest), OF "alias/%0*d", ALIAS_MAX - 6, 0);
    expect_ok(kmse_aws_key_parse(&key, longest, &why));
    assert_int_equal(strlen(key.resource), ALIAS_MAX);
    snprintf(longest, sizeof(longest), "alias/%0*d", ALIAS_MAX - 5, 0);
    expect_reason(kmse_aws_key_parse(&key, longest, &why), KMSE_R_KMS_URI);
    assert_non_null(strstr(why.text, "give the ARN")); /* the mend fits */
}

static void a_refusal_is_printable(void **state)
{
    (void)state;
    struct kmse_aws_key key;
    struct kmse_why why = {.text = ""};
    expect_reason(kmse_aws_key_parse(&key, "\x1b[2Jx\n%s", &why),
                  KMSE_R_KMS_URI);
    assert_non_null(strstr(why.text, "aws-kms:?[2Jx?%s: "));
}

/* --- which key may answer ------------------------------------------------ */

#define TO(partition, region, account, resource)                               \
    "arn:" partition ":kms:" region ":" account ":" resource
#define KEY_HERE    TO("aws", "eu-west-1", "111122223333", "key/" ID)
#define MRK_HERE    TO("aws", "eu-west-1", "111122223333", "key/" MRK)
#define ALIAS_THERE TO("aws", "eu-west-1", "111122223333", "alias/a")

static const struct {
    const char *asked, *answered;
    bool matches, matches_any_region;
} ANSWERS[] = {
    {KEY_HERE, KEY_HERE, true, true},
    {ID, KEY_HERE, true, true},
    {ID, TO("aws-cn", "cn-north-1", "000000000000", "key/" ID), true, true},
    {MRK, MRK_HERE, true, true},
    {MRK_HERE, MRK_HERE, true, true},
    {"alias/a", KEY_HERE, true, true},
    {"alias/a", MRK_HERE, true, true},
    {ALIAS_THERE, KEY_HERE, true, true},
    {ALIAS_THERE, TO("aws", "eu-west-1", "111122223333", "key/" OTHER), true,
     true},

    /* Another key. */
    {ID, TO("aws", "eu-west-1", "111122223333", "key/" OTHER), false, false},
    {KEY_HERE, TO("aws", "eu-west-1", "111122223333", "key/" OTHER), false,
     false},
    {MRK_HERE, KEY_HERE, false, false},
    {ID, MRK_HERE, false, false},

    /* Another place. */
    {KEY_HERE, TO("aws", "eu-west-2", "111122223333", "key/" ID), false, false},
    {KEY_HERE, TO("aws", "eu-west-1", "111122223334", "key/" ID), false, false},
    {KEY_HERE, TO("aws-x", "eu-west-1", "111122223333", "key/" ID), false,
     false},
    {ALIAS_THERE, TO("aws", "eu-west-2", "111122223333", "key/" ID), false,
     false},
    {ALIAS_THERE, TO("aws", "eu-west-1", "111122223334", "key/" ID), false,
     false},
    {ALIAS_THERE, TO("aws", "eu-west-2", "111122223333", "key/" MRK), false,
     false},

    /* Another replica: of the same key, in the same account and partition. */
    {MRK_HERE, TO("aws", "us-east-1", "111122223333", "key/" MRK), false, true},
    {MRK_HERE, TO("aws", "us-east-1", "111122223334", "key/" MRK), false,
     false},
    {MRK_HERE, TO("aws-cn", "cn-north-1", "111122223333", "key/" MRK), false,
     false},
    {MRK_HERE,
     TO("aws", "us-east-1", "111122223333",
        "key/mrk-1234abcd12ab34cd56ef1234567890ac"),
     false, false},

    /* What KMS never says. */
    {ID, "", false, false},
    {ID, ID, false, false},
    {MRK, MRK, false, false},
    {"alias/a", "alias/a", false, false},
    {ALIAS_THERE, ALIAS_THERE, false, false},
    {"alias/a", ALIAS_THERE, false, false},
    {KEY_HERE, KEY_HERE " ", false, false},
    {KEY_HERE, "key/" ID, false, false},
};

static void only_the_key_asked_for_may_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ANSWERS); i++) {
        struct kmse_aws_key asked;
        expect_ok(kmse_aws_key_parse(&asked, ANSWERS[i].asked, NULL));
        if (kmse_aws_key_matches(&asked, ANSWERS[i].answered, false)
                != ANSWERS[i].matches
            || kmse_aws_key_matches(&asked, ANSWERS[i].answered, true)
                   != ANSWERS[i].matches_any_region)
            fail_msg("%s answered by %s", ANSWERS[i].asked,
                     ANSWERS[i].answered);
    }
}

/* --- endpoints ----------------------------------------------------------- */

static void expect_endpoints(const cJSON *entry, const char *service)
{
    const char *region =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "region"));
    const cJSON *urls = cJSON_GetObjectItemCaseSensitive(entry, service),
                *url = NULL;
    unsigned i = 0;
    assert_non_null(region);
    assert_int_equal(cJSON_GetArraySize(urls), 4);
    cJSON_ArrayForEach(url, urls)
    {
        char made[KMSE_AWS_URL_MAX] = "";
        bool fips = (i & 1) != 0, dualstack = (i & 2) != 0;
        expect_ok(
            kmse_aws_endpoint(made, service, region, fips, dualstack, NULL));
        assert_string_equal(made, cJSON_GetStringValue(url));
        i++;
    }
}

static void endpoints_are_botocores(void **state)
{
    (void)state;
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kmse_why why = {.text = ""};
    if (!kmse_is_ok(
            kmse_file_read(KMSE_VECTORS, FILE_MAX, 0, &bytes, &len, &why)))
        fail_msg("%s", why.text);
    cJSON *vectors = cJSON_Parse((const char *)bytes);
    const cJSON *entry = NULL,
                *list = cJSON_GetObjectItemCaseSensitive(vectors, "regions");
    kmse_file_free_bytes(bytes, len);
    assert_true(cJSON_GetArraySize(list) > 0);
    cJSON_ArrayForEach(entry, list)
    {
        expect_endpoints(entry, "kms");
        expect_endpoints(entry, "sts");
    }
    cJSON_Delete(vectors);
}

static void no_regions_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "-",
        "-eu",
        "eu-",
        "EU-WEST-1",
        "eu_west_1",
        "eu.west.1",
        "eu-west-1/",
        "eu-west-1@",
        "eu west 1",
        "eu-west-1\n",
        "\xc3\xa9",
        "1",
        "0123456789",
        "aws-global",
        "aws-cn-global",
        "evil.example/?",
        "a-region-of-thirty-two-letters-1",
    };
    for (size_t i = 0; i < COUNT(BAD); i++) {
        char url[KMSE_AWS_URL_MAX] = "untouched";
        struct kmse_why why = {.text = ""};
        kmse_st st = kmse_aws_endpoint(url, "kms", BAD[i], false, false, &why);
        if (st.reason != KMSE_R_CONFIG_VALUE)
            fail_msg("'%s' is taken", BAD[i]);
        assert_string_equal(url, "untouched");
        assert_non_null(strstr(why.text, "not the name of an AWS Region"));
    }
}

static void the_longest_url_fits(void **state)
{
    (void)state;
    char url[KMSE_AWS_URL_MAX];
    expect_ok(kmse_aws_endpoint(url, "kms", "cn-a-name-of-thirty-one-letters",
                                true, true, NULL));
    assert_string_equal(
        url, "https://kms-fips.cn-a-name-of-thirty-one-letters.api.aws/");
    expect_ok(kmse_aws_endpoint(url, "kms", "cn-anameofthirtyoneletters-1234",
                                true, true, NULL));
    assert_string_equal(url, "https://kms-fips.cn-anameofthirtyoneletters-1234."
                             "api.amazonwebservices.com.cn/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_keys_are_taken_apart),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(aliases_are_of_256_letters),
        cmocka_unit_test(a_refusal_is_printable),
        cmocka_unit_test(only_the_key_asked_for_may_answer),
        cmocka_unit_test(endpoints_are_botocores),
        cmocka_unit_test(no_regions_are_refused),
        cmocka_unit_test(the_longest_url_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
