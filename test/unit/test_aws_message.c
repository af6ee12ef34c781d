/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of AWS KMS: requests as it wants them, answers taken or refused. */
#include "kms/aws_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/bytes.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define ARN                                                                    \
    "arn:aws:kms:eu-west-1:111122223333:key/"                                  \
    "1234abcd-12ab-34cd-56ef-1234567890ab"

enum {
    BLOB = KMSE_AWS_FIELD_BLOB,
    PLAINTEXT = KMSE_AWS_FIELD_PLAINTEXT,
    METADATA = KMSE_AWS_FIELD_METADATA,
    BITS = 8,
    ANSWER_MAX = 1 << 14,
};

static struct kmse_pool *pool;

static int set_up(void **state)
{
    (void)state;
    return kmse_is_ok(kmse_pool_new(&pool)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_pool_free(pool);
    return 0;
}

/* --- requests ------------------------------------------------------------ */

static struct kmse_secret data_key_of(uint8_t byte)
{
    struct kmse_secret data_key = {0};
    expect_ok(kmse_secret_init(&data_key, pool));
    memset(data_key.bytes, byte, KMSE_SECRET_LEN);
    return data_key;
}

/* Compared as JSON; what is printed is one line, and as long as it says. */
static void expect_body(struct kmse_aws_body *body, kmse_st st,
                        const char *expected)
{
    expect_ok(st);
    assert_int_equal(strlen(body->text), body->len);
    cJSON *made = cJSON_ParseWithOpts(body->text, NULL, 1);
    cJSON *wanted = cJSON_ParseWithOpts(expected, NULL, 1);
    assert_non_null(made);
    assert_non_null(wanted);
    if (!cJSON_Compare(made, wanted, 1))
        fail_msg("%s", body->text);
    cJSON_Delete(wanted);
    cJSON_Delete(made);
    kmse_aws_body_wipe(body);
    assert_null(body->text);
}

static void requests_are_as_kms_wants_them(void **state)
{
    (void)state;
    struct kmse_aws_body body = {0};
    struct kmse_kms_context context = {0}, other = {0};
    struct kmse_secret data_key = data_key_of(0xFF);
    uint8_t bytes[] = {0, 1, 0xFE};
    const struct kmse_blob blob = {bytes, sizeof(bytes)};
    expect_ok(kmse_kms_context_add(&context, "kms-envelope:version", "1"));
    expect_ok(kmse_kms_context_add(&context, "name", "Z\xc3\xbcrich \"\\\n"));
    expect_ok(kmse_kms_context_add(&other, "a", ""));

    expect_body(&body, kmse_aws_print_generate(&body, "alias/a", &context),
                "{\"KeyId\":\"alias/a\",\"KeySpec\":\"AES_256\","
                "\"EncryptionContext\":{\"kms-envelope:version\":\"1\","
                "\"name\":\"Z\xc3\xbcrich \\\"\\\\\\n\"}}");
    expect_body(&body, kmse_aws_print_encrypt(&body, ARN, &other, &data_key),
                "{\"KeyId\":\"" ARN "\",\"Plaintext\":"
                "\"//////////////////////////////////////////8=\","
                "\"EncryptionContext\":{\"a\":\"\"}}");
    expect_body(&body, kmse_aws_print_decrypt(&body, ARN, &other, &blob),
                "{\"KeyId\":\"" ARN "\",\"CiphertextBlob\":\"AAH+\","
                "\"EncryptionContext\":{\"a\":\"\"}}");
    expect_body(&body,
                kmse_aws_print_reencrypt(&body, "alias/a", &context, &blob, ARN,
                                         &other),
                "{\"SourceKeyId\":\"alias/a\",\"CiphertextBlob\":\"AAH+\","
                "\"SourceEncryptionContext\":{\"kms-envelope:version\":\"1\","
                "\"name\":\"Z\xc3\xbcrich \\\"\\\\\\n\"},"
                "\"DestinationKeyId\":\"" ARN "\","
                "\"DestinationEncryptionContext\":{\"a\":\"\"}}");
    expect_body(&body, kmse_aws_print_describe(&body, "alias/a"),
                "{\"KeyId\":\"alias/a\"}");

    kmse_secret_wipe(&data_key);
    kmse_kms_context_wipe(&other);
    kmse_kms_context_wipe(&context);
}

static void an_empty_context_is_not_sent(void **state)
{
    (void)state;
    struct kmse_aws_body body = {0};
    const struct kmse_kms_context none = {0};
    uint8_t bytes[] = {0};
    const struct kmse_blob blob = {bytes, sizeof(bytes)};
    expect_body(&body, kmse_aws_print_generate(&body, "alias/a", &none),
                "{\"KeyId\":\"alias/a\",\"KeySpec\":\"AES_256\"}");
    expect_body(&body, kmse_aws_print_decrypt(&body, "alias/a", &none, &blob),
                "{\"KeyId\":\"alias/a\",\"CiphertextBlob\":\"AA==\"}");
    expect_body(&body,
                kmse_aws_print_reencrypt(&body, "alias/a", &none, &blob,
                                         "alias/b", &none),
                "{\"SourceKeyId\":\"alias/a\",\"CiphertextBlob\":\"AA==\","
                "\"DestinationKeyId\":\"alias/b\"}");
}

/* The longest context there is, and each letter of it printed as six. */
static void a_body_has_its_limit(void **state)
{
    (void)state;
    enum { CONTEXT_MAX = 8192 };
    static char value[CONTEXT_MAX];
    static uint8_t bytes[KMSE_BLOB_MAX];
    const struct kmse_blob blob = {bytes, sizeof(bytes)};
    struct kmse_kms_context context = {0};
    struct kmse_aws_body body = {0};
    memset(value, 1, sizeof(value) - 1);
    expect_ok(kmse_kms_context_add(&context, "n", value));
    expect_ok(kmse_aws_print_decrypt(&body, ARN, &context, &blob));
    assert_true(body.len > 6 * strlen(value) + KMSE_BLOB_MAX / 3 * 4);
    kmse_aws_body_wipe(&body);
    expect_reason(
        kmse_aws_print_reencrypt(&body, ARN, &context, &blob, ARN, &context),
        KMSE_R_PARAMETER);
    assert_null(body.text);
    kmse_kms_context_wipe(&context);
}

/* --- answers ------------------------------------------------------------- */

#define ONES   "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" /* 32 bytes 01 */
#define KEY_ID "\"KeyId\":\"" ARN "\""
#define KEY    "\"Plaintext\":\"" ONES "\""
#define A_BLOB "\"CiphertextBlob\":\"AAH+\""

static const struct {
    const char *json, *key_id, *state;
    unsigned fields;
} TAKEN[] = {
    {"{" KEY_ID "}", ARN, "", 0},
    {"{" KEY_ID "," A_BLOB "," KEY "}", ARN, "", BLOB | PLAINTEXT},
    {"{" A_BLOB "," KEY "," KEY_ID ",\"KeyMaterialId\":\"0a\"}", ARN, "",
     BLOB | PLAINTEXT},
    {"{" KEY_ID "," KEY ",\"EncryptionAlgorithm\":\"SYMMETRIC_DEFAULT\"}", ARN,
     "", PLAINTEXT},
    {" {\n" KEY_ID " ,\t" A_BLOB "}\r\n", ARN, "", BLOB},
    {"{" KEY_ID "," A_BLOB ",\"Plaintext\":1,\"x\":[{}],\"x\":{}}", ARN, "",
     BLOB},
    {"{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":\"Enabled\","
     "\"KeyId\":\"1234\",\"MultiRegion\":false}}",
     ARN, "Enabled", METADATA},
    {"{\"KeyMetadata\":{\"KeyState\":\"PendingReplicaDeletion\",\"Arn\":"
     "\"" ARN "\"}," KEY "}",
     ARN, "PendingReplicaDeletion", METADATA},
};

static kmse_st parse(struct kmse_aws_result *result, unsigned fields,
                     const char *json, struct kmse_why *why)
{
    return kmse_aws_result_parse(result, pool, fields, json, strlen(json), why);
}

static void answers_are_taken(void **state)
{
    (void)state;
    uint8_t ones[KMSE_SECRET_LEN];
    memset(ones, 1, sizeof(ones));
    for (size_t i = 0; i < COUNT(TAKEN); i++) {
        struct kmse_aws_result result;
        struct kmse_why why = {.text = ""};
        kmse_st st = parse(&result, TAKEN[i].fields, TAKEN[i].json, &why);
        if (!kmse_is_ok(st))
            fail_msg("%s: %s", TAKEN[i].json, why.text);
        assert_string_equal(result.key_id, TAKEN[i].key_id);
        assert_string_equal(result.key_state, TAKEN[i].state);
        assert_int_equal(result.blob.bytes != NULL,
                         (TAKEN[i].fields & BLOB) != 0);
        assert_int_equal(result.data_key.bytes != NULL,
                         (TAKEN[i].fields & PLAINTEXT) != 0);
        if (result.blob.bytes != NULL) {
            assert_int_equal(result.blob.len, 3);
            assert_memory_equal(result.blob.bytes, "\0\1\xfe", 3);
        }
        if (result.data_key.bytes != NULL)
            assert_memory_equal(result.data_key.bytes, ones, sizeof(ones));
        kmse_aws_result_wipe(&result);
        assert_null(result.data_key.bytes);
    }
}

/* The text names the field that is bad. */
static const struct {
    const char *json, *named;
    unsigned fields;
} REFUSED[] = {
    {"", "JSON", 0},
    {"null", "JSON", 0},
    {"[]", "JSON", 0},
    {"\"KeyId\"", "JSON", 0},
    {"{" KEY_ID "}{}", "JSON", 0},
    {"{" KEY_ID "} x", "JSON", 0},
    {"{" KEY_ID ",}", "JSON", 0},
    {"<html>502 Bad Gateway</html>", "JSON", 0},
    {"{\"KeyId\":\"a\\u0000b\"}", "JSON", 0},
    {"[{" KEY_ID "}]", "JSON", 0},

    {"{}", "KeyId", 0},
    {"{\"keyid\":\"" ARN "\"}", "KeyId", 0},
    {"{\"KeyId\":null}", "KeyId", 0},
    {"{\"KeyId\":7}", "KeyId", 0},
    {"{\"KeyId\":[\"" ARN "\"]}", "KeyId", 0},
    {"{\"KeyId\":\"\"}", "KeyId", 0},
    {"{" KEY_ID "," KEY_ID "}", "KeyId", 0},
    {"{" KEY_ID "," A_BLOB ",\"KeyId\":1}", "KeyId", BLOB},

    {"{" KEY_ID "}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"ciphertextblob\":\"AAH+\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":null}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":{}}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"AAH\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"AAH-\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"AA H+\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"AAF=\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID ",\"CiphertextBlob\":\"AAH+\\n\"}", "CiphertextBlob", BLOB},
    {"{" KEY_ID "," A_BLOB "," A_BLOB "}", "CiphertextBlob", BLOB},

    {"{" KEY_ID "," A_BLOB "}", "Plaintext", BLOB | PLAINTEXT},
    {"{" KEY_ID ",\"plaintext\":\"" ONES "\"}", "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":null}", "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":[1,1,1]}", "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":\"\"}", "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF=\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=====\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":"
     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ$=\"}",
     "Plaintext", PLAINTEXT},
    {"{" KEY_ID "," KEY "," KEY "}", "Plaintext", PLAINTEXT},
    {"{" KEY_ID ",\"Plaintext\":\"\"," KEY "}", "Plaintext", PLAINTEXT},

    {"{" KEY_ID "}", "Arn", METADATA},
    {"{\"KeyMetadata\":null}", "Arn", METADATA},
    {"{\"KeyMetadata\":[\"Arn\",\"" ARN "\"]}", "Arn", METADATA},
    {"{\"KeyMetadata\":{\"KeyState\":\"Enabled\"}}", "Arn", METADATA},
    {"{\"KeyMetadata\":{\"Arn\":\"a\",\"Arn\":\"b\",\"KeyState\":\"\"}}", "Arn",
     METADATA},
    {"{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":\"Enabled\"},"
     "\"KeyMetadata\":{}}",
     "Arn", METADATA},
    {"{\"KeyMetadata\":{\"Arn\":\"" ARN "\"}}", "KeyState", METADATA},
    {"{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":1}}", "KeyState",
     METADATA},
    {"{\"KeyMetadata\":{\"Arn\":\"" ARN "\",\"KeyState\":"
     "\"a state of thirty-two letters ...\"}}",
     "KeyState", METADATA},
};

