/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes each call makes of a stream. Lengths alone, no bytes. */
#include "envelope/stream_plan.h"

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t kmse_stream_plan_room(const struct kmse_stream_plan *plan)
{
    size_t frame_len =
        plan->frame == 0 ? KMSE_STREAM_FIRST_LEN : KMSE_STREAM_NEXT_LEN;
    return frame_len - plan->filled_len;
}

bool kmse_stream_plan_fill(struct kmse_stream_plan *plan, size_t len)
{
    bool fills = len == kmse_stream_plan_room(plan);
    plan->filled_len = fills ? 0 : plan->filled_len + len;
    plan->frame += fills ? 1 : 0;
    return fills;
}

static size_t header_len(const struct kmse_stream_plan *plan)
{
    return plan->begun ? 0 : KMSE_HEADER_LEN;
}

kmse_st kmse_stream_plan_update(struct kmse_stream_plan *plan, size_t in_len,
                                size_t *write_len)
{
    if (in_len > KMSE_STREAM_PIECE_MAX)
        return KMSE_ERR(KMSE_R_STREAM_PIECES);

    struct kmse_stream_plan next = *plan;
    size_t made_len = plan->backlog_len + header_len(plan) + in_len;
    for (size_t left = in_len; left > 0;) {
        size_t len = min_len(left, kmse_stream_plan_room(&next));
        if (kmse_stream_plan_fill(&next, len))
            made_len += KMSE_STREAM_TAG_LEN;
        left -= len;
    }
    next.begun = true;
    if (next.frame >= KMSE_STREAM_FRAMES_MAX)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);

    size_t len = min_len(made_len, in_len + KMSE_OVERHEAD);
    next.backlog_len = made_len - len;
    if (next.backlog_len > KMSE_STREAM_BACKLOG_MAX)
        return KMSE_ERR(KMSE_R_STREAM_PIECES);
    *plan = next;
    *write_len = len;
    return KMSE_OK;
}

size_t kmse_stream_plan_final(const struct kmse_stream_plan *plan)
{
    return plan->backlog_len + header_len(plan) + KMSE_STREAM_TAG_LEN;
}

kmse_st kmse_stream_plaintext_len(uint64_t *plaintext_len, uint64_t len)
{
    uint64_t full_frames = len / KMSE_STREAM_FRAME_LEN;
    uint64_t last_len = len % KMSE_STREAM_FRAME_LEN;
    uint64_t least_len =
        KMSE_STREAM_TAG_LEN + (full_frames == 0 ? KMSE_HEADER_LEN : 0);
    if (last_len < least_len)
        return KMSE_ERR(KMSE_R_MESSAGE_SHORT);
    *plaintext_len =
        len - KMSE_HEADER_LEN - (full_frames + 1) * KMSE_STREAM_TAG_LEN;
    return KMSE_OK;
}
