/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher KMS-ENVELOPE: a message sealed and opened as one. */
#include "glue/cipher.h"

#include <openssl/core_dispatch.h>

#include "envelope/open.h"
#include "envelope/seal.h"

static OSSL_FUNC_cipher_newctx_fn newctx;

struct message_ctx {
    struct kmse_cipher_ctx base; /* first: a pointer to it is one to both */
    struct kmse_seal seal;
    struct kmse_open open;
};

static struct message_ctx *message_of(struct kmse_cipher_ctx *ctx)
{
    void *own = ctx;
    return own;
}

static kmse_st seal_start(struct kmse_cipher_ctx *ctx,
                          const uint8_t nonce[KMSE_NONCE_LEN])
{
    const struct kmse_datakey *datakey = ctx->binding.lease->datakey;
    return kmse_seal_start(&message_of(ctx)->seal, ctx->binding.lease->gcm,
                           datakey->id, datakey->version, nonce);
}

static kmse_st seal_aad(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                        size_t aad_len)
{
    return kmse_seal_aad(&message_of(ctx)->seal, aad, aad_len);
}

static kmse_st seal_update(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why)
{
    (void)why;
    return kmse_seal_update(&message_of(ctx)->seal, out, out_size, out_len, in,
                            in_len);
}

static kmse_st seal_final(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len)
{
    return kmse_seal_final(&message_of(ctx)->seal, out, out_size, out_len);
}

static kmse_st seal_whole_check(size_t in_len, size_t out_size,
                                struct kmse_why *why)
{
    (void)why;
    if (out_size < KMSE_OVERHEAD || out_size - KMSE_OVERHEAD < in_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    return KMSE_OK;
}

static kmse_st open_start(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len)
{
    struct kmse_open *open = &message_of(ctx)->open;
    KMSE_TRY(kmse_open_start(open, ctx->binding.lease->gcm,
                             ctx->binding.lease->datakey->id, ctx->header));
    return kmse_open_aad(open, aad, aad_len);
}

static kmse_st open_update(struct kmse_cipher_ctx *ctx, uint8_t *out,
                           size_t out_size, size_t *out_len, const uint8_t *in,
                           size_t in_len, struct kmse_why *why)
{
    (void)why;
    return kmse_open_update(&message_of(ctx)->open, out, out_size, out_len, in,
                            in_len);
}

static kmse_st open_final(struct kmse_cipher_ctx *ctx, uint8_t *out,
                          size_t out_size, size_t *out_len,
                          struct kmse_why *why)
{
    (void)why;
    return kmse_open_final(&message_of(ctx)->open, out, out_size, out_len);
}

static kmse_st open_whole(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                          size_t aad_len, uint8_t *out, size_t out_size,
                          size_t *out_len, const uint8_t *in, size_t in_len,
                          struct kmse_why *why)
{
    (void)why;
    return kmse_open_whole(ctx->binding.lease->gcm,
                           ctx->binding.lease->datakey->id, aad, aad_len, out,
                           out_size, out_len, in, in_len);
}

/* The lease's GCM is in the middle of ctx's message; the copy needs its own. */
static kmse_st copy_open(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx)
{
    struct kmse_gcm *gcm = NULL;
    KMSE_TRY(kmse_gcm_dup(&gcm, ctx->binding.lease->gcm));
    kmse_gcm_free(copy->binding.lease->gcm);
    copy->binding.lease->gcm = gcm;
    message_of(copy)->open.gcm = gcm;
    return KMSE_OK;
}

static const struct kmse_cipher_kind KIND = {
    .ctx_len = sizeof(struct message_ctx),
    .parse_header = kmse_header_parse,
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
};

static void *newctx(void *provctx)
{
    return kmse_cipher_newctx(provctx, &KIND);
}

const OSSL_DISPATCH kmse_cipher_functions[] = {
    {OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))kmse_cipher_update},
    {OSSL_FUNC_CIPHER_FINAL, (void (*)(void))kmse_cipher_final},
    {OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))kmse_cipher_one_call},
    KMSE_CIPHER_SHARED_FUNCTIONS,
    {0, NULL},
};
