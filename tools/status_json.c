/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope status --json. These names are an interface: never changed. */
#include "tools/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "keyring/due.h"

static bool add_text(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool add_time(cJSON *object, const char *name, int64_t wall_s)
{
    char text[KMSE_TIME_LEN];
    kmse_time_print(text, wall_s);
    return add_text(object, name, text);
}

/* JSON's null if the file does not say. */
static bool add_time_or_null(cJSON *object, const char *name, int64_t wall_s)
{
    return wall_s != 0 ? add_time(object, name, wall_s)
                       : cJSON_AddNullToObject(object, name) != NULL;
}

/* Exact beyond 2^53, where cJSON's own numbers are not. */
static bool add_count(cJSON *object, const char *name, uint64_t count)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, count);
    return cJSON_AddRawToObject(object, name, text) != NULL;
}

static bool add_masters(cJSON *object, const struct kmse_version *version)
{
    cJSON *masters = cJSON_AddArrayToObject(object, "master-keys");
    for (size_t i = 0; masters != NULL && i < version->copy_count; i++) {
        cJSON *uri = cJSON_CreateString(version->copies[i].kms);
        if (uri == NULL || !cJSON_AddItemToArray(masters, uri))
            return false;
    }
    return masters != NULL;
}

static bool add_copies(cJSON *object, const struct kmse_version *version)
{
    cJSON *copies = cJSON_AddArrayToObject(object, "copies");
    bool ok = copies != NULL;
    for (size_t i = 0; ok && i < version->copy_count; i++) {
        const struct kmse_copy *copy = &version->copies[i];
        cJSON *item = cJSON_CreateObject();
        if (item == NULL || !cJSON_AddItemToArray(copies, item)) {
            cJSON_Delete(item);
            return false;
        }
        ok = add_text(item, "master-key", copy->kms)
             && cJSON_AddBoolToObject(item, "adopted", copy->adopted) != NULL;
    }
    return ok;
}

static bool add_version(cJSON *versions, const struct kmse_keyfile *file,
                        const struct kmse_version *version, int64_t now_s)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(versions, object)) {
        cJSON_Delete(object);
        return false;
    }
    bool encrypts = version == kmse_keyfile_current(file, now_s);
    int64_t age_s = now_s > version->created_s ? now_s - version->created_s : 0;
    return add_count(object, "number", version->number)
           && add_text(object, "state", kmse_version_state_at(version, now_s))
           && cJSON_AddBoolToObject(object, "encrypts", encrypts) != NULL
           && add_time(object, "created", version->created_s)
           && add_time(object, "active-from", version->active_from_s)
           && add_count(object, "age-seconds", (uint64_t)age_s)
           && add_time_or_null(object, "retired", version->retired_s)
           && add_time_or_null(object, "held-until",
                               kmse_keyfile_destroyable(file, version))
           && add_time_or_null(object, "destroyed", version->destroyed_s)
           && add_masters(object, version) && add_copies(object, version);
}

static bool add_found(cJSON *object, const struct kmse_census_record *census)
{
    cJSON *found = cJSON_AddArrayToObject(object, "found");
    bool ok = found != NULL;
    for (size_t i = 0; ok && i < census->found_count; i++) {
        cJSON *item = cJSON_CreateObject();
        if (item == NULL || !cJSON_AddItemToArray(found, item)) {
            cJSON_Delete(item);
            return false;
        }
        ok = add_count(item, "version", i + 1)
             && add_count(item, "rows", census->found[i]);
    }
    return ok;
}

static bool add_census(cJSON *list, const struct kmse_census_record *census)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    return add_text(object, "scope", census->scope)
           && add_time(object, "taken", census->taken_s)
           && add_text(object, "tool", census->tool)
           && add_found(object, census)
           && add_count(object, "other", census->other);
}

