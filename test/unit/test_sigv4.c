/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures: AWS's published values, and each step as botocore takes it.
 * test_sigv4 FILE: that file's requests instead of test/vectors/sigv4.json.
 */
#include "kms/sigv4.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/file.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { FILE_MAX = 1 << 24, STEPS_MAX = 20 };

static struct kmse_crypto *crypto;

/* --- what fails when told, and what is freed ----------------------------- */

/* volatile: to the compiler free is a builtin, which reads and writes none. */
static unsigned macs_left, mallocs_left;    /* before one fails; 0: none does */
static const char *const *volatile secrets; /* not to be in what is freed */
static volatile unsigned frees_with_secret;

kmse_st __real_kmse_crypto_hmac(struct kmse_crypto *, uint8_t *,
                                const uint8_t *, size_t, const uint8_t *,
                                size_t);
kmse_st __wrap_kmse_crypto_hmac(struct kmse_crypto *, uint8_t *,
                                const uint8_t *, size_t, const uint8_t *,
                                size_t);
void *__real_malloc(size_t);
void *__wrap_malloc(size_t);
void __real_free(void *);
void __wrap_free(void *);

kmse_st __wrap_kmse_crypto_hmac(struct kmse_crypto *with, uint8_t *out,
                                const uint8_t *key, size_t key_len,
                                const uint8_t *data, size_t data_len)
{
    if (macs_left > 0 && --macs_left == 0)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return __real_kmse_crypto_hmac(with, out, key, key_len, data, data_len);
}

void *__wrap_malloc(size_t size)
{
    if (mallocs_left > 0 && --mallocs_left == 0)
        return NULL;
    return __real_malloc(size);
}

void __wrap_free(void *block)
{
    size_t size = block != NULL ? malloc_usable_size(block) : 0;
    for (size_t i = 0; secrets != NULL && secrets[i] != NULL; i++) {
        if (size > 0
            && memmem(block, size, secrets[i], strlen(secrets[i])) != NULL)
            frees_with_secret++;
    }
    __real_free(block);
}

/* --- values that AWS published ------------------------------------------- */

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HOST   "example.amazonaws.com"
#define TIME   "20150830T123600Z"
#define EMPTY_SHA256                                                           \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
#define STS_TOKEN                                                              \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKW" \
    "HGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4" \
    "IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE" \
    "8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yj" \
    "c8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const struct kmse_sigv4_scope SCOPE = {
    .region = "us-east-1", .service = "service", .time = TIME};

enum { SUITE_HEADERS = 5 };

