/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_BYTES_H
#define KMSE_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Integers in network byte order. */
static inline uint32_t kmse_load_be24(const uint8_t *in)
{
    return (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
}

static inline void kmse_store_be24(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 16);
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)value;
}

static inline uint32_t kmse_load_be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | kmse_load_be24(in + 1);
}

static inline void kmse_store_be32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    kmse_store_be24(out + 1, value);
}

static inline uint64_t kmse_load_be64(const uint8_t *in)
{
    return (uint64_t)kmse_load_be32(in) << 32 | kmse_load_be32(in + 4);
}

static inline void kmse_store_be64(uint8_t *out, uint64_t value)
{
    kmse_store_be32(out, (uint32_t)(value >> 32));
    kmse_store_be32(out + 4, (uint32_t)value);
}

/* Lower-case hex of in[0..in_len), with a NUL: out holds 2*in_len+1. */
void kmse_hex_encode(char *out, const uint8_t *in, size_t in_len);

/* Exactly 2*out_len lower-case hex digits, else KMSE_R_ENCODING. */
kmse_st kmse_hex_decode(uint8_t *out, size_t out_len,
                        const char *hex) KMSE_MUST_CHECK;

/* Base64 with padding (RFC 4648, 4). The caller frees *out with free(). */
kmse_st kmse_base64_encode(char **out, const uint8_t *in,
                           size_t in_len) KMSE_MUST_CHECK;

/*
 * Strict base64: no white space, canonical padding, else KMSE_R_ENCODING.
 * The caller frees *out (wiping it, if secret); *out_len may be 0.
 */
kmse_st kmse_base64_decode(uint8_t **out, size_t *out_len,
                           const char *text) KMSE_MUST_CHECK;

/* A copy for messages: what is not printable ASCII becomes '?'. */
void kmse_printable_copy(char *out, size_t out_size, const uint8_t *in,
                         size_t in_len);

#endif
