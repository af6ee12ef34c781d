/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's entry point, its parameters and its end. */
#include <stdlib.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "glue/error.h"
#include "glue/legacy.h"
#include "glue/provctx.h"
#include "glue/table.h"
#include "kms/kms.h"
#include "kms_envelope/params.h"

/* An instance, with its place in the list of legacy.c. */
struct instance {
    struct kmse_provctx provctx; /* first: the core's pointer is to both */
    struct kmse_legacy_instance legacy;
};

void kmse_core_read(struct kmse_core *core, const OSSL_CORE_HANDLE *handle,
                    const OSSL_DISPATCH *in)
{
    *core = (struct kmse_core){.handle = handle};
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            core->get_params = OSSL_FUNC_core_get_params(in);
            break;
        case OSSL_FUNC_CORE_NEW_ERROR:
            core->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            core->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            core->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_BIO_READ_EX:
            core->bio_read_ex = OSSL_FUNC_BIO_read_ex(in);
            break;
        case OSSL_FUNC_BIO_WRITE_EX:
            core->bio_write_ex = OSSL_FUNC_BIO_write_ex(in);
            break;
        case OSSL_FUNC_BIO_GETS:
            core->bio_gets = OSSL_FUNC_BIO_gets(in);
            break;
        default:
            break;
        }
    }
}

/* --- parameters of the provider ----------------------------------------- */

static OSSL_FUNC_provider_gettable_params_fn gettable_params;
static OSSL_FUNC_provider_get_params_fn get_params;
static OSSL_FUNC_provider_teardown_fn teardown;

static const OSSL_PARAM GETTABLE_PARAMS[] = {
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
    OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
    OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
    OSSL_PARAM_utf8_ptr(KMSE_CONF_KEYS, NULL, 0),
    OSSL_PARAM_utf8_ptr(KMSE_CONF_DEFAULT_KEY, NULL, 0),
    OSSL_PARAM_uint64(KMSE_PARAM_KMS_CALLS, NULL),
    OSSL_PARAM_uint64(KMSE_PARAM_UNWRAPS, NULL),
    OSSL_PARAM_uint64(KMSE_PARAM_FAILURES, NULL),
    OSSL_PARAM_uint64(KMSE_PARAM_HITS, NULL),
    OSSL_PARAM_uint64(KMSE_PARAM_MISSES, NULL),
    OSSL_PARAM_uint64(KMSE_PARAM_STALE_SERVES, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *gettable_params(void *provctx)
{
    (void)provctx;
    return GETTABLE_PARAMS;
}

static int set_text(OSSL_PARAM params[], const char *key, const char *text)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL
           || OSSL_PARAM_set_utf8_ptr(param, text != NULL ? text : "");
}

static int set_count(OSSL_PARAM params[], const char *key, uint64_t count)
{
    OSSL_PARAM *param = OSSL_PARAM_locate(params, key);
    return param == NULL || OSSL_PARAM_set_uint64(param, count);
}

static int set_numbers(OSSL_PARAM params[], struct kmse_ring *ring)
{
    struct kmse_numbers numbers;
    kmse_ring_get_numbers(ring, &numbers);
    return set_count(params, KMSE_PARAM_KMS_CALLS, kmse_ring_kms_calls(ring))
           && set_count(params, KMSE_PARAM_UNWRAPS, numbers.unwraps)
           && set_count(params, KMSE_PARAM_FAILURES, numbers.failures)
           && set_count(params, KMSE_PARAM_HITS, numbers.hits)
           && set_count(params, KMSE_PARAM_MISSES, numbers.misses)
           && set_count(params, KMSE_PARAM_STALE_SERVES, numbers.stale_serves);
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    struct instance *instance = provctx;
    const struct kmse_config *config = &instance->provctx.config;
    OSSL_PARAM *status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return set_text(params, OSSL_PROV_PARAM_NAME, KMSE_PROVIDER_NAME)
           && set_text(params, OSSL_PROV_PARAM_VERSION, KMSE_RELEASE)
           && set_text(params, OSSL_PROV_PARAM_BUILDINFO, KMSE_RELEASE)
           && set_text(params, KMSE_CONF_KEYS, config->keys)
           && set_text(params, KMSE_CONF_DEFAULT_KEY, config->default_key)
           && (status == NULL || OSSL_PARAM_set_int(status, 1))
           && set_numbers(params, instance->provctx.ring);
}

static void teardown(void *provctx)
{
    struct instance *instance = provctx;
    kmse_legacy_remove(&instance->legacy);
    kmse_drop_in_wipe(&instance->provctx.drop_in);
    if (instance->provctx.ring != NULL)
        kmse_ring_stop(instance->provctx.ring);
    kmse_ring_release(instance->provctx.ring);
    kmse_config_wipe(&instance->provctx.config);
    free(instance);
}

static const OSSL_DISPATCH FUNCTIONS[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))kmse_query_operation},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS,
     (void (*)(void))kmse_get_reason_strings},
    {0, NULL},
};

