/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, written and read in pieces, with blocks as short as EVP has them. */
#include "stream_fixture.h"

#include <stdlib.h>
#include <string.h>

static struct kmse_crypto *crypto;
struct kmse_gcm *sealing, *opening;
static const uint8_t KEY[KMSE_GCM_KEY_LEN] = "0123456789abcdef0123456789abcde";
const uint8_t ID[KMSE_KEY_ID_LEN] = "id of this key.";
const uint8_t SALT[KMSE_STREAM_SALT_LEN] = "twelve bytes";
const uint8_t AAD[AAD_LEN] = {'a', 'a', 'd'};
uint8_t plain[LONGEST];

int stream_set_up(void **state)
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

int stream_tear_down(void **state)
{
    (void)state;
    kmse_gcm_free(opening);
    kmse_gcm_free(sealing);
    kmse_crypto_free(crypto);
    return 0;
}

/* --- writing and reading ------------------------------------------------- */

static size_t next_piece(struct pieces *pieces, size_t left)
{
    size_t len = pieces->first < left ? pieces->first : left;
    pieces->first = pieces->others;
    return len;
}

void start_seal(struct kmse_stream_seal *seal, bool one_buffer)
{
    expect_ok(
        kmse_stream_seal_start(seal, sealing, ID, VERSION, SALT, one_buffer));
    expect_ok(kmse_stream_seal_aad(seal, AAD, sizeof(AAD)));
}

/* Each call writes into a block as long as it may be, and no longer. */
size_t seal(uint8_t *out, size_t len, struct pieces pieces)
{
    static struct kmse_stream_seal s;
    size_t written = 0, now = 0;
    start_seal(&s, false);
    for (size_t at = 0, piece = 0; at < len; at += piece) {
        piece = next_piece(&pieces, len - at);
        uint8_t *block = malloc(piece + KMSE_OVERHEAD);
        uint8_t *in = malloc(piece);
        assert_non_null(block);
        assert_non_null(in);
        memcpy(in, plain + at, piece);
        expect_ok(kmse_stream_seal_update(&s, block, piece + KMSE_OVERHEAD,
                                          &now, in, piece));
        memcpy(out + written, block, now);
        written += now;
        free(in);
        free(block);
    }
    uint8_t end[KMSE_OVERHEAD];
    expect_ok(kmse_stream_seal_final(&s, end, sizeof(end), &now));
    memcpy(out + written, end, now);
    return written + now;
}

static kmse_st update_block(struct kmse_stream_open *open, uint8_t *out,
                            size_t *out_len, const uint8_t *in, size_t in_len)
{
    uint8_t *block = malloc(in_len + KMSE_OVERHEAD);
    uint8_t *copy = malloc(in_len + 1);
    assert_non_null(block);
    assert_non_null(copy);
    memcpy(copy, in, in_len);
    memset(block, FILLING, in_len + KMSE_OVERHEAD);
    kmse_st st = kmse_stream_open_update(open, block, in_len + KMSE_OVERHEAD,
                                         out_len, copy, in_len);
    memcpy(out, block, *out_len);
    /* Of a refused frame nothing: what was written is wiped, the rest as was.
     */
    for (size_t i = *out_len; i < in_len + KMSE_OVERHEAD; i++)
        assert_true(block[i] == FILLING || block[i] == 0);
    free(copy);
    free(block);
    return st;
}

kmse_st open_with_aad(uint8_t *out, size_t *out_len, const uint8_t *stream,
                      size_t len, struct pieces pieces, const uint8_t *aad,
                      size_t aad_len)
{
    static struct kmse_stream_open o;
    size_t now = 0;
    *out_len = 0;
    KMSE_TRY(kmse_stream_open_start(&o, opening, ID, stream, aad, aad_len));
    size_t piece = next_piece(&pieces, len) - HEADER;
    for (size_t at = HEADER; at < len; piece = next_piece(&pieces, len - at)) {
        KMSE_TRY(update_block(&o, out + *out_len, &now, stream + at, piece));
        *out_len += now;
        at += piece;
    }
    KMSE_TRY(kmse_stream_open_final(&o, out + *out_len, KMSE_OVERHEAD, &now));
    *out_len += now;
    return KMSE_OK;
}

kmse_st open_stream(uint8_t *out, size_t *out_len, const uint8_t *stream,
                    size_t len, struct pieces pieces)
{
    return open_with_aad(out, out_len, stream, len, pieces, AAD, sizeof(AAD));
}
