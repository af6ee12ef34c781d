/* SPDX-License-Identifier: Apache-2.0 */
/* Names of AWS: keys, Regions, endpoints. */
#include "kms/aws_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"

/* --- pieces of names ---------------------------------------------------- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Some of these, and nothing else. */
static bool is_made_of(const char *text, const char *characters)
{
    return text[0] != '\0' && text[strspn(text, characters)] == '\0';
}

/* x stands for a hexadecimal digit, as KMS writes it: in lower case. */
static bool is_like(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; text++, pattern++) {
        bool fits =
            *pattern == 'x'
                ? *text != '\0' && strchr(DIGITS "abcdef", *text) != NULL
                : *text == *pattern;
        if (!fits)
            return false;
    }
    return *text == '\0';
}

static bool is_key_id(const char *id)
{
    return is_like(id, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
           || is_like(id, "mrk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

/* KMS API, CreateAlias: AliasName. */
static bool is_alias(const char *resource)
{
    static const char PREFIX[] = "alias/";
    enum { ALIAS_MAX = 256 };
    return starts_with(resource, PREFIX) && strlen(resource) <= ALIAS_MAX
           && is_made_of(resource + strlen(PREFIX),
                         LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS ":/_-");
}

static bool is_partition(const char *partition)
{
    return starts_with(partition, "aws")
           && is_made_of(partition, LOWER DIGITS "-");
}

/* It becomes a label of a host's name. "aws-global" stands for no one place. */
static bool is_region(const char *region)
{
    return is_made_of(region, LOWER DIGITS "-") && !is_made_of(region, DIGITS)
           && strlen(region) < KMSE_AWS_REGION_LEN && region[0] != '-'
           && !ends_with(region, "-") && !ends_with(region, "-global");
}

static bool is_account(const char *account)
{
    enum { ACCOUNT_LEN = 12 };
    return strlen(account) == ACCOUNT_LEN && is_made_of(account, DIGITS);
}

/* --- keys --------------------------------------------------------------- */

/* What comes before the next ":", which is passed. */
static bool take_part(char *out, size_t out_size, const char **at)
{
    size_t len = strcspn(*at, ":");
    if ((*at)[len] != ':' || len >= out_size)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len + 1;
    return true;
}

static bool take_key_id(struct kmse_aws_key *key, const char *id)
{
    if (!is_key_id(id))
        return false;
    snprintf(key->resource, sizeof(key->resource), "key/%s", id);
    key->is_multi_region = starts_with(id, "mrk-");
    return true;
}

static bool take_alias(struct kmse_aws_key *key, const char *alias)
{
    if (!is_alias(alias))
        return false;
    snprintf(key->resource, sizeof(key->resource), "%s", alias);
    key->is_alias = true;
    return true;
}

/* arn:partition:kms:region:account:key/... */
static bool take_arn(struct kmse_aws_key *key, const char *arn)
{
    static const char KEY[] = "key/";
    char arn_word[sizeof("arn")], service[sizeof("kms")];
    const char *at = arn;
    key->is_arn = true;
    return take_part(arn_word, sizeof(arn_word), &at)
           && take_part(key->partition, sizeof(key->partition), &at)
           && take_part(service, sizeof(service), &at)
           && take_part(key->region, sizeof(key->region), &at)
           && take_part(key->account, sizeof(key->account), &at)
           && is_partition(key->partition) && strcmp(service, "kms") == 0
           && is_region(key->region) && is_account(key->account)
           && (starts_with(at, KEY) ? take_key_id(key, at + strlen(KEY))
                                    : take_alias(key, at));
}

static bool take_key(struct kmse_aws_key *key, const char *location)
{
    if (starts_with(location, "arn:"))
        return take_arn(key, location);
    if (starts_with(location, "alias/"))
        return take_alias(key, location);
    return take_key_id(key, location);
}

kmse_st kmse_aws_key_parse(struct kmse_aws_key *key, const char *location,
                           struct kmse_why *why)
{
    enum { SHOWN_LEN = 120 };
    struct kmse_aws_key read = {.is_arn = false};
    char shown[SHOWN_LEN];
    if (take_key(&read, location)) {
        *key = read;
        return KMSE_OK;
    }
    kmse_printable_copy(shown, sizeof(shown), (const uint8_t *)location,
                        strlen(location));
    return kmse_fail(why, KMSE_R_KMS_URI,
                     "aws-kms:%s: not a key of AWS KMS: give the ARN of a key "
                     "or an alias, alias/<name>, or a key id",
                     shown);
}

static bool is_same_if_said(const char *asked, const char *answered)
{
    return asked[0] == '\0' || strcmp(asked, answered) == 0;
}

bool kmse_aws_key_matches(const struct kmse_aws_key *asked,
                          const char *answered, bool any_region)
{
    struct kmse_aws_key key = {.is_arn = false};
    if (!take_key(&key, answered) || !key.is_arn || key.is_alias)
        return false;
    bool region_is_open = any_region && asked->is_multi_region;
    return is_same_if_said(asked->partition, key.partition)
           && is_same_if_said(asked->account, key.account)
           && (region_is_open || is_same_if_said(asked->region, key.region))
           && (asked->is_alias || strcmp(asked->resource, key.resource) == 0);
}

/* --- endpoints ---------------------------------------------------------- */

struct partition {
    const char *regions; /* what their names begin with */
    const char *suffix, *dualstack_suffix;
    bool has_plain_sts; /* which is a FIPS one, and has no other name */
};

/* As botocore's partitions.json has them. A Region of no other is of aws. */
static const struct partition AWS = {"", "amazonaws.com", "api.aws", false};
static const struct partition OTHERS[] = {
    /* aws-cn */
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", false},
    /* aws-us-gov */
    {"us-gov-", "amazonaws.com", "api.aws", true},
    /* aws-eusc */
    {"eusc-de-", "amazonaws.eu", "api.amazonwebservices.eu", false},
    /* aws-iso, aws-iso-b, aws-iso-e, aws-iso-f */
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", false},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", false},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false},
};
enum { OTHER_COUNT = sizeof(OTHERS) / sizeof(OTHERS[0]) };

/* "north-1": a word and a number, as the names of Regions end. */
static bool is_place(const char *text)
{
    size_t word_len = strcspn(text, "-");
    return word_len > 0 && text[word_len] == '-'
           && is_made_of(text + word_len + 1, DIGITS);
}

/* Regions that are younger than this table have names of the same form. */
static const struct partition *partition_of(const char *region)
{
    for (size_t i = 0; i < OTHER_COUNT; i++) {
        const char *start = OTHERS[i].regions;
        if (starts_with(region, start) && is_place(region + strlen(start)))
            return &OTHERS[i];
    }
    return &AWS;
}

kmse_st kmse_aws_endpoint(char url[KMSE_AWS_URL_MAX], const char *service,
                          const char *region, bool fips, bool dualstack,
                          struct kmse_why *why)
{
    enum { SHOWN_LEN = 64 };
    if (!is_region(region)) {
        char shown[SHOWN_LEN];
        kmse_printable_copy(shown, sizeof(shown), (const uint8_t *)region,
                            strlen(region));
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "'%s' is not the name of an AWS Region", shown);
    }
    const struct partition *partition = partition_of(region);
    bool is_plain =
        partition->has_plain_sts && !dualstack && strcmp(service, "sts") == 0;
    snprintf(url, KMSE_AWS_URL_MAX, "https://%s%s.%s.%s/", service,
             fips && !is_plain ? "-fips" : "", region,
             dualstack ? partition->dualstack_suffix : partition->suffix);
    return KMSE_OK;
}
