/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: what comes out was sealed, whatever comes in, and in whatever
 * pieces; and pieces do not show in what is sealed.
 *
 * An input is: flags, n, n lengths of pieces, a stream.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "envelope/stream_open.h"
#include "envelope/stream_seal.h"

enum {
    IN_PLACE = 1,       /* of flags: one buffer */
    WHICH_SHIFT = 4,    /* the rest of flags: which one is sealed again */
    FRAMES_FROM = 0xF0, /* of a piece's length: from there on, in frames */
    PIECES_MAX = 15,
    FLAGS_LEN = 2, /* flags and n */
    LONGEST = KMSE_STREAM_FIRST_LEN + 2 * KMSE_STREAM_NEXT_LEN + 9,
    ROOM = LONGEST + 1000,
    FILLING = 0x5A,
};

/* make_corpus.py seals the same. */
static const uint8_t KEY[KMSE_GCM_KEY_LEN] = "a key for fuzzing, 32 bytes long";
static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes.";
static const uint8_t AAD[] = {'r', 'o', 'w', ' ', '4', '2'};
static const size_t LENGTHS[] = {
    0, 1, 50, 100, KMSE_STREAM_FIRST_LEN, KMSE_STREAM_FIRST_LEN + 50, LONGEST};
enum { SEALED_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };

static struct kmse_crypto *crypto;
static uint8_t plaintext[LONGEST];
static uint8_t sealed[SEALED_COUNT][ROOM];
static size_t sealed_len[SEALED_COUNT];

struct input {
    uint8_t flags;
    uint8_t pieces[PIECES_MAX];
    size_t piece_count;
    const uint8_t *stream;
    size_t len;
};

static bool read_input(struct input *input, const uint8_t *data, size_t size)
{
    if (size < FLAGS_LEN)
        return false;
    input->flags = data[0];
    input->piece_count = data[1] % (PIECES_MAX + 1);
    if (size < FLAGS_LEN + input->piece_count)
        return false;
    memcpy(input->pieces, data + FLAGS_LEN, input->piece_count);
    input->stream = data + FLAGS_LEN + input->piece_count;
    input->len = size - FLAGS_LEN - input->piece_count;
    return true;
}

/* Of left bytes, what the i-th piece takes; the one after the last, all. */
static size_t piece_len(const struct input *input, size_t i, size_t left)
{
    if (i >= input->piece_count)
        return left;
    size_t len = input->pieces[i];
    if (len >= FRAMES_FROM)
        len = (len - FRAMES_FROM + 1) * KMSE_STREAM_FRAME_LEN;
    return len < left ? len : left;
}

/* A key a salt, as the provider has it. */
static struct kmse_gcm *gcm_of(const uint8_t salt[KMSE_STREAM_SALT_LEN],
                               enum kmse_direction direction)
{
    struct kmse_gcm *gcm = NULL;
    uint8_t key[KMSE_GCM_KEY_LEN];
    FUZZ_OK(kmse_crypto_hkdf(crypto, key, sizeof(key), KEY, sizeof(KEY), salt,
                             KMSE_STREAM_SALT_LEN));
    FUZZ_OK(kmse_gcm_new(&gcm, crypto, key, direction));
    return gcm;
}

/* --- sealing ------------------------------------------------------------- */

/* One Update into a block as long as EVP's may be, and a byte. */
static kmse_st seal_piece(struct kmse_stream_seal *seal, bool in_place,
                          uint8_t *out, size_t *out_len, const uint8_t *in,
                          size_t in_len)
{
    size_t room = in_len + KMSE_OVERHEAD;
    uint8_t *block = malloc(room + 1);
    FUZZ_CHECK(block != NULL);
    memset(block, FILLING, room + 1);
    if (in_place) {
        memcpy(block, in, in_len);
        in = block;
    }
    kmse_st st =
        kmse_stream_seal_update(seal, block, room, out_len, in, in_len);
    FUZZ_CHECK(block[room] == FILLING && *out_len <= room);
    if (kmse_is_ok(st))
        memcpy(out, block, *out_len);
    free(block);
    return st;
}

/* The i-th has version i + 1 and a salt that begins with i. */
static kmse_st seal(const struct input *input, size_t i, uint8_t *out,
                    size_t *out_len)
{
    static struct kmse_stream_seal s;
    const uint8_t salt[KMSE_STREAM_SALT_LEN] = {(uint8_t)i};
    struct kmse_gcm *gcm = gcm_of(salt, KMSE_SEAL);
    size_t written = 0, now = 0;
    FUZZ_OK(kmse_stream_seal_start(&s, gcm, ID, (uint32_t)i + 1, salt, false));
    FUZZ_OK(kmse_stream_seal_aad(&s, AAD, sizeof(AAD)));
    kmse_st st = KMSE_OK;
    for (size_t at = 0, j = 0; at < LENGTHS[i] && kmse_is_ok(st); j++) {
        size_t len = piece_len(input, j, LENGTHS[i] - at);
        st = seal_piece(&s, (input->flags & IN_PLACE) != 0, out + written, &now,
                        plaintext + at, len);
        written += now;
        at += len;
    }
    if (kmse_is_ok(st))
        st = kmse_stream_seal_final(&s, out + written, KMSE_OVERHEAD, &now);
    kmse_gcm_free(gcm);
    *out_len = written + now;
    return st;
}

