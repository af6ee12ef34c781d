/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256 whose key may be a handle. */
#include "glue/drop_in.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "glue/provctx.h"
#include "keyring/handle.h"

struct context {
    const struct kmse_core *core;
    struct kmse_ring *ring;
    const struct kmse_algorithm *inner;
    void *inner_ctx;
    struct kmse_hold hold; /* its key is a handle's, or none */
    bool failed;           /* until the next init with a key */
};

/* --- the inner ciphers -------------------------------------------------- */

static const char *const NAMES[KMSE_DROP_IN_COUNT] = {
#define NAME(name, fetched, names) fetched,
    KMSE_DROP_INS(NAME)
#undef NAME
};

void kmse_drop_in_init(struct kmse_drop_in *drop_in)
{
    drop_in->fetched = (struct kmse_algorithms){
        .names = NAMES,
        .algorithms = drop_in->algorithms,
        .count = KMSE_DROP_IN_COUNT,
    };
}

void kmse_drop_in_wipe(struct kmse_drop_in *drop_in)
{
    for (size_t i = 0; i < KMSE_DROP_IN_COUNT; i++)
        kmse_algorithm_wipe(&drop_in->algorithms[i]);
}

static kmse_st find_inner(const struct kmse_algorithm **inner,
                          struct kmse_provctx *provctx,
                          enum kmse_drop_in_index index)
{
    KMSE_TRY(kmse_ring_algorithms(provctx->ring, &provctx->drop_in.fetched));
    *inner = &provctx->drop_in.algorithms[index];
    return (*inner)->cipher != NULL ? KMSE_OK
                                    : KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
}

/* --- contexts ----------------------------------------------------------- */

static int fail(struct context *ctx, kmse_st st, const struct kmse_why *why)
{
    kmse_raise(ctx->core, st, why);
    ctx->failed = true;
    return 0;
}

static void freectx(void *vctx)
{
    struct context *ctx = vctx;
    if (ctx == NULL)
        return;
    if (ctx->inner_ctx != NULL)
        ctx->inner->freectx(ctx->inner_ctx);
    kmse_hold_drop(&ctx->hold);
    free(ctx);
}

static void *new_context(struct kmse_provctx *provctx,
                         enum kmse_drop_in_index index)
{
    const struct kmse_why why = {""};
    struct context *ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL)
        return NULL;
    ctx->core = &provctx->core;
    ctx->ring = provctx->ring;
    kmse_st st = find_inner(&ctx->inner, provctx, index);
    if (kmse_is_ok(st)) {
        ctx->inner_ctx = ctx->inner->newctx(ctx->inner->provctx);
        st = ctx->inner_ctx != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    }
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->core, st, &why);
        freectx(ctx);
        return NULL;
    }
    return ctx;
}

static void *dupctx(void *vctx)
{
    const struct context *ctx = vctx;
    struct context *copy =
        ctx->inner->dupctx != NULL ? malloc(sizeof(*copy)) : NULL;
    if (copy == NULL)
        return NULL;
    *copy = *ctx;
    kmse_hold_copy(&copy->hold, &ctx->hold);
    copy->inner_ctx = ctx->inner->dupctx(ctx->inner_ctx);
    if (copy->inner_ctx == NULL) {
        freectx(copy);
        return NULL;
    }
    return copy;
}

/* --- init --------------------------------------------------------------- */

__attribute__((noinline)) static int
init_with_handle(struct context *ctx,
                 OSSL_FUNC_cipher_encrypt_init_fn *inner_init,
                 const unsigned char *handle, const unsigned char *iv,
                 size_t iv_len, const OSSL_PARAM params[])
{
    uint8_t aes_key[KMSE_SECRET_LEN];
    struct kmse_why why;
    why.text[0] = '\0';
    kmse_st st = kmse_hold_take(&ctx->hold, aes_key, ctx->ring, handle, &why);
    if (!kmse_is_ok(st))
        return fail(ctx, st, &why);
    int done = inner_init(ctx->inner_ctx, aes_key, sizeof(aes_key), iv, iv_len,
                          params);
    OPENSSL_cleanse(aes_key, sizeof(aes_key));
    ctx->failed = done != 1;
    return done;
}

