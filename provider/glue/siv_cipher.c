/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cipher KMS-ENVELOPE-SIV: whole messages, the same for the same data.
 *
 * SIV reads all of a message before it writes the first byte, so a message is
 * one Update. A buffer would not help: Final may write no more than a block.
 */
#include "glue/cipher.h"

#include <openssl/core_dispatch.h>

#include "envelope/siv.h"

static OSSL_FUNC_cipher_newctx_fn newctx;
static OSSL_FUNC_cipher_update_fn update;
static OSSL_FUNC_cipher_final_fn final;
static OSSL_FUNC_cipher_cipher_fn one_call;

struct text {
    const uint8_t *bytes;
    size_t len;
};

static struct kmse_siv_aad aad_of(const struct kmse_cipher_ctx *ctx)
{
    return (struct kmse_siv_aad){kmse_aad_bytes(&ctx->aad), ctx->aad.len};
}

/* --- writing ------------------------------------------------------------ */

/*
 * The newest version writes. An older one is asked for to find what it wrote:
 * that is a look-up, which no limit may stop, or rows were lost by a rotation.
 * The newest comes first all the same, for with it the key file is proved.
 */
static kmse_st seal_begin(struct kmse_binding *binding, size_t in_len,
                          struct kmse_why *why)
{
    KMSE_TRY(kmse_binding_find_key(binding, why));
    KMSE_TRY(kmse_lease_newest(&binding->lease, binding->key, why));
    uint32_t wanted = binding->wanted_version;
    if (wanted != 0 && wanted != binding->lease->datakey->version)
        return kmse_lease_version(&binding->lease, binding->key, wanted, why);
    KMSE_TRY(kmse_lease_take_message(binding->lease, why));
    return kmse_lease_take_bytes(binding->lease, in_len, why);
}

static kmse_st seal(struct kmse_cipher_ctx *ctx, unsigned char *out,
                    size_t *out_len, size_t out_size, struct text in,
                    struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    struct kmse_siv *siv = NULL;
    KMSE_TRY(seal_begin(binding, in.len, why));
    KMSE_TRY(kmse_lease_siv(binding->lease, &siv));
    const struct kmse_datakey *datakey = binding->lease->datakey;
    binding->used_version = datakey->version;
    return kmse_siv_seal(siv, datakey->id, datakey->version, aad_of(ctx), out,
                         out_size, out_len, in.bytes, in.len);
}

/* --- reading ------------------------------------------------------------ */

/* A piece of a message looks like a changed one. */
static kmse_st explain_mismatch(kmse_st st, const struct kmse_binding *binding,
                                struct kmse_why *why)
{
    if (st.reason != KMSE_R_TAG_MISMATCH)
        return st;
    return kmse_fail(why, st.reason,
                     "key %s, version %u; KMS-ENVELOPE-SIV takes a whole "
                     "message in one Update",
                     kmse_key_name(binding->key), binding->used_version);
}

static kmse_st open_message(struct kmse_cipher_ctx *ctx, unsigned char *out,
                            size_t *out_len, size_t out_size, struct text in,
                            struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    struct kmse_siv *siv = NULL;
    uint32_t version = 0;
    kmse_st st = kmse_siv_parse(&version, in.bytes, in.len);
    if (!kmse_is_ok(st) && in.len > 0)
        return kmse_cipher_explain_header(st, in.bytes[0], why);
    KMSE_TRY(st);
    KMSE_TRY(kmse_binding_find_key(binding, why));
    KMSE_TRY(kmse_binding_check_version(binding, version, why));
    KMSE_TRY(kmse_lease_version(&binding->lease, binding->key, version, why));
    KMSE_TRY(kmse_lease_siv(binding->lease, &siv));
    binding->used_version = version;
    st = kmse_siv_open(siv, binding->lease->datakey->id, aad_of(ctx), out,
                       out_size, out_len, in.bytes, in.len);
    return explain_mismatch(st, binding, why);
}

/* --- EVP's calls -------------------------------------------------------- */

static kmse_st take_aad(struct kmse_cipher_ctx *ctx, struct text aad,
                        struct kmse_why *why)
{
    if (ctx->state == KMSE_CIPHER_BODY)
        return kmse_fail(why, KMSE_R_STATE,
                         "additional data must come before the data");
    ctx->state = KMSE_CIPHER_AAD;
    return kmse_aad_append(&ctx->aad, aad.bytes, aad.len, why);
}

