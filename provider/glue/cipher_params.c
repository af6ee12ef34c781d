/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of the cipher and of its contexts. */
#include "glue/cipher.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "keyring/keyfile.h"
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
    OSSL_PARAM_utf8_string(KMSE_PARAM_KEY_NAME, NULL, 0),
    OSSL_PARAM_uint(KMSE_PARAM_KEY_VERSION, NULL),
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_cipher_gettable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return GETTABLE_CTX_PARAMS;
}

static const char *name_in_use(const struct kmse_cipher_ctx *ctx)
{
    if (ctx->key_name[0] != '\0')
        return ctx->key_name;
    const char *name = kmse_ring_get_options(ctx->ring)->default_key;
    return name != NULL ? name : "";
}

int kmse_cipher_get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    const struct kmse_cipher_ctx *ctx = vctx;
    OSSL_PARAM *name = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_NAME);
    OSSL_PARAM *version = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_VERSION);
    return set_size(params, OSSL_CIPHER_PARAM_KEYLEN, KMSE_DATA_KEY_LEN)
           && set_size(params, OSSL_CIPHER_PARAM_IVLEN, 0)
           && (name == NULL
               || OSSL_PARAM_set_utf8_string(name, name_in_use(ctx)))
           && (version == NULL
               || OSSL_PARAM_set_uint(version, ctx->used_version));
}

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_PADDING, NULL),
    OSSL_PARAM_utf8_string(KMSE_PARAM_KEY_NAME, NULL, 0),
    OSSL_PARAM_uint(KMSE_PARAM_KEY_VERSION, NULL),
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_cipher_settable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

/* Once a message is under way its key stands: STATE. */
static kmse_st check_between_messages(const struct kmse_cipher_ctx *ctx,
                                      const char *param, struct kmse_why *why)
{
    if (ctx->state == KMSE_CIPHER_AAD || ctx->state == KMSE_CIPHER_BODY)
        return kmse_fail(why, KMSE_R_STATE, "%s cannot change within a message",
                         param);
    return KMSE_OK;
}

static kmse_st set_key_name(struct kmse_cipher_ctx *ctx,
                            const OSSL_PARAM *param, struct kmse_why *why)
{
    char name[KMSE_KEY_NAME_MAX + 1] = "";
    char *target = name;
    KMSE_TRY(check_between_messages(ctx, KMSE_PARAM_KEY_NAME, why));
    if (!OSSL_PARAM_get_utf8_string(param, &target, sizeof(name))
        || (name[0] != '\0' && !kmse_key_name_is_valid(name)))
        return kmse_fail(why, KMSE_R_KEY_NAME,
                         "%s: not a key's name ([a-z0-9._-], at most %d)",
                         KMSE_PARAM_KEY_NAME, KMSE_KEY_NAME_MAX);
    kmse_cipher_set_key_name(ctx, name);
    return KMSE_OK;
}

static kmse_st set_key_version(struct kmse_cipher_ctx *ctx,
                               const OSSL_PARAM *param, struct kmse_why *why)
{
    unsigned version = 0;
    KMSE_TRY(check_between_messages(ctx, KMSE_PARAM_KEY_VERSION, why));
    if (!OSSL_PARAM_get_uint(param, &version) || version > KMSE_VERSION_MAX)
        return kmse_fail(why, KMSE_R_KEY_VERSION,
                         "%s: a number from 0 (any) to %u",
                         KMSE_PARAM_KEY_VERSION, KMSE_VERSION_MAX);
    ctx->wanted_version = version;
    ctx->version_is_keys = false;
    return KMSE_OK;
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
    kmse_st st = KMSE_OK;
    why.text[0] = '\0';
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_NAME);
    if (p != NULL)
        st = set_key_name(ctx, p, &why);
    p = OSSL_PARAM_locate_const(params, KMSE_PARAM_KEY_VERSION);
    if (p != NULL && kmse_is_ok(st))
        st = set_key_version(ctx, p, &why);
    p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_KEYLEN);
    if (p != NULL && kmse_is_ok(st))
        st = set_key_length(p, &why);
    kmse_raise(ctx->core, st, &why);
    return kmse_is_ok(st);
}
