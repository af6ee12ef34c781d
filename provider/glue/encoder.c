/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An EVP_PKEY as PEM and DER. The encoders call their structure PrivateKeyInfo,
 * for that is what OpenSSL asks for when it writes a key that can decrypt.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/encoder.h"
#include "glue/error.h"
#include "glue/output.h"
#include "glue/pem.h"
#include "glue/pkey_form.h"

static OSSL_FUNC_encoder_does_selection_fn takes_whole;
static OSSL_FUNC_encoder_does_selection_fn takes_public;
static OSSL_FUNC_encoder_encode_fn encode_pem;
static OSSL_FUNC_encoder_encode_fn encode_der;
static OSSL_FUNC_encoder_encode_fn encode_public;

/* --- the context is the provider's -------------------------------------- */

void *kmse_encoder_newctx(void *provctx)
{
    return provctx;
}

void kmse_encoder_freectx(void *ctx)
{
    (void)ctx;
}

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
    OSSL_PARAM_END,
};

const OSSL_PARAM *kmse_encoder_settable_ctx_params(void *provctx)
{
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

/* Who asks for a password must not believe that there is one. */
int kmse_encoder_set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
    const struct kmse_provctx *provctx = ctx;
    struct kmse_why why = {""};
    if (OSSL_PARAM_locate_const(params, OSSL_ENCODER_PARAM_CIPHER) == NULL)
        return 1;
    kmse_raise(&provctx->core,
               kmse_fail(&why, KMSE_R_PARAMETER,
                         "a file of this key holds no secret, and has no "
                         "password: write it without a cipher"),
               &why);
    return 0;
}

static int takes_whole(void *provctx, int selection)
{
    (void)provctx;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static int takes_public(void *provctx, int selection)
{
    return !takes_whole(provctx, selection)
           && (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0;
}

/* --- writing ------------------------------------------------------------ */

static kmse_st add_key_file(struct kmse_pkey_form *form, struct kmse_pkey *pkey,
                            struct kmse_why *why)
{
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(kmse_pkey_snapshot(pkey, &snapshot, why));
    kmse_st st =
        kmse_keyfile_print(&form->key_file, kmse_snapshot_file(snapshot));
    kmse_snapshot_release(snapshot);
    if (kmse_is_ok(st))
        form->key_file_len = strlen(form->key_file);
    return st;
}

static kmse_st make_der(uint8_t **der, size_t *der_len, struct kmse_pkey *pkey,
                        struct kmse_why *why)
{
    struct kmse_pkey_form form = {.reference = pkey->reference};
    kmse_st st = KMSE_OK;
    memcpy(form.id, pkey->id, KMSE_KEY_ID_LEN);
    if (pkey->reference.name[0] == '\0')
        st = kmse_fail(why, KMSE_R_STATE, "this object refers to no key yet");
    else if (pkey->reference.with_copies)
        st = add_key_file(&form, pkey, why);
    if (kmse_is_ok(st))
        st = kmse_pkey_form_print(der, der_len, &form);
    kmse_pkey_form_wipe(&form);
    return st;
}

static kmse_st write_der(const struct kmse_core *core, OSSL_CORE_BIO *out,
                         const uint8_t *der, size_t der_len)
{
    return kmse_output(core, out, der, der_len);
}

static kmse_st write_pem(const struct kmse_core *core, OSSL_CORE_BIO *out,
                         const uint8_t *der, size_t der_len)
{
    char *text = NULL;
    KMSE_TRY(kmse_pem_print(&text, der, der_len));
    kmse_st st = kmse_output(core, out, text, strlen(text));
    free(text);
    return st;
}

static int encode(const struct kmse_provctx *provctx, OSSL_CORE_BIO *out,
                  const void *object,
                  kmse_st (*write)(const struct kmse_core *core,
                                   OSSL_CORE_BIO *out, const uint8_t *der,
                                   size_t der_len))
{
    struct kmse_pkey *pkey = kmse_encoder_pkey(object);
    struct kmse_why why = {""};
    uint8_t *der = NULL;
    size_t der_len = 0;
    if (pkey == NULL) /* of another provider: there is none of this type */
        return 0;
    kmse_st st = make_der(&der, &der_len, pkey, &why);
    if (kmse_is_ok(st))
        st = write(&provctx->core, out, der, der_len);
    free(der);
    return kmse_is_ok(st) ? 1 : kmse_pkey_fail(pkey, st, &why);
}

static int encode_pem(void *ctx, OSSL_CORE_BIO *out, const void *object,
                      const OSSL_PARAM abstract[], int selection,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *arg)
{
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)arg;
    return encode(ctx, out, object, write_pem);
}

static int encode_der(void *ctx, OSSL_CORE_BIO *out, const void *object,
                      const OSSL_PARAM abstract[], int selection,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *arg)
{
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)arg;
    return encode(ctx, out, object, write_der);
}

/* "openssl pkey -pubout" would fail without a word if nobody took it. */
static int encode_public(void *ctx, OSSL_CORE_BIO *out, const void *object,
                         const OSSL_PARAM abstract[], int selection,
                         OSSL_PASSPHRASE_CALLBACK *passphrase, void *arg)
{
    const struct kmse_provctx *provctx = ctx;
    struct kmse_why why = {""};
    (void)out;
    (void)object;
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)arg;
    kmse_raise(&provctx->core,
               kmse_fail(&why, KMSE_R_PARAMETER,
                         "this key has no public half: who may encrypt under "
                         "it is decided by its KMS; its file holds no secret, "
                         "and is written without -pubout"),
               &why);
    return 0;
}

#define CONTEXT                                                                \
    {OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))kmse_encoder_newctx},           \
        {OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))kmse_encoder_freectx},     \
        {OSSL_FUNC_ENCODER_SET_CTX_PARAMS,                                     \
         (void (*)(void))kmse_encoder_set_ctx_params},                         \
    {                                                                          \
        OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS,                                 \
            (void (*)(void))kmse_encoder_settable_ctx_params                   \
    }

const OSSL_DISPATCH kmse_pem_encoder_functions[] = {
    CONTEXT,
    {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))takes_whole},
    {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_pem},
    {0, NULL},
};

const OSSL_DISPATCH kmse_der_encoder_functions[] = {
    CONTEXT,
    {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))takes_whole},
    {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_der},
    {0, NULL},
};

const OSSL_DISPATCH kmse_public_encoder_functions[] = {
    CONTEXT,
    {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))takes_public},
    {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_public},
    {0, NULL},
};
