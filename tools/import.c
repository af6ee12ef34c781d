/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys from outside: read strictly, and plain ones into guarded pages. */
#include "tools/import.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/pages.h"

const char *kmse_import_form_name(enum kmse_import_form form)
{
    static const char *const NAMES[] = {"binary", "hex", "base64"};
    return NAMES[form];
}

/* --- a wrapped data key ------------------------------------------------- */

/* No blob of a KMS is: too many of its bytes are random. */
static bool is_text(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool printable = bytes[i] >= ' ' && bytes[i] <= '~';
        bool space = bytes[i] == '\t' || bytes[i] == '\r' || bytes[i] == '\n';
        if (!printable && !space)
            return false;
    }
    return true;
}

/* As base64(1) writes it, in lines. */
static kmse_st decode_lines(struct kmse_blob *blob, const uint8_t *bytes,
                            size_t len)
{
    char *joined = malloc(len + 1);
    size_t joined_len = 0;
    if (joined == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\r' && bytes[i] != '\n')
            joined[joined_len++] = (char)bytes[i];
    }
    joined[joined_len] = '\0';
    kmse_st st = kmse_base64_decode(&blob->bytes, &blob->len, joined);
    free(joined);
    return st;
}

static kmse_st copy_bytes(struct kmse_blob *blob, const uint8_t *bytes,
                          size_t len)
{
    blob->bytes = malloc(len);
    if (blob->bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(blob->bytes, bytes, len);
    blob->len = len;
    return KMSE_OK;
}

kmse_st kmse_import_blob_parse(struct kmse_blob *blob,
                               enum kmse_import_form *form,
                               const uint8_t *bytes, size_t len,
                               struct kmse_why *why)
{
    struct kmse_blob made = {0};
    bool text = is_text(bytes, len);
    kmse_st st = KMSE_OK;
    if (len == 0)
        return kmse_fail(why, KMSE_R_ENCODING, "it is empty");
    st = text ? decode_lines(&made, bytes, len) : copy_bytes(&made, bytes, len);
    if (st.reason == KMSE_R_ENCODING)
        return kmse_fail(why, st.reason,
                         "it is text, but not base64: give the CiphertextBlob"
                         " alone, in base64 or as bytes");
    KMSE_TRY(st);
    if (made.len == 0 || made.len > KMSE_BLOB_MAX) {
        st = kmse_fail(why, KMSE_R_ENCODING, "%zu bytes: must be 1 to %d",
                       made.len, KMSE_BLOB_MAX);
        kmse_blob_wipe(&made);
        return st;
    }
    *form = text ? KMSE_IMPORT_BASE64 : KMSE_IMPORT_BINARY;
    *blob = made;
    return KMSE_OK;
}

kmse_st kmse_import_blob_read(struct kmse_blob *blob,
                              enum kmse_import_form *form, const char *path,
                              struct kmse_why *why)
{
    enum { FILE_MAX = 4 * KMSE_BLOB_MAX };
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kmse_why cause = {""};
    KMSE_TRY(kmse_file_read(path, FILE_MAX, 0, &bytes, &len, why));
    kmse_st st = kmse_import_blob_parse(blob, form, bytes, len, &cause);
    kmse_file_free_bytes(bytes, len);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "%.300s: %.150s", path, cause.text);
    return KMSE_OK;
}

/* --- a plain one: no branch and no table index depends on its digits ---- */

enum {
    HEX_LEN = 2 * KMSE_SECRET_LEN,
    BASE64_LEN = 44,
    BASE64_DIGITS = 43, /* and one '=' */
};
static_assert(BASE64_LEN == (KMSE_SECRET_LEN + 2) / 3 * 4, "base64 of a key");
static const uint32_t NO_DIGIT = UINT32_MAX;

/* All ones if low <= c <= high, else 0. */
static uint32_t in_range(uint32_t c, uint32_t low, uint32_t high)
{
    enum { SIGN = 31 };
    return 0U - (((low - 1 - c) & (c - high - 1)) >> SIGN);
}

static uint32_t hex_digit(uint32_t c)
{
    enum { AFTER_9 = 10 };
    return ((in_range(c, '0', '9') & (c - '0' + 1))
            | (in_range(c, 'a', 'f') & (c - 'a' + AFTER_9 + 1))
            | (in_range(c, 'A', 'F') & (c - 'A' + AFTER_9 + 1)))
           - 1;
}

static uint32_t base64_digit(uint32_t c)
{
    enum { LOWER = 26, NUMERALS = 52, PLUS = 62, SLASH = 63 };
    return ((in_range(c, 'A', 'Z') & (c - 'A' + 1))
            | (in_range(c, 'a', 'z') & (c - 'a' + LOWER + 1))
            | (in_range(c, '0', '9') & (c - '0' + NUMERALS + 1))
            | (in_range(c, '+', '+') & (PLUS + 1))
            | (in_range(c, '/', '/') & (SLASH + 1)))
           - 1;
}

