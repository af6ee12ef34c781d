/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AES-256 costs with the drop-in, as a ratio to the default provider's, in
 * one run:
 *     drop_in_bench [ROUNDS]
 * Init with key and IV, and 16 bytes. Each round times both sides of a ratio
 * one after the other; what is printed is the median, with the quartiles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "support/evp_env.h"

enum {
    BLOCK_LEN = 16,
    CALLS = 500, /* a round, each: short, on a machine that does other things */
    ROUNDS = 1001,
    ROUNDS_MAX = 10001,
    NS_PER_S = 1000000000,
};

static struct evp_env env;
static uint8_t raw_key[ENV_KEY_LEN], handle[ENV_KEY_LEN];
static uint8_t iv[BLOCK_LEN], text[BLOCK_LEN], output[2 * BLOCK_LEN];

static void must(int ok, const char *what)
{
    char errors[ENV_ERRORS_LEN];
    if (ok > 0)
        return;
    fprintf(stderr, "drop_in_bench: %s: %s\n", what, evp_errors(errors));
    exit(EXIT_FAILURE);
}
#define MUST(call) must((call) != 0, #call)

static const char *const NAMES[] = {"AES-256-CBC", "AES-256-GCM",
                                    "AES-256-CTR"};
enum { NAME_COUNT = sizeof(NAMES) / sizeof(NAMES[0]) };

/* What is timed: one of these for each cipher. */
enum which { DEFAULT, WITH_KEY, WITH_HANDLE, WHICH_COUNT };

static EVP_CIPHER_CTX *contexts[NAME_COUNT][WHICH_COUNT];
static double ratios[NAME_COUNT][WHICH_COUNT][ROUNDS_MAX];

static void prepare(int name, enum which which)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(
        env.libctx, NAMES[name],
        which == DEFAULT ? "provider=default" : "provider=kms-envelope");
    contexts[name][which] = EVP_CIPHER_CTX_new();
    MUST(cipher != NULL && contexts[name][which] != NULL);
    MUST(EVP_EncryptInit_ex2(contexts[name][which], cipher, raw_key, iv, NULL));
    EVP_CIPHER_free(cipher);
}

/* Nanoseconds a call. */
static double time_it(EVP_CIPHER_CTX *ctx, const uint8_t *key)
{
    struct timespec start, end;
    int len = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < CALLS; i++) {
        MUST(EVP_EncryptInit_ex2(ctx, NULL, key, iv, NULL));
        MUST(EVP_EncryptUpdate(ctx, output, &len, text, BLOCK_LEN));
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ns = (double)(end.tv_sec - start.tv_sec) * NS_PER_S
                + (double)(end.tv_nsec - start.tv_nsec);
    return ns / CALLS;
}

static void run_round(int round)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        double ns = time_it(contexts[i][DEFAULT], raw_key);
        ratios[i][WITH_KEY][round] =
            time_it(contexts[i][WITH_KEY], raw_key) / ns;
        ratios[i][WITH_HANDLE][round] =
            time_it(contexts[i][WITH_HANDLE], handle) / ns;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_ratio(const char *name, const char *what, double *sorted,
                        int rounds, const char *goal)
{
    enum { QUARTERS = 4 };
    qsort(sorted, (size_t)rounds, sizeof(*sorted), compare_doubles);
    printf("%s, init and 16 B, %-12s / default  %6.3f  %.3f - %.3f  %s\n", name,
           what, sorted[rounds / 2], sorted[rounds / QUARTERS],
           sorted[rounds * (QUARTERS - 1) / QUARTERS], goal);
}

static int read_rounds(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : ROUNDS;
    if (argc <= 2 && rounds >= 1 && rounds <= ROUNDS_MAX)
        return rounds;
    fprintf(stderr, "usage: drop_in_bench [ROUNDS, 1 to %d]\n", ROUNDS_MAX);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    int rounds = read_rounds(argc, argv);
    evp_env_open(&env, "drop-in = yes\n");
    evp_env_handle(handle, &env, ENV_KEY, 1);
    MUST(RAND_bytes(raw_key, sizeof(raw_key)) == 1);
    for (int i = 0; i < NAME_COUNT; i++)
        for (int which = 0; which < WHICH_COUNT; which++)
            prepare(i, (enum which)which);
    run_round(0); /* warm up */
    for (int round = 0; round < rounds; round++)
        run_round(round);
    printf("%57s  quartiles      goal\n", "median");
    for (int i = 0; i < NAME_COUNT; i++) {
        print_ratio(NAMES[i], "ordinary key", ratios[i][WITH_KEY], rounds,
                    "0.96 - 1.05");
        print_ratio(NAMES[i], "handle", ratios[i][WITH_HANDLE], rounds, "");
        for (int which = 0; which < WHICH_COUNT; which++)
            EVP_CIPHER_CTX_free(contexts[i][which]);
    }
    evp_env_close(&env);
    return EXIT_SUCCESS;
}
