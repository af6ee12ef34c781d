/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that need the data key in the same moment: evp_once THREADS
 * "ready" out; at a line in, each thread encrypts and decrypts one message.
 * Then "ok N failed N" out, with the errors of failures on stderr. It knows EVP
 * alone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

enum { THREADS_MAX = 64, LEN = 16, OUT_LEN = LEN + 2 * EVP_MAX_BLOCK_LENGTH };

static EVP_CIPHER *cipher;
static pthread_barrier_t start;
static _Atomic unsigned ok_count, failed_count;

static int run(EVP_CIPHER_CTX *ctx, bool encrypt, const unsigned char *in,
               int in_len, unsigned char out[OUT_LEN])
{
    static const unsigned char DEFAULT_KEY[EVP_MAX_KEY_LENGTH];
    int n = 0, tail = 0;
    if (!EVP_CipherInit_ex2(ctx, cipher, DEFAULT_KEY, NULL, encrypt, NULL)
        || !EVP_CipherUpdate(ctx, out, &n, in, in_len)
        || !EVP_CipherFinal_ex(ctx, out + n, &tail))
        return -1;
    return n + tail;
}

static void *work(void *arg)
{
    static const unsigned char TEXT[LEN] = "anna@example.or";
    unsigned char message[OUT_LEN], again[OUT_LEN];
    (void)arg;
    pthread_barrier_wait(&start);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = run(ctx, true, TEXT, LEN, message);
    bool ok = len > 0 && run(ctx, false, message, len, again) == LEN
              && memcmp(again, TEXT, LEN) == 0;
    if (!ok)
        ERR_print_errors_fp(stderr);
    atomic_fetch_add(ok ? &ok_count : &failed_count, 1);
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (count < 1 || count > THREADS_MAX) {
        fputs("usage: evp_once THREADS\n", stderr);
        return EXIT_FAILURE;
    }
    cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    if (cipher == NULL) {
        ERR_print_errors_fp(stderr);
        return EXIT_FAILURE;
    }
    pthread_barrier_init(&start, NULL, (unsigned)count + 1);
    for (long i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return EXIT_FAILURE;
    }
    puts("ready");
    fflush(stdout);
    (void)getchar();
    pthread_barrier_wait(&start);
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("ok %u failed %u\n", ok_count, failed_count);
    EVP_CIPHER_free(cipher);
    return EXIT_SUCCESS;
}
