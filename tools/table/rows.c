/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of rows: one block of bytes, and spans of it. */
#include "table/rows.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

enum { FIRST_ROWS = 64, FIRST_BYTES = 4096, GROWTH = 2 };

void kmse_rows_clear(struct kmse_rows *rows)
{
    rows->count = 0;
    rows->len = 0;
}

void kmse_rows_wipe(struct kmse_rows *rows)
{
    if (rows->bytes != NULL)
        OPENSSL_cleanse(rows->bytes, rows->size);
    free(rows->bytes);
    free(rows->list);
    *rows = (struct kmse_rows){0};
}

kmse_st kmse_rows_add(struct kmse_rows *rows, struct kmse_row **row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room > 0 ? rows->room * GROWTH : FIRST_ROWS;
        struct kmse_row *grown =
            reallocarray(rows->list, room, sizeof(*rows->list));
        if (grown == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        rows->list = grown;
        rows->room = room;
    }
    *row = &rows->list[rows->count++];
    **row = (struct kmse_row){0};
    return KMSE_OK;
}

/* Not realloc: it would leave a copy of the keys behind. */
static kmse_st grow(struct kmse_rows *rows, size_t needed)
{
    size_t size = rows->size > 0 ? rows->size : FIRST_BYTES;
    while (size < needed) {
        if (size > SIZE_MAX / GROWTH)
            return KMSE_ERR(KMSE_R_MEMORY);
        size *= GROWTH;
    }
    uint8_t *grown = malloc(size);
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (rows->bytes != NULL) {
        memcpy(grown, rows->bytes, rows->len);
        OPENSSL_cleanse(rows->bytes, rows->size);
    }
    free(rows->bytes);
    rows->bytes = grown;
    rows->size = size;
    return KMSE_OK;
}

kmse_st kmse_rows_reserve(struct kmse_rows *rows, struct kmse_span *span,
                          size_t len)
{
    if (len > SIZE_MAX - rows->len)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (rows->bytes == NULL || rows->size - rows->len < len)
        KMSE_TRY(grow(rows, rows->len + len));
    span->at = rows->len;
    span->len = len;
    rows->len += len;
    return KMSE_OK;
}

kmse_st kmse_rows_put(struct kmse_rows *rows, struct kmse_span *span,
                      const void *bytes, size_t len)
{
    KMSE_TRY(kmse_rows_reserve(rows, span, len));
    if (len > 0)
        memcpy(rows->bytes + span->at, bytes, len);
    return KMSE_OK;
}

const uint8_t *kmse_rows_at(const struct kmse_rows *rows,
                            const struct kmse_span *span)
{
    static const uint8_t NOTHING;
    return rows->bytes != NULL ? rows->bytes + span->at : &NOTHING;
}

uint8_t *kmse_rows_edit(struct kmse_rows *rows, const struct kmse_span *span)
{
    return rows->bytes + span->at;
}

kmse_st kmse_rows_copy_key(struct kmse_rows *position,
                           const struct kmse_rows *rows, size_t index)
{
    struct kmse_row *row = NULL;
    kmse_rows_clear(position);
    KMSE_TRY(kmse_rows_add(position, &row));
    for (size_t i = 0; i < KMSE_KEY_COLUMNS_MAX; i++) {
        const struct kmse_span *key = &rows->list[index].key[i];
        KMSE_TRY(kmse_rows_put(position, &row->key[i], kmse_rows_at(rows, key),
                               key->len));
        row->key[i].kind = key->kind;
    }
    return KMSE_OK;
}

size_t kmse_rows_count(const struct kmse_rows *rows, enum kmse_row_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++)
        count += rows->list[i].state == state;
    return count;
}
