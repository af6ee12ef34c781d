/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_HEADER_H
#define KMSE_ENVELOPE_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kms_envelope/format.h"

struct kmse_header {
    uint8_t format;
    uint32_t key_version;
    uint8_t nonce[KMSE_NONCE_LEN]; /* of a stream: its salt */
};

/*
 * Decode the 16-byte header that opens every message (format.h has its bytes).
 * Reads in[0..15] only; bytes after them belong to the caller. Nothing is
 * authenticated yet: *header is hostile input until the tag has verified.
 * On failure *header is untouched and the reason is one of
 *   KMSE_R_HEADER_SHORT    in_len < 16
 *   KMSE_R_FORMAT_UNKNOWN  written by a newer release, or not ours
 *   KMSE_R_KEY_VERSION     key version 0
 */
kmse_st kmse_header_parse(struct kmse_header *header, const uint8_t *in,
                          size_t in_len) KMSE_MUST_CHECK;

/* Format 1; KMSE_R_KEY_VERSION unless 1 <= key_version <= KMSE_VERSION_MAX. */
kmse_st kmse_header_print(uint8_t out[KMSE_HEADER_LEN], uint32_t key_version,
                          const uint8_t nonce[KMSE_NONCE_LEN]) KMSE_MUST_CHECK;

/* The same two of a stream. */
kmse_st kmse_stream_header_parse(struct kmse_header *header, const uint8_t *in,
                                 size_t in_len) KMSE_MUST_CHECK;
kmse_st kmse_stream_header_print(
    uint8_t out[KMSE_HEADER_LEN], uint32_t key_version,
    const uint8_t salt[KMSE_STREAM_SALT_LEN]) KMSE_MUST_CHECK;

enum {
    KMSE_AAD_LABEL_LEN = sizeof(KMSE_AAD_LABEL) - 1,
    KMSE_AAD_BOUND_LEN = 4, /* header bytes 0..3: format and version */
    KMSE_AAD_PREFIX_LEN =
        KMSE_AAD_LABEL_LEN + KMSE_KEY_ID_LEN + KMSE_AAD_BOUND_LEN,
};

/* The AAD before the application's own; header: at least 4 bytes of it. */
void kmse_aad_prefix(uint8_t out[KMSE_AAD_PREFIX_LEN],
                     const uint8_t id[KMSE_KEY_ID_LEN], const uint8_t *header);

#endif