/* The AWS Signature Version 4 test suite: those with path / and no query. */
static const struct suite_case {
    const char *name, *method;
    struct kmse_sigv4_header headers[SUITE_HEADERS]; /* a name NULL: no more */
    const char *body, *signed_names, *signature;
} SUITE[] = {
    {"get-vanilla",
     "GET",
     {{"host", HOST}, {"x-amz-date", TIME}},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla",
     "POST",
     {{"host", HOST}, {"x-amz-date", TIME}},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-header-value-trim",
     "GET",
     {{"host", HOST},
      {"my-header1", " value1"},
      {"my-header2", " \"a   b   c\""},
      {"x-amz-date", TIME}},
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-header-key-sort",
     "POST",
     {{"x-amz-date", TIME}, {"my-header1", "value1"}, {"host", HOST}},
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     {{"host", HOST}, {"my-header1", "VALUE1"}, {"x-amz-date", TIME}},
     "",
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded",
     "POST",
     {{"content-type", "application/x-www-form-urlencoded"},
      {"host", HOST},
      {"x-amz-date", TIME}},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded, with the body's hash in a header",
     "POST",
     {{"content-type", "application/x-www-form-urlencoded"},
      {"host", HOST},
      {"content-length", "13"},
      {"x-amz-content-sha256",
       "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"},
      {"x-amz-date", TIME}},
     "Param1=value1",
     "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {"get-vanilla-with-session-token",
     "GET",
     {{"host", HOST}, {"x-amz-date", TIME}, {"x-amz-security-token", TOKEN}},
     "",
     "host;x-amz-date;x-amz-security-token",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-sts-header-before",
     "POST",
     {{"host", HOST},
      {"x-amz-date", TIME},
      {"x-amz-security-token", STS_TOKEN}},
     "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static struct kmse_sigv4_request suite_request(const struct suite_case *from)
{
    size_t count = 0;
    while (count < SUITE_HEADERS && from->headers[count].name != NULL)
        count++;
    return (struct kmse_sigv4_request){
        .method = from->method,
        .headers = from->headers,
        .header_count = count,
        .body = (const uint8_t *)from->body,
        .body_len = strlen(from->body),
    };
}

static void the_suite_of_aws(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(SUITE); i++) {
        struct kmse_sigv4_request request = suite_request(&SUITE[i]);
        char *value = NULL, expected[256];
        snprintf(expected, sizeof(expected),
                 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/"
                 "service/aws4_request, SignedHeaders=%s, Signature=%s",
                 SUITE[i].signed_names, SUITE[i].signature);
        expect_ok(kmse_sigv4_authorization(&value, crypto, &request, &SCOPE,
                                           "AKIDEXAMPLE", SECRET));
        if (strcmp(value, expected) != 0)
            fail_msg("%s: %s", SUITE[i].name, value);
        free(value);
    }
}

static void the_texts_of_aws(void **state)
{
    (void)state;
    struct kmse_sigv4_request request = suite_request(&SUITE[0]);
    char *canonical = NULL, *text = NULL;
    expect_ok(kmse_sigv4_canonical_request(&canonical, crypto, &request));
    assert_string_equal(canonical, "GET\n/\n\nhost:" HOST "\nx-amz-date:" TIME
                                   "\n\nhost;x-amz-date\n" EMPTY_SHA256);
    expect_ok(kmse_sigv4_string_to_sign(&text, crypto, &SCOPE, canonical));
    assert_string_equal(
        text,
        "AWS4-HMAC-SHA256\n" TIME "\n20150830/us-east-1/service/aws4_request\n"
        "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
    free(text);
    free(canonical);
}

/* "Examples of how to derive a signing key", AWS General Reference. */
static void the_signing_key_of_aws(void **state)
{
    (void)state;
    static const uint8_t expected[KMSE_HMAC_LEN] = {
        0xc4, 0xaf, 0xb1, 0xcc, 0x57, 0x71, 0xd8, 0x71, 0x76, 0x3a, 0x39,
        0x3e, 0x44, 0xb7, 0x03, 0x57, 0x1b, 0x55, 0xcc, 0x28, 0x42, 0x4d,
        0x1a, 0x5e, 0x86, 0xda, 0x6e, 0xd3, 0xc1, 0x54, 0xa4, 0xb9};
    const struct kmse_sigv4_scope scope = {
        .region = "us-east-1", .service = "iam", .time = TIME};
    uint8_t key[KMSE_HMAC_LEN];
    expect_ok(kmse_sigv4_signing_key(key, crypto, &scope, SECRET));
    assert_memory_equal(key, expected, sizeof(key));
}

/* --- what is refused, and what is left behind ---------------------------- */

static kmse_st sign_header(const char *name, const char *header_value)
{
    const struct kmse_sigv4_header headers[] = {
        {"host", HOST}, {name, header_value}, {"x-amz-date", TIME}};
    const struct kmse_sigv4_request request = {
        .method = "GET", .headers = headers, .header_count = COUNT(headers)};
    char *value = NULL;
    kmse_st st = kmse_sigv4_authorization(&value, crypto, &request, &SCOPE,
                                          "AKIDEXAMPLE", SECRET);
    assert_int_equal(kmse_is_ok(st), value != NULL);
    free(value);
    return st;
}

static void headers_that_cannot_be_sent_are_refused(void **state)
{
    (void)state;
    expect_ok(sign_header("a", ""));
    expect_ok(sign_header("a-1", " ~"));
    static const char *const NAMES[] = {"",   "Host", "host",  "x-amz-date",
                                        "a:", "a b",  "a\r\n", "\xc3\xa9"};
    static const char *const VALUES[] = {"a\nb: c", "a\r", "\t",
                                         "\x7f",    "é",   "\x1f"};
    for (size_t i = 0; i < COUNT(NAMES); i++)
        expect_reason(sign_header(NAMES[i], "v"), KMSE_R_PARAMETER);
    for (size_t i = 0; i < COUNT(VALUES); i++)
        expect_reason(sign_header("a", VALUES[i]), KMSE_R_PARAMETER);
}

static void as_many_headers_as_fit(void **state)
{
    (void)state;
    struct kmse_sigv4_header headers[KMSE_SIGV4_HEADERS_MAX + 1];
    char names[KMSE_SIGV4_HEADERS_MAX + 1][2], *canonical = NULL;
    struct kmse_sigv4_request request = {.method = "GET", .headers = headers};
    for (size_t i = 0; i < COUNT(headers); i++) {
        snprintf(names[i], sizeof(names[i]), "%c", (char)('z' - i));
        headers[i] = (struct kmse_sigv4_header){names[i], "v"};
    }
    request.header_count = KMSE_SIGV4_HEADERS_MAX;
    expect_ok(kmse_sigv4_canonical_request(&canonical, crypto, &request));
    assert_non_null(strstr(canonical, "\nk;l;m;n;o;p;q;r;s;t;u;v;w;x;y;z\n"));
    free(canonical);
    canonical = NULL;
    request.header_count++;
    expect_reason(kmse_sigv4_canonical_request(&canonical, crypto, &request),
                  KMSE_R_PARAMETER);
    assert_null(canonical);
}

static void words_that_break_the_header_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {"", "a b", "a/b", "a,b", "a\nb", "\x80"};
    const struct kmse_sigv4_request request = suite_request(&SUITE[0]);
    for (size_t i = 0; i < COUNT(BAD); i++) {
        struct kmse_sigv4_scope region = SCOPE, service = SCOPE;
        char *value = NULL;
        region.region = BAD[i];
        service.service = BAD[i];
        expect_reason(kmse_sigv4_authorization(&value, crypto, &request,
                                               &region, "AKID", SECRET),
                      KMSE_R_PARAMETER);
        expect_reason(kmse_sigv4_authorization(&value, crypto, &request,
                                               &service, "AKID", SECRET),
                      KMSE_R_PARAMETER);
        expect_reason(kmse_sigv4_authorization(&value, crypto, &request, &SCOPE,
                                               BAD[i], SECRET),
                      KMSE_R_PARAMETER);
        assert_null(value);
    }
}

static kmse_st sign_with_token(void)
{
    static const char *const SECRETS[] = {SECRET, TOKEN, NULL};
    const struct kmse_sigv4_header headers[] = {
        {"host", HOST}, {"x-amz-security-token", TOKEN}, {"x-amz-date", TIME}};
    const struct kmse_sigv4_request request = {
        .method = "GET", .headers = headers, .header_count = COUNT(headers)};
    char *value = NULL;
    secrets = SECRETS;
    kmse_st st = kmse_sigv4_authorization(&value, crypto, &request, &SCOPE,
                                          "AKIDEXAMPLE", SECRET);
    assert_int_equal(kmse_is_ok(st), value != NULL);
    free(value);
    secrets = NULL;
    return st;
}

static void no_secret_is_freed_as_it_was(void **state)
{
    (void)state;
    static const char *const SECRETS[] = {SECRET, NULL};
    char *copy = strdup("not wiped: " SECRET);
    assert_non_null(copy);
    frees_with_secret = 0;
    secrets = SECRETS;
    free(copy);
    assert_int_equal(frees_with_secret, 1);

    frees_with_secret = 0;
    expect_ok(sign_with_token());
    for (unsigned i = 1; i <= 5; i++) {
        macs_left = i;
        expect_reason(sign_with_token(), KMSE_R_CRYPTO);
    }
    assert_int_equal(frees_with_secret, 0);
}

static void a_failed_signing_key_is_wiped(void **state)
{
    (void)state;
    static const uint8_t zeros[KMSE_HMAC_LEN] = {0};
    for (unsigned i = 1; i <= 4; i++) {
        uint8_t key[KMSE_HMAC_LEN];
        memset(key, 'k', sizeof(key));
        macs_left = i;
        expect_reason(kmse_sigv4_signing_key(key, crypto, &SCOPE, SECRET),
                      KMSE_R_CRYPTO);
        assert_memory_equal(key, zeros, sizeof(key));
    }
}

static void memory_may_end_anywhere(void **state)
{
    (void)state;
    unsigned failed = 0;
    kmse_st st = KMSE_ERR(KMSE_R_MEMORY);
    while (!kmse_is_ok(st) && failed < STEPS_MAX) {
        mallocs_left = failed + 1;
        st = sign_with_token();
        if (!kmse_is_ok(st))
            failed++;
    }
    mallocs_left = 0;
    expect_ok(st);
    assert_true(failed >= 4); /* canonical, to sign, secret, value */
}

static void times_have_four_digit_years(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_s;
        const char *text;
    } TIMES[] = {
        {INT64_MIN, "19700101T000000Z"},
        {-1, "19700101T000000Z"},
        {0, "19700101T000000Z"},
        {951782399, "20000228T235959Z"},
        {951782400, "20000229T000000Z"},
        {1440938160, TIME},
        {4102444800, "21000101T000000Z"},
        {253402300799, "99991231T235959Z"},
        {253402300800, "99991231T235959Z"},
        {INT64_MAX, "99991231T235959Z"},
    };
    for (size_t i = 0; i < COUNT(TIMES); i++) {
        char text[KMSE_SIGV4_TIME_LEN];
        kmse_sigv4_time_print(text, TIMES[i].wall_s);
        assert_string_equal(text, TIMES[i].text);
    }
}

