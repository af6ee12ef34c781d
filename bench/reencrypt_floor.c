/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a re-encryption costs without its cryptography:
 *     reencrypt_floor URL TABLE COLUMN [JOBS]
 * The pipeline of kms-envelope reencrypt, with the same batches and statements,
 * which writes bytes of the same length that cost nothing to make. They change,
 * for a database may pass over a value that does not. Not for rows that matter.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "table/pipeline.h"

enum { BATCH = 1000, RETRY_MS = 10000 };

static kmse_st begin(void **worker, void *arg, const struct kmse_table *table,
                     struct kmse_why *why)
{
    (void)table;
    (void)why;
    *worker = arg;
    return KMSE_OK;
}

static void end(void *worker)
{
    (void)worker;
}

static kmse_st process(void *worker, struct kmse_rows *rows,
                       struct kmse_why *why)
{
    (void)worker;
    (void)why;
    for (size_t i = 0; i < rows->count; i++) {
        struct kmse_row *row = &rows->list[i];
        KMSE_TRY(kmse_rows_reserve(rows, &row->fresh, row->old.len));
        uint8_t *to = kmse_rows_edit(rows, &row->fresh);
        memcpy(to, kmse_rows_at(rows, &row->old), row->old.len);
        for (size_t j = row->old.len / 2; j < row->old.len; j++)
            to[j] ^= 1;
        row->state = KMSE_ROW_WRITE;
    }
    return KMSE_OK;
}

static kmse_st run(const struct kmse_plan *plan, struct kmse_tally *tally,
                   struct kmse_why *why)
{
    struct kmse_pipeline *pipeline = NULL;
    KMSE_TRY(kmse_pipeline_start(&pipeline, plan, why));
    return kmse_pipeline_finish(pipeline, tally, why);
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fputs("usage: reencrypt_floor URL TABLE COLUMN [JOBS]\n", stderr);
        return EXIT_FAILURE;
    }
    int nothing = 0;
    struct kmse_column column = {.table = argv[2], .column = argv[3]};
    const struct kmse_work work = {
        .begin = begin, .end = end, .process = process, .arg = &nothing};
    const struct kmse_plan plan = {
        .url = argv[1],
        .column = &column,
        .work = &work,
        .writes = true,
        .batch = BATCH,
        .jobs = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1,
        .retry_ms = RETRY_MS,
        .clock = &kmse_clock_system,
    };
    struct kmse_tally tally = {0};
    struct kmse_why why = {""};
    kmse_st st = run(&plan, &tally, &why);
    if (!kmse_is_ok(st)) {
        fprintf(stderr, "reencrypt_floor: %s: %s\n",
                kmse_reason_text(st.reason), why.text);
        return EXIT_FAILURE;
    }
    printf("%" PRIu64 "\n", tally.rows[KMSE_ROW_WRITTEN]);
    return EXIT_SUCCESS;
}
