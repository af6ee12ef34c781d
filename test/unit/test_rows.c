/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of rows: spans stay right while the block of bytes grows. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "table/rows.h"

static void spans_survive_growth(void **state)
{
    (void)state;
    enum { COUNT = 5000, TEXT = 16 };
    struct kmse_rows rows = {0};
    for (int i = 0; i < COUNT; i++) {
        char text[TEXT];
        struct kmse_row *row = NULL;
        int len = snprintf(text, sizeof(text), "row %d", i);
        expect_ok(kmse_rows_add(&rows, &row));
        expect_ok(kmse_rows_put(&rows, &row->key[0], text, (size_t)len));
        expect_ok(kmse_rows_reserve(&rows, &row->old, (size_t)len));
        memcpy(kmse_rows_edit(&rows, &row->old), text, (size_t)len);
    }
    assert_int_equal(rows.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char text[TEXT];
        const struct kmse_row *row = &rows.list[i];
        int len = snprintf(text, sizeof(text), "row %d", i);
        assert_int_equal(row->key[0].len, len);
        assert_memory_equal(kmse_rows_at(&rows, &row->key[0]), text,
                            (size_t)len);
        assert_memory_equal(kmse_rows_at(&rows, &row->old), text, (size_t)len);
    }
    kmse_rows_wipe(&rows);
    assert_null(rows.list);
}

static void a_cleared_batch_allocates_no_more(void **state)
{
    (void)state;
    struct kmse_rows rows = {0};
    struct kmse_row *row = NULL;
    for (int round = 0; round < 3; round++) {
        kmse_rows_clear(&rows);
        for (int i = 0; i < 1000; i++) {
            expect_ok(kmse_rows_add(&rows, &row));
            expect_ok(kmse_rows_put(&rows, &row->old, "0123456789", 10));
        }
        assert_int_equal(rows.room, 1024);
        assert_int_equal(rows.size, 16384);
    }
    kmse_rows_wipe(&rows);
}

static void nothing_is_a_span_too(void **state)
{
    (void)state;
    struct kmse_rows rows = {0};
    struct kmse_span span;
    assert_non_null(kmse_rows_at(&rows, &(struct kmse_span){0}));
    expect_ok(kmse_rows_put(&rows, &span, "", 0));
    assert_int_equal(span.len, 0);
    assert_non_null(kmse_rows_at(&rows, &span));
    expect_reason(kmse_rows_reserve(&rows, &span, SIZE_MAX), KMSE_R_MEMORY);
    kmse_rows_wipe(&rows);
}

static void a_key_is_copied_out(void **state)
{
    (void)state;
    struct kmse_rows rows = {0}, position = {0};
    struct kmse_row *row = NULL;
    for (int i = 0; i < 3; i++) {
        expect_ok(kmse_rows_add(&rows, &row));
        expect_ok(kmse_rows_put(&rows, &row->key[0], &"abc"[i], 1));
        expect_ok(kmse_rows_put(&rows, &row->key[1], "second", 6));
        row->key[1].kind = i;
        expect_ok(kmse_rows_copy_key(&position, &rows, rows.count - 1));
    }
    kmse_rows_wipe(&rows);
    assert_int_equal(position.count, 1);
    assert_int_equal(*kmse_rows_at(&position, &position.list->key[0]), 'c');
    assert_int_equal(position.list->key[1].kind, 2);
    assert_int_equal(position.list->key[1].len, 6);
    kmse_rows_wipe(&position);
}

static void states_are_counted(void **state)
{
    (void)state;
    struct kmse_rows rows = {0};
    struct kmse_row *row = NULL;
    for (int i = 0; i < 5; i++)
        expect_ok(kmse_rows_add(&rows, &row));
    rows.list[3].state = KMSE_ROW_LOST;
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_READ), 4);
    assert_int_equal(kmse_rows_count(&rows, KMSE_ROW_LOST), 1);
    kmse_rows_wipe(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_survive_growth),
        cmocka_unit_test(a_cleared_batch_allocates_no_more),
        cmocka_unit_test(nothing_is_a_span_too),
        cmocka_unit_test(a_key_is_copied_out),
        cmocka_unit_test(states_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
