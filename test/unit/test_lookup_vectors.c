/* SPDX-License-Identifier: Apache-2.0 */
/* test/vectors/lookup.json: sealed to the byte, opened, refused, indexed. */
#include "vectors_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "envelope/index.h"
#include "envelope/siv.h"
#include "keyring/keyfile.h"

enum { VERSION_END = 4 };

/* --- an entry of the file ------------------------------------------------ */

static unsigned number_of(const cJSON *item, const char *field)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(item, field);
    assert_true(cJSON_IsNumber(number));
    return (unsigned)cJSON_GetNumberValue(number);
}

/* The key for one use, as the ring derives it. */
static void derive(const cJSON *item, const char *label, uint32_t version,
                   uint8_t *out, size_t out_len)
{
    struct bytes data_key = bytes_of(item, "data_key");
    struct bytes id = bytes_of(item, "id");
    struct kmse_secret secret = data_key_of(&data_key);
    assert_int_equal(id.len, KMSE_KEY_ID_LEN);
    expect_ok(kmse_datakey_derive_long(out, out_len, crypto, &secret, label,
                                       id.at, version));
    kmse_secret_wipe(&secret);
    free(id.at);
    free(data_key.at);
}

static struct kmse_siv *siv_of(const cJSON *item, uint32_t version)
{
    struct kmse_siv *siv = NULL;
    uint8_t key[KMSE_SIV_KEY_LEN];
    derive(item, KMSE_INFO_SIV, version, key, sizeof(key));
    expect_ok(kmse_siv_new(&siv, crypto, key));
    return siv;
}

static void expect_bytes(const cJSON *item, const uint8_t *got, size_t got_len,
                         const struct bytes *wanted)
{
    if (got_len != wanted->len || memcmp(got, wanted->at, got_len) != 0)
        fail_msg("%s: %zu other bytes", text_of(item, "name"), got_len);
}

/* --- messages ------------------------------------------------------------ */

static void check_message(const cJSON *item)
{
    struct bytes plaintext = bytes_of(item, "plaintext");
    struct bytes message = bytes_of(item, "message");
    struct bytes aad = bytes_of(item, "aad"), id = bytes_of(item, "id");
    const struct kmse_siv_aad with = {aad.at, aad.len};
    uint32_t version = number_of(item, "version"), found = 0;
    struct kmse_siv *siv = siv_of(item, version);
    uint8_t *out = calloc(message.len, 1);
    size_t len = 0;
    assert_non_null(out);
    expect_ok(kmse_siv_seal(siv, id.at, version, with, out, message.len, &len,
                            plaintext.at, plaintext.len));
    expect_bytes(item, out, len, &message);
    expect_ok(kmse_siv_parse(&found, message.at, message.len));
    assert_int_equal(found, version);
    expect_ok(kmse_siv_open(siv, id.at, with, out, plaintext.len, &len,
                            message.at, message.len));
    expect_bytes(item, out, len, &plaintext);
    kmse_siv_free(siv);
    free(out);
    free(id.at);
    free(aad.at);
    free(message.at);
    free(plaintext.at);
}

/* The file's words for a refusal, and ours. */
static const struct {
    const char *refusal;
    int reason;
} REFUSALS[] = {
    {"short", KMSE_R_MESSAGE_SHORT},
    {"format", KMSE_R_FORMAT_UNKNOWN},
    {"version", KMSE_R_KEY_VERSION},
    {"tag", KMSE_R_TAG_MISMATCH},
};
enum { REFUSAL_COUNT = sizeof(REFUSALS) / sizeof(REFUSALS[0]) };

static int reason_of(const cJSON *item)
{
    const char *refusal = text_of(item, "refusal");
    for (size_t i = 0; i < REFUSAL_COUNT; i++) {
        if (strcmp(REFUSALS[i].refusal, refusal) == 0)
            return REFUSALS[i].reason;
    }
    fail_msg("unknown refusal \"%s\"", refusal);
    return 0;
}