/* --- as botocore signs --------------------------------------------------- */

static const char *vectors_path = KMSE_VECTORS;
static cJSON *vectors;

static const char *text_of(const cJSON *item, const char *field)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, field));
    if (text == NULL)
        fail_msg("a request has no \"%s\"", field);
    return text;
}

static size_t headers_of(struct kmse_sigv4_header *headers, const cJSON *item)
{
    size_t count = 0;
    const cJSON *pair = NULL;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(item, "headers"))
    {
        assert_true(count < KMSE_SIGV4_HEADERS_MAX);
        headers[count++] = (struct kmse_sigv4_header){
            cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0)),
            cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1))};
    }
    return count;
}

static void expect_text(const cJSON *item, const char *field, const char *made)
{
    if (strcmp(made, text_of(item, field)) != 0)
        fail_msg("%s is\n%s\ninstead of\n%s", field, made,
                 text_of(item, field));
}

static void check_steps(const cJSON *item,
                        const struct kmse_sigv4_request *request,
                        const struct kmse_sigv4_scope *scope)
{
    char *canonical = NULL, *text = NULL;
    char signature[KMSE_SIGV4_SIGNATURE_LEN];
    uint8_t key[KMSE_HMAC_LEN];
    expect_ok(kmse_sigv4_canonical_request(&canonical, crypto, request));
    expect_text(item, "canonical_request", canonical);
    expect_ok(kmse_sigv4_string_to_sign(&text, crypto, scope, canonical));
    expect_text(item, "string_to_sign", text);
    expect_ok(kmse_sigv4_signing_key(key, crypto, scope,
                                     text_of(item, "secret_access_key")));
    expect_ok(kmse_sigv4_signature(signature, crypto, key, text));
    expect_text(item, "signature", signature);
    free(text);
    free(canonical);
}

