/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_TEMPLATE_H
#define KMSE_TABLE_TEMPLATE_H

#include "table/database.h"

/*
 * What the application gives as additional data (AAD), for each row: text with
 * columns of the row's key in it.
 *   users.email:{id}   the key column id, in the database's text form
 *   {id:hex}           the same, each byte as two lower-case hex digits
 *   {{ }}              a brace
 */
struct kmse_template_part {
    char *text; /* this, if key is KMSE_TEMPLATE_TEXT; else NULL */
    size_t key; /* or this column of the key */
    bool hex;
};
enum { KMSE_TEMPLATE_TEXT = KMSE_KEY_COLUMNS_MAX };

struct kmse_template {
    struct kmse_template_part *parts;
    size_t count;
};

/* text NULL: no AAD. KMSE_R_PARAMETER: what is wrong, with the columns. */
kmse_st kmse_template_parse(struct kmse_template *template_, const char *text,
                            const struct kmse_table *table,
                            struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_template_wipe(struct kmse_template *template_);
/* Whether the braces of a text are well formed, before a table is known. */
kmse_st kmse_template_check(const char *text,
                            struct kmse_why *why) KMSE_MUST_CHECK;

/* Bytes that are used again; free(bytes) in the end. */
struct kmse_scratch {
    uint8_t *bytes;
    size_t len, size;
};
/* Room for len bytes; what was in it is gone, and wiped. */
kmse_st kmse_scratch_reserve(struct kmse_scratch *scratch,
                             size_t len) KMSE_MUST_CHECK;
void kmse_scratch_wipe(struct kmse_scratch *scratch);

/* The AAD of a row. */
kmse_st kmse_template_render(const struct kmse_template *template_,
                             struct kmse_scratch *out,
                             const struct kmse_rows *rows,
                             const struct kmse_row *row) KMSE_MUST_CHECK;

#endif
