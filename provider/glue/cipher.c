/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher KMS-ENVELOPE: EVP's calls become messages sealed and opened. */
#include "glue/cipher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "base/bytes.h"
#include "glue/error.h"
#include "glue/legacy.h"
#include "keyring/keyfile.h"

static OSSL_FUNC_cipher_newctx_fn newctx;
static OSSL_FUNC_cipher_freectx_fn freectx;
static OSSL_FUNC_cipher_dupctx_fn dupctx;
static OSSL_FUNC_cipher_encrypt_init_fn encrypt_init;
static OSSL_FUNC_cipher_decrypt_init_fn decrypt_init;
static OSSL_FUNC_cipher_update_fn update;
static OSSL_FUNC_cipher_final_fn final;
static OSSL_FUNC_cipher_cipher_fn one_call;

int kmse_cipher_fail(struct kmse_cipher_ctx *ctx, kmse_st st,
                     const struct kmse_why *why, const char *file, int line,
                     const char *function)
{
    struct kmse_why about = {""};
    if (why == NULL || why->text[0] == '\0') {
        /* The layers below know no names. */
        const char *name =
            ctx->key != NULL ? kmse_key_name(ctx->key) : ctx->key_name;
        if (ctx->used_version != 0)
            snprintf(about.text, sizeof(about.text), "key %s, version %u", name,
                     ctx->used_version);
        else if (name[0] != '\0')
            snprintf(about.text, sizeof(about.text), "key %s", name);
        why = &about;
    }
    kmse_raise_at(ctx->core, st, why, file, line, function);
    ctx->state = KMSE_CIPHER_FAILED;
    return 0;
}

/* --- contexts ----------------------------------------------------------- */

static kmse_st find_ring(struct kmse_cipher_ctx *ctx, struct kmse_ring *ring,
                         struct kmse_why *why)
{
    if (ring == NULL) {
        ring = kmse_legacy_acquire_ring();
        ctx->ring_is_owned = true;
    }
    if (ring == NULL)
        return kmse_fail(why, KMSE_R_STATE, "the provider was unloaded");
    ctx->ring = ring;
    return kmse_ring_ready(ring);
}

static void *newctx(void *vprovctx)
{
    struct kmse_provctx *provctx = vprovctx;
    struct kmse_cipher_ctx *ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL)
        return NULL;
    ctx->core = &provctx->core;
    struct kmse_why why = {""};
    kmse_st st = find_ring(ctx, provctx->ring, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->core, st, &why);
        freectx(ctx);
        return NULL;
    }
    return ctx;
}

static void freectx(void *vctx)
{
    struct kmse_cipher_ctx *ctx = vctx;
    if (ctx == NULL)
        return;
    kmse_lease_give_back(&ctx->lease);
    if (ctx->ring_is_owned)
        kmse_ring_release(ctx->ring); /* may be NULL */
    free(ctx->aad.large);
    free(ctx);
}

static kmse_st copy_aad(struct kmse_cipher_ctx *copy,
                        const struct kmse_cipher_ctx *ctx)
{
    if (ctx->aad.large == NULL)
        return KMSE_OK;
    copy->aad.large = malloc(KMSE_AAD_MAX);
    if (copy->aad.large == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(copy->aad.large, ctx->aad.large, ctx->aad.len);
    return KMSE_OK;
}

/* A message being read goes on in both, each with its own GCM state. */
static kmse_st copy_open(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx,
                         struct kmse_why *why)
{
    struct kmse_gcm *gcm = NULL;
    KMSE_TRY(kmse_gcm_dup(&gcm, ctx->lease->gcm));
    kmse_st st =
        kmse_lease_version(&copy->lease, ctx->key, ctx->used_version, why);
    if (!kmse_is_ok(st)) {
        kmse_gcm_free(gcm);
        return st;
    }
    kmse_gcm_free(copy->lease->gcm);
    copy->lease->gcm = gcm;
    copy->open.gcm = gcm;
    return KMSE_OK;
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
        ctx->state == KMSE_CIPHER_AAD || ctx->state == KMSE_CIPHER_BODY;
    if (under_way && ctx->direction == KMSE_SEAL)
        return kmse_fail(why, KMSE_R_STATE,
                         "an encrypting context cannot be copied within a "
                         "message: the nonce would be used twice");
    KMSE_TRY(copy_aad(copy, ctx));
    if (under_way && ctx->used_version != 0)
        return copy_open(copy, ctx, why);
    return KMSE_OK;
}

static void *dupctx(void *vctx)
{
    const struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_cipher_ctx *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *ctx;
    copy->lease = NULL;
    copy->aad.large = NULL;
    if (copy->ring_is_owned)
        kmse_ring_acquire(copy->ring);

    struct kmse_why why = {""};
    kmse_st st = copy_message(copy, ctx, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->core, st, &why);
        freectx(copy);
        return NULL;
    }
    return copy;
}

