/* SPDX-License-Identifier: Apache-2.0 */
/* test/vectors/streams.json, both ways: sealed to the byte, opened, refused. */
#include "vectors_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "envelope/stream_open.h"
#include "envelope/stream_seal.h"
#include "keyring/datakey.h"

enum {
    FILLING = 0x5A,
};

struct entry {
    const char *name;
    struct bytes data_key, id, aad, stream;
};

static struct entry entry_new(const cJSON *item)
{
    struct entry entry = {
        .name = text_of(item, "name"),
        .data_key = bytes_of(item, "data_key"),
        .id = bytes_of(item, "id"),
        .aad = bytes_of(item, "aad"),
        .stream = bytes_of(item, "stream"),
    };
    assert_int_equal(entry.id.len, KMSE_KEY_ID_LEN);
    return entry;
}

static void entry_free(struct entry *entry)
{
    free(entry->data_key.at);
    free(entry->id.at);
    free(entry->aad.at);
    free(entry->stream.at);
}

static struct kmse_gcm *gcm_of(const struct entry *e, uint32_t version,
                               const uint8_t *salt,
                               enum kmse_direction direction)
{
    struct kmse_secret data_key = data_key_of(&e->data_key);
    struct kmse_gcm *gcm = NULL;
    uint8_t key[KMSE_GCM_KEY_LEN];
    expect_ok(kmse_datakey_derive_stream(key, crypto, &data_key, e->id.at,
                                         version, salt));
    expect_ok(kmse_gcm_new(&gcm, crypto, key, direction));
    kmse_secret_wipe(&data_key);
    return gcm;
}

/* --- sealing and opening ------------------------------------------------- */

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t seal(const struct entry *e, struct kmse_gcm *gcm,
                   uint32_t version, const struct bytes *salt,
                   const struct bytes *plaintext, uint8_t *out)
{
    static struct kmse_stream_seal s;
    size_t written = 0, len = 0, left = plaintext->len;
    assert_int_equal(salt->len, KMSE_STREAM_SALT_LEN);
    expect_ok(
        kmse_stream_seal_start(&s, gcm, e->id.at, version, salt->at, false));
    expect_ok(kmse_stream_seal_aad(&s, e->aad.at, e->aad.len));
    while (left > 0) {
        size_t piece = min_len(left, KMSE_STREAM_PIECE_MAX);
        expect_ok(kmse_stream_seal_update(
            &s, out + written, piece + KMSE_OVERHEAD, &len,
            plaintext->at + plaintext->len - left, piece));
        written += len;
        left -= piece;
    }
    expect_ok(kmse_stream_seal_final(&s, out + written, KMSE_OVERHEAD, &len));
    return written + len;
}

/* piece: a multiple of a frame. *out_len is what came before a failure. */
static kmse_st open_pieces(const struct entry *e, size_t piece, uint8_t *out,
                           size_t *out_len)
{
    static struct kmse_stream_open o;
    struct kmse_header header;
    const struct bytes *in = &e->stream;
    size_t len = 0, end = 0;
    *out_len = 0;
    KMSE_TRY(kmse_stream_header_parse(&header, in->at, in->len));
    struct kmse_gcm *gcm =
        gcm_of(e, header.key_version, header.nonce, KMSE_OPEN);
    kmse_st st = kmse_stream_open_start(&o, gcm, e->id.at, in->at, e->aad.at,
                                        e->aad.len);
    for (size_t at = KMSE_HEADER_LEN; at < in->len && kmse_is_ok(st);
         at = end) {
        end = min_len(in->len, at - at % KMSE_STREAM_FRAME_LEN + piece);
        st = kmse_stream_open_update(&o, out + *out_len,
                                     end - at + KMSE_OVERHEAD, &len,
                                     in->at + at, end - at);
        *out_len += len;
    }
    if (kmse_is_ok(st)) {
        st = kmse_stream_open_final(&o, out + *out_len, KMSE_OVERHEAD, &len);
        *out_len += len;
    }
    kmse_gcm_free(gcm);
    return st;
}

static void expect_bytes(const struct entry *e, const uint8_t *got,
                         size_t got_len, const struct bytes *wanted)
{
    if (got_len != wanted->len || memcmp(got, wanted->at, got_len) != 0)
        fail_msg("%s: %zu other bytes", e->name, got_len);
}

static void check_stream(const cJSON *item)
{
    struct entry e = entry_new(item);
    struct bytes plaintext = bytes_of(item, "plaintext");
    struct bytes salt = bytes_of(item, "salt");
    size_t room = e.stream.len + KMSE_OVERHEAD, len = 0;
    uint8_t *out = calloc(room, 1);
    assert_non_null(out);
    uint32_t version = kmse_load_be24(e.stream.at + 1);
    assert_true(
        cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "version"))
        == (double)version);

    struct kmse_gcm *gcm = gcm_of(&e, version, salt.at, KMSE_SEAL);
    len = seal(&e, gcm, version, &salt, &plaintext, out);
    expect_bytes(&e, out, len, &e.stream);
    for (size_t frames = 1; frames <= 3; frames++) {
        memset(out, FILLING, room);
        kmse_st st = open_pieces(&e, frames * KMSE_STREAM_FRAME_LEN, out, &len);
        if (!kmse_is_ok(st))
            fail_msg("%s: %s", e.name, kmse_reason_text(st.reason));
        expect_bytes(&e, out, len, &plaintext);
    }
    kmse_gcm_free(gcm);
    free(out);
    free(salt.at);
    free(plaintext.at);
    entry_free(&e);
}

/* --- refusing ------------------------------------------------------------ */

/* The file's words for a refusal, and ours. */
static const struct {
    const char *refusal;
    int reason;
} REFUSALS[] = {
    {"short", KMSE_R_HEADER_SHORT},  {"format", KMSE_R_FORMAT_UNKNOWN},
    {"version", KMSE_R_KEY_VERSION}, {"truncated", KMSE_R_MESSAGE_SHORT},
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

static void check_invalid(const cJSON *item, int reason)
{
    struct entry e = entry_new(item);
    size_t room = e.stream.len + KMSE_OVERHEAD, len = 0;
    uint8_t *out = malloc(room);
    assert_non_null(out);
    memset(out, FILLING, room);
    kmse_st st = open_pieces(&e, KMSE_STREAM_FRAME_LEN, out, &len);
    if (st.reason != reason)
        fail_msg("%s: \"%s\" instead of \"%s\"", e.name,
                 kmse_reason_text(st.reason), kmse_reason_text(reason));
    assert_true(
        cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "released"))
        == (double)len);
    for (size_t i = len; i < room; i++)
        assert_int_equal(out[i], FILLING);
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

static void streams_are_sealed_to_the_byte_and_open(void **state)
{
    (void)state;
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, list_of("streams")) check_stream(item);
}

/* And the file has an example of each refusal. */
static void invalid_streams_are_refused(void **state)
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
        cmocka_unit_test(streams_are_sealed_to_the_byte_and_open),
        cmocka_unit_test(invalid_streams_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
