/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_POST_H
#define KMSE_KMS_AWS_POST_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/status.h"
#include "kms/aws_credentials.h"

/* The headers of a request, and what is signed of it. */

enum { KMSE_AWS_LINES_MAX = 6 };

/* "name: value", some of them secret. */
struct kmse_aws_lines {
    char *lines[KMSE_AWS_LINES_MAX + 1]; /* the last is NULL */
    size_t count;
};
kmse_st kmse_aws_lines_add(struct kmse_aws_lines *lines, const char *name,
                           const char *value) KMSE_MUST_CHECK;
void kmse_aws_lines_wipe(struct kmse_aws_lines *lines);

/* A POST to a service of AWS; all borrowed. */
struct kmse_aws_post {
    const char *region, *service; /* to sign for */
    const char *host;             /* as kmse_aws_url_host has it */
    const char *content_type;
    const char *target; /* x-amz-target, or NULL */
    const char *body;
    size_t body_len;
    int64_t wall_s; /* by the service's clock, as far as it is known */
};

/* Its lines, signed (SigV4). On failure too there may be some to wipe. */
kmse_st kmse_aws_post_sign(
    struct kmse_aws_lines *lines, struct kmse_crypto *crypto,
    const struct kmse_aws_post *post,
    const struct kmse_aws_credentials *credentials) KMSE_MUST_CHECK;

#endif