/* --- init --------------------------------------------------------------- */

void kmse_cipher_set_key_name(struct kmse_cipher_ctx *ctx, const char *name)
{
    if (strcmp(ctx->key_name, name) == 0)
        return;
    snprintf(ctx->key_name, sizeof(ctx->key_name), "%s", name);
    ctx->key = NULL;
}

/*
 * The 32 key bytes are a name padded with NUL. Bytes that are none may be a
 * real AES key, so they are never printed.
 */
static kmse_st read_key_bytes(char name[KMSE_KEY_NAME_MAX + 1],
                              const unsigned char *key, size_t key_len,
                              struct kmse_why *why)
{
    size_t len = 0;
    if (key_len == KMSE_DATA_KEY_LEN) {
        len = strnlen((const char *)key, KMSE_DATA_KEY_LEN);
        size_t i = len;
        while (i < KMSE_DATA_KEY_LEN && key[i] == '\0')
            i++;
        if (i == KMSE_DATA_KEY_LEN && len <= KMSE_KEY_NAME_MAX) {
            memcpy(name, key, len);
            name[len] = '\0';
            if (len == 0 || kmse_key_name_is_valid(name))
                return KMSE_OK;
            OPENSSL_cleanse(name, len);
        }
    }
    return kmse_fail(why, KMSE_R_KEY_NAME,
                     "the EVP key must be a key's name, padded with NUL to %d "
                     "bytes (zeros: the default key); with openssl enc, -K "
                     "and the name in hex, not a password",
                     KMSE_DATA_KEY_LEN);
}

static void reset_message(struct kmse_cipher_ctx *ctx)
{
    ctx->used_version = 0;
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
        char name[KMSE_KEY_NAME_MAX + 1];
        kmse_st st = read_key_bytes(name, key, key_len, &why);
        if (!kmse_is_ok(st))
            return CIPHER_FAIL(ctx, st, &why);
        kmse_cipher_set_key_name(ctx, name);
    }
    if (!kmse_cipher_set_ctx_params(ctx, params)) {
        ctx->state = KMSE_CIPHER_FAILED;
        return 0;
    }
    return 1;
}

/* The IV length is 0: a caller that has an IV all the same is not asked. */
static int encrypt_init(void *vctx, const unsigned char *key, size_t key_len,
                        const unsigned char *iv, size_t iv_len,
                        const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, KMSE_SEAL, key, key_len, params);
}

static int decrypt_init(void *vctx, const unsigned char *key, size_t key_len,
                        const unsigned char *iv, size_t iv_len,
                        const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, KMSE_OPEN, key, key_len, params);
}

static kmse_st find_key(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    if (ctx->key != NULL)
        return KMSE_OK;
    return kmse_ring_find(ctx->ring, ctx->key_name, &ctx->key, why);
}

