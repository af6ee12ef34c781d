/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_INDEX_H
#define KMSE_ENVELOPE_INDEX_H

#include "base/hmac.h"
#include "kms_envelope/format.h"

/*
 * The value of a blind index: the first size bytes of the HMAC, which is used
 * up. KMSE_R_PARAMETER unless KMSE_INDEX_SIZE_MIN <= size <=
 * KMSE_INDEX_SIZE_MAX. No I/O, no clock, no KMS.
 */
kmse_st kmse_index_finish(struct kmse_hmac *hmac, uint8_t *out,
                          size_t size) KMSE_MUST_CHECK;
/* The same after its version: KMSE_INDEX_VERSION_LEN + size bytes. */
kmse_st kmse_index_finish_entry(struct kmse_hmac *hmac, uint32_t key_version,
                                uint8_t *out, size_t size) KMSE_MUST_CHECK;

#endif
