/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a blind index. */
#include "envelope/index.h"

#include <assert.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"

static_assert(KMSE_INDEX_SIZE_MAX == KMSE_HMAC_LEN, "a value is cut off it");

kmse_st kmse_index_finish(struct kmse_hmac *hmac, uint8_t *out, size_t size)
{
    uint8_t whole[KMSE_HMAC_LEN];
    if (size < KMSE_INDEX_SIZE_MIN || size > KMSE_INDEX_SIZE_MAX)
        return KMSE_ERR(KMSE_R_PARAMETER);
    KMSE_TRY(kmse_hmac_final(hmac, whole));
    memcpy(out, whole, size);
    OPENSSL_cleanse(whole, sizeof(whole));
    return KMSE_OK;
}

kmse_st kmse_index_finish_entry(struct kmse_hmac *hmac, uint32_t key_version,
                                uint8_t *out, size_t size)
{
    KMSE_TRY(kmse_index_finish(hmac, out + KMSE_INDEX_VERSION_LEN, size));
    kmse_store_be32(out, key_version);
    return KMSE_OK;
}
