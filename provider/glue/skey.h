/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_SKEY_H
#define KMSE_GLUE_SKEY_H

#include "glue/pkey.h"

/* What an EVP_SKEY of ours is: the same reference as an EVP_PKEY's. */
struct kmse_skey {
    struct kmse_pkey *pkey;
    char id[KMSE_REFERENCE_LEN]; /* its URI, which OpenSSL calls the key's id */
};

#endif
