/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_ENDPOINT_H
#define KMSE_KMS_AWS_ENDPOINT_H

#include <stdbool.h>

#include "base/status.h"

/* Names of AWS: keys, Regions, endpoints. Pure. */

enum { KMSE_AWS_REGION_LEN = 32 };

/* aws-kms:<location>: ARN of a key or of an alias, alias/<name>, or key id. */
struct kmse_aws_key {
    char partition[16]; /* "aws", "aws-cn", "aws-us-gov"; "" if not said */
    char region[KMSE_AWS_REGION_LEN]; /* "" if not said */
    char account[16];                 /* twelve digits; "" if not said */
    char resource[264]; /* "alias/..." or "key/..."; of an id: "key/<id>" */
    bool is_alias;
    bool is_arn;
    bool is_multi_region; /* key/mrk-... */
};

/*
 * KMSE_R_KMS_URI: not a name that KMS knows (KMS API, KeyId). Ids of keys are
 * as KMS writes them: lower-case hex, or mrk- and hex.
 */
kmse_st kmse_aws_key_parse(struct kmse_aws_key *key, const char *location,
                           struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * Whether an answer's KeyId (always a key ARN) may come from the key asked for:
 * the same key; an alias may be any key of its Region and account; a
 * multi-Region key may answer as another replica of itself only if any_region.
 * What asked does not say is not compared: a bare id has no Region.
 */
bool kmse_aws_key_matches(const struct kmse_aws_key *asked,
                          const char *answered, bool any_region);

enum { KMSE_AWS_URL_MAX = 300 };

/*
 * "https://kms.eu-west-1.amazonaws.com/": of a Region in its partition, FIPS
 * and dual-stack variants (AWS General Reference, "Service endpoints"). STS is
 * the Region's own, never the global one. service: "kms" or "sts".
 * KMSE_R_CONFIG_VALUE: not a Region's name; "aws-global" is none.
 */
kmse_st kmse_aws_endpoint(char url[KMSE_AWS_URL_MAX], const char *service,
                          const char *region, bool fips, bool dualstack,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
