/* SPDX-License-Identifier: Apache-2.0 */
/* EVP_PKEY_generate: a new key in the folder, as "kms-envelope create". */
#include "glue/keymgmt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/error.h"
#include "glue/pkey.h"
#include "kms_envelope/params.h"

enum { MASTER_KEYS_MAX = 16 };

struct generation {
    const struct kmse_provctx *provctx;
    struct kmse_reference reference; /* of the key to be */
    char *masters[MASTER_KEYS_MAX];
    size_t master_count;
    struct kmse_kms_context context;
};

/* --- what is wished for ------------------------------------------------- */

static kmse_st take_name(struct generation *generation, const char *text,
                         struct kmse_why *why)
{
    struct kmse_reference *reference = &generation->reference;
    if (reference->name[0] != '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "%s is given twice",
                         KMSE_PARAM_GEN_KEY);
    if (!kmse_key_name_is_valid(text))
        return kmse_fail(why, KMSE_R_KEY_NAME,
                         "%s: 1 to %d of a-z, 0-9, '.', '_' and '-', beginning "
                         "with a letter or a digit",
                         KMSE_PARAM_GEN_KEY, KMSE_KEY_NAME_MAX);
    memcpy(reference->name, text, strlen(text));
    return KMSE_OK;
}

static kmse_st take_master(struct generation *generation, const char *text,
                           struct kmse_why *why)
{
    if (generation->master_count == MASTER_KEYS_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: at most %d",
                         KMSE_PARAM_GEN_MASTER_KEY, MASTER_KEYS_MAX);
    char *uri = strdup(text);
    if (uri == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    generation->masters[generation->master_count++] = uri;
    return KMSE_OK;
}

static kmse_st take_context(struct generation *generation, const char *text,
                            struct kmse_why *why)
{
    const char *equals = strchr(text, '=');
    char *name = equals != NULL ? strndup(text, (size_t)(equals - text)) : NULL;
    kmse_st st = KMSE_ERR(KMSE_R_PARAMETER);
    if (name != NULL)
        st = kmse_kms_context_add(&generation->context, name, equals + 1);
    free(name);
    if (kmse_is_ok(st) && !kmse_context_has_reserved(&generation->context))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "%s: NAME=VALUE, no name twice, and none from %s",
                     KMSE_PARAM_GEN_CONTEXT, KMSE_CONTEXT_RESERVED);
}

static kmse_st take_copies(struct generation *generation, const char *text,
                           struct kmse_why *why)
{
    bool wanted = strcmp(text, "yes") == 0;
    if (!wanted && strcmp(text, "no") != 0)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: yes or no",
                         KMSE_PARAM_COPIES);
    generation->reference.with_copies = wanted;
    return KMSE_OK;
}

/*
 * "openssl genpkey -pkeyopt key:NAME": EVP_PKEY_CTX_ctrl_str knows "key" of
 * old, for MAC keys, and makes it this name, of whatever algorithm the key is
 * (ctrl_params_translate.c).
 */
#define KEY_BY_CTRL_STR OSSL_PKEY_PARAM_PRIV_KEY

static const OSSL_PARAM SETTABLE_PARAMS[] = {
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(KEY_BY_CTRL_STR, NULL, 0),
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_MASTER_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(KMSE_PARAM_GEN_CONTEXT, NULL, 0),
    OSSL_PARAM_utf8_string(KMSE_PARAM_COPIES, NULL, 0),
    OSSL_PARAM_END,
};

static const struct wish {
    const char *key;
    kmse_st (*take)(struct generation *generation, const char *text,
                    struct kmse_why *why);
} WISHES[] = {
    {KMSE_PARAM_GEN_KEY, take_name},
    {KEY_BY_CTRL_STR, take_name},
    {KMSE_PARAM_GEN_MASTER_KEY, take_master},
    {KMSE_PARAM_GEN_CONTEXT, take_context},
    {KMSE_PARAM_COPIES, take_copies},
};
enum { WISH_COUNT = sizeof(WISHES) / sizeof(WISHES[0]) };

const OSSL_PARAM *kmse_keymgmt_gen_settable_params(void *genctx, void *provctx)
{
    (void)genctx;
    (void)provctx;
    return SETTABLE_PARAMS;
}

