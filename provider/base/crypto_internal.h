/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CRYPTO_INTERNAL_H
#define KMSE_BASE_CRYPTO_INTERNAL_H

#include "base/algorithm.h"
#include "base/crypto.h"

/* Fetches on first use; every user of struct kmse_crypto goes through it. */
kmse_st kmse_crypto_gcm(struct kmse_crypto *crypto,
                        const struct kmse_algorithm **gcm) KMSE_MUST_CHECK;

/*
 * For what is fetched when it is needed, or takes locks of libcrypto: the
 * context that serves, and no fork until unlock. Only on success is it locked.
 */
kmse_st kmse_crypto_lock(struct kmse_crypto *crypto,
                         OSSL_LIB_CTX **libctx) KMSE_MUST_CHECK;
void kmse_crypto_unlock(struct kmse_crypto *crypto);

#endif