/* Digits of bits_each bits; what is over at the end must be zero bits. */
static bool decode(uint8_t out[KMSE_SECRET_LEN], const uint8_t *digits,
                   size_t count, uint32_t (*value_of)(uint32_t),
                   unsigned bits_each)
{
    enum { BYTE_BITS = 8 };
    uint32_t bad = 0, held = 0;
    unsigned held_bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t value = value_of(digits[i]);
        bad |= value & ~((1U << bits_each) - 1);
        held = held << bits_each | (value & ((1U << bits_each) - 1));
        held_bits += bits_each;
        if (held_bits < BYTE_BITS)
            continue;
        held_bits -= BYTE_BITS;
        out[written++] = (uint8_t)(held >> held_bits);
        held &= (1U << held_bits) - 1;
    }
    return (bad | held) == 0;
}

static bool are_hex_digits(const uint8_t *bytes, size_t len)
{
    bool all = true;
    for (size_t i = 0; i < len; i++)
        all &= hex_digit(bytes[i]) != NO_DIGIT;
    return all;
}

static size_t without_line_end(const uint8_t *bytes, size_t len)
{
    if (len > 0 && bytes[len - 1] == '\n')
        len--;
    if (len > 0 && bytes[len - 1] == '\r')
        len--;
    return len;
}

/* out has the key's bytes only if it succeeds, but may be written to. */
static kmse_st decode_key(uint8_t out[KMSE_SECRET_LEN],
                          enum kmse_import_form *form, const uint8_t *bytes,
                          size_t len, struct kmse_why *why)
{
    enum { HEX_BITS = 4, BASE64_BITS = 6 };
    size_t text_len = without_line_end(bytes, len);
    bool good = false;
    if (len == KMSE_SECRET_LEN) {
        if (are_hex_digits(bytes, len))
            return kmse_fail(why, KMSE_R_ENCODING,
                             "32 hex digits are 16 bytes: a data key has 32; if"
                             " these characters are its bytes, give them in"
                             " hex");
        memcpy(out, bytes, len);
        *form = KMSE_IMPORT_BINARY;
        return KMSE_OK;
    }
    if (text_len == HEX_LEN) {
        *form = KMSE_IMPORT_HEX;
        good = decode(out, bytes, HEX_LEN, hex_digit, HEX_BITS);
    } else if (text_len == BASE64_LEN) {
        *form = KMSE_IMPORT_BASE64;
        good = bytes[BASE64_DIGITS] == '='
               && decode(out, bytes, BASE64_DIGITS, base64_digit, BASE64_BITS);
    }
    if (good)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_ENCODING,
                     "%zu bytes that are no data key: it is 32 bytes, or 64 hex"
                     " digits, or 44 characters of base64",
                     len);
}

kmse_st kmse_import_key_parse(struct kmse_secret *data_key,
                              struct kmse_pool *pool,
                              enum kmse_import_form *form, const uint8_t *bytes,
                              size_t len, struct kmse_why *why)
{
    struct kmse_secret made = {0};
    enum kmse_import_form found = KMSE_IMPORT_BINARY;
    kmse_st st = kmse_secret_init(&made, pool);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "for the data key");
    st = decode_key(made.bytes, &found, bytes, len, why);
    if (kmse_is_ok(st)) {
        *data_key = kmse_secret_take(&made);
        *form = found;
    }
    kmse_secret_wipe(&made);
    return st;
}

static kmse_st read_to_end(uint8_t *bytes, size_t size, size_t *len, int fd,
                           struct kmse_why *why)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, bytes + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kmse_fail(why, KMSE_R_FILE, "standard input: %s",
                             strerror(errno));
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *len = have;
    return KMSE_OK;
}

kmse_st kmse_import_key_read(struct kmse_secret *data_key,
                             struct kmse_pool *pool,
                             enum kmse_import_form *form, int fd,
                             struct kmse_why *why)
{
    enum { ROOM = 128 };
    static_assert(ROOM > HEX_LEN + sizeof("\r\n"), "too long is seen");
    struct kmse_pages pages = {0};
    struct kmse_why cause = {""};
    size_t len = 0;
    if (isatty(fd))
        return kmse_fail(why, KMSE_R_FILE,
                         "standard input is a terminal, which shows what is"
                         " typed: give the data key by a pipe");
    kmse_st st = kmse_pages_init(&pages, ROOM);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason, "for the data key");
    st = read_to_end(pages.bytes, ROOM, &len, fd, why);
    if (kmse_is_ok(st) && len == ROOM) {
        st = kmse_fail(why, KMSE_R_ENCODING,
                       "standard input: longer than a data key in any form");
    } else if (kmse_is_ok(st)) {
        st = kmse_import_key_parse(data_key, pool, form, pages.bytes, len,
                                   &cause);
        if (!kmse_is_ok(st))
            st =
                kmse_fail(why, st.reason, "standard input: %.400s", cause.text);
    }
    kmse_pages_wipe(&pages);
    return st;
}
