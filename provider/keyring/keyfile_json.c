/* SPDX-License-Identifier: Apache-2.0 */
/* The key file as JSON: read strictly, written in the same place. */
#include "keyring/keyfile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "keyring/keyfile_census.h"

static const char FORMAT[] = "kms-envelope key 1";
static const char MAX_MESSAGES[] = "max-messages";
static const char MAX_BYTES[] = "max-bytes";
/* In seconds. */
static const char ROTATE_AFTER[] = "rotate-after";
static const char DESTROY_AFTER[] = "destroy-after";
static const char CENSUS_FENCE[] = "census-fence";

/* Numbers of JSON are doubles: whole up to 2^53. */
static const double NUMBER_MAX = 9007199254740992.0;

/* --- reading: where we are, for messages -------------------------------- */

enum { PATH_LEN = 64 };

struct place {
    const char *origin;  /* the file */
    char path[PATH_LEN]; /* "versions[1]." or "" */
    struct kmse_why *why;
};

static kmse_st bad_field(const struct place *at, const char *field,
                         const char *problem)
{
    const char *colon = at->path[0] != '\0' || field[0] != '\0' ? ": " : "";
    return kmse_fail(at->why, KMSE_R_KEYFILE_FIELD, "%s: %s%s%s%s", at->origin,
                     at->path, field, colon, problem);
}

/* Exactly these fields, each once. */
static kmse_st check_fields(const struct place *at, const cJSON *object,
                            const char *const *fields, size_t count)
{
    if (!cJSON_IsObject(object))
        return bad_field(at, "", "must be an object");
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        size_t i = 0;
        while (i < count && strcmp(fields[i], item->string) != 0)
            i++;
        char name[PATH_LEN];
        kmse_printable_copy(name, sizeof(name), (const uint8_t *)item->string,
                            strlen(item->string));
        if (i == count)
            return bad_field(at, name, "unknown field");
        for (const cJSON *o = item->next; o != NULL; o = o->next) {
            if (strcmp(o->string, item->string) == 0)
                return bad_field(at, name, "given twice");
        }
    }
    return KMSE_OK;
}

static kmse_st get_text(const struct place *at, const cJSON *object,
                        const char *field, const char **text)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL)
        return bad_field(at, field, "missing");
    if (!cJSON_IsString(item))
        return bad_field(at, field, "must be a string");
    *text = item->valuestring;
    return KMSE_OK;
}

static kmse_st get_hex(const struct place *at, const cJSON *object,
                       const char *field, uint8_t *out, size_t out_len)
{
    const char *text = NULL;
    KMSE_TRY(get_text(at, object, field, &text));
    if (!kmse_is_ok(kmse_hex_decode(out, out_len, text)))
        return bad_field(at, field, "must be lower-case hex of its length");
    return KMSE_OK;
}

static kmse_st get_time(const struct place *at, const cJSON *object,
                        const char *field, int64_t *wall_s)
{
    const char *text = NULL;
    KMSE_TRY(get_text(at, object, field, &text));
    if (!kmse_is_ok(kmse_time_parse(wall_s, text)))
        return bad_field(at, field, "must be a time, 2026-01-01T00:00:00Z");
    return KMSE_OK;
}

/* 0 if it is not there. */
static kmse_st get_time_if_any(const struct place *at, const cJSON *object,
                               const char *field, bool allowed, int64_t *wall_s)
{
    *wall_s = 0;
    if (cJSON_GetObjectItemCaseSensitive(object, field) == NULL)
        return KMSE_OK;
    KMSE_TRY(get_time(at, object, field, wall_s));
    if (!allowed || *wall_s == 0)
        return bad_field(at, field, "is not for a version of this state");
    return KMSE_OK;
}

static kmse_st get_number(const struct place *at, const cJSON *object,
                          const char *field, uint64_t *number)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field);
    if (item == NULL)
        return bad_field(at, field, "missing");
    if (!cJSON_IsNumber(item) || item->valuedouble < 1
        || item->valuedouble > NUMBER_MAX
        || (double)(uint64_t)item->valuedouble < item->valuedouble)
        return bad_field(at, field, "must be a whole number from 1");
    *number = (uint64_t)item->valuedouble;
    return KMSE_OK;
}

