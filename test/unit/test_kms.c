/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption contexts, blobs, URIs and classes of failure. */
#include "kms/kms.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/backend.h"
#include "test.h"

static void context_is_sorted_by_name(void **state)
{
    (void)state;
    struct kmse_kms_context context = {0};
    static const char *const names[] = {"m", "z", "a", "b", "zz"};
    for (size_t i = 0; i < 5; i++)
        expect_ok(kmse_kms_context_add(&context, names[i], names[i]));
    static const char *const sorted[] = {"a", "b", "m", "z", "zz"};
    assert_int_equal(context.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(context.pairs[i].name, sorted[i]);
    kmse_kms_context_wipe(&context);
    assert_null(context.pairs);
}

static void context_refuses_bad_pairs(void **state)
{
    (void)state;
    struct kmse_kms_context context = {0};
    expect_ok(kmse_kms_context_add(&context, "tenant", ""));
    static const char *const bad[][2] = {
        {"tenant", "again"}, {"", "no name"},
        {"name\xff", "v"},   {"name", "\xc0\x80"},
        {"cut", "\xe2\x82"}, {"surrogate", "\xed\xa0\x80"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        kmse_st st = kmse_kms_context_add(&context, bad[i][0], bad[i][1]);
        expect_reason(st, KMSE_R_PARAMETER);
    }
    assert_int_equal(context.count, 1);
    expect_ok(kmse_kms_context_add(&context, "st\xc3\xa4tte", "\xe2\x82\xac"));
    kmse_kms_context_wipe(&context);
}

static void context_has_a_limit(void **state)
{
    (void)state;
    struct kmse_kms_context context = {0};
    char long_text[8193];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    kmse_st st = kmse_kms_context_add(&context, "n", long_text);
    expect_reason(st, KMSE_R_PARAMETER);
    long_text[8191] = '\0';
    expect_ok(kmse_kms_context_add(&context, "n", long_text));
    st = kmse_kms_context_add(&context, "m", "");
    expect_reason(st, KMSE_R_PARAMETER);
    kmse_kms_context_wipe(&context);
}

static void context_copies_and_compares(void **state)
{
    (void)state;
    struct kmse_kms_context a = {0}, b = {0}, empty = {0}, copy = {0};
    expect_ok(kmse_kms_context_add(&a, "x", "1"));
    expect_ok(kmse_kms_context_add(&a, "y", "2"));
    expect_ok(kmse_kms_context_copy(&b, &a));
    assert_true(kmse_kms_context_equal(&a, &b));
    assert_false(kmse_kms_context_equal(&a, &empty));
    expect_ok(kmse_kms_context_add(&b, "z", "3"));
    assert_false(kmse_kms_context_equal(&a, &b));
    expect_ok(kmse_kms_context_copy(&copy, &empty));
    assert_true(kmse_kms_context_equal(&copy, &empty));
    kmse_kms_context_wipe(&b);

    expect_ok(kmse_kms_context_add(&b, "x", "1"));
    expect_ok(kmse_kms_context_add(&b, "y", "3"));
    assert_false(kmse_kms_context_equal(&a, &b));
    kmse_kms_context_wipe(&b);
    kmse_kms_context_wipe(&a);
}

/* {"ab": "c"} and {"a": "bc"} must not be the same bytes. */
static void context_encoding_is_injective(void **state)
{
    (void)state;
    struct kmse_kms_context a = {0}, b = {0};
    expect_ok(kmse_kms_context_add(&a, "ab", "c"));
    expect_ok(kmse_kms_context_add(&b, "a", "bc"));
    uint8_t *a_bytes = NULL, *b_bytes = NULL;
    size_t a_len = 0, b_len = 0;
    expect_ok(kmse_kms_context_encode(&a_bytes, &a_len, &a));
    expect_ok(kmse_kms_context_encode(&b_bytes, &b_len, &b));
    static const uint8_t expected[] = {0,   0,   0, 1, 0, 0, 0,  2,
                                       'a', 'b', 0, 0, 0, 1, 'c'};
    assert_int_equal(a_len, sizeof(expected));
    assert_memory_equal(a_bytes, expected, sizeof(expected));
    assert_int_equal(b_len, a_len);
    assert_memory_not_equal(a_bytes, b_bytes, a_len);
    free(a_bytes);
    free(b_bytes);
    kmse_kms_context_wipe(&a);
    kmse_kms_context_wipe(&b);
}

static void blob_copies(void **state)
{
    (void)state;
    uint8_t bytes[] = {1, 2, 3};
    struct kmse_blob blob = {bytes, sizeof(bytes)}, empty = {0}, copy = {0};
    expect_ok(kmse_blob_copy(&copy, &blob));
    assert_int_equal(copy.len, sizeof(bytes));
    assert_memory_equal(copy.bytes, bytes, sizeof(bytes));
    kmse_blob_wipe(&copy);
    assert_null(copy.bytes);
    expect_ok(kmse_blob_copy(&copy, &empty));
    assert_int_equal(copy.len, 0);
    kmse_blob_wipe(&copy);
}

static void every_failure_has_a_class(void **state)
{
    (void)state;
    static const struct {
        int reason;
        enum kmse_kms_class class;
    } expected[] = {
        {KMSE_R_KMS_UNREACHABLE, KMSE_KMS_RETRYABLE},
        {KMSE_R_KMS_THROTTLED, KMSE_KMS_RETRYABLE},
        {KMSE_R_KMS_TIMEOUT, KMSE_KMS_RETRYABLE},
        {KMSE_R_KMS_DENIED, KMSE_KMS_DENIED},
        {KMSE_R_KMS_DISABLED, KMSE_KMS_DENIED},
        {KMSE_R_KMS_KEY_NOT_FOUND, KMSE_KMS_NOT_FOUND},
        {KMSE_R_KMS_BLOB, KMSE_KMS_FATAL},
        {KMSE_R_KMS_WRONG_KEY, KMSE_KMS_FATAL},
        {KMSE_R_KMS_ANSWER, KMSE_KMS_FATAL},
        {KMSE_R_FILE_MODE, KMSE_KMS_FATAL},
        {KMSE_R_MEMORY, KMSE_KMS_FATAL},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(kmse_kms_classify(KMSE_ERR(expected[i].reason)),
                         expected[i].class);
}

static void uri_is_made_absolute(void **state)
{
    (void)state;
    char *uri = NULL;
    struct kmse_kms *kms = NULL;
    struct kmse_why why = {0};
    expect_ok(kmse_kms_new(&kms, NULL, NULL, &kmse_clock_system, NULL));
    expect_ok(kmse_kms_resolve(&uri, kms, "local:/etc/master.json", &why));
    assert_string_equal(uri, "local:/etc/master.json");
    free(uri);

    assert_int_equal(chdir("/usr"), 0);
    expect_ok(kmse_kms_resolve(&uri, kms, "local:master.json", &why));
    assert_string_equal(uri, "local:/usr/master.json");
    free(uri);
    assert_int_equal(chdir("/"), 0);
    expect_ok(kmse_kms_resolve(&uri, kms, "local:a/b", &why));
    assert_string_equal(uri, "local:/a/b");
    free(uri);
    kmse_kms_free(kms);
}

static void bad_uris_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "local",     "local:",   "LOCAL:/x",      "/x",
        "gcp-kms:x", " local:/x", "aws-kms:", "aws-kms:no key"};
    struct kmse_kms *kms = NULL;
    expect_ok(kmse_kms_new(&kms, NULL, NULL, &kmse_clock_system, NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *uri = NULL;
        struct kmse_why why = {0};
        kmse_st st = kmse_kms_resolve(&uri, kms, bad[i], &why);
        expect_reason(st, KMSE_R_KMS_URI);
        assert_non_null(strstr(why.text, bad[i]));
        assert_null(uri);
    }
    kmse_kms_free(kms);
}

static void a_call_that_goes_nowhere_is_not_counted(void **state)
{
    (void)state;
    struct kmse_kms *kms = NULL;
    struct kmse_kms_description description;
    struct kmse_why why = {0};
    expect_ok(kmse_kms_new(&kms, NULL, NULL, &kmse_clock_system, NULL));
    kmse_st st = kmse_kms_describe(kms, "nowhere:x", &description, &why);
    expect_reason(st, KMSE_R_KMS_URI);
    assert_int_equal(kmse_kms_calls(kms), 0);
    kmse_kms_free(kms);
    kmse_kms_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_is_sorted_by_name),
        cmocka_unit_test(context_refuses_bad_pairs),
        cmocka_unit_test(context_has_a_limit),
        cmocka_unit_test(context_copies_and_compares),
        cmocka_unit_test(context_encoding_is_injective),
        cmocka_unit_test(blob_copies),
        cmocka_unit_test(every_failure_has_a_class),
        cmocka_unit_test(uri_is_made_absolute),
        cmocka_unit_test(bad_uris_are_refused_by_name),
        cmocka_unit_test(a_call_that_goes_nowhere_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
