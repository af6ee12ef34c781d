/* SPDX-License-Identifier: Apache-2.0 */
/* The MAC KMS-ENVELOPE-INDEX: values of a blind index, of one version or all.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "envelope/index.h"
#include "glue/binding.h"
#include "glue/error.h"
#include "kms_envelope/params.h"

static OSSL_FUNC_mac_newctx_fn newctx;
static OSSL_FUNC_mac_freectx_fn freectx;
static OSSL_FUNC_mac_dupctx_fn dupctx;
static OSSL_FUNC_mac_init_fn init;
static OSSL_FUNC_mac_update_fn update;
static OSSL_FUNC_mac_final_fn final;
static OSSL_FUNC_mac_get_params_fn get_params;
static OSSL_FUNC_mac_gettable_params_fn gettable_params;
static OSSL_FUNC_mac_get_ctx_params_fn get_ctx_params;
static OSSL_FUNC_mac_gettable_ctx_params_fn gettable_ctx_params;
static OSSL_FUNC_mac_set_ctx_params_fn set_ctx_params;
static OSSL_FUNC_mac_settable_ctx_params_fn settable_ctx_params;

/* Where an EVP_MAC_CTX stands with its data. */
enum state {
    STATE_NEW,    /* never initialised */
    STATE_READY,  /* initialised; no key bound */
    STATE_DATA,   /* the key is bound: there are values */
    STATE_DONE,   /* the result is out */
    STATE_FAILED, /* poisoned until the next init */
};

/* What becomes the value of one version. */
struct value {
    uint32_t version;
    struct kmse_hmac *hmac;
};

struct mac_ctx {
    struct kmse_binding binding;
    enum state state;
    size_t size; /* of a value */
    bool all_versions;
    bool is_counted; /* this one is to be stored, as far as we know */
    struct value *values;
    size_t value_count;
};

#define MAC_FAIL(ctx, st, why)                                                 \
    mac_fail((ctx), (st), (why), __FILE__, __LINE__, __func__)

static int mac_fail(struct mac_ctx *ctx, kmse_st st, const struct kmse_why *why,
                    const char *file, int line, const char *function)
{
    kmse_binding_raise(&ctx->binding, st, why, file, line, function);
    ctx->state = STATE_FAILED;
    return 0;
}

/* --- contexts ----------------------------------------------------------- */

static void drop_values(struct mac_ctx *ctx)
{
    for (size_t i = 0; i < ctx->value_count; i++)
        kmse_hmac_free(ctx->values[i].hmac);
    free(ctx->values);
    ctx->values = NULL;
    ctx->value_count = 0;
}

static void *newctx(void *provctx)
{
    struct mac_ctx *ctx = calloc(1, sizeof(*ctx));
    if (ctx == NULL)
        return NULL;
    ctx->size = KMSE_INDEX_SIZE_DEFAULT;
    if (!kmse_is_ok(kmse_binding_init(&ctx->binding, provctx))) {
        freectx(ctx);
        return NULL;
    }
    return ctx;
}

static void freectx(void *vctx)
{
    struct mac_ctx *ctx = vctx;
    if (ctx == NULL)
        return;
    drop_values(ctx);
    kmse_binding_wipe(&ctx->binding);
    free(ctx);
}

static kmse_st make_room(struct mac_ctx *ctx, size_t count)
{
    ctx->values = calloc(count, sizeof(*ctx->values));
    return ctx->values != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

static kmse_st add_value(struct mac_ctx *ctx, uint32_t version,
                         const struct kmse_hmac *keyed)
{
    struct value *value = &ctx->values[ctx->value_count];
    KMSE_TRY(kmse_hmac_dup(&value->hmac, keyed));
    value->version = version;
    ctx->value_count++;
    return KMSE_OK;
}

/* A copy of a value that may be stored is one more; it has no lease yet. */
static kmse_st count_copy(struct mac_ctx *copy, struct kmse_why *why)
{
    struct kmse_binding *binding = &copy->binding;
    if (!copy->is_counted)
        return KMSE_OK;
    KMSE_TRY(kmse_lease_newest(&binding->lease, binding->key, why));
    copy->is_counted =
        binding->lease->datakey->version == binding->used_version;
    return copy->is_counted ? kmse_lease_take_message(binding->lease, why)
                            : KMSE_OK;
}

static kmse_st copy_values(struct mac_ctx *copy, const struct mac_ctx *ctx,
                           struct kmse_why *why)
{
    if (ctx->value_count == 0)
        return KMSE_OK;
    KMSE_TRY(make_room(copy, ctx->value_count));
    for (size_t i = 0; i < ctx->value_count; i++)
        KMSE_TRY(add_value(copy, ctx->values[i].version, ctx->values[i].hmac));
    return count_copy(copy, why);
}

static void *dupctx(void *vctx)
{
    const struct mac_ctx *ctx = vctx;
    struct mac_ctx *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *ctx;
    copy->values = NULL;
    copy->value_count = 0;
    kmse_binding_copy(&copy->binding, &ctx->binding);
    struct kmse_why why = {""};
    kmse_st st = copy_values(copy, ctx, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(ctx->binding.core, st, &why);
        freectx(copy);
        return NULL;
    }
    return copy;
}

/* --- init --------------------------------------------------------------- */

/* openssl mac -macopt key:NAME gives a name without its padding. */
static kmse_st set_key(struct mac_ctx *ctx, const unsigned char *key,
                       size_t key_len, struct kmse_why *why)
{
    unsigned char padded[KMSE_DATA_KEY_LEN] = {0};
    kmse_st st = KMSE_ERR(KMSE_R_KEY_NAME);
    if (key_len <= sizeof(padded)) {
        memcpy(padded, key, key_len);
        st = kmse_binding_set_key(&ctx->binding, padded, sizeof(padded), NULL);
        OPENSSL_cleanse(padded, sizeof(padded));
    }
    if (kmse_is_ok(st))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NAME,
                     "the MAC's key must be a key's name, which may be padded "
                     "with NUL to %d bytes (none: the default key); with "
                     "openssl mac, -macopt key:NAME",
                     KMSE_DATA_KEY_LEN);
}

