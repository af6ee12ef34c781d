/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to AWS KMS: where to, signed how, tried how often. HTTP is scripted. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/aws_client.h"
#include "kms/aws_retry.h"

#define ARN                                                                    \
    "arn:aws:kms:eu-west-1:111122223333:key/"                                  \
    "1234abcd-12ab-34cd-56ef-1234567890ab"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN  "FwoGZXIvYXdzEXAMPLETOKEN"
/* 32 bytes of 'A', as base64. */
#define PLAINTEXT "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

enum { STEPS_MAX = 8, HEADERS_MAX = 8, LINE_LEN = 512, NOW_S = 1440938160 };

/* One answer, and what the request was. */
struct step {
    int status; /* 0: perform fails with reason */
    int reason;
    const char *body, *date, *retry_after;
    uint64_t takes_ms;

    char url[LINE_LEN], ca_bundle[LINE_LEN];
    char headers[HEADERS_MAX][LINE_LEN];
    uint32_t timeout_ms, connect_timeout_ms;
    bool allow_http;
};

struct fixture {
    struct kmse_aws *aws;
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    struct kmse_clock clock;
    uint64_t now_ms;
    int64_t wall_s;

    struct step steps[STEPS_MAX];
    size_t step_count, done; /* requests beyond the script fail the test */
    uint32_t waits_ms[STEPS_MAX];
    size_t wait_count;

    struct kmse_aws_options options;
    struct kmse_aws_result result;
    struct kmse_why why;
};

/* --- doubles ------------------------------------------------------------ */

static uint64_t elapsed_ms(void *arg)
{
    return ((struct fixture *)arg)->now_ms;
}

static int64_t wall_s(void *arg)
{
    return ((struct fixture *)arg)->wall_s;
}

static void wait_ms(void *arg, uint32_t ms)
{
    struct fixture *f = arg;
    assert_true(f->wait_count < STEPS_MAX);
    f->waits_ms[f->wait_count++] = ms;
    f->now_ms += ms;
}

static void record(struct step *step, const struct kmse_http_request *request)
{
    snprintf(step->url, LINE_LEN, "%s", request->url);
    snprintf(step->ca_bundle, LINE_LEN, "%s",
             request->ca_bundle != NULL ? request->ca_bundle : "");
    for (size_t i = 0; request->headers[i] != NULL; i++) {
        assert_true(i < HEADERS_MAX);
        snprintf(step->headers[i], LINE_LEN, "%s", request->headers[i]);
    }
    step->timeout_ms = request->timeout_ms;
    step->connect_timeout_ms = request->connect_timeout_ms;
    step->allow_http = request->allow_http;
}

static void set_header(char out[KMSE_HTTP_HEADER_MAX], const char *value)
{
    snprintf(out, KMSE_HTTP_HEADER_MAX, "%s", value != NULL ? value : "");
}

static kmse_st perform(void *arg, const struct kmse_http_request *request,
                       struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct fixture *f = arg;
    assert_true(f->done < f->step_count);
    struct step *step = &f->steps[f->done++];
    record(step, request);
    f->now_ms += step->takes_ms;
    if (step->status == 0)
        return kmse_fail(why, step->reason, "kms.example: as the script says");
    const char *body = step->body != NULL ? step->body : "";
    *answer = (struct kmse_http_answer){
        .status = step->status,
        .body = (uint8_t *)strdup(body),
        .body_len = strlen(body),
    };
    assert_non_null(answer->body);
    set_header(answer->date, step->date);
    set_header(answer->retry_after, step->retry_after);
    set_header(answer->request_id, "0123-request");
    return KMSE_OK;
}

/* --- the fixture -------------------------------------------------------- */

