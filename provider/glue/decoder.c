/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from files: PEM with our label to DER, and DER to an EVP_PKEY. OpenSSL
 * tries these on whatever a process reads as a key or certificate; what is not
 * ours is passed by, with success and nothing decoded.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "glue/pem.h"
#include "glue/pkey.h"
#include "glue/pkey_form.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_decoder_newctx_fn newctx;
static OSSL_FUNC_decoder_freectx_fn freectx;
static OSSL_FUNC_decoder_decode_fn decode_pem;
static OSSL_FUNC_decoder_decode_fn decode_der;

static void *newctx(void *provctx)
{
    return provctx;
}

static void freectx(void *ctx)
{
    (void)ctx;
}

/* --- PEM -> DER --------------------------------------------------------- */

static kmse_st read_pem(struct kmse_pem *pem, const struct kmse_core *core,
                        OSSL_CORE_BIO *in, struct kmse_why *why)
{
    enum { LINE_SIZE = 256 };
    char line[LINE_SIZE];
    while (pem->state == KMSE_PEM_BEFORE || pem->state == KMSE_PEM_INSIDE) {
        if (core->bio_gets == NULL || core->bio_gets(in, line, LINE_SIZE) <= 0)
            break;
        KMSE_TRY(kmse_pem_take_line(pem, line, why));
    }
    return KMSE_OK;
}

/* Parsed here already, where a failure is told: further on it would not be. */
static kmse_st check_form(const uint8_t *der, size_t der_len,
                          struct kmse_why *why)
{
    struct kmse_pkey_form form;
    KMSE_TRY(kmse_pkey_form_parse(&form, der, der_len, why));
    kmse_pkey_form_wipe(&form);
    return KMSE_OK;
}

static int give_der(uint8_t *der, size_t der_len, OSSL_CALLBACK *callback,
                    void *arg)
{
    char data_type[] = KMSE_PKEY_NAME, structure[] = KMSE_FORM_STRUCTURE;
    int type = OSSL_OBJECT_PKEY;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, data_type,
                                         0),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE,
                                         structure, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, der_len),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

/* *der stays NULL if there is no PEM of ours. */
static kmse_st pem_to_der(uint8_t **der, size_t *der_len,
                          const struct kmse_core *core, OSSL_CORE_BIO *in,
                          struct kmse_why *why)
{
    struct kmse_pem pem = {.state = KMSE_PEM_BEFORE};
    kmse_st st = read_pem(&pem, core, in, why);
    bool is_ours = pem.state == KMSE_PEM_INSIDE || pem.state == KMSE_PEM_DONE;
    if (kmse_is_ok(st) && is_ours)
        st = kmse_pem_decode(der, der_len, &pem, why);
    kmse_pem_wipe(&pem);
    return st;
}

static int decode_pem(void *ctx, OSSL_CORE_BIO *in, int selection,
                      OSSL_CALLBACK *callback, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *passphrase,
                      void *passphrase_arg)
{
    const struct kmse_provctx *provctx = ctx;
    struct kmse_why why = {""};
    uint8_t *der = NULL;
    size_t der_len = 0;
    int ok = 1;
    (void)selection;
    (void)passphrase;
    (void)passphrase_arg;
    kmse_st st = pem_to_der(&der, &der_len, &provctx->core, in, &why);
    if (kmse_is_ok(st) && der != NULL)
        st = check_form(der, der_len, &why);
    if (kmse_is_ok(st) && der != NULL)
        ok = give_der(der, der_len, callback, arg);
    free(der);
    kmse_raise(&provctx->core, st, &why);
    return kmse_is_ok(st) ? ok : 0;
}

/* --- DER -> EVP_PKEY ---------------------------------------------------- */

/* All of len bytes, or false. */
static bool read_all(const struct kmse_core *core, OSSL_CORE_BIO *in,
                     uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t got = 0;
        if (core->bio_read_ex == NULL
            || core->bio_read_ex(in, out, len, &got) != 1 || got == 0)
            return false;
        out += got;
        len -= got;
    }
    return true;
}

/* NULL if it is not ours, or cut short. */
static uint8_t *read_der(const struct kmse_core *core, OSSL_CORE_BIO *in,
                         size_t *der_len)
{
    uint8_t head[KMSE_FORM_HEAD_LEN];
    if (!read_all(core, in, head, sizeof(head))
        || !kmse_pkey_form_head(head, der_len))
        return NULL;
    uint8_t *der = malloc(*der_len);
    if (der == NULL)
        return NULL;
    memcpy(der, head, sizeof(head));
    if (!read_all(core, in, der + sizeof(head), *der_len - sizeof(head))) {
        free(der);
        return NULL;
    }
    return der;
}

/* Takes what the form has. The folder is looked at when the key is used. */
static struct kmse_pkey *make_pkey(const struct kmse_provctx *provctx,
                                   struct kmse_pkey_form *form)
{
    struct kmse_pkey *pkey = kmse_pkey_new(provctx);
    if (pkey == NULL)
        return NULL;
    pkey->reference = form->reference;
    memcpy(pkey->id, form->id, KMSE_KEY_ID_LEN);
    pkey->carried = form->key_file;
    pkey->carried_len = form->key_file_len;
    form->key_file = NULL;
    return pkey;
}

static int decode_der(void *ctx, OSSL_CORE_BIO *in, int selection,
                      OSSL_CALLBACK *callback, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *passphrase,
                      void *passphrase_arg)
{
    const struct kmse_provctx *provctx = ctx;
    struct kmse_why why = {""};
    struct kmse_pkey_form form = {.key_file = NULL};
    size_t der_len = 0;
    (void)selection;
    (void)passphrase;
    (void)passphrase_arg;
    uint8_t *der = read_der(&provctx->core, in, &der_len);
    if (der == NULL)
        return 1;
    kmse_st st = kmse_pkey_form_parse(&form, der, der_len, &why);
    free(der);
    if (!kmse_is_ok(st)) {
        kmse_raise(&provctx->core, st, &why);
        return 0;
    }
    struct kmse_pkey *pkey = make_pkey(provctx, &form);
    kmse_pkey_form_wipe(&form);
    return pkey != NULL
           && kmse_pkey_give(pkey, OSSL_OBJECT_PKEY, callback, arg);
}

const OSSL_DISPATCH kmse_pem_decoder_functions[] = {
    {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))freectx},
    {OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode_pem},
    {0, NULL},
};

const OSSL_DISPATCH kmse_der_decoder_functions[] = {
    {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))freectx},
    {OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode_der},
    {0, NULL},
};
