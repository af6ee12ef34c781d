/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_PROVCTX_H
#define KMSE_GLUE_PROVCTX_H

#include <openssl/core_dispatch.h>

#include "glue/config.h"
#include "glue/drop_in.h"
#include "keyring/ring.h"

/* The core's functions that we call; any may be NULL in an odd host. */
struct kmse_core {
    const OSSL_CORE_HANDLE *handle;
    OSSL_FUNC_core_get_params_fn *get_params;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_BIO_read_ex_fn *bio_read_ex;
    OSSL_FUNC_BIO_write_ex_fn *bio_write_ex;
    OSSL_FUNC_BIO_gets_fn *bio_gets;
};

/*
 * One loaded instance of the provider. A process may have several: one a
 * library context, and one more for a second libcrypto.
 */
struct kmse_provctx {
    struct kmse_core core;
    struct kmse_config config;
    struct kmse_ring *ring; /* NULL in the legacy names' instance: legacy.h */
    struct kmse_drop_in drop_in;
};

void kmse_core_read(struct kmse_core *core, const OSSL_CORE_HANDLE *handle,
                    const OSSL_DISPATCH *in);

extern const OSSL_DISPATCH kmse_cipher_functions[];
extern const OSSL_DISPATCH kmse_stream_cipher_functions[];
extern const OSSL_DISPATCH kmse_siv_cipher_functions[];
extern const OSSL_DISPATCH kmse_index_mac_functions[];
extern const OSSL_DISPATCH kmse_keymgmt_functions[];
extern const OSSL_DISPATCH kmse_asym_cipher_functions[];
extern const OSSL_DISPATCH kmse_skeymgmt_functions[];
extern const OSSL_DISPATCH kmse_store_functions[];
extern const OSSL_DISPATCH kmse_text_encoder_functions[];
extern const OSSL_DISPATCH kmse_pem_encoder_functions[];
extern const OSSL_DISPATCH kmse_der_encoder_functions[];
extern const OSSL_DISPATCH kmse_public_encoder_functions[];
extern const OSSL_DISPATCH kmse_pem_decoder_functions[];
extern const OSSL_DISPATCH kmse_der_decoder_functions[];

#endif
