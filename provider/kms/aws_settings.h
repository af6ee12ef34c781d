/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_SETTINGS_H
#define KMSE_KMS_AWS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kms/aws_endpoint.h"

/*
 * What the AWS backend is told, from openssl.cnf or by the tool. NULL or 0:
 * look where AWS's SDKs look (environment, shared configuration files, in the
 * order of "AWS SDKs and Tools Reference Guide": standardized settings).
 */
struct kmse_aws_options {
    char *region;
    char *profile;                 /* AWS_PROFILE */
    char *endpoint_url;            /* of KMS */
    char *shared_credentials_file; /* AWS_SHARED_CREDENTIALS_FILE */
    char *config_file;             /* AWS_CONFIG_FILE */
    char *ca_bundle;               /* AWS_CA_BUNDLE */
    char *proxy;                   /* as libcurl takes it; HTTPS_PROXY */
    char *no_proxy;                /* hosts, with commas; NO_PROXY */
    int use_fips;                  /* -1 no, 0 not said, 1 yes */
    int use_dualstack;
    bool allow_http;             /* plain http to other hosts than loopback */
    bool credential_process;     /* may be run: it executes a program */
    uint64_t timeout_ms;         /* a whole call with its retries; 0: 5000 */
    uint64_t connect_timeout_ms; /* 0: 1000 */
};

kmse_st
kmse_aws_options_copy(struct kmse_aws_options *to,
                      const struct kmse_aws_options *from) KMSE_MUST_CHECK;
void kmse_aws_options_wipe(struct kmse_aws_options *options);

/* Where a setting was found, for doctor: "environment AWS_REGION". */
enum { KMSE_AWS_SOURCE_LEN = 160 };

/*
 * Look up one setting. Each reads the environment and the shared files as they
 * are now. *value is NULL if it is set nowhere, else the caller frees it.
 * KMSE_R_CONFIG_VALUE: a file that cannot be parsed, a bad value.
 */
kmse_st kmse_aws_region(char **value, const struct kmse_aws_options *options,
                        struct kmse_why *why) KMSE_MUST_CHECK;
/* service: "kms" or "sts"; NULL: the one of AWS itself (aws_endpoint.h). */
kmse_st kmse_aws_endpoint_url(char **value,
                              const struct kmse_aws_options *options,
                              const char *service,
                              struct kmse_why *why) KMSE_MUST_CHECK;
/* That one: of a Region, FIPS and dual-stack as they are set. */
kmse_st kmse_aws_standard_url(char url[KMSE_AWS_URL_MAX],
                              const struct kmse_aws_options *options,
                              const char *service, const char *region,
                              struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_aws_ca_bundle(char **value, const struct kmse_aws_options *options,
                           struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_aws_flag(bool *value, const struct kmse_aws_options *options,
                      int set, const char *environment_name,
                      const char *profile_key,
                      struct kmse_why *why) KMSE_MUST_CHECK;

#endif
