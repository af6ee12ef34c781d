/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_TALLY_H
#define KMSE_TOOLS_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "table/encoding.h"

/*
 * Messages counted by the version in their first four bytes: no key, no KMS,
 * nothing verified, and in constant memory. A value that only looks like a
 * message counts as one: so a version is never held to be free of rows that
 * is not.
 */

enum {
    KMSE_TAG_BYTES = 4, /* format and version */
    KMSE_HEAD_LEN = 10, /* of the text that has them: "\\x" and 8 digits */
    KMSE_HEAD_LOOK_LEN = 32,
};

struct kmse_version_tally {
    uint64_t *counts; /* of version 1 .. version_count */
    size_t version_count;
    uint64_t unknown;         /* messages of versions beyond */
    uint32_t unknown_version; /* the highest of those */
    uint64_t other;           /* values that are no messages */
};

kmse_st kmse_version_tally_init(struct kmse_version_tally *tally,
                                size_t version_count) KMSE_MUST_CHECK;
void kmse_version_tally_wipe(struct kmse_version_tally *tally);

/* A value of which len bytes are at hand: KMSE_TAG_BYTES if it has them. */
void kmse_version_tally_add(struct kmse_version_tally *tally,
                            const uint8_t *head, size_t len);
/* The same, encoded: KMSE_HEAD_LEN characters if it has them. */
void kmse_version_tally_add_text(struct kmse_version_tally *tally,
                                 enum kmse_encoding encoding, const char *head,
                                 size_t len);

/*
 * So many values that begin alike, as a database has counted them: the first
 * KMSE_HEAD_LOOK_LEN bytes of one. Line ends and blanks before and in base64
 * and hex are passed over, as a reader of them does.
 */
void kmse_version_tally_add_rows(struct kmse_version_tally *tally,
                                 enum kmse_encoding encoding,
                                 const uint8_t *head, size_t len,
                                 uint64_t rows);

/*
 * A text, a value a line; fed in pieces of any length. Empty lines are passed
 * over. Hex may begin with \\x or 0x, base64 may be that of URLs.
 */
struct kmse_lines {
    struct kmse_version_tally *tally;
    enum kmse_encoding encoding;
    char head[KMSE_HEAD_LEN];
    size_t head_len;
};
void kmse_lines_feed(struct kmse_lines *lines, const char *text, size_t len);
void kmse_lines_end(struct kmse_lines *lines);

/*
 * CSV (RFC 4180; lines may end with LF alone), of which one column has the
 * values; an empty field has none. column is its number, from 1, all rows being
 * values; or its name in the first row. KMSE_R_FILE if the text is not CSV,
 * or a row has no such column.
 */
enum { KMSE_CSV_NAME_MAX = 256 };
struct kmse_csv {
    struct kmse_version_tally *tally;
    enum kmse_encoding encoding;
    const char *column; /* its name, until it was found */
    size_t wanted;      /* its index, or SIZE_MAX */
    int state;
    bool after_cr;
    uint64_t row; /* from 1 */
    size_t field;
    char head[KMSE_CSV_NAME_MAX];
    size_t head_len; /* may be more than head holds */
    char value[KMSE_HEAD_LEN];
    size_t value_len;
};
/* KMSE_R_PARAMETER: no such column can be. */
kmse_st kmse_csv_init(struct kmse_csv *csv, struct kmse_version_tally *tally,
                      enum kmse_encoding encoding, const char *column,
                      struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_csv_feed(struct kmse_csv *csv, const char *text, size_t len,
                      struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_csv_end(struct kmse_csv *csv,
                     struct kmse_why *why) KMSE_MUST_CHECK;

#endif
