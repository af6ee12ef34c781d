/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of AWS KMS: how they are read, and what each is to us. */
#include "kms/aws_message.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    const char *json, *code, *text;
} ERRORS[] = {
    {"{\"__type\":\"DisabledException\",\"message\":\"m\"}",
     "DisabledException", "m"},
    {"{\"__type\":\"com.amazonaws.kms#NotFoundException\",\"Message\":\"M\"}",
     "NotFoundException", "M"},
    {"{\"__type\":\"ThrottlingException:http://a.example/b/\"}",
     "ThrottlingException", ""},
    {"{\"__type\":\"a.b#Code:http://c.example/#d\"}", "Code", ""},
    {"{\"__type\":\"Code:http://c.example/#d\"}", "Code", ""},
    {"{\"message\":\"m\",\"Message\":\"M\",\"__type\":\"C\"}", "C", "m"},
    {"{\"__type\":\"\",\"message\":\"\"}", "", ""},
    {"{\"__type\":\"#\"}", "", ""},
    {"{\"__type\":\"a#\",\"message\":\"m\"}", "", "m"},
    {"{\"__type\":\"C\",\"message\":\"a\\nb\\u001b\xc3\xa9%s\"}", "C",
     "a?b???%s"},
    {"{\"__type\":\"C\\n\"}", "C?", ""},
    {"{\"__type\":7,\"message\":[\"m\"]}", "", ""},
    {"{\"__type\":\"C\",\"__type\":\"D\",\"message\":\"m\"}", "", "m"},
    {"{\"__Type\":\"C\",\"MESSAGE\":\"m\"}", "", ""},
    {"{\"message\":\"Forbidden\"}", "", "Forbidden"},
    {"[{\"__type\":\"C\"}]", "", ""},
    {"{\"Error\":{\"__type\":\"C\"}}", "", ""},
    {"{}", "", ""},
    {"", "", ""},
    {"null", "", ""},
    {"{\"__type\":\"C\"", "", ""},
    {"{\"__type\":\"C\"}x", "", ""},
    {"<html><body>503 Service Unavailable</body></html>", "", ""},
    {"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>",
     "", ""},
};

static void error_bodies_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ERRORS); i++) {
        struct kmse_aws_error error;
        memset(&error, 'x', sizeof(error));
        kmse_aws_error_parse(&error, ERRORS[i].json, strlen(ERRORS[i].json));
        assert_string_equal(error.code, ERRORS[i].code);
        assert_string_equal(error.text, ERRORS[i].text);
    }
}

static void long_errors_are_cut(void **state)
{
    (void)state;
    enum { LONG = 400 };
    char json[3 * LONG];
    struct kmse_aws_error error;
    snprintf(json, sizeof(json), "{\"__type\":\"%0*d\",\"message\":\"%0*d\"}",
             LONG, 0, LONG, 0);
    kmse_aws_error_parse(&error, json, strlen(json));
    assert_int_equal(strlen(error.code), KMSE_AWS_CODE_LEN - 1);
    assert_int_equal(strlen(error.text), KMSE_AWS_TEXT_LEN - 1);
}