static kmse_st get_array(const struct place *at, const cJSON *object,
                         const char *field, const cJSON **array)
{
    *array = cJSON_GetObjectItemCaseSensitive(object, field);
    if (*array == NULL)
        return bad_field(at, field, "missing");
    if (!cJSON_IsArray(*array))
        return bad_field(at, field, "must be a list");
    return KMSE_OK;
}

static kmse_st get_context(const struct place *at, const cJSON *object,
                           struct kmse_kms_context *context)
{
    const cJSON *pairs = cJSON_GetObjectItemCaseSensitive(object, "context");
    if (pairs == NULL)
        return bad_field(at, "context", "missing");
    if (!cJSON_IsObject(pairs))
        return bad_field(at, "context", "must be an object");
    for (const cJSON *p = pairs->child; p != NULL; p = p->next) {
        if (!cJSON_IsString(p))
            return bad_field(at, "context", "values must be strings");
        if (!kmse_is_ok(
                kmse_kms_context_add(context, p->string, p->valuestring)))
            return bad_field(at, "context", "empty or repeated name");
    }
    return KMSE_OK;
}

/* --- reading: copies, versions, the file -------------------------------- */

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* There if true: that a copy is as all others is not written. */
static kmse_st get_adopted(const struct place *at, const cJSON *object,
                           bool *adopted)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "adopted");
    if (item != NULL && !cJSON_IsTrue(item))
        return bad_field(at, "adopted", "must be true, or not there");
    *adopted = item != NULL;
    return KMSE_OK;
}

static kmse_st check_copy_context(const struct place *at,
                                  const struct kmse_keyfile *file,
                                  uint32_t number, const struct kmse_copy *copy)
{
    struct kmse_kms_context wanted = {0};
    if (copy->adopted)
        return kmse_context_has_reserved(&copy->context)
                   ? bad_field(at, "context",
                               "of an adopted copy: names from kms-envelope: "
                               "are reserved")
                   : KMSE_OK;
    KMSE_TRY(kmse_keyfile_context(&wanted, file, number));
    bool same = kmse_kms_context_equal(&wanted, &copy->context);
    kmse_kms_context_wipe(&wanted);
    return same ? KMSE_OK
                : bad_field(at, "context", "is not that of key and version");
}

