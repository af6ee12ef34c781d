/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_CLIENT_H
#define KMSE_KMS_AWS_CLIENT_H

#include "kms/aws_credentials.h"
#include "kms/aws_endpoint.h"
#include "kms/aws_message.h"
#include "kms/aws_settings.h"
#include "kms/http.h"

/*
 * Signed calls to AWS KMS: Region and endpoint found, credentials taken,
 * failures retried within one deadline, the clock corrected. Several threads
 * may call; the HTTP module is loaded by the first call.
 */
struct kmse_aws;

/* How a retry waits; tests give their own. */
struct kmse_aws_wait {
    void (*wait_ms)(void *arg, uint32_t ms);
    void *arg;
};

/*
 * Copies the options; crypto, pool and clock are borrowed. http and wait may be
 * NULL: the module, and sleeping. http is taken over, on success.
 */
kmse_st kmse_aws_new(struct kmse_aws **aws, struct kmse_crypto *crypto,
                     struct kmse_pool *pool,
                     const struct kmse_aws_options *options,
                     const struct kmse_clock *clock,
                     const struct kmse_http *http,
                     const struct kmse_aws_wait *wait) KMSE_MUST_CHECK;
void kmse_aws_free(struct kmse_aws *aws);

/* For fork handlers. */
void kmse_aws_prepare_fork(struct kmse_aws *aws);
void kmse_aws_parent(struct kmse_aws *aws);
void kmse_aws_child(struct kmse_aws *aws);

/*
 * One call: action ("Decrypt") on that key, in its Region or else the one that
 * is set. The answer's fields as kmse_aws_result_parse takes them, and on
 * failure, too, result->request_id, "" if there is none. Reasons are
 * those of AWS's error codes (aws_message.h), of http.h, and
 * KMSE_R_KMS_CREDENTIALS; why names action, key, Region and the mend.
 */
kmse_st kmse_aws_call(struct kmse_aws *aws, const struct kmse_aws_key *key,
                      const char *location, const char *action,
                      const struct kmse_aws_body *body, unsigned fields,
                      struct kmse_aws_result *result,
                      struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * For doctor: where a call on that key would go, and where the credentials come
 * from, without a secret. Takes credentials, asks no KMS.
 */
kmse_st kmse_aws_access(struct kmse_aws *aws, const struct kmse_aws_key *key,
                        char out[KMSE_KMS_ACCESS_LEN],
                        struct kmse_why *why) KMSE_MUST_CHECK;

#endif
