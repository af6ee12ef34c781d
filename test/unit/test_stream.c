/* SPDX-License-Identifier: Apache-2.0 */
/* Streams written and read in all sorts of pieces and buffers. */
#include "stream_fixture.h"

#include <string.h>

/* Around every end of a frame. */
static const size_t LENGTHS[] = {
    0,
    1,
    FIRST - 1,
    FIRST,
    FIRST + 1,
    FRAME,
    FIRST + NEXT - 1,
    FIRST + NEXT,
    FIRST + NEXT + 1,
    2 * FRAME,
    FIRST + 2 * NEXT - 1,
    FIRST + 2 * NEXT,
    FIRST + 2 * NEXT + 1,
    4 * FRAME,
    LONGEST,
};
enum { LENGTH_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };

static void expect_plaintext(const uint8_t *stream, size_t stream_len,
                             size_t len, struct pieces pieces)
{
    static uint8_t out[ROOM];
    size_t out_len = 0;
    expect_ok(open_stream(out, &out_len, stream, stream_len, pieces));
    assert_int_equal(out_len, len);
    assert_memory_equal(out, plain, len);
}

/* --- pieces -------------------------------------------------------------- */

static void a_stream_is_what_the_document_says(void **state)
{
    (void)state;
    static uint8_t stream[ROOM];
    struct kmse_header header;
    assert_int_equal(seal(stream, 5, (struct pieces){5, 5}), 5 + HEADER + TAG);
    assert_memory_equal(stream,
                        "\xD3"
                        "\x01\x02\x03twelve bytes",
                        HEADER);
    expect_ok(kmse_stream_header_parse(&header, stream, HEADER));
    assert_int_equal(header.format, KMSE_FORMAT_STREAM);
    assert_int_equal(header.key_version, VERSION);
    assert_memory_equal(header.nonce, SALT, sizeof(SALT));
    expect_reason(kmse_header_parse(&header, stream, HEADER),
                  KMSE_R_FORMAT_UNKNOWN);
    stream[0] = KMSE_FORMAT_1;
    expect_reason(kmse_stream_header_parse(&header, stream, HEADER),
                  KMSE_R_FORMAT_UNKNOWN);
    expect_reason(kmse_stream_header_parse(&header, stream, HEADER - 1),
                  KMSE_R_HEADER_SHORT);
    expect_reason(kmse_stream_header_print(stream, 0, SALT),
                  KMSE_R_KEY_VERSION);
}

/* Whatever pieces wrote it, the stream is the same, and opens in whole frames.
 */
static void pieces_do_not_show_in_the_stream(void **state)
{
    (void)state;
    static uint8_t wanted[ROOM], stream[ROOM];
    static const struct pieces WRITERS[] = {
        {2 * FRAME, 2 * FRAME}, {1000, 1000},     {1, 2 * FRAME},
        {FIRST, NEXT},          {FIRST - 1, 1},   {2 * FRAME, 33},
        {FIRST + 1, NEXT},      {8191, 2 * FRAME}};
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        size_t len = LENGTHS[i];
        size_t stream_len = seal(wanted, len, (struct pieces){FRAME, FRAME});
        for (size_t j = 0; j < sizeof(WRITERS) / sizeof(WRITERS[0]); j++) {
            assert_int_equal(seal(stream, len, WRITERS[j]), stream_len);
            assert_memory_equal(stream, wanted, stream_len);
        }
        for (size_t frames = 1; frames <= 3; frames++) {
            size_t piece = frames * FRAME;
            expect_plaintext(wanted, stream_len, len,
                             (struct pieces){piece, piece});
        }
        expect_plaintext(wanted, stream_len, len,
                         (struct pieces){2 * FRAME, FRAME});
        expect_plaintext(wanted, stream_len, len,
                         (struct pieces){WHOLE, WHOLE});
    }
}

/* What comes in one piece before the last is held, and must fit then. */
static void a_short_stream_opens_in_every_split(void **state)
{
    (void)state;
    static uint8_t stream[ROOM];
    enum { SPLIT_LEN = 300, HELD_MAX = 76 };
    uint8_t out[SPLIT_LEN];
    for (size_t len = 0; len <= SPLIT_LEN; len++) {
        size_t stream_len = seal(stream, len, (struct pieces){1, 7});
        for (size_t split = HEADER; split < stream_len; split++) {
            size_t out_len = 0, held = split - HEADER;
            kmse_st st = open_stream(out, &out_len, stream, stream_len,
                                     (struct pieces){split, WHOLE});
            if (held > HELD_MAX) {
                expect_reason(st, KMSE_R_STREAM_PIECES);
                assert_int_equal(out_len, 0);
                continue;
            }
            expect_ok(st);
            assert_int_equal(out_len, len);
            assert_memory_equal(out, plain, len);
        }
    }
}

static void a_field_opens_byte_by_byte(void **state)
{
    (void)state;
    static uint8_t stream[ROOM];
    for (size_t len = 0; len <= KMSE_STREAM_HELD_MAX - TAG + 1; len++) {
        size_t stream_len = seal(stream, len, (struct pieces){1, 1});
        expect_plaintext(stream, stream_len, len, (struct pieces){HEADER, 1});
    }
}

