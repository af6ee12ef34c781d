/* SPDX-License-Identifier: Apache-2.0 */
/* Messages sealed and opened: every length, split, shift and flipped bit. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "envelope/open.h"
#include "envelope/seal.h"

enum { VERSION = 0x010203, LONGEST = 200, ROOM = LONGEST + KMSE_OVERHEAD };

static struct kmse_crypto *crypto;
static struct kmse_gcm *sealing, *opening;
static const uint8_t KEY[KMSE_GCM_KEY_LEN] = "0123456789abcdef0123456789abcde";
static const uint8_t ID[KMSE_KEY_ID_LEN] = "id of this key.";
static const uint8_t NONCE[KMSE_NONCE_LEN] = "twelve bytes";
static uint8_t plain[8192];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 131 + i / 256);
    if (!kmse_is_ok(kmse_crypto_new(&crypto, NULL, false))
        || !kmse_is_ok(kmse_gcm_new(&sealing, crypto, KEY, KMSE_SEAL))
        || !kmse_is_ok(kmse_gcm_new(&opening, crypto, KEY, KMSE_OPEN)))
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_gcm_free(opening);
    kmse_gcm_free(sealing);
    kmse_crypto_free(crypto);
    return 0;
}

static size_t seal(uint8_t *out, const uint8_t *in, size_t in_len)
{
    struct kmse_seal s;
    size_t body_len = 0, tag_len = 0;
    expect_ok(kmse_seal_start(&s, sealing, ID, VERSION, NONCE));
    expect_ok(kmse_seal_aad(&s, (const uint8_t *)"aad", 3));
    expect_ok(kmse_seal_update(&s, out, in_len + KMSE_HEADER_LEN, &body_len, in,
                               in_len));
    expect_ok(kmse_seal_final(&s, out + body_len, KMSE_OVERHEAD, &tag_len));
    return body_len + tag_len;
}

static kmse_st start_open(struct kmse_open *o, const uint8_t *message)
{
    kmse_st st = kmse_open_start(o, opening, ID, message);
    return kmse_is_ok(st) ? kmse_open_aad(o, (const uint8_t *)"aad", 3) : st;
}

static kmse_st open_all(uint8_t *out, size_t *out_len, const uint8_t *message,
                        size_t len)
{
    struct kmse_open o;
    size_t a = 0, b = 0;
    *out_len = 0;
    KMSE_TRY(start_open(&o, message));
    KMSE_TRY(kmse_open_update(&o, out, len, &a, message + KMSE_HEADER_LEN,
                              len - KMSE_HEADER_LEN));
    KMSE_TRY(kmse_open_final(&o, out + a, KMSE_HELD_PLAINTEXT_LEN, &b));
    *out_len = a + b;
    return KMSE_OK;
}

static void the_header_is_what_the_document_says(void **state)
{
    (void)state;
    uint8_t message[ROOM];
    struct kmse_header header;
    assert_int_equal(seal(message, plain, 5), 5 + KMSE_OVERHEAD);
    assert_memory_equal(message, "\x4B\x01\x02\x03twelve bytes", 16);
    expect_ok(kmse_header_parse(&header, message, sizeof(message)));
    assert_int_equal(header.key_version, VERSION);
    assert_memory_equal(header.nonce, NONCE, sizeof(NONCE));
}

static void a_bad_header_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[KMSE_HEADER_LEN] = {0x4B, 0, 0, 1};
    struct kmse_header header;
    for (size_t len = 0; len < KMSE_HEADER_LEN; len++)
        expect_reason(kmse_header_parse(&header, bytes, len),
                      KMSE_R_HEADER_SHORT);
    expect_ok(kmse_header_parse(&header, bytes, KMSE_HEADER_LEN));
    bytes[3] = 0;
    expect_reason(kmse_header_parse(&header, bytes, KMSE_HEADER_LEN),
                  KMSE_R_KEY_VERSION);
    for (int format = 0; format < 256; format++) {
        bytes[0] = (uint8_t)format;
        bytes[3] = 1;
        kmse_st st = kmse_header_parse(&header, bytes, KMSE_HEADER_LEN);
        assert_int_equal(st.reason,
                         format == KMSE_FORMAT_1 ? 0 : KMSE_R_FORMAT_UNKNOWN);
    }
    expect_reason(kmse_header_print(bytes, 0, NONCE), KMSE_R_KEY_VERSION);
    expect_reason(kmse_header_print(bytes, KMSE_VERSION_MAX + 1, NONCE),
                  KMSE_R_KEY_VERSION);
}

/* Every split in two, input and output at every small distance. */
static void overlapping_buffers_are_right(void **state)
{
    (void)state;
    enum { SHIFT = 70 };
    uint8_t wanted[ROOM], area[ROOM + 2 * SHIFT];
    for (size_t len = 0; len <= LONGEST; len += 7) {
        size_t wanted_len = seal(wanted, plain, len);
        for (size_t shift = 0; shift <= 2 * SHIFT; shift++) {
            uint8_t *in = area + SHIFT, *out = area + shift;
            memcpy(in, plain, len);
            assert_int_equal(seal(out, in, len), wanted_len);
            assert_memory_equal(out, wanted, wanted_len);

            size_t out_len = 0;
            memcpy(in, wanted, wanted_len);
            expect_ok(open_all(out, &out_len, in, wanted_len));
            assert_int_equal(out_len, len);
            assert_memory_equal(out, plain, len);

            memcpy(in, wanted, wanted_len);
            expect_ok(kmse_open_whole(opening, ID, (const uint8_t *)"aad", 3,
                                      out, len, &out_len, in, wanted_len));
            assert_memory_equal(out, plain, len);
        }
    }
}

