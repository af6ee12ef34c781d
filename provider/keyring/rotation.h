/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_ROTATION_H
#define KMSE_KEYRING_ROTATION_H

#include "base/clock.h"
#include "keyring/due.h"
#include "keyring/keyfile.h"

/*
 * Operations on a key's file. Each is atomic: killed at any instruction, it
 * leaves the old file or the new one. A new wrapped copy is opened again
 * through its KMS and held against its commitment before the file is written.
 */
struct kmse_rotation {
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    struct kmse_kms *kms;
    const struct kmse_clock *clock;
    const char *folder;
};

/*
 * A new key with version 1, active now. uris: at least one master key, none
 * twice; a local one is made if it is not there. If one of them fails, nothing
 * is written.
 */
kmse_st kmse_rotation_create(const struct kmse_rotation *rotation,
                             const char *name, const char *const *uris,
                             size_t uri_count,
                             const struct kmse_kms_context *context,
                             const struct kmse_policy *policy,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* A data key that is there before its key: one of the two. */
struct kmse_import {
    const struct kmse_secret *data_key; /* to be wrapped by all master keys */
    /*
     * Or wrapped by the first one, in this context of the user's (none: of no
     * pairs). The blob is kept as it stands, as an adopted copy. That master
     * key is not made.
     */
    const struct kmse_blob *blob;
    const struct kmse_kms_context *blob_context;
};

/*
 * The same with that data key for version 1. KMSE_R_PARAMETER: all of its bytes
 * are the same, which no random number is.
 */
kmse_st kmse_rotation_import(const struct kmse_rotation *rotation,
                             const char *name, const char *const *uris,
                             size_t uri_count,
                             const struct kmse_kms_context *context,
                             const struct kmse_policy *policy,
                             const struct kmse_import *import,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * One more version, wrapped by the newest version's master keys, encrypting
 * from active_in_s seconds from now. *number: the new version.
 */
kmse_st kmse_rotation_rotate(const struct kmse_rotation *rotation,
                             const char *name, int64_t active_in_s,
                             uint32_t *number,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The same, if it is due: looked at without asking any KMS, and again under the
 * lock. used: what is known of the newest version's use, or NULL. *due: what
 * was found; *number: the new version, 0 if it was not due.
 */
kmse_st kmse_rotation_rotate_if_due(const struct kmse_rotation *rotation,
                                    const char *name, int64_t active_in_s,
                                    const struct kmse_used *used,
                                    struct kmse_due *due, uint32_t *number,
                                    struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The kill switch. The version neither encrypts nor decrypts from then on, in
 * running programs within a second; its copies are kept. With rotate, a new
 * version comes in the same write. Without, KMSE_R_STATE if programs encrypt
 * with the version now, or if it is the newest: nothing else is to encrypt in
 * its place than a version made for that, and a data key that may have leaked
 * must not go on proving the file.
 *
 * KMSE_R_KEY_VERSION_UNKNOWN, _RETIRED, _DESTROYED. A version that is revoked
 * already is left so, and *number, the new version, is 0.
 */
kmse_st kmse_rotation_revoke(const struct kmse_rotation *rotation,
                             const char *name, uint32_t version, bool rotate,
                             uint32_t *number,
                             struct kmse_why *why) KMSE_MUST_CHECK;
/* Back to active. One that is active is left so. */
kmse_st kmse_rotation_undo_revoke(const struct kmse_rotation *rotation,
                                  const char *name, uint32_t version,
                                  struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The handle of a version (handle.h), *version 0: of the newest, which is then
 * told. It may not be revoked, retired or destroyed. Nothing is written. The
 * caller wipes it.
 */
kmse_st kmse_rotation_handle(const struct kmse_rotation *rotation,
                             const char *name, uint32_t *version,
                             uint8_t handle[KMSE_HANDLE_LEN],
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* A NULL leaves the policy's value as it is. */
struct kmse_policy_change {
    const uint64_t *max_messages, *max_bytes, *rotate_after_s;
    const uint64_t *destroy_after_s, *census_fence_s;
};
/* *policy: what it is then. */
kmse_st kmse_rotation_change_policy(const struct kmse_rotation *rotation,
                                    const char *name,
                                    const struct kmse_policy_change *change,
                                    struct kmse_policy *policy,
                                    struct kmse_why *why) KMSE_MUST_CHECK;

/* What becomes of the wrapped copies of every version not destroyed. */
enum kmse_rewrap_how {
    KMSE_REWRAP_RENEW, /* each anew, under its own master key; no uris */
    KMSE_REWRAP_TO,   /* one under each of the uris, in this order, no others */
    KMSE_REWRAP_ADD,  /* one under each of the uris as well, or that one anew */
    KMSE_REWRAP_DROP, /* those under the uris go */
};

struct kmse_rewrapped {
    size_t made, dropped; /* copies, of all versions */
};

/*
 * A copy is made of any that opens, its own predecessor first: that of a KMS
 * which can do so without the data key leaving it. No data changes. The last
 * copy of a version is never dropped, and none is unless another one opens:
 * change.h. *done is set on success.
 */
kmse_st kmse_rotation_rewrap(const struct kmse_rotation *rotation,
                             const char *name, enum kmse_rewrap_how how,
                             const char *const *uris, size_t uri_count,
                             struct kmse_rewrapped *done,
                             struct kmse_why *why) KMSE_MUST_CHECK;

#endif
