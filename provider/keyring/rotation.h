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
