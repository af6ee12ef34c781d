/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_GUEST_GUEST_H
#define KMSE_TEST_GUEST_GUEST_H

#include <stdbool.h>

#include <openssl/types.h>

/* For programs that know EVP, and have the provider as a guest. */

/*
 * Encrypt and decrypt under a key. In a process that has not used the key yet
 * that calls the KMS. Errors are printed; and OpenSSL's queue must hold what it
 * held before, and nothing of ours, nor of libcurl's.
 */
bool round_trip(OSSL_LIB_CTX *libctx, const char *key_name);
/*
 * Only encrypt, in a context that was made before: of libcrypto nothing but
 * the provider is at work. Errors are left in the queue.
 */
bool encrypt_with(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                  const char *key_name);

/* Some time from 0 to max_us, another one each run. */
void pause_at_random(unsigned max_us);

#endif
