/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_SOURCE_H
#define KMSE_KMS_AWS_SOURCE_H

#include "kms/aws_credentials.h"
#include "kms/aws_profile.h"

/* Inside kms: the sources of AWS credentials. One file a kind. */

/* What a search for credentials is made with; all borrowed. */
struct kmse_aws_search {
    struct kmse_crypto *crypto;
    const struct kmse_aws_options *options;
    const struct kmse_http *http;
    const struct kmse_clock *clock;
    const struct kmse_aws_profiles *profiles; /* the shared files, as read */
    const char *profile;                      /* the one asked for */
};

/*
 * Look into one source. *found is false if it is not configured at all: the
 * search goes on. If it is configured and fails, the search ends with that.
 * On success *credentials is filled but for its reference count.
 */
typedef kmse_st kmse_aws_source_fn(const struct kmse_aws_search *search,
                                   struct kmse_aws_credentials *credentials,
                                   bool *found, struct kmse_why *why);

kmse_aws_source_fn kmse_aws_source_environment; /* aws_source_static.c */
kmse_aws_source_fn kmse_aws_source_shared_credentials_file;
kmse_aws_source_fn kmse_aws_source_config_file;
kmse_aws_source_fn kmse_aws_source_process;      /* aws_source_process.c */
kmse_aws_source_fn kmse_aws_source_assume_role;  /* aws_source_sts.c */
kmse_aws_source_fn kmse_aws_source_web_identity; /* aws_source_sts.c */
kmse_aws_source_fn kmse_aws_source_container;    /* aws_source_container.c */
kmse_aws_source_fn kmse_aws_source_instance;     /* aws_source_instance.c */

/*
 * Copy a field that was read, if it fits and is printable ASCII without
 * spaces: KMSE_R_KMS_CREDENTIALS naming the field, never its value.
 */
kmse_st kmse_aws_credentials_set(char *field, size_t field_size,
                                 const char *value, const char *field_name,
                                 const char *source,
                                 struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The answer of process, container and instance: a JSON object with
 * AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration (ISO 8601).
 */
kmse_st kmse_aws_credentials_from_json(struct kmse_aws_credentials *credentials,
                                       const char *json, size_t json_len,
                                       const char *source,
                                       struct kmse_why *why) KMSE_MUST_CHECK;

#endif
