/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms, and the reasons of their failures. */
#include "glue/table.h"

#include <stddef.h>

#include "glue/compat.h"
#include "glue/error.h"
#include "glue/pkey_form.h"
#include "glue/provctx.h"
#include "kms_envelope/params.h"

#define PROPERTIES "provider=" KMSE_PROVIDER_NAME

#define OWN_CIPHERS                                                            \
    {KMSE_CIPHER_NAME, PROPERTIES, kmse_cipher_functions,                      \
     "envelope encryption under a KMS-wrapped data key"},                      \
        {KMSE_SIV_CIPHER_NAME, PROPERTIES, kmse_siv_cipher_functions,          \
         "deterministic envelope encryption, for look-ups"},                   \
    {                                                                          \
        KMSE_STREAM_CIPHER_NAME, PROPERTIES, kmse_stream_cipher_functions,     \
            "envelope encryption of files and pipes, verified frame by frame"  \
    }

static const OSSL_ALGORITHM CIPHERS[] = {
    OWN_CIPHERS,
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM MACS[] = {
    {KMSE_INDEX_NAME, PROPERTIES, kmse_index_mac_functions,
     "blind index under a KMS-wrapped data key, for look-ups"},
    {NULL, NULL, NULL, NULL},
};

/* With drop-in = yes. */
static const OSSL_ALGORITHM CIPHERS_AND_AES[] = {
    OWN_CIPHERS,
#define DROP_IN(name, fetched, names)                                          \
    {names, PROPERTIES, kmse_drop_in_##name##_functions,                       \
     fetched " whose key may be a handle"},
    KMSE_DROP_INS(DROP_IN)
#undef DROP_IN
        {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM KEYMGMTS[] = {
    {KMSE_PKEY_NAME, PROPERTIES, kmse_keymgmt_functions,
     "a reference to a named key"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM ASYM_CIPHERS[] = {
    {KMSE_PKEY_NAME, PROPERTIES, kmse_asym_cipher_functions,
     "a whole message with one call"},
    {NULL, NULL, NULL, NULL},
};

#define OUTPUT(as) PROPERTIES ",output=" as

static const OSSL_ALGORITHM ENCODERS[] = {
    {KMSE_PKEY_NAME, OUTPUT("text"), kmse_text_encoder_functions,
     "a key and its versions, for people"},
    {KMSE_PKEY_NAME, OUTPUT("pem,structure=PrivateKeyInfo"),
     kmse_pem_encoder_functions, "a reference to a key"},
    {KMSE_PKEY_NAME, OUTPUT("der,structure=PrivateKeyInfo"),
     kmse_der_encoder_functions, "a reference to a key"},
    {KMSE_PKEY_NAME, OUTPUT("pem,structure=SubjectPublicKeyInfo"),
     kmse_public_encoder_functions, "refused: there is no public half"},
    {KMSE_PKEY_NAME, OUTPUT("der,structure=SubjectPublicKeyInfo"),
     kmse_public_encoder_functions, "refused: there is no public half"},
    {NULL, NULL, NULL, NULL},
};

/* Decoders are called after what they make: the first one makes DER. */
static const OSSL_ALGORITHM DECODERS[] = {
    {"DER", PROPERTIES ",input=pem", kmse_pem_decoder_functions,
     "PEM of a " KMSE_PEM_LABEL},
    {KMSE_PKEY_NAME, PROPERTIES ",input=der,structure=" KMSE_FORM_STRUCTURE,
     kmse_der_decoder_functions, "a reference to a key"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM STORES[] = {
    {KMSE_STORE_SCHEME, PROPERTIES, kmse_store_functions,
     "the keys of the folder"},
    {NULL, NULL, NULL, NULL},
};

/* openssl enc asks for the one that has its cipher's name. */
static const OSSL_ALGORITHM SKEYMGMTS[] = {
    {KMSE_CIPHER_NAME, PROPERTIES, kmse_skeymgmt_functions,
     "a reference to a named key"},
    {KMSE_SIV_CIPHER_NAME, PROPERTIES, kmse_skeymgmt_functions,
     "a reference to a named key"},
    {KMSE_STREAM_CIPHER_NAME, PROPERTIES, kmse_skeymgmt_functions,
     "a reference to a named key"},
    {NULL, NULL, NULL, NULL},
};

struct operation {
    int id;
    const OSSL_ALGORITHM *algorithms;
};

/* A key needs an instance with a ring; the legacy name's has none. */
static const struct operation OF_KEYS[] = {
    {OSSL_OP_KEYMGMT, KEYMGMTS},   {OSSL_OP_ASYM_CIPHER, ASYM_CIPHERS},
    {OSSL_OP_ENCODER, ENCODERS},   {OSSL_OP_DECODER, DECODERS},
    {OSSL_OP_SKEYMGMT, SKEYMGMTS}, {OSSL_OP_STORE, STORES},
};
enum { OF_KEYS_COUNT = sizeof(OF_KEYS) / sizeof(OF_KEYS[0]) };

const OSSL_ALGORITHM *kmse_query_operation(void *vprovctx, int operation_id,
                                           int *no_cache)
{
    const struct kmse_provctx *provctx = vprovctx;
    *no_cache = 0;
    if (operation_id == OSSL_OP_CIPHER)
        return provctx->config.drop_in ? CIPHERS_AND_AES : CIPHERS;
    if (operation_id == OSSL_OP_MAC)
        return MACS;
    for (size_t i = 0; provctx->ring != NULL && i < OF_KEYS_COUNT; i++) {
        if (OF_KEYS[i].id == operation_id)
            return OF_KEYS[i].algorithms;
    }
    return NULL;
}

const OSSL_ITEM *kmse_get_reason_strings(void *provctx)
{
    (void)provctx;
    return kmse_reason_strings;
}