/* --- loading ------------------------------------------------------------ */

/*
 * A child context can only be made while the provider is initialised, and
 * only later is known whether the host asks for FIPS: crypto.h decides.
 */
static kmse_st make_crypto(struct kmse_crypto **crypto,
                           const struct kmse_provctx *provctx,
                           const OSSL_DISPATCH *in)
{
    enum kmse_library_context from = provctx->config.library_context;
    OSSL_LIB_CTX *host = NULL;
    if (from != KMSE_LIBRARY_CONTEXT_PRIVATE) {
        host = OSSL_LIB_CTX_new_child(provctx->core.handle, in);
        if (host == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_st st =
        kmse_crypto_new(crypto, host, from == KMSE_LIBRARY_CONTEXT_HOST);
    if (!kmse_is_ok(st))
        OSSL_LIB_CTX_free(host);
    return st;
}

static kmse_st make_ring(struct kmse_provctx *provctx, const OSSL_DISPATCH *in)
{
    const struct kmse_config *config = &provctx->config;
    const struct kmse_kms_options kms = {
        .aws = &config->aws,
        .agent = config->agent,
        .agent_fallback = config->agent_fallback,
    };
    const struct kmse_ring_options options = {
        .folder = config->keys,
        .default_key = config->default_key,
        .max_age_ms = config->max_age_ms,
        .stale_ms = config->stale_ms,
        .max_messages = config->max_messages,
        .max_bytes = config->max_bytes,
        .kms = &kms,
    };
    struct kmse_crypto *crypto = NULL;
    KMSE_TRY(make_crypto(&crypto, provctx, in));
    return kmse_ring_new(&provctx->ring, &options, crypto, &kmse_clock_system);
}

static kmse_st instance_init(struct instance *instance, const OSSL_DISPATCH *in,
                             struct kmse_why *why)
{
    struct kmse_provctx *provctx = &instance->provctx;
    KMSE_TRY(kmse_config_read(&provctx->config, provctx->core.handle,
                              provctx->core.get_params, why));
    KMSE_TRY(make_ring(provctx, in));
    instance->legacy.ring = provctx->ring;
    if (provctx->config.legacy_names)
        KMSE_TRY(kmse_legacy_add(&instance->legacy));
    return KMSE_OK;
}

OSSL_provider_init_fn OSSL_provider_init;

/* The only symbol the module exports. No network, no KMS, no key file here. */
__attribute__((visibility("default"))) int
OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                   const OSSL_DISPATCH **out, void **provctx)
{
    struct instance *instance = calloc(1, sizeof(*instance));
    if (instance == NULL)
        return 0;
    kmse_core_read(&instance->provctx.core, handle, in);
    kmse_drop_in_init(&instance->provctx.drop_in);

    struct kmse_why why = {""};
    kmse_st st = instance_init(instance, in, &why);
    if (!kmse_is_ok(st)) {
        kmse_raise(&instance->provctx.core, st, &why);
        teardown(instance);
        return 0;
    }
    *provctx = instance;
    *out = FUNCTIONS;
    return 1;
}