/* Every code, as KMS sends it, and what it is to us. */
#define DELETED "is pending deletion."
static const struct {
    const char *code, *text;
    int status, reason;
} REASONS[] = {
    {"AccessDeniedException", "", 400, KMSE_R_KMS_DENIED},
    {"AccessDenied", "", 403, KMSE_R_KMS_DENIED},
    {"NotAuthorized", "", 400, KMSE_R_KMS_DENIED},
    {"OptInRequired", "", 403, KMSE_R_KMS_DENIED},
    {"DisabledException", "", 400, KMSE_R_KMS_DISABLED},
    {"KMSInvalidStateException", "arn is pending import.", 400,
     KMSE_R_KMS_STATE},
    {"KMSInvalidStateException", DELETED, 400, KMSE_R_KMS_PENDING_DELETION},
    {"AccessDeniedException", DELETED, 400, KMSE_R_KMS_DENIED},
    {"NotFoundException", "", 400, KMSE_R_KMS_KEY_NOT_FOUND},
    {"InvalidCiphertextException", "", 400, KMSE_R_KMS_BLOB},
    {"IncorrectKeyException", "", 400, KMSE_R_KMS_WRONG_KEY},
    {"ThrottlingException", "", 400, KMSE_R_KMS_THROTTLED},
    {"Throttling", "", 400, KMSE_R_KMS_THROTTLED},
    {"ThrottledException", "", 400, KMSE_R_KMS_THROTTLED},
    {"RequestThrottled", "", 400, KMSE_R_KMS_THROTTLED},
    {"RequestThrottledException", "", 400, KMSE_R_KMS_THROTTLED},
    {"TooManyRequestsException", "", 429, KMSE_R_KMS_THROTTLED},
    {"RequestLimitExceeded", "", 503, KMSE_R_KMS_THROTTLED},
    {"LimitExceededException", "", 400, KMSE_R_KMS_THROTTLED},
    {"", "", 429, KMSE_R_KMS_THROTTLED},
    {"Unheard", "", 429, KMSE_R_KMS_THROTTLED},
    {"KMSInternalException", "", 500, KMSE_R_KMS_UNREACHABLE},
    {"KMSInternalException", "", 400, KMSE_R_KMS_UNREACHABLE},
    {"InternalFailure", "", 500, KMSE_R_KMS_UNREACHABLE},
    {"DependencyTimeoutException", "", 400, KMSE_R_KMS_UNREACHABLE},
    {"KeyUnavailableException", "", 400, KMSE_R_KMS_UNREACHABLE},
    {"ServiceUnavailable", "", 503, KMSE_R_KMS_UNREACHABLE},
    {"ServiceUnavailableException", "", 503, KMSE_R_KMS_UNREACHABLE},
    {"RequestTimeout", "", 400, KMSE_R_KMS_TIMEOUT},
    {"RequestTimeoutException", "", 408, KMSE_R_KMS_TIMEOUT},
    {"", "", 500, KMSE_R_KMS_UNREACHABLE},
    {"", "", 502, KMSE_R_KMS_UNREACHABLE},
    {"Unheard", "", 599, KMSE_R_KMS_UNREACHABLE},
    {"ExpiredTokenException", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"ExpiredToken", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"UnrecognizedClientException", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"InvalidClientTokenId", "", 403, KMSE_R_KMS_CREDENTIALS},
    {"InvalidSignatureException", "The request signature we calculated", 400,
     KMSE_R_KMS_CREDENTIALS},
    {"InvalidSignatureException", "Signature expired: 2015 is now earlier", 400,
     KMSE_R_KMS_CREDENTIALS},
    {"InvalidSignatureException", "Signature not yet current: 2015 is still",
     400, KMSE_R_KMS_CREDENTIALS},
    {"SignatureDoesNotMatch", "", 403, KMSE_R_KMS_CREDENTIALS},
    {"SignatureDoesNotMatch", "Signature expired: ", 403,
     KMSE_R_KMS_CREDENTIALS},
    {"RequestExpired", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"IncompleteSignature", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"IncompleteSignatureException", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"MissingAuthenticationToken", "", 403, KMSE_R_KMS_CREDENTIALS},
    {"MissingAuthenticationTokenException", "", 400, KMSE_R_KMS_CREDENTIALS},
    {"ValidationException", "Signature expired", 400, KMSE_R_KMS_REFUSED},
    {"InvalidKeyUsageException", "", 400, KMSE_R_KMS_REFUSED},
    {"disabledexception", "", 400, KMSE_R_KMS_REFUSED},
    {"Unheard", DELETED, 403, KMSE_R_KMS_REFUSED},
    {"", "", 403, KMSE_R_KMS_DENIED},
    {"", "", 404, KMSE_R_KMS_ANSWER},
    {"", "", 302, KMSE_R_KMS_ANSWER},
    {"", "", 201, KMSE_R_KMS_ANSWER},
};

static struct kmse_aws_error error_of(const char *code, const char *text)
{
    struct kmse_aws_error error;
    snprintf(error.code, sizeof(error.code), "%s", code);
    snprintf(error.text, sizeof(error.text), "%s", text);
    return error;
}

static void each_error_has_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(REASONS); i++) {
        struct kmse_aws_error error =
            error_of(REASONS[i].code, REASONS[i].text);
        int reason = kmse_aws_error_reason(&error, REASONS[i].status);
        if (reason != REASONS[i].reason)
            fail_msg("%s \"%s\" %d is: %s", error.code, error.text,
                     REASONS[i].status, kmse_reason_text(reason));
    }
}

/* What may be mended, and how: by the clock, or by other credentials. */
static const struct {
    const char *code, *text;
    bool is_skew, is_credentials;
} MENDS[] = {
    {"ExpiredTokenException", "", false, true},
    {"ExpiredToken", "", false, true},
    {"UnrecognizedClientException", "", false, true},
    {"InvalidClientTokenId", "", false, true},
    {"InvalidSignatureException", "Signature expired: 2015 is now earlier",
     true, false},
    {"InvalidSignatureException", "Signature not yet current: 2015 is still",
     true, false},
    {"SignatureDoesNotMatch", "Signature expired: ", true, false},
    {"RequestExpired", "", true, false},
    {"InvalidSignatureException", "The request signature we calculated", false,
     false},
    {"SignatureDoesNotMatch", "", false, false},
    {"ValidationException", "Signature expired: 2015", false, false},
    {"MissingAuthenticationToken", "", false, false},
    {"AccessDeniedException", "", false, false},
    {"", "", false, false},
};

static void some_errors_can_be_mended(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(MENDS); i++) {
        struct kmse_aws_error error = error_of(MENDS[i].code, MENDS[i].text);
        if (kmse_aws_error_is_skew(&error) != MENDS[i].is_skew
            || kmse_aws_error_is_credentials(&error) != MENDS[i].is_credentials)
            fail_msg("%s \"%s\"", error.code, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_bodies_are_read),
        cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(each_error_has_its_reason),
        cmocka_unit_test(some_errors_can_be_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
