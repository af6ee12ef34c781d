/* SPDX-License-Identifier: Apache-2.0 */
/* The key of one stream. */
#include "keyring/ring.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "keyring/key.h"

enum {
    LABEL_LEN = sizeof(KMSE_INFO_STREAM) - 1,
    ID_AT = LABEL_LEN,
    VERSION_AT = ID_AT + KMSE_KEY_ID_LEN,
    SALT_AT = VERSION_AT + 4,
    INFO_LEN = SALT_AT + KMSE_STREAM_SALT_LEN,
};

kmse_st kmse_datakey_derive_stream(uint8_t out[KMSE_GCM_KEY_LEN],
                                   struct kmse_crypto *crypto,
                                   const struct kmse_secret *data_key,
                                   const uint8_t id[KMSE_KEY_ID_LEN],
                                   uint32_t version,
                                   const uint8_t salt[KMSE_STREAM_SALT_LEN])
{
    uint8_t info[INFO_LEN];
    memcpy(info, KMSE_INFO_STREAM, LABEL_LEN);
    memcpy(info + ID_AT, id, KMSE_KEY_ID_LEN);
    kmse_store_be32(info + VERSION_AT, version);
    memcpy(info + SALT_AT, salt, KMSE_STREAM_SALT_LEN);
    return kmse_crypto_hkdf(crypto, out, KMSE_GCM_KEY_LEN, data_key->bytes,
                            KMSE_SECRET_LEN, info, sizeof(info));
}

kmse_st kmse_lease_stream_gcm(const struct kmse_lease *lease,
                              const uint8_t salt[KMSE_STREAM_SALT_LEN],
                              struct kmse_gcm **gcm)
{
    const struct kmse_datakey *datakey = lease->datakey;
    struct kmse_crypto *crypto = lease->key->environment->crypto;
    uint8_t key[KMSE_GCM_KEY_LEN];
    KMSE_TRY(kmse_datakey_derive_stream(key, crypto, &datakey->data_key,
                                        datakey->id, datakey->version, salt));
    kmse_st st = kmse_gcm_new(gcm, crypto, key, lease->direction);
    OPENSSL_cleanse(key, sizeof(key));
    return st;
}
