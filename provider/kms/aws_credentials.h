/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_CREDENTIALS_H
#define KMSE_KMS_AWS_CREDENTIALS_H

#include <stdint.h>

#include "base/clock.h"
#include "base/crypto.h"
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
 * credentials would be a surprise.
 */
enum {
    KMSE_AWS_ACCESS_KEY_ID_MAX = 128,
    KMSE_AWS_SECRET_MAX = 256,
    KMSE_AWS_TOKEN_MAX = 4096,
};

/* In memory of its own that is locked, not dumped, and wiped when released. */
struct kmse_aws_credentials {
    char access_key_id[KMSE_AWS_ACCESS_KEY_ID_MAX + 1];
    char secret_access_key[KMSE_AWS_SECRET_MAX + 1];
    char session_token[KMSE_AWS_TOKEN_MAX + 1]; /* "": none */
    int64_t expires_s;                          /* 0: never */
    char source[KMSE_AWS_SOURCE_LEN];           /* for people: no secret */
    _Atomic unsigned references;
};

/*
 * The chain with its cache: one thread refreshes, ahead of expiry, while the
 * others go on with what is there; with nothing there they wait for it. No
 * lock is held across I/O.
 */
struct kmse_aws_credential_chain;

/* crypto, options, http and clock are borrowed. */
kmse_st kmse_aws_chain_new(struct kmse_aws_credential_chain **chain,
                           struct kmse_crypto *crypto,
                           const struct kmse_aws_options *options,
                           const struct kmse_http *http,
                           const struct kmse_clock *clock) KMSE_MUST_CHECK;
void kmse_aws_chain_free(struct kmse_aws_credential_chain *chain);

/*
 * Counted; the caller releases. KMSE_R_KMS_CREDENTIALS: no source has any, or
 * the one that is configured fails; why names it and the mend.
 */
kmse_st kmse_aws_chain_get(struct kmse_aws_credential_chain *chain,
                           struct kmse_aws_credentials **credentials,
                           struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_aws_credentials_release(struct kmse_aws_credentials *credentials);

/* The KMS refused these: the next get looks at the source again. */
void kmse_aws_chain_invalidate(struct kmse_aws_credential_chain *chain,
                               const struct kmse_aws_credentials *refused);

/* For fork handlers: hold its mutex; in the child forget a refresh under way.
 */
void kmse_aws_chain_prepare_fork(struct kmse_aws_credential_chain *chain);
void kmse_aws_chain_parent(struct kmse_aws_credential_chain *chain);
void kmse_aws_chain_child(struct kmse_aws_credential_chain *chain);

#endif