static void set_up(void)
{
    const struct input frames = {
        .pieces = {FRAMES_FROM, FRAMES_FROM, FRAMES_FROM}, .piece_count = 3};
    FUZZ_OK(kmse_crypto_new(&crypto, NULL, false));
    for (size_t i = 0; i < LONGEST; i++)
        plaintext[i] = (uint8_t)(i + i / 256);
    for (size_t i = 0; i < SEALED_COUNT; i++)
        FUZZ_OK(seal(&frames, i, sealed[i], &sealed_len[i]));
}

/* The pieces do not show, if they are not too long. */
static void check_seal(const struct input *input)
{
    static uint8_t out[ROOM];
    size_t which = (input->flags >> WHICH_SHIFT) % SEALED_COUNT, len = 0;
    kmse_st st = seal(input, which, out, &len);
    if (kmse_is_ok(st))
        FUZZ_CHECK(len == sealed_len[which]
                   && memcmp(out, sealed[which], len) == 0);
    else
        FUZZ_CHECK(st.reason == KMSE_R_STREAM_PIECES);
}

/* --- opening ------------------------------------------------------------- */

/* Which of ours it is, or SEALED_COUNT. */
static size_t find_sealed(const uint8_t *stream, size_t len)
{
    size_t i = 0;
    while (i < SEALED_COUNT
           && (len != sealed_len[i] || memcmp(stream, sealed[i], len) != 0))
        i++;
    return i;
}

static kmse_st open_piece(struct kmse_stream_open *open, bool in_place,
                          uint8_t *out, size_t *out_len, const uint8_t *in,
                          size_t in_len)
{
    size_t room = in_len + KMSE_OVERHEAD;
    uint8_t *block = malloc(room + 1);
    FUZZ_CHECK(block != NULL);
    memset(block, FILLING, room + 1);
    if (in_place) {
        memcpy(block, in, in_len);
        in = block;
    }
    kmse_st st =
        kmse_stream_open_update(open, block, room, out_len, in, in_len);
    FUZZ_CHECK(block[room] == FILLING && *out_len <= room);
    FUZZ_CHECK(kmse_is_ok(st) || *out_len == 0);
    memcpy(out, block, *out_len);
    free(block);
    return st;
}

/* *out_len is what came out before a failure, too. *even: in whole frames. */
static kmse_st open_pieces(const struct input *input, uint8_t *out,
                           size_t *out_len, bool *even)
{
    static struct kmse_stream_open o;
    struct kmse_header header;
    size_t now = 0, at = KMSE_HEADER_LEN;
    KMSE_TRY(kmse_stream_header_parse(&header, input->stream, input->len));
    FUZZ_CHECK(header.key_version > 0
               && header.key_version <= KMSE_VERSION_MAX);
    struct kmse_gcm *gcm = gcm_of(header.nonce, KMSE_OPEN);
    kmse_st st =
        kmse_stream_open_start(&o, gcm, ID, input->stream, AAD, sizeof(AAD));
    for (size_t i = 0; at < input->len && kmse_is_ok(st); i++) {
        /* The header came before, so the first piece brings less. */
        size_t taken = i == 0 ? KMSE_HEADER_LEN : 0;
        size_t len = piece_len(input, i, input->len - at + taken);
        len -= len < taken ? len : taken;
        if ((at + len) % KMSE_STREAM_FRAME_LEN != 0 && at + len < input->len)
            *even = false;
        st = open_piece(&o, (input->flags & IN_PLACE) != 0, out + *out_len,
                        &now, input->stream + at, len);
        *out_len += now;
        at += len;
    }
    if (kmse_is_ok(st)) {
        st = kmse_stream_open_final(&o, out + *out_len, KMSE_OVERHEAD, &now);
        *out_len += now;
    }
    kmse_gcm_free(gcm);
    return st;
}

static void check_open(const struct input *input)
{
    size_t found = find_sealed(input->stream, input->len), out_len = 0;
    bool even = true;
    uint8_t *out = malloc(input->len + KMSE_OVERHEAD);
    FUZZ_CHECK(out != NULL);
    kmse_st st = open_pieces(input, out, &out_len, &even);
    /* Every plaintext begins as the longest does. */
    FUZZ_CHECK(out_len <= LONGEST && memcmp(out, plaintext, out_len) == 0);
    if (kmse_is_ok(st)) {
        FUZZ_CHECK(found < SEALED_COUNT && out_len == LENGTHS[found]);
    } else {
        FUZZ_CHECK(found == SEALED_COUNT
                   || (!even && st.reason == KMSE_R_STREAM_PIECES));
        FUZZ_CHECK(st.reason == KMSE_R_HEADER_SHORT
                   || st.reason == KMSE_R_FORMAT_UNKNOWN
                   || st.reason == KMSE_R_KEY_VERSION
                   || st.reason == KMSE_R_MESSAGE_SHORT
                   || st.reason == KMSE_R_TAG_MISMATCH
                   || st.reason == KMSE_R_STREAM_ENDED
                   || st.reason == KMSE_R_STREAM_PIECES);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (crypto == NULL)
        set_up();
    if (!read_input(&input, data, size))
        return 0;
    check_open(&input);
    check_seal(&input);
    return 0;
}