static kmse_st read_copy(const struct place *at, const cJSON *object,
                         const struct kmse_keyfile *file, uint32_t number,
                         struct kmse_copy *copy)
{
    static const char *const FIELDS[] = {"kms", "blob", "context", "adopted"};
    const char *kms = NULL, *blob = NULL;
    KMSE_TRY(check_fields(at, object, FIELDS, COUNT_OF(FIELDS)));
    KMSE_TRY(get_text(at, object, "kms", &kms));
    KMSE_TRY(get_text(at, object, "blob", &blob));
    KMSE_TRY(get_context(at, object, &copy->context));
    KMSE_TRY(get_adopted(at, object, &copy->adopted));
    KMSE_TRY(check_copy_context(at, file, number, copy));
    if (kms[0] == '\0')
        return bad_field(at, "kms", "must be a master key's URI");
    copy->kms = strdup(kms);
    if (copy->kms == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (!kmse_is_ok(
            kmse_base64_decode(&copy->blob.bytes, &copy->blob.len, blob))
        || copy->blob.len == 0 || copy->blob.len > KMSE_BLOB_MAX)
        return bad_field(at, "blob", "must be base64, at most 6144 bytes");
    return KMSE_OK;
}

static kmse_st read_copies(const struct place *at, const cJSON *object,
                           const struct kmse_keyfile *file,
                           struct kmse_version *version)
{
    const cJSON *list = NULL;
    KMSE_TRY(get_array(at, object, "copies", &list));
    size_t count = (size_t)cJSON_GetArraySize(list);
    if ((count == 0) != (version->state == KMSE_VERSION_DESTROYED))
        return bad_field(at, "copies",
                         count == 0 ? "must not be empty"
                                    : "must be empty: it is destroyed");
    if (count == 0)
        return KMSE_OK;
    version->copies = calloc(count, sizeof(*version->copies));
    if (version->copies == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    version->copy_count = count;
    size_t i = 0;
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        struct place deeper = *at;
        snprintf(deeper.path, sizeof(deeper.path), "%.40scopies[%zu].",
                 at->path, i);
        KMSE_TRY(read_copy(&deeper, item, file, version->number,
                           &version->copies[i]));
        i++;
    }
    return KMSE_OK;
}

static kmse_st read_state(const struct place *at, const cJSON *object,
                          enum kmse_version_state *state)
{
    const char *text = NULL;
    KMSE_TRY(get_text(at, object, "state", &text));
    for (int i = 0; i < KMSE_VERSION_STATES; i++) {
        enum kmse_version_state known = (enum kmse_version_state)i;
        if (strcmp(text, kmse_version_state_name(known)) == 0) {
            *state = known;
            return KMSE_OK;
        }
    }
    return bad_field(at, "state",
                     "must be active, revoked, retired or destroyed");
}

static kmse_st read_ends(const struct place *at, const cJSON *object,
                         struct kmse_version *version)
{
    bool destroyed = version->state == KMSE_VERSION_DESTROYED;
    bool retired = version->state == KMSE_VERSION_RETIRED || destroyed;
    KMSE_TRY(
        get_time_if_any(at, object, "retired", retired, &version->retired_s));
    KMSE_TRY(get_time_if_any(at, object, "destroyed", destroyed,
                             &version->destroyed_s));
    return get_time_if_any(at, object, "restored", true, &version->restored_s);
}

static kmse_st read_version(const struct place *at, const cJSON *object,
                            const struct kmse_keyfile *file, uint32_t expected,
                            struct kmse_version *version)
{
    static const char *const FIELDS[] = {
        "version", "created",   "active-from", "state", "commitment",
        "retired", "destroyed", "restored",    "copies"};
    uint64_t number = 0;
    KMSE_TRY(check_fields(at, object, FIELDS, COUNT_OF(FIELDS)));
    KMSE_TRY(get_number(at, object, "version", &number));
    if (number != expected || number > KMSE_VERSION_MAX)
        return bad_field(at, "version", "versions are 1, 2, 3, ... in order");
    version->number = expected;
    KMSE_TRY(get_time(at, object, "created", &version->created_s));
    KMSE_TRY(get_time(at, object, "active-from", &version->active_from_s));
    KMSE_TRY(read_state(at, object, &version->state));
    KMSE_TRY(read_ends(at, object, version));
    KMSE_TRY(
        get_hex(at, object, "commitment", version->commitment, KMSE_HMAC_LEN));
    return read_copies(at, object, file, version);
}

static kmse_st read_versions(const struct place *at, const cJSON *root,
                             struct kmse_keyfile *file)
{
    const cJSON *list = NULL;
    KMSE_TRY(get_array(at, root, "versions", &list));
    size_t count = (size_t)cJSON_GetArraySize(list);
    if (count == 0)
        return bad_field(at, "versions", "must not be empty");
    file->versions = calloc(count, sizeof(*file->versions));
    if (file->versions == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    file->version_count = count;
    uint32_t number = 1;
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        struct place deeper = *at;
        snprintf(deeper.path, sizeof(deeper.path), "versions[%u].", number - 1);
        KMSE_TRY(read_version(&deeper, item, file, number,
                              &file->versions[number - 1]));
        number++;
    }
    return KMSE_OK;
}

/* 0 if it is not there. */
static kmse_st get_limit(const struct place *at, const cJSON *object,
                         const char *field, uint64_t *limit)
{
    *limit = 0;
    return cJSON_GetObjectItemCaseSensitive(object, field) != NULL
               ? get_number(at, object, field, limit)
               : KMSE_OK;
}

/* How versions end. */
static kmse_st read_ends_policy(const struct place *at, const cJSON *object,
                                struct kmse_policy *policy)
{
    KMSE_TRY(get_limit(at, object, DESTROY_AFTER, &policy->destroy_after_s));
    if (policy->destroy_after_s > KMSE_ROTATE_AFTER_MAX_S)
        return bad_field(at, DESTROY_AFTER, "must be at most ten years");
    KMSE_TRY(get_limit(at, object, CENSUS_FENCE, &policy->census_fence_s));
    if (policy->census_fence_s > KMSE_ROTATE_AFTER_MAX_S
        || (policy->census_fence_s != 0
            && policy->census_fence_s < KMSE_CENSUS_FENCE_MIN_S))
        return bad_field(at, CENSUS_FENCE,
                         "must be 5 seconds at least, at most ten years");
    return KMSE_OK;
}

static kmse_st read_policy(const struct place *at, const cJSON *root,
                           struct kmse_policy *policy)
{
    static const char *const FIELDS[] = {MAX_MESSAGES, MAX_BYTES, ROTATE_AFTER,
                                         DESTROY_AFTER, CENSUS_FENCE};
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "policy");
    struct place deeper = *at;
    if (object == NULL)
        return bad_field(at, "policy", "missing");
    snprintf(deeper.path, sizeof(deeper.path), "policy.");
    KMSE_TRY(check_fields(&deeper, object, FIELDS, COUNT_OF(FIELDS)));
    KMSE_TRY(get_limit(&deeper, object, MAX_MESSAGES, &policy->max_messages));
    KMSE_TRY(get_limit(&deeper, object, MAX_BYTES, &policy->max_bytes));
    KMSE_TRY(get_limit(&deeper, object, ROTATE_AFTER, &policy->rotate_after_s));
    if (policy->rotate_after_s > KMSE_ROTATE_AFTER_MAX_S)
        return bad_field(&deeper, ROTATE_AFTER, "must be at most ten years");
    return read_ends_policy(&deeper, object, policy);
}

