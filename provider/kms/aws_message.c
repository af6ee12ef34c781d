/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of AWS KMS. */
#include "kms/aws_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "base/json.h"

/* --- requests ----------------------------------------------------------- */

void kmse_aws_body_wipe(struct kmse_aws_body *body)
{
    if (body->text != NULL)
        OPENSSL_cleanse(body->text, KMSE_AWS_BODY_MAX);
    free(body->text);
    *body = (struct kmse_aws_body){0};
}

/* Into memory of its full size: growing would leave copies behind. */
static kmse_st print_object(struct kmse_aws_body *body, cJSON *object)
{
    char *text = malloc(KMSE_AWS_BODY_MAX);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (!cJSON_PrintPreallocated(object, text, KMSE_AWS_BODY_MAX, false)) {
        OPENSSL_cleanse(text, KMSE_AWS_BODY_MAX);
        free(text);
        return KMSE_ERR(KMSE_R_PARAMETER);
    }
    *body = (struct kmse_aws_body){text, strlen(text)};
    return KMSE_OK;
}

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool add_bytes(cJSON *object, const char *name, const uint8_t *bytes,
                      size_t len)
{
    char *text = NULL;
    if (!kmse_is_ok(kmse_base64_encode(&text, bytes, len)))
        return false;
    bool added = add_text(object, name, text);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    return added;
}

static bool add_context(cJSON *object, const char *name,
                        const struct kmse_kms_context *context)
{
    if (context->count == 0)
        return true;
    cJSON *pairs = cJSON_AddObjectToObject(object, name);
    bool added = pairs != NULL;
    for (size_t i = 0; added && i < context->count; i++)
        added =
            add_text(pairs, context->pairs[i].name, context->pairs[i].value);
    return added;
}

/* Prints what was added, if all of it was, and wipes it. */
static kmse_st finish(struct kmse_aws_body *body, cJSON *object, bool added)
{
    kmse_st st = added ? print_object(body, object) : KMSE_ERR(KMSE_R_MEMORY);
    kmse_json_wipe(object);
    return st;
}

kmse_st kmse_aws_print_generate(struct kmse_aws_body *body, const char *key_id,
                                const struct kmse_kms_context *context)
{
    cJSON *object = cJSON_CreateObject();
    bool added = add_text(object, "KeyId", key_id)
                 && add_text(object, "KeySpec", "AES_256")
                 && add_context(object, "EncryptionContext", context);
    return finish(body, object, added);
}

kmse_st kmse_aws_print_encrypt(struct kmse_aws_body *body, const char *key_id,
                               const struct kmse_kms_context *context,
                               const struct kmse_secret *data_key)
{
    cJSON *object = cJSON_CreateObject();
    bool added =
        add_text(object, "KeyId", key_id)
        && add_bytes(object, "Plaintext", data_key->bytes, KMSE_SECRET_LEN)
        && add_context(object, "EncryptionContext", context);
    return finish(body, object, added);
}

kmse_st kmse_aws_print_decrypt(struct kmse_aws_body *body, const char *key_id,
                               const struct kmse_kms_context *context,
                               const struct kmse_blob *blob)
{
    cJSON *object = cJSON_CreateObject();
    bool added = add_text(object, "KeyId", key_id)
                 && add_bytes(object, "CiphertextBlob", blob->bytes, blob->len)
                 && add_context(object, "EncryptionContext", context);
    return finish(body, object, added);
}

kmse_st kmse_aws_print_reencrypt(struct kmse_aws_body *body,
                                 const char *from_id,
                                 const struct kmse_kms_context *from_context,
                                 const struct kmse_blob *from_blob,
                                 const char *to_id,
                                 const struct kmse_kms_context *to_context)
{
    cJSON *object = cJSON_CreateObject();
    bool added =
        add_text(object, "SourceKeyId", from_id)
        && add_bytes(object, "CiphertextBlob", from_blob->bytes, from_blob->len)
        && add_context(object, "SourceEncryptionContext", from_context)
        && add_text(object, "DestinationKeyId", to_id)
        && add_context(object, "DestinationEncryptionContext", to_context);
    return finish(body, object, added);
}

kmse_st kmse_aws_print_describe(struct kmse_aws_body *body, const char *key_id)
{
    cJSON *object = cJSON_CreateObject();
    return finish(body, object, add_text(object, "KeyId", key_id));
}

/* --- answers ------------------------------------------------------------ */

void kmse_aws_result_wipe(struct kmse_aws_result *result)
{
    kmse_blob_wipe(&result->blob);
    kmse_secret_wipe(&result->data_key);
}

/* NULL if it is not there, or there twice: which of them would be meant? */
static const cJSON *get_member(const cJSON *object, const char *name)
{
    const cJSON *found = NULL, *member = NULL;
    if (!cJSON_IsObject(object))
        return NULL;
    cJSON_ArrayForEach(member, object)
    {
        if (strcmp(member->string, name) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = member;
    }
    return found;
}

static const char *get_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(get_member(object, name));
}

