/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms, and the reasons of their failures. */
#include "glue/table.h"

#include <stddef.h>

#include "glue/error.h"
#include "glue/provctx.h"
#include "kms_envelope/params.h"

#define OWN_CIPHERS                                                            \
    {KMSE_CIPHER_NAME, "provider=" KMSE_PROVIDER_NAME, kmse_cipher_functions,  \
     "envelope encryption under a KMS-wrapped data key"},                      \
    {                                                                          \
        KMSE_STREAM_CIPHER_NAME, "provider=" KMSE_PROVIDER_NAME,               \
            kmse_stream_cipher_functions,                                      \
            "envelope encryption of files and pipes, verified frame by frame"  \
    }

static const OSSL_ALGORITHM CIPHERS[] = {
    OWN_CIPHERS,
    {NULL, NULL, NULL, NULL},
};

/* With drop-in = yes. */
static const OSSL_ALGORITHM CIPHERS_AND_AES[] = {
    OWN_CIPHERS,
#define DROP_IN(name, fetched, names)                                          \
    {names, "provider=" KMSE_PROVIDER_NAME, kmse_drop_in_##name##_functions,   \
     fetched " whose key may be a handle"},
    KMSE_DROP_INS(DROP_IN)
#undef DROP_IN
        {NULL, NULL, NULL, NULL},
};

const OSSL_ALGORITHM *kmse_query_operation(void *vprovctx, int operation_id,
                                           int *no_cache)
{
    const struct kmse_provctx *provctx = vprovctx;
    *no_cache = 0;
    if (operation_id != OSSL_OP_CIPHER)
        return NULL;
    return provctx->config.drop_in ? CIPHERS_AND_AES : CIPHERS;
}

const OSSL_ITEM *kmse_get_reason_strings(void *provctx)
{
    (void)provctx;
    return kmse_reason_strings;
}
