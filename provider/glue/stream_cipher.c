/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher KMS-ENVELOPE-STREAM: what openssl enc writes is verified. */
#include "glue/cipher.h"

#include <inttypes.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>

#include "envelope/stream_open.h"
#include "envelope/stream_seal.h"

static OSSL_FUNC_cipher_newctx_fn newctx;

struct stream_ctx {
    struct kmse_cipher_ctx base; /* first: a pointer to it is one to both */
    struct kmse_gcm *gcm;        /* of the stream under way, or NULL */
    union {
        struct kmse_stream_seal seal;
        struct kmse_stream_open open;
    } stream; /* as base.direction says */
};

static struct stream_ctx *stream_of(struct kmse_cipher_ctx *ctx)
{
    void *own = ctx;
    return own;
}

/* --- reasons that need more words ---------------------------------------- */

static kmse_st explain_seal(kmse_st st, size_t in_len, bool one_buffer,
                            struct kmse_why *why)
{
    if (st.reason != KMSE_R_STREAM_PIECES)
        return st;
    if (one_buffer)
        return kmse_fail(why, st.reason,
                         "%zu bytes at once: at most %d, then pieces of at "
                         "most %d; KMS-ENVELOPE takes any length",
                         in_len, KMSE_STREAM_FIRST_LEN - 1,
                         KMSE_STREAM_PIECE_MAX);
    return kmse_fail(why, st.reason,
                     "%zu bytes at once: at most %d; KMS-ENVELOPE takes any "
                     "length",
                     in_len, KMSE_STREAM_PIECE_MAX);
}

static kmse_st explain_open(kmse_st st, const struct kmse_cipher_ctx *ctx,
                            const struct kmse_stream_open *open,
                            struct kmse_why *why)
{
    const char *name = kmse_key_name(ctx->binding.key);
    switch (st.reason) {
    case KMSE_R_STREAM_PIECES:
        return kmse_fail(why, st.reason,
                         "decrypt it in one piece, or in pieces of a multiple "
                         "of %d bytes, the last one as it is (openssl enc: "
                         "without -bufsize)",
                         KMSE_STREAM_FRAME_LEN);
    case KMSE_R_TAG_MISMATCH:
    case KMSE_R_MESSAGE_SHORT:
        return kmse_fail(why, st.reason,
                         "key %s, version %u, frame %" PRIu64
                         "; the frames before it are right",
                         name, ctx->binding.used_version, open->frame);
    default:
        return st;
    }
}

/* --- writing ------------------------------------------------------------- */

/* It holds the stream's key: no longer than there is one. */
static void free_gcm(struct kmse_cipher_ctx *ctx)
{
    struct stream_ctx *own = stream_of(ctx);
    kmse_gcm_free(own->gcm);
    own->gcm = NULL;
}

static kmse_st renew_gcm(struct kmse_cipher_ctx *ctx,
                         const uint8_t salt[KMSE_STREAM_SALT_LEN])
{
    free_gcm(ctx);
    return kmse_lease_stream_gcm(ctx->binding.lease, salt,
                                 &stream_of(ctx)->gcm);
}

/*
 * Programs that look for names in libcrypto's old table may be PHP, which
 * gives Update and Final one buffer of a block more than the plaintext.
 */
static bool has_one_buffer(const struct kmse_cipher_ctx *ctx)
{
    return ctx->binding.ring_is_owned;
}

static kmse_st seal_start(struct kmse_cipher_ctx *ctx,
                          const uint8_t nonce[KMSE_NONCE_LEN])
{
    struct stream_ctx *own = stream_of(ctx);
    const struct kmse_datakey *datakey = ctx->binding.lease->datakey;
    KMSE_TRY(renew_gcm(ctx, nonce));
    return kmse_stream_seal_start(&own->stream.seal, own->gcm, datakey->id,
                                  datakey->version, nonce, has_one_buffer(ctx));
}

static kmse_st seal_aad(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                        size_t aad_len)
{
    return kmse_stream_seal_aad(&stream_of(ctx)->stream.seal, aad, aad_len);
}

static kmse_st seal_update(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why)
{
    kmse_st st = kmse_stream_seal_update(&stream_of(ctx)->stream.seal, out,
                                         out_size, out_len, in, in_len);
    return explain_seal(st, in_len, has_one_buffer(ctx), why);
}

