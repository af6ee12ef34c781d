/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC-SHA256 in pieces. */
#include "base/hmac.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/crypto_internal.h"

struct kmse_hmac {
    EVP_MAC_CTX *mac;
};

static bool key_mac(struct kmse_hmac *hmac, OSSL_LIB_CTX *libctx,
                    const uint8_t *key, size_t key_len)
{
    char digest[] = "SHA2-256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "HMAC", NULL);
    if (mac != NULL)
        hmac->mac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    return hmac->mac != NULL
           && EVP_MAC_init(hmac->mac, key, key_len, params) == 1;
}

kmse_st kmse_hmac_new(struct kmse_hmac **hmac, struct kmse_crypto *crypto,
                      const uint8_t *key, size_t key_len)
{
    OSSL_LIB_CTX *libctx = NULL;
    struct kmse_hmac *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = kmse_crypto_lock(crypto, &libctx);
    if (kmse_is_ok(st)) {
        if (!key_mac(made, libctx, key, key_len))
            st = KMSE_ERR(KMSE_R_CRYPTO);
        kmse_crypto_unlock(crypto);
    }
    if (!kmse_is_ok(st)) {
        kmse_hmac_free(made);
        return st;
    }
    *hmac = made;
    return KMSE_OK;
}

void kmse_hmac_free(struct kmse_hmac *hmac)
{
    if (hmac == NULL)
        return;
    EVP_MAC_CTX_free(hmac->mac);
    free(hmac);
}

kmse_st kmse_hmac_dup(struct kmse_hmac **copy, const struct kmse_hmac *hmac)
{
    struct kmse_hmac *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->mac = EVP_MAC_CTX_dup(hmac->mac);
    if (made->mac == NULL) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    *copy = made;
    return KMSE_OK;
}

kmse_st kmse_hmac_update(struct kmse_hmac *hmac, const uint8_t *data,
                         size_t data_len)
{
    if (data_len > 0 && EVP_MAC_update(hmac->mac, data, data_len) != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return KMSE_OK;
}

kmse_st kmse_hmac_final(struct kmse_hmac *hmac, uint8_t out[KMSE_HMAC_LEN])
{
    size_t out_len = 0;
    if (EVP_MAC_final(hmac->mac, out, &out_len, KMSE_HMAC_LEN) != 1
        || out_len != KMSE_HMAC_LEN)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return KMSE_OK;
}
