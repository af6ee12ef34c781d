/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM, keyed once, called through its provider's dispatch table. */
#include "base/crypto.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "base/crypto_internal.h"

struct kmse_gcm {
    const struct kmse_algorithm *algorithm;
    void *ctx;
    enum kmse_direction direction;
    uint8_t tag[KMSE_GCM_TAG_LEN];
    OSSL_PARAM tag_params[2]; /* made once: they point at tag */
};

static struct kmse_gcm *gcm_alloc(const struct kmse_algorithm *algorithm,
                                  enum kmse_direction direction)
{
    struct kmse_gcm *gcm = calloc(1, sizeof(*gcm));
    if (gcm == NULL)
        return NULL;
    gcm->algorithm = algorithm;
    gcm->direction = direction;
    gcm->tag_params[0] = OSSL_PARAM_construct_octet_string(
        OSSL_CIPHER_PARAM_AEAD_TAG, gcm->tag, sizeof(gcm->tag));
    gcm->tag_params[1] = OSSL_PARAM_construct_end();
    return gcm;
}

static int init_direction(struct kmse_gcm *gcm, const uint8_t *key,
                          const uint8_t *iv)
{
    OSSL_FUNC_cipher_encrypt_init_fn *init = gcm->direction == KMSE_SEAL
                                                 ? gcm->algorithm->encrypt_init
                                                 : gcm->algorithm->decrypt_init;
    return init(gcm->ctx, key, key != NULL ? KMSE_GCM_KEY_LEN : 0, iv,
                iv != NULL ? KMSE_GCM_IV_LEN : 0, NULL);
}

kmse_st kmse_gcm_new(struct kmse_gcm **gcm, struct kmse_crypto *crypto,
                     const uint8_t key[KMSE_GCM_KEY_LEN],
                     enum kmse_direction direction)
{
    const struct kmse_algorithm *algorithm = NULL;
    KMSE_TRY(kmse_crypto_gcm(crypto, &algorithm));
    struct kmse_gcm *made = gcm_alloc(algorithm, direction);
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->ctx = algorithm->newctx(algorithm->provctx);
    if (made->ctx == NULL || init_direction(made, key, NULL) != 1) {
        kmse_gcm_free(made);
        return KMSE_ERR(KMSE_R_CRYPTO);
    }
    *gcm = made;
    return KMSE_OK;
}

void kmse_gcm_free(struct kmse_gcm *gcm)
{
    if (gcm == NULL)
        return;
    if (gcm->ctx != NULL)
        gcm->algorithm->freectx(gcm->ctx);
    free(gcm);
}

kmse_st kmse_gcm_dup(struct kmse_gcm **copy, const struct kmse_gcm *gcm)
{
    if (gcm->algorithm->dupctx == NULL)
        return KMSE_ERR(KMSE_R_STATE);
    struct kmse_gcm *made = gcm_alloc(gcm->algorithm, gcm->direction);
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->ctx = gcm->algorithm->dupctx(gcm->ctx);
    if (made->ctx == NULL) {
        kmse_gcm_free(made);
        return KMSE_ERR(KMSE_R_CRYPTO);
    }
    *copy = made;
    return KMSE_OK;
}

kmse_st kmse_gcm_start(struct kmse_gcm *gcm, const uint8_t iv[KMSE_GCM_IV_LEN])
{
    return init_direction(gcm, NULL, iv) == 1 ? KMSE_OK
                                              : KMSE_ERR(KMSE_R_CRYPTO);
}

kmse_st kmse_gcm_aad(struct kmse_gcm *gcm, const uint8_t *aad, size_t aad_len)
{
    size_t taken = 0;
    if (aad_len > 0
        && gcm->algorithm->update(gcm->ctx, NULL, &taken, aad_len, aad, aad_len)
               != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return KMSE_OK;
}

kmse_st kmse_gcm_update(struct kmse_gcm *gcm, uint8_t *out, const uint8_t *in,
                        size_t len)
{
    size_t out_len = 0;
    if (len == 0)
        return KMSE_OK;
    if (gcm->algorithm->update(gcm->ctx, out, &out_len, len, in, len) != 1
        || out_len != len)
        return KMSE_ERR(KMSE_R_CRYPTO);
    return KMSE_OK;
}

kmse_st kmse_gcm_seal_finish(struct kmse_gcm *gcm,
                             uint8_t tag[KMSE_GCM_TAG_LEN])
{
    size_t out_len = 0;
    uint8_t none[1];
    if (gcm->algorithm->final(gcm->ctx, none, &out_len, 0) != 1
        || gcm->algorithm->get_ctx_params(gcm->ctx, gcm->tag_params) != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    memcpy(tag, gcm->tag, KMSE_GCM_TAG_LEN);
    return KMSE_OK;
}

kmse_st kmse_gcm_open_finish(struct kmse_gcm *gcm,
                             const uint8_t tag[KMSE_GCM_TAG_LEN])
{
    return kmse_gcm_open_finish_short(gcm, tag, KMSE_GCM_TAG_LEN);
}

kmse_st kmse_gcm_open_finish_short(struct kmse_gcm *gcm, const uint8_t *tag,
                                   size_t tag_len)
{
    if (tag_len < KMSE_GCM_TAG_MIN || tag_len > KMSE_GCM_TAG_LEN)
        return KMSE_ERR(KMSE_R_INTERNAL);
    memcpy(gcm->tag, tag, tag_len);
    gcm->tag_params[0].data_size = tag_len;
    if (gcm->algorithm->set_ctx_params(gcm->ctx, gcm->tag_params) != 1)
        return KMSE_ERR(KMSE_R_CRYPTO);
    size_t out_len = 0;
    uint8_t none[1];
    if (gcm->algorithm->final(gcm->ctx, none, &out_len, 0) != 1)
        return KMSE_ERR(KMSE_R_TAG_MISMATCH);
    return KMSE_OK;
}