static const char *const VARIABLES[] = {"AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_PROFILE",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_KMS",
                                        "AWS_CA_BUNDLE",
                                        "AWS_USE_FIPS_ENDPOINT",
                                        "AWS_USE_DUALSTACK_ENDPOINT",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_CREDENTIAL_EXPIRATION",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    for (size_t i = 0; i < sizeof(VARIABLES) / sizeof(VARIABLES[0]); i++)
        unsetenv(VARIABLES[i]);
    setenv("HOME", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
    f->wall_s = NOW_S;
    f->now_ms = 1000;
    f->clock = (struct kmse_clock){elapsed_ms, elapsed_ms, wall_s, f};
    expect_ok(kmse_crypto_new(&f->crypto, NULL, false));
    expect_ok(kmse_pool_new(&f->pool));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kmse_aws_result_wipe(&f->result);
    kmse_aws_free(f->aws);
    kmse_pool_free(f->pool);
    kmse_crypto_free(f->crypto);
    free(f);
    return 0;
}

static struct step *script(struct fixture *f, int status, const char *body)
{
    assert_true(f->step_count < STEPS_MAX);
    struct step *step = &f->steps[f->step_count++];
    *step = (struct step){.status = status, .body = body};
    return step;
}

static struct step *script_success(struct fixture *f)
{
    return script(f, 200,
                  "{\"KeyId\":\"" ARN "\",\"Plaintext\":\"" PLAINTEXT "\"}");
}

static struct step *script_failure(struct fixture *f, int reason)
{
    struct step *step = script(f, 0, NULL);
    step->reason = reason;
    return step;
}

static void open_client(struct fixture *f)
{
    const struct kmse_http http = {.arg = f, .perform = perform};
    const struct kmse_aws_wait wait = {wait_ms, f};
    expect_ok(kmse_aws_new(&f->aws, f->crypto, f->pool, &f->options, &f->clock,
                           &http, &wait));
}

static kmse_st call_key(struct fixture *f, const char *location)
{
    static char text[] = "{\"x\":1}";
    const struct kmse_aws_body body = {text, sizeof(text) - 1};
    struct kmse_aws_key key;
    if (f->aws == NULL)
        open_client(f);
    kmse_aws_result_wipe(&f->result);
    expect_ok(kmse_aws_key_parse(&key, location, &f->why));
    f->why.text[0] = '\0';
    return kmse_aws_call(f->aws, &key, location, "Decrypt", &body,
                         KMSE_AWS_FIELD_PLAINTEXT, &f->result, &f->why);
}

static kmse_st call(struct fixture *f)
{
    return call_key(f, ARN);
}

static const char *header(const struct step *step, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        if (strncmp(step->headers[i], name, len) == 0
            && strncmp(step->headers[i] + len, ": ", 2) == 0)
            return step->headers[i] + len + 2;
    }
    return "";
}

/* --- one request -------------------------------------------------------- */

static void a_request_is_signed_for_the_keys_region(void **state)
{
    struct fixture *f = *state;
    script_success(f);
    setenv("AWS_REGION", "us-east-1", 1);
    expect_ok(call(f));
    const struct step *step = &f->steps[0];
    assert_string_equal(step->url, "https://kms.eu-west-1.amazonaws.com/");
    assert_string_equal(header(step, "host"), "kms.eu-west-1.amazonaws.com");
    assert_string_equal(header(step, "x-amz-target"), "TrentService.Decrypt");
    assert_string_equal(header(step, "x-amz-date"), "20150830T123600Z");
    assert_string_equal(header(step, "content-type"),
                        "application/x-amz-json-1.1");
    const char *authorization = header(step, "authorization");
    assert_non_null(strstr(authorization, "Credential=AKIDEXAMPLE/20150830/"
                                          "eu-west-1/kms/aws4_request"));
    assert_non_null(strstr(authorization,
                           "SignedHeaders=content-type;host;x-amz-date;"
                           "x-amz-target,"));
    assert_memory_equal(f->result.data_key.bytes,
                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KMSE_SECRET_LEN);
    assert_int_equal(f->done, 1);
}