static kmse_st bad_field(const char *field, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_KMS_ANSWER,
                     "its %s is missing or not what it should be", field);
}

static kmse_st take_text(char *out, size_t out_size, const cJSON *object,
                         const char *field, struct kmse_why *why)
{
    const char *text = get_text(object, field);
    if (text == NULL || text[0] == '\0' || strlen(text) >= out_size)
        return bad_field(field, why);
    kmse_printable_copy(out, out_size, (const uint8_t *)text, strlen(text));
    return KMSE_OK;
}

static kmse_st take_blob(struct kmse_blob *blob, const cJSON *object,
                         struct kmse_why *why)
{
    static const char FIELD[] = "CiphertextBlob";
    const char *text = get_text(object, FIELD);
    struct kmse_blob read = {0};
    if (text == NULL
        || !kmse_is_ok(kmse_base64_decode(&read.bytes, &read.len, text)))
        return bad_field(FIELD, why);
    if (read.len == 0 || read.len > KMSE_BLOB_MAX) {
        kmse_blob_wipe(&read);
        return bad_field(FIELD, why);
    }
    *blob = read;
    return KMSE_OK;
}

static kmse_st take_data_key(struct kmse_secret *data_key,
                             struct kmse_pool *pool, const cJSON *object,
                             struct kmse_why *why)
{
    static const char FIELD[] = "Plaintext (of 32 bytes)";
    const char *text = get_text(object, "Plaintext");
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (text == NULL || !kmse_is_ok(kmse_base64_decode(&bytes, &len, text)))
        return bad_field(FIELD, why);
    kmse_st st = len == KMSE_SECRET_LEN ? kmse_secret_init(data_key, pool)
                                        : bad_field(FIELD, why);
    if (kmse_is_ok(st))
        memcpy(data_key->bytes, bytes, KMSE_SECRET_LEN);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return st;
}

static kmse_st take_fields(struct kmse_aws_result *result,
                           struct kmse_pool *pool, unsigned fields,
                           const cJSON *root, struct kmse_why *why)
{
    if ((fields & KMSE_AWS_FIELD_METADATA) != 0) {
        const cJSON *metadata = get_member(root, "KeyMetadata");
        KMSE_TRY(take_text(result->key_id, sizeof(result->key_id), metadata,
                           "Arn", why));
        return take_text(result->key_state, sizeof(result->key_state), metadata,
                         "KeyState", why);
    }
    KMSE_TRY(
        take_text(result->key_id, sizeof(result->key_id), root, "KeyId", why));
    if ((fields & KMSE_AWS_FIELD_BLOB) != 0)
        KMSE_TRY(take_blob(&result->blob, root, why));
    if ((fields & KMSE_AWS_FIELD_PLAINTEXT) != 0)
        KMSE_TRY(take_data_key(&result->data_key, pool, root, why));
    return KMSE_OK;
}

kmse_st kmse_aws_result_parse(struct kmse_aws_result *result,
                              struct kmse_pool *pool, unsigned fields,
                              const char *json, size_t json_len,
                              struct kmse_why *why)
{
    struct kmse_aws_result read = {0};
    cJSON *root = kmse_json_parse(json, json_len);
    if (!cJSON_IsObject(root)) {
        kmse_json_wipe(root);
        return kmse_fail(why, KMSE_R_KMS_ANSWER, "it is not JSON");
    }
    kmse_st st = take_fields(&read, pool, fields, root, why);
    kmse_json_wipe(root);
    if (!kmse_is_ok(st)) {
        kmse_aws_result_wipe(&read);
        return st;
    }
    *result = read;
    return KMSE_OK;
}

/* --- errors ------------------------------------------------------------- */

/* The URI may have a "#" of its own. */
static void take_code(char out[KMSE_AWS_CODE_LEN], const char *type)
{
    size_t len = strcspn(type, ":"), namespace_len = strcspn(type, "#");
    const char *code = type;
    if (namespace_len < len) {
        code += namespace_len + 1;
        len -= namespace_len + 1;
    }
    kmse_printable_copy(out, KMSE_AWS_CODE_LEN, (const uint8_t *)code, len);
}

void kmse_aws_error_parse(struct kmse_aws_error *error, const char *json,
                          size_t json_len)
{
    *error = (struct kmse_aws_error){0};
    cJSON *root = kmse_json_parse(json, json_len);
    const char *type = get_text(root, "__type");
    const char *text = get_text(root, "message");
    if (text == NULL)
        text = get_text(root, "Message");
    if (type != NULL)
        take_code(error->code, type);
    if (text != NULL)
        kmse_printable_copy(error->text, sizeof(error->text),
                            (const uint8_t *)text, strlen(text));
    kmse_json_wipe(root);
}

