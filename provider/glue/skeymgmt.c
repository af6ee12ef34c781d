/* SPDX-License-Identifier: Apache-2.0 */
/* EVP_SKEY, from OpenSSL 3.5 on: a reference to a key, never the key. */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/compat.h"
#include "glue/error.h"
#include "glue/keymgmt.h"
#include "glue/skey.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_skeymgmt_free_fn free_key;
static OSSL_FUNC_skeymgmt_imp_settable_params_fn import_settable_params;
static OSSL_FUNC_skeymgmt_import_fn import;
static OSSL_FUNC_skeymgmt_export_fn export;
static OSSL_FUNC_skeymgmt_gen_settable_params_fn generate_settable_params;
static OSSL_FUNC_skeymgmt_generate_fn generate;
static OSSL_FUNC_skeymgmt_get_key_id_fn get_key_id;

/* Takes the reference to pkey; NULL makes NULL. */
static struct kmse_skey *skey_new(struct kmse_pkey *pkey)
{
    struct kmse_skey *skey = pkey != NULL ? calloc(1, sizeof(*skey)) : NULL;
    if (skey == NULL) {
        kmse_pkey_release(pkey);
        return NULL;
    }
    skey->pkey = pkey;
    kmse_reference_print(skey->id, &pkey->reference);
    return skey;
}

static void free_key(void *keydata)
{
    struct kmse_skey *skey = keydata;
    if (skey == NULL)
        return;
    kmse_pkey_release(skey->pkey);
    free(skey);
}

static const char *get_key_id(void *keydata)
{
    const struct kmse_skey *skey = keydata;
    return skey->id;
}

/* --- by name ------------------------------------------------------------ */

static kmse_st take_name(struct kmse_reference *reference,
                         const OSSL_PARAM *param, struct kmse_why *why)
{
    char *target = reference->name;
    if (reference->name[0] != '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "%s is given twice",
                         KMSE_PARAM_GEN_KEY);
    if (OSSL_PARAM_get_utf8_string(param, &target, sizeof(reference->name))
        && kmse_key_name_is_valid(reference->name))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NAME,
                     "%s: not a key's name ([a-z0-9._-], at most %d)",
                     KMSE_PARAM_GEN_KEY, KMSE_KEY_NAME_MAX);
}

static kmse_st take_version(struct kmse_reference *reference,
                            const OSSL_PARAM *param, struct kmse_why *why)
{
    unsigned version = 0;
    if (OSSL_PARAM_get_uint(param, &version) && version >= 1
        && version <= KMSE_VERSION_MAX && reference->version == 0) {
        reference->version = version;
        return KMSE_OK;
    }
    return kmse_fail(why, KMSE_R_PARAMETER, "%s: one number from 1 to %u",
                     KMSE_PARAM_SKEY_VERSION, KMSE_VERSION_MAX);
}

/* Raw bytes are unknown, too: a data key does not come from a program. */
static kmse_st take_param(struct kmse_reference *reference,
                          const OSSL_PARAM *param, struct kmse_why *why)
{
    if (strcmp(param->key, KMSE_PARAM_GEN_KEY) == 0)
        return take_name(reference, param, why);
    if (strcmp(param->key, KMSE_PARAM_SKEY_VERSION) == 0)
        return take_version(reference, param, why);
    return kmse_fail(why, KMSE_R_PARAMETER, "unknown: %.64s; there are %s, %s",
                     param->key, KMSE_PARAM_GEN_KEY, KMSE_PARAM_SKEY_VERSION);
}

