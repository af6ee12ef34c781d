/* SPDX-License-Identifier: Apache-2.0 */
/* What is encrypted is decrypted, at every length, cut anywhere, in place. */
#include "evp_test.h"

#include <stdlib.h>

#include "support/guard.h"

enum {
    EVERY_LENGTH_MAX = 4200,
    EVERY_SPLIT_MAX = 200,
    BYTE_BY_BYTE_MAX = 300,
    MEBIBYTE = 1 << 20,
    LARGE = 64 * MEBIBYTE,
    PIECE = 4096, /* what openssl enc gives */
    HEADER_LEN = 16,
    TAG_LEN = 16,
    HELD_LEN = 32,
};

static struct evp_env env;
static EVP_CIPHER_CTX *ctx;
static uint8_t *plaintext; /* LARGE bytes */
static struct guard guard;
static const struct evp_text NO_AAD = {NULL, 0};
static const struct evp_text AAD = {(const uint8_t *)"users.email:42", 14};

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    ctx = EVP_CIPHER_CTX_new();
    plaintext = malloc(LARGE);
    fill_pattern(plaintext, LARGE);
    guard_open(&guard, LARGE + ENV_OVERHEAD);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_close(&guard);
    free(plaintext);
    EVP_CIPHER_CTX_free(ctx);
    evp_env_close(&env);
    return 0;
}

static struct evp_text text(const uint8_t *bytes, size_t len)
{
    return (struct evp_text){bytes, len};
}

/* --- pieces, each into a buffer that is as long as documented ------------ */

struct pieces {
    size_t first, rest; /* lengths; the last one is what is left */
};

static size_t piece_len(struct pieces pieces, size_t done, size_t total)
{
    size_t len = done == 0 && pieces.first > 0 ? pieces.first : pieces.rest;
    return len < total - done ? len : total - done;
}

static void begin(int encrypt, struct evp_text aad)
{
    int len = 0;
    EXPECT(EVP_CipherInit_ex2(ctx, env.cipher, NULL, NULL, encrypt, NULL));
    if (aad.bytes == NULL)
        return;
    EXPECT(EVP_CipherUpdate(ctx, NULL, &len, aad.bytes, (int)aad.len));
    assert_int_equal(len, aad.len);
}

/* The first Update writes inl + 16, later ones inl, Final 16; empty: 32. */
static size_t encrypt_pieces(uint8_t *out, struct evp_text in,
                             struct pieces pieces, struct evp_text aad)
{
    size_t done = 0, written = 0;
    int len = 0;
    begin(1, aad);
    while (done < in.len) {
        size_t in_len = piece_len(pieces, done, in.len);
        size_t bound = in_len + (done == 0 ? HEADER_LEN : 0);
        uint8_t *buffer = guard_last(&guard, bound);
        EXPECT(
            EVP_EncryptUpdate(ctx, buffer, &len, in.bytes + done, (int)in_len));
        assert_int_equal(len, bound);
        memcpy(out + written, buffer, bound);
        done += in_len;
        written += bound;
    }
    size_t bound = in.len > 0 ? TAG_LEN : ENV_OVERHEAD;
    uint8_t *buffer = guard_last(&guard, bound);
    EXPECT(EVP_EncryptFinal_ex(ctx, buffer, &len));
    assert_int_equal(len, bound);
    memcpy(out + written, buffer, bound);
    return written + bound;
}

/* No Update writes more than it is given; Final writes what was held. */
static size_t decrypt_pieces(uint8_t *out, struct evp_text in,
                             struct pieces pieces, struct evp_text aad)
{
    size_t done = 0, written = 0;
    int len = 0;
    begin(0, aad);
    while (done < in.len) {
        size_t in_len = piece_len(pieces, done, in.len);
        uint8_t *buffer = guard_last(&guard, in_len);
        EXPECT(
            EVP_DecryptUpdate(ctx, buffer, &len, in.bytes + done, (int)in_len));
        assert_in_range(len, 0, in_len);
        memcpy(out + written, buffer, (size_t)len);
        done += in_len;
        written += (size_t)len;
    }
    size_t plain_len = in.len - ENV_OVERHEAD;
    size_t bound = plain_len < HELD_LEN ? plain_len : HELD_LEN;
    uint8_t *buffer = guard_last(&guard, bound);
    EXPECT(EVP_DecryptFinal_ex(ctx, buffer, &len));
    assert_int_equal(len, bound);
    memcpy(out + written, buffer, (size_t)len);
    return written + (size_t)len;
}

static void there_and_back(size_t len, struct pieces there, struct pieces back,
                           struct evp_text aad)
{
    uint8_t *message = malloc(len + ENV_OVERHEAD);
    uint8_t *again = malloc(len + 1);
    size_t message_len =
        encrypt_pieces(message, text(plaintext, len), there, aad);
    assert_int_equal(message_len, len + ENV_OVERHEAD);
    assert_int_equal(
        decrypt_pieces(again, text(message, message_len), back, aad), len);
    assert_memory_equal(again, plaintext, len);
    free(message);
    free(again);
}