/* Out of the way: its text takes a kilobyte of stack. */
__attribute__((noinline)) static bool may_still_go_on(struct context *ctx)
{
    struct kmse_why why;
    why.text[0] = '\0';
    kmse_st st = ctx->failed ? kmse_fail(&why, KMSE_R_STATE,
                                         "the last init with a key failed")
                             : kmse_hold_check(&ctx->hold, &why);
    return kmse_is_ok(st) || fail(ctx, st, &why) == 1;
}

/*
 * A context whose key is a handle's may be used for as long as that may. With
 * an ordinary key it costs two loads: a cipher of 16 bytes takes 100 ns in all.
 */
static inline bool may_go_on(struct context *ctx)
{
    if (ctx->hold.key == NULL && !ctx->failed)
        return true;
    return (!ctx->failed && kmse_hold_is_fresh(&ctx->hold))
           || may_still_go_on(ctx);
}

static int init(struct context *ctx,
                OSSL_FUNC_cipher_encrypt_init_fn *inner_init,
                const unsigned char *key, size_t key_len,
                const unsigned char *iv, size_t iv_len,
                const OSSL_PARAM params[])
{
    if (key == NULL && !may_go_on(ctx))
        return 0;
    if (key == NULL)
        return inner_init(ctx->inner_ctx, NULL, key_len, iv, iv_len, params);
    bool had_handle = ctx->hold.key != NULL;
    if (had_handle)
        kmse_hold_drop(&ctx->hold);
    if (kmse_handle_is_one(key, key_len))
        return init_with_handle(ctx, inner_init, key, iv, iv_len, params);
    int done = inner_init(ctx->inner_ctx, key, key_len, iv, iv_len, params);
    /* It may have kept a handle's key, which nobody holds any more. */
    ctx->failed = done != 1 && (had_handle || ctx->failed);
    return done;
}

static int encrypt_init(void *vctx, const unsigned char *key, size_t key_len,
                        const unsigned char *iv, size_t iv_len,
                        const OSSL_PARAM params[])
{
    struct context *ctx = vctx;
    return init(ctx, ctx->inner->encrypt_init, key, key_len, iv, iv_len,
                params);
}

static int decrypt_init(void *vctx, const unsigned char *key, size_t key_len,
                        const unsigned char *iv, size_t iv_len,
                        const OSSL_PARAM params[])
{
    struct context *ctx = vctx;
    return init(ctx, ctx->inner->decrypt_init, key, key_len, iv, iv_len,
                params);
}

/* --- through ------------------------------------------------------------ */

static int update(void *vctx, unsigned char *out, size_t *out_len,
                  size_t out_size, const unsigned char *in, size_t in_len)
{
    struct context *ctx = vctx;
    if (!may_go_on(ctx))
        return 0;
    return ctx->inner->update(ctx->inner_ctx, out, out_len, out_size, in,
                              in_len);
}

static int final(void *vctx, unsigned char *out, size_t *out_len,
                 size_t out_size)
{
    struct context *ctx = vctx;
    if (!may_go_on(ctx))
        return 0;
    return ctx->inner->final(ctx->inner_ctx, out, out_len, out_size);
}

static int one_call(void *vctx, unsigned char *out, size_t *out_len,
                    size_t out_size, const unsigned char *in, size_t in_len)
{
    struct context *ctx = vctx;
    if (ctx->inner->cipher_once == NULL || !may_go_on(ctx))
        return 0;
    return ctx->inner->cipher_once(ctx->inner_ctx, out, out_len, out_size, in,
                                   in_len);
}

static int get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    struct context *ctx = vctx;
    return ctx->inner->get_ctx_params(ctx->inner_ctx, params);
}

static int set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct context *ctx = vctx;
    return ctx->inner->set_ctx_params(ctx->inner_ctx, params);
}

/*
 * libcrypto asks for these lists while it makes its EVP_CIPHER, so in the midst
 * of somebody's fetch, which may be our own for the inner ciphers: nothing may
 * be fetched for them. Until the inner ciphers are there, the lists are of what
 * any of them has, but for the key's length, by which libcrypto knows ciphers
 * that have several.
 */
#define IV_GENERATED "iv-generated" /* of OpenSSL 3.4, in no header of 3.0 */
static const OSSL_PARAM GETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_PADDING, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_NUM, NULL),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, NULL, 0),
    OSSL_PARAM_octet_ptr(OSSL_CIPHER_PARAM_TLS_MAC, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_CIPHER_PARAM_CTS_MODE, NULL, 0),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, NULL),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, NULL),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, NULL, 0),
    OSSL_PARAM_uint(IV_GENERATED, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_PADDING, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_NUM, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_USE_BITS, NULL),
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_TLS_VERSION, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_TLS_MAC_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_CIPHER_PARAM_CTS_MODE, NULL, 0),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, NULL),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, NULL, 0),
    OSSL_PARAM_END,
};

