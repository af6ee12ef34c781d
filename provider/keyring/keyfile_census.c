/* SPDX-License-Identifier: Apache-2.0 */
/* A key file's censuses, and since when a version is not needed any more. */
#include "keyring/keyfile_census.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kms/kms.h"

static const double NUMBER_MAX = 9007199254740992.0; /* 2^53 */

void kmse_census_record_wipe(struct kmse_census_record *record)
{
    free(record->scope);
    free(record->tool);
    free(record->found);
    *record = (struct kmse_census_record){0};
}

bool kmse_census_text_is_valid(const char *text, size_t max)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f)
            return false;
    }
    return len > 0 && len <= max && kmse_text_is_utf8(text, len);
}

struct kmse_census_record *kmse_keyfile_census(const struct kmse_keyfile *file,
                                               const char *scope)
{
    for (size_t i = 0; i < file->census_count; i++) {
        if (strcmp(file->censuses[i].scope, scope) == 0)
            return &file->censuses[i];
    }
    return NULL;
}

uint64_t kmse_census_found(const struct kmse_census_record *record,
                           uint32_t version)
{
    return version <= record->found_count ? record->found[version - 1] : 0;
}

/* --- since when, until when --------------------------------------------- */

/* 9999-12-31T23:59:59Z: what key files can say. */
static const int64_t LAST_S = 253402300799;

int64_t kmse_time_after(int64_t wall_s, int64_t later_s)
{
    return wall_s < LAST_S - later_s ? wall_s + later_s : LAST_S;
}

int64_t kmse_policy_destroy_after(const struct kmse_policy *policy)
{
    return policy->destroy_after_s != 0 ? (int64_t)policy->destroy_after_s
                                        : KMSE_DESTROY_AFTER_S;
}

int64_t kmse_policy_census_fence(const struct kmse_policy *policy)
{
    return policy->census_fence_s != 0 ? (int64_t)policy->census_fence_s
                                       : KMSE_CENSUS_FENCE_S;
}

/*
 * A successor of a revoked version is active from before it was made, for
 * machines whose clock is slow: until it was there, nobody encrypted with it.
 */
static int64_t takes_over(const struct kmse_version *version)
{
    return version->active_from_s > version->created_s ? version->active_from_s
                                                       : version->created_s;
}

int64_t kmse_keyfile_superseded(const struct kmse_keyfile *file,
                                const struct kmse_version *version)
{
    int64_t since_s = 0;
    for (size_t i = version->number; i < file->version_count; i++) {
        const struct kmse_version *later = &file->versions[i];
        if (later->state == KMSE_VERSION_ACTIVE
            && (since_s == 0 || takes_over(later) < since_s))
            since_s = takes_over(later);
    }
    return since_s;
}

int64_t kmse_keyfile_destroyable(const struct kmse_keyfile *file,
                                 const struct kmse_version *version)
{
    if (version->state != KMSE_VERSION_RETIRED || version->retired_s == 0)
        return 0;
    return kmse_time_after(version->retired_s,
                           kmse_policy_destroy_after(&file->policy));
}

/* --- reading ------------------------------------------------------------ */

/* What is read, and what is wrong with it. */
struct reader {
    const cJSON *object;
    char *field; /* of KMSE_CENSUS_FIELD_LEN */
    size_t index;
    const char **problem;
};

static kmse_st bad(const struct reader *in, const char *field,
                   const char *problem)
{
    snprintf(in->field, KMSE_CENSUS_FIELD_LEN, "censuses[%zu]%s%s", in->index,
             field[0] != '\0' ? "." : "", field);
    *in->problem = problem;
    return KMSE_ERR(KMSE_R_KEYFILE_FIELD);
}

static kmse_st check_fields(const struct reader *in)
{
    static const char *const FIELDS[] = {"scope", "taken", "tool", "found",
                                         "other"};
    size_t seen = 0, count = sizeof(FIELDS) / sizeof(FIELDS[0]);
    if (!cJSON_IsObject(in->object))
        return bad(in, "", "must be an object");
    for (const cJSON *item = in->object->child; item != NULL;
         item = item->next) {
        size_t i = 0;
        while (i < count && strcmp(FIELDS[i], item->string) != 0)
            i++;
        if (i == count)
            return bad(in, "", "has an unknown field");
        if ((seen & (size_t)1 << i) != 0)
            return bad(in, FIELDS[i], "given twice");
        seen |= (size_t)1 << i;
    }
    for (size_t i = 0; i < count; i++) {
        if ((seen & (size_t)1 << i) == 0)
            return bad(in, FIELDS[i], "missing");
    }
    return KMSE_OK;
}

