/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a cipher's own dispatch table. */
#include "base/algorithm.h"

#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "kms_envelope/params.h"

/* names is "AES-256-GCM:id-aes256-GCM:2.16...", as OSSL_ALGORITHM has them. */
static bool names_contain(const char *names, const char *wanted)
{
    size_t wanted_len = strlen(wanted);
    while (names != NULL) {
        const char *colon = strchr(names, ':');
        size_t len = colon != NULL ? (size_t)(colon - names) : strlen(names);
        if (len == wanted_len && strncasecmp(names, wanted, len) == 0)
            return true;
        names = colon != NULL ? colon + 1 : NULL;
    }
    return false;
}

static void read_dispatch(struct kmse_algorithm *a, const OSSL_DISPATCH *d)
{
    for (; d->function_id != 0; d++) {
        switch (d->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
            a->newctx = OSSL_FUNC_cipher_newctx(d);
            break;
        case OSSL_FUNC_CIPHER_FREECTX:
            a->freectx = OSSL_FUNC_cipher_freectx(d);
            break;
        case OSSL_FUNC_CIPHER_DUPCTX:
            a->dupctx = OSSL_FUNC_cipher_dupctx(d);
            break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
            a->encrypt_init = OSSL_FUNC_cipher_encrypt_init(d);
            break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
            a->decrypt_init = OSSL_FUNC_cipher_decrypt_init(d);
            break;
        case OSSL_FUNC_CIPHER_UPDATE:
            a->update = OSSL_FUNC_cipher_update(d);
            break;
        case OSSL_FUNC_CIPHER_FINAL:
            a->final = OSSL_FUNC_cipher_final(d);
            break;
        case OSSL_FUNC_CIPHER_CIPHER:
            a->cipher_once = OSSL_FUNC_cipher_cipher(d);
            break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
            a->get_ctx_params = OSSL_FUNC_cipher_get_ctx_params(d);
            break;
        case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
            a->set_ctx_params = OSSL_FUNC_cipher_set_ctx_params(d);
            break;
        case OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS:
            a->gettable_ctx_params = OSSL_FUNC_cipher_gettable_ctx_params(d);
            break;
        case OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS:
            a->settable_ctx_params = OSSL_FUNC_cipher_settable_ctx_params(d);
            break;
        default:
            break;
        }
    }
}

static bool is_complete(const struct kmse_algorithm *a)
{
    return a->newctx != NULL && a->freectx != NULL && a->encrypt_init != NULL
           && a->decrypt_init != NULL && a->update != NULL && a->final != NULL
           && a->get_ctx_params != NULL && a->set_ctx_params != NULL;
}

static void find_dispatch(struct kmse_algorithm *found, const char *name)
{
    int no_cache = 0;
    const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(found->cipher);
    const OSSL_ALGORITHM *table =
        OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);
    for (const OSSL_ALGORITHM *a = table;
         a != NULL && a->algorithm_names != NULL; a++) {
        if (names_contain(a->algorithm_names, name)) {
            read_dispatch(found, a->implementation);
            break;
        }
    }
    OSSL_PROVIDER_unquery_operation(provider, OSSL_OP_CIPHER, table);
    found->provctx = OSSL_PROVIDER_get0_provider_ctx(provider);
}

/* Ourselves, mirrored in a child context, may offer AES as well: drop_in.c. */
kmse_st kmse_algorithm_fetch(struct kmse_algorithm *algorithm,
                             OSSL_LIB_CTX *libctx, const char *name)
{
    struct kmse_algorithm found = {
        .cipher =
            EVP_CIPHER_fetch(libctx, name, "provider!=" KMSE_PROVIDER_NAME)};
    if (found.cipher == NULL)
        return KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
    find_dispatch(&found, name);
    if (!is_complete(&found)) {
        EVP_CIPHER_free(found.cipher);
        return KMSE_ERR(KMSE_R_CRYPTO_UNAVAILABLE);
    }
    *algorithm = found;
    return KMSE_OK;
}

void kmse_algorithm_wipe(struct kmse_algorithm *algorithm)
{
    EVP_CIPHER_free(algorithm->cipher);
    *algorithm = (struct kmse_algorithm){0};
}
