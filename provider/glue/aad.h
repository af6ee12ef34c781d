/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_AAD_H
#define KMSE_GLUE_AAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* AAD that has to wait: here, if it is short, or on the heap. */
enum { KMSE_AAD_INLINE = 64, KMSE_AAD_MAX = 65536 };
struct kmse_aad_buffer {
    uint8_t small[KMSE_AAD_INLINE];
    uint8_t *large; /* KMSE_AAD_MAX bytes once needed, kept for reuse */
    size_t len;
};

/* KMSE_R_AAD_TOO_LONG, KMSE_R_MEMORY. */
kmse_st kmse_aad_append(struct kmse_aad_buffer *buffer, const uint8_t *aad,
                        size_t aad_len, struct kmse_why *why) KMSE_MUST_CHECK;
const uint8_t *kmse_aad_bytes(const struct kmse_aad_buffer *buffer);
/* copy holds nothing; on failure it holds nothing that must be wiped. */
kmse_st kmse_aad_copy(struct kmse_aad_buffer *copy,
                      const struct kmse_aad_buffer *buffer) KMSE_MUST_CHECK;
void kmse_aad_wipe(struct kmse_aad_buffer *buffer);

#endif
