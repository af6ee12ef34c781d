/* SPDX-License-Identifier: Apache-2.0 */
/* A key file in memory: what it holds and what follows from it. */
#include "keyring/keyfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kmse_key_name_is_valid(const char *name)
{
    static const char FIRST[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char REST[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= KMSE_KEY_NAME_MAX && strchr(FIRST, name[0]) != NULL
           && strspn(name, REST) == len;
}

const char *kmse_version_state_name(enum kmse_version_state state)
{
    static const char *const NAMES[KMSE_VERSION_STATES] = {
        [KMSE_VERSION_ACTIVE] = "active",
        [KMSE_VERSION_REVOKED] = "revoked",
        [KMSE_VERSION_RETIRED] = "retired",
        [KMSE_VERSION_DESTROYED] = "destroyed",
    };
    return NAMES[state];
}

const char *kmse_version_state_at(const struct kmse_version *version,
                                  int64_t now_s)
{
    if (version->state == KMSE_VERSION_ACTIVE && version->active_from_s > now_s)
        return "pending";
    return kmse_version_state_name(version->state);
}

struct kmse_keyfile *kmse_keyfile_new(void)
{
    return calloc(1, sizeof(struct kmse_keyfile));
}

kmse_st kmse_copy_copy(struct kmse_copy *to, const struct kmse_copy *from)
{
    struct kmse_copy copy = {.kms = strdup(from->kms),
                             .adopted = from->adopted};
    kmse_st st = copy.kms != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_is_ok(st))
        st = kmse_blob_copy(&copy.blob, &from->blob);
    if (kmse_is_ok(st))
        st = kmse_kms_context_copy(&copy.context, &from->context);
    if (!kmse_is_ok(st)) {
        kmse_copy_wipe(&copy);
        return st;
    }
    *to = copy;
    return KMSE_OK;
}

void kmse_copy_wipe(struct kmse_copy *copy)
{
    free(copy->kms);
    kmse_blob_wipe(&copy->blob);
    kmse_kms_context_wipe(&copy->context);
    *copy = (struct kmse_copy){0};
}

static void version_wipe(struct kmse_version *version)
{
    for (size_t i = 0; i < version->copy_count; i++)
        kmse_copy_wipe(&version->copies[i]);
    free(version->copies);
}

void kmse_keyfile_free(struct kmse_keyfile *file)
{
    if (file == NULL)
        return;
    for (size_t i = 0; i < file->version_count; i++)
        version_wipe(&file->versions[i]);
    free(file->versions);
    for (size_t i = 0; i < file->census_count; i++)
        kmse_census_record_wipe(&file->censuses[i]);
    free(file->censuses);
    kmse_kms_context_wipe(&file->context);
    free(file);
}

const struct kmse_version *kmse_keyfile_newest(const struct kmse_keyfile *file)
{
    return &file->versions[file->version_count - 1];
}

const struct kmse_version *kmse_keyfile_current(const struct kmse_keyfile *file,
                                                int64_t wall_s)
{
    for (size_t i = file->version_count; i > 0; i--) {
        const struct kmse_version *version = &file->versions[i - 1];
        if (version->state == KMSE_VERSION_ACTIVE
            && version->active_from_s <= wall_s)
            return version;
    }
    return NULL;
}

const struct kmse_version *kmse_keyfile_find(const struct kmse_keyfile *file,
                                             uint32_t number)
{
    if (number == 0 || number > file->version_count)
        return NULL;
    return &file->versions[number - 1];
}

bool kmse_context_has_reserved(const struct kmse_kms_context *context)
{
    static const char RESERVED[] = KMSE_CONTEXT_RESERVED;
    for (size_t i = 0; i < context->count; i++) {
        if (strncmp(context->pairs[i].name, RESERVED, sizeof(RESERVED) - 1)
            == 0)
            return true;
    }
    return false;
}

kmse_st kmse_keyfile_context(struct kmse_kms_context *context,
                             const struct kmse_keyfile *file, uint32_t number)
{
    enum { NUMBER_LEN = sizeof("16777215") };
    char text[NUMBER_LEN];
    struct kmse_kms_context made = {0};
    snprintf(text, sizeof(text), "%u", number & KMSE_VERSION_MAX);
    kmse_st st = kmse_kms_context_copy(&made, &file->context);
    if (kmse_is_ok(st))
        st = kmse_kms_context_add(&made, KMSE_CONTEXT_KEY, file->name);
    if (kmse_is_ok(st))
        st = kmse_kms_context_add(&made, KMSE_CONTEXT_VERSION, text);
    if (!kmse_is_ok(st)) {
        kmse_kms_context_wipe(&made);
        return st;
    }
    *context = made;
    return KMSE_OK;
}
