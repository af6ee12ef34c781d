/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_CREDENTIALS_H
#define KMSE_KMS_AWS_CREDENTIALS_H

#include <stdint.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/pages.h"
#include "base/status.h"
#include "kms/aws_settings.h"
#include "kms/http.h"

/*
 * AWS credentials, from the first source that has some, in botocore's order:
 *   1 environment            AWS_ACCESS_KEY_ID, ...
 *   2 assume role            role_arn with source_profile or credential_source
 *   3 web identity           AWS_WEB_IDENTITY_TOKEN_FILE (EKS IRSA)
 *   4 shared credentials file
 *   5 credential_process     if options allow it
 *   6 config file
 *   7 container              AWS_CONTAINER_CREDENTIALS_* (ECS, EKS)
 *   8 instance metadata      IMDSv2
 * A source that is configured and fails ends the search: another one's
 * credentials would be a surprise. A profile that is an option, and not
 * AWS_PROFILE's, stands before the environment: 1 is passed by, and 3 looks
 * into the profile alone.
 *
 * What is not as in botocore 1.43:
 *   - Half of a pair of keys is an error, wherever it is.
 *   - A program is run (5) only with leave. There is nobody to type a code:
 *     mfa_serial is an error. So are profiles of IAM Identity Center (SSO) and
 *     of "aws login", unless they have a credential_process.
 *   - STS is asked in the Region that is set; one must be.
 *   - No IMDSv1, no boto.cfg, no AWS_CREDENTIAL_FILE.
 *   - A container endpoint's refusal (status 4xx) is not asked again.
 */
enum {
    KMSE_AWS_ACCESS_KEY_ID_MAX = 128,
    KMSE_AWS_SECRET_MAX = 256,
    KMSE_AWS_TOKEN_MAX = 8192, /* AWS names no limit; most are under 2000 */
};

/* In memory of its own that is locked, not dumped, and wiped when released. */
struct kmse_aws_credentials {
    char access_key_id[KMSE_AWS_ACCESS_KEY_ID_MAX + 1];
    char secret_access_key[KMSE_AWS_SECRET_MAX + 1];
    char session_token[KMSE_AWS_TOKEN_MAX + 1]; /* "": none */
    int64_t expires_s;                          /* by our clock; 0: never */
    char source[KMSE_AWS_SOURCE_LEN];           /* for people: no secret */
    _Atomic unsigned references;
    struct kmse_pages pages; /* that it is in */
};

/* Empty ones, counted once. */
kmse_st kmse_aws_credentials_new(struct kmse_aws_credentials **credentials)
    KMSE_MUST_CHECK;
void kmse_aws_credentials_release(struct kmse_aws_credentials *credentials);

/*
 * The chain with its cache. One thread looks for new credentials, in its own
 * call, while others go on with what is there; with nothing there they wait for
 * it. No lock is held across I/O.
 *
 * Credentials that expire are renewed from ten minutes before that on, or when
 * three quarters of a short life are over, and serve until a minute, or a tenth
 * of that life, before it. Others are looked up again every five minutes: files
 * are edited. When a search fails, the old ones serve on, and the next search
 * is ten seconds off.
 */
struct kmse_aws_credential_chain;

/* crypto, options, http and clock are borrowed. */
kmse_st kmse_aws_chain_new(struct kmse_aws_credential_chain **chain,
                           struct kmse_crypto *crypto,
                           const struct kmse_aws_options *options,
                           const struct kmse_http *http,
                           const struct kmse_clock *clock) KMSE_MUST_CHECK;
void kmse_aws_chain_free(struct kmse_aws_credential_chain *chain);

/* How a retry waits, before the first get: aws_client.h. Else it sleeps. */
struct kmse_aws_wait;
void kmse_aws_chain_wait_with(struct kmse_aws_credential_chain *chain,
                              const struct kmse_aws_wait *wait);

/*
 * Counted; the caller releases. It takes the options' timeout_ms at most, half
 * of that while there are credentials to serve. why names the source.
 *   KMSE_R_KMS_CREDENTIALS  no source has any, or the one that is configured
 *                           says no, is misconfigured or malformed
 *   KMSE_R_KMS_UNREACHABLE, KMSE_R_KMS_TIMEOUT, KMSE_R_KMS_THROTTLED
 *                           its endpoint: another time it may answer
 */
kmse_st kmse_aws_chain_get(struct kmse_aws_credential_chain *chain,
                           struct kmse_aws_credentials **credentials,
                           struct kmse_why *why) KMSE_MUST_CHECK;

/* The KMS refused these: the next get looks at the source again. */
void kmse_aws_chain_invalidate(struct kmse_aws_credential_chain *chain,
                               const struct kmse_aws_credentials *refused);

/* For fork handlers: hold its mutex; in the child forget a search under way. */
void kmse_aws_chain_prepare_fork(struct kmse_aws_credential_chain *chain);
void kmse_aws_chain_parent(struct kmse_aws_credential_chain *chain);
void kmse_aws_chain_child(struct kmse_aws_credential_chain *chain);

#endif
