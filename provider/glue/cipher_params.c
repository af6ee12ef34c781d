/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of the cipher and of its contexts. */
#include "glue/cipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "kms_envelope/params.h"

static const OSSL_PARAM GETTABLE_PARAMS[] = {
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_cipher_gettable_params(void *provctx)
{
    (void)provctx;
    return GETTABLE_PARAMS;
}

static int set_size(OSSL_PARAM params[], const char *key, size_t value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_size_t(param, value);
}

/*
 * Not flagged AEAD, or openssl enc refuses it; the IV is ours, so none is
 * asked for. Callers size buffers by the block size: it is the overhead.
 */
int kmse_cipher_get_params(OSSL_PARAM params[])
{
    OSSL_PARAM *mode = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);
    OSSL_PARAM *aead = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD);
    OSSL_PARAM *custom = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_CUSTOM_IV);
    return (mode == NULL || OSSL_PARAM_set_uint(mode, EVP_CIPH_STREAM_CIPHER))
           && (aead == NULL || OSSL_PARAM_set_int(aead, 0))
           && (custom == NULL || OSSL_PARAM_set_int(custom, 0))
           && set_size(params, OSSL_CIPHER_PARAM_KEYLEN, KMSE_DATA_KEY_LEN)
           && set_size(params, OSSL_CIPHER_PARAM_IVLEN, 0)
           && set_size(params, OSSL_CIPHER_PARAM_BLOCK_SIZE, KMSE_OVERHEAD);
}

static const OSSL_PARAM GETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
    KMSE_BINDING_PARAMS,
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_cipher_gettable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return GETTABLE_CTX_PARAMS;
}

int kmse_cipher_get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    const struct kmse_cipher_ctx *ctx = vctx;
    return set_size(params, OSSL_CIPHER_PARAM_KEYLEN, KMSE_DATA_KEY_LEN)
           && set_size(params, OSSL_CIPHER_PARAM_IVLEN, 0)
           && kmse_binding_get_params(&ctx->binding, params);
}

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_PADDING, NULL),
    KMSE_BINDING_PARAMS,
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_cipher_settable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

static kmse_st set_key_length(const OSSL_PARAM *param, struct kmse_why *why)
{
    size_t len = 0;
    if (!OSSL_PARAM_get_size_t(param, &len) || len != KMSE_DATA_KEY_LEN)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the key length is %d bytes: a key's name, padded "
                         "with NUL",
                         KMSE_DATA_KEY_LEN);
    return KMSE_OK;
}

/* Padding is what "openssl enc -nopad" sets; we have none either way. */
int kmse_cipher_set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct kmse_cipher_ctx *ctx = vctx;
    if (params == NULL) /* nearly always: before anything is set up */
        return 1;

    struct kmse_why why;
    why.text[0] = '\0';
    bool in_message =
        ctx->state == KMSE_CIPHER_AAD || ctx->state == KMSE_CIPHER_BODY;
    kmse_st st =
        kmse_binding_set_params(&ctx->binding, params, in_message, &why);
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_KEYLEN);
    if (p != NULL && kmse_is_ok(st))
        st = set_key_length(p, &why);
    kmse_raise(ctx->binding.core, st, &why);
    return kmse_is_ok(st);
}
