/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as columns have them: there and back, and what is no encoding. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "table/encoding.h"

static kmse_st decode(enum kmse_encoding encoding, const char *text,
                      uint8_t *out, size_t *out_len)
{
    return kmse_encoding_decode(encoding, out, out_len, (const uint8_t *)text,
                                strlen(text));
}

static void every_length_comes_back(void **state)
{
    (void)state;
    enum { LONGEST = 100 };
    uint8_t in[LONGEST];
    for (size_t i = 0; i < LONGEST; i++)
        in[i] = (uint8_t)(i * 37 + 200);
    for (int e = KMSE_ENCODING_BINARY; e <= KMSE_ENCODING_HEX; e++) {
        for (size_t len = 0; len <= LONGEST; len++) {
            enum kmse_encoding encoding = (enum kmse_encoding)e;
            size_t text_len = kmse_encoding_encoded_len(encoding, len);
            size_t back_len = 0;
            /* Exactly as large: the sanitizer sees each byte over. */
            uint8_t *text = malloc(text_len + 1);
            uint8_t *back =
                malloc(kmse_encoding_decoded_max(encoding, text_len) + 1);
            kmse_encoding_encode(encoding, text, in, len, text, 0);
            expect_ok(kmse_encoding_decode(encoding, back, &back_len, text,
                                           text_len));
            assert_int_equal(back_len, len);
            assert_memory_equal(back, in, len);
            free(text);
            free(back);
        }
    }
}

/* RFC 4648, 10. */
static void base64_is_the_standard_one(void **state)
{
    (void)state;
    static const char *const PLAIN[] = {"",     "f",     "fo",    "foo",
                                        "foob", "fooba", "foobar"};
    static const char *const TEXT[] = {
        "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < sizeof(PLAIN) / sizeof(PLAIN[0]); i++) {
        uint8_t out[16];
        size_t len = 0;
        expect_ok(decode(KMSE_ENCODING_BASE64, TEXT[i], out, &len));
        assert_int_equal(len, strlen(PLAIN[i]));
        assert_memory_equal(out, PLAIN[i], len);
        kmse_encoding_encode(KMSE_ENCODING_BASE64, out,
                             (const uint8_t *)PLAIN[i], len, out, 0);
        assert_memory_equal(out, TEXT[i], strlen(TEXT[i]));
    }
}

static void lines_of_base64_are_read(void **state)
{
    (void)state;
    uint8_t out[32];
    size_t len = 0;
    expect_ok(decode(KMSE_ENCODING_BASE64, "Zm9v\nYm\r\nFy\n", out, &len));
    assert_int_equal(len, 6);
    assert_memory_equal(out, "foobar", 6);
}

static void what_is_no_encoding_is_refused(void **state)
{
    (void)state;
    static const char *const BASE64[] = {
        "Zg",   "Zg=",      "Zh==",  "Zm9=", "=",    "====",
        "Z===", "Zg==Zg==", "Zm9v ", "Zm-_", "Zg=a", "Zm9v="};
    static const char *const HEX[] = {"4", "4g", "0x4b", "4b 00", "\\x4b"};
    uint8_t out[32];
    size_t len = 0;
    for (size_t i = 0; i < sizeof(BASE64) / sizeof(BASE64[0]); i++) {
        kmse_st st = decode(KMSE_ENCODING_BASE64, BASE64[i], out, &len);
        if (st.reason != KMSE_R_ENCODING)
            fail_msg("\"%s\" was taken", BASE64[i]);
    }
    for (size_t i = 0; i < sizeof(HEX) / sizeof(HEX[0]); i++)
        expect_reason(decode(KMSE_ENCODING_HEX, HEX[i], out, &len),
                      KMSE_R_ENCODING);
}

static void hex_keeps_its_case(void **state)
{
    (void)state;
    static const uint8_t IN[] = {0x4B, 0xCD};
    uint8_t out[4];
    kmse_encoding_encode(KMSE_ENCODING_HEX, out, IN, 2, (const uint8_t *)"4B01",
                         4);
    assert_memory_equal(out, "4BCD", 4);
    kmse_encoding_encode(KMSE_ENCODING_HEX, out, IN, 2, (const uint8_t *)"4b01",
                         4);
    assert_memory_equal(out, "4bcd", 4);
}

static uint32_t version(enum kmse_encoding encoding, const char *in, size_t len)
{
    return kmse_encoding_version(encoding, (const uint8_t *)in, len);
}

static void the_tag_is_seen_through_each(void **state)
{
    (void)state;
    assert_int_equal(version(KMSE_ENCODING_BINARY, "K\0\0\1....", 8), 1);
    assert_int_equal(version(KMSE_ENCODING_BINARY, "K\0\0\1", 4), 1);
    assert_int_equal(version(KMSE_ENCODING_BINARY, "K\0\0", 3), 0);
    assert_int_equal(version(KMSE_ENCODING_BINARY, "L\0\0\1....", 8), 0);
    assert_int_equal(version(KMSE_ENCODING_HEX, "4b010203zz", 10), 0x010203);
    assert_int_equal(version(KMSE_ENCODING_HEX, "4B010203", 8), 0x010203);
    assert_int_equal(version(KMSE_ENCODING_HEX, "4b0102", 6), 0);
    assert_int_equal(version(KMSE_ENCODING_BASE64, "SwAAAQAA", 8), 1);
    assert_int_equal(version(KMSE_ENCODING_BASE64, "SwAAAQ==", 8), 1);
    assert_int_equal(version(KMSE_ENCODING_BASE64, "SwAA", 4), 0);
    assert_int_equal(version(KMSE_ENCODING_BASE64, "anna@exa", 8), 0);
    assert_int_equal(version(KMSE_ENCODING_BASE64, "", 0), 0);
}

static void names_are_exact(void **state)
{
    (void)state;
    enum kmse_encoding encoding = KMSE_ENCODING_AUTO;
    assert_false(kmse_encoding_parse(&encoding, "auto"));
    assert_false(kmse_encoding_parse(&encoding, "base"));
    assert_int_equal(encoding, KMSE_ENCODING_AUTO);
    assert_true(kmse_encoding_parse(&encoding, "base64"));
    assert_int_equal(encoding, KMSE_ENCODING_BASE64);
    assert_string_equal(kmse_encoding_name(encoding), "base64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(base64_is_the_standard_one),
        cmocka_unit_test(lines_of_base64_are_read),
        cmocka_unit_test(what_is_no_encoding_is_refused),
        cmocka_unit_test(hex_keeps_its_case),
        cmocka_unit_test(the_tag_is_seen_through_each),
        cmocka_unit_test(names_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
