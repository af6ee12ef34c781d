/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVP_PKEY_encrypt and EVP_PKEY_decrypt: a whole KMS-ENVELOPE message with one
 * call, as the cipher writes it. Verified as a whole before a byte comes out.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "envelope/open.h"
#include "envelope/seal.h"
#include "glue/error.h"
#include "glue/pkey.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_asym_cipher_newctx_fn newctx;
static OSSL_FUNC_asym_cipher_freectx_fn freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn dupctx;
static OSSL_FUNC_asym_cipher_encrypt_init_fn encrypt_init;
static OSSL_FUNC_asym_cipher_decrypt_init_fn decrypt_init;
static OSSL_FUNC_asym_cipher_encrypt_fn encrypt;
static OSSL_FUNC_asym_cipher_decrypt_fn decrypt;
static OSSL_FUNC_asym_cipher_get_ctx_params_fn get_ctx_params;
static OSSL_FUNC_asym_cipher_gettable_ctx_params_fn gettable_ctx_params;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn set_ctx_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn settable_ctx_params;

enum { AAD_MAX = 65536 };
static_assert(KMSE_PKEY_MAX_SIZE > KMSE_OVERHEAD
                  && KMSE_PKEY_MAX_SIZE < KMSE_MESSAGE_MAX,
              "GCM's own limit is further off");

struct context {
    const struct kmse_core *core;
    struct kmse_pkey *pkey; /* or NULL: not initialised */
    uint8_t *aad;           /* of the next messages, or NULL */
    size_t aad_len;
    uint32_t used_version; /* by the last message, or 0 */
};

/* --- contexts ----------------------------------------------------------- */

static void *newctx(void *vprovctx)
{
    const struct kmse_provctx *provctx = vprovctx;
    struct context *context = calloc(1, sizeof(*context));
    if (context != NULL)
        context->core = &provctx->core;
    return context;
}

static void freectx(void *ctx)
{
    struct context *context = ctx;
    if (context == NULL)
        return;
    kmse_pkey_release(context->pkey);
    free(context->aad);
    free(context);
}

static kmse_st copy_aad(struct context *context, const void *aad,
                        size_t aad_len)
{
    uint8_t *copy = malloc(aad_len > 0 ? aad_len : 1);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (aad_len > 0)
        memcpy(copy, aad, aad_len);
    free(context->aad);
    context->aad = copy;
    context->aad_len = aad_len;
    return KMSE_OK;
}

/* No nonce is drawn before the one call that uses it: copies are harmless. */
static void *dupctx(void *ctx)
{
    const struct context *context = ctx;
    struct context *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *context;
    copy->aad = NULL;
    if (copy->pkey != NULL)
        kmse_pkey_acquire(copy->pkey);
    if (context->aad != NULL
        && !kmse_is_ok(copy_aad(copy, context->aad, context->aad_len))) {
        freectx(copy);
        return NULL;
    }
    return copy;
}

/* The key is looked for here, where what is wrong with it is told early. */
static int init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
    struct context *context = ctx;
    struct kmse_why why = {""};
    struct kmse_key *key = NULL;
    kmse_st st = KMSE_OK;
    if (keydata != NULL) {
        struct kmse_pkey *pkey = kmse_pkey_acquire(keydata);
        kmse_pkey_release(context->pkey);
        context->pkey = pkey;
    }
    if (context->pkey == NULL)
        st = kmse_fail(&why, KMSE_R_STATE, "there is no key");
    else
        st = kmse_pkey_find(context->pkey, &key, &why);
    kmse_raise(context->core, st, &why);
    return kmse_is_ok(st) && set_ctx_params(context, params);
}

static int encrypt_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
    return init(ctx, keydata, params);
}

static int decrypt_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
    return init(ctx, keydata, params);
}

