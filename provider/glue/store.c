/* SPDX-License-Identifier: Apache-2.0 */
/* OSSL_STORE kms-envelope: the folder's keys, listed, and loaded by name. */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include "glue/compat.h"
#include "glue/error.h"
#include "glue/pkey.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_store_open_fn open_uri;
static OSSL_FUNC_store_settable_ctx_params_fn settable_ctx_params;
static OSSL_FUNC_store_set_ctx_params_fn set_ctx_params;
static OSSL_FUNC_store_load_fn load;
static OSSL_FUNC_store_eof_fn is_at_end;
static OSSL_FUNC_store_close_fn close_store;

struct store {
    const struct kmse_provctx *provctx;
    int expected; /* OSSL_STORE_INFO_..., or 0: anything */
    /* Either one key, until it was given, */
    struct kmse_pkey *pkey;
    /* or the names of all. */
    char **names;
    size_t name_count, next_name;
};

static kmse_st store_init(struct store *store, const char *uri,
                          struct kmse_why *why)
{
    struct kmse_reference reference;
    KMSE_TRY(kmse_reference_parse(&reference, uri, why));
    if (reference.name[0] == '\0')
        return kmse_keyfile_list(&store->names, &store->name_count,
                                 store->provctx->config.keys, why);
    store->pkey = kmse_pkey_new(store->provctx);
    if (store->pkey == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    return kmse_pkey_refer(store->pkey, &reference, why);
}

/* The key file is read here, where a failure is told in full. */
static void *open_uri(void *vprovctx, const char *uri)
{
    const struct kmse_provctx *provctx = vprovctx;
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return NULL;
    store->provctx = provctx;
    struct kmse_why why = {""};
    kmse_st st = store_init(store, uri, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(&provctx->core, st, &why);
        close_store(store);
        return NULL;
    }
    return store;
}

static int close_store(void *loaderctx)
{
    struct store *store = loaderctx;
    kmse_pkey_release(store->pkey);
    kmse_keyfile_free_list(store->names, store->name_count);
    free(store);
    return 1;
}

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *settable_ctx_params(void *provctx)
{
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

static int set_ctx_params(void *loaderctx, const OSSL_PARAM params[])
{
    struct store *store = loaderctx;
    const OSSL_PARAM *param =
        OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    return param == NULL || OSSL_PARAM_get_int(param, &store->expected);
}

/* --- loading ------------------------------------------------------------ */

static int give_name(struct store *store, OSSL_CALLBACK *callback, void *arg)
{
    struct kmse_reference reference = {.name = ""};
    char uri[KMSE_REFERENCE_LEN];
    int type = OSSL_OBJECT_NAME;
    const char *name = store->names[store->next_name++];
    snprintf(reference.name, sizeof(reference.name), "%s", name);
    kmse_reference_print(uri, &reference);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA, uri, 0),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

static bool wants_pkey(const struct store *store)
{
    return store->expected == 0 || store->expected == OSSL_STORE_INFO_PKEY
           || store->expected == OSSL_STORE_INFO_PUBKEY;
}

static int load(void *loaderctx, OSSL_CALLBACK *callback, void *arg,
                OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_arg)
{
    struct store *store = loaderctx;
    (void)passphrase; /* the KMS knows who we are, or not */
    (void)passphrase_arg;
    if (store->next_name < store->name_count)
        return give_name(store, callback, arg);
    struct kmse_pkey *pkey = store->pkey;
    store->pkey = NULL;
    if (pkey != NULL && wants_pkey(store))
        return kmse_pkey_give(pkey, OSSL_OBJECT_PKEY, callback, arg);
    if (pkey != NULL && store->expected == OSSL_STORE_INFO_SKEY)
        return kmse_pkey_give(pkey, OSSL_OBJECT_SKEY, callback, arg);
    kmse_pkey_release(pkey);
    return 0; /* and at its end, which is no error */
}

static int is_at_end(void *loaderctx)
{
    const struct store *store = loaderctx;
    return store->pkey == NULL && store->next_name == store->name_count;
}

const OSSL_DISPATCH kmse_store_functions[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))open_uri},
    {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))is_at_end},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))close_store},
    {0, NULL},
};