/* On failure nothing is set. */
static void expect_refused(const char *json, unsigned fields, const char *named)
{
    struct kmse_aws_result result = {.key_id = "untouched"};
    struct kmse_why why = {.text = ""};
    kmse_st st = parse(&result, fields, json, &why);
    if (st.reason != KMSE_R_KMS_ANSWER)
        fail_msg("%s: %d", json, st.reason);
    if (strstr(why.text, named) == NULL)
        fail_msg("%s: %s", json, why.text);
    assert_null(strstr(why.text, "AQEB"));
    assert_string_equal(result.key_id, "untouched");
    assert_null(result.blob.bytes);
    assert_null(result.data_key.bytes);
}

static void other_answers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(REFUSED); i++)
        expect_refused(REFUSED[i].json, REFUSED[i].fields, REFUSED[i].named);
}

static void texts_have_their_limits(void **state)
{
    (void)state;
    char json[ANSWER_MAX];
    struct kmse_aws_result result;
    snprintf(json, sizeof(json), "{\"KeyId\":\"%0*d\"}", KMSE_AWS_ARN_LEN - 1,
             0);
    expect_ok(parse(&result, 0, json, NULL));
    assert_int_equal(strlen(result.key_id), KMSE_AWS_ARN_LEN - 1);
    snprintf(json, sizeof(json), "{\"KeyId\":\"%0*d\"}", KMSE_AWS_ARN_LEN, 0);
    expect_refused(json, 0, "KeyId");
}

