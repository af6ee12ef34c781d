/* SPDX-License-Identifier: Apache-2.0 */
/* Messages counted by the version in their first bytes. */
#include "tools/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "kms_envelope/format.h"

bool kmse_encoding_parse(enum kmse_encoding *encoding, const char *name)
{
    static const char *const NAMES[] = {
        [KMSE_BINARY] = "binary", [KMSE_BASE64] = "base64", [KMSE_HEX] = "hex"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *encoding = (enum kmse_encoding)i;
            return true;
        }
    }
    return false;
}

kmse_st kmse_tally_init(struct kmse_tally *tally, size_t version_count)
{
    *tally = (struct kmse_tally){
        .counts = calloc(version_count + 1, sizeof(*tally->counts)),
        .version_count = version_count,
    };
    return tally->counts != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

void kmse_tally_wipe(struct kmse_tally *tally)
{
    free(tally->counts);
    *tally = (struct kmse_tally){0};
}

/* --- values ------------------------------------------------------------- */

static bool is_format(uint8_t byte)
{
    return byte == KMSE_FORMAT_1 || byte == KMSE_FORMAT_STREAM
           || byte == KMSE_FORMAT_SIV;
}

void kmse_tally_add(struct kmse_tally *tally, const uint8_t *head, size_t len)
{
    uint32_t version = len < KMSE_TAG_BYTES ? 0 : kmse_load_be24(head + 1);
    if (version == 0 || !is_format(head[0])) {
        tally->other++;
    } else if (version <= tally->version_count) {
        tally->counts[version - 1]++;
    } else {
        tally->unknown++;
        if (version > tally->unknown_version)
            tally->unknown_version = version;
    }
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

void kmse_tally_add_text(struct kmse_tally *tally, enum kmse_encoding encoding,
                         const char *head, size_t len)
{
    bool is_hex = encoding == KMSE_HEX;
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
        tally->other++;
        return;
    }
    kmse_store_be32(tag, (uint32_t)(value >> (have - wanted)));
    kmse_tally_add(tally, tag, sizeof(tag));
}

/* --- lines -------------------------------------------------------------- */

void kmse_lines_end(struct kmse_lines *lines)
{
    size_t len = lines->head_len;
    if (len > 0 && len < KMSE_HEAD_LEN && lines->head[len - 1] == '\r')
        len--;
    if (len > 0)
        kmse_tally_add_text(lines->tally, lines->encoding, lines->head, len);
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
