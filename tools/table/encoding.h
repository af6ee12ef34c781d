/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_ENCODING_H
#define KMSE_TABLE_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* How a column has its messages: as bytes, or as text. */
enum kmse_encoding {
    KMSE_ENCODING_AUTO, /* a job says nothing: bytes or base64, by the type */
    KMSE_ENCODING_BINARY,
    KMSE_ENCODING_BASE64, /* RFC 4648, 4, padded; read with line ends in it */
    KMSE_ENCODING_HEX,    /* read in either case, written as it was read */
};

/* "binary", "base64", "hex"; false: none of them. */
bool kmse_encoding_parse(enum kmse_encoding *encoding, const char *text);
const char *kmse_encoding_name(enum kmse_encoding encoding);

/*
 * The version in the tag of what a column holds, of which only the beginning
 * is looked at; 0: it carries none. docs/format.md, bytes 0..3.
 */
uint32_t kmse_encoding_version(enum kmse_encoding encoding, const uint8_t *in,
                               size_t in_len);

/* Room for what in_len bytes become at most. */
size_t kmse_encoding_decoded_max(enum kmse_encoding encoding, size_t in_len);
/* KMSE_R_ENCODING; out then holds nothing of use. out is not in. */
kmse_st kmse_encoding_decode(enum kmse_encoding encoding, uint8_t *out,
                             size_t *out_len, const uint8_t *in,
                             size_t in_len) KMSE_MUST_CHECK;

/* Exactly how long in_len bytes become. */
size_t kmse_encoding_encoded_len(enum kmse_encoding encoding, size_t in_len);
/* like: what the column holds, for the case of hex digits. out is not in. */
void kmse_encoding_encode(enum kmse_encoding encoding, uint8_t *out,
                          const uint8_t *in, size_t in_len, const uint8_t *like,
                          size_t like_len);

#endif
