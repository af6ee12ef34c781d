/* SPDX-License-Identifier: Apache-2.0 */
/* A stream that was changed anywhere is refused: nothing of the bad frame. */
#include "stream_fixture.h"

#include <string.h>

/* --- changed streams ----------------------------------------------------- */

/* What came out is whole frames of the plaintext, at most so many. */
static void expect_frames_at_most(const uint8_t *out, size_t out_len,
                                  size_t frames)
{
    assert_memory_equal(out, plain, out_len);
    assert_true(out_len == 0 || (out_len - FIRST) % NEXT == 0);
    assert_true(out_len <= (frames == 0 ? 0 : FIRST + (frames - 1) * NEXT));
}

static void cut_anywhere_it_is_refused(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    size_t len = FIRST + 2 * NEXT + 40, out_len = 0;
    size_t stream_len = seal(stream, len, (struct pieces){FRAME, FRAME});
    for (size_t cut = HEADER; cut < stream_len; cut++) {
        kmse_st st = open_stream(out, &out_len, stream, cut,
                                 (struct pieces){FRAME, FRAME});
        size_t frames = cut / FRAME;
        size_t left = cut % FRAME - (frames == 0 ? HEADER : 0);
        expect_reason(st,
                      left < TAG ? KMSE_R_MESSAGE_SHORT : KMSE_R_TAG_MISMATCH);
        /* All that verified is there. */
        assert_int_equal(out_len,
                         frames == 0 ? 0 : FIRST + (frames - 1) * NEXT);
        expect_frames_at_most(out, out_len, frames);
        if (cut % 100 == 0) /* and in one piece */
            assert_false(kmse_is_ok(open_stream(
                out, &out_len, stream, cut, (struct pieces){WHOLE, WHOLE})));
    }
}

/* Of each byte one bit, and of headers, tags and what is next to them all. */
static void a_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    size_t len = FIRST + NEXT + 40, out_len = 0;
    size_t stream_len = seal(stream, len, (struct pieces){FRAME, FRAME});
    for (size_t at = 0; at < stream_len; at++) {
        bool near_end = at % FRAME < 2 * HEADER || at % FRAME > FRAME - 2 * TAG
                        || at > stream_len - 2 * TAG;
        for (size_t bit = near_end ? 0 : at % BITS; bit < BITS;
             bit += near_end ? 1 : BITS) {
            /* Bytes 4 to 15 make the key, which here is the same. */
            if (at >= 4 && at < HEADER)
                continue;
            stream[at] ^= (uint8_t)(1U << bit);
            kmse_st st = open_stream(out, &out_len, stream, stream_len,
                                     (struct pieces){FRAME, FRAME});
            stream[at] ^= (uint8_t)(1U << bit);
            expect_reason(st, at == 0 ? KMSE_R_FORMAT_UNKNOWN
                                      : KMSE_R_TAG_MISMATCH);
            expect_frames_at_most(out, out_len, at / FRAME);
            assert_int_equal(
                out_len, at / FRAME == 0 ? 0 : FIRST + (at / FRAME - 1) * NEXT);
        }
    }
}

/* order: which frame of the stream comes at each place. */
static void expect_order_refused(const uint8_t *stream, const size_t order[],
                                 size_t count, size_t right)
{
    static uint8_t other[ROOM + FRAME], out[ROOM + FRAME];
    size_t out_len = 0;
    for (size_t i = 0; i < count; i++)
        memcpy(other + i * FRAME, stream + order[i] * FRAME, FRAME);
    memcpy(other, stream, HEADER);
    size_t last_len = 40 + TAG;
    size_t other_len = (count - 1) * FRAME + last_len;
    if (order[count - 1] != 4) /* not the last one, cut to its length */
        memcpy(other + (count - 1) * FRAME, stream + order[count - 1] * FRAME,
               last_len);
    expect_reason(open_stream(out, &out_len, other, other_len,
                              (struct pieces){FRAME, FRAME}),
                  KMSE_R_TAG_MISMATCH);
    assert_int_equal(out_len, right == 0 ? 0 : FIRST + (right - 1) * NEXT);
    assert_memory_equal(out, plain, out_len);
}

static void frames_in_another_order_are_refused(void **state)
{
    (void)state;
    static uint8_t stream[ROOM];
    size_t len = FIRST + 3 * NEXT + 40;
    assert_int_equal(seal(stream, len, (struct pieces){FRAME, FRAME}),
                     4 * FRAME + 40 + TAG);
    expect_order_refused(stream, (const size_t[]){0, 2, 1, 3, 4}, 5, 1);
    expect_order_refused(stream, (const size_t[]){1, 0, 2, 3, 4}, 5, 0);
    expect_order_refused(stream, (const size_t[]){0, 1, 1, 2, 3, 4}, 6, 2);
    expect_order_refused(stream, (const size_t[]){0, 0, 1, 2, 3, 4}, 6, 1);
    expect_order_refused(stream, (const size_t[]){0, 1, 2, 3, 3, 4}, 6, 4);
    expect_order_refused(stream, (const size_t[]){0, 1, 3, 4}, 4, 2);
    expect_order_refused(stream, (const size_t[]){0, 1, 2, 4}, 4, 3);
    expect_order_refused(stream, (const size_t[]){0, 4}, 2, 1);
    expect_order_refused(stream, (const size_t[]){4}, 1, 0);
    expect_order_refused(stream, (const size_t[]){0, 1, 2, 3, 2}, 5, 4);
}

/* With more behind its end, in the same piece or in one more. */
static void bytes_after_the_end_are_refused(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    size_t len = FIRST + 40, out_len = 0;
    size_t stream_len = seal(stream, len, (struct pieces){FRAME, FRAME});
    struct pieces to_the_end = {stream_len, FRAME};
    expect_reason(
        open_stream(out, &out_len, stream, stream_len + 1, to_the_end),
        KMSE_R_STREAM_ENDED);
    expect_reason(open_stream(out, &out_len, stream, stream_len + 1,
                              (struct pieces){FRAME, FRAME}),
                  KMSE_R_TAG_MISMATCH);
    assert_int_equal(out_len, FIRST);
    memmove(stream + stream_len, stream, stream_len);
    expect_reason(open_stream(out, &out_len, stream, 2 * stream_len,
                              (struct pieces){FRAME, FRAME}),
                  KMSE_R_TAG_MISMATCH);
    assert_int_equal(out_len, FIRST);
}

static void the_aad_is_the_stream_s(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    static const size_t TRIED[] = {0, 100, FIRST, 3 * FRAME};
    for (size_t i = 0; i < sizeof(TRIED) / sizeof(TRIED[0]); i++) {
        size_t out_len = 0;
        size_t len = seal(stream, TRIED[i], (struct pieces){FRAME, FRAME});
        for (size_t aad_len = 0; aad_len < AAD_LEN; aad_len++) {
            expect_reason(open_with_aad(out, &out_len, stream, len,
                                        (struct pieces){FRAME, FRAME}, AAD,
                                        aad_len),
                          KMSE_R_TAG_MISMATCH);
            assert_int_equal(out_len, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere_it_is_refused),
        cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(frames_in_another_order_are_refused),
        cmocka_unit_test(bytes_after_the_end_are_refused),
        cmocka_unit_test(the_aad_is_the_stream_s),
    };
    return cmocka_run_group_tests(tests, stream_set_up, stream_tear_down);
}
