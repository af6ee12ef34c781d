/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a stream. */
#include "envelope/stream_seal.h"

#include <string.h>

#include <openssl/crypto.h>

#include "envelope/overlap.h"
#include "envelope/stream_frame.h"

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

kmse_st kmse_stream_seal_start(struct kmse_stream_seal *seal,
                               struct kmse_gcm *gcm,
                               const uint8_t id[KMSE_KEY_ID_LEN],
                               uint32_t key_version,
                               const uint8_t salt[KMSE_STREAM_SALT_LEN],
                               bool one_buffer)
{
    KMSE_TRY(kmse_stream_header_print(seal->header, key_version, salt));
    kmse_aad_prefix(seal->prefix, id, seal->header);
    seal->gcm = gcm;
    seal->plan = (struct kmse_stream_plan){0};
    seal->one_buffer = one_buffer;
    seal->frame_begun = true;
    return kmse_stream_frame_start(gcm, 0, seal->prefix);
}

kmse_st kmse_stream_seal_aad(struct kmse_stream_seal *seal, const uint8_t *aad,
                             size_t aad_len)
{
    return kmse_gcm_aad(seal->gcm, aad, aad_len);
}

/* --- where bytes go: out, and what it has no room for, backlog ----------- */

struct sink {
    uint8_t *out;
    size_t out_left;
    uint8_t backlog[KMSE_STREAM_BACKLOG_MAX];
    size_t backlog_len;
};

/* Where the next bytes go, at most *len of them, and how many fit there. */
static kmse_st sink_take(struct sink *sink, size_t *len, uint8_t **at)
{
    size_t backlog_left = KMSE_STREAM_BACKLOG_MAX - sink->backlog_len;
    if (sink->out_left > 0) {
        *len = min_len(*len, sink->out_left);
        *at = sink->out;
        sink->out += *len;
        sink->out_left -= *len;
        return KMSE_OK;
    }
    if (*len > backlog_left)
        return KMSE_ERR(KMSE_R_INTERNAL); /* not what was planned */
    *at = sink->backlog + sink->backlog_len;
    sink->backlog_len += *len;
    return KMSE_OK;
}

static kmse_st sink_put(struct sink *sink, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        uint8_t *at = NULL;
        size_t now = len;
        KMSE_TRY(sink_take(sink, &now, &at));
        memcpy(at, bytes, now);
        bytes += now;
        len -= now;
    }
    return KMSE_OK;
}

static kmse_st sink_encrypt(struct sink *sink, struct kmse_gcm *gcm,
                            const uint8_t *in, size_t len)
{
    while (len > 0) {
        uint8_t *at = NULL;
        size_t now = len;
        KMSE_TRY(sink_take(sink, &now, &at));
        KMSE_TRY(kmse_gcm_update(gcm, at, in, now));
        in += now;
        len -= now;
    }
    return KMSE_OK;
}

/* --- frames -------------------------------------------------------------- */

static kmse_st begin_frame(struct kmse_stream_seal *seal, uint64_t frame)
{
    if (seal->frame_begun)
        return KMSE_OK;
    KMSE_TRY(kmse_stream_frame_start(seal->gcm, frame, seal->prefix));
    seal->frame_begun = true;
    return KMSE_OK;
}

static kmse_st end_frame(struct kmse_stream_seal *seal, struct sink *sink)
{
    uint8_t tag[KMSE_GCM_TAG_LEN];
    KMSE_TRY(kmse_gcm_seal_finish(seal->gcm, tag));
    seal->frame_begun = false;
    return sink_put(sink, tag, KMSE_STREAM_TAG_LEN);
}

/* What comes before the next ciphertext. */
static kmse_st put_earlier(struct kmse_stream_seal *seal, struct sink *sink)
{
    KMSE_TRY(sink_put(sink, seal->backlog, seal->plan.backlog_len));
    if (seal->plan.begun)
        return KMSE_OK;
    return sink_put(sink, seal->header, KMSE_HEADER_LEN);
}

static kmse_st put_frames(struct kmse_stream_seal *seal, struct sink *sink,
                          const uint8_t *in, size_t in_len)
{
    struct kmse_stream_plan at = seal->plan;
    KMSE_TRY(put_earlier(seal, sink));
    while (in_len > 0) {
        size_t len = min_len(in_len, kmse_stream_plan_room(&at));
        KMSE_TRY(begin_frame(seal, at.frame));
        KMSE_TRY(sink_encrypt(sink, seal->gcm, in, len));
        in += len;
        in_len -= len;
        if (kmse_stream_plan_fill(&at, len))
            KMSE_TRY(end_frame(seal, sink));
    }
    return KMSE_OK;
}

/* As planned, to the byte: planned_len written, and the rest kept. */
static kmse_st update(struct kmse_stream_seal *seal, uint8_t *out,
                      size_t planned_len, const struct kmse_stream_plan *next,
                      const uint8_t *in, size_t in_len)
{
    struct sink sink = {.out = out, .out_left = planned_len};
    KMSE_TRY(put_frames(seal, &sink, in, in_len));
    if (sink.out_left != 0 || sink.backlog_len != next->backlog_len)
        return KMSE_ERR(KMSE_R_INTERNAL);
    memcpy(seal->backlog, sink.backlog, sink.backlog_len);
    seal->plan = *next;
    return KMSE_OK;
}

kmse_st kmse_stream_seal_update(struct kmse_stream_seal *seal, uint8_t *out,
                                size_t out_size, size_t *out_len,
                                const uint8_t *in, size_t in_len)
{
    *out_len = 0;
    if (in_len == 0)
        return KMSE_OK;
    struct kmse_stream_plan next = seal->plan;
    size_t len = 0;
    KMSE_TRY(kmse_stream_plan_update(&next, in_len, &len));
    if (seal->one_buffer && !seal->plan.begun && next.frame > 0)
        return KMSE_ERR(KMSE_R_STREAM_PIECES);
    if (out_size < len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    /* Output runs ahead of input. */
    bool overlaps = kmse_overlap(in, in_len, out, len);
    if (overlaps) {
        memcpy(seal->copy, in, in_len);
        in = seal->copy;
    }
    kmse_st st = update(seal, out, len, &next, in, in_len);
    if (overlaps)
        OPENSSL_cleanse(seal->copy, in_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, len);
        return st;
    }
    *out_len = len;
    return KMSE_OK;
}

kmse_st kmse_stream_seal_final(struct kmse_stream_seal *seal, uint8_t *out,
                               size_t out_size, size_t *out_len)
{
    size_t len = kmse_stream_plan_final(&seal->plan);
    *out_len = 0;
    if (out_size < len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    struct sink sink = {.out = out, .out_left = len};
    kmse_st st = begin_frame(seal, seal->plan.frame);
    if (kmse_is_ok(st))
        st = put_earlier(seal, &sink);
    if (kmse_is_ok(st))
        st = end_frame(seal, &sink);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, len);
        return st;
    }
    *out_len = len;
    return KMSE_OK;
}