static void every_split_opens_and_holds_the_end_back(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    for (size_t len = 0; len <= LONGEST; len++) {
        size_t body_len = seal(message, plain, len) - KMSE_HEADER_LEN;
        const uint8_t *body = message + KMSE_HEADER_LEN;
        for (size_t split = 0; split <= body_len; split++) {
            struct kmse_open o;
            size_t a = 0, b = 0, c = 0;
            expect_ok(start_open(&o, message));
            expect_ok(kmse_open_update(&o, out, split, &a, body, split));
            expect_ok(kmse_open_update(&o, out + a, body_len - split, &b,
                                       body + split, body_len - split));
            assert_int_equal(
                a + b, body_len > KMSE_HELD_LEN ? body_len - KMSE_HELD_LEN : 0);
            expect_ok(
                kmse_open_final(&o, out + a + b, KMSE_HELD_PLAINTEXT_LEN, &c));
            assert_int_equal(a + b + c, len);
            assert_memory_equal(out, plain, len);
        }
    }
}

static void opened_whole_nothing_is_released_unverified(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {0, 1, 32, 100, 4096, 4097, 8000};
    static uint8_t message[sizeof(plain) + KMSE_OVERHEAD], out[sizeof(plain)];
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        size_t len = LENGTHS[i], out_len = 0;
        size_t message_len = seal(message, plain, len);
        expect_ok(kmse_open_whole(opening, ID, (const uint8_t *)"aad", 3, out,
                                  len, &out_len, message, message_len));
        assert_int_equal(out_len, len);
        assert_memory_equal(out, plain, len);
        for (size_t at = 4; at < message_len; at += 61) {
            memset(out, 0x5A, sizeof(out));
            message[at] ^= 4;
            expect_reason(kmse_open_whole(opening, ID, (const uint8_t *)"aad",
                                          3, out, len, &out_len, message,
                                          message_len),
                          KMSE_R_TAG_MISMATCH);
            for (size_t j = 0; j < sizeof(out); j++)
                assert_int_equal(out[j], 0x5A);
            message[at] ^= 4;
        }
    }
}

static void a_small_buffer_is_refused(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    struct kmse_seal s;
    struct kmse_open o;
    size_t out_len = 0;
    expect_ok(kmse_seal_start(&s, sealing, ID, VERSION, NONCE));
    expect_reason(kmse_seal_update(&s, out, 20, &out_len, plain, 5),
                  KMSE_R_BUFFER_SMALL);
    expect_reason(kmse_seal_final(&s, out, 31, &out_len), KMSE_R_BUFFER_SMALL);
    size_t len = seal(message, plain, 100);
    expect_ok(start_open(&o, message));
    expect_reason(
        kmse_open_update(&o, out, 67, &out_len, message + 16, len - 16),
        KMSE_R_BUFFER_SMALL);
    expect_reason(
        kmse_open_whole(opening, ID, NULL, 0, out, 99, &out_len, message, len),
        KMSE_R_BUFFER_SMALL);
    expect_reason(
        kmse_open_whole(opening, ID, NULL, 0, out, 99, &out_len, message, 31),
        KMSE_R_MESSAGE_SHORT);
}

static void no_message_is_longer_than_gcm_allows(void **state)
{
    (void)state;
    uint8_t out[64];
    struct kmse_seal s;
    size_t out_len = 0;
    expect_ok(kmse_seal_start(&s, sealing, ID, VERSION, NONCE));
    s.plaintext_len = KMSE_MESSAGE_MAX - 3;
    expect_ok(kmse_seal_update(&s, out, 64, &out_len, plain, 3));
    expect_reason(kmse_seal_update(&s, out, 64, &out_len, plain, 1),
                  KMSE_R_MESSAGE_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_what_the_document_says),
        cmocka_unit_test(a_bad_header_is_refused),
        cmocka_unit_test(overlapping_buffers_are_right),
        cmocka_unit_test(every_split_opens_and_holds_the_end_back),
        cmocka_unit_test(opened_whole_nothing_is_released_unverified),
        cmocka_unit_test(a_small_buffer_is_refused),
        cmocka_unit_test(no_message_is_longer_than_gcm_allows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
