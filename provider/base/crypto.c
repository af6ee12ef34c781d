/* SPDX-License-Identifier: Apache-2.0 */
/* The library context for inner algorithms, HKDF, HMAC and random bytes. */
#include "base/crypto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "base/crypto_internal.h"
#include "kms_envelope/params.h"

struct kmse_crypto {
    OSSL_LIB_CTX *host; /* or NULL */
    bool host_always;
    /*
     * Guards what is below until ready is set, and is held around calls of
     * libcrypto that take locks of its own: no fork may find those taken.
     */
    pthread_mutex_t mutex;
    _Atomic bool ready;
    OSSL_LIB_CTX *private_libctx;
    OSSL_PROVIDER *private_default;
    OSSL_LIB_CTX *libctx; /* the one that serves: host or private_libctx */
    EVP_KDF *hkdf;
    EVP_MAC *hmac;
    EVP_MD *sha256;
    struct kmse_algorithm gcm;
};

kmse_st kmse_crypto_new(struct kmse_crypto **crypto, OSSL_LIB_CTX *host,
                        bool host_always)
{
    struct kmse_crypto *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (pthread_mutex_init(&made->mutex, NULL) != 0) {
        free(made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    made->host = host;
    made->host_always = host_always;
    *crypto = made;
    return KMSE_OK;
}

static void locked_drop_algorithms(struct kmse_crypto *crypto)
{
    kmse_algorithm_wipe(&crypto->gcm);
    EVP_MD_free(crypto->sha256);
    crypto->sha256 = NULL;
    EVP_MAC_free(crypto->hmac);
    crypto->hmac = NULL;
    EVP_KDF_free(crypto->hkdf);
    crypto->hkdf = NULL;
}

void kmse_crypto_free(struct kmse_crypto *crypto)
{
    if (crypto == NULL)
        return;
    locked_drop_algorithms(crypto);
    OSSL_PROVIDER_unload(crypto->private_default);
    OSSL_LIB_CTX_free(crypto->private_libctx);
    OSSL_LIB_CTX_free(crypto->host);
    pthread_mutex_destroy(&crypto->mutex);
    free(crypto);
}

void kmse_crypto_prepare_fork(struct kmse_crypto *crypto)
{
    pthread_mutex_lock(&crypto->mutex);
}

void kmse_crypto_after_fork(struct kmse_crypto *crypto)
{
    pthread_mutex_unlock(&crypto->mutex);
}

/*
 * The generator of a child context takes its AES by the host's default
 * properties, which may name us, who wait for the generator with our lock held.
 * This fails if there is a generator already: one that has its AES.
 */
static void use_host(struct kmse_crypto *crypto)
{
    if (crypto->libctx != crypto->host)
        (void)RAND_set_DRBG_type(crypto->host, "CTR-DRBG",
                                 "provider!=" KMSE_PROVIDER_NAME, "AES-256-CTR",
                                 NULL);
    crypto->libctx = crypto->host;
}

/*
 * A private context knows nothing of the host's openssl.cnf, so it cannot
 * recurse into us or meet odd default properties; and for the same reason it
 * would pass by a host's FIPS choice, which the child context inherits. The
 * choice may come later in openssl.cnf than we do: hence at the first use.
 */
static kmse_st locked_choose_libctx(struct kmse_crypto *crypto)
{
    if (crypto->host != NULL
        && (crypto->host_always
            || EVP_default_properties_is_fips_enabled(crypto->host))) {
        use_host(crypto);
        return KMSE_OK;
    }
    if (crypto->private_libctx == NULL)
        crypto->private_libctx = OSSL_LIB_CTX_new();
    if (crypto->private_libctx == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (crypto->private_default == NULL)
        crypto->private_default =
            OSSL_PROVIDER_load(crypto->private_libctx, "default");
    if (crypto->private_default == NULL)
        return KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
    crypto->libctx = crypto->private_libctx;
    /* A child that outlives its parent cannot be freed: not needed, gone. */
    OSSL_LIB_CTX_free(crypto->host);
    crypto->host = NULL;
    return KMSE_OK;
}

static kmse_st locked_fetch(struct kmse_crypto *crypto)
{
    KMSE_TRY(locked_choose_libctx(crypto));
    KMSE_TRY(kmse_algorithm_fetch(&crypto->gcm, crypto->libctx, "AES-256-GCM"));
    crypto->hkdf = EVP_KDF_fetch(crypto->libctx, "HKDF", NULL);
    crypto->hmac = EVP_MAC_fetch(crypto->libctx, "HMAC", NULL);
    crypto->sha256 = EVP_MD_fetch(crypto->libctx, "SHA2-256", NULL);
    if (crypto->hkdf == NULL || crypto->hmac == NULL || crypto->sha256 == NULL)
        return KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
    return KMSE_OK;
}

/* What a failed fetch leaves in the error queue means nothing to the host. */
kmse_st kmse_crypto_ready(struct kmse_crypto *crypto)
{
    if (atomic_load_explicit(&crypto->ready, memory_order_acquire))
        return KMSE_OK;

    pthread_mutex_lock(&crypto->mutex);
    kmse_st st = KMSE_OK;
    if (!atomic_load(&crypto->ready)) {
        ERR_set_mark();
        st = locked_fetch(crypto);
        ERR_pop_to_mark();
        if (kmse_is_ok(st))
            atomic_store_explicit(&crypto->ready, true, memory_order_release);
        else
            locked_drop_algorithms(crypto);
    }
    pthread_mutex_unlock(&crypto->mutex);
    return st;
}

kmse_st kmse_crypto_gcm(struct kmse_crypto *crypto,
                        const struct kmse_algorithm **gcm)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    *gcm = &crypto->gcm;
    return KMSE_OK;
}

kmse_st kmse_algorithms_ready(struct kmse_algorithms *algorithms,
                              struct kmse_crypto *crypto)
{
    if (atomic_load_explicit(&algorithms->ready, memory_order_acquire))
        return KMSE_OK;
    KMSE_TRY(kmse_crypto_ready(crypto));
    pthread_mutex_lock(&crypto->mutex);
    ERR_set_mark();
    for (size_t i = 0; i < algorithms->count && !algorithms->ready; i++) {
        struct kmse_algorithm *algorithm = &algorithms->algorithms[i];
        if (!kmse_is_ok(kmse_algorithm_fetch(algorithm, crypto->libctx,
                                             algorithms->names[i])))
            *algorithm = (struct kmse_algorithm){0};
    }
    ERR_pop_to_mark();
    atomic_store_explicit(&algorithms->ready, true, memory_order_release);
    pthread_mutex_unlock(&crypto->mutex);
    return KMSE_OK;
}

kmse_st kmse_crypto_lock(struct kmse_crypto *crypto, OSSL_LIB_CTX **libctx)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    pthread_mutex_lock(&crypto->mutex);
    *libctx = crypto->libctx;
    return KMSE_OK;
}

void kmse_crypto_unlock(struct kmse_crypto *crypto)
{
    pthread_mutex_unlock(&crypto->mutex);
}

kmse_st kmse_crypto_random(struct kmse_crypto *crypto, uint8_t *out,
                           size_t out_len)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    pthread_mutex_lock(&crypto->mutex);
    /*
     * Not RAND_bytes_ex: it gives each thread a generator of its own, which
     * libcrypto frees when the thread ends, through a library context that by
     * then may be gone. The primary one looks for forks as well (SP 800-90A).
     */
    EVP_RAND_CTX *primary = RAND_get0_primary(crypto->libctx);
    int drawn = primary != NULL
                && EVP_RAND_generate(primary, out, out_len, 0, 0, NULL, 0) == 1;
    pthread_mutex_unlock(&crypto->mutex);
    return drawn ? KMSE_OK : KMSE_ERR(KMSE_R_CRYPTO);
}