static const struct kmse_algorithm *
inner_if_there(const struct kmse_provctx *provctx,
               enum kmse_drop_in_index index)
{
    const struct kmse_drop_in *drop_in = &provctx->drop_in;
    bool ready =
        atomic_load_explicit(&drop_in->fetched.ready, memory_order_acquire);
    return ready ? &drop_in->algorithms[index] : NULL;
}

static const OSSL_PARAM *gettable_ctx_params(void *vctx, void *provctx,
                                             enum kmse_drop_in_index index)
{
    struct context *ctx = vctx;
    const struct kmse_algorithm *inner = inner_if_there(provctx, index);
    if (inner == NULL || inner->gettable_ctx_params == NULL)
        return GETTABLE_CTX_PARAMS;
    return inner->gettable_ctx_params(ctx != NULL ? ctx->inner_ctx : NULL,
                                      inner->provctx);
}

static const OSSL_PARAM *settable_ctx_params(void *vctx, void *provctx,
                                             enum kmse_drop_in_index index)
{
    struct context *ctx = vctx;
    const struct kmse_algorithm *inner = inner_if_there(provctx, index);
    if (inner == NULL || inner->settable_ctx_params == NULL)
        return SETTABLE_CTX_PARAMS;
    return inner->settable_ctx_params(ctx != NULL ? ctx->inner_ctx : NULL,
                                      inner->provctx);
}

/* --- what a cipher says of itself --------------------------------------- */

/* As OpenSSL's default provider has it: the tests compare. */
struct facts {
    unsigned mode;
    bool aead, custom_iv, cts;
    size_t block_len, iv_len;
};

static const struct facts FACTS[KMSE_DROP_IN_COUNT] = {
    [KMSE_DROP_IN_ecb] = {EVP_CIPH_ECB_MODE, false, false, false, 16, 0},
    [KMSE_DROP_IN_cbc] = {EVP_CIPH_CBC_MODE, false, false, false, 16, 16},
    [KMSE_DROP_IN_cbc_cts] = {EVP_CIPH_CBC_MODE, false, false, true, 16, 16},
    [KMSE_DROP_IN_ofb] = {EVP_CIPH_OFB_MODE, false, false, false, 1, 16},
    [KMSE_DROP_IN_cfb] = {EVP_CIPH_CFB_MODE, false, false, false, 1, 16},
    [KMSE_DROP_IN_cfb1] = {EVP_CIPH_CFB_MODE, false, false, false, 1, 16},
    [KMSE_DROP_IN_cfb8] = {EVP_CIPH_CFB_MODE, false, false, false, 1, 16},
    [KMSE_DROP_IN_ctr] = {EVP_CIPH_CTR_MODE, false, false, false, 1, 16},
    [KMSE_DROP_IN_gcm] = {EVP_CIPH_GCM_MODE, true, true, false, 1, 12},
    [KMSE_DROP_IN_ccm] = {EVP_CIPH_CCM_MODE, true, true, false, 1, 12},
    [KMSE_DROP_IN_ocb] = {EVP_CIPH_OCB_MODE, true, true, false, 16, 12},
    [KMSE_DROP_IN_wrap] = {EVP_CIPH_WRAP_MODE, false, true, false, 8, 8},
    [KMSE_DROP_IN_wrap_pad] = {EVP_CIPH_WRAP_MODE, false, true, false, 8, 4},
    [KMSE_DROP_IN_wrap_inv] = {EVP_CIPH_WRAP_MODE, false, true, false, 8, 8},
    [KMSE_DROP_IN_wrap_pad_inv] = {EVP_CIPH_WRAP_MODE, false, true, false, 8,
                                   4},
};

static const OSSL_PARAM GETTABLE_PARAMS[] = {
    OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
    OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_CTS, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_TLS1_MULTIBLOCK, NULL),
    OSSL_PARAM_int(OSSL_CIPHER_PARAM_HAS_RAND_KEY, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable_params(void *provctx)
{
    (void)provctx;
    return GETTABLE_PARAMS;
}

static bool set_len(OSSL_PARAM params[], const char *key, size_t value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_size_t(param, value);
}

static bool set_flag(OSSL_PARAM params[], const char *key, bool value)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_int(param, value);
}

