/* SPDX-License-Identifier: Apache-2.0 */
/* EVP's calls: the key is bound, and messages go through, in pieces or whole.
 */
#include "glue/cipher.h"

#include <string.h>

#include <openssl/crypto.h>

#include "kms_envelope/params.h"

/* --- writing ------------------------------------------------------------ */

/* Bind the key and draw the nonce: at the first byte, not at init. */
static kmse_st seal_begin(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    uint8_t nonce[KMSE_NONCE_LEN];
    KMSE_TRY(kmse_binding_find_key(binding, why));
    KMSE_TRY(kmse_lease_newest(&binding->lease, binding->key, why));
    uint32_t version = binding->lease->datakey->version;
    KMSE_TRY(kmse_binding_check_version(binding, version, why));
    KMSE_TRY(kmse_lease_take_nonce(binding->lease, nonce, why));
    KMSE_TRY(ctx->kind->seal_start(ctx, nonce));
    binding->used_version = version;
    ctx->state = KMSE_CIPHER_AAD;
    return KMSE_OK;
}

static kmse_st seal_begin_if_ready(struct kmse_cipher_ctx *ctx,
                                   struct kmse_why *why)
{
    return ctx->state == KMSE_CIPHER_READY ? seal_begin(ctx, why) : KMSE_OK;
}

static kmse_st seal_update(struct kmse_cipher_ctx *ctx, unsigned char *out,
                           size_t *out_len, size_t out_size,
                           const unsigned char *in, size_t in_len,
                           struct kmse_why *why)
{
    KMSE_TRY(seal_begin_if_ready(ctx, why));
    ctx->state = KMSE_CIPHER_BODY;
    KMSE_TRY(kmse_lease_take_bytes(ctx->binding.lease, in_len, why));
    return ctx->kind->seal_update(ctx, out, out_size, out_len, in, in_len, why);
}

static kmse_st seal_final(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size,
                          struct kmse_why *why)
{
    KMSE_TRY(seal_begin_if_ready(ctx, why));
    return ctx->kind->seal_final(ctx, out, out_size, out_len);
}

/* --- reading ------------------------------------------------------------ */

/* A message of another of our ciphers: say of which. */
static const char *maker_of(uint8_t format)
{
    switch (format) {
    case KMSE_FORMAT_1:
        return KMSE_CIPHER_NAME;
    case KMSE_FORMAT_STREAM:
        return KMSE_STREAM_CIPHER_NAME;
    case KMSE_FORMAT_SIV:
        return KMSE_SIV_CIPHER_NAME;
    default:
        return NULL;
    }
}

kmse_st kmse_cipher_explain_header(kmse_st st, uint8_t format,
                                   struct kmse_why *why)
{
    if (st.reason != KMSE_R_FORMAT_UNKNOWN)
        return st;
    const char *maker = maker_of(format);
    if (maker == NULL)
        return kmse_fail(why, st.reason, "it begins with 0x%02X", format);
    return kmse_fail(why, st.reason,
                     "it begins with 0x%02X: decrypt it with the cipher %s",
                     format, maker);
}

static kmse_st bind_header(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    struct kmse_header header;
    kmse_st st = ctx->kind->parse_header(&header, ctx->header, KMSE_HEADER_LEN);
    KMSE_TRY(kmse_cipher_explain_header(st, ctx->header[0], why));
    KMSE_TRY(kmse_binding_find_key(binding, why));
    KMSE_TRY(kmse_binding_check_version(binding, header.key_version, why));
    KMSE_TRY(kmse_lease_version(&binding->lease, binding->key,
                                header.key_version, why));
    binding->used_version = header.key_version;
    return KMSE_OK;
}

static kmse_st open_begin(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    KMSE_TRY(bind_header(ctx, why));
    return ctx->kind->open_start(ctx, kmse_aad_bytes(&ctx->aad), ctx->aad.len);
}

static kmse_st open_update(struct kmse_cipher_ctx *ctx, unsigned char *out,
                           size_t *out_len, size_t out_size,
                           const unsigned char *in, size_t in_len,
                           struct kmse_why *why)
{
    *out_len = 0;
    ctx->state = KMSE_CIPHER_BODY;
    if (ctx->header_len < KMSE_HEADER_LEN) {
        size_t missing = KMSE_HEADER_LEN - ctx->header_len;
        size_t len = in_len < missing ? in_len : missing;
        memcpy(ctx->header + ctx->header_len, in, len);
        ctx->header_len += len;
        in += len;
        in_len -= len;
        if (ctx->header_len < KMSE_HEADER_LEN)
            return KMSE_OK;
        KMSE_TRY(open_begin(ctx, why));
    }
    return ctx->kind->open_update(ctx, out, out_size, out_len, in, in_len, why);
}

static kmse_st open_final(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size,
                          struct kmse_why *why)
{
    *out_len = 0;
    if (ctx->header_len < KMSE_HEADER_LEN)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    return ctx->kind->open_final(ctx, out, out_size, out_len, why);
}

/* --- EVP's calls -------------------------------------------------------- */

kmse_st kmse_cipher_check_takes_data(const struct kmse_cipher_ctx *ctx,
                                     struct kmse_why *why)
{
    switch (ctx->state) {
    case KMSE_CIPHER_READY:
    case KMSE_CIPHER_AAD:
    case KMSE_CIPHER_BODY:
        return KMSE_OK;
    case KMSE_CIPHER_DONE:
        return kmse_fail(why, KMSE_R_STATE,
                         "the message is complete: init the context again");
    case KMSE_CIPHER_FAILED:
        return kmse_fail(why, KMSE_R_STATE,
                         "an earlier call failed: init the context again");
    case KMSE_CIPHER_NEW:
        break;
    }
    return kmse_fail(why, KMSE_R_STATE, "the context is not initialised");
}

