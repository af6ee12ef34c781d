/* SPDX-License-Identifier: Apache-2.0 */
/* Hex, base64 and printable text. */
#include "base/bytes.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

static const char HEX_DIGITS[] = "0123456789abcdef";

void kmse_hex_encode(char *out, const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < in_len; i++) {
        *out++ = HEX_DIGITS[in[i] >> 4];
        *out++ = HEX_DIGITS[in[i] & 0x0F];
    }
    *out = '\0';
}

kmse_st kmse_hex_decode(uint8_t *out, size_t out_len, const char *hex)
{
    if (strlen(hex) != 2 * out_len || strspn(hex, HEX_DIGITS) != 2 * out_len)
        return KMSE_ERR(KMSE_R_ENCODING);
    for (size_t i = 0; i < out_len; i++) {
        size_t high = (size_t)(strchr(HEX_DIGITS, hex[2 * i]) - HEX_DIGITS);
        size_t low = (size_t)(strchr(HEX_DIGITS, hex[2 * i + 1]) - HEX_DIGITS);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return KMSE_OK;
}

kmse_st kmse_base64_encode(char **out, const uint8_t *in, size_t in_len)
{
    if (in_len > INT_MAX / 2)
        return KMSE_ERR(KMSE_R_ENCODING);
    char *text = malloc((in_len + 2) / 3 * 4 + 1);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    EVP_EncodeBlock((unsigned char *)text, in, (int)in_len);
    *out = text;
    return KMSE_OK;
}

/*
 * EVP_DecodeBlock skips blanks and takes any bits behind the padding; text
 * that does not encode back to itself was not canonical.
 */
static kmse_st decode_canonical(uint8_t *bytes, size_t *len, const char *text,
                                size_t text_len)
{
    int decoded =
        EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)text_len);
    if (decoded < 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    *len = (size_t)decoded;
    for (size_t i = text_len; i > 0 && text[i - 1] == '='; i--) {
        if (text_len - i >= 2)
            return KMSE_ERR(KMSE_R_ENCODING);
        (*len)--;
    }

    char *again = NULL;
    KMSE_TRY(kmse_base64_encode(&again, bytes, *len));
    bool same = strcmp(again, text) == 0;
    OPENSSL_cleanse(again, strlen(again));
    free(again);
    return same ? KMSE_OK : KMSE_ERR(KMSE_R_ENCODING);
}

kmse_st kmse_base64_decode(uint8_t **out, size_t *out_len, const char *text)
{
    size_t text_len = strlen(text);
    if (text_len % 4 != 0 || text_len > INT_MAX / 2)
        return KMSE_ERR(KMSE_R_ENCODING);
    size_t size = text_len / 4 * 3;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);

    size_t len = 0;
    kmse_st st =
        text_len == 0 ? KMSE_OK : decode_canonical(bytes, &len, text, text_len);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(bytes, size);
        free(bytes);
        return st;
    }
    *out = bytes;
    *out_len = len;
    return KMSE_OK;
}

void kmse_printable_copy(char *out, size_t out_size, const uint8_t *in,
                         size_t in_len)
{
    size_t i = 0;
    for (; i < in_len && i + 1 < out_size; i++)
        out[i] = in[i] >= ' ' && in[i] <= '~' ? (char)in[i] : '?';
    if (out_size > 0)
        out[i] = '\0';
}
