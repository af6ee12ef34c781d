/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: their form, and the keys that are derived with them. */
#include "keyring/handle.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "keyring/keyfile.h"

enum {
    SECRET_LEN = 16,
    CHECK_LEN = 5,
    RAW_LEN = SECRET_LEN + CHECK_LEN,
    MAGIC_LEN = sizeof(KMSE_HANDLE_MAGIC) - 1,
    TEXT_LEN = KMSE_HANDLE_LEN - MAGIC_LEN,
    NUMBER_LEN = 4,
};
_Static_assert(RAW_LEN * 4 == TEXT_LEN * 3, "base64 without padding");

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                               "uvwxyz0123456789-_";

bool kmse_handle_is_one(const uint8_t *bytes, size_t len)
{
    if (len != KMSE_HANDLE_LEN
        || memcmp(bytes, KMSE_HANDLE_MAGIC, MAGIC_LEN) != 0)
        return false;
    for (size_t i = MAGIC_LEN; i < KMSE_HANDLE_LEN; i++) {
        if (bytes[i] == '\0' || strchr(ALPHABET, bytes[i]) == NULL)
            return false;
    }
    return true;
}

/* The two characters in which base64url is another base64. */
static void swap(char *text, const char from[2], const char to[2])
{
    for (; *text != '\0'; text++) {
        for (size_t i = 0; i < 2; i++) {
            if (*text == from[i]) {
                *text = to[i];
                break;
            }
        }
    }
}

static kmse_st encode(uint8_t handle[KMSE_HANDLE_LEN],
                      const uint8_t raw[RAW_LEN])
{
    char *text = NULL;
    KMSE_TRY(kmse_base64_encode(&text, raw, RAW_LEN));
    swap(text, "+/", "-_");
    memcpy(handle, KMSE_HANDLE_MAGIC, MAGIC_LEN);
    memcpy(handle + MAGIC_LEN, text, TEXT_LEN);
    OPENSSL_cleanse(text, TEXT_LEN);
    free(text);
    return KMSE_OK;
}

static kmse_st decode(uint8_t raw[RAW_LEN],
                      const uint8_t handle[KMSE_HANDLE_LEN])
{
    char text[TEXT_LEN + 1];
    uint8_t *bytes = NULL;
    size_t len = 0;
    memcpy(text, handle + MAGIC_LEN, TEXT_LEN);
    text[TEXT_LEN] = '\0';
    swap(text, "-_", "+/");
    kmse_st st = kmse_base64_decode(&bytes, &len, text);
    OPENSSL_cleanse(text, sizeof(text));
    if (kmse_is_ok(st) && len == RAW_LEN)
        memcpy(raw, bytes, RAW_LEN);
    else
        st = KMSE_ERR(KMSE_R_HANDLE);
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, len);
    free(bytes);
    return st;
}

/* raw: the secret is there, the check is made. */
static kmse_st make_check(uint8_t check[CHECK_LEN], struct kmse_crypto *crypto,
                          const uint8_t secret[SECRET_LEN],
                          const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version)
{
    enum { LABEL_LEN = sizeof(KMSE_INFO_HANDLE) - 1 };
    uint8_t text[LABEL_LEN + SECRET_LEN + KMSE_KEY_ID_LEN + NUMBER_LEN];
    uint8_t hash[KMSE_HMAC_LEN];
    uint8_t *at = text;
    memcpy(at, KMSE_INFO_HANDLE, LABEL_LEN);
    memcpy(at += LABEL_LEN, secret, SECRET_LEN);
    memcpy(at += SECRET_LEN, id, KMSE_KEY_ID_LEN);
    kmse_store_be32(at + KMSE_KEY_ID_LEN, version);
    kmse_st st = kmse_crypto_sha256(crypto, hash, text, sizeof(text));
    OPENSSL_cleanse(text, sizeof(text));
    if (kmse_is_ok(st))
        memcpy(check, hash, CHECK_LEN);
    return st;
}

kmse_st kmse_handle_make(uint8_t handle[KMSE_HANDLE_LEN],
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                         const struct kmse_secret *data_key)
{
    uint8_t derived[KMSE_SECRET_LEN], raw[RAW_LEN];
    KMSE_TRY(kmse_datakey_derive(derived, crypto, data_key, KMSE_INFO_HANDLE,
                                 id, version));
    memcpy(raw, derived, SECRET_LEN);
    OPENSSL_cleanse(derived, sizeof(derived));
    kmse_st st = make_check(raw + SECRET_LEN, crypto, raw, id, version);
    if (kmse_is_ok(st))
        st = encode(handle, raw);
    OPENSSL_cleanse(raw, sizeof(raw));
    return st;
}

kmse_st kmse_handle_fits(bool *fits, const uint8_t handle[KMSE_HANDLE_LEN],
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version)
{
    uint8_t raw[RAW_LEN], check[CHECK_LEN];
    KMSE_TRY(decode(raw, handle));
    kmse_st st = make_check(check, crypto, raw, id, version);
    *fits = kmse_is_ok(st)
            && CRYPTO_memcmp(check, raw + SECRET_LEN, CHECK_LEN) == 0;
    OPENSSL_cleanse(raw, sizeof(raw));
    return st;
}

/* As every key of ours, and the handle, whole, behind the version. */
static kmse_st derive(uint8_t aes_key[KMSE_SECRET_LEN],
                      const uint8_t handle[KMSE_HANDLE_LEN],
                      struct kmse_crypto *crypto,
                      const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                      const struct kmse_secret *data_key)
{
    enum { LABEL_LEN = sizeof(KMSE_INFO_DROP_IN) - 1 };
    uint8_t info[LABEL_LEN + KMSE_KEY_ID_LEN + NUMBER_LEN + KMSE_HANDLE_LEN];
    uint8_t *at = info;
    memcpy(at, KMSE_INFO_DROP_IN, LABEL_LEN);
    memcpy(at += LABEL_LEN, id, KMSE_KEY_ID_LEN);
    kmse_store_be32(at += KMSE_KEY_ID_LEN, version);
    memcpy(at + NUMBER_LEN, handle, KMSE_HANDLE_LEN);
    kmse_st st =
        kmse_crypto_hkdf(crypto, aes_key, KMSE_SECRET_LEN, data_key->bytes,
                         KMSE_SECRET_LEN, info, sizeof(info));
    OPENSSL_cleanse(info, sizeof(info));
    return st;
}

kmse_st kmse_handle_derive(uint8_t aes_key[KMSE_SECRET_LEN],
                           const uint8_t handle[KMSE_HANDLE_LEN],
                           struct kmse_crypto *crypto,
                           const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                           const struct kmse_secret *data_key)
{
    uint8_t own[KMSE_HANDLE_LEN];
    KMSE_TRY(kmse_handle_make(own, crypto, id, version, data_key));
    bool proven = CRYPTO_memcmp(own, handle, KMSE_HANDLE_LEN) == 0;
    OPENSSL_cleanse(own, sizeof(own));
    if (!proven)
        return KMSE_ERR(KMSE_R_HANDLE);
    return derive(aes_key, handle, crypto, id, version, data_key);
}