/* --- parameters --------------------------------------------------------- */

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_octet_string(KMSE_PARAM_AAD, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *settable_ctx_params(void *ctx, void *provctx)
{
    (void)ctx;
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

static int set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
    struct context *context = ctx;
    struct kmse_why why = {""};
    const void *aad = NULL;
    size_t aad_len = 0;
    const OSSL_PARAM *param =
        params != NULL ? OSSL_PARAM_locate_const(params, KMSE_PARAM_AAD) : NULL;
    if (param == NULL)
        return 1;
    kmse_st st = OSSL_PARAM_get_octet_string_ptr(param, &aad, &aad_len)
                     ? KMSE_OK
                     : kmse_fail(&why, KMSE_R_PARAMETER, "%s: must be bytes",
                                 KMSE_PARAM_AAD);
    if (kmse_is_ok(st) && aad_len > AAD_MAX)
        st = kmse_fail(&why, KMSE_R_AAD_TOO_LONG, "at most %d bytes", AAD_MAX);
    if (kmse_is_ok(st))
        st = copy_aad(context, aad, aad_len);
    kmse_raise(context->core, st, &why);
    return kmse_is_ok(st);
}

static const OSSL_PARAM GETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_utf8_string(KMSE_PARAM_KEY_NAME, NULL, 0),
    OSSL_PARAM_uint(KMSE_PARAM_KEY_VERSION, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable_ctx_params(void *ctx, void *provctx)
{
    (void)ctx;
    (void)provctx;
    return GETTABLE_CTX_PARAMS;
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
    const struct context *context = ctx;
    OSSL_PARAM *name = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_NAME);
    OSSL_PARAM *version = OSSL_PARAM_locate(params, KMSE_PARAM_KEY_VERSION);
    const char *key =
        context->pkey != NULL ? context->pkey->reference.name : "";
    return (name == NULL || OSSL_PARAM_set_utf8_string(name, key))
           && (version == NULL
               || OSSL_PARAM_set_uint(version, context->used_version));
}

/* --- one message -------------------------------------------------------- */

static kmse_st check_version(const struct context *context, uint32_t version,
                             struct kmse_why *why)
{
    const struct kmse_reference *reference = &context->pkey->reference;
    if (reference->version == 0 || reference->version == version)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_VERSION,
                     "key %s: the message's version is %u, and this object is "
                     "confined to version %u",
                     reference->name, (unsigned)version,
                     (unsigned)reference->version);
}

/* It may have been made anew, under the same name, since it was loaded. */
static kmse_st check_same_key(const struct context *context,
                              const struct kmse_datakey *datakey,
                              struct kmse_why *why)
{
    const struct kmse_pkey *pkey = context->pkey;
    if (memcmp(datakey->id, pkey->id, KMSE_KEY_ID_LEN) == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NOT_FOUND,
                     "key %s: another key has that name by now: load it again",
                     pkey->reference.name);
}

static kmse_st seal_start(struct context *context, struct kmse_seal *seal,
                          struct kmse_lease *lease, size_t in_len,
                          struct kmse_why *why)
{
    const struct kmse_datakey *datakey = lease->datakey;
    uint8_t nonce[KMSE_NONCE_LEN];
    KMSE_TRY(check_same_key(context, datakey, why));
    KMSE_TRY(check_version(context, datakey->version, why));
    context->used_version = datakey->version;
    KMSE_TRY(kmse_lease_take_nonce(lease, nonce, why));
    KMSE_TRY(kmse_lease_take_bytes(lease, in_len, why));
    KMSE_TRY(kmse_seal_start(seal, lease->gcm, datakey->id, datakey->version,
                             nonce));
    return context->aad_len == 0
               ? KMSE_OK
               : kmse_seal_aad(seal, context->aad, context->aad_len);
}

static kmse_st seal_message(struct context *context, struct kmse_lease *lease,
                            uint8_t *out, size_t out_size, const uint8_t *in,
                            size_t in_len, struct kmse_why *why)
{
    struct kmse_seal seal;
    size_t body_len = 0, tag_len = 0;
    KMSE_TRY(seal_start(context, &seal, lease, in_len, why));
    KMSE_TRY(kmse_seal_update(&seal, out, out_size, &body_len, in, in_len));
    kmse_st st =
        kmse_seal_final(&seal, out + body_len, out_size - body_len, &tag_len);
    if (!kmse_is_ok(st))
        OPENSSL_cleanse(out, body_len);
    return st;
}

static kmse_st seal(struct context *context, struct kmse_key *key, uint8_t *out,
                    size_t out_size, const uint8_t *in, size_t in_len,
                    struct kmse_why *why)
{
    struct kmse_lease *lease = NULL;
    KMSE_TRY(kmse_lease_newest(&lease, key, why));
    kmse_st st = seal_message(context, lease, out, out_size, in, in_len, why);
    kmse_lease_give_back(&lease);
    return st;
}

static kmse_st open_message(struct context *context, struct kmse_key *key,
                            uint8_t *out, size_t out_size, const uint8_t *in,
                            size_t in_len, struct kmse_why *why)
{
    struct kmse_lease *lease = NULL;
    struct kmse_header header;
    size_t out_len = 0;
    KMSE_TRY(kmse_header_parse(&header, in, in_len));
    KMSE_TRY(check_version(context, header.key_version, why));
    KMSE_TRY(kmse_lease_version(&lease, key, header.key_version, why));
    context->used_version = header.key_version;
    kmse_st st = check_same_key(context, lease->datakey, why);
    if (kmse_is_ok(st))
        st = kmse_open_whole(lease->gcm, lease->datakey->id, context->aad,
                             context->aad_len, out, out_size, &out_len, in,
                             in_len);
    kmse_lease_give_back(&lease);
    return st;
}