/* From the Errors sections of the API reference, and its "Common errors". */
static const struct {
    const char *code;
    int reason;
} REASONS[] = {
    {"AccessDeniedException", KMSE_R_KMS_DENIED},
    {"AccessDenied", KMSE_R_KMS_DENIED},
    {"NotAuthorized", KMSE_R_KMS_DENIED},
    {"OptInRequired", KMSE_R_KMS_DENIED},
    {"DisabledException", KMSE_R_KMS_DISABLED},
    {"KMSInvalidStateException", KMSE_R_KMS_STATE},
    {"NotFoundException", KMSE_R_KMS_KEY_NOT_FOUND},
    {"InvalidCiphertextException", KMSE_R_KMS_BLOB},
    {"IncorrectKeyException", KMSE_R_KMS_WRONG_KEY},
    {"ThrottlingException", KMSE_R_KMS_THROTTLED},
    {"Throttling", KMSE_R_KMS_THROTTLED},
    {"ThrottledException", KMSE_R_KMS_THROTTLED},
    {"RequestThrottled", KMSE_R_KMS_THROTTLED},
    {"RequestThrottledException", KMSE_R_KMS_THROTTLED},
    {"TooManyRequestsException", KMSE_R_KMS_THROTTLED},
    {"RequestLimitExceeded", KMSE_R_KMS_THROTTLED},
    {"LimitExceededException", KMSE_R_KMS_THROTTLED},
    {"KMSInternalException", KMSE_R_KMS_UNREACHABLE},
    {"InternalFailure", KMSE_R_KMS_UNREACHABLE},
    {"DependencyTimeoutException", KMSE_R_KMS_UNREACHABLE},
    {"KeyUnavailableException", KMSE_R_KMS_UNREACHABLE},
    {"ServiceUnavailable", KMSE_R_KMS_UNREACHABLE},
    {"ServiceUnavailableException", KMSE_R_KMS_UNREACHABLE},
    {"RequestTimeout", KMSE_R_KMS_TIMEOUT},
    {"RequestTimeoutException", KMSE_R_KMS_TIMEOUT},
    {"ExpiredTokenException", KMSE_R_KMS_CREDENTIALS},
    {"ExpiredToken", KMSE_R_KMS_CREDENTIALS},
    {"UnrecognizedClientException", KMSE_R_KMS_CREDENTIALS},
    {"InvalidClientTokenId", KMSE_R_KMS_CREDENTIALS},
    {"InvalidSignatureException", KMSE_R_KMS_CREDENTIALS},
    {"SignatureDoesNotMatch", KMSE_R_KMS_CREDENTIALS},
    {"IncompleteSignature", KMSE_R_KMS_CREDENTIALS},
    {"IncompleteSignatureException", KMSE_R_KMS_CREDENTIALS},
    {"MissingAuthenticationToken", KMSE_R_KMS_CREDENTIALS},
    {"MissingAuthenticationTokenException", KMSE_R_KMS_CREDENTIALS},
    {"RequestExpired", KMSE_R_KMS_CREDENTIALS},
};

static bool is_pending_deletion(const struct kmse_aws_error *error)
{
    return strcmp(error->code, "KMSInvalidStateException") == 0
           && strstr(error->text, "pending deletion") != NULL;
}

int kmse_aws_error_reason(const struct kmse_aws_error *error, int status)
{
    enum { FORBIDDEN = 403, TOO_MANY = 429, SERVER_ERRORS = 500 };
    if (is_pending_deletion(error))
        return KMSE_R_KMS_PENDING_DELETION;
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++) {
        if (strcmp(error->code, REASONS[i].code) == 0)
            return REASONS[i].reason;
    }
    if (status >= SERVER_ERRORS)
        return KMSE_R_KMS_UNREACHABLE;
    if (status == TOO_MANY)
        return KMSE_R_KMS_THROTTLED;
    if (error->code[0] != '\0')
        return KMSE_R_KMS_REFUSED;
    return status == FORBIDDEN ? KMSE_R_KMS_DENIED : KMSE_R_KMS_ANSWER;
}

bool kmse_aws_error_is_skew(const struct kmse_aws_error *error)
{
    return strcmp(error->code, "RequestExpired") == 0
           || ((strcmp(error->code, "InvalidSignatureException") == 0
                || strcmp(error->code, "SignatureDoesNotMatch") == 0)
               && (strstr(error->text, "Signature expired") != NULL
                   || strstr(error->text, "Signature not yet current")
                          != NULL));
}

bool kmse_aws_error_is_credentials(const struct kmse_aws_error *error)
{
    static const char *const CODES[] = {"ExpiredTokenException", "ExpiredToken",
                                        "UnrecognizedClientException",
                                        "InvalidClientTokenId"};
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        if (strcmp(error->code, CODES[i]) == 0)
            return true;
    }
    return false;
}