/* Not passed over if it is unknown: what is made is there to stay. */
static kmse_st take_param(struct generation *generation,
                          const OSSL_PARAM *param, struct kmse_why *why)
{
    const struct wish *wish = NULL;
    char *text = NULL;
    for (size_t i = 0; i < WISH_COUNT && wish == NULL; i++) {
        if (strcmp(WISHES[i].key, param->key) == 0)
            wish = &WISHES[i];
    }
    if (wish == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "unknown: %.64s; there are %s, %s, %s and %s",
                         param->key, KMSE_PARAM_GEN_KEY,
                         KMSE_PARAM_GEN_MASTER_KEY, KMSE_PARAM_GEN_CONTEXT,
                         KMSE_PARAM_COPIES);
    if (!OSSL_PARAM_get_utf8_string(param, &text, 0))
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: must be a text",
                         param->key);
    kmse_st st = wish->take(generation, text, why);
    OPENSSL_free(text);
    return st;
}

int kmse_keymgmt_gen_set_params(void *genctx, const OSSL_PARAM params[])
{
    struct generation *generation = genctx;
    for (const OSSL_PARAM *p = params; p != NULL && p->key != NULL; p++) {
        struct kmse_why why = {""};
        kmse_st st = take_param(generation, p, &why);
        if (!kmse_is_ok(st)) {
            kmse_raise(&generation->provctx->core, st, &why);
            return 0;
        }
    }
    return 1;
}

/* --- from init to cleanup ----------------------------------------------- */

static kmse_st check_selection(const struct kmse_provctx *provctx,
                               int selection, struct kmse_why *why)
{
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "there are no parameters apart from a key");
    return kmse_ring_ready(provctx->ring);
}

void *kmse_keymgmt_gen_init(void *vprovctx, int selection,
                            const OSSL_PARAM params[])
{
    const struct kmse_provctx *provctx = vprovctx;
    struct kmse_why why = {""};
    kmse_st st = check_selection(provctx, selection, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(&provctx->core, st, &why);
        return NULL;
    }
    struct generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL)
        return NULL;
    generation->provctx = provctx;
    if (!kmse_keymgmt_gen_set_params(generation, params)) {
        kmse_keymgmt_gen_cleanup(generation);
        return NULL;
    }
    return generation;
}

static kmse_st check_wishes(const struct generation *generation,
                            struct kmse_why *why)
{
    const char *missing = NULL;
    if (generation->reference.name[0] == '\0')
        missing = KMSE_PARAM_GEN_KEY ":NAME";
    else if (generation->master_count == 0)
        missing = KMSE_PARAM_GEN_MASTER_KEY ":URI";
    if (missing == NULL)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "a new key needs %s (with openssl genpkey: -pkeyopt %s)",
                     missing, missing);
}

static kmse_st generate(struct kmse_pkey *pkey,
                        const struct generation *generation,
                        struct kmse_why *why)
{
    KMSE_TRY(check_wishes(generation, why));
    const struct kmse_rotation rotation =
        kmse_ring_rotation(generation->provctx->ring);
    const char *uris[MASTER_KEYS_MAX];
    for (size_t i = 0; i < generation->master_count; i++)
        uris[i] = generation->masters[i];
    KMSE_TRY(kmse_rotation_create(&rotation, generation->reference.name, uris,
                                  generation->master_count,
                                  &generation->context, NULL, why));
    return kmse_pkey_refer(pkey, &generation->reference, why);
}

void *kmse_keymgmt_gen(void *genctx, OSSL_CALLBACK *progress, void *arg)
{
    const struct generation *generation = genctx;
    struct kmse_why why = {""};
    struct kmse_pkey *pkey = kmse_pkey_new(generation->provctx);
    (void)progress; /* a call or two, that is all */
    (void)arg;
    if (pkey == NULL)
        return NULL;
    kmse_st st = generate(pkey, generation, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(&generation->provctx->core, st, &why);
        kmse_pkey_release(pkey);
        return NULL;
    }
    return pkey;
}

void kmse_keymgmt_gen_cleanup(void *genctx)
{
    struct generation *generation = genctx;
    if (generation == NULL)
        return;
    for (size_t i = 0; i < generation->master_count; i++)
        free(generation->masters[i]);
    kmse_kms_context_wipe(&generation->context);
    free(generation);
}
