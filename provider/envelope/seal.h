/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_SEAL_H
#define KMSE_ENVELOPE_SEAL_H

#include "base/crypto.h"
#include "envelope/header.h"

/*
 * Writing one message. No I/O, no clock, no KMS, no allocation.
 *   start -> aad* -> update* -> final
 * On any failure the message is void and what the call wrote is wiped.
 */
struct kmse_seal {
    struct kmse_gcm *gcm; /* borrowed, KMSE_SEAL */
    uint8_t header[KMSE_HEADER_LEN];
    bool header_written;
    uint64_t plaintext_len;
};

/* nonce: never one that was used with this key (SP 800-38D, 8). */
kmse_st kmse_seal_start(struct kmse_seal *seal, struct kmse_gcm *gcm,
                        const uint8_t id[KMSE_KEY_ID_LEN], uint32_t key_version,
                        const uint8_t nonce[KMSE_NONCE_LEN]) KMSE_MUST_CHECK;
kmse_st kmse_seal_aad(struct kmse_seal *seal, const uint8_t *aad,
                      size_t aad_len) KMSE_MUST_CHECK;
/*
 * Writes in_len bytes, and before the first of them the header. in and out may
 * be one buffer or overlap. KMSE_R_MESSAGE_TOO_LONG past KMSE_MESSAGE_MAX.
 */
kmse_st kmse_seal_update(struct kmse_seal *seal, uint8_t *out, size_t out_size,
                         size_t *out_len, const uint8_t *in,
                         size_t in_len) KMSE_MUST_CHECK;
/* Writes the tag; of an empty message, header and tag. */
kmse_st kmse_seal_final(struct kmse_seal *seal, uint8_t *out, size_t out_size,
                        size_t *out_len) KMSE_MUST_CHECK;

#endif
