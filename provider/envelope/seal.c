/* SPDX-License-Identifier: Apache-2.0 */
/* Writing one message. */
#include "envelope/seal.h"

#include <string.h>

#include <openssl/crypto.h>

#include "envelope/overlap.h"

kmse_st kmse_seal_start(struct kmse_seal *seal, struct kmse_gcm *gcm,
                        const uint8_t id[KMSE_KEY_ID_LEN], uint32_t key_version,
                        const uint8_t nonce[KMSE_NONCE_LEN])
{
    uint8_t prefix[KMSE_AAD_PREFIX_LEN];
    KMSE_TRY(kmse_header_print(seal->header, key_version, nonce));
    kmse_aad_prefix(prefix, id, seal->header);
    KMSE_TRY(kmse_gcm_start(gcm, nonce));
    KMSE_TRY(kmse_gcm_aad(gcm, prefix, sizeof(prefix)));
    seal->gcm = gcm;
    seal->header_written = false;
    seal->plaintext_len = 0;
    return KMSE_OK;
}

kmse_st kmse_seal_aad(struct kmse_seal *seal, const uint8_t *aad,
                      size_t aad_len)
{
    return kmse_gcm_aad(seal->gcm, aad, aad_len);
}

kmse_st kmse_seal_update(struct kmse_seal *seal, uint8_t *out, size_t out_size,
                         size_t *out_len, const uint8_t *in, size_t in_len)
{
    *out_len = 0;
    if (in_len == 0)
        return KMSE_OK;
    size_t lead = seal->header_written ? 0 : KMSE_HEADER_LEN;
    if (in_len > KMSE_MESSAGE_MAX - seal->plaintext_len)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    if (out_size < lead || out_size - lead < in_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    /* Output runs ahead of input: move overlapping input out of its way. */
    uint8_t *target = out + lead;
    if (in != target && kmse_overlap(in, in_len, target, in_len)) {
        memmove(target, in, in_len);
        in = target;
    }
    kmse_st st = kmse_gcm_update(seal->gcm, target, in, in_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(target, in_len);
        return st;
    }
    /* Last: the header's place may be the input's. */
    memcpy(out, seal->header, lead);
    seal->header_written = true;
    seal->plaintext_len += in_len;
    *out_len = lead + in_len;
    return KMSE_OK;
}

kmse_st kmse_seal_final(struct kmse_seal *seal, uint8_t *out, size_t out_size,
                        size_t *out_len)
{
    size_t lead = seal->header_written ? 0 : KMSE_HEADER_LEN;
    *out_len = 0;
    if (out_size < lead + KMSE_TAG_LEN)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);
    KMSE_TRY(kmse_gcm_seal_finish(seal->gcm, out + lead));
    memcpy(out, seal->header, lead);
    *out_len = lead + KMSE_TAG_LEN;
    return KMSE_OK;
}
