/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of AWS KMS: all that was asked for, as it should be, or nothing. */
#include "fuzz.h"

#include "base/bytes.h"
#include "kms/aws_message.h"

enum { TEXT_MAX = 1 << 14 };

static const unsigned FIELDS[] = {
    0,
    KMSE_AWS_FIELD_BLOB,
    KMSE_AWS_FIELD_PLAINTEXT,
    KMSE_AWS_FIELD_BLOB | KMSE_AWS_FIELD_PLAINTEXT,
    KMSE_AWS_FIELD_METADATA,
};
static struct kmse_pool *pool;

static void check_printable(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    FUZZ_CHECK(len < size);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_refusal(const struct kmse_aws_result *result, kmse_st st,
                          const struct kmse_why *why)
{
    static const struct kmse_aws_result UNTOUCHED = {.key_id = "untouched"};
    FUZZ_CHECK(st.reason == KMSE_R_KMS_ANSWER);
    FUZZ_CHECK(strcmp(result->key_id, UNTOUCHED.key_id) == 0);
    FUZZ_CHECK(result->blob.bytes == NULL && result->data_key.bytes == NULL);
    check_printable(why->text, sizeof(why->text));
}

static void check_result(const struct kmse_aws_result *result, unsigned fields)
{
    bool blob = (fields & KMSE_AWS_FIELD_BLOB) != 0;
    bool data_key = (fields & KMSE_AWS_FIELD_PLAINTEXT) != 0;
    bool metadata = (fields & KMSE_AWS_FIELD_METADATA) != 0;
    check_printable(result->key_id, sizeof(result->key_id));
    check_printable(result->key_state, sizeof(result->key_state));
    FUZZ_CHECK(result->key_id[0] != '\0');
    FUZZ_CHECK((result->key_state[0] != '\0') == metadata);
    FUZZ_CHECK((result->data_key.bytes != NULL) == data_key);
    FUZZ_CHECK((result->blob.bytes != NULL) == blob);
    FUZZ_CHECK((result->blob.len > 0) == blob);
    FUZZ_CHECK(result->blob.len <= KMSE_BLOB_MAX);
}

/* What was read, as KMS would write it, is read as the same. */
static void check_again(const struct kmse_aws_result *result)
{
    static const unsigned ALL = KMSE_AWS_FIELD_BLOB | KMSE_AWS_FIELD_PLAINTEXT;
    struct kmse_aws_result again;
    char *blob = NULL, *data_key = NULL, *text = malloc(TEXT_MAX);
    FUZZ_CHECK(text != NULL);
    FUZZ_OK(kmse_base64_encode(&blob, result->blob.bytes, result->blob.len));
    FUZZ_OK(
        kmse_base64_encode(&data_key, result->data_key.bytes, KMSE_SECRET_LEN));
    snprintf(text, TEXT_MAX,
             "{\"KeyId\":\"a\",\"CiphertextBlob\":\"%s\",\"Plaintext\":\"%s\"}",
             blob, data_key);
    FUZZ_OK(kmse_aws_result_parse(&again, pool, ALL, text, strlen(text), NULL));
    FUZZ_CHECK(again.blob.len == result->blob.len);
    FUZZ_CHECK(memcmp(again.blob.bytes, result->blob.bytes, again.blob.len)
               == 0);
    FUZZ_CHECK(
        memcmp(again.data_key.bytes, result->data_key.bytes, KMSE_SECRET_LEN)
        == 0);
    kmse_aws_result_wipe(&again);
    free(text);
    free(data_key);
    free(blob);
}

static void check_answer(const char *text, size_t size, unsigned fields)
{
    struct kmse_aws_result result = {.key_id = "untouched"};
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_aws_result_parse(&result, pool, fields, text, size, &why);
    if (!kmse_is_ok(st)) {
        check_refusal(&result, st, &why);
        return;
    }
    check_result(&result, fields);
    if (result.blob.bytes != NULL && result.data_key.bytes != NULL)
        check_again(&result);
    kmse_aws_result_wipe(&result);
}

/* Whatever it says, it is a failure, and of the KMS. */
static void check_error(const char *text, size_t size)
{
    static const int STATUSES[] = {201, 302, 400, 403, 404, 429, 500, 503};
    struct kmse_aws_error error;
    memset(&error, 'x', sizeof(error));
    kmse_aws_error_parse(&error, text, size);
    check_printable(error.code, sizeof(error.code));
    check_printable(error.text, sizeof(error.text));
    FUZZ_CHECK(strchr(error.code, ':') == NULL);
    for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
        int reason = kmse_aws_error_reason(&error, STATUSES[i]);
        FUZZ_CHECK(reason >= KMSE_R_KMS_UNREACHABLE
                   && reason <= KMSE_R_KMS_REFUSED);
        FUZZ_CHECK(!kmse_aws_error_is_skew(&error)
                   || reason == KMSE_R_KMS_CREDENTIALS);
        FUZZ_CHECK(!kmse_aws_error_is_credentials(&error)
                   || reason == KMSE_R_KMS_CREDENTIALS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (pool == NULL)
        FUZZ_OK(kmse_pool_new(&pool));
    char *text = fuzz_text(data, size);
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
        check_answer(text, size, FIELDS[i]);
    check_error(text, size);
    free(text);
    return 0;
}