static void a_session_token_is_sent_and_signed(void **state)
{
    struct fixture *f = *state;
    script_success(f);
    setenv("AWS_SESSION_TOKEN", TOKEN, 1);
    expect_ok(call(f));
    assert_string_equal(header(&f->steps[0], "x-amz-security-token"), TOKEN);
    assert_non_null(strstr(header(&f->steps[0], "authorization"),
                           "SignedHeaders=content-type;host;x-amz-date;"
                           "x-amz-security-token;x-amz-target,"));
}

static void a_key_without_a_region_takes_the_one_that_is_set(void **state)
{
    struct fixture *f = *state;
    script_success(f);
    script_success(f);
    expect_reason(call_key(f, "alias/x"), KMSE_R_CONFIG_VALUE);
    assert_non_null(strstr(f->why.text, "AWS_REGION"));
    setenv("AWS_REGION", "us-east-1", 1);
    expect_ok(call_key(f, "alias/x"));
    assert_string_equal(f->steps[0].url,
                        "https://kms.us-east-1.amazonaws.com/");
    setenv("AWS_REGION", "not a region", 1);
    expect_reason(call_key(f, "alias/x"), KMSE_R_CONFIG_VALUE);
    assert_int_equal(f->done, 1);
}

static void endpoints_are_as_they_are_set(void **state)
{
    struct fixture *f = *state;
    static char bundle[] = "/etc/bundle.pem", url[] = "https://kms.test:8443";
    f->options.use_fips = 1;
    f->options.use_dualstack = 1;
    f->options.ca_bundle = bundle;
    script_success(f);
    expect_ok(call(f));
    assert_string_equal(f->steps[0].url, "https://kms-fips.eu-west-1.api.aws/");
    assert_string_equal(f->steps[0].ca_bundle, bundle);
    assert_false(f->steps[0].allow_http);

    kmse_aws_free(f->aws);
    f->aws = NULL;
    f->options =
        (struct kmse_aws_options){.endpoint_url = url, .allow_http = true};
    script_success(f);
    expect_ok(call(f));
    assert_string_equal(header(&f->steps[1], "host"), "kms.test:8443");
    assert_true(f->steps[1].allow_http);
}

/* --- tried again -------------------------------------------------------- */

static void trouble_of_the_server_is_tried_three_times(void **state)
{
    struct fixture *f = *state;
    script(f, 500, "<html>");
    script_failure(f, KMSE_R_KMS_UNREACHABLE);
    script_success(f);
    expect_ok(call(f));
    assert_int_equal(f->done, 3);
    assert_int_equal(f->wait_count, 2);
    assert_true(f->waits_ms[0] <= KMSE_RETRY_BASE_MS);
    assert_true(f->waits_ms[1] <= 2 * KMSE_RETRY_BASE_MS);

    for (size_t i = 0; i < 3; i++)
        script(f, 503, "{\"__type\":\"ServiceUnavailableException\"}");
    expect_reason(call(f), KMSE_R_KMS_UNREACHABLE);
    assert_int_equal(f->done, 6);
    assert_non_null(strstr(f->why.text, "kms:Decrypt in eu-west-1"));
}

static void what_is_no_answer_of_kms_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    script(f, 400, "nonsense");
    script_failure(f, KMSE_R_KMS_ANSWER);
    script(f, 404, "<html>");
    expect_reason(call(f), KMSE_R_KMS_ANSWER);
    assert_int_equal(f->done, 3);
    assert_non_null(strstr(f->why.text, "HTTP status 404"));
}

