/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CRYPTO_INTERNAL_H
#define KMSE_BASE_CRYPTO_INTERNAL_H

#include <openssl/core_dispatch.h>

#include "base/crypto.h"

/* The functions of the fetched AES-256-GCM, from its provider's own table. */
struct kmse_gcm_algorithm {
    EVP_CIPHER *cipher; /* keeps the provider loaded */
    void *provctx;
    OSSL_FUNC_cipher_newctx_fn *newctx;
    OSSL_FUNC_cipher_freectx_fn *freectx;
    OSSL_FUNC_cipher_dupctx_fn *dupctx; /* may be NULL */
    OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
    OSSL_FUNC_cipher_decrypt_init_fn *decrypt_init;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_get_ctx_params_fn *get_ctx_params;
    OSSL_FUNC_cipher_set_ctx_params_fn *set_ctx_params;
};

kmse_st kmse_gcm_algorithm_fetch(struct kmse_gcm_algorithm *algorithm,
                                 OSSL_LIB_CTX *libctx) KMSE_MUST_CHECK;
void kmse_gcm_algorithm_wipe(struct kmse_gcm_algorithm *algorithm);

/* Fetches on first use; every user of struct kmse_crypto goes through it. */
kmse_st kmse_crypto_gcm(struct kmse_crypto *crypto,
                        const struct kmse_gcm_algorithm **gcm) KMSE_MUST_CHECK;

#endif
