/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_OPEN_H
#define KMSE_ENVELOPE_OPEN_H

#include "base/crypto.h"
#include "envelope/header.h"

/* The last 32 bytes of plaintext wait until the tag behind them is right. */
enum {
    KMSE_HELD_PLAINTEXT_LEN = 32,
    KMSE_HELD_LEN = KMSE_HELD_PLAINTEXT_LEN + KMSE_TAG_LEN,
};

/*
 * Reading the body of one message: what comes after its header.
 *   start -> aad* -> update* -> final
 * No I/O, no clock, no KMS, no allocation. What update writes is not
 * authenticated until final succeeds. On any failure the message is void and
 * what the call wrote is wiped.
 */
struct kmse_open {
    struct kmse_gcm *gcm; /* borrowed, KMSE_OPEN */
    uint8_t held[KMSE_HELD_LEN];
    size_t held_len;
    uint64_t body_len;
};

kmse_st kmse_open_start(struct kmse_open *open, struct kmse_gcm *gcm,
                        const uint8_t id[KMSE_KEY_ID_LEN],
                        const uint8_t header[KMSE_HEADER_LEN]) KMSE_MUST_CHECK;
kmse_st kmse_open_aad(struct kmse_open *open, const uint8_t *aad,
                      size_t aad_len) KMSE_MUST_CHECK;
/* Writes at most in_len bytes. in and out may be one buffer or overlap. */
kmse_st kmse_open_update(struct kmse_open *open, uint8_t *out, size_t out_size,
                         size_t *out_len, const uint8_t *in,
                         size_t in_len) KMSE_MUST_CHECK;
/*
 * Verifies, then writes what was held: at most 32 bytes.
 * KMSE_R_MESSAGE_SHORT: there was no tag. KMSE_R_TAG_MISMATCH.
 */
kmse_st kmse_open_final(struct kmse_open *open, uint8_t *out, size_t out_size,
                        size_t *out_len) KMSE_MUST_CHECK;

/*
 * A whole message in one call, in[0..in_len) with header and tag: not a byte
 * of plaintext reaches out before the tag is right. Costs two passes over
 * messages of more than KMSE_OPEN_ONE_PASS_MAX bytes. out may overlap in.
 */
enum { KMSE_OPEN_ONE_PASS_MAX = 4096 };
kmse_st kmse_open_whole(struct kmse_gcm *gcm, const uint8_t id[KMSE_KEY_ID_LEN],
                        const uint8_t *aad, size_t aad_len, uint8_t *out,
                        size_t out_size, size_t *out_len, const uint8_t *in,
                        size_t in_len) KMSE_MUST_CHECK;

#endif