/* None is taken for granted: openssl skeyutl goes on without those it lost. */
static kmse_st refer(struct kmse_pkey *pkey, const OSSL_PARAM params[],
                     struct kmse_why *why)
{
    struct kmse_reference reference = {.name = ""};
    for (const OSSL_PARAM *p = params; p != NULL && p->key != NULL; p++)
        KMSE_TRY(take_param(&reference, p, why));
    if (reference.name[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "the key's name is missing: %s (with openssl enc and "
                         "skeyutl: -skeyopt %s:NAME)",
                         KMSE_PARAM_GEN_KEY, KMSE_PARAM_GEN_KEY);
    return kmse_pkey_refer(pkey, &reference, why);
}

static struct kmse_pkey *by_name(const struct kmse_provctx *provctx,
                                 const OSSL_PARAM params[])
{
    struct kmse_why why = {""};
    struct kmse_pkey *pkey = kmse_pkey_new(provctx);
    if (pkey == NULL)
        return NULL;
    kmse_st st = refer(pkey, params, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(&provctx->core, st, &why);
        kmse_pkey_release(pkey);
        return NULL;
    }
    return pkey;
}

/* --- import ------------------------------------------------------------- */

static const OSSL_PARAM IMPORT_PARAMS[] = {
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_KEY, NULL, 0),
    OSSL_PARAM_uint(KMSE_PARAM_SKEY_VERSION, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *import_settable_params(void *provctx)
{
    (void)provctx;
    return IMPORT_PARAMS;
}

/* From our own store: store.c. */
static struct kmse_pkey *by_reference(const OSSL_PARAM *param)
{
    const void *reference = NULL;
    size_t reference_len = 0;
    if (!OSSL_PARAM_get_octet_string_ptr(param, &reference, &reference_len))
        return NULL;
    return kmse_pkey_take(reference, reference_len);
}

static void *import(void *provctx, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    const OSSL_PARAM *reference =
        OSSL_PARAM_locate_const(params, OSSL_OBJECT_PARAM_REFERENCE);
    return skey_new(reference != NULL ? by_reference(reference)
                                      : by_name(provctx, params));
}

/* Not even to another key manager, which has OpenSSL ask on its behalf. */
static int export(void *keydata, int selection, OSSL_CALLBACK *callback,
                  void *arg)
{
    const struct kmse_skey *skey = keydata;
    struct kmse_why why = {""};
    (void)selection;
    (void)callback;
    (void)arg;
    kmse_st st = kmse_fail(&why, KMSE_R_STATE,
                           "%s: a data key does not leave the provider; only "
                           "its own ciphers take the key",
                           skey->id);
    return kmse_pkey_fail(skey->pkey, st, &why);
}

/* --- generate ----------------------------------------------------------- */

static const OSSL_PARAM GENERATE_PARAMS[] = {
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_KEY, NULL, 0),
    OSSL_PARAM_uint(KMSE_PARAM_SKEY_VERSION, NULL),
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_MASTER_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_CONTEXT, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *generate_settable_params(void *provctx)
{
    (void)provctx;
    return GENERATE_PARAMS;
}

/* As EVP_PKEY_generate does. */
static struct kmse_pkey *create(void *provctx, const OSSL_PARAM params[])
{
    void *generation =
        kmse_keymgmt_gen_init(provctx, OSSL_KEYMGMT_SELECT_KEYPAIR, params);
    if (generation == NULL)
        return NULL;
    struct kmse_pkey *pkey = kmse_keymgmt_gen(generation, NULL, NULL);
    kmse_keymgmt_gen_cleanup(generation);
    return pkey;
}

/* With a master key a new one; else the one of that name, which must be. */
static void *generate(void *provctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *master_key =
        OSSL_PARAM_locate_const(params, KMSE_PARAM_GEN_MASTER_KEY);
    return skey_new(master_key != NULL ? create(provctx, params)
                                       : by_name(provctx, params));
}

const OSSL_DISPATCH kmse_skeymgmt_functions[] = {
    {OSSL_FUNC_SKEYMGMT_FREE, (void (*)(void))free_key},
    {OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS,
     (void (*)(void))import_settable_params},
    {OSSL_FUNC_SKEYMGMT_IMPORT, (void (*)(void))import},
    {OSSL_FUNC_SKEYMGMT_EXPORT, (void (*)(void)) export},
    {OSSL_FUNC_SKEYMGMT_GEN_SETTABLE_PARAMS,
     (void (*)(void))generate_settable_params},
    {OSSL_FUNC_SKEYMGMT_GENERATE, (void (*)(void))generate},
    {OSSL_FUNC_SKEYMGMT_GET_KEY_ID, (void (*)(void))get_key_id},
    {0, NULL},
};
