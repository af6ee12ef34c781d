/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_CONFIG_H
#define KMSE_GLUE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include "base/status.h"
#include "kms/aws_settings.h"

/* Where the inner algorithms come from. */
enum kmse_library_context {
    KMSE_LIBRARY_CONTEXT_AUTO, /* host if it asks for FIPS, else private */
    KMSE_LIBRARY_CONTEXT_PRIVATE,
    KMSE_LIBRARY_CONTEXT_HOST,
};

/* The provider's section of openssl.cnf: openssl.cnf.example explains it. */
struct kmse_config {
    char *keys;        /* absolute path of a readable folder */
    char *default_key; /* or NULL */
    uint64_t max_age_ms;
    uint64_t stale_ms;
    uint64_t max_messages;
    uint64_t max_bytes;
    bool legacy_names;
    enum kmse_library_context library_context;
    char *agent; /* path of its socket, or NULL */
    bool agent_fallback;
    bool drop_in;
    struct kmse_aws_options aws;
};

/*
 * Ask the core for every key. KMSE_R_CONFIG_VALUE, KMSE_R_CONFIG_KEY or
 * KMSE_R_CONFIG_KEYS_FOLDER, with key and value in why.
 */
kmse_st kmse_config_read(struct kmse_config *config,
                         const OSSL_CORE_HANDLE *handle,
                         OSSL_FUNC_core_get_params_fn *get_params,
                         struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_config_wipe(struct kmse_config *config);

#endif
