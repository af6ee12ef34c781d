/* SPDX-License-Identifier: Apache-2.0 */
/* What a census found: recorded, and told to programs. */
#include "tools/census.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "keyring/retire.h"

kmse_st kmse_count_init(struct kmse_count *count, const char *folder,
                        struct kmse_why *why)
{
    KMSE_TRY(kmse_keyfile_read(&count->file, folder, count->key, NULL, why));
    KMSE_TRY(
        kmse_version_tally_init(&count->tally, count->file->version_count));
    count->taken_s = kmse_clock_system.wall_s(kmse_clock_system.arg);
    return KMSE_OK;
}

void kmse_count_wipe(struct kmse_count *count)
{
    kmse_version_tally_wipe(&count->tally);
    kmse_keyfile_free(count->file);
    count->file = NULL;
}

/* Versions that the key does not have are told as one, the highest. */
kmse_st kmse_count_record(const struct kmse_count *count,
                          const struct kmse_session *session,
                          struct kmse_why *why)
{
    const struct kmse_version_tally *tally = &count->tally;
    char tool[KMSE_CENSUS_TOOL_MAX];
    struct kmse_version_count *counts =
        calloc(tally->version_count + 1, sizeof(*counts));
    if (counts == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (size_t i = 0; i < tally->version_count; i++)
        counts[i] =
            (struct kmse_version_count){(uint32_t)i + 1, tally->counts[i]};
    counts[tally->version_count] =
        (struct kmse_version_count){tally->unknown_version, tally->unknown};
    snprintf(tool, sizeof(tool), "kms-envelope %s", kmse_release);
    const struct kmse_census found = {
        .scope = count->scope,
        .tool = tool,
        .taken_s = count->taken_s,
        .counts = counts,
        .count_count = tally->version_count + 1,
        .other = tally->other,
    };
    kmse_st st = kmse_rotation_record_census(&session->rotation, count->key,
                                             &found, why);
    free(counts);
    return st;
}

bool kmse_count_add_number(struct cJSON *object, const char *name,
                           uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    return cJSON_AddRawToObject(object, name, text) != NULL;
}

static bool add_version(cJSON *list, const struct kmse_version *version,
                        uint64_t rows)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    return kmse_count_add_number(object, "number", version->number)
           && cJSON_AddStringToObject(object, "state",
                                      kmse_version_state_name(version->state))
                  != NULL
           && kmse_count_add_number(object, "rows", rows);
}

/* These names are an interface: never changed. */
bool kmse_count_add_json(struct cJSON *object, const struct kmse_count *count)
{
    const struct kmse_version_tally *tally = &count->tally;
    cJSON *list = cJSON_AddArrayToObject(object, "versions");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < tally->version_count; i++)
        ok = add_version(list, &count->file->versions[i], tally->counts[i]);
    return ok
           && kmse_count_add_number(object, "unknown-versions", tally->unknown)
           && kmse_count_add_number(object, "other", tally->other);
}