/* --- EVP's calls -------------------------------------------------------- */

/* Which key and version: the layers below know no names. */
static int fail(const struct context *context, kmse_st st,
                const struct kmse_why *why, int line, const char *function)
{
    struct kmse_why about = {""};
    if (why->text[0] == '\0' && context->pkey != NULL) {
        const char *name = context->pkey->reference.name;
        if (context->used_version != 0)
            snprintf(about.text, sizeof(about.text), "key %s, version %u", name,
                     (unsigned)context->used_version);
        else
            snprintf(about.text, sizeof(about.text), "key %s", name);
        why = &about;
    }
    kmse_raise_at(context->core, st, why, __FILE__, line, function);
    return 0;
}

static kmse_st begin(struct context *context, struct kmse_key **key,
                     size_t in_len, struct kmse_why *why)
{
    context->used_version = 0;
    if (context->pkey == NULL)
        return kmse_fail(why, KMSE_R_STATE, "the context is not initialised");
    if (in_len > KMSE_PKEY_MAX_SIZE)
        return kmse_fail(why, KMSE_R_MESSAGE_TOO_LONG,
                         "with one call at most %d bytes: take the cipher "
                         "%s, which works in pieces",
                         KMSE_PKEY_MAX_SIZE, KMSE_CIPHER_NAME);
    return kmse_pkey_find(context->pkey, key, why);
}

static kmse_st check_room(size_t needed, size_t out_size, struct kmse_why *why)
{
    if (out_size >= needed)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_BUFFER_SMALL, "%zu bytes; it takes %zu",
                     out_size, needed);
}

static int encrypt(void *ctx, unsigned char *out, size_t *out_len,
                   size_t out_size, const unsigned char *in, size_t in_len)
{
    struct context *context = ctx;
    struct kmse_why why = {""};
    struct kmse_key *key = NULL;
    size_t needed = in_len + KMSE_OVERHEAD;
    kmse_st st =
        begin(context, &key,
              in_len <= SIZE_MAX - KMSE_OVERHEAD ? needed : in_len, &why);
    if (kmse_is_ok(st) && out != NULL) {
        st = check_room(needed, out_size, &why);
        if (kmse_is_ok(st))
            st = seal(context, key, out, out_size, in, in_len, &why);
    }
    if (!kmse_is_ok(st))
        return fail(context, st, &why, __LINE__, __func__);
    *out_len = needed;
    return 1;
}

/*
 * Of an empty message as well: "openssl pkeyutl" that is told of no room does
 * not call again, and would take any 32 bytes for a message that is right.
 */
static size_t room_to_ask_for(size_t plaintext_len)
{
    return plaintext_len > 0 ? plaintext_len : 1;
}

static int decrypt(void *ctx, unsigned char *out, size_t *out_len,
                   size_t out_size, const unsigned char *in, size_t in_len)
{
    struct context *context = ctx;
    struct kmse_why why = {""};
    struct kmse_key *key = NULL;
    size_t len = in_len - KMSE_OVERHEAD;
    kmse_st st = begin(context, &key, in_len, &why);
    if (kmse_is_ok(st) && in_len < KMSE_OVERHEAD)
        st = kmse_fail(&why, KMSE_R_MESSAGE_SHORT,
                       "it has %zu bytes; the shortest has %d", in_len,
                       KMSE_OVERHEAD);
    if (kmse_is_ok(st) && out != NULL) {
        st = check_room(len, out_size, &why);
        if (kmse_is_ok(st))
            st = open_message(context, key, out, out_size, in, in_len, &why);
    }
    if (!kmse_is_ok(st))
        return fail(context, st, &why, __LINE__, __func__);
    *out_len = out != NULL ? len : room_to_ask_for(len);
    return 1;
}

const OSSL_DISPATCH kmse_asym_cipher_functions[] = {
    {OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))freectx},
    {OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))dupctx},
    {OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, (void (*)(void))encrypt_init},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))decrypt_init},
    {OSSL_FUNC_ASYM_CIPHER_ENCRYPT, (void (*)(void))encrypt},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))decrypt},
    {OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, (void (*)(void))get_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS,
     (void (*)(void))gettable_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS,
     (void (*)(void))settable_ctx_params},
    {0, NULL},
};