static void the_last_frame_may_come_in_pieces(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    enum { HELD_MAX = 76 };
    for (size_t len = 0; len <= 2 * HELD_MAX; len++) {
        size_t out_len = 0, text_len = FIRST + NEXT + len;
        size_t stream_len =
            seal(stream, text_len, (struct pieces){FRAME, FRAME});
        struct pieces bytes = {2 * FRAME, 1};
        kmse_st st = open_stream(out, &out_len, stream, stream_len, bytes);
        /* The last byte is the one after those that are held. */
        if (len + TAG > HELD_MAX + 1)
            expect_reason(st, KMSE_R_STREAM_PIECES);
        else
            expect_ok(st);
        assert_int_equal(out_len,
                         len + TAG > HELD_MAX + 1 ? FIRST + NEXT : text_len);
        assert_memory_equal(out, plain, out_len);
    }
}

/* As soon as it is seen, and verified frames alone came before. */
static void uneven_pieces_are_refused(void **state)
{
    (void)state;
    static uint8_t stream[ROOM], out[ROOM];
    static const struct pieces UNEVEN[] = {
        {1000, 1000},      {FRAME - 1, FRAME},     {FRAME + 1, FRAME},
        {6000, 6000},      {2 * FRAME + 1, FRAME}, {100, FRAME},
        {FRAME, 1},        {50, 2 * FRAME - 50},   {FRAME, FRAME - 1},
        {HEADER + 1, 8192}};
    size_t stream_len = seal(stream, LONGEST, (struct pieces){FRAME, FRAME});
    for (size_t i = 0; i < sizeof(UNEVEN) / sizeof(UNEVEN[0]); i++) {
        size_t out_len = 0, first = UNEVEN[i].first;
        expect_reason(open_stream(out, &out_len, stream, stream_len, UNEVEN[i]),
                      KMSE_R_STREAM_PIECES);
        size_t frames = first / FRAME;
        if (first == FRAME) /* the second one is uneven */
            frames = 1;
        assert_int_equal(out_len,
                         frames == 0 ? 0 : FIRST + (frames - 1) * NEXT);
        assert_memory_equal(out, plain, out_len);
    }
}

static void long_pieces_cannot_be_written(void **state)
{
    (void)state;
    static struct kmse_stream_seal s;
    static uint8_t out[ROOM];
    size_t out_len = 1;
    start_seal(&s, false);
    expect_reason(kmse_stream_seal_update(&s, out, ROOM, &out_len, plain,
                                          KMSE_STREAM_PIECE_MAX + 1),
                  KMSE_R_STREAM_PIECES);
    assert_int_equal(out_len, 0);
}

/* PHP's buffer: of the plaintext's length and one block. */
static void one_buffer_takes_one_frame(void **state)
{
    (void)state;
    static struct kmse_stream_seal s;
    static uint8_t stream[ROOM], out[ROOM];
    for (size_t len = 1; len <= 2 * FRAME; len++) {
        size_t a = 0, b = 0;
        start_seal(&s, true);
        kmse_st st = kmse_stream_seal_update(&s, out, len + KMSE_OVERHEAD, &a,
                                             plain, len);
        if (len >= FIRST) {
            expect_reason(st, KMSE_R_STREAM_PIECES);
            continue;
        }
        expect_ok(st);
        expect_ok(
            kmse_stream_seal_final(&s, out + a, len + KMSE_OVERHEAD - a, &b));
        assert_int_equal(a + b, len + HEADER + TAG);
    }
    /* After the first piece there is more than one call's buffer. */
    size_t len = 0, written = 0, wanted = 0;
    wanted = seal(stream, LONGEST, (struct pieces){FRAME, FRAME});
    start_seal(&s, true);
    for (size_t at = 0, piece = 100; at < LONGEST; at += piece, piece = 8092) {
        piece = piece < LONGEST - at ? piece : LONGEST - at;
        expect_ok(kmse_stream_seal_update(
            &s, out + written, piece + KMSE_OVERHEAD, &len, plain + at, piece));
        written += len;
    }
    expect_ok(kmse_stream_seal_final(&s, out + written, KMSE_OVERHEAD, &len));
    assert_int_equal(written + len, wanted);
    assert_memory_equal(out, stream, wanted);
}

/* --- buffers ------------------------------------------------------------- */

