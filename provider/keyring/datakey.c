/* SPDX-License-Identifier: Apache-2.0 */
/* An unwrapped data key. */
#include "keyring/datakey.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "keyring/keyfile.h"

static bool is_zero(const struct kmse_secret *secret)
{
    static const uint8_t zeros[KMSE_SECRET_LEN];
    return CRYPTO_memcmp(secret->bytes, zeros, KMSE_SECRET_LEN) == 0;
}

kmse_st kmse_datakey_new(struct kmse_datakey **datakey,
                         struct kmse_crypto *crypto,
                         const uint8_t id[KMSE_KEY_ID_LEN], uint32_t version,
                         struct kmse_secret *data_key)
{
    struct kmse_pool *pool = data_key->pool;
    struct kmse_datakey *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        kmse_secret_wipe(data_key);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    atomic_init(&made->references, 1);
    memcpy(made->id, id, KMSE_KEY_ID_LEN);
    made->version = version;
    made->data_key = kmse_secret_take(data_key);

    kmse_st st =
        is_zero(&made->data_key) ? KMSE_ERR(KMSE_R_COMMITMENT) : KMSE_OK;
    if (kmse_is_ok(st))
        st = kmse_secret_init(&made->message_key, pool);
    if (kmse_is_ok(st))
        st = kmse_datakey_derive(made->message_key.bytes, crypto,
                                 &made->data_key, KMSE_INFO_MESSAGE, id,
                                 version);
    if (!kmse_is_ok(st)) {
        kmse_datakey_release(made);
        return st;
    }
    *datakey = made;
    return KMSE_OK;
}

struct kmse_datakey *kmse_datakey_acquire(struct kmse_datakey *datakey)
{
    atomic_fetch_add_explicit(&datakey->references, 1, memory_order_relaxed);
    return datakey;
}

void kmse_datakey_release(struct kmse_datakey *datakey)
{
    if (datakey == NULL
        || atomic_fetch_sub_explicit(&datakey->references, 1,
                                     memory_order_acq_rel)
               != 1)
        return;
    kmse_secret_wipe(&datakey->message_key);
    kmse_secret_wipe(&datakey->data_key);
    free(datakey);
}

void kmse_nonce_add(uint8_t nonce[KMSE_NONCE_LEN], uint64_t by)
{
    enum { BYTE_BITS = 8, BYTE_MASK = 0xFF };
    unsigned carry = 0;
    for (size_t i = KMSE_NONCE_LEN; i > 0; i--) {
        unsigned sum =
            (unsigned)nonce[i - 1] + (unsigned)(by & BYTE_MASK) + carry;
        nonce[i - 1] = (uint8_t)sum;
        carry = sum >> BYTE_BITS;
        by >>= BYTE_BITS;
        if (by == 0 && carry == 0)
            return;
    }
}
