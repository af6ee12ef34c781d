/* SPDX-License-Identifier: Apache-2.0 */
/* The EVP_PKEY type KMS-ENVELOPE: a reference to a key, never the key. */
#include "glue/keymgmt.h"

#include <openssl/core_names.h>

#include "glue/error.h"
#include "glue/pkey.h"

static OSSL_FUNC_keymgmt_new_fn new;
static OSSL_FUNC_keymgmt_free_fn free_key;
static OSSL_FUNC_keymgmt_load_fn load;
static OSSL_FUNC_keymgmt_dup_fn dup;
static OSSL_FUNC_keymgmt_has_fn has;
static OSSL_FUNC_keymgmt_match_fn match;
static OSSL_FUNC_keymgmt_validate_fn validate;

static void *new (void *provctx)
{
    return kmse_pkey_new(provctx);
}

static void free_key(void *keydata)
{
    kmse_pkey_release(keydata);
}

static void *load(const void *reference, size_t reference_len)
{
    return kmse_pkey_take(reference, reference_len);
}

/* It is immutable: a copy is the same. */
static void *dup(const void *keydata, int selection)
{
    union {
        const void *read_only;
        struct kmse_pkey *counted;
    } pkey = {.read_only = keydata};
    (void)selection;
    return kmse_pkey_acquire(pkey.counted);
}

/* It encrypts and decrypts: in OpenSSL's words it has both halves of a pair. */
static int has(const void *keydata, int selection)
{
    const struct kmse_pkey *pkey = keydata;
    (void)selection;
    return pkey != NULL && pkey->reference.name[0] != '\0';
}

static int match(const void *keydata1, const void *keydata2, int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0
           || kmse_pkey_equal(keydata1, keydata2);
}

/* Is the key there, and the same? Its KMS is not asked. */
static int validate(const void *keydata, int selection, int checktype)
{
    union {
        const void *read_only;
        struct kmse_pkey *counted;
    } pkey = {.read_only = keydata};
    struct kmse_why why = {""};
    struct kmse_snapshot *snapshot = NULL;
    (void)selection;
    (void)checktype;
    kmse_st st = kmse_pkey_snapshot(pkey.counted, &snapshot, &why);
    if (!kmse_is_ok(st))
        return kmse_pkey_fail(pkey.counted, st, &why);
    kmse_snapshot_release(snapshot);
    return 1;
}

const OSSL_DISPATCH kmse_keymgmt_functions[] = {
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void)) new},
    {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))free_key},
    {OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))load},
    {OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))dup},
    {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))has},
    {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))match},
    {OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))validate},
    {OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))kmse_keymgmt_get_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS,
     (void (*)(void))kmse_keymgmt_gettable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))kmse_keymgmt_import},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))kmse_keymgmt_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))kmse_keymgmt_export},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))kmse_keymgmt_export_types},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))kmse_keymgmt_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS,
     (void (*)(void))kmse_keymgmt_gen_set_params},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS,
     (void (*)(void))kmse_keymgmt_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))kmse_keymgmt_gen},
    {OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))kmse_keymgmt_gen_cleanup},
    {0, NULL},
};
