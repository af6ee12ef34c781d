/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BENCH_SITE_H
#define KMSE_BENCH_SITE_H

#include <stdint.h>

#include <openssl/evp.h>

/*
 * A temporary folder with keys whose master key is a kms_double's, and
 * programs of it: library contexts with our provider. What cannot be done ends
 * the benchmark.
 */
enum { SITE_PATH_LEN = 128, SITE_NAME_LEN = 32 };

struct site {
    char folder[SITE_PATH_LEN];
    uint16_t port; /* of its KMS */
};

struct site_program {
    OSSL_LIB_CTX *libctx;
    EVP_CIPHER *cipher;
};

/* The environment has credentials from here on. */
void site_open(struct site *site, uint16_t kms_port);
void site_close(const struct site *site);

/* Keys are called key-0, key-1, ... */
void site_create_keys(const struct site *site, int count);
void site_key_name(unsigned char name[SITE_NAME_LEN], int number);

/*
 * settings: more lines for the provider's section. init: the provider, linked
 * into this program; NULL: the module that is built.
 */
void site_start(struct site_program *program, const struct site *site,
                const char *settings, OSSL_provider_init_fn *init);
void site_end(struct site_program *program);

#endif