static kmse_st wrong_version(const struct kmse_cipher_ctx *ctx,
                             uint32_t version, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_KEY_VERSION,
                     "key %s: the message's version is %u, and key-version "
                     "asks for %u",
                     kmse_key_name(ctx->key), version, ctx->wanted_version);
}

/* --- writing ------------------------------------------------------------ */

/* Bind the key and draw the nonce: at the first byte, not at init. */
static kmse_st seal_begin(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    uint8_t nonce[KMSE_NONCE_LEN];
    KMSE_TRY(find_key(ctx, why));
    KMSE_TRY(kmse_lease_newest(&ctx->lease, ctx->key, why));
    const struct kmse_datakey *datakey = ctx->lease->datakey;
    if (ctx->wanted_version != 0 && ctx->wanted_version != datakey->version)
        return wrong_version(ctx, datakey->version, why);
    KMSE_TRY(kmse_lease_take_nonce(ctx->lease, nonce, why));
    KMSE_TRY(kmse_seal_start(&ctx->seal, ctx->lease->gcm, datakey->id,
                             datakey->version, nonce));
    ctx->used_version = datakey->version;
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
    KMSE_TRY(kmse_lease_take_bytes(ctx->lease, in_len, why));
    return kmse_seal_update(&ctx->seal, out, out_size, out_len, in, in_len);
}

static kmse_st seal_final(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size,
                          struct kmse_why *why)
{
    KMSE_TRY(seal_begin_if_ready(ctx, why));
    return kmse_seal_final(&ctx->seal, out, out_size, out_len);
}

/* --- reading ------------------------------------------------------------ */

static kmse_st bind_header(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    struct kmse_header header;
    KMSE_TRY(kmse_header_parse(&header, ctx->header, KMSE_HEADER_LEN));
    KMSE_TRY(find_key(ctx, why));
    if (ctx->wanted_version != 0 && ctx->wanted_version != header.key_version)
        return wrong_version(ctx, header.key_version, why);
    KMSE_TRY(
        kmse_lease_version(&ctx->lease, ctx->key, header.key_version, why));
    ctx->used_version = header.key_version;
    return KMSE_OK;
}

static const uint8_t *aad_bytes(const struct kmse_cipher_ctx *ctx)
{
    return ctx->aad.len <= KMSE_AAD_INLINE ? ctx->aad.small : ctx->aad.large;
}

static kmse_st open_begin(struct kmse_cipher_ctx *ctx, struct kmse_why *why)
{
    KMSE_TRY(bind_header(ctx, why));
    KMSE_TRY(kmse_open_start(&ctx->open, ctx->lease->gcm,
                             ctx->lease->datakey->id, ctx->header));
    return kmse_open_aad(&ctx->open, aad_bytes(ctx), ctx->aad.len);
}

static kmse_st open_aad(struct kmse_cipher_ctx *ctx, const uint8_t *aad,
                        size_t aad_len, struct kmse_why *why)
{
    struct kmse_aad_buffer *buffer = &ctx->aad;
    if (aad_len > KMSE_AAD_MAX - buffer->len)
        return kmse_fail(why, KMSE_R_AAD_TOO_LONG, "at most %d bytes",
                         KMSE_AAD_MAX);
    size_t len = buffer->len + aad_len;
    if (len <= KMSE_AAD_INLINE) {
        memcpy(buffer->small + buffer->len, aad, aad_len);
    } else {
        if (buffer->large == NULL)
            buffer->large = malloc(KMSE_AAD_MAX);
        if (buffer->large == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        if (buffer->len <= KMSE_AAD_INLINE)
            memcpy(buffer->large, buffer->small, buffer->len);
        memcpy(buffer->large + buffer->len, aad, aad_len);
    }
    buffer->len = len;
    return KMSE_OK;
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
    return kmse_open_update(&ctx->open, out, out_size, out_len, in, in_len);
}

static kmse_st open_final(struct kmse_cipher_ctx *ctx, unsigned char *out,
                          size_t *out_len, size_t out_size)
{
    *out_len = 0;
    if (ctx->header_len < KMSE_HEADER_LEN)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    return kmse_open_final(&ctx->open, out, out_size, out_len);
}

/* --- EVP's calls -------------------------------------------------------- */

static kmse_st check_takes_data(const struct kmse_cipher_ctx *ctx,
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
        return open_aad(ctx, aad, aad_len, why);
    }
    KMSE_TRY(seal_begin_if_ready(ctx, why));
    return kmse_seal_aad(&ctx->seal, aad, aad_len);
}

