/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_ENCODER_H
#define KMSE_GLUE_ENCODER_H

#include <openssl/core_dispatch.h>

#include "glue/pkey.h"

/* What the encoders share: encoder.c. Their context is the provider's. */
OSSL_FUNC_encoder_newctx_fn kmse_encoder_newctx;
OSSL_FUNC_encoder_freectx_fn kmse_encoder_freectx;
OSSL_FUNC_encoder_set_ctx_params_fn kmse_encoder_set_ctx_params;
OSSL_FUNC_encoder_settable_ctx_params_fn kmse_encoder_settable_ctx_params;

/* An encoder is given its object as const, but it is a counted one of ours. */
static inline struct kmse_pkey *kmse_encoder_pkey(const void *object)
{
    union {
        const void *read_only;
        struct kmse_pkey *counted;
    } pkey = {.read_only = object};
    return pkey.counted;
}

#endif
