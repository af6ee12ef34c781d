/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: only what we sealed opens, in whatever pieces it comes.
 *
 * An input is: flags, n, n lengths of pieces, a message.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "envelope/open.h"
#include "envelope/seal.h"

enum {
    IN_PLACE = 1,      /* of flags: one buffer */
    AAD_IN_HALVES = 2, /* of flags */
    PIECES_MAX = 15,
    FLAGS_LEN = 2,  /* flags and n */
    LONGEST = 4200, /* more than kmse_open_whole does in one pass */
    FILLING = 0x5A,
};

/* make_corpus.py seals the same. */
static const uint8_t KEY[KMSE_GCM_KEY_LEN] = "a key for fuzzing, 32 bytes long";
static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes.";
static const uint8_t AAD[] = {'r', 'o', 'w', ' ', '4', '2'};
static const size_t LENGTHS[] = {0, 1, 31, 32, 33, 100, LONGEST};
enum { SEALED_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };

static struct kmse_crypto *crypto;
static struct kmse_gcm *opening;
static uint8_t plaintext[LONGEST];
static uint8_t sealed[SEALED_COUNT][LONGEST + KMSE_OVERHEAD];

/* The i-th has version i + 1 and a nonce that begins with i. */
static void seal(struct kmse_gcm *sealing, size_t i)
{
    struct kmse_seal s;
    size_t a = 0, b = 0, room = sizeof(sealed[i]);
    const uint8_t nonce[KMSE_NONCE_LEN] = {(uint8_t)i};
    FUZZ_OK(kmse_seal_start(&s, sealing, ID, (uint32_t)i + 1, nonce));
    FUZZ_OK(kmse_seal_aad(&s, AAD, sizeof(AAD)));
    FUZZ_OK(kmse_seal_update(&s, sealed[i], room, &a, plaintext, LENGTHS[i]));
    FUZZ_OK(kmse_seal_final(&s, sealed[i] + a, room - a, &b));
    FUZZ_CHECK(a + b == LENGTHS[i] + KMSE_OVERHEAD);
}

static void set_up(void)
{
    struct kmse_gcm *sealing = NULL;
    for (size_t i = 0; i < LONGEST; i++)
        plaintext[i] = (uint8_t)i;
    FUZZ_OK(kmse_crypto_new(&crypto, NULL, false));
    FUZZ_OK(kmse_gcm_new(&sealing, crypto, KEY, KMSE_SEAL));
    FUZZ_OK(kmse_gcm_new(&opening, crypto, KEY, KMSE_OPEN));
    for (size_t i = 0; i < SEALED_COUNT; i++)
        seal(sealing, i);
    kmse_gcm_free(sealing);
}

/* Which of ours it is, or SEALED_COUNT. */
static size_t find_sealed(const uint8_t *message, size_t len)
{
    size_t i = 0;
    while (i < SEALED_COUNT
           && (len != LENGTHS[i] + KMSE_OVERHEAD
               || memcmp(message, sealed[i], len) != 0))
        i++;
    return i;
}

struct input {
    uint8_t flags;
    uint8_t pieces[PIECES_MAX];
    size_t piece_count;
    const uint8_t *message;
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
    input->message = data + FLAGS_LEN + input->piece_count;
    input->len = size - FLAGS_LEN - input->piece_count;
    return true;
}

static kmse_st start(struct kmse_open *open, const struct input *input)
{
    size_t half = (input->flags & AAD_IN_HALVES) != 0 ? sizeof(AAD) / 2 : 0;
    struct kmse_header header;
    KMSE_TRY(kmse_header_parse(&header, input->message, input->len));
    FUZZ_CHECK(header.key_version > 0
               && header.key_version <= KMSE_VERSION_MAX);
    KMSE_TRY(kmse_open_start(open, opening, ID, input->message));
    KMSE_TRY(kmse_open_aad(open, AAD, half));
    return kmse_open_aad(open, AAD + half, sizeof(AAD) - half);
}

/*
 * One Update, in place or into a block of its own: of in_len bytes, and one
 * that must stay as it is.
 */
