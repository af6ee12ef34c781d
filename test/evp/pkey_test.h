/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_PKEY_TEST_H
#define KMSE_TEST_PKEY_TEST_H

#include "evp_test.h"

#include <openssl/err.h>
#include <openssl/store.h>

#include "kms_envelope/params.h"

/* The first key of that URI, or NULL with the reason in the error queue. */
static inline EVP_PKEY *pkey_load(OSSL_LIB_CTX *libctx, const char *uri)
{
    EVP_PKEY *pkey = NULL;
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    while (store != NULL && pkey == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL)
            pkey = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return pkey;
}

static inline EVP_PKEY *pkey_expect(OSSL_LIB_CTX *libctx, const char *uri)
{
    EVP_PKEY *pkey = pkey_load(libctx, uri);
    EXPECT(pkey != NULL);
    return pkey;
}

static inline unsigned pkey_number(const EVP_PKEY *pkey, const char *name)
{
    unsigned value = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(name, &value),
                           OSSL_PARAM_construct_end()};
    EXPECT(EVP_PKEY_get_params(pkey, params));
    return value;
}

/*
 * One message with one call. *out_len: the room in out, then what came. aad may
 * have no bytes. 1, or 0 with the reason in the error queue.
 */
static inline int pkey_crypt(OSSL_LIB_CTX *libctx, EVP_PKEY *pkey, int encrypt,
                             struct evp_text aad, struct evp_text in,
                             uint8_t *out, size_t *out_len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(KMSE_PARAM_AAD, NULL, aad.len), OSSL_PARAM_END};
    uint8_t aad_copy[64];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, pkey, NULL);
    assert_non_null(ctx);
    assert_true(aad.len <= sizeof(aad_copy));
    if (aad.bytes != NULL) {
        memcpy(aad_copy, aad.bytes, aad.len);
        params[0].data = aad_copy;
    }
    OSSL_PARAM *used = aad.bytes != NULL ? params : NULL;
    int ok =
        encrypt
            ? EVP_PKEY_encrypt_init_ex(ctx, used) == 1
                  && EVP_PKEY_encrypt(ctx, out, out_len, in.bytes, in.len) == 1
            : EVP_PKEY_decrypt_init_ex(ctx, used) == 1
                  && EVP_PKEY_decrypt(ctx, out, out_len, in.bytes, in.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

#endif
