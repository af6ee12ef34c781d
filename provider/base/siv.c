/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-SIV of RFC 5297: S2V over CMAC, then CTR. */
#include "base/siv.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/crypto_internal.h"
#include "kms_envelope/params.h"

enum {
    BLOCK_LEN = KMSE_SIV_TAG_LEN,
    HALF_KEY_LEN = KMSE_SIV_KEY_LEN / 2, /* CMAC's key, then CTR's */
    /* The bits that RFC 5297, 2.5 takes out of the counter. */
    COUNTER_BYTE_A = 8,
    COUNTER_BYTE_B = 12,
    COUNTER_MASK = 0x7F,
    PIECE_LEN_MAX = 1 << 30, /* EVP's lengths are int */
};

/* A host's context mirrors ourselves, and a drop-in AES of ours waits for us.
 */
#define NOT_OURS "provider!=" KMSE_PROVIDER_NAME

struct kmse_siv {
    EVP_MAC_CTX *cmac; /* keyed; a duplicate takes the bytes */
    EVP_CIPHER_CTX *ctr;
    uint8_t doubled_zero[BLOCK_LEN]; /* dbl(CMAC(zero block)) */
};

/* --- CMAC --------------------------------------------------------------- */

/* data: up to three strings, one after the other. */
struct part {
    const uint8_t *bytes;
    size_t len;
};

static kmse_st cmac(const struct kmse_siv *siv, uint8_t out[BLOCK_LEN],
                    const struct part *parts, size_t part_count)
{
    EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(siv->cmac);
    if (mac == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    bool ok = true;
    for (size_t i = 0; i < part_count && ok; i++)
        ok = parts[i].len == 0
             || EVP_MAC_update(mac, parts[i].bytes, parts[i].len) == 1;
    size_t out_len = 0;
    ok = ok && EVP_MAC_final(mac, out, &out_len, BLOCK_LEN) == 1
         && out_len == BLOCK_LEN;
    EVP_MAC_CTX_free(mac);
    return ok ? KMSE_OK : KMSE_ERR(KMSE_R_CRYPTO);
}

/* Times x in GF(2^128) (RFC 5297, 2.3), in the same time for every block. */
static void double_block(uint8_t block[BLOCK_LEN])
{
    enum { POLYNOMIAL = 0x87, TOP_BIT = 7, BYTE_MASK = 0xFF };
    unsigned carry = block[0] >> TOP_BIT;
    unsigned reduce = (0U - carry) & POLYNOMIAL;
    for (size_t i = 0; i + 1 < BLOCK_LEN; i++)
        block[i] =
            (uint8_t)((block[i] << 1 | block[i + 1] >> TOP_BIT) & BYTE_MASK);
    block[BLOCK_LEN - 1] =
        (uint8_t)((block[BLOCK_LEN - 1] << 1 & BYTE_MASK) ^ reduce);
}

static void xor_block(uint8_t block[BLOCK_LEN], const uint8_t *with, size_t len)
{
    for (size_t i = 0; i < len; i++)
        block[i] ^= with[i];
}

/* --- S2V (RFC 5297, 2.4) ------------------------------------------------ */

static kmse_st s2v(const struct kmse_siv *siv, const struct kmse_siv_ad *ad,
                   uint8_t tag[BLOCK_LEN], const uint8_t *in, size_t len)
{
    enum { PADDING = 0x80 };
    const struct part strings[] = {{ad->first, ad->first_len},
                                   {ad->second, ad->second_len}};
    uint8_t d[BLOCK_LEN];
    KMSE_TRY(cmac(siv, d, strings, sizeof(strings) / sizeof(strings[0])));
    xor_block(d, siv->doubled_zero, BLOCK_LEN);

    size_t lead = len >= BLOCK_LEN ? len - BLOCK_LEN : 0;
    if (len < BLOCK_LEN) {
        double_block(d);
        d[len] ^= PADDING;
    }
    if (len > 0)
        xor_block(d, in + lead, len - lead);
    const struct part last[] = {{in, lead}, {d, BLOCK_LEN}};
    kmse_st st = cmac(siv, tag, last, sizeof(last) / sizeof(last[0]));
    OPENSSL_cleanse(d, sizeof(d));
    return st;
}

static kmse_st ctr(struct kmse_siv *siv, const uint8_t tag[BLOCK_LEN],
                   uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t counter[BLOCK_LEN];
    memcpy(counter, tag, BLOCK_LEN);
    counter[COUNTER_BYTE_A] &= COUNTER_MASK;
    counter[COUNTER_BYTE_B] &= COUNTER_MASK;
    if (EVP_EncryptInit_ex2(siv->ctr, NULL, NULL, counter, NULL) != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    while (len > 0) {
        int piece_len = len < PIECE_LEN_MAX ? (int)len : PIECE_LEN_MAX;
        int out_len = 0;
        if (EVP_EncryptUpdate(siv->ctr, out, &out_len, in, piece_len) != 1
            || out_len != piece_len)
            return KMSE_ERR(KMSE_R_CRYPTO);
        out += piece_len;
        in += piece_len;
        len -= (size_t)piece_len;
    }
    return KMSE_OK;
}

/* --- life --------------------------------------------------------------- */

static bool key_cmac(struct kmse_siv *siv, OSSL_LIB_CTX *libctx,
                     const uint8_t key[HALF_KEY_LEN])
{
    char cipher[] = "AES-256-CBC", properties[] = NOT_OURS;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES, properties,
                                         0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(libctx, "CMAC", NULL);
    if (mac != NULL)
        siv->cmac = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    return siv->cmac != NULL
           && EVP_MAC_init(siv->cmac, key, HALF_KEY_LEN, params) == 1;
}

static bool key_ctr(struct kmse_siv *siv, OSSL_LIB_CTX *libctx,
                    const uint8_t key[HALF_KEY_LEN])
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "AES-256-CTR", NOT_OURS);
    siv->ctr = EVP_CIPHER_CTX_new();
    bool ok = cipher != NULL && siv->ctr != NULL
              && EVP_EncryptInit_ex2(siv->ctr, cipher, key, NULL, NULL) == 1;
    EVP_CIPHER_free(cipher);
    return ok;
}

