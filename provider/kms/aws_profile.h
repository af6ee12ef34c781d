/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_PROFILE_H
#define KMSE_KMS_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "kms/aws_settings.h"

/*
 * The shared configuration files (AWS SDKs and Tools Reference Guide, "Format
 * of the shared config and credentials files"): ~/.aws/credentials with [name]
 * and ~/.aws/config with [default], [profile name], [services name]. Nested
 * keys (s3 =, or a service in [services x]) are "service.key". Keys are asked
 * for in small letters.
 */
struct kmse_aws_profiles;

/*
 * A file that is not there is empty. KMSE_R_CONFIG_VALUE: file and line.
 * KMSE_R_KMS_CREDENTIALS: the profile asked for is in neither file.
 */
kmse_st kmse_aws_profiles_read(struct kmse_aws_profiles **profiles,
                               const struct kmse_aws_options *options,
                               struct kmse_why *why) KMSE_MUST_CHECK;
/* Wipes: the credentials file has secrets in it. */
void kmse_aws_profiles_free(struct kmse_aws_profiles *profiles);

/*
 * The profile asked for: by the option, by AWS_PROFILE, else "default" and not
 * *is_named. The caller frees *name.
 */
kmse_st
kmse_aws_profile_name(char **name, bool *is_named,
                      const struct kmse_aws_options *options) KMSE_MUST_CHECK;

/*
 * From memory. text[text_len] is NUL. What was there of that kind is replaced,
 * or, on failure, stays.
 */
enum kmse_aws_file { KMSE_AWS_CREDENTIALS_FILE, KMSE_AWS_CONFIG_FILE };
struct kmse_aws_profiles *kmse_aws_profiles_new(void);
kmse_st kmse_aws_profiles_parse(struct kmse_aws_profiles *profiles,
                                enum kmse_aws_file kind, const char *text,
                                size_t text_len, const char *origin,
                                struct kmse_why *why) KMSE_MUST_CHECK;

/* NULL if it is not there. Views: live as long as profiles. */
const char *kmse_aws_profiles_get(const struct kmse_aws_profiles *profiles,
                                  enum kmse_aws_file kind, const char *profile,
                                  const char *key);
/* Of the credentials file, else of the config file. */
const char *kmse_aws_profiles_value(const struct kmse_aws_profiles *profiles,
                                    const char *profile, const char *key);
bool kmse_aws_profiles_has_services(const struct kmse_aws_profiles *profiles,
                                    const char *services);
const char *kmse_aws_profiles_service(const struct kmse_aws_profiles *profiles,
                                      const char *services, const char *key);
/* Whether any of the two files has that profile. */
bool kmse_aws_profiles_has(const struct kmse_aws_profiles *profiles,
                           const char *profile);
/* The path as read, for messages. */
const char *kmse_aws_profiles_path(const struct kmse_aws_profiles *profiles,
                                   enum kmse_aws_file kind);

#endif
