/* SPDX-License-Identifier: Apache-2.0 */
/* AWS KMS as a backend: aws-kms:<key ARN>. */
#include "kms/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/aws_client.h"
#include "kms/aws_endpoint.h"
#include "kms/aws_message.h"

/* One action on the call's key; the caller has made the body, and wipes it. */
static kmse_st perform(const struct kmse_kms_call *call,
                       const struct kmse_aws_key *key, const char *action,
                       const struct kmse_aws_body *body, unsigned fields,
                       struct kmse_aws_result *result, struct kmse_why *why)
{
    struct kmse_aws_result read = {0};
    kmse_st st = kmse_aws_call(call->aws, key, call->location, action, body,
                               fields, &read, why);
    if (call->request_id != NULL)
        snprintf(call->request_id, KMSE_KMS_REQUEST_ID_LEN, "%s",
                 read.request_id);
    if (!kmse_is_ok(st))
        return st;
    /* Another key's answer is well formed, and its data key lost tomorrow. */
    if (!kmse_aws_key_matches(key, read.key_id, false)) {
        st = kmse_fail(why, KMSE_R_KMS_ANSWER,
                       "%s: kms:%s was answered by another key, %.200s",
                       call->uri, action, read.key_id);
        kmse_aws_result_wipe(&read);
        return st;
    }
    *result = read;
    return KMSE_OK;
}

static kmse_st no_body(const struct kmse_kms_call *call, kmse_st st,
                       struct kmse_why *why)
{
    return kmse_fail(why, st.reason, "%s: the request cannot be written",
                     call->uri);
}

/* --- the ARN of a key --------------------------------------------------- */

static kmse_st describe_key(const struct kmse_kms_call *call,
                            struct kmse_aws_result *result,
                            struct kmse_why *why)
{
    struct kmse_aws_key key;
    struct kmse_aws_body body = {0};
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    kmse_st st = kmse_aws_print_describe(&body, call->location);
    if (!kmse_is_ok(st))
        return no_body(call, st, why);
    st = perform(call, &key, "DescribeKey", &body, KMSE_AWS_FIELD_METADATA,
                 result, why);
    kmse_aws_body_wipe(&body);
    return st;
}

/*
 * Key files keep the ARN: an alias may be given to another key tomorrow, and a
 * Region may be set otherwise, but a blob is opened by the key that made it.
 */
static kmse_st resolve(const struct kmse_kms_call *call, char **resolved,
                       struct kmse_why *why)
{
    struct kmse_aws_key key;
    struct kmse_aws_result result = {0};
    const char *arn = call->location;
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    if (!key.is_arn || key.is_alias) {
        KMSE_TRY(describe_key(call, &result, why));
        arn = result.key_id;
    }
    char *copy = strdup(arn);
    kmse_aws_result_wipe(&result);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *resolved = copy;
    return KMSE_OK;
}

static kmse_st describe(const struct kmse_kms_call *call,
                        struct kmse_kms_description *description,
                        struct kmse_why *why)
{
    struct kmse_aws_result result = {0};
    KMSE_TRY(describe_key(call, &result, why));
    *description = (struct kmse_kms_description){.backing_keys = 0};
    snprintf(description->id, sizeof(description->id), "%s", result.key_id);
    snprintf(description->state, sizeof(description->state), "%s",
             result.key_state);
    kmse_aws_result_wipe(&result);
    return KMSE_OK;
}

static kmse_st access_of(const struct kmse_kms_call *call,
                         char out[KMSE_KMS_ACCESS_LEN], struct kmse_why *why)
{
    struct kmse_aws_key key;
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    return kmse_aws_access(call->aws, &key, out, why);
}

/* --- data keys ---------------------------------------------------------- */

static kmse_st unwrap(const struct kmse_kms_call *call,
                      const struct kmse_kms_context *context,
                      const struct kmse_blob *blob,
                      struct kmse_secret *data_key, struct kmse_why *why)
{
    struct kmse_aws_key key;
    struct kmse_aws_body body = {0};
    struct kmse_aws_result result = {0};
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    kmse_st st = kmse_aws_print_decrypt(&body, call->location, context, blob);
    if (!kmse_is_ok(st))
        return no_body(call, st, why);
    st = perform(call, &key, "Decrypt", &body, KMSE_AWS_FIELD_PLAINTEXT,
                 &result, why);
    kmse_aws_body_wipe(&body);
    if (kmse_is_ok(st))
        *data_key = kmse_secret_take(&result.data_key);
    kmse_aws_result_wipe(&result);
    return st;
}

