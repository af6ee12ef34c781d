/* SPDX-License-Identifier: Apache-2.0 */
/* Messages counted by the version in their first bytes. */
#include "tools/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kms_envelope/format.h"

kmse_st kmse_version_tally_init(struct kmse_version_tally *tally,
                                size_t version_count)
{
    *tally = (struct kmse_version_tally){
        .counts = calloc(version_count + 1, sizeof(*tally->counts)),
        .version_count = version_count,
    };
    return tally->counts != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

void kmse_version_tally_wipe(struct kmse_version_tally *tally)
{
    free(tally->counts);
    *tally = (struct kmse_version_tally){0};
}

/* --- values ------------------------------------------------------------- */

static bool is_format(uint8_t byte)
{
    return byte == KMSE_FORMAT_1 || byte == KMSE_FORMAT_STREAM
           || byte == KMSE_FORMAT_SIV;
}

static void add(struct kmse_version_tally *tally, const uint8_t *head,
                size_t len, uint64_t rows)
{
    uint32_t version = len < KMSE_TAG_BYTES ? 0 : kmse_load_be24(head + 1);
    if (version == 0 || !is_format(head[0])) {
        tally->other += rows;
    } else if (version <= tally->version_count) {
        tally->counts[version - 1] += rows;
    } else {
        tally->unknown += rows;
        if (version > tally->unknown_version)
            tally->unknown_version = version;
    }
}

void kmse_version_tally_add(struct kmse_version_tally *tally,
                            const uint8_t *head, size_t len)
{
    add(tally, head, len, 1);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* As PostgreSQL prints bytes, and MySQL. */
static size_t hex_prefix(const char *head, size_t len)
{
    bool has_one = len >= 2 && (head[0] == '\\' || head[0] == '0')
                   && (head[1] == 'x' || head[1] == 'X');
    return has_one ? 2 : 0;
}

static void add_text(struct kmse_version_tally *tally,
                     enum kmse_encoding encoding, const char *head, size_t len,
                     uint64_t rows)
{
    bool is_hex = encoding == KMSE_ENCODING_HEX;
    const unsigned bits = is_hex ? 4 : 6, wanted = 8 * KMSE_TAG_BYTES;
    uint8_t tag[KMSE_TAG_BYTES];
    uint64_t value = 0;
    unsigned have = 0;
    size_t i = is_hex ? hex_prefix(head, len) : 0;
    for (; i < len && have < wanted; i++, have += bits) {
        int digit = is_hex ? hex_digit(head[i]) : base64_digit(head[i]);
        if (digit < 0)
            break;
        value = value << bits | (uint64_t)digit;
    }
    if (have < wanted) {
        tally->other += rows;
        return;
    }
    kmse_store_be32(tag, (uint32_t)(value >> (have - wanted)));
    add(tally, tag, sizeof(tag), rows);
}

void kmse_version_tally_add_text(struct kmse_version_tally *tally,
                                 enum kmse_encoding encoding, const char *head,
                                 size_t len)
{
    add_text(tally, encoding, head, len, 1);
}

void kmse_version_tally_add_rows(struct kmse_version_tally *tally,
                                 enum kmse_encoding encoding,
                                 const uint8_t *head, size_t len, uint64_t rows)
{
    char text[KMSE_HEAD_LEN];
    size_t text_len = 0;
    if (encoding == KMSE_ENCODING_BINARY) {
        add(tally, head, len, rows);
        return;
    }
    for (size_t i = 0; i < len && text_len < sizeof(text); i++) {
        if (head[i] == '\0' || strchr(" \t\r\n", head[i]) == NULL)
            text[text_len++] = (char)head[i];
    }
    add_text(tally, encoding, text, text_len, rows);
}

/* --- lines -------------------------------------------------------------- */

void kmse_lines_end(struct kmse_lines *lines)
{
    size_t len = lines->head_len;
    if (len > 0 && len < KMSE_HEAD_LEN && lines->head[len - 1] == '\r')
        len--;
    if (len > 0)
        kmse_version_tally_add_text(lines->tally, lines->encoding, lines->head,
                                    len);
    lines->head_len = 0;
}

void kmse_lines_feed(struct kmse_lines *lines, const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        while (text < stop && lines->head_len < KMSE_HEAD_LEN)
            lines->head[lines->head_len++] = *text++;
        if (newline == NULL)
            return;
        kmse_lines_end(lines);
        text = newline + 1;
    }
}
