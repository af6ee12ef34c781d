/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_STREAM_SEAL_H
#define KMSE_ENVELOPE_STREAM_SEAL_H

#include "base/crypto.h"
#include "envelope/header.h"
#include "envelope/stream_plan.h"

/*
 * Writing a stream: format.h has its bytes. No I/O, no clock, no allocation.
 *   start -> aad* -> update* -> final
 *
 * Ciphertext is written as soon as there is plaintext, for Final has room for
 * 32 bytes and not for a frame. So when a frame begins nobody knows whether it
 * will be the last, and the mark of the last one can be neither in its nonce
 * nor in its AAD, as it is in STREAM (Hoang, Reyhanitabar, Rogaway, Vizar:
 * Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance). It is
 * the length: a whole frame is never the last one, a shorter one always is.
 * GCM authenticates the length, and each number is used for one frame.
 *
 * On any failure the stream is void and what the call wrote is wiped.
 */
struct kmse_stream_seal {
    struct kmse_gcm *gcm; /* borrowed, KMSE_SEAL, with the stream's own key */
    struct kmse_stream_plan plan;
    bool frame_begun; /* gcm is in the frame that plan fills */
    bool one_buffer;
    uint8_t header[KMSE_HEADER_LEN];
    uint8_t prefix[KMSE_AAD_PREFIX_LEN];
    uint8_t backlog[KMSE_STREAM_BACKLOG_MAX];
    uint8_t copy[KMSE_STREAM_PIECE_MAX]; /* of input that output would meet */
};

/*
 * salt: never one that was used with this data key, and what gcm's key was
 * derived with. one_buffer: the first Update and Final may be given one buffer
 * of in_len + KMSE_OVERHEAD bytes; then the first piece makes one frame, or
 * is refused.
 */
kmse_st kmse_stream_seal_start(struct kmse_stream_seal *seal,
                               struct kmse_gcm *gcm,
                               const uint8_t id[KMSE_KEY_ID_LEN],
                               uint32_t key_version,
                               const uint8_t salt[KMSE_STREAM_SALT_LEN],
                               bool one_buffer) KMSE_MUST_CHECK;
/* Belongs to the first frame, and by its key to all. */
kmse_st kmse_stream_seal_aad(struct kmse_stream_seal *seal, const uint8_t *aad,
                             size_t aad_len) KMSE_MUST_CHECK;
/*
 * Writes at most in_len + KMSE_OVERHEAD bytes. in and out may overlap.
 * KMSE_R_STREAM_PIECES: in_len > KMSE_STREAM_PIECE_MAX.
 * KMSE_R_MESSAGE_TOO_LONG: more than KMSE_STREAM_FRAMES_MAX frames.
 */
kmse_st kmse_stream_seal_update(struct kmse_stream_seal *seal, uint8_t *out,
                                size_t out_size, size_t *out_len,
                                const uint8_t *in,
                                size_t in_len) KMSE_MUST_CHECK;
/* Writes at most KMSE_OVERHEAD bytes. */
kmse_st kmse_stream_seal_final(struct kmse_stream_seal *seal, uint8_t *out,
                               size_t out_size,
                               size_t *out_len) KMSE_MUST_CHECK;

#endif