static kmse_st update(struct kmse_open *open, const struct input *input,
                      uint8_t *out, size_t *out_len, const uint8_t *in,
                      size_t in_len)
{
    if ((input->flags & IN_PLACE) != 0)
        return kmse_open_update(open, out, in_len, out_len, in, in_len);
    uint8_t *block = malloc(in_len + 1);
    FUZZ_CHECK(block != NULL);
    block[in_len] = FILLING;
    kmse_st st = kmse_open_update(open, block, in_len, out_len, in, in_len);
    FUZZ_CHECK(block[in_len] == FILLING && *out_len <= in_len);
    if (kmse_is_ok(st))
        memcpy(out, block, *out_len);
    free(block);
    return st;
}

/* buffer: the message; the plaintext comes to its beginning. */
static kmse_st open_in_pieces(const struct input *input, uint8_t *buffer,
                              size_t *out_len)
{
    struct kmse_open open;
    size_t at = KMSE_HEADER_LEN, written = 0, now = 0;
    KMSE_TRY(start(&open, input));
    for (size_t i = 0; i <= input->piece_count; i++) {
        size_t in_len = input->len - at;
        if (i < input->piece_count && input->pieces[i] < in_len)
            in_len = input->pieces[i];
        KMSE_TRY(
            update(&open, input, buffer + written, &now, buffer + at, in_len));
        at += in_len;
        written += now;
        /* All but the last, which may be held plaintext and tag. */
        size_t taken = at - KMSE_HEADER_LEN;
        FUZZ_CHECK(written
                   == (taken > KMSE_HELD_LEN ? taken - KMSE_HELD_LEN : 0));
    }
    KMSE_TRY(kmse_open_final(&open, buffer + written, KMSE_HELD_PLAINTEXT_LEN,
                             &now));
    *out_len = written + now;
    return KMSE_OK;
}

static void check_pieces(const struct input *input, size_t found)
{
    size_t out_len = 0;
    /* Room for what Final may write, though it writes what there is. */
    uint8_t *buffer = malloc(input->len + KMSE_HELD_PLAINTEXT_LEN);
    FUZZ_CHECK(buffer != NULL);
    memcpy(buffer, input->message, input->len);
    kmse_st st = open_in_pieces(input, buffer, &out_len);
    FUZZ_CHECK(kmse_is_ok(st) == (found < SEALED_COUNT));
    if (kmse_is_ok(st)) {
        FUZZ_CHECK(out_len == LENGTHS[found]);
        FUZZ_CHECK(memcmp(buffer, plaintext, out_len) == 0);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_HEADER_SHORT
                   || st.reason == KMSE_R_FORMAT_UNKNOWN
                   || st.reason == KMSE_R_KEY_VERSION
                   || st.reason == KMSE_R_MESSAGE_SHORT
                   || st.reason == KMSE_R_TAG_MISMATCH);
    }
    free(buffer);
}

/* Opened in one call, a refused message leaves the buffer as it was. */
static void check_whole(const struct input *input, size_t found)
{
    size_t out_len = 0;
    uint8_t *out = malloc(input->len + 1);
    FUZZ_CHECK(out != NULL);
    memset(out, FILLING, input->len + 1);
    kmse_st st = kmse_open_whole(opening, ID, AAD, sizeof(AAD), out, input->len,
                                 &out_len, input->message, input->len);
    FUZZ_CHECK(kmse_is_ok(st) == (found < SEALED_COUNT));
    if (kmse_is_ok(st)) {
        FUZZ_CHECK(out_len == LENGTHS[found]);
        FUZZ_CHECK(memcmp(out, plaintext, out_len) == 0);
    }
    for (size_t i = out_len; i <= input->len; i++)
        FUZZ_CHECK(out[i] == FILLING);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (opening == NULL)
        set_up();
    if (!read_input(&input, data, size))
        return 0;
    size_t found = find_sealed(input.message, input.len);
    check_pieces(&input, found);
    check_whole(&input, found);
    return 0;
}