static void throttling_waits_as_it_is_told_and_within_the_deadline(void **state)
{
    struct fixture *f = *state;
    static const char THROTTLED[] =
        "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}";
    script(f, 400, THROTTLED)->retry_after = "2";
    script_success(f);
    expect_ok(call(f));
    assert_int_equal(f->wait_count, 1);
    assert_in_range(f->waits_ms[0], 2000, 4000);

    /* Longer than the call may take: no use in waiting. */
    script(f, 400, THROTTLED)->retry_after = "6";
    uint64_t before = f->now_ms;
    expect_reason(call(f), KMSE_R_KMS_THROTTLED);
    assert_int_equal(f->now_ms, before);
    assert_int_equal(f->done, 3);
}

static void a_call_ends_by_its_deadline(void **state)
{
    struct fixture *f = *state;
    f->options.timeout_ms = 3000;
    f->options.connect_timeout_ms = 2000;
    script_failure(f, KMSE_R_KMS_TIMEOUT)->takes_ms = 2500;
    script_failure(f, KMSE_R_KMS_TIMEOUT)->takes_ms = 400;
    script_failure(f, KMSE_R_KMS_TIMEOUT);
    uint64_t start = f->now_ms;
    expect_reason(call(f), KMSE_R_KMS_TIMEOUT);
    assert_true(f->now_ms <= start + 3000);
    assert_int_equal(f->steps[0].timeout_ms, 3000);
    assert_int_equal(f->steps[0].connect_timeout_ms, 2000);
    assert_true(f->steps[1].timeout_ms <= 500);
    assert_true(f->steps[1].connect_timeout_ms <= 500);
}

static void a_no_is_not_asked_again(void **state)
{
    static const struct {
        const char *body;
        int reason;
    } NOS[] = {
        {"{\"__type\":\"AccessDeniedException\"}", KMSE_R_KMS_DENIED},
        {"{\"__type\":\"DisabledException\"}", KMSE_R_KMS_DISABLED},
        {"{\"__type\":\"NotFoundException\"}", KMSE_R_KMS_KEY_NOT_FOUND},
        {"{\"__type\":\"InvalidCiphertextException\"}", KMSE_R_KMS_BLOB},
        {"{\"__type\":\"IncorrectKeyException\"}", KMSE_R_KMS_WRONG_KEY},
        {"{\"__type\":\"KMSInvalidStateException\",\"message\":"
         "\"" ARN " is pending deletion.\"}",
         KMSE_R_KMS_PENDING_DELETION},
        {"{\"__type\":\"ValidationException\",\"message\":\"no\"}",
         KMSE_R_KMS_REFUSED},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(NOS) / sizeof(NOS[0]); i++) {
        script(f, 400, NOS[i].body);
        expect_reason(call(f), NOS[i].reason);
        assert_int_equal(f->done, i + 1);
        assert_non_null(strstr(f->why.text, "aws-kms:" ARN));
    }
}

/* --- the clock ---------------------------------------------------------- */

static void a_clock_that_is_off_is_made_up_for(void **state)
{
    struct fixture *f = *state;
    static const char EXPIRED[] =
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature "
        "expired: 20150830T123600Z is now earlier than ...\"}";
    script(f, 400, EXPIRED)->date = "Sun, 30 Aug 2015 13:36:00 GMT";
    script_success(f);
    script_success(f);
    expect_ok(call(f));
    assert_int_equal(f->wait_count, 0);
    assert_string_equal(header(&f->steps[1], "x-amz-date"), "20150830T133600Z");
    expect_ok(call(f));
    assert_string_equal(header(&f->steps[2], "x-amz-date"), "20150830T133600Z");
}

static void the_clock_is_corrected_once_a_call(void **state)
{
    struct fixture *f = *state;
    static const char SKEWED[] =
        "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature "
        "not yet current: ...\"}";
    script(f, 400, SKEWED)->date = "Sun, 30 Aug 2015 11:36:00 GMT";
    script(f, 400, SKEWED)->date = "Sun, 30 Aug 2015 10:36:00 GMT";
    expect_reason(call(f), KMSE_R_KMS_CREDENTIALS);
    assert_int_equal(f->done, 2);

    /* Without a date there is nothing to correct it by. */
    script(f, 400, SKEWED);
    expect_reason(call(f), KMSE_R_KMS_CREDENTIALS);
    assert_int_equal(f->done, 3);
}