static void blobs_have_their_limit(void **state)
{
    (void)state;
    char json[ANSWER_MAX], text[ANSWER_MAX / 2 + ANSWER_MAX / 4];
    struct kmse_aws_result result;
    size_t text_len = KMSE_BLOB_MAX / 3 * 4;
    memset(text, 'A', sizeof(text));
    snprintf(json, sizeof(json), "{" KEY_ID ",\"CiphertextBlob\":\"%.*s\"}",
             (int)text_len, text);
    expect_ok(parse(&result, BLOB, json, NULL));
    assert_int_equal(result.blob.len, KMSE_BLOB_MAX);
    kmse_aws_result_wipe(&result);
    snprintf(json, sizeof(json), "{" KEY_ID ",\"CiphertextBlob\":\"%.*s\"}",
             (int)text_len + 4, text);
    expect_refused(json, BLOB, "CiphertextBlob");
    text[text_len + 2] = text[text_len + 3] = '='; /* one byte over */
    snprintf(json, sizeof(json), "{" KEY_ID ",\"CiphertextBlob\":\"%.*s\"}",
             (int)text_len + 4, text);
    expect_refused(json, BLOB, "CiphertextBlob");
}

static void a_full_pool_is_told(void **state)
{
    (void)state;
    static const char JSON[] = "{" KEY_ID "," A_BLOB "," KEY "}";
    enum { SLOTS_MAX = 1 << 16 };
    static struct kmse_secret slots[SLOTS_MAX];
    size_t count = 0;
    while (count < SLOTS_MAX
           && kmse_is_ok(kmse_secret_init(&slots[count], pool)))
        count++;
    if (count == SLOTS_MAX)
        fail_msg("the pool is never full");
    struct kmse_aws_result result = {.key_id = "untouched"};
    expect_reason(parse(&result, BLOB | PLAINTEXT, JSON, NULL),
                  KMSE_R_SECURE_MEMORY);
    assert_string_equal(result.key_id, "untouched");
    while (count > 0)
        kmse_secret_wipe(&slots[--count]);
}

