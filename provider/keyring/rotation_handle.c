/* SPDX-License-Identifier: Apache-2.0 */
/* The handle of a key's version, for who configures a program with it. */
#include "keyring/change.h"
#include "keyring/handle.h"

static kmse_st check_state(const struct kmse_keyfile *file,
                           const struct kmse_version *version,
                           struct kmse_why *why)
{
    if (version->state == KMSE_VERSION_ACTIVE)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_STATE, "key %s, version %u is %s", file->name,
                     (unsigned)version->number,
                     kmse_version_state_name(version->state));
}

static kmse_st make(uint8_t handle[KMSE_HANDLE_LEN],
                    const struct kmse_rotation *r,
                    const struct kmse_keyfile *file,
                    const struct kmse_version *version, struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    KMSE_TRY(
        kmse_keyfile_unwrap(&data_key, r->kms, r->crypto, file, version, why));
    kmse_st st = kmse_handle_make(handle, r->crypto, file->id, version->number,
                                  &data_key);
    kmse_secret_wipe(&data_key);
    return st;
}

kmse_st kmse_rotation_handle(const struct kmse_rotation *r, const char *name,
                             uint32_t *version, uint8_t handle[KMSE_HANDLE_LEN],
                             struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(kmse_change_read(&file, r, name, why));
    const struct kmse_version *found = *version == 0
                                           ? kmse_keyfile_newest(file)
                                           : kmse_keyfile_find(file, *version);
    kmse_st st = found != NULL ? check_state(file, found, why)
                               : kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                                           "key %s, version %u", name,
                                           (unsigned)*version);
    if (kmse_is_ok(st))
        st = make(handle, r, file, found, why);
    if (kmse_is_ok(st))
        *version = found->number;
    kmse_keyfile_free(file);
    return st;
}
