/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CRYPTO_INTERNAL_H
#define KMSE_BASE_CRYPTO_INTERNAL_H

#include "base/algorithm.h"
#include "base/crypto.h"

/* Fetches on first use; every user of struct kmse_crypto goes through it. */
kmse_st kmse_crypto_gcm(struct kmse_crypto *crypto,
                        const struct kmse_algorithm **gcm) KMSE_MUST_CHECK;

#endif
