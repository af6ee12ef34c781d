/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_STREAM_PLAN_H
#define KMSE_ENVELOPE_STREAM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kms_envelope/format.h"

/*
 * The arithmetic of a stream: how many bytes each call of EVP makes of its
 * input. EVP gives an Update room for its input and one block, and a Final
 * room for one block, which is KMSE_OVERHEAD, the largest that EVP allows. A
 * stream grows by more than a block, so each Update must write its share, and
 * what one may not write yet is its backlog, written by the next.
 *
 * With pieces of at most KMSE_STREAM_PIECE_MAX bytes, in any order, the backlog
 * is never more than KMSE_STREAM_BACKLOG_MAX, so that Final has room for it and
 * the last tag. test/unit/test_stream.c proves it, by trying.
 */
enum {
    KMSE_STREAM_PIECE_MAX = 2 * KMSE_STREAM_FRAME_LEN,
    KMSE_STREAM_BACKLOG_MAX = KMSE_OVERHEAD - KMSE_STREAM_TAG_LEN,
};

/* Plaintext bytes in a frame that is not the last. */
enum {
    KMSE_STREAM_NEXT_LEN = KMSE_STREAM_FRAME_LEN - KMSE_STREAM_TAG_LEN,
    KMSE_STREAM_FIRST_LEN = KMSE_STREAM_NEXT_LEN - KMSE_HEADER_LEN,
};

/* Where a stream that is written stands. All zero: at its beginning. */
struct kmse_stream_plan {
    uint64_t frame;     /* the number of the one being filled */
    size_t filled_len;  /* plaintext bytes in it; it is never full */
    bool begun;         /* the header is made */
    size_t backlog_len; /* bytes made, and not written yet */
};

/* Plaintext bytes that the frame being filled still takes; never 0. */
size_t kmse_stream_plan_room(const struct kmse_stream_plan *plan);
/* Count len bytes, at most kmse_stream_plan_room; whether they fill a frame. */
bool kmse_stream_plan_fill(struct kmse_stream_plan *plan, size_t len);

/*
 * An Update with in_len bytes, not 0: the bytes that it writes, at most
 * in_len + KMSE_OVERHEAD. On failure nothing changes: KMSE_R_MESSAGE_TOO_LONG
 * past KMSE_STREAM_FRAMES_MAX, KMSE_R_STREAM_PIECES if the backlog would be too
 * long for Final.
 */
kmse_st kmse_stream_plan_update(struct kmse_stream_plan *plan, size_t in_len,
                                size_t *write_len) KMSE_MUST_CHECK;
/* The bytes that Final writes: at most KMSE_OVERHEAD. */
size_t kmse_stream_plan_final(const struct kmse_stream_plan *plan);

/*
 * Plaintext bytes of a stream of len bytes; KMSE_R_MESSAGE_SHORT if there is
 * none of that length: it lost its end.
 */
kmse_st kmse_stream_plaintext_len(uint64_t *plaintext_len,
                                  uint64_t len) KMSE_MUST_CHECK;

#endif