static int init(void *vctx, const unsigned char *key, size_t key_len,
                const OSSL_PARAM params[])
{
    struct mac_ctx *ctx = vctx;
    drop_values(ctx);
    ctx->binding.used_version = 0;
    ctx->state = STATE_READY;
    if (key != NULL) {
        struct kmse_why why = {""};
        kmse_st st = set_key(ctx, key, key_len, &why);
        if (!kmse_is_ok(st))
            return MAC_FAIL(ctx, st, &why);
    }
    if (!set_ctx_params(ctx, params)) {
        ctx->state = STATE_FAILED;
        return 0;
    }
    return 1;
}

/* --- the key is bound: at the first data, or when the size is asked for -- */

static kmse_st bind_version(struct mac_ctx *ctx, uint32_t version,
                            struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    const struct kmse_hmac *keyed = NULL;
    if (version != binding->lease->datakey->version)
        KMSE_TRY(
            kmse_lease_version(&binding->lease, binding->key, version, why));
    KMSE_TRY(kmse_lease_index(binding->lease, &keyed));
    return add_value(ctx, version, keyed);
}

static kmse_st bind_all(struct mac_ctx *ctx, struct kmse_why *why)
{
    uint32_t *versions = NULL;
    size_t count = 0;
    KMSE_TRY(kmse_key_versions(ctx->binding.key, &versions, &count, why));
    kmse_st st = make_room(ctx, count);
    for (size_t i = 0; i < count && kmse_is_ok(st); i++)
        st = bind_version(ctx, versions[i], why);
    free(versions);
    return st;
}

/*
 * What the newest version makes may be stored, and counts. What others make
 * is for look-ups, which no limit may stop, or rows were lost by a rotation.
 */
static kmse_st bind_one(struct mac_ctx *ctx, uint32_t newest,
                        struct kmse_why *why)
{
    uint32_t wanted = ctx->binding.wanted_version;
    ctx->is_counted = wanted == 0 || wanted == newest;
    if (ctx->is_counted)
        KMSE_TRY(kmse_lease_take_message(ctx->binding.lease, why));
    KMSE_TRY(make_room(ctx, 1));
    return bind_version(ctx, ctx->is_counted ? newest : wanted, why);
}

/* The newest first in any case, for with it the key file is proved. */
static kmse_st bind_key(struct mac_ctx *ctx, struct kmse_why *why)
{
    struct kmse_binding *binding = &ctx->binding;
    if (ctx->all_versions && binding->wanted_version != 0)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s or %s, not both",
                         KMSE_PARAM_ALL_VERSIONS, KMSE_PARAM_KEY_VERSION);
    KMSE_TRY(kmse_binding_find_key(binding, why));
    KMSE_TRY(kmse_lease_newest(&binding->lease, binding->key, why));
    uint32_t newest = binding->lease->datakey->version;
    ctx->is_counted = false;
    KMSE_TRY(ctx->all_versions ? bind_all(ctx, why)
                               : bind_one(ctx, newest, why));
    binding->used_version = ctx->all_versions ? newest : ctx->values[0].version;
    ctx->state = STATE_DATA;
    return KMSE_OK;
}

