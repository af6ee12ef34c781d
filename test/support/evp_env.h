/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_SUPPORT_EVP_ENV_H
#define KMSE_SUPPORT_EVP_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

/*
 * A temporary folder with a master key, the key "emails" (the default key) and
 * an openssl.cnf, as an administrator would set up. What cannot be done ends
 * the test program with a message: there is nothing to test then.
 */
struct evp_env {
    char folder[64];
    OSSL_LIB_CTX *libctx; /* with our provider and default, from openssl.cnf */
    EVP_CIPHER *cipher;   /* KMS-ENVELOPE of that context */
};

#define ENV_KEY "emails"
enum { ENV_KEY_LEN = 32, ENV_OVERHEAD = 32 };

/* settings: more lines for the provider's section, or "". */
void evp_env_open(struct evp_env *env, const char *settings);
/* With another build of the module. */
void evp_env_open_module(struct evp_env *env, const char *module,
                         const char *settings);
void evp_env_close(struct evp_env *env);

/* One more library context with the same configuration. */
OSSL_LIB_CTX *evp_env_load(const struct evp_env *env);
/* The path of openssl.cnf; out has room for PATH_LEN bytes. */
enum { ENV_PATH_LEN = 128 };
const char *evp_env_conf(char out[ENV_PATH_LEN], const struct evp_env *env);

void evp_env_create_key(const struct evp_env *env, const char *name);
void evp_env_rotate(const struct evp_env *env, const char *name);
/* The new version encrypts from then on. */
void evp_env_rotate_in(const struct evp_env *env, const char *name,
                       int64_t active_in_s);
void evp_env_revoke(const struct evp_env *env, const char *name,
                    uint32_t version);

/* The handle of a version, for the drop-in. */
void evp_env_handle(uint8_t handle[ENV_KEY_LEN], const struct evp_env *env,
                    const char *name, uint32_t version);

/* A name as EVP key bytes. */
void evp_env_key(unsigned char key[ENV_KEY_LEN], const char *name);

/* What the provider counted since it was loaded. */
uint64_t evp_env_kms_calls(OSSL_LIB_CTX *libctx);

/*
 * A whole message with Init, AAD if aad is not NULL, one Update, Final.
 * out has room for in_len + ENV_OVERHEAD. name: NULL for the default key.
 * The length, or -1; the error queue is left as it is.
 */
struct evp_text {
    const uint8_t *bytes;
    size_t len;
};
int evp_seal(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const char *name,
             struct evp_text aad, struct evp_text in, uint8_t *out);
int evp_open(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const char *name,
             struct evp_text aad, struct evp_text in, uint8_t *out);

/* The whole error queue, oldest first; the queue is empty then. */
enum { ENV_ERRORS_LEN = 2048 };
const char *evp_errors(char out[ENV_ERRORS_LEN]);

#endif
