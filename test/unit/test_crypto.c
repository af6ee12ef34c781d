/* SPDX-License-Identifier: Apache-2.0 */
/* The inner algorithms, against published vectors. */
#include "test.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/crypto.h"

static struct kmse_crypto *crypto;

static int set_up(void **state)
{
    (void)state;
    return kmse_is_ok(kmse_crypto_new(&crypto, NULL, false)) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_crypto_free(crypto);
    return 0;
}

/* RFC 5869, test case 3: no salt, no info. */
static void hkdf_is_rfc5869(void **state)
{
    (void)state;
    uint8_t ikm[22], out[42], wanted[42];
    memset(ikm, 0x0b, sizeof(ikm));
    expect_ok(kmse_hex_decode(wanted, sizeof(wanted),
                              "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee187"
                              "9ec3454e5f3c738d2d9d201395faa4b61a96c8"));
    expect_ok(kmse_crypto_hkdf(crypto, out, sizeof(out), ikm, sizeof(ikm),
                               (const uint8_t *)"", 0));
    assert_memory_equal(out, wanted, sizeof(out));
}

/* RFC 4231, test case 2. */
static void hmac_is_rfc4231(void **state)
{
    (void)state;
    uint8_t out[KMSE_HMAC_LEN], wanted[KMSE_HMAC_LEN];
    expect_ok(kmse_hex_decode(wanted, sizeof(wanted),
                              "5bdcc146bf60754e6a042426089575c75a003f089d2739"
                              "839dec58b964ec3843"));
    expect_ok(kmse_crypto_hmac(crypto, out, (const uint8_t *)"Jefe", 4,
                               (const uint8_t *)"what do ya want for nothing?",
                               28));
    assert_memory_equal(out, wanted, sizeof(out));
}

/* The GCM specification's test case 16: AES-256, AAD, 60 bytes. */
static const char GCM_KEY[] =
    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
static const char GCM_IV[] = "cafebabefacedbaddecaf888";
static const char GCM_AAD[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
static const char GCM_PLAIN[] =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c"
    "95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
static const char GCM_CIPHER[] =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e"
    "48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662";
static const char GCM_TAG[] = "76fc6ece0f4e1768cddf8853bb2d551b";

struct gcm_case {
    uint8_t key[KMSE_GCM_KEY_LEN], iv[KMSE_GCM_IV_LEN], aad[20];
    uint8_t plain[60], cipher[60], tag[KMSE_GCM_TAG_LEN];
};

static struct gcm_case gcm_case(void)
{
    struct gcm_case c;
    expect_ok(kmse_hex_decode(c.key, sizeof(c.key), GCM_KEY));
    expect_ok(kmse_hex_decode(c.iv, sizeof(c.iv), GCM_IV));
    expect_ok(kmse_hex_decode(c.aad, sizeof(c.aad), GCM_AAD));
    expect_ok(kmse_hex_decode(c.plain, sizeof(c.plain), GCM_PLAIN));
    expect_ok(kmse_hex_decode(c.cipher, sizeof(c.cipher), GCM_CIPHER));
    expect_ok(kmse_hex_decode(c.tag, sizeof(c.tag), GCM_TAG));
    return c;
}

static void gcm_seals_the_published_case_again_and_again(void **state)
{
    (void)state;
    struct gcm_case c = gcm_case();
    struct kmse_gcm *gcm = NULL;
    expect_ok(kmse_gcm_new(&gcm, crypto, c.key, KMSE_SEAL));
    for (size_t split = 0; split <= sizeof(c.plain); split++) {
        uint8_t out[60], tag[KMSE_GCM_TAG_LEN];
        expect_ok(kmse_gcm_start(gcm, c.iv));
        expect_ok(kmse_gcm_aad(gcm, c.aad, sizeof(c.aad)));
        expect_ok(kmse_gcm_update(gcm, out, c.plain, split));
        expect_ok(kmse_gcm_update(gcm, out + split, c.plain + split,
                                  sizeof(c.plain) - split));
        expect_ok(kmse_gcm_seal_finish(gcm, tag));
        assert_memory_equal(out, c.cipher, sizeof(out));
        assert_memory_equal(tag, c.tag, sizeof(tag));
    }
    kmse_gcm_free(gcm);
}

static void gcm_opens_and_tells_a_wrong_tag(void **state)
{
    (void)state;
    struct gcm_case c = gcm_case();
    struct kmse_gcm *gcm = NULL, *copy = NULL;
    uint8_t out[60];
    expect_ok(kmse_gcm_new(&gcm, crypto, c.key, KMSE_OPEN));
    expect_ok(kmse_gcm_start(gcm, c.iv));
    expect_ok(kmse_gcm_aad(gcm, c.aad, sizeof(c.aad)));
    expect_ok(kmse_gcm_update(gcm, out, c.cipher, sizeof(c.cipher)));
    assert_memory_equal(out, c.plain, sizeof(out));
    expect_ok(kmse_gcm_dup(&copy, gcm));
    expect_ok(kmse_gcm_open_finish(gcm, c.tag));

    c.tag[0] ^= 1;
    expect_reason(kmse_gcm_open_finish(copy, c.tag), KMSE_R_TAG_MISMATCH);
    kmse_gcm_free(copy);
    kmse_gcm_free(gcm);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    expect_ok(kmse_crypto_random(crypto, a, sizeof(a)));
    expect_ok(kmse_crypto_random(crypto, b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
}

/* A host that asks for FIPS and has no such provider gets nothing else. */
static void fips_is_not_passed_by(void **state)
{
    (void)state;
    OSSL_LIB_CTX *host = OSSL_LIB_CTX_new();
    struct kmse_crypto *strict = NULL;
    uint8_t out[8];
    assert_int_equal(EVP_set_default_properties(host, "fips=yes"), 1);
    expect_ok(kmse_crypto_new(&strict, host, false));
    expect_reason(kmse_crypto_random(strict, out, sizeof(out)),
                  KMSE_R_CRYPTO_UNAVAILABLE);
    kmse_crypto_free(strict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hkdf_is_rfc5869),
        cmocka_unit_test(hmac_is_rfc4231),
        cmocka_unit_test(gcm_seals_the_published_case_again_and_again),
        cmocka_unit_test(gcm_opens_and_tells_a_wrong_tag),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(fips_is_not_passed_by),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