static kmse_st generate_by(const char *action, unsigned fields,
                           const struct kmse_kms_call *call,
                           const struct kmse_kms_context *context,
                           struct kmse_aws_result *result, struct kmse_why *why)
{
    struct kmse_aws_key key;
    struct kmse_aws_body body = {0};
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    kmse_st st = kmse_aws_print_generate(&body, call->location, context);
    if (!kmse_is_ok(st))
        return no_body(call, st, why);
    st = perform(call, &key, action, &body, fields, result, why);
    kmse_aws_body_wipe(&body);
    return st;
}

/*
 * Who may not GenerateDataKey may still be allowed the same in two steps, as a
 * policy that keeps apart who makes keys and who reads them has it.
 */
static kmse_st generate(const struct kmse_kms_call *call,
                        const struct kmse_kms_context *context,
                        struct kmse_secret *data_key, struct kmse_blob *blob,
                        struct kmse_why *why)
{
    struct kmse_aws_result result = {0};
    kmse_st st = generate_by("GenerateDataKey",
                             KMSE_AWS_FIELD_BLOB | KMSE_AWS_FIELD_PLAINTEXT,
                             call, context, &result, why);
    if (st.reason == KMSE_R_KMS_DENIED
        && kmse_is_ok(generate_by("GenerateDataKeyWithoutPlaintext",
                                  KMSE_AWS_FIELD_BLOB, call, context, &result,
                                  NULL)))
        st = unwrap(call, context, &result.blob, &result.data_key, why);
    if (kmse_is_ok(st)) {
        *data_key = kmse_secret_take(&result.data_key);
        *blob = result.blob;
        result.blob = (struct kmse_blob){0};
    }
    kmse_aws_result_wipe(&result);
    return st;
}

static kmse_st wrap(const struct kmse_kms_call *call,
                    const struct kmse_kms_context *context,
                    const struct kmse_secret *data_key, struct kmse_blob *blob,
                    struct kmse_why *why)
{
    struct kmse_aws_key key;
    struct kmse_aws_body body = {0};
    struct kmse_aws_result result = {0};
    KMSE_TRY(kmse_aws_key_parse(&key, call->location, why));
    kmse_st st =
        kmse_aws_print_encrypt(&body, call->location, context, data_key);
    if (!kmse_is_ok(st))
        return no_body(call, st, why);
    st = perform(call, &key, "Encrypt", &body, KMSE_AWS_FIELD_BLOB, &result,
                 why);
    kmse_aws_body_wipe(&body);
    if (kmse_is_ok(st))
        *blob = result.blob;
    return st;
}

/* Two Regions do not know each other: the data key goes through our hands. */
static kmse_st rewrap_across(const struct kmse_kms_call *from,
                             const struct kmse_kms_context *from_context,
                             const struct kmse_blob *from_blob,
                             const struct kmse_kms_call *to,
                             const struct kmse_kms_context *to_context,
                             struct kmse_blob *to_blob, struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    KMSE_TRY(unwrap(from, from_context, from_blob, &data_key, why));
    kmse_st st = wrap(to, to_context, &data_key, to_blob, why);
    kmse_secret_wipe(&data_key);
    return st;
}

static bool same_region(const struct kmse_aws_key *a,
                        const struct kmse_aws_key *b)
{
    return strcmp(a->partition, b->partition) == 0
           && strcmp(a->region, b->region) == 0;
}

static kmse_st rewrap(const struct kmse_kms_call *from,
                      const struct kmse_kms_context *from_context,
                      const struct kmse_blob *from_blob,
                      const struct kmse_kms_call *to,
                      const struct kmse_kms_context *to_context,
                      struct kmse_blob *to_blob, struct kmse_why *why)
{
    struct kmse_aws_key from_key, to_key;
    struct kmse_aws_body body = {0};
    struct kmse_aws_result result = {0};
    KMSE_TRY(kmse_aws_key_parse(&from_key, from->location, why));
    KMSE_TRY(kmse_aws_key_parse(&to_key, to->location, why));
    if (!same_region(&from_key, &to_key))
        return rewrap_across(from, from_context, from_blob, to, to_context,
                             to_blob, why);
    kmse_st st = kmse_aws_print_reencrypt(&body, from->location, from_context,
                                          from_blob, to->location, to_context);
    if (!kmse_is_ok(st))
        return no_body(to, st, why);
    st = perform(to, &to_key, "ReEncrypt", &body, KMSE_AWS_FIELD_BLOB, &result,
                 why);
    kmse_aws_body_wipe(&body);
    if (kmse_is_ok(st))
        *to_blob = result.blob;
    return st;
}

const struct kmse_kms_backend kmse_kms_aws = {
    .scheme = "aws-kms:",
    .resolve = resolve,
    .generate = generate,
    .wrap = wrap,
    .unwrap = unwrap,
    .rewrap = rewrap,
    .describe = describe,
    .access = access_of,
};