static kmse_st read_text(const struct reader *in, const char *field, size_t max,
                         char **text)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(in->object, field);
    if (!cJSON_IsString(item)
        || !kmse_census_text_is_valid(item->valuestring, max))
        return bad(in, field, "must be a short text without controls");
    *text = strdup(item->valuestring);
    return *text != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

static kmse_st read_count(const struct reader *in, const char *field,
                          const cJSON *item, uint64_t *count)
{
    if (!cJSON_IsNumber(item) || item->valuedouble < 0
        || item->valuedouble > NUMBER_MAX
        || (double)(uint64_t)item->valuedouble < item->valuedouble)
        return bad(in, field, "must be whole numbers from 0");
    *count = (uint64_t)item->valuedouble;
    return KMSE_OK;
}

static kmse_st read_found(const struct reader *in, size_t version_count,
                          struct kmse_census_record *record)
{
    static const char FOUND[] = "found";
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(in->object, FOUND);
    int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (size <= 0 || (size_t)size > version_count)
        return bad(in, FOUND, "must be a list of a number for each version");
    record->found = calloc((size_t)size, sizeof(*record->found));
    if (record->found == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (const cJSON *item = list->child; item != NULL; item = item->next)
        KMSE_TRY(
            read_count(in, FOUND, item, &record->found[record->found_count++]));
    return KMSE_OK;
}

static kmse_st read_record(const struct reader *in, struct kmse_keyfile *file,
                           struct kmse_census_record *record)
{
    KMSE_TRY(check_fields(in));
    char *scope = NULL;
    KMSE_TRY(read_text(in, "scope", KMSE_SCOPE_MAX, &scope));
    bool twice = kmse_keyfile_census(file, scope) != NULL;
    record->scope = scope;
    if (twice)
        return bad(in, "scope", "given twice");
    KMSE_TRY(read_text(in, "tool", KMSE_CENSUS_TOOL_MAX, &record->tool));
    const cJSON *taken = cJSON_GetObjectItemCaseSensitive(in->object, "taken");
    if (!cJSON_IsString(taken)
        || !kmse_is_ok(kmse_time_parse(&record->taken_s, taken->valuestring)))
        return bad(in, "taken", "must be a time, 2026-01-01T00:00:00Z");
    KMSE_TRY(read_count(in, "other",
                        cJSON_GetObjectItemCaseSensitive(in->object, "other"),
                        &record->other));
    return read_found(in, file->version_count, record);
}

kmse_st kmse_censuses_read(struct kmse_keyfile *file, const cJSON *root,
                           char field[KMSE_CENSUS_FIELD_LEN],
                           const char **problem)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "censuses");
    if (list == NULL)
        return KMSE_OK;
    int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    snprintf(field, KMSE_CENSUS_FIELD_LEN, "censuses");
    *problem = "must be a list of 1 to 256, or not there";
    if (size <= 0 || size > KMSE_CENSUSES_MAX)
        return KMSE_ERR(KMSE_R_KEYFILE_FIELD);
    file->censuses = calloc((size_t)size, sizeof(*file->censuses));
    if (file->censuses == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    struct reader in = {.field = field, .problem = problem};
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        struct kmse_census_record record = {0};
        in.object = item;
        kmse_st st = read_record(&in, file, &record);
        if (!kmse_is_ok(st)) {
            kmse_census_record_wipe(&record);
            return st;
        }
        file->censuses[file->census_count++] = record;
        in.index++;
    }
    return KMSE_OK;
}

/* --- writing ------------------------------------------------------------ */

static bool add_text(cJSON *object, const char *field, const char *text)
{
    return cJSON_AddStringToObject(object, field, text) != NULL;
}

static bool add_record(cJSON *list, const struct kmse_census_record *record)
{
    char taken[KMSE_TIME_LEN];
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    kmse_time_print(taken, record->taken_s);
    bool ok = add_text(object, "scope", record->scope)
              && add_text(object, "taken", taken)
              && add_text(object, "tool", record->tool);
    cJSON *found = ok ? cJSON_AddArrayToObject(object, "found") : NULL;
    ok = found != NULL;
    for (size_t i = 0; ok && i < record->found_count; i++) {
        cJSON *count = cJSON_CreateNumber((double)record->found[i]);
        ok = count != NULL && cJSON_AddItemToArray(found, count);
    }
    return ok
           && cJSON_AddNumberToObject(object, "other", (double)record->other)
                  != NULL;
}

bool kmse_censuses_add(cJSON *root, const struct kmse_keyfile *file)
{
    if (file->census_count == 0)
        return true;
    cJSON *list = cJSON_AddArrayToObject(root, "censuses");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < file->census_count; i++)
        ok = add_record(list, &file->censuses[i]);
    return ok;
}
