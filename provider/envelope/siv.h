/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_SIV_H
#define KMSE_ENVELOPE_SIV_H

#include "base/siv.h"
#include "envelope/header.h"

/*
 * KMS-ENVELOPE-SIV messages: whole ones, for the tag comes before the first
 * byte of ciphertext and depends on the last of plaintext. No I/O, no clock, no
 * KMS. out and in may overlap in any way.
 */

/*
 * The version of a message that in[0..in_len) would be. Hostile input, as with
 * kmse_header_parse. On failure *key_version is untouched and the reason is
 *   KMSE_R_MESSAGE_SHORT   in_len < KMSE_SIV_OVERHEAD
 *   KMSE_R_FORMAT_UNKNOWN  another format, or not ours
 *   KMSE_R_KEY_VERSION     key version 0
 */
kmse_st kmse_siv_parse(uint32_t *key_version, const uint8_t *in,
                       size_t in_len) KMSE_MUST_CHECK;

/* The application's additional data. */
struct kmse_siv_aad {
    const uint8_t *bytes;
    size_t len;
};

/*
 * Writes in_len + KMSE_SIV_OVERHEAD bytes. KMSE_R_KEY_VERSION,
 * KMSE_R_MESSAGE_TOO_LONG, KMSE_R_BUFFER_SMALL; after another failure what was
 * written is wiped.
 */
kmse_st kmse_siv_seal(struct kmse_siv *siv, const uint8_t id[KMSE_KEY_ID_LEN],
                      uint32_t key_version, struct kmse_siv_aad aad,
                      uint8_t *out, size_t out_size, size_t *out_len,
                      const uint8_t *in, size_t in_len) KMSE_MUST_CHECK;
/*
 * Writes in_len - KMSE_SIV_OVERHEAD bytes. The reasons of kmse_siv_parse,
 * KMSE_R_MESSAGE_TOO_LONG, KMSE_R_BUFFER_SMALL, and KMSE_R_TAG_MISMATCH, after
 * which what was written is wiped: nothing unverified is left to the caller.
 */
kmse_st kmse_siv_open(struct kmse_siv *siv, const uint8_t id[KMSE_KEY_ID_LEN],
                      struct kmse_siv_aad aad, uint8_t *out, size_t out_size,
                      size_t *out_len, const uint8_t *in,
                      size_t in_len) KMSE_MUST_CHECK;

#endif