static void every_split_into_two_updates(void **state)
{
    (void)state;
    const struct pieces whole = {0, MEBIBYTE};
    for (size_t len = 0; len <= EVERY_SPLIT_MAX; len++) {
        struct evp_text aad = len % 2 == 0 ? NO_AAD : AAD;
        for (size_t at = 1; at < len; at++)
            there_and_back(len, (struct pieces){at, MEBIBYTE}, whole, aad);
        for (size_t at = 1; at < len + ENV_OVERHEAD; at++)
            there_and_back(len, whole, (struct pieces){at, MEBIBYTE}, aad);
    }
}

static void byte_by_byte(void **state)
{
    (void)state;
    const struct pieces bytes = {0, 1};
    for (size_t len = 0; len <= BYTE_BY_BYTE_MAX; len++)
        there_and_back(len, bytes, bytes, AAD);
}

static void large_messages_in_pieces(void **state)
{
    (void)state;
    const struct pieces small = {0, PIECE}, odd = {7, 65521};
    const struct pieces whole = {0, LARGE + ENV_OVERHEAD};
    there_and_back(MEBIBYTE, small, odd, AAD);
    there_and_back(MEBIBYTE, odd, small, NO_AAD);
    there_and_back(MEBIBYTE, whole, whole, AAD);
    there_and_back(LARGE, small, whole, NO_AAD);
    there_and_back(LARGE, whole, odd, AAD);
}

/* --- one buffer of exactly length + 32 ---------------------------------- */

static void one_buffer(size_t len, struct evp_text aad)
{
    uint8_t *out = guard_last(&guard, len + ENV_OVERHEAD);
    int out_len =
        evp_seal(ctx, env.cipher, ENV_KEY, aad, text(plaintext, len), out);
    EXPECT(out_len);
    assert_int_equal(out_len, len + ENV_OVERHEAD);
    uint8_t *message = malloc(len + ENV_OVERHEAD);
    memcpy(message, out, len + ENV_OVERHEAD);

    out = guard_last(&guard, len);
    out_len = evp_open(ctx, env.cipher, ENV_KEY, aad,
                       text(message, len + ENV_OVERHEAD), out);
    if (len > 0)
        EXPECT(out_len);
    assert_int_equal(out_len, len);
    assert_memory_equal(out, plaintext, len);
    free(message);
}

static void every_length(void **state)
{
    (void)state;
    for (size_t len = 0; len <= EVERY_LENGTH_MAX; len++) {
        one_buffer(len, NO_AAD);
        one_buffer(len, AAD);
    }
    one_buffer(MEBIBYTE, AAD);
    one_buffer(LARGE, AAD);
}

static void every_length_in_one_call(void **state)
{
    (void)state;
    for (size_t len = 0; len <= EVERY_LENGTH_MAX; len++) {
        uint8_t message[EVERY_LENGTH_MAX + ENV_OVERHEAD];
        uint8_t *out = guard_last(&guard, len + ENV_OVERHEAD);
        begin(1, len % 2 == 0 ? AAD : NO_AAD);
        assert_int_equal(EVP_Cipher(ctx, out, plaintext, (unsigned)len),
                         len + ENV_OVERHEAD);
        memcpy(message, out, len + ENV_OVERHEAD);

        out = guard_last(&guard, len);
        begin(0, len % 2 == 0 ? AAD : NO_AAD);
        assert_int_equal(
            EVP_Cipher(ctx, out, message, (unsigned)len + ENV_OVERHEAD), len);
        assert_memory_equal(out, plaintext, len);
    }
}

/* --- out and in share memory -------------------------------------------- */

/* in begins at buffer + in_at, out at buffer + out_at. */
static void overlapping(size_t len, size_t in_at, size_t out_at)
{
    enum { ROOM = EVERY_LENGTH_MAX + 4 * ENV_OVERHEAD };
    uint8_t buffer[ROOM], message[ROOM];
    memcpy(buffer + in_at, plaintext, len);
    EXPECT(evp_seal(ctx, env.cipher, ENV_KEY, AAD, text(buffer + in_at, len),
                    buffer + out_at));
    memcpy(message, buffer + out_at, len + ENV_OVERHEAD);

    memcpy(buffer + in_at, message, len + ENV_OVERHEAD);
    int opened =
        evp_open(ctx, env.cipher, ENV_KEY, AAD,
                 text(buffer + in_at, len + ENV_OVERHEAD), buffer + out_at);
    assert_int_equal(opened, len);
    assert_memory_equal(buffer + out_at, plaintext, len);

    memcpy(buffer + in_at, message, len + ENV_OVERHEAD);
    begin(0, AAD);
    assert_int_equal(EVP_Cipher(ctx, buffer + out_at, buffer + in_at,
                                (unsigned)len + ENV_OVERHEAD),
                     len);
    assert_memory_equal(buffer + out_at, plaintext, len);
}

static void in_place(void **state)
{
    (void)state;
    for (size_t len = 0; len <= EVERY_LENGTH_MAX; len++)
        overlapping(len, 0, 0);
}

static void any_overlap(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {0, 1, 16, 31, 32, 33, 48, 100, 4099};
    enum { SHIFT_MAX = 2 * ENV_OVERHEAD };
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        for (size_t shift = 0; shift <= SHIFT_MAX; shift++) {
            overlapping(LENGTHS[i], shift, 0);
            overlapping(LENGTHS[i], 0, shift);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length),
        cmocka_unit_test(every_length_in_one_call),
        cmocka_unit_test(every_split_into_two_updates),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(large_messages_in_pieces),
        cmocka_unit_test(in_place),
        cmocka_unit_test(any_overlap),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
