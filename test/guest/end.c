/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that ends while its threads are in calls of the KMS, some time up
 * to MAX-US after they began: guest_end WAY MAX-US
 *   exit     a thread calls it, and main has ended by itself
 *   return   from main
 *   quick    quick_exit: nothing is cleaned up
 *   cleanup  OPENSSL_cleanup, then return
 *   unload   the provider is unloaded, and the threads come to their ends
 * Its exit code is 7. To use libcrypto while it is cleaned up is a fault of the
 * program's: what its threads need of it they have before, and once they are
 * back from the provider they stay where they are.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "guest.h"

enum { THREADS = 3, CODE = 7 };

static const char *way;
static unsigned max_us;
static sem_t ready;

static bool is_way(const char *name)
{
    return strcmp(way, name) == 0;
}

static void *use(void *arg)
{
    const char *key_name = arg;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL
        || EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, 1, NULL) != 1)
        abort();
    sem_post(&ready);
    encrypt_with(ctx, cipher, key_name);
    while (!is_way("unload"))
        pause();
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return NULL;
}

static bool start_threads(pthread_t threads[THREADS])
{
    static char keys[THREADS][sizeof("emails")] = {"emails", "orders",
                                                   "emails"};
    sem_init(&ready, 0, 0);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, use, keys[i]) != 0)
            return false;
    for (int i = 0; i < THREADS; i++)
        sem_wait(&ready);
    return true;
}

static void *call_exit(void *arg)
{
    (void)arg;
    pause_at_random(max_us);
    exit(CODE);
}

static int unload(OSSL_PROVIDER *ours, pthread_t threads[THREADS])
{
    pause_at_random(max_us);
    OSSL_PROVIDER_unload(ours);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return CODE;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS], thread;
    if (argc != 3)
        return EXIT_FAILURE;
    way = argv[1];
    max_us = (unsigned)strtoul(argv[2], NULL, 10);
    OSSL_PROVIDER *ours = OSSL_PROVIDER_load(NULL, "kms-envelope");
    if (ours == NULL || !start_threads(threads))
        return EXIT_FAILURE;
    if (is_way("unload"))
        return unload(ours, threads);
    if (is_way("exit")) {
        if (pthread_create(&thread, NULL, call_exit, NULL) != 0)
            return EXIT_FAILURE;
        pthread_exit(NULL);
    }
    pause_at_random(max_us);
    if (is_way("quick"))
        quick_exit(CODE);
    if (is_way("cleanup"))
        OPENSSL_cleanup();
    return CODE;
}
