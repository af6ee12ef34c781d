/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a stream are right: every order of pieces is tried. */
#include "test.h"

#include <string.h>

#include "envelope/stream_plan.h"

enum {
    TRIED_PIECE_MAX = 10000,
    TRIED_TOTAL = 1 << 20,
    EVERY_LENGTH = 3 * KMSE_STREAM_FRAME_LEN,
};

/* What a stream of that plaintext has, counted without the code. */
static uint64_t stream_len(uint64_t plaintext_len)
{
    uint64_t len = 16, capacity = 4068;
    while (plaintext_len >= capacity) {
        len += capacity + 12;
        plaintext_len -= capacity;
        capacity = 4084;
    }
    return len + plaintext_len + 12;
}

/* --- any pieces in any order --------------------------------------------- */

/*
 * Of two streams that have filled the same part of a frame, the one with the
 * longer backlog is the harder: so the longest backlog that can be reached, for
 * each part, is all there is to know. -1: not reached.
 */
struct reached {
    int first[KMSE_STREAM_FIRST_LEN];
    int next[KMSE_STREAM_NEXT_LEN];
};

static int *at_plan(struct reached *reached,
                    const struct kmse_stream_plan *plan)
{
    return plan->frame == 0 ? &reached->first[plan->filled_len]
                            : &reached->next[plan->filled_len];
}

/* All pieces that may come there. Whether something new was reached. */
static bool go_on(struct reached *reached, struct kmse_stream_plan from)
{
    bool found = false;
    for (size_t piece = 1; piece <= KMSE_STREAM_PIECE_MAX; piece++) {
        struct kmse_stream_plan plan = from;
        size_t len = 0;
        kmse_st st = kmse_stream_plan_update(&plan, piece, &len);
        if (!kmse_is_ok(st) || len > piece + KMSE_OVERHEAD
            || kmse_stream_plan_final(&plan) > KMSE_OVERHEAD)
            fail_msg("frame %d, %zu bytes in it, backlog %zu: no piece of %zu",
                     (int)from.frame, from.filled_len, from.backlog_len, piece);
        int *longest = at_plan(reached, &plan);
        if ((int)plan.backlog_len > *longest) {
            *longest = (int)plan.backlog_len;
            found = true;
        }
    }
    return found;
}

static bool go_on_from_all(struct reached *reached, bool first)
{
    bool found = false;
    int *longest = first ? reached->first : reached->next;
    size_t count = first ? KMSE_STREAM_FIRST_LEN : KMSE_STREAM_NEXT_LEN;
    for (size_t i = 0; i < count; i++) {
        struct kmse_stream_plan plan = {
            .frame = first ? 0 : 1,
            .filled_len = i,
            .begun = true,
            .backlog_len = (size_t)longest[i],
        };
        if (longest[i] >= 0 && go_on(reached, plan))
            found = true;
    }
    return found;
}

static void pieces_of_any_size_in_any_order_have_room(void **state)
{
    (void)state;
    static struct reached reached;
    memset(&reached, 0xFF, sizeof(reached));
    assert_int_equal(reached.next[0], -1);
    (void)go_on(&reached, (struct kmse_stream_plan){0});
    (void)go_on_from_all(&reached, true);
    while (go_on_from_all(&reached, false))
        continue;

    int longest = 0;
    for (size_t i = 0; i < KMSE_STREAM_NEXT_LEN; i++) {
        assert_true(reached.next[i] >= 0);
        longest = reached.next[i] > longest ? reached.next[i] : longest;
    }
    /* Final writes at most 20 bytes: docs/format.md. */
    assert_int_equal(longest, 8);
}

/* --- equal pieces -------------------------------------------------------- */

static uint64_t update(struct kmse_stream_plan *plan, size_t piece)
{
    size_t len = 0;
    expect_ok(kmse_stream_plan_update(plan, piece, &len));
    assert_true(len <= piece + KMSE_OVERHEAD);
    return len;
}

/* At every point the stream may end, there or after a shorter piece. */
static void equal_pieces(size_t piece)
{
    struct kmse_stream_plan plan = {0};
    uint64_t written = 0;
    for (size_t total = 0; total < TRIED_TOTAL; total += piece) {
        struct kmse_stream_plan end = plan;
        uint64_t end_written = written;
        size_t last = (total / piece * 2654435761U) % piece;
        if (last > 0)
            end_written += update(&end, last);
        assert_true(kmse_stream_plan_final(&end) <= KMSE_OVERHEAD);
        if (end_written + kmse_stream_plan_final(&end)
            != stream_len(total + last))
            fail_msg("pieces of %zu: %zu bytes", piece, total + last);
        written += update(&plan, piece);
    }
}

static void equal_pieces_make_streams_of_the_right_length(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= KMSE_STREAM_PIECE_MAX; piece++)
        equal_pieces(piece);
}

/* And the plan is left as it was. */
static void longer_pieces_are_refused(void **state)
{
    (void)state;
    for (size_t piece = KMSE_STREAM_PIECE_MAX + 1; piece <= TRIED_PIECE_MAX;
         piece++) {
        struct kmse_stream_plan plan = {0};
        size_t len = 0;
        expect_reason(kmse_stream_plan_update(&plan, piece, &len),
                      KMSE_R_STREAM_PIECES);
        assert_false(plan.begun);
        assert_int_equal(len, 0);
    }
}

/* --- ends ---------------------------------------------------------------- */

static void lengths_tell_the_plaintext_s(void **state)
{
    (void)state;
    uint64_t plaintext_len = 0, next = 0;
    for (uint64_t len = 0; len <= EVERY_LENGTH; len++) {
        kmse_st st = kmse_stream_plaintext_len(&plaintext_len, len);
        if (len == stream_len(next)) {
            expect_ok(st);
            assert_int_equal(plaintext_len, next);
            next++;
        } else {
            expect_reason(st, KMSE_R_MESSAGE_SHORT);
        }
    }
    assert_true(next > EVERY_LENGTH - 100);
    uint64_t most = (KMSE_STREAM_FRAMES_MAX - 1) * KMSE_STREAM_FRAME_LEN
                    + KMSE_STREAM_FRAME_LEN - 1;
    expect_ok(kmse_stream_plaintext_len(&plaintext_len, most));
    assert_int_equal(plaintext_len,
                     most - 16 - 12 * (uint64_t)KMSE_STREAM_FRAMES_MAX);
}

static void no_stream_has_more_frames_than_numbers(void **state)
{
    (void)state;
    const struct kmse_stream_plan last = {
        .frame = KMSE_STREAM_FRAMES_MAX - 1, .filled_len = 10, .begun = true};
    struct kmse_stream_plan plan = last;
    size_t len = 0, room = kmse_stream_plan_room(&last);
    expect_ok(kmse_stream_plan_update(&plan, room - 1, &len));
    assert_int_equal(kmse_stream_plan_final(&plan), KMSE_STREAM_TAG_LEN);
    plan = last;
    expect_reason(kmse_stream_plan_update(&plan, room, &len),
                  KMSE_R_MESSAGE_TOO_LONG);
    assert_memory_equal(&plan, &last, sizeof(plan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_in_any_order_have_room),
        cmocka_unit_test(equal_pieces_make_streams_of_the_right_length),
        cmocka_unit_test(longer_pieces_are_refused),
        cmocka_unit_test(lengths_tell_the_plaintext_s),
        cmocka_unit_test(no_stream_has_more_frames_than_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
