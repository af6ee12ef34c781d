/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one message, with its end held back until it has verified. */
#include "envelope/open.h"

#include <string.h>

#include <openssl/crypto.h>

#include "envelope/overlap.h"

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

static kmse_st start_gcm(struct kmse_gcm *gcm,
                         const uint8_t id[KMSE_KEY_ID_LEN],
                         const uint8_t header[KMSE_HEADER_LEN])
{
    uint8_t prefix[KMSE_AAD_PREFIX_LEN];
    struct kmse_header parsed;
    KMSE_TRY(kmse_header_parse(&parsed, header, KMSE_HEADER_LEN));
    kmse_aad_prefix(prefix, id, header);
    KMSE_TRY(kmse_gcm_start(gcm, parsed.nonce));
    return kmse_gcm_aad(gcm, prefix, sizeof(prefix));
}

kmse_st kmse_open_start(struct kmse_open *open, struct kmse_gcm *gcm,
                        const uint8_t id[KMSE_KEY_ID_LEN],
                        const uint8_t header[KMSE_HEADER_LEN])
{
    KMSE_TRY(start_gcm(gcm, id, header));
    open->gcm = gcm;
    open->held_len = 0;
    open->body_len = 0;
    return KMSE_OK;
}

kmse_st kmse_open_aad(struct kmse_open *open, const uint8_t *aad,
                      size_t aad_len)
{
    return kmse_gcm_aad(open->gcm, aad, aad_len);
}

static kmse_st decrypt(struct kmse_open *open, uint8_t *out,
                       size_t from_held_len, const uint8_t *in,
                       size_t from_in_len)
{
    KMSE_TRY(kmse_gcm_update(open->gcm, out, open->held, from_held_len));
    return kmse_gcm_update(open->gcm, out + from_held_len, in, from_in_len);
}

kmse_st kmse_open_update(struct kmse_open *open, uint8_t *out, size_t out_size,
                         size_t *out_len, const uint8_t *in, size_t in_len)
{
    *out_len = 0;
    if (in_len > KMSE_MESSAGE_MAX + KMSE_TAG_LEN - open->body_len)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    open->body_len += in_len;

    size_t free_len = KMSE_HELD_LEN - open->held_len;
    if (in_len <= free_len) {
        memcpy(open->held + open->held_len, in, in_len);
        open->held_len += in_len;
        return KMSE_OK;
    }

    /* held and in are one queue: its last KMSE_HELD_LEN bytes stay. */
    size_t release_len = in_len - free_len;
    size_t from_held_len = min_len(release_len, open->held_len);
    size_t from_in_len = release_len - from_held_len;
    size_t stay_len = open->held_len - from_held_len;
    if (out_size < release_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    uint8_t next[KMSE_HELD_LEN];
    memcpy(next, open->held + from_held_len, stay_len);
    memcpy(next + stay_len, in + from_in_len, in_len - from_in_len);
    if (in != out + from_held_len
        && kmse_overlap(in, from_in_len, out, release_len)) {
        memmove(out + from_held_len, in, from_in_len);
        in = out + from_held_len;
    }
    kmse_st st = decrypt(open, out, from_held_len, in, from_in_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, release_len);
        return st;
    }
    memcpy(open->held, next, KMSE_HELD_LEN);
    open->held_len = KMSE_HELD_LEN;
    *out_len = release_len;
    return KMSE_OK;
}

kmse_st kmse_open_final(struct kmse_open *open, uint8_t *out, size_t out_size,
                        size_t *out_len)
{
    *out_len = 0;
    if (open->held_len < KMSE_TAG_LEN)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    size_t len = open->held_len - KMSE_TAG_LEN;
    if (out_size < len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    uint8_t plaintext[KMSE_HELD_PLAINTEXT_LEN];
    kmse_st st = kmse_gcm_update(open->gcm, plaintext, open->held, len);
    if (kmse_is_ok(st))
        st = kmse_gcm_open_finish(open->gcm, open->held + len);
    if (kmse_is_ok(st)) {
        memcpy(out, plaintext, len);
        *out_len = len;
    }
    OPENSSL_cleanse(plaintext, len);
    return st;
}

/* Decrypt into scratch, which is overwritten as it goes, for the tag alone. */
static kmse_st verify(struct kmse_gcm *gcm, uint8_t *scratch, const uint8_t *in,
                      size_t len, const uint8_t *tag)
{
    while (len > 0) {
        size_t piece_len = min_len(len, KMSE_OPEN_ONE_PASS_MAX);
        KMSE_TRY(kmse_gcm_update(gcm, scratch, in, piece_len));
        in += piece_len;
        len -= piece_len;
    }
    return kmse_gcm_open_finish(gcm, tag);
}

/* The second pass verifies again: another thread may write to in meanwhile. */
static kmse_st decrypt_verified(struct kmse_gcm *gcm, uint8_t *out,
                                const uint8_t *in, size_t len,
                                const uint8_t *tag)
{
    if (in != out && kmse_overlap(in, len, out, len)) {
        memmove(out, in, len);
        in = out;
    }
    kmse_st st = kmse_gcm_update(gcm, out, in, len);
    if (kmse_is_ok(st))
        st = kmse_gcm_open_finish(gcm, tag);
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(out, len);
    return st;
}

kmse_st kmse_open_whole(struct kmse_gcm *gcm, const uint8_t id[KMSE_KEY_ID_LEN],
                        const uint8_t *aad, size_t aad_len, uint8_t *out,
                        size_t out_size, size_t *out_len, const uint8_t *in,
                        size_t in_len)
{
    *out_len = 0;
    if (in_len < KMSE_OVERHEAD)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    size_t len = in_len - KMSE_OVERHEAD;
    if (len > KMSE_MESSAGE_MAX)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    if (out_size < len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    uint8_t header[KMSE_HEADER_LEN], tag[KMSE_TAG_LEN];
    memcpy(header, in, sizeof(header));
    memcpy(tag, in + KMSE_HEADER_LEN + len, sizeof(tag));
    const uint8_t *body = in + KMSE_HEADER_LEN;

    uint8_t scratch[KMSE_OPEN_ONE_PASS_MAX];
    kmse_st st = start_gcm(gcm, id, header);
    if (kmse_is_ok(st))
        st = kmse_gcm_aad(gcm, aad, aad_len);
    if (kmse_is_ok(st))
        st = verify(gcm, scratch, body, len, tag);
    if (kmse_is_ok(st) && len <= sizeof(scratch))
        memcpy(out, scratch, len);
    OPENSSL_cleanse(scratch, min_len(len, sizeof(scratch)));
    KMSE_TRY(st);

    if (len > sizeof(scratch)) {
        KMSE_TRY(start_gcm(gcm, id, header));
        KMSE_TRY(kmse_gcm_aad(gcm, aad, aad_len));
        KMSE_TRY(decrypt_verified(gcm, out, body, len, tag));
    }
    *out_len = len;
    return KMSE_OK;
}
