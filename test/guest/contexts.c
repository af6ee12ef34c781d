/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with library contexts of its own: guest_contexts CONF
 * Each loads the configuration, and so the provider once more; they come and
 * go in threads, beside the default one.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "guest.h"

enum { THREADS = 4 };

static const char *conf;

static bool use_context(void)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    bool worked = libctx != NULL && OSSL_LIB_CTX_load_config(libctx, conf) == 1
                  && round_trip(libctx, "emails") && round_trip(NULL, "emails")
                  && round_trip(libctx, "orders");
    OSSL_LIB_CTX_free(libctx);
    return worked;
}

static void *use_contexts(void *arg)
{
    bool *worked = arg;
    *worked = use_context() && use_context();
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    bool worked[THREADS] = {false}, all = true;
    if (argc != 2)
        return EXIT_FAILURE;
    conf = argv[1];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, use_contexts, &worked[i]) != 0)
            return EXIT_FAILURE;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all = all && worked[i];
    }
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
