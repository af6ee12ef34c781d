/* SPDX-License-Identifier: Apache-2.0 */
/* The 16-byte header of a message, and the AAD that binds it. */
#include "envelope/header.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

enum { OFF_FORMAT = 0, OFF_VERSION = 1, OFF_NONCE = 4 };
static_assert(OFF_NONCE + KMSE_NONCE_LEN == KMSE_HEADER_LEN, "header layout");
static_assert(KMSE_STREAM_SALT_LEN == KMSE_NONCE_LEN, "one layout for both");
static_assert(KMSE_AAD_PREFIX_LEN == 32, "two whole GHASH blocks");

static kmse_st parse(struct kmse_header *header, uint8_t format,
                     const uint8_t *in, size_t in_len)
{
    if (in_len < KMSE_HEADER_LEN)
        return KMSE_ERR(KMSE_R_HEADER_SHORT);
    if (in[OFF_FORMAT] != format)
        return KMSE_ERR(KMSE_R_FORMAT_UNKNOWN);

    uint32_t key_version = kmse_load_be24(in + OFF_VERSION);
    if (key_version == 0)
        return KMSE_ERR(KMSE_R_KEY_VERSION);

    header->format = format;
    header->key_version = key_version;
    memcpy(header->nonce, in + OFF_NONCE, KMSE_NONCE_LEN);
    return KMSE_OK;
}

kmse_st kmse_header_parse(struct kmse_header *header, const uint8_t *in,
                          size_t in_len)
{
    return parse(header, KMSE_FORMAT_1, in, in_len);
}

kmse_st kmse_stream_header_parse(struct kmse_header *header, const uint8_t *in,
                                 size_t in_len)
{
    return parse(header, KMSE_FORMAT_STREAM, in, in_len);
}

static kmse_st print(uint8_t out[KMSE_HEADER_LEN], uint8_t format,
                     uint32_t key_version, const uint8_t nonce[KMSE_NONCE_LEN])
{
    if (key_version == 0 || key_version > KMSE_VERSION_MAX)
        return KMSE_ERR(KMSE_R_KEY_VERSION);
    out[OFF_FORMAT] = format;
    kmse_store_be24(out + OFF_VERSION, key_version);
    memcpy(out + OFF_NONCE, nonce, KMSE_NONCE_LEN);
    return KMSE_OK;
}

kmse_st kmse_header_print(uint8_t out[KMSE_HEADER_LEN], uint32_t key_version,
                          const uint8_t nonce[KMSE_NONCE_LEN])
{
    return print(out, KMSE_FORMAT_1, key_version, nonce);
}

kmse_st kmse_stream_header_print(uint8_t out[KMSE_HEADER_LEN],
                                 uint32_t key_version,
                                 const uint8_t salt[KMSE_STREAM_SALT_LEN])
{
    return print(out, KMSE_FORMAT_STREAM, key_version, salt);
}

void kmse_aad_prefix(uint8_t out[KMSE_AAD_PREFIX_LEN],
                     const uint8_t id[KMSE_KEY_ID_LEN], const uint8_t *header)
{
    memcpy(out, KMSE_AAD_LABEL, KMSE_AAD_LABEL_LEN);
    out += KMSE_AAD_LABEL_LEN;
    memcpy(out, id, KMSE_KEY_ID_LEN);
    memcpy(out + KMSE_KEY_ID_LEN, header, KMSE_AAD_BOUND_LEN);
}
