/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CRYPTO_H
#define KMSE_BASE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "base/status.h"

/*
 * The cryptography that we use and do not write: AES-256-GCM, HKDF-SHA256,
 * HMAC-SHA256 and random bytes, fetched from OpenSSL providers. Nothing here
 * is process-wide; a struct kmse_crypto may be used by several threads.
 */
struct kmse_crypto;

enum { KMSE_GCM_KEY_LEN = 32, KMSE_GCM_IV_LEN = 12, KMSE_GCM_TAG_LEN = 16 };
enum { KMSE_HMAC_LEN = 32 };

/*
 * host: the host's library context as a child (OSSL_LIB_CTX_new_child), taken
 * over by the call, or NULL. It serves if host_always or if the host's default
 * properties ask for FIPS by the time of the first use; else, and with NULL, a
 * private context with OpenSSL's default provider does.
 */
kmse_st kmse_crypto_new(struct kmse_crypto **crypto, OSSL_LIB_CTX *host,
                        bool host_always) KMSE_MUST_CHECK;
void kmse_crypto_free(struct kmse_crypto *crypto);
/*
 * The choice and the fetches, which the first use would do. A host context
 * that was not chosen is freed here, while its parent still lives.
 */
kmse_st kmse_crypto_ready(struct kmse_crypto *crypto) KMSE_MUST_CHECK;

/* For fork handlers: hold its mutex over a fork. */
void kmse_crypto_prepare_fork(struct kmse_crypto *crypto);
void kmse_crypto_after_fork(struct kmse_crypto *crypto);

kmse_st kmse_crypto_random(struct kmse_crypto *crypto, uint8_t *out,
                           size_t out_len) KMSE_MUST_CHECK;

/* RFC 5869 without salt. On failure out is wiped. */
kmse_st kmse_crypto_hkdf(struct kmse_crypto *crypto, uint8_t *out,
                         size_t out_len, const uint8_t *ikm, size_t ikm_len,
                         const uint8_t *info, size_t info_len) KMSE_MUST_CHECK;

kmse_st kmse_crypto_sha256(struct kmse_crypto *crypto,
                           uint8_t out[KMSE_HMAC_LEN], const uint8_t *data,
                           size_t data_len) KMSE_MUST_CHECK;

kmse_st kmse_crypto_hmac(struct kmse_crypto *crypto, uint8_t out[KMSE_HMAC_LEN],
                         const uint8_t *key, size_t key_len,
                         const uint8_t *data, size_t data_len) KMSE_MUST_CHECK;

/*
 * A keyed AES-256-GCM, for one thread at a time and one direction. The
 * fetched algorithm is called through its own dispatch table: a nested
 * EVP_CIPHER_CTX costs 40 ns more for each message, and a message of 32 bytes
 * costs 160 ns in all. It holds a key schedule in ordinary memory: keep few.
 *
 *   start -> aad* -> update* -> seal_finish or open_finish -> start ...
 *
 * out may equal in; any other overlap is the caller's to resolve.
 */
struct kmse_gcm;

enum kmse_direction { KMSE_SEAL, KMSE_OPEN };

kmse_st kmse_gcm_new(struct kmse_gcm **gcm, struct kmse_crypto *crypto,
                     const uint8_t key[KMSE_GCM_KEY_LEN],
                     enum kmse_direction direction) KMSE_MUST_CHECK;
void kmse_gcm_free(struct kmse_gcm *gcm);
/* A copy with its state; KMSE_R_STATE if the algorithm cannot be copied. */
kmse_st kmse_gcm_dup(struct kmse_gcm **copy,
                     const struct kmse_gcm *gcm) KMSE_MUST_CHECK;

kmse_st kmse_gcm_start(struct kmse_gcm *gcm,
                       const uint8_t iv[KMSE_GCM_IV_LEN]) KMSE_MUST_CHECK;
kmse_st kmse_gcm_aad(struct kmse_gcm *gcm, const uint8_t *aad,
                     size_t aad_len) KMSE_MUST_CHECK;
kmse_st kmse_gcm_update(struct kmse_gcm *gcm, uint8_t *out, const uint8_t *in,
                        size_t len) KMSE_MUST_CHECK;
kmse_st kmse_gcm_seal_finish(struct kmse_gcm *gcm,
                             uint8_t tag[KMSE_GCM_TAG_LEN]) KMSE_MUST_CHECK;
/* KMSE_R_TAG_MISMATCH if the tag is not right: what update wrote is not so. */
kmse_st
kmse_gcm_open_finish(struct kmse_gcm *gcm,
                     const uint8_t tag[KMSE_GCM_TAG_LEN]) KMSE_MUST_CHECK;
/*
 * The same with the first tag_len bytes of a tag, which are a tag as well
 * (SP 800-38D, 7.1). At least 96 bits: shorter ones need the care of its
 * appendix C.
 */
enum { KMSE_GCM_TAG_MIN = 12 };
kmse_st kmse_gcm_open_finish_short(struct kmse_gcm *gcm, const uint8_t *tag,
                                   size_t tag_len) KMSE_MUST_CHECK;

#endif
