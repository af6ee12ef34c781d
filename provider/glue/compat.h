/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_COMPAT_H
#define KMSE_GLUE_COMPAT_H

#include <assert.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_object.h>
#include <openssl/store.h>

/*
 * What newer releases of OpenSSL ask of a provider, for the headers of those
 * that do not: a module that was built on 3.0 serves 3.5 as well. Older ones
 * pass over functions and operations whose numbers they do not know. Newer
 * headers are held to these numbers, and their compilers to these types.
 */

/* Since 3.5: EVP_SKEY, a symmetric key as an object. */
#ifndef OSSL_OP_SKEYMGMT
#define OSSL_OP_SKEYMGMT                       15
#define OSSL_FUNC_SKEYMGMT_FREE                1
#define OSSL_FUNC_SKEYMGMT_IMPORT              2
#define OSSL_FUNC_SKEYMGMT_EXPORT              3
#define OSSL_FUNC_SKEYMGMT_GENERATE            4
#define OSSL_FUNC_SKEYMGMT_GET_KEY_ID          5
#define OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS 6
#define OSSL_FUNC_SKEYMGMT_GEN_SETTABLE_PARAMS 7
typedef void OSSL_FUNC_skeymgmt_free_fn(void *keydata);
typedef void *OSSL_FUNC_skeymgmt_import_fn(void *provctx, int selection,
                                           const OSSL_PARAM params[]);
typedef int OSSL_FUNC_skeymgmt_export_fn(void *keydata, int selection,
                                         OSSL_CALLBACK *param_cb, void *cbarg);
typedef void *OSSL_FUNC_skeymgmt_generate_fn(void *provctx,
                                             const OSSL_PARAM params[]);
typedef const char *OSSL_FUNC_skeymgmt_get_key_id_fn(void *keydata);
typedef const OSSL_PARAM *
OSSL_FUNC_skeymgmt_imp_settable_params_fn(void *provctx);
typedef const OSSL_PARAM *
OSSL_FUNC_skeymgmt_gen_settable_params_fn(void *provctx);
#endif
static_assert(OSSL_OP_SKEYMGMT == 15, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_FREE == 1, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_IMPORT == 2, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_EXPORT == 3, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_GENERATE == 4, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_GET_KEY_ID == 5, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS == 6, "OpenSSL's number");
static_assert(OSSL_FUNC_SKEYMGMT_GEN_SETTABLE_PARAMS == 7, "OpenSSL's number");

/* Since 3.5: EVP_CipherInit_SKEY. */
#ifndef OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT
#define OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT 19
#define OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT 20
typedef int OSSL_FUNC_cipher_encrypt_skey_init_fn(void *cctx, void *skeydata,
                                                  const unsigned char *iv,
                                                  size_t ivlen,
                                                  const OSSL_PARAM params[]);
typedef int OSSL_FUNC_cipher_decrypt_skey_init_fn(void *cctx, void *skeydata,
                                                  const unsigned char *iv,
                                                  size_t ivlen,
                                                  const OSSL_PARAM params[]);
#endif
static_assert(OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT == 19, "OpenSSL's number");
static_assert(OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT == 20, "OpenSSL's number");

/* Since 4.0: an EVP_SKEY in a store. */
#ifndef OSSL_OBJECT_SKEY
#define OSSL_OBJECT_SKEY 5
#endif
#ifndef OSSL_STORE_INFO_SKEY
#define OSSL_STORE_INFO_SKEY 7
#endif
static_assert(OSSL_OBJECT_SKEY == 5, "OpenSSL's number");
static_assert(OSSL_STORE_INFO_SKEY == 7, "OpenSSL's number");

#endif
