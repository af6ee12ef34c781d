/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_HANDLE_H
#define KMSE_KEYRING_HANDLE_H

#include "keyring/ring.h"

/* Handles, of which kms_envelope/format.h has the form. */

/* Whether these bytes have the form of a handle. */
bool kmse_handle_is_one(const uint8_t *bytes, size_t len);

kmse_st kmse_handle_make(uint8_t handle[KMSE_HANDLE_LEN],
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                         const struct kmse_secret *data_key) KMSE_MUST_CHECK;

/* Whether it names that version; nothing is proven yet. */
kmse_st kmse_handle_fits(bool *fits, const uint8_t handle[KMSE_HANDLE_LEN],
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN],
                         uint32_t version) KMSE_MUST_CHECK;

/* The key for AES. KMSE_R_HANDLE if the data key does not prove the handle. */
kmse_st kmse_handle_derive(uint8_t aes_key[KMSE_SECRET_LEN],
                           const uint8_t handle[KMSE_HANDLE_LEN],
                           struct kmse_crypto *crypto,
                           const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                           const struct kmse_secret *data_key) KMSE_MUST_CHECK;

/*
 * A cipher context's right to go on with the key that a handle gave it. One
 * thread at a time; all zero: none.
 */
struct kmse_hold {
    struct kmse_key *key;
    struct kmse_datakey *datakey;
    struct kmse_asked asked;
};

/*
 * The key for AES of a handle, from the cache or the KMS. KMSE_R_HANDLE if it
 * is of no key in the folder, and the reasons of kmse_lease_version. Drop the
 * hold in the end, and before it is used again.
 */
kmse_st kmse_hold_take(struct kmse_hold *hold, uint8_t aes_key[KMSE_SECRET_LEN],
                       struct kmse_ring *ring,
                       const uint8_t handle[KMSE_HANDLE_LEN],
                       struct kmse_why *why) KMSE_MUST_CHECK;
/* True if there is no need yet to ask what follows. */
bool kmse_hold_is_fresh(const struct kmse_hold *hold);
/* May its version still be used? As kmse_lease_check. */
kmse_st kmse_hold_check(struct kmse_hold *hold,
                        struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_hold_copy(struct kmse_hold *copy, const struct kmse_hold *hold);
void kmse_hold_drop(struct kmse_hold *hold);

#endif
