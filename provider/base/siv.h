/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_SIV_H
#define KMSE_BASE_SIV_H

#include "base/crypto.h"

/*
 * AES-256-SIV (RFC 5297) with one string of associated data, which comes in
 * two parts: S2V and CTR, over a fetched CMAC and a fetched AES-256-CTR.
 *
 * Not the fetched AES-256-SIV, which gives the same bytes: for an empty
 * plaintext OpenSSL 3.0 reports success and a tag of zeros, and a further
 * message costs it a key setup, with the locks of three fetches.
 *
 * Keyed once, for one thread at a time. It holds key schedules in ordinary
 * memory: keep few.
 */
struct kmse_siv;

enum { KMSE_SIV_KEY_LEN = 64, KMSE_SIV_TAG_LEN = 16 };

kmse_st kmse_siv_new(struct kmse_siv **siv, struct kmse_crypto *crypto,
                     const uint8_t key[KMSE_SIV_KEY_LEN]) KMSE_MUST_CHECK;
void kmse_siv_free(struct kmse_siv *siv);

/* The associated data is first || second; either may be empty. */
struct kmse_siv_ad {
    const uint8_t *first, *second;
    size_t first_len, second_len;
};

/* len bytes each; out may equal in. On failure out is wiped. */
kmse_st kmse_siv_encrypt(struct kmse_siv *siv, const struct kmse_siv_ad *ad,
                         uint8_t tag[KMSE_SIV_TAG_LEN], uint8_t *out,
                         const uint8_t *in, size_t len) KMSE_MUST_CHECK;
/* KMSE_R_TAG_MISMATCH. On failure out is wiped. */
kmse_st kmse_siv_decrypt(struct kmse_siv *siv, const struct kmse_siv_ad *ad,
                         const uint8_t tag[KMSE_SIV_TAG_LEN], uint8_t *out,
                         const uint8_t *in, size_t len) KMSE_MUST_CHECK;

#endif
