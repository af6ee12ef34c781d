/* SPDX-License-Identifier: Apache-2.0 */
/* The application's AAD, kept until the message that it belongs to is there. */
#include "glue/aad.h"

#include <stdlib.h>
#include <string.h>

kmse_st kmse_aad_append(struct kmse_aad_buffer *buffer, const uint8_t *aad,
                        size_t aad_len, struct kmse_why *why)
{
    if (aad_len > KMSE_AAD_MAX - buffer->len)
        return kmse_fail(why, KMSE_R_AAD_TOO_LONG, "at most %d bytes",
                         KMSE_AAD_MAX);
    size_t len = buffer->len + aad_len;
    if (len <= KMSE_AAD_INLINE) {
        memcpy(buffer->small + buffer->len, aad, aad_len);
    } else {
        if (buffer->large == NULL)
            buffer->large = malloc(KMSE_AAD_MAX);
        if (buffer->large == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        if (buffer->len <= KMSE_AAD_INLINE)
            memcpy(buffer->large, buffer->small, buffer->len);
        memcpy(buffer->large + buffer->len, aad, aad_len);
    }
    buffer->len = len;
    return KMSE_OK;
}

const uint8_t *kmse_aad_bytes(const struct kmse_aad_buffer *buffer)
{
    return buffer->len <= KMSE_AAD_INLINE ? buffer->small : buffer->large;
}

kmse_st kmse_aad_copy(struct kmse_aad_buffer *copy,
                      const struct kmse_aad_buffer *buffer)
{
    *copy = *buffer;
    copy->large = NULL;
    if (buffer->large == NULL)
        return KMSE_OK;
    copy->large = malloc(KMSE_AAD_MAX);
    if (copy->large == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memcpy(copy->large, buffer->large, buffer->len);
    return KMSE_OK;
}

void kmse_aad_wipe(struct kmse_aad_buffer *buffer)
{
    free(buffer->large);
    *buffer = (struct kmse_aad_buffer){0};
}