static kmse_st take_message(struct kmse_cipher_ctx *ctx, unsigned char *out,
                            size_t *out_len, size_t out_size, struct text in,
                            struct kmse_why *why)
{
    if (ctx->state == KMSE_CIPHER_BODY)
        return kmse_fail(why, KMSE_R_STATE,
                         "KMS-ENVELOPE-SIV takes a whole message in one "
                         "Update, and this is the second; for data that "
                         "comes in pieces there is KMS-ENVELOPE");
    ctx->state = KMSE_CIPHER_BODY;
    return ctx->direction == KMSE_SEAL
               ? seal(ctx, out, out_len, out_size, in, why)
               : open_message(ctx, out, out_len, out_size, in, why);
}

static kmse_st take(struct kmse_cipher_ctx *ctx, unsigned char *out,
                    size_t *out_len, size_t out_size, struct text in,
                    struct kmse_why *why)
{
    KMSE_TRY(kmse_cipher_check_takes_data(ctx, why));
    if (in.len == 0)
        return KMSE_OK;
    if (out != NULL)
        return take_message(ctx, out, out_len, out_size, in, why);
    KMSE_TRY(take_aad(ctx, in, why));
    *out_len = in.len;
    return KMSE_OK;
}

static int update(void *vctx, unsigned char *out, size_t *out_len,
                  size_t out_size, const unsigned char *in, size_t in_len)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st =
        take(ctx, out, out_len, out_size, (struct text){in, in_len}, &why);
    return kmse_is_ok(st) ? 1 : CIPHER_FAIL(ctx, st, &why);
}

/* The message is out, but for an empty one, of which no Update could tell. */
static kmse_st finish(struct kmse_cipher_ctx *ctx, unsigned char *out,
                      size_t *out_len, size_t out_size, struct kmse_why *why)
{
    const struct text empty = {NULL, 0};
    KMSE_TRY(kmse_cipher_check_takes_data(ctx, why));
    if (ctx->state == KMSE_CIPHER_BODY)
        return KMSE_OK;
    return take_message(ctx, out, out_len, out_size, empty, why);
}

static int final(void *vctx, unsigned char *out, size_t *out_len,
                 size_t out_size)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = finish(ctx, out, out_len, out_size, &why);
    if (!kmse_is_ok(st))
        return CIPHER_FAIL(ctx, st, &why);
    ctx->state = KMSE_CIPHER_DONE;
    return 1;
}

static kmse_st take_in_one_call(struct kmse_cipher_ctx *ctx, unsigned char *out,
                                size_t *out_len, size_t out_size,
                                struct text in, struct kmse_why *why)
{
    if (out == NULL && in.bytes == NULL)
        return kmse_fail(why, KMSE_R_STATE, "there is no output buffer");
    if (out == NULL)
        return take(ctx, out, out_len, out_size, in, why);
    KMSE_TRY(kmse_cipher_check_takes_data(ctx, why));
    KMSE_TRY(take_message(ctx, out, out_len, out_size, in, why));
    ctx->state = KMSE_CIPHER_DONE;
    return KMSE_OK;
}

static int one_call(void *vctx, unsigned char *out, size_t *out_len,
                    size_t out_size, const unsigned char *in, size_t in_len)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = take_in_one_call(ctx, out, out_len, out_size,
                                  (struct text){in, in_len}, &why);
    return kmse_is_ok(st) ? 1 : CIPHER_FAIL(ctx, st, &why);
}

static const struct kmse_cipher_kind KIND = {
    .ctx_len = sizeof(struct kmse_cipher_ctx),
    .is_whole = true,
};

static void *newctx(void *provctx)
{
    return kmse_cipher_newctx(provctx, &KIND);
}

const OSSL_DISPATCH kmse_siv_cipher_functions[] = {
    {OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))update},
    {OSSL_FUNC_CIPHER_FINAL, (void (*)(void)) final},
    {OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))one_call},
    KMSE_CIPHER_SHARED_FUNCTIONS,
    {0, NULL},
};
