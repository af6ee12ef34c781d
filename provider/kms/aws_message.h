/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_MESSAGE_H
#define KMSE_KMS_AWS_MESSAGE_H

#include <stdbool.h>

#include "kms/kms.h"

/*
 * Requests and answers of AWS KMS as JSON ("AWS Key Management Service API
 * Reference"). Pure: no I/O. Only what is used; an answer's other fields are
 * passed over, for AWS adds new ones.
 */

/* A request's body. Encrypt has a data key in it: wipe each one. */
enum { KMSE_AWS_BODY_MAX = 65536 };
struct kmse_aws_body {
    char *text; /* KMSE_AWS_BODY_MAX bytes are its own */
    size_t len;
};
void kmse_aws_body_wipe(struct kmse_aws_body *body);

/* key_id: as KMS takes it. KMSE_R_PARAMETER: more than a body can hold. */
kmse_st
kmse_aws_print_generate(struct kmse_aws_body *body, const char *key_id,
                        const struct kmse_kms_context *context) KMSE_MUST_CHECK;
kmse_st
kmse_aws_print_encrypt(struct kmse_aws_body *body, const char *key_id,
                       const struct kmse_kms_context *context,
                       const struct kmse_secret *data_key) KMSE_MUST_CHECK;
kmse_st kmse_aws_print_decrypt(struct kmse_aws_body *body, const char *key_id,
                               const struct kmse_kms_context *context,
                               const struct kmse_blob *blob) KMSE_MUST_CHECK;
kmse_st kmse_aws_print_reencrypt(
    struct kmse_aws_body *body, const char *from_id,
    const struct kmse_kms_context *from_context,
    const struct kmse_blob *from_blob, const char *to_id,
    const struct kmse_kms_context *to_context) KMSE_MUST_CHECK;
kmse_st kmse_aws_print_describe(struct kmse_aws_body *body,
                                const char *key_id) KMSE_MUST_CHECK;

/* What an answer of any of these has; what it has not is NULL or empty. */
enum { KMSE_AWS_ARN_LEN = 256 };
struct kmse_aws_result {
    char key_id[KMSE_AWS_ARN_LEN]; /* the ARN of the key that did it */
    char key_state[32];            /* DescribeKey */
    struct kmse_blob blob;
    struct kmse_secret data_key;              /* exactly 32 bytes */
    char request_id[KMSE_KMS_REQUEST_ID_LEN]; /* kmse_aws_call's to write */
};
void kmse_aws_result_wipe(struct kmse_aws_result *result);

enum kmse_aws_answer_field {
    KMSE_AWS_FIELD_BLOB = 1 << 0,
    KMSE_AWS_FIELD_PLAINTEXT = 1 << 1,
    KMSE_AWS_FIELD_METADATA = 1 << 2,
};
/*
 * An answer of status 200 that must have KeyId and these fields.
 * KMSE_R_KMS_ANSWER says which is bad. json[json_len] is NUL; the caller
 * wipes it.
 */
kmse_st kmse_aws_result_parse(struct kmse_aws_result *result,
                              struct kmse_pool *pool, unsigned fields,
                              const char *json, size_t json_len,
                              struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * An answer of any other status: AWS's error code, which may come as
 * "ns#Code" or "Code:uri", and its text for people ("" if there is none).
 */
enum { KMSE_AWS_CODE_LEN = 64, KMSE_AWS_TEXT_LEN = 256 };
struct kmse_aws_error {
    char code[KMSE_AWS_CODE_LEN]; /* "" if the body is not AWS's */
    char text[KMSE_AWS_TEXT_LEN]; /* printable */
};
void kmse_aws_error_parse(struct kmse_aws_error *error, const char *json,
                          size_t json_len);
/* The reason that the error is to us; status is HTTP's. */
int kmse_aws_error_reason(const struct kmse_aws_error *error, int status);
/* Codes on which to try once more, in another way. */
bool kmse_aws_error_is_skew(const struct kmse_aws_error *error);
bool kmse_aws_error_is_credentials(const struct kmse_aws_error *error);

#endif
