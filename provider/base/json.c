/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON strictly. */
#include "base/json.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>

static bool has_escaped_nul(const char *json)
{
    static const char NUL[] = "u0000";
    const char *at = json;
    while ((at = strchr(at, '\\')) != NULL) {
        if (strncmp(at + 1, NUL, sizeof(NUL) - 1) == 0)
            return true;
        at += at[1] != '\0' ? 2 : 1; /* a backslash escapes a backslash */
    }
    return false;
}

cJSON *kmse_json_parse(const char *json, size_t json_len)
{
    if (strlen(json) != json_len || has_escaped_nul(json))
        return NULL;
    return cJSON_ParseWithLengthOpts(json, json_len + 1, NULL, true);
}

/* Strings that cJSON frees without wiping. */
static void cleanse(cJSON *value)
{
    for (; value != NULL; value = value->next) {
        if (value->valuestring != NULL)
            OPENSSL_cleanse(value->valuestring, strlen(value->valuestring));
        cleanse(value->child);
    }
}

void kmse_json_wipe(cJSON *value)
{
    cleanse(value);
    cJSON_Delete(value);
}
