/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_STREAM_FIXTURE_H
#define KMSE_TEST_UNIT_STREAM_FIXTURE_H

#include "test.h"

#include "base/crypto.h"
#include "envelope/stream_open.h"
#include "envelope/stream_seal.h"

enum {
    VERSION = 0x010203,
    FIRST = KMSE_STREAM_FIRST_LEN,
    NEXT = KMSE_STREAM_NEXT_LEN,
    FRAME = KMSE_STREAM_FRAME_LEN,
    HEADER = KMSE_HEADER_LEN,
    TAG = KMSE_STREAM_TAG_LEN,
    LONGEST = 5 * FRAME,
    ROOM = LONGEST + 1000,
    WHOLE = ROOM, /* a piece of all there is */
    FILLING = 0x5A,
    BITS = 8,
};

/* One key for all, so that nothing but the frames can tell streams apart. */
extern struct kmse_gcm *sealing, *opening;
extern const uint8_t ID[KMSE_KEY_ID_LEN];
extern const uint8_t SALT[KMSE_STREAM_SALT_LEN];
enum { AAD_LEN = 3 };
extern const uint8_t AAD[AAD_LEN];
extern uint8_t plain[LONGEST];

int stream_set_up(void **state);
int stream_tear_down(void **state);

/* The first piece has another size than the others. */
struct pieces {
    size_t first, others;
};

void start_seal(struct kmse_stream_seal *seal, bool one_buffer);
/* The first len bytes of plain; out has ROOM bytes. The stream's length. */
size_t seal(uint8_t *out, size_t len, struct pieces pieces);
/*
 * *out_len is what came before the failure, if there is one. The first piece
 * has the header in it.
 */
kmse_st open_stream(uint8_t *out, size_t *out_len, const uint8_t *stream,
                    size_t len, struct pieces pieces);
kmse_st open_with_aad(uint8_t *out, size_t *out_len, const uint8_t *stream,
                      size_t len, struct pieces pieces, const uint8_t *aad,
                      size_t aad_len);

#endif
