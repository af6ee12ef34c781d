/* SPDX-License-Identifier: Apache-2.0 */
/* EVP_CipherInit_SKEY, from OpenSSL 3.5 on: a key by its object. */
#include "glue/cipher.h"
#include "glue/skey.h"

/* OpenSSL has seen to it that both are of one instance of the provider. */
static kmse_st take_key(struct kmse_cipher_ctx *ctx,
                        const struct kmse_skey *skey, struct kmse_why *why)
{
    struct kmse_key *key = NULL;
    KMSE_TRY(kmse_pkey_find(skey->pkey, &key, why));
    kmse_binding_use(&ctx->binding, key, skey->pkey->reference.version);
    return KMSE_OK;
}

/* No key: the one of the init before, as with raw bytes. */
static int init(struct kmse_cipher_ctx *ctx, const struct kmse_skey *skey,
                OSSL_FUNC_cipher_encrypt_init_fn *init_without_key,
                const OSSL_PARAM params[])
{
    if (skey != NULL) {
        struct kmse_why why = {""};
        kmse_st st = take_key(ctx, skey, &why);
        if (!kmse_is_ok(st))
            return CIPHER_FAIL(ctx, st, &why);
    }
    return init_without_key(ctx, NULL, 0, NULL, 0, params);
}

int kmse_cipher_encrypt_skey_init(void *vctx, void *skeydata,
                                  const unsigned char *iv, size_t iv_len,
                                  const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, skeydata, kmse_cipher_encrypt_init, params);
}

int kmse_cipher_decrypt_skey_init(void *vctx, void *skeydata,
                                  const unsigned char *iv, size_t iv_len,
                                  const OSSL_PARAM params[])
{
    (void)iv;
    (void)iv_len;
    return init(vctx, skeydata, kmse_cipher_decrypt_init, params);
}
