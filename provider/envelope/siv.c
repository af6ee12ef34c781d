/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic messages: header, synthetic IV, ciphertext. */
#include "envelope/siv.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "envelope/overlap.h"

/* What is before the tag is bound as AAD. */
enum {
    OFF_FORMAT = 0,
    OFF_VERSION = 1,
    OFF_TAG = KMSE_AAD_BOUND_LEN,
    OFF_BODY = OFF_TAG + KMSE_SIV_TAG_LEN,
};
static_assert(OFF_BODY == KMSE_SIV_OVERHEAD, "layout");
static_assert(KMSE_SIV_OVERHEAD <= KMSE_OVERHEAD,
              "callers make room for a block, which is KMSE_OVERHEAD");

kmse_st kmse_siv_parse(uint32_t *key_version, const uint8_t *in, size_t in_len)
{
    if (in_len < KMSE_SIV_OVERHEAD)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    if (in[OFF_FORMAT] != KMSE_FORMAT_SIV)
        return KMSE_ERR(KMSE_R_FORMAT_UNKNOWN);
    uint32_t found = kmse_load_be24(in + OFF_VERSION);
    if (found == 0)
        return KMSE_ERR(KMSE_R_KEY_VERSION);
    *key_version = found;
    return KMSE_OK;
}

static struct kmse_siv_ad bind_aad(uint8_t prefix[KMSE_AAD_PREFIX_LEN],
                                   const uint8_t id[KMSE_KEY_ID_LEN],
                                   const uint8_t bound[KMSE_AAD_BOUND_LEN],
                                   struct kmse_siv_aad aad)
{
    kmse_aad_prefix(prefix, id, bound);
    return (struct kmse_siv_ad){
        .first = prefix,
        .first_len = KMSE_AAD_PREFIX_LEN,
        .second = aad.bytes,
        .second_len = aad.len,
    };
}

/* The inner cipher takes one buffer, or two that are apart. */
static const uint8_t *make_room(uint8_t *out, const uint8_t *in, size_t len)
{
    if (in == out || !kmse_overlap(in, len, out, len))
        return in;
    memmove(out, in, len);
    return out;
}

kmse_st kmse_siv_seal(struct kmse_siv *siv, const uint8_t id[KMSE_KEY_ID_LEN],
                      uint32_t key_version, struct kmse_siv_aad aad,
                      uint8_t *out, size_t out_size, size_t *out_len,
                      const uint8_t *in, size_t in_len)
{
    *out_len = 0;
    if (key_version == 0 || key_version > KMSE_VERSION_MAX)
        return KMSE_ERR(KMSE_R_KEY_VERSION);
    if (in_len > KMSE_MESSAGE_MAX)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    if (out_size < OFF_BODY || out_size - OFF_BODY < in_len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    uint8_t bound[KMSE_AAD_BOUND_LEN], prefix[KMSE_AAD_PREFIX_LEN];
    uint8_t tag[KMSE_SIV_TAG_LEN];
    bound[OFF_FORMAT] = KMSE_FORMAT_SIV;
    kmse_store_be24(bound + OFF_VERSION, key_version);
    const struct kmse_siv_ad ad = bind_aad(prefix, id, bound, aad);
    in = make_room(out + OFF_BODY, in, in_len);
    KMSE_TRY(kmse_siv_encrypt(siv, &ad, tag, out + OFF_BODY, in, in_len));
    memcpy(out, bound, sizeof(bound));
    memcpy(out + OFF_TAG, tag, sizeof(tag));
    *out_len = OFF_BODY + in_len;
    return KMSE_OK;
}

kmse_st kmse_siv_open(struct kmse_siv *siv, const uint8_t id[KMSE_KEY_ID_LEN],
                      struct kmse_siv_aad aad, uint8_t *out, size_t out_size,
                      size_t *out_len, const uint8_t *in, size_t in_len)
{
    uint32_t key_version = 0;
    *out_len = 0;
    KMSE_TRY(kmse_siv_parse(&key_version, in, in_len));
    size_t len = in_len - OFF_BODY;
    if (len > KMSE_MESSAGE_MAX)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    if (out_size < len)
        return KMSE_ERR(KMSE_R_BUFFER_SMALL);

    uint8_t bound[KMSE_AAD_BOUND_LEN], prefix[KMSE_AAD_PREFIX_LEN];
    uint8_t tag[KMSE_SIV_TAG_LEN];
    memcpy(bound, in, sizeof(bound));
    memcpy(tag, in + OFF_TAG, sizeof(tag));
    const struct kmse_siv_ad ad = bind_aad(prefix, id, bound, aad);
    in = make_room(out, in + OFF_BODY, len);
    KMSE_TRY(kmse_siv_decrypt(siv, &ad, tag, out, in, len));
    *out_len = len;
    return KMSE_OK;
}
