/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_STREAM_FRAME_H
#define KMSE_ENVELOPE_STREAM_FRAME_H

#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "envelope/header.h"

/*
 * The IV and the AAD of one frame. The IV is the frame's number, in 96 bits
 * (SP 800-38D, 8.2.1): the key is this stream's alone. Nothing marks the last
 * frame but its length, which GCM authenticates; stream_seal.h says why.
 */
static inline kmse_st
kmse_stream_frame_start(struct kmse_gcm *gcm, uint64_t frame,
                        const uint8_t prefix[KMSE_AAD_PREFIX_LEN])
{
    enum { NUMBER_AT = KMSE_GCM_IV_LEN - 4 };
    if (frame >= KMSE_STREAM_FRAMES_MAX)
        return KMSE_ERR(KMSE_R_MESSAGE_TOO_LONG);
    uint8_t iv[KMSE_GCM_IV_LEN] = {0};
    kmse_store_be32(iv + NUMBER_AT, (uint32_t)frame);
    KMSE_TRY(kmse_gcm_start(gcm, iv));
    return kmse_gcm_aad(gcm, prefix, KMSE_AAD_PREFIX_LEN);
}

#endif