/* --- broken answers ------------------------------------------------------ */

static const char WHOLE[] = "{" KEY_ID "," A_BLOB "," KEY ",\"More\":[1,true]}";

/* In memory of its size, so that a sanitizer sees a byte over. */
static kmse_st parse_copy(struct kmse_aws_result *result, const char *json,
                          size_t len)
{
    struct kmse_why why = {.text = ""};
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, json, len);
    copy[len] = '\0';
    kmse_st st =
        kmse_aws_result_parse(result, pool, BLOB | PLAINTEXT, copy, len, &why);
    free(copy);
    return st;
}

static void truncated_answers_are_refused(void **state)
{
    (void)state;
    struct kmse_aws_result result = {0};
    expect_ok(parse_copy(&result, WHOLE, strlen(WHOLE)));
    kmse_aws_result_wipe(&result);
    for (size_t len = 0; len < strlen(WHOLE); len++) {
        struct kmse_aws_result none = {0};
        expect_reason(parse_copy(&none, WHOLE, len), KMSE_R_KMS_ANSWER);
        assert_null(none.data_key.bytes);
        expect_reason(
            parse_copy(&none, WHOLE + len + 1, strlen(WHOLE) - len - 1),
            KMSE_R_KMS_ANSWER);
    }
}

/* The data key is what the text now says, in 32 bytes, and never another. */
static void expect_key_of(const struct kmse_aws_result *result,
                          const char *json)
{
    char text[sizeof(ONES)] = "";
    uint8_t *bytes = NULL;
    size_t len = 0;
    memcpy(text, json + (strstr(WHOLE, ONES) - WHOLE), strlen(ONES));
    expect_ok(kmse_base64_decode(&bytes, &len, text));
    assert_int_equal(len, KMSE_SECRET_LEN);
    assert_memory_equal(result->data_key.bytes, bytes, KMSE_SECRET_LEN);
    free(bytes);
}

