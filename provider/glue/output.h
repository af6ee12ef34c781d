/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_OUTPUT_H
#define KMSE_GLUE_OUTPUT_H

#include <stddef.h>

#include "glue/provctx.h"

/* Writing to a BIO of the host: whatever kind it is, all of the bytes. */
kmse_st kmse_output(const struct kmse_core *core, OSSL_CORE_BIO *out,
                    const void *bytes, size_t len) KMSE_MUST_CHECK;

#endif
