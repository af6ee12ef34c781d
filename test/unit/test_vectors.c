/* SPDX-License-Identifier: Apache-2.0 */
/* test/vectors/messages.json, both ways: sealed to the byte, opened, refused.
 */
#include "vectors_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "envelope/open.h"
#include "envelope/seal.h"
#include "keyring/keyfile.h"

enum {
    VERSION_END = 4, /* of a message: format and version come before */
    FILLING = 0x5A,
};

/* --- an entry of the file ------------------------------------------------ */

struct entry {
    const char *name;
    struct bytes data_key, id, aad, message;
    uint32_t version; /* the message's own, or 1 if it ends before it */
    struct kmse_gcm *sealing, *opening;
};

static void key_entry(struct entry *entry)
{
    struct kmse_secret data_key = data_key_of(&entry->data_key);
    uint8_t key[KMSE_SECRET_LEN];
    assert_int_equal(entry->id.len, KMSE_KEY_ID_LEN);
    expect_ok(kmse_datakey_derive(key, crypto, &data_key, KMSE_INFO_MESSAGE,
                                  entry->id.at, entry->version));
    expect_ok(kmse_gcm_new(&entry->sealing, crypto, key, KMSE_SEAL));
    expect_ok(kmse_gcm_new(&entry->opening, crypto, key, KMSE_OPEN));
    kmse_secret_wipe(&data_key);
}

static struct entry entry_new(const cJSON *item)
{
    struct entry entry = {
        .name = text_of(item, "name"),
        .data_key = bytes_of(item, "data_key"),
        .id = bytes_of(item, "id"),
        .aad = bytes_of(item, "aad"),
        .message = bytes_of(item, "message"),
        .version = 1,
    };
    if (entry.message.len >= VERSION_END)
        entry.version = kmse_load_be24(entry.message.at + 1);
    key_entry(&entry);
    return entry;
}

static void entry_free(struct entry *entry)
{
    kmse_gcm_free(entry->sealing);
    kmse_gcm_free(entry->opening);
    free(entry->data_key.at);
    free(entry->id.at);
    free(entry->aad.at);
    free(entry->message.at);
}

/* --- sealing and opening ------------------------------------------------- */

static kmse_st seal(const struct entry *e, const struct bytes *plaintext,
                    const uint8_t nonce[KMSE_NONCE_LEN], uint8_t *out,
                    size_t *out_len)
{
    struct kmse_seal s;
    size_t a = 0, b = 0, room = plaintext->len + KMSE_OVERHEAD;
    KMSE_TRY(kmse_seal_start(&s, e->sealing, e->id.at, e->version, nonce));
    KMSE_TRY(kmse_seal_aad(&s, e->aad.at, e->aad.len));
    KMSE_TRY(
        kmse_seal_update(&s, out, room, &a, plaintext->at, plaintext->len));
    KMSE_TRY(kmse_seal_final(&s, out + a, room - a, &b));
    *out_len = a + b;
    return KMSE_OK;
}

static kmse_st open_in_pieces(const struct entry *e, uint8_t *out,
                              size_t *out_len)
{
    struct kmse_open o;
    struct kmse_header header;
    size_t a = 0, b = 0, room = e->message.len;
    KMSE_TRY(kmse_header_parse(&header, e->message.at, e->message.len));
    KMSE_TRY(kmse_open_start(&o, e->opening, e->id.at, e->message.at));
    KMSE_TRY(kmse_open_aad(&o, e->aad.at, e->aad.len));
    KMSE_TRY(kmse_open_update(&o, out, room, &a,
                              e->message.at + KMSE_HEADER_LEN,
                              e->message.len - KMSE_HEADER_LEN));
    KMSE_TRY(kmse_open_final(&o, out + a, room - a, &b));
    *out_len = a + b;
    return KMSE_OK;
}

static kmse_st open_whole(const struct entry *e, uint8_t *out, size_t *out_len)
{
    return kmse_open_whole(e->opening, e->id.at, e->aad.at, e->aad.len, out,
                           e->message.len, out_len, e->message.at,
                           e->message.len);
}

