/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_HMAC_H
#define KMSE_BASE_HMAC_H

#include "base/crypto.h"

/*
 * HMAC-SHA256 that is keyed once and takes data in pieces, for one thread at a
 * time. It holds its key in ordinary memory: keep few.
 *   new -> dup -> update* -> final; the one that was made stays as it is
 */
struct kmse_hmac;

kmse_st kmse_hmac_new(struct kmse_hmac **hmac, struct kmse_crypto *crypto,
                      const uint8_t *key, size_t key_len) KMSE_MUST_CHECK;
void kmse_hmac_free(struct kmse_hmac *hmac);
/* A copy with its state. */
kmse_st kmse_hmac_dup(struct kmse_hmac **copy,
                      const struct kmse_hmac *hmac) KMSE_MUST_CHECK;
kmse_st kmse_hmac_update(struct kmse_hmac *hmac, const uint8_t *data,
                         size_t data_len) KMSE_MUST_CHECK;
/* Once: the next value takes another copy. */
kmse_st kmse_hmac_final(struct kmse_hmac *hmac,
                        uint8_t out[KMSE_HMAC_LEN]) KMSE_MUST_CHECK;

#endif