static kmse_st bind_if_ready(struct mac_ctx *ctx, struct kmse_why *why)
{
    switch (ctx->state) {
    case STATE_READY:
        return bind_key(ctx, why);
    case STATE_DATA:
        return KMSE_OK;
    case STATE_DONE:
        return kmse_fail(why, KMSE_R_STATE,
                         "the value is complete: init the context again");
    case STATE_FAILED:
        return kmse_fail(why, KMSE_R_STATE,
                         "an earlier call failed: init the context again");
    case STATE_NEW:
        break;
    }
    return kmse_fail(why, KMSE_R_STATE, "the context is not initialised");
}

static size_t value_len(const struct mac_ctx *ctx)
{
    return ctx->all_versions ? KMSE_INDEX_VERSION_LEN + ctx->size : ctx->size;
}

/* --- data --------------------------------------------------------------- */

static kmse_st take(struct mac_ctx *ctx, const unsigned char *data,
                    size_t data_len, struct kmse_why *why)
{
    KMSE_TRY(bind_if_ready(ctx, why));
    if (ctx->is_counted)
        KMSE_TRY(kmse_lease_take_bytes(ctx->binding.lease, data_len, why));
    for (size_t i = 0; i < ctx->value_count; i++)
        KMSE_TRY(kmse_hmac_update(ctx->values[i].hmac, data, data_len));
    return KMSE_OK;
}

static int update(void *vctx, const unsigned char *data, size_t data_len)
{
    struct mac_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    kmse_st st = take(ctx, data, data_len, &why);
    return kmse_is_ok(st) ? 1 : MAC_FAIL(ctx, st, &why);
}

/* A version may have been taken away since its value was begun. */
static kmse_st check_version(struct kmse_binding *binding, uint32_t version,
                             struct kmse_why *why)
{
    struct kmse_lease *lease = binding->lease;
    if (lease != NULL && lease->datakey->version == version)
        return kmse_lease_check(lease, why);
    return kmse_lease_version(&binding->lease, binding->key, version, why);
}

static kmse_st check_versions(struct mac_ctx *ctx, struct kmse_why *why)
{
    for (size_t i = 0; i < ctx->value_count; i++)
        KMSE_TRY(check_version(&ctx->binding, ctx->values[i].version, why));
    return KMSE_OK;
}

static kmse_st write_values(struct mac_ctx *ctx, unsigned char *out)
{
    for (size_t i = 0; i < ctx->value_count; i++) {
        struct value *value = &ctx->values[i];
        KMSE_TRY(ctx->all_versions
                     ? kmse_index_finish_entry(value->hmac, value->version, out,
                                               ctx->size)
                     : kmse_index_finish(value->hmac, out, ctx->size));
        out += value_len(ctx);
    }
    return KMSE_OK;
}

static kmse_st finish(struct mac_ctx *ctx, unsigned char *out, size_t *out_len,
                      size_t out_size, struct kmse_why *why)
{
    KMSE_TRY(bind_if_ready(ctx, why));
    KMSE_TRY(check_versions(ctx, why));
    size_t len = ctx->value_count * value_len(ctx);
    if (out_size < len)
        return kmse_fail(why, KMSE_R_BUFFER_SMALL, "%zu bytes are needed", len);
    kmse_st st = write_values(ctx, out);
    if (!kmse_is_ok(st)) {
        OPENSSL_cleanse(out, len);
        return st;
    }
    *out_len = len;
    return KMSE_OK;
}

static int final(void *vctx, unsigned char *out, size_t *out_len,
                 size_t out_size)
{
    struct mac_ctx *ctx = vctx;
    struct kmse_why why;
    why.text[0] = '\0';
    *out_len = 0;
    kmse_st st = finish(ctx, out, out_len, out_size, &why);
    if (!kmse_is_ok(st))
        return MAC_FAIL(ctx, st, &why);
    ctx->state = STATE_DONE;
    return 1;
}

/* --- parameters --------------------------------------------------------- */

static const OSSL_PARAM GETTABLE_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable_params(void *provctx)
{
    (void)provctx;
    return GETTABLE_PARAMS;
}

static int get_params(OSSL_PARAM params[])
{
    OSSL_PARAM *size = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);
    return size == NULL || OSSL_PARAM_set_size_t(size, KMSE_INDEX_SIZE_DEFAULT);
}

static const OSSL_PARAM GETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
    OSSL_PARAM_int(KMSE_PARAM_ALL_VERSIONS, NULL),
    KMSE_BINDING_PARAMS,
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return GETTABLE_CTX_PARAMS;
}

/* How much final will write: with all versions, the key must tell. */
static int get_size(struct mac_ctx *ctx, OSSL_PARAM *param)
{
    size_t len = value_len(ctx);
    if (ctx->all_versions && ctx->state != STATE_DONE) {
        struct kmse_why why = {""};
        kmse_st st = bind_if_ready(ctx, &why);
        if (!kmse_is_ok(st))
            return MAC_FAIL(ctx, st, &why);
    }
    if (ctx->all_versions)
        len *= ctx->value_count;
    return OSSL_PARAM_set_size_t(param, len);
}

