/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_REENCRYPT_H
#define KMSE_TABLE_REENCRYPT_H

#include "keyring/ring.h"
#include "table/encoding.h"
#include "table/pipeline.h"
#include "table/template.h"

/*
 * What is done to a row: opened with the version that its tag names, sealed
 * with the newest, opened again and compared. Rows of the newest version stay
 * as they are.
 */
enum kmse_reencrypt_mode {
    KMSE_REENCRYPT_WRITE,  /* rows of older versions are KMSE_ROW_WRITE */
    KMSE_REENCRYPT_DRY,    /* they are opened, and are KMSE_ROW_OLDER */
    KMSE_REENCRYPT_VERIFY, /* the same, and rows of the newest are opened, too
                            */
};

/*
 * For layouts of others: asked for what a column holds, decoded, when it
 * carries no tag of ours. *is_known false: not of that layout, either.
 */
struct kmse_foreign {
    kmse_st (*open)(void *arg, bool *is_known, struct kmse_scratch *plaintext,
                    const uint8_t *in, size_t in_len, struct kmse_why *why);
    void *arg;
};

struct kmse_reencrypt {
    struct kmse_ring *ring;
    const char *key; /* a name; "": the default key */
    const char *aad; /* a template, or NULL */
    enum kmse_encoding encoding;
    enum kmse_reencrypt_mode mode;
    const struct kmse_foreign *foreign; /* or NULL */
};

/*
 * The functions of struct kmse_work; arg is a struct kmse_reencrypt. Rows end
 * NEWEST, OLDER, FOREIGN, UNREADABLE or WRITE. A KMS that does not give a data
 * key, a limit that is reached, and the like are failures of the whole.
 */
kmse_st kmse_reencrypt_begin(void **worker, void *arg,
                             const struct kmse_table *table,
                             struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_reencrypt_end(void *worker);
kmse_st kmse_reencrypt_process(void *worker, struct kmse_rows *rows,
                               struct kmse_why *why) KMSE_MUST_CHECK;

#endif
