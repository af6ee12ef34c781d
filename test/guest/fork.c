/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that forks: guest_fork CHILDREN
 * From several threads at a time, before the key was used, while it is used
 * for the first time, and after. Each child calls the KMS. To fork while
 * another thread is in libcrypto is a fault of the program's: what it needs of
 * it, it has before, and then only the provider is at work.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "guest.h"

enum { THREADS = 4 };

struct forker {
    int children;
    bool worked;
};

/* "emails" may be the parent's, unwrapped already; "orders" is not. */
static int run_child(int number)
{
    bool worked = round_trip(NULL, "orders") && round_trip(NULL, "emails");
    int code = worked ? EXIT_SUCCESS : EXIT_FAILURE;
    if (number % 2 == 0)
        _exit(code);
    exit(code);
}

static void *fork_them(void *arg)
{
    struct forker *forker = arg;
    pid_t pids[THREADS];
    forker->worked = true;
    for (int done = 0; done < forker->children;) {
        int count = 0, status = 0;
        for (; count < THREADS && done < forker->children; count++, done++) {
            pids[count] = fork();
            if (pids[count] == 0)
                run_child(done);
        }
        for (int i = 0; i < count; i++)
            forker->worked =
                waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status)
                && WEXITSTATUS(status) == EXIT_SUCCESS && forker->worked;
    }
    return NULL;
}

/* The calling thread uses the key meanwhile, for the first time or again. */
static bool fork_from_threads(int children, EVP_CIPHER_CTX *ctx)
{
    pthread_t threads[THREADS];
    struct forker forkers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        forkers[i].children = children / THREADS;
        if (pthread_create(&threads[i], NULL, fork_them, &forkers[i]) != 0)
            return false;
    }
    pause_at_random(2000);
    bool worked = encrypt_with(ctx, NULL, "emails");
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        worked = forkers[i].worked && worked;
    }
    return worked;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return EXIT_FAILURE;
    int children = (int)strtol(argv[1], NULL, 10);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL
        || EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, 1, NULL) != 1)
        return EXIT_FAILURE;
    bool worked = fork_from_threads(children / 2, ctx);
    worked = fork_from_threads(children / 2, ctx) && worked;
    worked = round_trip(NULL, "emails") && worked;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return worked ? EXIT_SUCCESS : EXIT_FAILURE;
}