static kmse_st take_aad(struct kmse_cipher_ctx *ctx, const unsigned char *aad,
                        size_t aad_len, struct kmse_why *why)
{
    if (ctx->state == KMSE_CIPHER_BODY)
        return kmse_fail(why, KMSE_R_STATE,
                         "additional data must come before the data");
    if (ctx->direction == KMSE_OPEN) {
        ctx->state = KMSE_CIPHER_AAD;
        return kmse_aad_append(&ctx->aad, aad, aad_len, why);
    }
    KMSE_TRY(seal_begin_if_ready(ctx, why));
    return ctx->kind->seal_aad(ctx, aad, aad_len);
}

static kmse_st check_lease(const struct kmse_cipher_ctx *ctx,
                           struct kmse_why *why)
{
    const struct kmse_binding *binding = &ctx->binding;
    if (ctx->direction == KMSE_SEAL && binding->used_version != 0)
        KMSE_TRY(kmse_lease_check_process(binding->lease, why));
    return kmse_binding_check_lease(binding, why);
}

static kmse_st take_data(struct kmse_cipher_ctx *ctx, unsigned char *out,
                         size_t *out_len, size_t out_size,
                         const unsigned char *in, size_t in_len,
                         struct kmse_why *why)
{
    if (out == NULL) {
        *out_len = in_len;
        return take_aad(ctx, in, in_len, why);
    }
    if (ctx->direction == KMSE_SEAL)
        return seal_update(ctx, out, out_len, out_size, in, in_len, why);
    return open_update(ctx, out, out_len, out_size, in, in_len, why);
}

int kmse_cipher_update(void *vctx, unsigned char *out, size_t *out_len,
                       size_t out_size, const unsigned char *in, size_t in_len)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    kmse_st st = kmse_cipher_check_takes_data(ctx, &why);
    if (kmse_is_ok(st))
        st = check_lease(ctx, &why);
    if (kmse_is_ok(st) && in_len > 0)
        st = take_data(ctx, out, out_len, out_size, in, in_len, &why);
    else
        *out_len = 0;
    if (kmse_is_ok(st))
        return 1;
    *out_len = 0;
    return CIPHER_FAIL(ctx, st, &why);
}

int kmse_cipher_final(void *vctx, unsigned char *out, size_t *out_len,
                      size_t out_size)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = kmse_cipher_check_takes_data(ctx, &why);
    if (kmse_is_ok(st))
        st = check_lease(ctx, &why);
    if (kmse_is_ok(st))
        st = ctx->direction == KMSE_SEAL
                 ? seal_final(ctx, out, out_len, out_size, &why)
                 : open_final(ctx, out, out_len, out_size, &why);
    if (!kmse_is_ok(st))
        return CIPHER_FAIL(ctx, st, &why);
    ctx->state = KMSE_CIPHER_DONE;
    return 1;
}

/* --- EVP_Cipher: a whole message in one call ---------------------------- */

static kmse_st seal_whole(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size,
                          const unsigned char *in, size_t in_len,
                          struct kmse_why *why)
{
    size_t body_len = 0, tag_len = 0;
    KMSE_TRY(ctx->kind->seal_whole_check(in_len, out_size, why));
    KMSE_TRY(seal_update(ctx, out, &body_len, out_size, in, in_len, why));
    kmse_st st = ctx->kind->seal_final(ctx, out + body_len, out_size - body_len,
                                       &tag_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, body_len);
        return st;
    }
    *out_len = body_len + tag_len;
    return KMSE_OK;
}

static kmse_st open_whole(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size,
                          const unsigned char *in, size_t in_len,
                          struct kmse_why *why)
{
    if (in_len < KMSE_HEADER_LEN)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    memcpy(ctx->header, in, KMSE_HEADER_LEN);
    KMSE_TRY(bind_header(ctx, why));
    return ctx->kind->open_whole(ctx, kmse_aad_bytes(&ctx->aad), ctx->aad.len,
                                 out, out_size, out_len, in, in_len, why);
}

static kmse_st whole(struct kmse_cipher_ctx *ctx, unsigned char *out,
                     size_t *out_len, size_t out_size, const unsigned char *in,
                     size_t in_len, struct kmse_why *why)
{
    KMSE_TRY(kmse_cipher_check_takes_data(ctx, why));
    if (out == NULL && in != NULL) {
        *out_len = in_len;
        return take_aad(ctx, in, in_len, why);
    }
    if (out == NULL) /* how older code asks a GCM cipher for its end */
        return kmse_fail(why, KMSE_R_STATE, "there is no output buffer");
    if (ctx->state == KMSE_CIPHER_BODY)
        return kmse_fail(why, KMSE_R_STATE,
                         "a message begun with Update cannot go on with "
                         "EVP_Cipher");
    KMSE_TRY(ctx->direction == KMSE_SEAL
                 ? seal_whole(ctx, out, out_len, out_size, in, in_len, why)
                 : open_whole(ctx, out, out_len, out_size, in, in_len, why));
    ctx->state = KMSE_CIPHER_DONE;
    return KMSE_OK;
}

int kmse_cipher_one_call(void *vctx, unsigned char *out, size_t *out_len,
                         size_t out_size, const unsigned char *in,
                         size_t in_len)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = whole(ctx, out, out_len, out_size, in, in_len, &why);
    if (kmse_is_ok(st))
        return 1;
    *out_len = 0;
    return CIPHER_FAIL(ctx, st, &why);
}