/* What a failed fetch leaves in the error queue means nothing to the host. */
static kmse_st set_keys(struct kmse_siv *siv, struct kmse_crypto *crypto,
                        const uint8_t key[KMSE_SIV_KEY_LEN])
{
    OSSL_LIB_CTX *libctx = NULL;
    KMSE_TRY(kmse_crypto_lock(crypto, &libctx));
    ERR_set_mark();
    bool ok =
        key_cmac(siv, libctx, key) && key_ctr(siv, libctx, key + HALF_KEY_LEN);
    ERR_pop_to_mark();
    kmse_crypto_unlock(crypto);
    return ok ? KMSE_OK : KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
}

kmse_st kmse_siv_new(struct kmse_siv **siv, struct kmse_crypto *crypto,
                     const uint8_t key[KMSE_SIV_KEY_LEN])
{
    static const uint8_t zero[BLOCK_LEN];
    const struct part block = {zero, BLOCK_LEN};
    struct kmse_siv *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = set_keys(made, crypto, key);
    if (kmse_is_ok(st))
        st = cmac(made, made->doubled_zero, &block, 1);
    if (!kmse_is_ok(st)) {
        kmse_siv_free(made);
        return st;
    }
    double_block(made->doubled_zero);
    *siv = made;
    return KMSE_OK;
}

void kmse_siv_free(struct kmse_siv *siv)
{
    if (siv == NULL)
        return;
    EVP_MAC_CTX_free(siv->cmac);
    EVP_CIPHER_CTX_free(siv->ctr);
    OPENSSL_cleanse(siv->doubled_zero, sizeof(siv->doubled_zero));
    free(siv);
}

kmse_st kmse_siv_encrypt(struct kmse_siv *siv, const struct kmse_siv_ad *ad,
                         uint8_t tag[KMSE_SIV_TAG_LEN], uint8_t *out,
                         const uint8_t *in, size_t len)
{
    kmse_st st = s2v(siv, ad, tag, in, len);
    if (kmse_is_ok(st))
        st = ctr(siv, tag, out, in, len);
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(out, len);
    return st;
}

kmse_st kmse_siv_decrypt(struct kmse_siv *siv, const struct kmse_siv_ad *ad,
                         const uint8_t tag[KMSE_SIV_TAG_LEN], uint8_t *out,
                         const uint8_t *in, size_t len)
{
    uint8_t wanted[KMSE_SIV_TAG_LEN];
    kmse_st st = ctr(siv, tag, out, in, len);
    if (kmse_is_ok(st))
        st = s2v(siv, ad, wanted, out, len);
    if (kmse_is_ok(st) && CRYPTO_memcmp(wanted, tag, sizeof(wanted)) != 0)
        st = KMSE_ERR(KMSE_R_TAG_MISMATCH);
    OPENSSL_cleanse(wanted, sizeof(wanted));
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(out, len);
    return st;
}
