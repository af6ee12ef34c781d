/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_ERROR_H
#define KMSE_GLUE_ERROR_H

#include <openssl/core.h>

#include "base/status.h"
#include "glue/provctx.h"

/*
 * The one bridge from results to OpenSSL's error queue, by the core's upcalls:
 * ERR_raise would be that of another libcrypto in a host that links its own.
 */
#define kmse_raise(core, st, why)                                              \
    kmse_raise_at((core), (st), (why), __FILE__, __LINE__, __func__)

/* why may be NULL. Does nothing on success. */
void kmse_raise_at(const struct kmse_core *core, kmse_st st,
                   const struct kmse_why *why, const char *file, int line,
                   const char *function);

/* For OSSL_FUNC_PROVIDER_GET_REASON_STRINGS. */
extern const OSSL_ITEM kmse_reason_strings[];

#endif
