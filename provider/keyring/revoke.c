/* SPDX-License-Identifier: Apache-2.0 */
/* What a key file says of its versions, changed: revoked or not, the policy. */
#include "keyring/rotation.h"

#include "keyring/change.h"

/*
 * A successor is active on machines, too, whose clock is slow: they have
 * nothing else to encrypt with.
 */
enum { SLOW_CLOCK_S = 600 };

/* --- revoke ------------------------------------------------------------- */

static kmse_st find_version(struct kmse_version **version,
                            const struct kmse_edit *edit, uint32_t number,
                            struct kmse_why *why)
{
    const char *name = edit->old->name;
    if (kmse_keyfile_find(edit->file, number) == NULL)
        return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                         "key %s has versions 1 to %zu", name,
                         edit->file->version_count);
    struct kmse_version *found = &edit->file->versions[number - 1];
    if (found->state == KMSE_VERSION_DESTROYED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_DESTROYED,
                         "key %s, version %u", name, number);
    if (found->state == KMSE_VERSION_RETIRED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_RETIRED,
                         "key %s, version %u is used for nothing as it is",
                         name, number);
    *version = found;
    return KMSE_OK;
}

static kmse_st check_has_successor(const struct kmse_rotation *r,
                                   const struct kmse_keyfile *file,
                                   const struct kmse_version *version,
                                   struct kmse_why *why)
{
    const struct kmse_version *current =
        kmse_keyfile_current(file, r->clock->wall_s(r->clock->arg));
    bool encrypts = version == current;
    if (!encrypts && version != kmse_keyfile_newest(file))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_STATE,
                     "key %s, version %u %s: revoke it with --rotate, which "
                     "puts a new version in its place in the same step, or "
                     "after kms-envelope rotate %s",
                     file->name, version->number,
                     encrypts ? "is the one that encrypts" : "is the newest",
                     file->name);
}

static kmse_st locked_revoke(struct kmse_edit *edit,
                             const struct kmse_rotation *r, uint32_t number,
                             bool rotate, uint32_t *made, struct kmse_why *why)
{
    struct kmse_version *version = NULL;
    *made = 0;
    KMSE_TRY(find_version(&version, edit, number, why));
    if (version->state == KMSE_VERSION_REVOKED)
        return KMSE_OK;
    if (!rotate)
        KMSE_TRY(check_has_successor(r, edit->file, version, why));
    version->state = KMSE_VERSION_REVOKED;
    if (!rotate)
        return kmse_edit_write(edit, r, why);
    KMSE_TRY(kmse_change_add_version(r, edit->file, -SLOW_CLOCK_S, why));
    KMSE_TRY(kmse_change_write(r, edit->old, edit->file, why));
    *made = kmse_keyfile_newest(edit->file)->number;
    return KMSE_OK;
}

kmse_st kmse_rotation_revoke(const struct kmse_rotation *rotation,
                             const char *name, uint32_t version, bool rotate,
                             uint32_t *number, struct kmse_why *why)
{
    uint32_t made = 0;
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_revoke(&edit, rotation, version, rotate, &made, why);
    kmse_edit_close(&edit);
    if (kmse_is_ok(st))
        *number = made;
    return st;
}

static kmse_st locked_undo(struct kmse_edit *edit,
                           const struct kmse_rotation *r, uint32_t number,
                           struct kmse_why *why)
{
    struct kmse_version *version = NULL;
    KMSE_TRY(find_version(&version, edit, number, why));
    if (version->state == KMSE_VERSION_ACTIVE)
        return KMSE_OK;
    version->state = KMSE_VERSION_ACTIVE;
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_undo_revoke(const struct kmse_rotation *rotation,
                                  const char *name, uint32_t version,
                                  struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_undo(&edit, rotation, version, why);
    kmse_edit_close(&edit);
    return st;
}

/* --- the policy --------------------------------------------------------- */

static void apply(uint64_t *value, const uint64_t *wanted)
{
    if (wanted != NULL)
        *value = *wanted;
}

static kmse_st locked_change_policy(struct kmse_edit *edit,
                                    const struct kmse_rotation *r,
                                    const struct kmse_policy_change *change,
                                    struct kmse_why *why)
{
    struct kmse_policy *policy = &edit->file->policy;
    apply(&policy->max_messages, change->max_messages);
    apply(&policy->max_bytes, change->max_bytes);
    apply(&policy->rotate_after_s, change->rotate_after_s);
    apply(&policy->destroy_after_s, change->destroy_after_s);
    apply(&policy->census_fence_s, change->census_fence_s);
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_change_policy(const struct kmse_rotation *rotation,
                                    const char *name,
                                    const struct kmse_policy_change *change,
                                    struct kmse_policy *policy,
                                    struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_change_policy(&edit, rotation, change, why);
    if (kmse_is_ok(st))
        *policy = edit.file->policy;
    kmse_edit_close(&edit);
    return st;
}
