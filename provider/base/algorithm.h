/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_ALGORITHM_H
#define KMSE_BASE_ALGORITHM_H

#include <openssl/core_dispatch.h>
#include <openssl/types.h>

#include "base/crypto.h"

/*
 * A cipher of somebody else's provider, called through that provider's own
 * dispatch table: a nested EVP_CIPHER_CTX costs 40 ns more for each message,
 * and a message of 32 bytes costs 160 ns in all. Immutable once fetched.
 */
struct kmse_algorithm {
    EVP_CIPHER *cipher; /* keeps the provider loaded; NULL: there is none */
    void *provctx;
    OSSL_FUNC_cipher_newctx_fn *newctx;
    OSSL_FUNC_cipher_freectx_fn *freectx;
    OSSL_FUNC_cipher_dupctx_fn *dupctx; /* may be NULL */
    OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
    OSSL_FUNC_cipher_decrypt_init_fn *decrypt_init;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_cipher_fn *cipher_once; /* may be NULL */
    OSSL_FUNC_cipher_get_ctx_params_fn *get_ctx_params;
    OSSL_FUNC_cipher_set_ctx_params_fn *set_ctx_params;
    OSSL_FUNC_cipher_gettable_ctx_params_fn *gettable_ctx_params; /* or NULL */
    OSSL_FUNC_cipher_settable_ctx_params_fn *settable_ctx_params; /* or NULL */
};

/* Not one of ours. KMSE_R_CRYPTO_UNAVAILABLE. */
kmse_st kmse_algorithm_fetch(struct kmse_algorithm *algorithm,
                             OSSL_LIB_CTX *libctx,
                             const char *name) KMSE_MUST_CHECK;
void kmse_algorithm_wipe(struct kmse_algorithm *algorithm);

/*
 * Several at once, for who has a struct kmse_crypto, with its own choice of a
 * library context; at the first call, by whichever thread. One that is not
 * there is left empty. The caller wipes them before the crypto is freed.
 */
struct kmse_algorithms {
    const char *const *names;
    struct kmse_algorithm *algorithms; /* as many */
    size_t count;
    _Atomic bool ready;
};
kmse_st kmse_algorithms_ready(struct kmse_algorithms *algorithms,
                              struct kmse_crypto *crypto) KMSE_MUST_CHECK;

#endif
