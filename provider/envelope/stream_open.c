/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stream, frame by frame, each verified before it is written. */
#include "envelope/stream_open.h"

#include <string.h>

#include <openssl/crypto.h>

#include "envelope/overlap.h"
#include "envelope/stream_frame.h"

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

kmse_st kmse_stream_open_start(struct kmse_stream_open *open,
                               struct kmse_gcm *gcm,
                               const uint8_t id[KMSE_KEY_ID_LEN],
                               const uint8_t header[KMSE_HEADER_LEN],
                               const uint8_t *aad, size_t aad_len)
{
    struct kmse_header parsed;
    KMSE_TRY(kmse_stream_header_parse(&parsed, header, KMSE_HEADER_LEN));
    kmse_aad_prefix(open->prefix, id, header);
    open->gcm = gcm;
    open->aad = aad;
    open->aad_len = aad_len;
    open->frame = 0;
    open->ended = false;
    open->held_len = 0;
    open->ready_len = 0;
    return KMSE_OK;
}

/* Bytes of the next frame if it is not the last; the header is taken already.
 */
static size_t whole_len(const struct kmse_stream_open *open)
{
    return open->frame == 0 ? KMSE_STREAM_FRAME_LEN - KMSE_HEADER_LEN
                            : KMSE_STREAM_FRAME_LEN;
}

static kmse_st decrypt(struct kmse_stream_open *open, const uint8_t *in,
                       size_t len)
{
    KMSE_TRY(kmse_stream_frame_start(open->gcm, open->frame, open->prefix));
    if (open->frame == 0)
        KMSE_TRY(kmse_gcm_aad(open->gcm, open->aad, open->aad_len));
    KMSE_TRY(kmse_gcm_update(open->gcm, open->plaintext, in, len));
    return kmse_gcm_open_finish_short(open->gcm, in + len, KMSE_STREAM_TAG_LEN);
}

/* The frame in[0..in_len): its in_len - tag bytes are in open->plaintext. */
static kmse_st open_frame(struct kmse_stream_open *open, const uint8_t *in,
                          size_t in_len)
{
    size_t len = in_len - KMSE_STREAM_TAG_LEN;
    kmse_st st = decrypt(open, in, len);
    if (kmse_is_ok(st))
        open->frame++;
    else
        OPENSSL_cleanse(open->plaintext, len);
    return st;
}

static void release(struct kmse_stream_open *open, uint8_t *out, size_t len)
{
    memcpy(out, open->plaintext, len);
    OPENSSL_cleanse(open->plaintext, len);
}

/*
 * What is held may be the last frame: then open->ended is set, and *len bytes
 * of plaintext are there. If it is not, only the next call can tell why.
 */
static kmse_st try_last(struct kmse_stream_open *open, size_t *len)
{
    *len = 0;
    if (open->held_len < KMSE_STREAM_TAG_LEN)
        return KMSE_OK;
    kmse_st st = open_frame(open, open->held, open->held_len);
    if (st.reason == KMSE_R_TAG_MISMATCH)
        return KMSE_OK;
    KMSE_TRY(st);
    *len = open->held_len - KMSE_STREAM_TAG_LEN;
    open->ended = true;
    return KMSE_OK;
}

static void hold(struct kmse_stream_open *open, const uint8_t *in,
                 size_t in_len)
{
    memcpy(open->held + open->held_len, in, in_len);
    open->held_len += in_len;
}

/* One more piece of the last frame. */
static kmse_st update_held(struct kmse_stream_open *open, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len)
{
    size_t len = 0;
    if (open->held_len > KMSE_STREAM_HELD_MAX
        || in_len >= whole_len(open) - open->held_len)
        return KMSE_ERR(KMSE_R_STREAM_PIECES);
    if (out_size < in_len + KMSE_OVERHEAD)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    hold(open, in, in_len);
    KMSE_TRY(try_last(open, &len));
    size_t now_len = min_len(len, in_len + KMSE_OVERHEAD);
    open->ready_len = len - now_len;
    memcpy(open->ready, open->plaintext + now_len, open->ready_len);
    memcpy(out, open->plaintext, now_len);
    OPENSSL_cleanse(open->plaintext, len);
    *out_len = now_len;
    return KMSE_OK;
}

/* Whole frames, and perhaps the last one. On failure *written is right, too. */
static kmse_st update_frames(struct kmse_stream_open *open, uint8_t *out,
                             size_t *written, const uint8_t *in, size_t in_len)
{
    while (in_len >= whole_len(open)) {
        size_t frame_len = whole_len(open);
        size_t len = frame_len - KMSE_STREAM_TAG_LEN;
        KMSE_TRY(open_frame(open, in, frame_len));
        release(open, out + *written, len);
        *written += len;
        in += frame_len;
        in_len -= frame_len;
    }
    size_t len = 0;
    hold(open, in, in_len);
    KMSE_TRY(try_last(open, &len));
    release(open, out + *written, len);
    *written += len;
    return KMSE_OK;
}

kmse_st kmse_stream_open_update(struct kmse_stream_open *open, uint8_t *out,
                                size_t out_size, size_t *out_len,
                                const uint8_t *in, size_t in_len)
{
    *out_len = 0;
    if (in_len == 0)
        return KMSE_OK;
    if (open->ended)
        return KMSE_ERR(KMSE_R_STREAM_ENDED);
    if (open->held_len > 0)
        return update_held(open, out, out_size, out_len, in, in_len);
    if (out_size < in_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    /* Plaintext is shorter: from its place on, it never reaches input unread.
     */
    if (kmse_overlap(in, in_len, out, in_len)) {
        memmove(out, in, in_len);
        in = out;
    }
    size_t written = 0;
    kmse_st st = update_frames(open, out, &written, in, in_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, written);
        return st;
    }
    *out_len = written;
    return KMSE_OK;
}

kmse_st kmse_stream_open_final(struct kmse_stream_open *open, uint8_t *out,
                               size_t out_size, size_t *out_len)
{
    *out_len = 0;
    if (!open->ended)
        return KMSE_ERR(open->held_len < KMSE_STREAM_TAG_LEN
                            ? KMSE_R_MESSAGE_SHORT
                            : KMSE_R_TAG_MISMATCH);
    if (out_size < open->ready_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    memcpy(out, open->ready, open->ready_len);
    *out_len = open->ready_len;
    OPENSSL_cleanse(open->ready, open->ready_len);
    open->ready_len = 0;
    return KMSE_OK;
}