static void check_invalid(const cJSON *item)
{
    struct bytes message = bytes_of(item, "message");
    struct bytes aad = bytes_of(item, "aad"), id = bytes_of(item, "id");
    const struct kmse_siv_aad with = {aad.at, aad.len};
    uint32_t version =
        message.len < VERSION_END ? 1 : kmse_load_be24(message.at + 1);
    struct kmse_siv *siv = siv_of(item, version);
    uint8_t *out = calloc(message.len + 1, 1);
    size_t len = 0;
    assert_non_null(out);
    kmse_st st = kmse_siv_open(siv, id.at, with, out, message.len, &len,
                               message.at, message.len);
    if (st.reason != reason_of(item))
        fail_msg("%s: \"%s\"", text_of(item, "name"),
                 kmse_reason_text(st.reason));
    kmse_siv_free(siv);
    free(out);
    free(id.at);
    free(aad.at);
    free(message.at);
}

/* --- values of an index --------------------------------------------------- */

static void check_value(const cJSON *item)
{
    uint8_t key[KMSE_SECRET_LEN];
    uint8_t out[KMSE_INDEX_VERSION_LEN + KMSE_INDEX_SIZE_MAX];
    struct bytes data = bytes_of(item, "data");
    struct bytes value = bytes_of(item, "value");
    struct kmse_hmac *keyed = NULL, *one = NULL, *other = NULL;
    uint32_t version = number_of(item, "version");
    size_t size = number_of(item, "size"), half = data.len / 2;
    derive(item, KMSE_INFO_INDEX, version, key, sizeof(key));
    expect_ok(kmse_hmac_new(&keyed, crypto, key, sizeof(key)));
    expect_ok(kmse_hmac_dup(&one, keyed));
    expect_ok(kmse_hmac_update(one, data.at, half));
    expect_ok(kmse_hmac_update(one, data.at + half, data.len - half));
    expect_ok(kmse_index_finish(one, out, size));
    expect_bytes(item, out, size, &value);

    expect_ok(kmse_hmac_dup(&other, keyed));
    expect_ok(kmse_hmac_update(other, data.at, data.len));
    expect_ok(kmse_index_finish_entry(other, version, out, size));
    expect_bytes(item, out + KMSE_INDEX_VERSION_LEN, size, &value);
    assert_int_equal(kmse_load_be32(out), version);
    kmse_hmac_free(other);
    kmse_hmac_free(one);
    kmse_hmac_free(keyed);
    free(value.at);
    free(data.at);
}

static void other_sizes_are_refused(void **state)
{
    (void)state;
    static const uint8_t KEY[KMSE_SECRET_LEN] = {1};
    static const size_t SIZES[] = {0, KMSE_INDEX_SIZE_MIN - 1,
                                   KMSE_INDEX_SIZE_MAX + 1};
    uint8_t out[2 * KMSE_INDEX_SIZE_MAX];
    struct kmse_hmac *hmac = NULL;
    expect_ok(kmse_hmac_new(&hmac, crypto, KEY, sizeof(KEY)));
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        expect_reason(kmse_index_finish(hmac, out, SIZES[i]), KMSE_R_PARAMETER);
    kmse_hmac_free(hmac);
}

/* --- the file ------------------------------------------------------------ */

static void for_each(const char *field, void (*check)(const cJSON *item))
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list_of(field))
    {
        check(item);
    }
}

static void every_message_is_sealed_and_opened(void **state)
{
    (void)state;
    for_each("siv", check_message);
}

static void every_invalid_message_is_refused(void **state)
{
    (void)state;
    for_each("siv-invalid", check_invalid);
}

static void every_value_is_made(void **state)
{
    (void)state;
    for_each("index", check_value);
}

static int set_up(void **state)
{
    (void)state;
    return vectors_open(KMSE_VECTORS);
}

static int tear_down(void **state)
{
    (void)state;
    vectors_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_sealed_and_opened),
        cmocka_unit_test(every_invalid_message_is_refused),
        cmocka_unit_test(every_value_is_made),
        cmocka_unit_test(other_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
