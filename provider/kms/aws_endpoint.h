/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_ENDPOINT_H
#define KMSE_KMS_AWS_ENDPOINT_H

#include <stdbool.h>

#include "base/status.h"

/* Names of AWS: keys, Regions, endpoints. Pure. */

/* aws-kms:<location>: an ARN of a key or an alias, alias/<name>, or a key id.
 */
struct kmse_aws_key {
    char partition[16]; /* "aws", "aws-cn", "aws-us-gov"; "" if not said */
    char region[32];    /* "" if not said */
    char account[16];   /* twelve digits; "" if not said */
    char resource[264]; /* "alias/..." or "key/..."; of an id: "key/<id>" */
    bool is_alias;
    bool is_arn;
    bool is_multi_region; /* key/mrk-... */
};

/* KMSE_R_KMS_URI: not a name that KMS knows (KMS API, KeyId). */
kmse_st kmse_aws_key_parse(struct kmse_aws_key *key, const char *location,
                           struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * Whether an answer's KeyId (always a key ARN) may come from the key asked for:
 * the same key; an alias may be any key of its Region and account; a
 * multi-Region key may answer as another replica of itself only if any_region.
 */
bool kmse_aws_key_matches(const struct kmse_aws_key *asked,
                          const char *answered, bool any_region);

enum { KMSE_AWS_URL_MAX = 300 };

/*
 * "https://kms.eu-west-1.amazonaws.com/": of a Region in its partition, FIPS
 * and dual-stack variants (AWS General Reference, "Service endpoints").
 * service: "kms" or "sts". KMSE_R_CONFIG_VALUE: not a Region's name.
 */
kmse_st kmse_aws_endpoint(char url[KMSE_AWS_URL_MAX], const char *service,
                          const char *region, bool fips, bool dualstack,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
