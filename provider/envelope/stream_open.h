/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_STREAM_OPEN_H
#define KMSE_ENVELOPE_STREAM_OPEN_H

#include "base/crypto.h"
#include "envelope/header.h"
#include "envelope/stream_plan.h"

/*
 * Reading a stream: what comes after its header. Not a byte of a frame is
 * written before its tag is right.
 *   start -> update* -> final
 * No I/O, no clock, no allocation.
 *
 * EVP's Final has room for 32 bytes, so the last frame, which is known by being
 * shorter than the others, must be written by the Update that brings its end.
 * Therefore the pieces, header included, are multiples of a frame, and the last
 * is what is left. The last frame may come in more pieces, as long as no more
 * than KMSE_STREAM_HELD_MAX bytes of it came before the last one. All else is
 * KMSE_R_STREAM_PIECES, as soon as it is seen.
 */
enum {
    KMSE_STREAM_READY_MAX = KMSE_OVERHEAD, /* for Final */
    /* What EVP gives room for beyond the last piece, and the tag. */
    KMSE_STREAM_HELD_MAX =
        KMSE_OVERHEAD + KMSE_STREAM_READY_MAX + KMSE_STREAM_TAG_LEN,
};

struct kmse_stream_open {
    struct kmse_gcm *gcm; /* borrowed, KMSE_OPEN, with the stream's own key */
    const uint8_t *aad;   /* borrowed; not read after the first frame */
    size_t aad_len;
    uint8_t prefix[KMSE_AAD_PREFIX_LEN];
    uint64_t frame; /* the number of the next one */
    bool ended;     /* the last frame was found */
    size_t held_len;
    uint8_t held[KMSE_STREAM_FRAME_LEN]; /* of a frame that is not whole */
    size_t ready_len;
    uint8_t ready[KMSE_STREAM_READY_MAX];    /* verified, for Final */
    uint8_t plaintext[KMSE_STREAM_NEXT_LEN]; /* of one frame; then wiped */
};

kmse_st kmse_stream_open_start(struct kmse_stream_open *open,
                               struct kmse_gcm *gcm,
                               const uint8_t id[KMSE_KEY_ID_LEN],
                               const uint8_t header[KMSE_HEADER_LEN],
                               const uint8_t *aad,
                               size_t aad_len) KMSE_MUST_CHECK;
/*
 * Writes at most in_len + KMSE_OVERHEAD bytes, all of them verified. in and out
 * may overlap. On failure what the call wrote is wiped.
 * KMSE_R_TAG_MISMATCH: frame number open->frame is not of this stream, or not
 *   in its place.
 * KMSE_R_STREAM_ENDED: in_len > 0 after the last frame.
 * KMSE_R_STREAM_PIECES: see above.
 */
kmse_st kmse_stream_open_update(struct kmse_stream_open *open, uint8_t *out,
                                size_t out_size, size_t *out_len,
                                const uint8_t *in,
                                size_t in_len) KMSE_MUST_CHECK;
/*
 * KMSE_R_MESSAGE_SHORT: the stream ends after a whole frame, or within a tag.
 * KMSE_R_TAG_MISMATCH: the last frame was changed, or is cut short.
 */
kmse_st kmse_stream_open_final(struct kmse_stream_open *open, uint8_t *out,
                               size_t out_size,
                               size_t *out_len) KMSE_MUST_CHECK;

#endif
