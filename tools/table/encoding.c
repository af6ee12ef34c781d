/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as columns have them: bytes, base64, hex. No allocation. */
#include "table/encoding.h"

#include <string.h>

#include "base/bytes.h"
#include "kms_envelope/format.h"

static const char *const NAMES[] = {"auto", "binary", "base64", "hex"};

bool kmse_encoding_parse(enum kmse_encoding *encoding, const char *text)
{
    for (int i = KMSE_ENCODING_BINARY; i <= KMSE_ENCODING_HEX; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *encoding = (enum kmse_encoding)i;
            return true;
        }
    }
    return false;
}

const char *kmse_encoding_name(enum kmse_encoding encoding)
{
    return NAMES[encoding];
}

/* --- hex ---------------------------------------------------------------- */

static const char LOWER[] = "0123456789abcdef", UPPER[] = "0123456789ABCDEF";
enum { NIBBLE_BITS = 4, NIBBLE = 15, DIGITS_A_BYTE = 2, NO_DIGIT = -1 };

static int hex_digit(uint8_t c)
{
    enum { TEN = 10 };
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + TEN;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + TEN;
    return NO_DIGIT;
}

static kmse_st hex_decode(uint8_t *out, size_t *out_len, const uint8_t *in,
                          size_t in_len)
{
    if (in_len % DIGITS_A_BYTE != 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    for (size_t i = 0; i < in_len; i += DIGITS_A_BYTE) {
        int high = hex_digit(in[i]), low = hex_digit(in[i + 1]);
        if (high == NO_DIGIT || low == NO_DIGIT)
            return KMSE_ERR(KMSE_R_ENCODING);
        out[i / DIGITS_A_BYTE] = (uint8_t)(high << NIBBLE_BITS | low);
    }
    *out_len = in_len / DIGITS_A_BYTE;
    return KMSE_OK;
}

static bool has_upper(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= 'A' && text[i] <= 'F')
            return true;
    }
    return false;
}

static void hex_encode(uint8_t *out, const uint8_t *in, size_t in_len,
                       bool upper)
{
    const char *digits = upper ? UPPER : LOWER;
    for (size_t i = 0; i < in_len; i++) {
        *out++ = (uint8_t)digits[in[i] >> NIBBLE_BITS];
        *out++ = (uint8_t)digits[in[i] & NIBBLE];
    }
}

/* --- base64 ------------------------------------------------------------- */

static const char BASE64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
enum {
    GROUP = 4,
    GROUP_BYTES = 3,
    SIXTET_BITS = 6,
    SIXTET = 63,
    BYTE_BITS = 8
};

static int base64_digit(uint8_t c)
{
    enum { LOWER_AT = 26, DIGITS_AT = 52, PLUS = 62, SLASH = 63 };
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + LOWER_AT;
    if (c >= '0' && c <= '9')
        return c - '0' + DIGITS_AT;
    return c == '+' ? PLUS : c == '/' ? SLASH : NO_DIGIT;
}

/* Digits gathered, and the bytes they made; padding ends it. */
struct base64 {
    uint32_t bits;
    size_t digits, padding, out_len;
};

