/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_TABLE_H
#define KMSE_GLUE_TABLE_H

#include <openssl/core_dispatch.h>

/* What every registration of the provider offers, the legacy one too. */
OSSL_FUNC_provider_query_operation_fn kmse_query_operation;
OSSL_FUNC_provider_get_reason_strings_fn kmse_get_reason_strings;

#endif
