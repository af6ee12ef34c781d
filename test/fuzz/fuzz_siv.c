/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deterministic messages: only what we sealed opens, and it opens to what is
 * sealed as the same bytes again.
 *
 * An input is: flags, a message.
 */
#include "fuzz.h"

#include "envelope/siv.h"

enum {
    IN_PLACE = 1, /* of flags: one buffer */
    LONGEST = 100,
    FILLING = 0x5A,
};

/* make_corpus.py seals the same. */
static const uint8_t KEY[KMSE_SIV_KEY_LEN] =
    "a key for fuzzing, 32 bytes longand one more of as many bytes...";
static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes.";
static const struct kmse_siv_aad AAD = {(const uint8_t *)"row 42", 6};
static const size_t LENGTHS[] = {0, 1, 15, 16, 17, LONGEST};
enum { SEALED_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };

static struct kmse_crypto *crypto;
static struct kmse_siv *siv;
static uint8_t plaintext[LONGEST];
static uint8_t sealed[SEALED_COUNT][LONGEST + KMSE_SIV_OVERHEAD];

/* The i-th has version i + 1. */
static void set_up(void)
{
    for (size_t i = 0; i < LONGEST; i++)
        plaintext[i] = (uint8_t)i;
    FUZZ_OK(kmse_crypto_new(&crypto, NULL, false));
    FUZZ_OK(kmse_siv_new(&siv, crypto, KEY));
    for (size_t i = 0; i < SEALED_COUNT; i++) {
        size_t len = 0;
        FUZZ_OK(kmse_siv_seal(siv, ID, (uint32_t)i + 1, AAD, sealed[i],
                              sizeof(sealed[i]), &len, plaintext, LENGTHS[i]));
        FUZZ_CHECK(len == LENGTHS[i] + KMSE_SIV_OVERHEAD);
    }
}

/* Which of ours it is, or SEALED_COUNT. */
static size_t find_sealed(const uint8_t *message, size_t len)
{
    size_t i = 0;
    while (i < SEALED_COUNT
           && (len != LENGTHS[i] + KMSE_SIV_OVERHEAD
               || memcmp(message, sealed[i], len) != 0))
        i++;
    return i;
}

static void check_refusal(kmse_st st, const uint8_t *out, size_t len)
{
    FUZZ_CHECK(
        st.reason == KMSE_R_MESSAGE_SHORT || st.reason == KMSE_R_FORMAT_UNKNOWN
        || st.reason == KMSE_R_KEY_VERSION || st.reason == KMSE_R_TAG_MISMATCH);
    /* Wiped, or never written. */
    for (size_t i = 1; i < len; i++)
        FUZZ_CHECK(out[i] == out[0]);
    FUZZ_CHECK(len == 0 || out[0] == 0 || out[0] == FILLING);
}

static void check_apart(const uint8_t *message, size_t len, size_t found)
{
    size_t out_len = 0;
    size_t room = len < KMSE_SIV_OVERHEAD ? 0 : len - KMSE_SIV_OVERHEAD;
    /* One byte more, which stays as it is. */
    uint8_t *out = malloc(room + 1);
    FUZZ_CHECK(out != NULL);
    memset(out, FILLING, room + 1);
    kmse_st st = kmse_siv_open(siv, ID, AAD, out, room, &out_len, message, len);
    FUZZ_CHECK(out[room] == FILLING);
    FUZZ_CHECK(kmse_is_ok(st) == (found < SEALED_COUNT));
    if (kmse_is_ok(st))
        FUZZ_CHECK(out_len == LENGTHS[found]
                   && memcmp(out, plaintext, out_len) == 0);
    else
        check_refusal(st, out, room);
    free(out);
}

static void check_in_place(const uint8_t *message, size_t len, size_t found)
{
    size_t out_len = 0;
    uint8_t *buffer = malloc(len + 1);
    FUZZ_CHECK(buffer != NULL);
    memcpy(buffer, message, len);
    kmse_st st =
        kmse_siv_open(siv, ID, AAD, buffer, len, &out_len, buffer, len);
    FUZZ_CHECK(kmse_is_ok(st) == (found < SEALED_COUNT));
    FUZZ_CHECK(out_len == (kmse_is_ok(st) ? LENGTHS[found] : 0));
    FUZZ_CHECK(memcmp(buffer, plaintext, out_len) == 0);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (siv == NULL)
        set_up();
    if (size < 1)
        return 0;
    size_t found = find_sealed(data + 1, size - 1);
    if ((data[0] & IN_PLACE) != 0)
        check_in_place(data + 1, size - 1, found);
    else
        check_apart(data + 1, size - 1, found);
    return 0;
}
