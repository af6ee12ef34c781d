/* SPDX-License-Identifier: Apache-2.0 */
/* Deterministic messages: against OpenSSL's own SIV, every length, overlap and
 * flipped bit. */
#include "test.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "envelope/siv.h"

enum {
    VERSION = 0x010203,
    LONGEST = 130,
    ROOM = LONGEST + KMSE_SIV_OVERHEAD,
    FILLING = 0x5A,
};

static struct kmse_crypto *crypto;
static struct kmse_siv *siv;
static EVP_CIPHER *other_siv; /* OpenSSL's */
static uint8_t key[KMSE_SIV_KEY_LEN];
static uint8_t plain[LONGEST];
static const uint8_t ID[KMSE_KEY_ID_LEN] = "id of this key.";
static const struct kmse_siv_aad AAD = {(const uint8_t *)"aad", 3};

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 131 + 5);
    other_siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    if (other_siv == NULL || !kmse_is_ok(kmse_crypto_new(&crypto, NULL, false))
        || !kmse_is_ok(kmse_siv_new(&siv, crypto, key)))
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_siv_free(siv);
    kmse_crypto_free(crypto);
    EVP_CIPHER_free(other_siv);
    return 0;
}

/* --- the cipher --------------------------------------------------------- */

/* OpenSSL's AES-256-SIV of at least one byte under one string of AD. */
static void encrypt_otherwise(const uint8_t *ad, size_t ad_len, uint8_t *tag,
                              uint8_t *out, size_t len)
{
    int out_len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag,
                                          KMSE_SIV_TAG_LEN),
        OSSL_PARAM_construct_end(),
    };
    assert_non_null(ctx);
    assert_int_equal(EVP_EncryptInit_ex2(ctx, other_siv, key, NULL, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &out_len, ad, (int)ad_len),
                     1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &out_len, plain, (int)len), 1);
    assert_int_equal(EVP_CIPHER_CTX_get_params(ctx, params), 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void it_is_the_siv_of_openssl(void **state)
{
    (void)state;
    uint8_t ad[64], tag[KMSE_SIV_TAG_LEN], out[LONGEST];
    uint8_t other_tag[KMSE_SIV_TAG_LEN], other_out[LONGEST];
    memset(ad, 'a', sizeof(ad));
    for (size_t len = 1; len <= LONGEST; len++) {
        for (size_t first = 0; first <= 34; first += 17) {
            const size_t ad_len = 1 + first + len % 13;
            const struct kmse_siv_ad parts = {ad, ad + first, first,
                                              ad_len - first};
            expect_ok(kmse_siv_encrypt(siv, &parts, tag, out, plain, len));
            encrypt_otherwise(ad, ad_len, other_tag, other_out, len);
            assert_memory_equal(tag, other_tag, sizeof(tag));
            assert_memory_equal(out, other_out, len);
        }
    }
}

/* The bits of the tag that the counter does not have are authenticated. */
static void each_bit_of_the_tag_counts(void **state)
{
    (void)state;
    const struct kmse_siv_ad ad = {ID, NULL, sizeof(ID), 0};
    uint8_t tag[KMSE_SIV_TAG_LEN], out[LONGEST], again[LONGEST];
    expect_ok(kmse_siv_encrypt(siv, &ad, tag, out, plain, LONGEST));
    for (size_t bit = 0; bit < sizeof(tag) * 8; bit++) {
        tag[bit / 8] ^= (uint8_t)(1U << bit % 8);
        memset(again, FILLING, sizeof(again));
        expect_reason(kmse_siv_decrypt(siv, &ad, tag, again, out, LONGEST),
                      KMSE_R_TAG_MISMATCH);
        for (size_t i = 0; i < sizeof(again); i++)
            assert_int_equal(again[i], 0);
        tag[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    expect_ok(kmse_siv_decrypt(siv, &ad, tag, again, out, LONGEST));
    assert_memory_equal(again, plain, LONGEST);
}

/* --- messages ----------------------------------------------------------- */

static size_t seal(uint8_t *out, const uint8_t *in, size_t in_len)
{
    size_t out_len = 0;
    expect_ok(kmse_siv_seal(siv, ID, VERSION, AAD, out,
                            in_len + KMSE_SIV_OVERHEAD, &out_len, in, in_len));
    return out_len;
}

static kmse_st open_message(uint8_t *out, size_t *out_len, const uint8_t *in,
                            size_t in_len)
{
    size_t room = in_len < KMSE_SIV_OVERHEAD ? 0 : in_len - KMSE_SIV_OVERHEAD;
    return kmse_siv_open(siv, ID, AAD, out, room, out_len, in, in_len);
}

static void the_same_comes_out_and_goes_back(void **state)
{
    (void)state;
    uint8_t message[ROOM], twice[ROOM], out[ROOM];
    for (size_t len = 0; len <= LONGEST; len++) {
        size_t out_len = 0;
        assert_int_equal(seal(message, plain, len), len + KMSE_SIV_OVERHEAD);
        assert_int_equal(seal(twice, plain, len), len + KMSE_SIV_OVERHEAD);
        assert_memory_equal(message, twice, len + KMSE_SIV_OVERHEAD);
        assert_memory_equal(message, "\xC4\x01\x02\x03", 4);
        out[len] = FILLING;
        expect_ok(
            open_message(out, &out_len, message, len + KMSE_SIV_OVERHEAD));
        assert_int_equal(out_len, len);
        assert_memory_equal(out, plain, len);
        assert_int_equal(out[len], FILLING);
    }
}

static void overlapping_buffers_are_right(void **state)
{
    (void)state;
    enum { SHIFT = 40 };
    uint8_t wanted[ROOM], area[ROOM + 2 * SHIFT];
    for (size_t len = 0; len <= LONGEST; len += 7) {
        size_t wanted_len = seal(wanted, plain, len);
        for (size_t shift = 0; shift <= 2 * SHIFT; shift++) {
            uint8_t *in = area + SHIFT, *out = area + shift;
            size_t out_len = 0;
            memcpy(in, plain, len);
            assert_int_equal(seal(out, in, len), wanted_len);
            assert_memory_equal(out, wanted, wanted_len);
            memcpy(in, wanted, wanted_len);
            expect_ok(open_message(out, &out_len, in, wanted_len));
            assert_int_equal(out_len, len);
            assert_memory_equal(out, plain, len);
        }
    }
}

/* Every length cut off, every bit flipped; what is refused leaves nothing. */
static void a_changed_message_is_refused(void **state)
{
    (void)state;
    static const size_t LENGTHS[] = {0, 1, 16, 40};
    uint8_t message[ROOM], out[ROOM];
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        size_t len = seal(message, plain, LENGTHS[i]), out_len = 1;
        for (size_t cut = 0; cut < len; cut++)
            expect_reason(open_message(out, &out_len, message, cut),
                          cut < KMSE_SIV_OVERHEAD ? KMSE_R_MESSAGE_SHORT
                                                  : KMSE_R_TAG_MISMATCH);
        for (size_t bit = 0; bit < len * 8; bit++) {
            message[bit / 8] ^= (uint8_t)(1U << bit % 8);
            memset(out, FILLING, sizeof(out));
            expect_reason(open_message(out, &out_len, message, len),
                          bit < 8 ? KMSE_R_FORMAT_UNKNOWN
                                  : KMSE_R_TAG_MISMATCH);
            assert_int_equal(out_len, 0);
            assert_true(LENGTHS[i] == 0 || memcmp(out, plain, LENGTHS[i]) != 0);
            message[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
    }
}

static void key_version_and_aad_are_bound(void **state)
{
    (void)state;
    uint8_t message[ROOM], other[ROOM], out[ROOM];
    uint8_t other_id[KMSE_KEY_ID_LEN] = "id of another.";
    size_t out_len = 0, len = seal(message, plain, 30);
    const struct kmse_siv_aad longer = {(const uint8_t *)"aadd", 4};
    const struct kmse_siv_aad none = {NULL, 0};
    expect_reason(
        kmse_siv_open(siv, other_id, AAD, out, 30, &out_len, message, len),
        KMSE_R_TAG_MISMATCH);
    expect_reason(
        kmse_siv_open(siv, ID, longer, out, 30, &out_len, message, len),
        KMSE_R_TAG_MISMATCH);
    expect_reason(kmse_siv_open(siv, ID, none, out, 30, &out_len, message, len),
                  KMSE_R_TAG_MISMATCH);
    /* Under the very same cipher key, so by the AAD alone. */
    expect_ok(kmse_siv_seal(siv, ID, VERSION + 1, AAD, other, ROOM, &out_len,
                            plain, 30));
    assert_memory_not_equal(other + 4, message + 4, KMSE_SIV_TAG_LEN);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    uint8_t message[ROOM], out[ROOM];
    size_t out_len = 0, len = seal(message, plain, 30);
    uint32_t version = 7;
    expect_reason(kmse_siv_seal(siv, ID, 0, AAD, out, ROOM, &out_len, plain, 1),
                  KMSE_R_KEY_VERSION);
    expect_reason(kmse_siv_seal(siv, ID, KMSE_VERSION_MAX + 1, AAD, out, ROOM,
                                &out_len, plain, 1),
                  KMSE_R_KEY_VERSION);
    for (size_t room = 0; room < len; room++)
        expect_reason(
            kmse_siv_seal(siv, ID, 1, AAD, out, room, &out_len, plain, 30),
            KMSE_R_BUFFER_SMALL);
    for (size_t room = 0; room < 30; room++)
        expect_reason(
            kmse_siv_open(siv, ID, AAD, out, room, &out_len, message, len),
            KMSE_R_BUFFER_SMALL);
    memset(message + 1, 0, 3);
    expect_reason(kmse_siv_parse(&version, message, len), KMSE_R_KEY_VERSION);
    assert_int_equal(version, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_siv_of_openssl),
        cmocka_unit_test(each_bit_of_the_tag_counts),
        cmocka_unit_test(the_same_comes_out_and_goes_back),
        cmocka_unit_test(overlapping_buffers_are_right),
        cmocka_unit_test(a_changed_message_is_refused),
        cmocka_unit_test(key_version_and_aad_are_bound),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
