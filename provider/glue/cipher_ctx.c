/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of our ciphers, and their init. */
#include "glue/cipher.h"

#include <stdlib.h>
#include <string.h>

#include "glue/error.h"

int kmse_cipher_fail(struct kmse_cipher_ctx *ctx, kmse_st st,
                     const struct kmse_why *why, const char *file, int line,
                     const char *function)
{
    kmse_binding_raise(&ctx->binding, st, why, file, line, function);
    ctx->state = KMSE_CIPHER_FAILED;
    return 0;
}

/* --- contexts ----------------------------------------------------------- */

void *kmse_cipher_newctx(struct kmse_provctx *provctx,
                         const struct kmse_cipher_kind *kind)
{
    struct kmse_cipher_ctx *ctx = calloc(1, kind->ctx_len);
    if (ctx == NULL)
        return NULL;
    ctx->kind = kind;
    if (!kmse_is_ok(kmse_binding_init(&ctx->binding, provctx))) {
        kmse_cipher_freectx(ctx);
        return NULL;
    }
    return ctx;
}

void kmse_cipher_freectx(void *vctx)
{
    struct kmse_cipher_ctx *ctx = vctx;
    if (ctx == NULL)
        return;
    if (ctx->kind->wipe != NULL)
        ctx->kind->wipe(ctx);
    kmse_binding_wipe(&ctx->binding);
    kmse_aad_wipe(&ctx->aad);
    free(ctx);
}

/* A message being read goes on in both, each with a lease of its own. */
static kmse_st copy_open(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx,
                         struct kmse_why *why)
{
    KMSE_TRY(kmse_lease_version(&copy->binding.lease, ctx->binding.key,
                                ctx->binding.used_version, why));
    return ctx->kind->copy_open(copy, ctx);
}

/*
 * A copied encrypting context would write two messages with one nonce: once
 * the nonce is drawn, there is no copy.
 */
static kmse_st copy_message(struct kmse_cipher_ctx *copy,
                            const struct kmse_cipher_ctx *ctx,
                            struct kmse_why *why)
{
    bool under_way =
        !ctx->kind->is_whole
        && (ctx->state == KMSE_CIPHER_AAD || ctx->state == KMSE_CIPHER_BODY);
    if (under_way && ctx->direction == KMSE_SEAL)
        return kmse_fail(why, KMSE_R_STATE,
                         "an encrypting context cannot be copied within a "
                         "message: the nonce would be used twice");
    KMSE_TRY(kmse_aad_copy(&copy->aad, &ctx->aad));
    if (under_way && ctx->binding.used_version != 0)
        return copy_open(copy, ctx, why);
    return KMSE_OK;
}

void *kmse_cipher_dupctx(void *vctx)
{
    const struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_cipher_ctx *copy = malloc(ctx->kind->ctx_len);
    if (copy == NULL)
        return NULL;
    memcpy(copy, ctx, ctx->kind->ctx_len);
    copy->aad = (struct kmse_aad_buffer){0};
    kmse_binding_copy(&copy->binding, &ctx->binding);
    if (ctx->kind->disown != NULL)
        ctx->kind->disown(copy);

    struct kmse_why why = {""};
    kmse_st st = copy_message(copy, ctx, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->binding.core, st, &why);
        kmse_cipher_freectx(copy);
        return NULL;
    }
    return copy;
}

/* --- init --------------------------------------------------------------- */

static void reset_message(struct kmse_cipher_ctx *ctx)
{
    ctx->binding.used_version = 0;
    ctx->header_len = 0;
    ctx->aad.len = 0;
}

static int init(struct kmse_cipher_ctx *ctx, enum kmse_direction direction,
                const unsigned char *key, size_t key_len,
                const OSSL_PARAM params[])
{
    reset_message(ctx);
    ctx->direction = direction;
    ctx->state = KMSE_CIPHER_READY;
    if (key != NULL) {
        struct kmse_why why;
        why.text[0] = '\0';
        kmse_st st = kmse_binding_set_key(&ctx->binding, key, key_len, &why);
        if (!kmse_is_ok(st))
            return CIPHER_FAIL(ctx, st, &why);
    }
    if (!kmse_cipher_set_ctx_params(ctx, params)) {
        ctx->state = KMSE_CIPHER_FAILED;
        return 0;
    }
    return 1;
}

/* The IV length is 0: a caller that has an IV all the same is not asked. */
int kmse_cipher_encrypt_init(void *vctx, const unsigned char *key,
                             size_t key_len, const unsigned char *iv,
                             size_t iv_len, const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, KMSE_SEAL, key, key_len, params);
}

int kmse_cipher_decrypt_init(void *vctx, const unsigned char *key,
                             size_t key_len, const unsigned char *iv,
                             size_t iv_len, const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, KMSE_OPEN, key, key_len, params);
}
