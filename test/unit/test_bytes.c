/* SPDX-License-Identifier: Apache-2.0 */
/* Hex, base64, time and text. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

static void integers_are_big_endian(void **state)
{
    (void)state;
    uint8_t bytes[8];
    kmse_store_be24(bytes, 0x010203);
    assert_memory_equal(bytes, "\x01\x02\x03", 3);
    assert_int_equal(kmse_load_be24(bytes), 0x010203);
    kmse_store_be64(bytes, 0x0102030405060708U);
    assert_memory_equal(bytes, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    assert_true(kmse_load_be64(bytes) == 0x0102030405060708U);
    assert_int_equal(kmse_load_be32(bytes + 4), 0x05060708);
}

static void hex_is_strict(void **state)
{
    (void)state;
    uint8_t out[3];
    char text[7];
    expect_ok(kmse_hex_decode(out, sizeof(out), "00a1ff"));
    assert_memory_equal(out, "\x00\xa1\xff", 3);
    kmse_hex_encode(text, out, sizeof(out));
    assert_string_equal(text, "00a1ff");
    static const char *const BAD[] = {"",       "00a1f",  "00a1ff0", "00A1FF",
                                      "00a1fg", " 0a1ff", "00a1f\n"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        expect_reason(kmse_hex_decode(out, sizeof(out), BAD[i]),
                      KMSE_R_ENCODING);
}

static void base64_round_trips_at_every_length(void **state)
{
    (void)state;
    uint8_t in[70];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= sizeof(in); len++) {
        char *text = NULL;
        uint8_t *out = NULL;
        size_t out_len = 1;
        expect_ok(kmse_base64_encode(&text, in, len));
        expect_ok(kmse_base64_decode(&out, &out_len, text));
        assert_int_equal(out_len, len);
        assert_memory_equal(out, in, len);
        free(out);
        free(text);
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "A",    "AA",   "AAA",  "AA==\n",   " AA==", "AB==",  "AAB=",
        "====", "A===", "AA=A", "AA==AAAA", "A-A=",  "AAA\n", "AA======"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        uint8_t *out = NULL;
        size_t out_len = 0;
        expect_reason(kmse_base64_decode(&out, &out_len, BAD[i]),
                      KMSE_R_ENCODING);
        assert_null(out);
    }
}

static void text_for_messages_is_printable(void **state)
{
    (void)state;
    char out[8];
    kmse_printable_copy(out, sizeof(out), (const uint8_t *)"a\x01\xff z\n", 6);
    assert_string_equal(out, "a?? z?");
    kmse_printable_copy(out, sizeof(out), (const uint8_t *)"123456789", 9);
    assert_string_equal(out, "1234567");
}

static void time_is_strict(void **state)
{
    (void)state;
    int64_t seconds = 0;
    char text[KMSE_TIME_LEN];
    expect_ok(kmse_time_parse(&seconds, "2026-11-24T10:00:00Z"));
    assert_true(seconds == 1795514400);
    kmse_time_print(text, seconds);
    assert_string_equal(text, "2026-11-24T10:00:00Z");
    static const char *const BAD[] = {"",
                                      "2026-11-24",
                                      "2026-11-24T10:00:00",
                                      "2026-11-24T10:00:00Zx",
                                      "2026-02-30T10:00:00Z",
                                      "2026-11-24 10:00:00Z",
                                      "2026-1-24T10:00:00Z ",
                                      "1969-12-31T23:59:59Z",
                                      "2026-11-24T24:00:00Z"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        expect_reason(kmse_time_parse(&seconds, BAD[i]), KMSE_R_ENCODING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(hex_is_strict),
        cmocka_unit_test(base64_round_trips_at_every_length),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(text_for_messages_is_printable),
        cmocka_unit_test(time_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