/* What was asked for, and the name of the entry if it was not so. */
static void expect_bytes(const struct entry *e, kmse_st st, const uint8_t *got,
                         size_t got_len, const struct bytes *wanted)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", e->name, kmse_reason_text(st.reason));
    if (got_len != wanted->len || memcmp(got, wanted->at, got_len) != 0)
        fail_msg("%s: %zu other bytes", e->name, got_len);
}

static void check_message(const cJSON *item)
{
    struct entry e = entry_new(item);
    struct bytes plaintext = bytes_of(item, "plaintext");
    struct bytes nonce = bytes_of(item, "nonce");
    size_t room = plaintext.len + KMSE_OVERHEAD, len = 0;
    uint8_t *out = calloc(room, 1);
    assert_non_null(out);
    assert_int_equal(nonce.len, KMSE_NONCE_LEN);
    assert_int_equal(e.message.len, room);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(item, "version");
    assert_true(cJSON_GetNumberValue(version) == (double)e.version);

    kmse_st st = seal(&e, &plaintext, nonce.at, out, &len);
    expect_bytes(&e, st, out, len, &e.message);
    st = open_in_pieces(&e, out, &len);
    expect_bytes(&e, st, out, len, &plaintext);
    memset(out, FILLING, room);
    st = open_whole(&e, out, &len);
    expect_bytes(&e, st, out, len, &plaintext);

    free(out);
    free(nonce.at);
    free(plaintext.at);
    entry_free(&e);
}

/* --- refusing ------------------------------------------------------------ */

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

static size_t refusal_of(const cJSON *item)
{
    const char *refusal = text_of(item, "refusal");
    size_t i = 0;
    while (i < REFUSAL_COUNT && strcmp(REFUSALS[i].refusal, refusal) != 0)
        i++;
    if (i == REFUSAL_COUNT)
        fail_msg("unknown refusal \"%s\"", refusal);
    return i;
}

static void expect_refused(const struct entry *e, kmse_st st, int reason)
{
    if (st.reason != reason)
        fail_msg("%s: \"%s\" instead of \"%s\"", e->name,
                 kmse_reason_text(st.reason), kmse_reason_text(reason));
}

/* Read in pieces, a message may end before its header does. */
static int reason_in_pieces(const struct entry *e, int reason)
{
    return reason == KMSE_R_MESSAGE_SHORT && e->message.len < KMSE_HEADER_LEN
               ? KMSE_R_HEADER_SHORT
               : reason;
}

static void check_invalid(const cJSON *item, int reason)
{
    struct entry e = entry_new(item);
    size_t room = e.message.len + 1, len = 0;
    uint8_t *out = malloc(room);
    assert_non_null(out);
    memset(out, FILLING, room);
    expect_refused(&e, open_whole(&e, out, &len), reason);
    for (size_t i = 0; i < room; i++)
        assert_int_equal(out[i], FILLING);
    expect_refused(&e, open_in_pieces(&e, out, &len),
                   reason_in_pieces(&e, reason));
    free(out);
    entry_free(&e);
}

/* --- the tests ----------------------------------------------------------- */

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

static void messages_are_sealed_to_the_byte_and_open(void **state)
{
    (void)state;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list_of("messages")) check_message(item);
}

/* And the file has an example of each refusal. */
static void invalid_messages_are_refused(void **state)
{
    (void)state;
    size_t seen[REFUSAL_COUNT] = {0};
    const cJSON *list = list_of("invalid"), *item = NULL;
    cJSON_ArrayForEach(item, list)
    {
        size_t i = refusal_of(item);
        check_invalid(item, REFUSALS[i].reason);
        seen[i]++;
    }
    for (size_t i = 0; i < REFUSAL_COUNT; i++)
        assert_true(seen[i] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_sealed_to_the_byte_and_open),
        cmocka_unit_test(invalid_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
