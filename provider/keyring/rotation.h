/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_ROTATION_H
#define KMSE_KEYRING_ROTATION_H

#include "base/clock.h"
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

/* A new key with version 1, active now. uris: at least one master key. */
kmse_st kmse_rotation_create(const struct kmse_rotation *rotation,
                             const char *name, const char *const *uris,
                             size_t uri_count,
                             const struct kmse_kms_context *context,
                             const struct kmse_policy *policy,
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
 * New wrapped copies of every version that is not destroyed: under the same
 * master keys (their newest backing keys), or, with to_uri, under that one in
 * place of all. *renewed: how many copies were made.
 */
kmse_st kmse_rotation_rewrap(const struct kmse_rotation *rotation,
                             const char *name, const char *to_uri,
                             size_t *renewed,
                             struct kmse_why *why) KMSE_MUST_CHECK;

#endif