static kmse_st read_user_context(const struct place *at, const cJSON *root,
                                 struct kmse_kms_context *context)
{
    KMSE_TRY(get_context(at, root, context));
    if (kmse_context_has_reserved(context))
        return bad_field(at, "context",
                         "names from kms-envelope: are reserved");
    return KMSE_OK;
}

static kmse_st read_censuses(const struct place *at, const cJSON *root,
                             struct kmse_keyfile *file)
{
    char field[KMSE_CENSUS_FIELD_LEN] = "";
    const char *problem = "";
    kmse_st st = kmse_censuses_read(file, root, field, &problem);
    return st.reason == KMSE_R_KEYFILE_FIELD ? bad_field(at, field, problem)
                                             : st;
}

static kmse_st read_root(const struct place *at, const cJSON *root,
                         const char *name, struct kmse_keyfile *file)
{
    static const char *const FIELDS[] = {"format",   "name",     "id",
                                         "created",  "context",  "policy",
                                         "versions", "censuses", "mac"};
    const char *text = NULL;
    KMSE_TRY(check_fields(at, root, FIELDS, COUNT_OF(FIELDS)));
    KMSE_TRY(get_text(at, root, "format", &text));
    if (strcmp(text, FORMAT) != 0)
        return bad_field(at, "format",
                         "must be \"kms-envelope key 1\"; was "
                         "it written by a newer release?");
    KMSE_TRY(get_text(at, root, "name", &text));
    if (strcmp(text, name) != 0 || !kmse_key_name_is_valid(text))
        return bad_field(at, "name", "is not that of the file");
    snprintf(file->name, sizeof(file->name), "%s", text);
    KMSE_TRY(get_hex(at, root, "id", file->id, KMSE_KEY_ID_LEN));
    KMSE_TRY(get_time(at, root, "created", &file->created_s));
    KMSE_TRY(read_user_context(at, root, &file->context));
    KMSE_TRY(read_policy(at, root, &file->policy));
    KMSE_TRY(get_hex(at, root, "mac", file->mac, KMSE_HMAC_LEN));
    KMSE_TRY(read_versions(at, root, file));
    return read_censuses(at, root, file);
}

kmse_st kmse_keyfile_parse(struct kmse_keyfile **file, const char *json,
                           size_t json_len, const char *name,
                           const char *origin, struct kmse_why *why)
{
    const struct place at = {.origin = origin, .path = "", .why = why};
    cJSON *root = kmse_json_parse(json, json_len);
    if (root == NULL)
        return kmse_fail(why, KMSE_R_KEYFILE_SYNTAX,
                         "%s: not JSON; restore the file from a backup",
                         origin);
    struct kmse_keyfile *read = kmse_keyfile_new();
    kmse_st st = read != NULL ? read_root(&at, root, name, read)
                              : KMSE_ERR(KMSE_R_MEMORY);
    cJSON_Delete(root);
    if (!kmse_is_ok(st)) {
        kmse_keyfile_free(read);
        return st;
    }
    *file = read;
    return KMSE_OK;
}

/* --- writing ------------------------------------------------------------ */

static bool add_text(cJSON *object, const char *field, const char *text)
{
    return cJSON_AddStringToObject(object, field, text) != NULL;
}