/* --- credentials -------------------------------------------------------- */

static void refused_credentials_are_looked_up_once_more(void **state)
{
    struct fixture *f = *state;
    static const char EXPIRED[] =
        "{\"__type\":\"ExpiredTokenException\",\"message\":\"The security "
        "token " TOKEN " is expired\"}";
    setenv("AWS_SESSION_TOKEN", TOKEN, 1);
    script(f, 400, EXPIRED);
    script(f, 400, EXPIRED);
    expect_reason(call(f), KMSE_R_KMS_CREDENTIALS);
    assert_int_equal(f->done, 2);
    assert_non_null(strstr(f->why.text, "ExpiredTokenException"));
    assert_non_null(strstr(f->why.text, "environment AWS_ACCESS_KEY_ID"));
    assert_null(strstr(f->why.text, TOKEN));
    assert_null(strstr(f->why.text, SECRET));

    script(f, 400, EXPIRED);
    script_success(f);
    expect_ok(call(f));
}

static void without_credentials_nothing_is_sent(void **state)
{
    struct fixture *f = *state;
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    expect_reason(call(f), KMSE_R_KMS_CREDENTIALS);
    assert_int_equal(f->done, 0);
}

static void access_tells_where_and_whose_but_no_secret(void **state)
{
    struct fixture *f = *state;
    char text[KMSE_KMS_ACCESS_LEN];
    struct kmse_aws_key key;
    open_client(f);
    expect_ok(kmse_aws_key_parse(&key, ARN, &f->why));
    expect_ok(kmse_aws_access(f->aws, &key, text, &f->why));
    assert_string_equal(text, "https://kms.eu-west-1.amazonaws.com/, Region "
                              "eu-west-1, credentials from environment "
                              "AWS_ACCESS_KEY_ID");
    assert_int_equal(f->done, 0);
}

/* --- answers ------------------------------------------------------------ */

static void a_bad_answer_names_what_is_wrong_and_gives_nothing(void **state)
{
    struct fixture *f = *state;
    script(f, 200, "{\"KeyId\":\"" ARN "\",\"Plaintext\":\"QUFB\"}");
    expect_reason(call(f), KMSE_R_KMS_ANSWER);
    assert_non_null(strstr(f->why.text, "32 bytes"));
    assert_null(f->result.data_key.bytes);
    assert_null(strstr(f->why.text, "QUFB"));
}

static void a_fork_in_between_does_no_harm(void **state)
{
    struct fixture *f = *state;
    open_client(f);
    kmse_aws_prepare_fork(f->aws);
    kmse_aws_parent(f->aws);
    script_success(f);
    expect_ok(call(f));
    kmse_aws_prepare_fork(f->aws);
    kmse_aws_child(f->aws);
    script_success(f);
    expect_ok(call(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_signed_for_the_keys_region),
        TEST(a_session_token_is_sent_and_signed),
        TEST(a_key_without_a_region_takes_the_one_that_is_set),
        TEST(endpoints_are_as_they_are_set),
        TEST(trouble_of_the_server_is_tried_three_times),
        TEST(what_is_no_answer_of_kms_is_asked_for_again),
        TEST(throttling_waits_as_it_is_told_and_within_the_deadline),
        TEST(a_call_ends_by_its_deadline),
        TEST(a_no_is_not_asked_again),
        TEST(a_clock_that_is_off_is_made_up_for),
        TEST(the_clock_is_corrected_once_a_call),
        TEST(refused_credentials_are_looked_up_once_more),
        TEST(without_credentials_nothing_is_sent),
        TEST(access_tells_where_and_whose_but_no_secret),
        TEST(a_bad_answer_names_what_is_wrong_and_gives_nothing),
        TEST(a_fork_in_between_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
