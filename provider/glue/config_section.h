/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_CONFIG_SECTION_H
#define KMSE_GLUE_CONFIG_SECTION_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>

#include "base/status.h"

/*
 * OpenSSL's core answers for keys that a provider asks for; it cannot tell
 * which others there are. So a mistyped key is found in the configuration
 * file itself, in the section that is ours. KMSE_R_CONFIG_KEY names it.
 * A host that loads its configuration from a file of its own is not covered.
 */
kmse_st kmse_config_check_section(const OSSL_CORE_HANDLE *handle,
                                  OSSL_FUNC_core_get_params_fn *get_params,
                                  struct kmse_why *why) KMSE_MUST_CHECK;

#endif