static bool add_hex(cJSON *object, const char *field, const uint8_t *bytes,
                    size_t len)
{
    char hex[2 * KMSE_HMAC_LEN + 1];
    kmse_hex_encode(hex, bytes, len);
    return add_text(object, field, hex);
}

static bool add_time(cJSON *object, const char *field, int64_t wall_s)
{
    char text[KMSE_TIME_LEN];
    kmse_time_print(text, wall_s);
    return add_text(object, field, text);
}

static bool add_time_if_any(cJSON *object, const char *field, int64_t wall_s)
{
    return wall_s == 0 || add_time(object, field, wall_s);
}

static bool add_context(cJSON *object, const struct kmse_kms_context *context)
{
    cJSON *pairs = cJSON_AddObjectToObject(object, "context");
    bool ok = pairs != NULL;
    for (size_t i = 0; ok && i < context->count; i++)
        ok = add_text(pairs, context->pairs[i].name, context->pairs[i].value);
    return ok;
}

static bool add_copy(cJSON *list, const struct kmse_copy *copy)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object))
        return false;
    char *blob = NULL;
    if (!kmse_is_ok(
            kmse_base64_encode(&blob, copy->blob.bytes, copy->blob.len)))
        return false;
    bool ok =
        add_text(object, "kms", copy->kms) && add_text(object, "blob", blob)
        && add_context(object, &copy->context)
        && (!copy->adopted || cJSON_AddTrueToObject(object, "adopted") != NULL);
    free(blob);
    return ok;
}

static bool add_version(cJSON *list, const struct kmse_version *version)
{
    cJSON *object = cJSON_CreateObject();
    if (object == NULL || !cJSON_AddItemToArray(list, object))
        return false;
    bool ok =
        cJSON_AddNumberToObject(object, "version", version->number)
        && add_time(object, "created", version->created_s)
        && add_time(object, "active-from", version->active_from_s)
        && add_text(object, "state", kmse_version_state_name(version->state))
        && add_hex(object, "commitment", version->commitment, KMSE_HMAC_LEN)
        && add_time_if_any(object, "retired", version->retired_s)
        && add_time_if_any(object, "destroyed", version->destroyed_s)
        && add_time_if_any(object, "restored", version->restored_s);
    cJSON *copies = ok ? cJSON_AddArrayToObject(object, "copies") : NULL;
    ok = copies != NULL;
    for (size_t i = 0; ok && i < version->copy_count; i++)
        ok = add_copy(copies, &version->copies[i]);
    return ok;
}

static bool add_limit(cJSON *object, const char *field, uint64_t limit)
{
    return limit == 0
           || cJSON_AddNumberToObject(object, field, (double)limit) != NULL;
}

static bool add_policy(cJSON *root, const struct kmse_policy *policy)
{
    cJSON *object = cJSON_AddObjectToObject(root, "policy");
    return object != NULL
           && add_limit(object, MAX_MESSAGES, policy->max_messages)
           && add_limit(object, MAX_BYTES, policy->max_bytes)
           && add_limit(object, ROTATE_AFTER, policy->rotate_after_s)
           && add_limit(object, DESTROY_AFTER, policy->destroy_after_s)
           && add_limit(object, CENSUS_FENCE, policy->census_fence_s);
}

static bool add_root(cJSON *root, const struct kmse_keyfile *file)
{
    bool ok =
        add_text(root, "format", FORMAT) && add_text(root, "name", file->name)
        && add_hex(root, "id", file->id, KMSE_KEY_ID_LEN)
        && add_time(root, "created", file->created_s)
        && add_context(root, &file->context) && add_policy(root, &file->policy);
    cJSON *versions = ok ? cJSON_AddArrayToObject(root, "versions") : NULL;
    ok = versions != NULL;
    for (size_t i = 0; ok && i < file->version_count; i++)
        ok = add_version(versions, &file->versions[i]);
    return ok && kmse_censuses_add(root, file)
           && add_hex(root, "mac", file->mac, KMSE_HMAC_LEN);
}

kmse_st kmse_keyfile_print(char **json, const struct kmse_keyfile *file)
{
    cJSON *root = cJSON_CreateObject();
    char *text =
        root != NULL && add_root(root, file) ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *json = text;
    return KMSE_OK;
}