static int get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    struct mac_ctx *ctx = vctx;
    OSSL_PARAM *size = OSSL_PARAM_locate(params, OSSL_MAC_PARAM_SIZE);
    OSSL_PARAM *all = OSSL_PARAM_locate(params, KMSE_PARAM_ALL_VERSIONS);
    return (size == NULL || get_size(ctx, size))
           && (all == NULL || OSSL_PARAM_set_int(all, ctx->all_versions))
           && kmse_binding_get_params(&ctx->binding, params);
}

static const OSSL_PARAM SETTABLE_CTX_PARAMS[] = {
    OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, NULL, 0),
    OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
    OSSL_PARAM_int(KMSE_PARAM_ALL_VERSIONS, NULL),
    KMSE_BINDING_PARAMS,
    OSSL_PARAM_END,
};

static const OSSL_PARAM *settable_ctx_params(void *vctx, void *provctx)
{
    (void)vctx;
    (void)provctx;
    return SETTABLE_CTX_PARAMS;
}

static kmse_st set_size(struct mac_ctx *ctx, const OSSL_PARAM *param,
                        struct kmse_why *why)
{
    size_t size = 0;
    if (!OSSL_PARAM_get_size_t(param, &size) || size < KMSE_INDEX_SIZE_MIN
        || size > KMSE_INDEX_SIZE_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: %d to %d bytes",
                         OSSL_MAC_PARAM_SIZE, KMSE_INDEX_SIZE_MIN,
                         KMSE_INDEX_SIZE_MAX);
    ctx->size = size;
    return KMSE_OK;
}

static kmse_st set_all_versions(struct mac_ctx *ctx, const OSSL_PARAM *param,
                                struct kmse_why *why)
{
    int all = 0;
    if (!OSSL_PARAM_get_int(param, &all) || (all != 0 && all != 1))
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: 0 or 1",
                         KMSE_PARAM_ALL_VERSIONS);
    ctx->all_versions = all == 1;
    return KMSE_OK;
}

static kmse_st set_key_param(struct mac_ctx *ctx, const OSSL_PARAM *param,
                             struct kmse_why *why)
{
    if (param->data_type != OSSL_PARAM_OCTET_STRING)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: an octet string",
                         OSSL_MAC_PARAM_KEY);
    return set_key(ctx, param->data, param->data_size, why);
}

/* Once a key is bound, what has a say in the values stands. */
static kmse_st set_params(struct mac_ctx *ctx, const OSSL_PARAM params[],
                          struct kmse_why *why)
{
    static const struct {
        const char *name;
        kmse_st (*set)(struct mac_ctx *ctx, const OSSL_PARAM *param,
                       struct kmse_why *why);
    } SETTERS[] = {
        {OSSL_MAC_PARAM_KEY, set_key_param},
        {OSSL_MAC_PARAM_SIZE, set_size},
        {KMSE_PARAM_ALL_VERSIONS, set_all_versions},
    };
    bool in_message = ctx->state == STATE_DATA;
    for (size_t i = 0; i < sizeof(SETTERS) / sizeof(SETTERS[0]); i++) {
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, SETTERS[i].name);
        if (p == NULL)
            continue;
        if (in_message)
            return kmse_fail(why, KMSE_R_STATE,
                             "%s cannot change within a message",
                             SETTERS[i].name);
        KMSE_TRY(SETTERS[i].set(ctx, p, why));
    }
    return kmse_binding_set_params(&ctx->binding, params, in_message, why);
}

static int set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct mac_ctx *ctx = vctx;
    struct kmse_why why = {""};
    if (params == NULL)
        return 1;
    kmse_st st = set_params(ctx, params, &why);
    kmse_raise(ctx->binding.core, st, &why);
    return kmse_is_ok(st);
}

const OSSL_DISPATCH kmse_index_mac_functions[] = {
    {OSSL_FUNC_MAC_NEWCTX, (void (*)(void))newctx},
    {OSSL_FUNC_MAC_FREECTX, (void (*)(void))freectx},
    {OSSL_FUNC_MAC_DUPCTX, (void (*)(void))dupctx},
    {OSSL_FUNC_MAC_INIT, (void (*)(void))init},
    {OSSL_FUNC_MAC_UPDATE, (void (*)(void))update},
    {OSSL_FUNC_MAC_FINAL, (void (*)(void)) final},
    {OSSL_FUNC_MAC_GET_PARAMS, (void (*)(void))get_params},
    {OSSL_FUNC_MAC_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {OSSL_FUNC_MAC_GET_CTX_PARAMS, (void (*)(void))get_ctx_params},
    {OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS, (void (*)(void))gettable_ctx_params},
    {OSSL_FUNC_MAC_SET_CTX_PARAMS, (void (*)(void))set_ctx_params},
    {OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params},
    {0, NULL},
};
