/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_OPTIONS_H
#define KMSE_KMS_AWS_OPTIONS_H

#include <stddef.h>

#include "base/status.h"
#include "kms/aws_settings.h"

/*
 * What openssl.cnf says of the AWS backend: keys "aws-..." and "kms-..." of
 * params.h, each with its field of struct kmse_aws_options. No key takes a
 * secret, for that file is there to be read by everybody.
 */
enum { KMSE_AWS_OPTION_COUNT = 14 };

/* index: 0 .. KMSE_AWS_OPTION_COUNT - 1, in the order of the example. */
const char *kmse_aws_options_key(size_t index);

/*
 * Set the field of that key. Files must be there and readable now: one that is
 * named and missing would let the credentials of another source serve.
 * KMSE_R_CONFIG_KEY: no such key. KMSE_R_CONFIG_VALUE: key, value and what it
 * must be are in why. On failure *options is as it was; it starts as all zero.
 */
kmse_st kmse_aws_options_set(struct kmse_aws_options *options, const char *key,
                             const char *value,
                             struct kmse_why *why) KMSE_MUST_CHECK;

#endif