static void check_request(const cJSON *item)
{
    struct kmse_sigv4_header headers[KMSE_SIGV4_HEADERS_MAX];
    struct kmse_sigv4_scope scope = {.region = text_of(item, "region"),
                                     .service = text_of(item, "service")};
    const char *body = text_of(item, "body");
    const struct kmse_sigv4_request request = {
        .method = text_of(item, "method"),
        .headers = headers,
        .header_count = headers_of(headers, item),
        .body = (const uint8_t *)body,
        .body_len = strlen(body),
    };
    double wall_s =
        cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "wall_s"));
    kmse_sigv4_time_print(scope.time, (int64_t)wall_s);
    expect_text(item, "time", scope.time);
    check_steps(item, &request, &scope);

    char *value = NULL;
    expect_ok(kmse_sigv4_authorization(&value, crypto, &request, &scope,
                                       text_of(item, "access_key_id"),
                                       text_of(item, "secret_access_key")));
    expect_text(item, "authorization", value);
    free(value);
}

static void each_step_is_botocores(void **state)
{
    (void)state;
    const cJSON *item = NULL,
                *list = cJSON_GetObjectItemCaseSensitive(vectors, "requests");
    assert_true(cJSON_GetArraySize(list) > 0);
    cJSON_ArrayForEach(item, list) check_request(item);
    print_message("%d requests\n", cJSON_GetArraySize(list));
}

static int set_up(void **state)
{
    (void)state;
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kmse_why why = {.text = ""};
    if (!kmse_is_ok(kmse_crypto_new(&crypto, NULL, false))
        || !kmse_is_ok(
            kmse_file_read(vectors_path, FILE_MAX, 0, &bytes, &len, &why))) {
        print_error("%s: %s\n", vectors_path, why.text);
        return -1;
    }
    vectors = cJSON_Parse((const char *)bytes);
    kmse_file_free_bytes(bytes, len);
    return vectors != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    kmse_crypto_free(crypto);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest of_file[] = {
        cmocka_unit_test(each_step_is_botocores),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_suite_of_aws),
        cmocka_unit_test(the_texts_of_aws),
        cmocka_unit_test(the_signing_key_of_aws),
        cmocka_unit_test(headers_that_cannot_be_sent_are_refused),
        cmocka_unit_test(as_many_headers_as_fit),
        cmocka_unit_test(words_that_break_the_header_are_refused),
        cmocka_unit_test(no_secret_is_freed_as_it_was),
        cmocka_unit_test(a_failed_signing_key_is_wiped),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(times_have_four_digit_years),
        cmocka_unit_test(each_step_is_botocores),
    };
    if (argc > 1) {
        vectors_path = argv[1];
        return cmocka_run_group_tests(of_file, set_up, tear_down);
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
