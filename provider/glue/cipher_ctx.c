/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of our ciphers, and their init. */
#include "glue/cipher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "glue/error.h"
#include "glue/legacy.h"
#include "keyring/keyfile.h"

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

void *kmse_cipher_newctx(struct kmse_provctx *provctx,
                         const struct kmse_cipher_kind *kind)
{
    struct kmse_cipher_ctx *ctx = calloc(1, kind->ctx_len);
    if (ctx == NULL)
        return NULL;
    ctx->kind = kind;
    ctx->core = &provctx->core;
    struct kmse_why why = {""};
    kmse_st st = find_ring(ctx, provctx->ring, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->core, st, &why);
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

/* A message being read goes on in both, each with a lease of its own. */
static kmse_st copy_open(struct kmse_cipher_ctx *copy,
                         const struct kmse_cipher_ctx *ctx,
                         struct kmse_why *why)
{
    KMSE_TRY(
        kmse_lease_version(&copy->lease, ctx->key, ctx->used_version, why));
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

void *kmse_cipher_dupctx(void *vctx)
{
    const struct kmse_cipher_ctx *ctx = vctx;
    struct kmse_cipher_ctx *copy = malloc(ctx->kind->ctx_len);
    if (copy == NULL)
        return NULL;
    memcpy(copy, ctx, ctx->kind->ctx_len);
    copy->lease = NULL;
    copy->aad.large = NULL;
    if (ctx->kind->disown != NULL)
        ctx->kind->disown(copy);
    if (copy->ring_is_owned)
        kmse_ring_acquire(copy->ring);

    struct kmse_why why = {""};
    kmse_st st = copy_message(copy, ctx, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->core, st, &why);
        kmse_cipher_freectx(copy);
        return NULL;
    }
    return copy;
}

/* --- init --------------------------------------------------------------- */

/* Which was confined by a key that is not the one any more. */
static void forget_version_of_key(struct kmse_cipher_ctx *ctx)
{
    if (ctx->version_is_keys)
        ctx->wanted_version = 0;
    ctx->version_is_keys = false;
}

void kmse_cipher_set_key_name(struct kmse_cipher_ctx *ctx, const char *name)
{
    forget_version_of_key(ctx);
    if (strcmp(ctx->key_name, name) == 0)
        return;
    snprintf(ctx->key_name, sizeof(ctx->key_name), "%s", name);
    ctx->key = NULL;
}

void kmse_cipher_set_key(struct kmse_cipher_ctx *ctx, struct kmse_key *key,
                         uint32_t version)
{
    forget_version_of_key(ctx);
    snprintf(ctx->key_name, sizeof(ctx->key_name), "%s", kmse_key_name(key));
    ctx->key = key;
    if (version == 0)
        return;
    ctx->wanted_version = version;
    ctx->version_is_keys = true;
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
