/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_ROWS_H
#define KMSE_TABLE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * A batch of rows between a database and the cryptography: their primary keys,
 * what the column holds, and what shall be written. One block of bytes for
 * all, used again for the next batch, so that memory does not grow with the
 * table. Spans are offsets, because the block may move when it grows.
 */
enum { KMSE_KEY_COLUMNS_MAX = 8 };

struct kmse_span {
    size_t at, len;
    int kind; /* how the database had it; the backend's own */
};

enum kmse_row_state {
    KMSE_ROW_READ,       /* old is what the column holds */
    KMSE_ROW_NEWEST,     /* old is of the newest version: it stays */
    KMSE_ROW_OLDER,      /* old is of an older one, and stays all the same */
    KMSE_ROW_FOREIGN,    /* old carries no tag of ours: it stays */
    KMSE_ROW_UNREADABLE, /* old does not open, reason says why: it stays */
    KMSE_ROW_WRITE,      /* fresh is to be written, where old still stands */
    KMSE_ROW_WRITTEN,    /* it is */
    KMSE_ROW_LOST,       /* it is not: the row is not what it was */
    KMSE_ROW_GONE,       /* read again: there is no such row, or it has NULL */
    KMSE_ROW_STATES,
};

struct kmse_row {
    struct kmse_span key[KMSE_KEY_COLUMNS_MAX];
    struct kmse_span old, fresh;
    enum kmse_row_state state;
    int reason; /* enum kmse_reason */
    bool hit;   /* the backend's own, while it writes */
};

struct kmse_rows {
    struct kmse_row *list;
    size_t count, room;
    uint8_t *bytes;
    size_t len, size;
};

/* What was used before stays for the next: no allocation a batch. */
void kmse_rows_clear(struct kmse_rows *rows);
/* Wipes: a key may be personal data. */
void kmse_rows_wipe(struct kmse_rows *rows);

/* One more row, empty, KMSE_ROW_READ. It may move when the next is added. */
kmse_st kmse_rows_add(struct kmse_rows *rows,
                      struct kmse_row **row) KMSE_MUST_CHECK;

/* len bytes more, for the caller to fill; what *span was is left behind. */
kmse_st kmse_rows_reserve(struct kmse_rows *rows, struct kmse_span *span,
                          size_t len) KMSE_MUST_CHECK;
/* A copy of those bytes. span: of a row, or the caller's. */
kmse_st kmse_rows_put(struct kmse_rows *rows, struct kmse_span *span,
                      const void *bytes, size_t len) KMSE_MUST_CHECK;

/* Until the next put, reserve or clear. Never NULL. */
const uint8_t *kmse_rows_at(const struct kmse_rows *rows,
                            const struct kmse_span *span);
uint8_t *kmse_rows_edit(struct kmse_rows *rows, const struct kmse_span *span);

/* The key of a row as the only row of *position, in place of what it had. */
kmse_st kmse_rows_copy_key(struct kmse_rows *position,
                           const struct kmse_rows *rows,
                           size_t index) KMSE_MUST_CHECK;

/* How many are in that state. */
size_t kmse_rows_count(const struct kmse_rows *rows, enum kmse_row_state state);

#endif