/* Output and input at every small distance, and at some larger ones. */
static void overlapping_buffers_are_right(void **state)
{
    (void)state;
    enum { SHIFT = 100, AREA = 3 * FRAME };
    static struct kmse_stream_seal s;
    static struct kmse_stream_open o;
    static uint8_t wanted[ROOM], area[AREA + 2 * SHIFT];
    static const size_t TRIED[] = {1, 50, FIRST, FRAME, 2 * FRAME - 64};
    for (size_t i = 0; i < sizeof(TRIED) / sizeof(TRIED[0]); i++) {
        size_t len = TRIED[i], a = 0, b = 0;
        size_t wanted_len = seal(wanted, len, (struct pieces){FRAME, FRAME});
        for (size_t shift = 0; shift <= 2 * SHIFT; shift++) {
            uint8_t *in = area + SHIFT, *out = area + shift;
            memcpy(in, plain, len);
            start_seal(&s, false);
            expect_ok(kmse_stream_seal_update(&s, out, len + KMSE_OVERHEAD, &a,
                                              in, len));
            expect_ok(kmse_stream_seal_final(&s, out + a, KMSE_OVERHEAD, &b));
            assert_int_equal(a + b, wanted_len);
            assert_memory_equal(out, wanted, wanted_len);

            memcpy(in, wanted, wanted_len);
            expect_ok(
                kmse_stream_open_start(&o, opening, ID, in, AAD, AAD_LEN));
            expect_ok(
                kmse_stream_open_update(&o, out, wanted_len + KMSE_OVERHEAD, &a,
                                        in + HEADER, wanted_len - HEADER));
            assert_int_equal(a, len);
            assert_memory_equal(out, plain, len);
        }
    }
}

static void a_small_buffer_is_refused(void **state)
{
    (void)state;
    static struct kmse_stream_seal s;
    static struct kmse_stream_open o;
    static uint8_t stream[ROOM], out[ROOM];
    size_t len = 0;
    start_seal(&s, false);
    expect_reason(kmse_stream_seal_update(&s, out, 20, &len, plain, 5),
                  KMSE_R_BUFFER_SMALL);
    expect_reason(kmse_stream_seal_final(&s, out, 27, &len),
                  KMSE_R_BUFFER_SMALL);
    size_t stream_len = seal(stream, 60, (struct pieces){1, 60});
    expect_ok(kmse_stream_open_start(&o, opening, ID, stream, AAD, AAD_LEN));
    expect_reason(kmse_stream_open_update(&o, out, stream_len - HEADER - 1,
                                          &len, stream + HEADER,
                                          stream_len - HEADER),
                  KMSE_R_BUFFER_SMALL);
    expect_ok(kmse_stream_open_update(&o, out, 70, &len, stream + HEADER, 70));
    expect_reason(kmse_stream_open_update(&o, out, KMSE_OVERHEAD + 1, &len,
                                          stream + HEADER + 70, 2),
                  KMSE_R_BUFFER_SMALL);
    expect_ok(kmse_stream_open_update(&o, out, KMSE_OVERHEAD + 2, &len,
                                      stream + HEADER + 70, 2));
    assert_int_equal(len, KMSE_OVERHEAD + 2);
    expect_reason(kmse_stream_open_final(&o, out, 60 - 34 - 1, &len),
                  KMSE_R_BUFFER_SMALL);
    expect_ok(kmse_stream_open_final(&o, out, 60 - 34, &len));
    assert_int_equal(len, 60 - 34);
    assert_memory_equal(out, plain + 34, len);
}

/* --- limits -------------------------------------------------------------- */

static void no_frame_number_is_used_twice(void **state)
{
    (void)state;
    static struct kmse_stream_seal s;
    static struct kmse_stream_open o;
    static uint8_t out[ROOM];
    size_t len = 0;
    start_seal(&s, false);
    s.plan.frame = KMSE_STREAM_FRAMES_MAX - 2;
    s.plan.begun = true;
    expect_ok(kmse_stream_seal_update(&s, out, ROOM, &len, plain, NEXT));
    expect_ok(kmse_stream_seal_update(&s, out, ROOM, &len, plain, NEXT - 1));
    expect_reason(kmse_stream_seal_update(&s, out, ROOM, &len, plain, 1),
                  KMSE_R_MESSAGE_TOO_LONG);

    uint8_t header[HEADER];
    expect_ok(kmse_stream_header_print(header, VERSION, SALT));
    expect_ok(kmse_stream_open_start(&o, opening, ID, header, AAD, AAD_LEN));
    o.frame = KMSE_STREAM_FRAMES_MAX;
    expect_reason(kmse_stream_open_update(&o, out, ROOM, &len, plain, FRAME),
                  KMSE_R_MESSAGE_TOO_LONG);
    expect_reason(kmse_stream_open_update(&o, out, ROOM, &len, plain, TAG),
                  KMSE_R_MESSAGE_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_what_the_document_says),
        cmocka_unit_test(pieces_do_not_show_in_the_stream),
        cmocka_unit_test(a_short_stream_opens_in_every_split),
        cmocka_unit_test(a_field_opens_byte_by_byte),
        cmocka_unit_test(the_last_frame_may_come_in_pieces),
        cmocka_unit_test(uneven_pieces_are_refused),
        cmocka_unit_test(long_pieces_cannot_be_written),
        cmocka_unit_test(one_buffer_takes_one_frame),
        cmocka_unit_test(overlapping_buffers_are_right),
        cmocka_unit_test(a_small_buffer_is_refused),
        cmocka_unit_test(no_frame_number_is_used_twice),
    };
    return cmocka_run_group_tests(tests, stream_set_up, stream_tear_down);
}