/* OSSL_PARAM has one pointer for both directions; these are only read. */
static OSSL_PARAM octets(const char *key, const uint8_t *bytes, size_t len)
{
    union {
        const uint8_t *read_only;
        void *param;
    } pointer = {.read_only = bytes};
    return OSSL_PARAM_construct_octet_string(key, pointer.param, len);
}

static kmse_st locked_hkdf(struct kmse_crypto *crypto, uint8_t *out,
                           size_t out_len, const uint8_t *ikm, size_t ikm_len,
                           const uint8_t *info, size_t info_len)
{
    EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(crypto->hkdf);
    if (kdf == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);

    char digest[] = "SHA2-256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, ikm, ikm_len),
        octets(OSSL_KDF_PARAM_INFO, info, info_len),
        OSSL_PARAM_construct_end(),
    };
    int derived = EVP_KDF_derive(kdf, out, out_len, params);
    EVP_KDF_CTX_free(kdf);
    if (derived != 1) {
        OPENSSL_cleanse(out, out_len);
        return KMSE_ERR(KMSE_R_CRYPTO);
    }
    return KMSE_OK;
}

kmse_st kmse_crypto_hkdf(struct kmse_crypto *crypto, uint8_t *out,
                         size_t out_len, const uint8_t *ikm, size_t ikm_len,
                         const uint8_t *info, size_t info_len)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    pthread_mutex_lock(&crypto->mutex);
    kmse_st st =
        locked_hkdf(crypto, out, out_len, ikm, ikm_len, info, info_len);
    pthread_mutex_unlock(&crypto->mutex);
    return st;
}

kmse_st kmse_crypto_sha256(struct kmse_crypto *crypto,
                           uint8_t out[KMSE_HMAC_LEN], const uint8_t *data,
                           size_t data_len)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    if (EVP_Digest(data, data_len, out, NULL, crypto->sha256, NULL) != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return KMSE_OK;
}

static kmse_st locked_hmac(struct kmse_crypto *crypto,
                           uint8_t out[KMSE_HMAC_LEN], const uint8_t *key,
                           size_t key_len, const uint8_t *data, size_t data_len)
{
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(crypto->hmac);
    if (mac == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);

    char digest[] = "SHA2-256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t out_len = 0;
    bool done = EVP_MAC_init(mac, key, key_len, params) == 1
                && EVP_MAC_update(mac, data, data_len) == 1
                && EVP_MAC_final(mac, out, &out_len, KMSE_HMAC_LEN) == 1
                && out_len == KMSE_HMAC_LEN;
    EVP_MAC_CTX_free(mac);
    return done ? KMSE_OK : KMSE_ERR(KMSE_R_CRYPTO);
}

kmse_st kmse_crypto_hmac(struct kmse_crypto *crypto, uint8_t out[KMSE_HMAC_LEN],
                         const uint8_t *key, size_t key_len,
                         const uint8_t *data, size_t data_len)
{
    KMSE_TRY(kmse_crypto_ready(crypto));
    pthread_mutex_lock(&crypto->mutex);
    kmse_st st = locked_hmac(crypto, out, key, key_len, data, data_len);
    pthread_mutex_unlock(&crypto->mutex);
    return st;
}
