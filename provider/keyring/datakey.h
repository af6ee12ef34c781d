/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_DATAKEY_H
#define KMSE_KEYRING_DATAKEY_H

#include <stdatomic.h>

#include "base/crypto.h"
#include "base/secret.h"
#include "kms_envelope/format.h"

/* What the agent was told of a data key's use. */
struct kmse_told {
    uint64_t messages, bytes;
};

/*
 * What one unwrapped data key has been used for, guarded by the lock of the
 * struct kmse_key that has it.
 */
struct kmse_usage {
    uint8_t nonce_start[KMSE_NONCE_LEN]; /* random, per unwrap and process */
    uint64_t nonces;                     /* handed out after nonce_start */
    uint64_t fork_generation;            /* of the process that drew it */
    uint64_t messages, bytes;            /* granted and not given back */
    struct kmse_told told;
};

/* An unwrapped data key: counted, and immutable but for its usage. */
struct kmse_datakey {
    _Atomic unsigned references;
    uint8_t id[KMSE_KEY_ID_LEN];
    uint32_t version;
    struct kmse_secret data_key;
    struct kmse_secret message_key; /* derived: KMSE_INFO_MESSAGE */
    struct kmse_usage usage;
};

/*
 * Takes the data key, on failure too. A key of zeros is refused: it is what a
 * wiped page reads as.
 */
kmse_st kmse_datakey_new(struct kmse_datakey **datakey,
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                         struct kmse_secret *data_key) KMSE_MUST_CHECK;
struct kmse_datakey *kmse_datakey_acquire(struct kmse_datakey *datakey);
void kmse_datakey_release(struct kmse_datakey *datakey);

/*
 * The key of one stream: HKDF, info = KMSE_INFO_STREAM || id || version ||
 * salt. Secret; wiped by the call on failure.
 */
kmse_st kmse_datakey_derive_stream(
    uint8_t out[KMSE_GCM_KEY_LEN], struct kmse_crypto *crypto,
    const struct kmse_secret *data_key, const uint8_t id[KMSE_KEY_ID_LEN],
    uint32_t version, const uint8_t salt[KMSE_STREAM_SALT_LEN]) KMSE_MUST_CHECK;

/* nonce += by, as a 96-bit big-endian number, mod 2^96. */
void kmse_nonce_add(uint8_t nonce[KMSE_NONCE_LEN], uint64_t by);

#endif
