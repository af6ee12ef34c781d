/* SPDX-License-Identifier: Apache-2.0 */
/* Unknown keys in our section of the configuration file. */
#include "glue/config_section.h"

#include <stddef.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "base/cnf.h"
#include "base/setting.h"

static kmse_st check_keys(const struct kmse_cnf *cnf,
                          const struct kmse_cnf_provider *provider,
                          struct kmse_why *why)
{
    for (size_t i = 0; i < provider->pair_count; i++) {
        const char *key = provider->pairs[i].name;
        if (!kmse_setting_is_known(key))
            return kmse_fail(why, KMSE_R_CONFIG_KEY,
                             "%s, section [%s]: \"%s\" is not a key of this "
                             "provider (see openssl.cnf.example)",
                             kmse_cnf_path(cnf), provider->section, key);
    }
    return KMSE_OK;
}

/*
 * Is that section the one that the core gives us? The same name, and the same
 * values for what both know.
 */
static bool is_ours(const struct kmse_cnf_provider *provider, const char *name,
                    const OSSL_CORE_HANDLE *handle,
                    OSSL_FUNC_core_get_params_fn *get_params)
{
    if (name == NULL || strcmp(provider->name, name) != 0)
        return false;
    for (size_t i = 0; i < provider->pair_count; i++) {
        char *value = NULL;
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_ptr(provider->pairs[i].name, &value, 0),
            OSSL_PARAM_construct_end(),
        };
        if (get_params(handle, params) != 1 || value == NULL
            || strcmp(value, provider->pairs[i].value) != 0)
            return false;
    }
    return true;
}

kmse_st kmse_config_check_section(const OSSL_CORE_HANDLE *handle,
                                  OSSL_FUNC_core_get_params_fn *get_params,
                                  struct kmse_why *why)
{
    char *name = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_CORE_PROV_NAME, &name, 0),
        OSSL_PARAM_construct_end(),
    };
    struct kmse_cnf *cnf = NULL;
    /* No file, no section: the core was configured in another way. */
    if (get_params(handle, params) != 1
        || !kmse_is_ok(kmse_cnf_open(&cnf, NULL, NULL)))
        return KMSE_OK;

    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < kmse_cnf_provider_count(cnf) && kmse_is_ok(st);
         i++) {
        const struct kmse_cnf_provider *provider = kmse_cnf_provider(cnf, i);
        if (is_ours(provider, name, handle, get_params))
            st = check_keys(cnf, provider, why);
    }
    kmse_cnf_close(cnf);
    return st;
}