static bool add_censuses(cJSON *object, const struct kmse_keyfile *file)
{
    cJSON *list = cJSON_AddArrayToObject(object, "censuses");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < file->census_count; i++)
        ok = add_census(list, &file->censuses[i]);
    return ok;
}

static bool add_context(cJSON *object, const struct kmse_keyfile *file)
{
    cJSON *context = cJSON_AddObjectToObject(object, "context");
    bool ok = context != NULL;
    for (size_t i = 0; ok && i < file->context.count; i++)
        ok = add_text(context, file->context.pairs[i].name,
                      file->context.pairs[i].value);
    return ok;
}

/* JSON's null where the policy does not say. */
static bool add_due(cJSON *object, const struct kmse_status *status,
                    const struct kmse_keyfile *file)
{
    static const char DUE[] = "rotation-due",
                      LEFT[] = "rotation-due-in-seconds";
    struct kmse_due due = kmse_due_of(file, status->now_s, NULL);
    char left[24];
    if (due.state == KMSE_DUE_NEVER)
        return cJSON_AddNullToObject(object, DUE) != NULL
               && cJSON_AddNullToObject(object, LEFT) != NULL;
    snprintf(left, sizeof(left), "%" PRId64, due.at_s - status->now_s);
    return add_time(object, DUE, due.at_s)
           && cJSON_AddRawToObject(object, LEFT, left) != NULL;
}

/* What the agent of this host has counted, null where none has. */
static bool add_used(cJSON *object, const struct kmse_status *status,
                     const struct kmse_keyfile *file)
{
    static const char USED[] = "used";
    struct kmse_used used;
    if (!kmse_usage_of(&used, &status->usage, file->name))
        return cJSON_AddNullToObject(object, USED) != NULL;
    struct kmse_due due = kmse_usage_due(&status->usage, file, status->now_s);
    cJSON *members = cJSON_AddObjectToObject(object, USED);
    return members != NULL && add_count(members, "version", used.version)
           && add_count(members, "messages", used.messages)
           && add_count(members, "bytes", used.bytes)
           && cJSON_AddBoolToObject(members, "rotation-due",
                                    kmse_usage_limit(&due) != NULL)
                  != NULL;
}

static bool add_key(cJSON *keys, const struct kmse_status *status,
                    const struct kmse_keyfile *file)
{
    int64_t now_s = status->now_s;
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(keys, object)) {
        cJSON_Delete(object);
        return false;
    }
    char id[2 * KMSE_KEY_ID_LEN + 1];
    kmse_hex_encode(id, file->id, KMSE_KEY_ID_LEN);
    bool ok = add_text(object, "name", file->name) && add_text(object, "id", id)
              && add_time(object, "created", file->created_s)
              && add_context(object, file)
              && add_count(object, "rotate-after-seconds",
                           file->policy.rotate_after_s)
              && add_due(object, status, file) && add_used(object, status, file)
              && add_count(object, "max-messages", file->policy.max_messages)
              && add_count(object, "max-bytes", file->policy.max_bytes)
              && add_count(object, "destroy-after-seconds",
                           (uint64_t)kmse_policy_destroy_after(&file->policy))
              && add_count(object, "census-fence-seconds",
                           (uint64_t)kmse_policy_census_fence(&file->policy))
              && add_censuses(object, file);
    cJSON *versions = ok ? cJSON_AddArrayToObject(object, "versions") : NULL;
    ok = versions != NULL;
    for (size_t i = 0; ok && i < file->version_count; i++)
        ok = add_version(versions, file, &file->versions[i], now_s);
    return ok;
}

kmse_st kmse_status_print_json(const struct kmse_status *status)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL && add_text(root, "folder", status->folder);
    cJSON *keys = ok ? cJSON_AddArrayToObject(root, "keys") : NULL;
    ok = keys != NULL;
    for (size_t i = 0; ok && i < status->count; i++)
        ok = add_key(keys, status, status->files[i]);
    char *text = ok ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    puts(text);
    cJSON_free(text);
    return KMSE_OK;
}