static int get_params(OSSL_PARAM params[], enum kmse_drop_in_index index)
{
    const struct facts *facts = &FACTS[index];
    OSSL_PARAM *mode = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);
    return (mode == NULL || OSSL_PARAM_set_uint(mode, facts->mode))
           && set_len(params, OSSL_CIPHER_PARAM_KEYLEN, KMSE_SECRET_LEN)
           && set_len(params, OSSL_CIPHER_PARAM_IVLEN, facts->iv_len)
           && set_len(params, OSSL_CIPHER_PARAM_BLOCK_SIZE, facts->block_len)
           && set_flag(params, OSSL_CIPHER_PARAM_AEAD, facts->aead)
           && set_flag(params, OSSL_CIPHER_PARAM_CUSTOM_IV, facts->custom_iv)
           && set_flag(params, OSSL_CIPHER_PARAM_CTS, facts->cts)
           && set_flag(params, OSSL_CIPHER_PARAM_TLS1_MULTIBLOCK, false)
           && set_flag(params, OSSL_CIPHER_PARAM_HAS_RAND_KEY, false);
}

/* --- the tables --------------------------------------------------------- */

/*
 * Four functions are told no context, so each cipher has its own. more: key
 * wrapping has no one-call function, by which libcrypto tells it from others.
 */
#define FUNCTIONS(name, more)                                                  \
    static OSSL_FUNC_cipher_newctx_fn newctx_##name;                           \
    static OSSL_FUNC_cipher_get_params_fn get_params_##name;                   \
    static OSSL_FUNC_cipher_gettable_ctx_params_fn gettable_##name;            \
    static OSSL_FUNC_cipher_settable_ctx_params_fn settable_##name;            \
    static void *newctx_##name(void *provctx)                                  \
    {                                                                          \
        return new_context(provctx, KMSE_DROP_IN_##name);                      \
    }                                                                          \
    static int get_params_##name(OSSL_PARAM params[])                          \
    {                                                                          \
        return get_params(params, KMSE_DROP_IN_##name);                        \
    }                                                                          \
    static const OSSL_PARAM *gettable_##name(void *vctx, void *provctx)        \
    {                                                                          \
        return gettable_ctx_params(vctx, provctx, KMSE_DROP_IN_##name);        \
    }                                                                          \
    static const OSSL_PARAM *settable_##name(void *vctx, void *provctx)        \
    {                                                                          \
        return settable_ctx_params(vctx, provctx, KMSE_DROP_IN_##name);        \
    }                                                                          \
    const OSSL_DISPATCH kmse_drop_in_##name##_functions[] = {                  \
        {OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))newctx_##name},              \
        {OSSL_FUNC_CIPHER_FREECTX, (void (*)(void))freectx},                   \
        {OSSL_FUNC_CIPHER_DUPCTX, (void (*)(void))dupctx},                     \
        {OSSL_FUNC_CIPHER_ENCRYPT_INIT, (void (*)(void))encrypt_init},         \
        {OSSL_FUNC_CIPHER_DECRYPT_INIT, (void (*)(void))decrypt_init},         \
        {OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))update},                     \
        {OSSL_FUNC_CIPHER_FINAL, (void (*)(void)) final},                      \
        {OSSL_FUNC_CIPHER_GET_PARAMS, (void (*)(void))get_params_##name},      \
        {OSSL_FUNC_CIPHER_GETTABLE_PARAMS, (void (*)(void))gettable_params},   \
        {OSSL_FUNC_CIPHER_GET_CTX_PARAMS, (void (*)(void))get_ctx_params},     \
        {OSSL_FUNC_CIPHER_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},     \
        {OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,                                 \
         (void (*)(void))gettable_##name},                                     \
        {OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,                                 \
         (void (*)(void))settable_##name},                                     \
        more{0, NULL},                                                         \
    };

#define ONE_CALL                              {OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))one_call},
#define BLOCK_FUNCTIONS(name, fetched, names) FUNCTIONS(name, ONE_CALL)
#define WRAP_FUNCTIONS(name, fetched, names)  FUNCTIONS(name, )

KMSE_DROP_INS_BLOCK(BLOCK_FUNCTIONS)
KMSE_DROP_INS_WRAP(WRAP_FUNCTIONS)