static kmse_st seal_final(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len)
{
    KMSE_TRY(kmse_stream_seal_final(&stream_of(ctx)->stream.seal, out, out_size,
                                    out_len));
    free_gcm(ctx);
    return KMSE_OK;
}

/* EVP_Cipher has room for one block more than in_len: for one frame. */
static kmse_st seal_whole_check(size_t in_len, size_t out_size,
                                struct kmse_why *why)
{
    if (in_len >= KMSE_STREAM_FIRST_LEN)
        return explain_seal(KMSE_ERR(KMSE_R_STREAM_PIECES), in_len, true, why);
    if (out_size < in_len + KMSE_OVERHEAD)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    return KMSE_OK;
}

/* --- reading ------------------------------------------------------------- */

static kmse_st open_start(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len)
{
    struct stream_ctx *own = stream_of(ctx);
    struct kmse_header header;
    KMSE_TRY(kmse_stream_header_parse(&header, ctx->header, KMSE_HEADER_LEN));
    KMSE_TRY(renew_gcm(ctx, header.nonce));
    return kmse_stream_open_start(&own->stream.open, own->gcm,
                                  ctx->binding.lease->datakey->id, ctx->header,
                                  aad, aad_len);
}

static kmse_st open_update(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why)
{
    struct kmse_stream_open *open = &stream_of(ctx)->stream.open;
    kmse_st st =
        kmse_stream_open_update(open, out, out_size, out_len, in, in_len);
    return explain_open(st, ctx, open, why);
}

static kmse_st open_final(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len,
                          struct kmse_why *why)
{
    struct kmse_stream_open *open = &stream_of(ctx)->stream.open;
    kmse_st st = kmse_stream_open_final(open, out, out_size, out_len);
    if (kmse_is_ok(st))
        free_gcm(ctx);
    return explain_open(st, ctx, open, why);
}

/* In one piece nothing is left for Final to write. */
static kmse_st open_whole(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len, uint8_t *out, size_t out_size,
                          size_t *out_len, const uint8_t *in, size_t in_len,
                          struct kmse_why *why)
{
    size_t none_len = 0;
    KMSE_TRY(open_start(ctx, aad, aad_len));
    KMSE_TRY(open_update(ctx, out, out_size, out_len, in + KMSE_HEADER_LEN,
                         in_len - KMSE_HEADER_LEN, why));
    kmse_st st = open_final(ctx, out, 0, &none_len, why);
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(out, *out_len);
    return st;
}

/* --- copies and ends ----------------------------------------------------- */

static kmse_st copy_open(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx)
{
    const void *own = ctx;
    const struct stream_ctx *from = own;
    struct stream_ctx *to = stream_of(copy);
    KMSE_TRY(kmse_gcm_dup(&to->gcm, from->gcm));
    to->stream.open.gcm = to->gcm;
    to->stream.open.aad = kmse_aad_bytes(&copy->aad);
    return KMSE_OK;
}

static void disown(struct kmse_cipher_ctx *copy)
{
    stream_of(copy)->gcm = NULL;
}

static void wipe(struct kmse_cipher_ctx *ctx)
{
    free_gcm(ctx);
    OPENSSL_cleanse(&stream_of(ctx)->stream, sizeof(stream_of(ctx)->stream));
}

static const struct kmse_cipher_kind KIND = {
    .ctx_len = sizeof(struct stream_ctx),
    .parse_header = kmse_stream_header_parse,
    .seal_start = seal_start,
    .seal_aad = seal_aad,
    .seal_update = seal_update,
    .seal_final = seal_final,
    .seal_whole_check = seal_whole_check,
    .open_start = open_start,
    .open_update = open_update,
    .open_final = open_final,
    .open_whole = open_whole,
    .copy_open = copy_open,
    .disown = disown,
    .wipe = wipe,
};

static void *newctx(void *provctx)
{
    return kmse_cipher_newctx(provctx, &KIND);
}

const OSSL_DISPATCH kmse_stream_cipher_functions[] = {
    {OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))kmse_cipher_update},
    {OSSL_FUNC_CIPHER_FINAL, (void (*)(void))kmse_cipher_final},
    {OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))kmse_cipher_one_call},
    KMSE_CIPHER_SHARED_FUNCTIONS,
    {0, NULL},
};