static void flipped_answers_give_no_other_key(void **state)
{
    (void)state;
    unsigned taken = 0, refused = 0;
    for (size_t bit = 0; bit < strlen(WHOLE) * BITS; bit++) {
        struct kmse_aws_result result = {0};
        char json[sizeof(WHOLE)];
        memcpy(json, WHOLE, sizeof(WHOLE));
        json[bit / BITS] = (char)(json[bit / BITS] ^ 1 << bit % BITS);
        kmse_st st = parse_copy(&result, json, strlen(WHOLE));
        if (kmse_is_ok(st)) {
            expect_key_of(&result, json);
            taken++;
        } else {
            assert_null(result.data_key.bytes);
            assert_null(result.blob.bytes);
            refused++;
        }
        kmse_aws_result_wipe(&result);
    }
    assert_true(taken > 0 && refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_as_kms_wants_them),
        cmocka_unit_test(an_empty_context_is_not_sent),
        cmocka_unit_test(a_body_has_its_limit),
        cmocka_unit_test(answers_are_taken),
        cmocka_unit_test(other_answers_are_refused),
        cmocka_unit_test(texts_have_their_limits),
        cmocka_unit_test(blobs_have_their_limit),
        cmocka_unit_test(a_full_pool_is_told),
        cmocka_unit_test(truncated_answers_are_refused),
        cmocka_unit_test(flipped_answers_give_no_other_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
