/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms, and the reasons of their failures. */
#include "glue/table.h"

#include <stddef.h>

#include "glue/error.h"
#include "glue/provctx.h"
#include "kms_envelope/params.h"

static const OSSL_ALGORITHM CIPHERS[] = {
    {KMSE_CIPHER_NAME, "provider=" KMSE_PROVIDER_NAME, kmse_cipher_functions,
     "envelope encryption under a KMS-wrapped data key"},
    {NULL, NULL, NULL, NULL},
};

const OSSL_ALGORITHM *kmse_query_operation(void *provctx, int operation_id,
                                           int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    return operation_id == OSSL_OP_CIPHER ? CIPHERS : NULL;
}

const OSSL_ITEM *kmse_get_reason_strings(void *provctx)
{
    (void)provctx;
    return kmse_reason_strings;
}