static kmse_st base64_take(struct base64 *b, uint8_t c, uint8_t *out)
{
    int digit = base64_digit(c);
    if (c == '=' && b->digits % GROUP >= 2) {
        b->padding++;
        b->digits++;
        return KMSE_OK;
    }
    if (digit == NO_DIGIT || b->padding > 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    b->bits = b->bits << SIXTET_BITS | (uint32_t)digit;
    size_t place = b->digits++ % GROUP;
    if (place > 0) {
        size_t left = SIXTET_BITS - 2 * place;
        out[b->out_len++] = (uint8_t)(b->bits >> left);
    }
    return KMSE_OK;
}

/* PostgreSQL's encode and MariaDB's TO_BASE64 break lines after 76. */
static kmse_st base64_decode(uint8_t *out, size_t *out_len, const uint8_t *in,
                             size_t in_len)
{
    enum { ONE_LEFT_OVER = 15, TWO_LEFT_OVER = 3 };
    struct base64 b = {0};
    for (size_t i = 0; i < in_len; i++) {
        if (in[i] != '\n' && in[i] != '\r')
            KMSE_TRY(base64_take(&b, in[i], out));
    }
    /* The last digit has no bits that mean nothing (RFC 4648, 3.5). */
    uint32_t unused = b.padding == 2   ? ONE_LEFT_OVER
                      : b.padding == 1 ? TWO_LEFT_OVER
                                       : 0;
    if (b.digits % GROUP != 0 || b.padding > 2 || (b.bits & unused) != 0)
        return KMSE_ERR(KMSE_R_ENCODING);
    *out_len = b.out_len;
    return KMSE_OK;
}

static void base64_encode(uint8_t *out, const uint8_t *in, size_t in_len)
{
    for (size_t i = 0; i < in_len; i += GROUP_BYTES) {
        size_t have = in_len - i < GROUP_BYTES ? in_len - i : GROUP_BYTES;
        uint32_t bits = 0;
        for (size_t j = 0; j < GROUP_BYTES; j++)
            bits = bits << BYTE_BITS | (j < have ? in[i + j] : 0U);
        for (size_t j = 0; j < GROUP; j++) {
            uint32_t digit = bits >> (SIXTET_BITS * (GROUP - 1 - j)) & SIXTET;
            *out++ = j <= have ? (uint8_t)BASE64[digit] : '=';
        }
    }
}

/* --- either ------------------------------------------------------------- */

size_t kmse_encoding_decoded_max(enum kmse_encoding encoding, size_t in_len)
{
    return encoding == KMSE_ENCODING_HEX ? in_len / DIGITS_A_BYTE : in_len;
}

kmse_st kmse_encoding_decode(enum kmse_encoding encoding, uint8_t *out,
                             size_t *out_len, const uint8_t *in, size_t in_len)
{
    switch (encoding) {
    case KMSE_ENCODING_HEX:
        return hex_decode(out, out_len, in, in_len);
    case KMSE_ENCODING_BASE64:
        return base64_decode(out, out_len, in, in_len);
    default:
        if (in_len > 0)
            memcpy(out, in, in_len);
        *out_len = in_len;
        return KMSE_OK;
    }
}

size_t kmse_encoding_encoded_len(enum kmse_encoding encoding, size_t in_len)
{
    switch (encoding) {
    case KMSE_ENCODING_HEX:
        return in_len * DIGITS_A_BYTE;
    case KMSE_ENCODING_BASE64:
        return (in_len + GROUP_BYTES - 1) / GROUP_BYTES * GROUP;
    default:
        return in_len;
    }
}

void kmse_encoding_encode(enum kmse_encoding encoding, uint8_t *out,
                          const uint8_t *in, size_t in_len, const uint8_t *like,
                          size_t like_len)
{
    switch (encoding) {
    case KMSE_ENCODING_HEX:
        hex_encode(out, in, in_len, has_upper(like, like_len));
        break;
    case KMSE_ENCODING_BASE64:
        base64_encode(out, in, in_len);
        break;
    default:
        if (in_len > 0)
            memcpy(out, in, in_len);
    }
}

uint32_t kmse_encoding_version(enum kmse_encoding encoding, const uint8_t *in,
                               size_t in_len)
{
    /* Whole groups of either, with four bytes in them. */
    enum { TAG_LEN = 4, LOOK_LEN = 8 };
    uint8_t tag[LOOK_LEN];
    size_t tag_len = 0;
    size_t len = in_len < LOOK_LEN ? in_len : LOOK_LEN;
    if (!kmse_is_ok(kmse_encoding_decode(encoding, tag, &tag_len, in, len))
        || tag_len < TAG_LEN || tag[0] != KMSE_FORMAT_1)
        return 0;
    return kmse_load_be24(tag + 1);
}