/* A message under way ends when its version is taken away. */
static kmse_st check_lease(const struct kmse_cipher_ctx *ctx,
                           struct kmse_why *why)
{
    return ctx->used_version != 0 ? kmse_lease_check(ctx->lease, why) : KMSE_OK;
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

static int update(void *vctx, unsigned char *out, size_t *out_len,
                  size_t out_size, const unsigned char *in, size_t in_len)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    kmse_st st = check_takes_data(ctx, &why);
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

static int final(void *vctx, unsigned char *out, size_t *out_len,
                 size_t out_size)
{
    struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = check_takes_data(ctx, &why);
    if (kmse_is_ok(st))
        st = check_lease(ctx, &why);
    if (kmse_is_ok(st))
        st = ctx->direction == KMSE_SEAL
                 ? seal_final(ctx, out, out_len, out_size, &why)
                 : open_final(ctx, out, out_len, out_size);
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
    if (out_size < KMSE_OVERHEAD || out_size - KMSE_OVERHEAD < in_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    KMSE_TRY(seal_update(ctx, out, &body_len, out_size, in, in_len, why));
    kmse_st st = kmse_seal_final(&ctx->seal, out + body_len,
                                 out_size - body_len, &tag_len);
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
    if (in_len < KMSE_OVERHEAD)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    memcpy(ctx->header, in, KMSE_HEADER_LEN);
    KMSE_TRY(bind_header(ctx, why));
    return kmse_open_whole(ctx->lease->gcm, ctx->lease->datakey->id,
                           aad_bytes(ctx), ctx->aad.len, out, out_size, out_len,
                           in, in_len);
}

static kmse_st whole(struct kmse_cipher_ctx *ctx, unsigned char *out,
                     size_t *out_len, size_t out_size, const unsigned char *in,
                     size_t in_len, struct kmse_why *why)
{
    KMSE_TRY(check_takes_data(ctx, why));
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

static int one_call(void *vctx, unsigned char *out, size_t *out_len,
                    size_t out_size, const unsigned char *in, size_t in_len)
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

const OSSL_DISPATCH kmse_cipher_functions[] = {
    {OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_CIPHER_FREECTX, (void (*)(void))freectx},
    {OSSL_FUNC_CIPHER_DUPCTX, (void (*)(void))dupctx},
    {OSSL_FUNC_CIPHER_ENCRYPT_INIT, (void (*)(void))encrypt_init},
    {OSSL_FUNC_CIPHER_DECRYPT_INIT, (void (*)(void))decrypt_init},
    {OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))update},
    {OSSL_FUNC_CIPHER_FINAL, (void (*)(void)) final},
    {OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))one_call},
    {OSSL_FUNC_CIPHER_GET_PARAMS, (void (*)(void))kmse_cipher_get_params},
    {OSSL_FUNC_CIPHER_GETTABLE_PARAMS,
     (void (*)(void))kmse_cipher_gettable_params},
    {OSSL_FUNC_CIPHER_GET_CTX_PARAMS,
     (void (*)(void))kmse_cipher_get_ctx_params},
    {OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,
     (void (*)(void))kmse_cipher_gettable_ctx_params},
    {OSSL_FUNC_CIPHER_SET_CTX_PARAMS,
     (void (*)(void))kmse_cipher_set_ctx_params},
    {OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,
     (void (*)(void))kmse_cipher_settable_ctx_params},
    {0, NULL},
};
