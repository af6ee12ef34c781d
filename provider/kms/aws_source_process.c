/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that a program prints: credential_process of a profile. */
#include "kms/aws_source.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "kms/aws_process.h"
#include "kms/aws_words.h"

enum { OUTPUT_MAX = 1 << 16 };

static const char KEY[] = "credential_process";

static bool has_version_1(const char *json, size_t json_len)
{
    cJSON *object = kmse_json_parse(json, json_len);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(object, "Version");
    bool is_1 = cJSON_IsNumber(version) && version->valuedouble == 1;
    kmse_json_wipe(object);
    return is_1;
}

static kmse_st take_output(struct kmse_aws_credentials *credentials,
                           const char *json, size_t json_len,
                           const char *source, struct kmse_why *why)
{
    if (!has_version_1(json, json_len))
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%s: it printed no JSON object with \"Version\": 1",
                         source);
    return kmse_aws_credentials_from_json(credentials, json, json_len, source,
                                          why);
}

static kmse_st run(const struct kmse_aws_search *search,
                   struct kmse_aws_credentials *credentials,
                   const char *command, const char *source,
                   struct kmse_why *why)
{
    struct kmse_aws_words words = {0};
    uint8_t *output = NULL;
    size_t len = 0;
    uint64_t left_ms = kmse_aws_search_left_ms(search);
    kmse_st st = kmse_aws_words_split(&words, command);
    if (st.reason == KMSE_R_ENCODING || (kmse_is_ok(st) && words.count == 0))
        st = kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                       "%s: no command, or one with an open quote", source);
    if (kmse_is_ok(st))
        st = kmse_aws_process_run(&output, &len, words.words, OUTPUT_MAX,
                                  left_ms, why);
    kmse_aws_words_wipe(&words);
    if (!kmse_is_ok(st))
        return st;
    const void *json = output;
    st = take_output(credentials, json, len, source, why);
    kmse_file_free_bytes(output, len);
    return st;
}

kmse_st kmse_aws_source_process(const struct kmse_aws_search *search,
                                struct kmse_aws_credentials *credentials,
                                bool *found, struct kmse_why *why)
{
    const char *command = kmse_aws_search_value(search, KEY);
    char source[KMSE_AWS_SOURCE_LEN];
    *found = command != NULL;
    if (command == NULL)
        return KMSE_OK;
    snprintf(source, sizeof(source), "%s of profile %s", KEY, search->profile);
    if (!search->options->credential_process)
        return kmse_fail(why, KMSE_R_KMS_CREDENTIALS,
                         "%s: it is a program, which is run only if the"
                         " configuration has aws-credential-process = yes",
                         source);
    return run(search, credentials, command, source, why);
}
