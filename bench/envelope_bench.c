/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message costs, as a ratio to raw OpenSSL, in one run:
 *     envelope_bench [ROUNDS [MODULE]]
 * Each round times all candidates one after another, and each ratio is of one
 * round; what is printed is the median of the rounds, with the quartiles. A
 * machine that is slow in one round is slow for both sides of its ratio. Time
 * is the thread's own, of the processor: others may use the machine.
 * With MODULE, another build of the provider takes part in each round.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "support/evp_env.h"

enum {
    FIELD_LEN = 32,
    IV_LEN = 12,
    TAG_LEN = 16,
    KEY_LEN = 32,
    FIELD_MESSAGES = 2000, /* a round, each candidate */
    LARGE_LEN = 1 << 20,
    LARGE_MESSAGES = 2,
    ROUNDS = 301,
    ROUNDS_MAX = 10001,
    NS_PER_S = 1000000000,
};

static struct evp_env env, other;
static uint8_t plaintext[LARGE_LEN], output[LARGE_LEN + 2 * ENV_OVERHEAD];
static uint8_t raw_key[KEY_LEN];

static void must(int ok, const char *what)
{
    char errors[ENV_ERRORS_LEN];
    if (ok > 0)
        return;
    fprintf(stderr, "envelope_bench: %s: %s\n", what, evp_errors(errors));
    exit(EXIT_FAILURE);
}
#define MUST(call) must((call), #call)

/* --- candidates: each does one message; state is its own ---------------- */

struct candidate {
    void (*prepare)(struct candidate *candidate);
    void (*run)(struct candidate *candidate);
    size_t len; /* of the plaintext */
    const struct evp_env *env;
    EVP_CIPHER_CTX *ctx;
    uint64_t counter;
    uint8_t iv[IV_LEN], tag[TAG_LEN];
    uint8_t *message; /* for those that decrypt */
};

static void next_iv(struct candidate *c)
{
    c->counter++;
    memcpy(c->iv, &c->counter, sizeof(c->counter));
}

/* (a) the floor: the key is kept, the IV counts up. */
static void prepare_floor_seal(struct candidate *c)
{
    c->ctx = EVP_CIPHER_CTX_new();
    MUST(EVP_EncryptInit_ex(c->ctx, EVP_aes_256_gcm(), NULL, raw_key, c->iv));
}

static void run_floor_seal(struct candidate *c)
{
    int len = 0, tail_len = 0;
    next_iv(c);
    MUST(EVP_EncryptInit_ex(c->ctx, NULL, NULL, NULL, c->iv));
    MUST(EVP_EncryptUpdate(c->ctx, output, &len, plaintext, (int)c->len));
    MUST(EVP_EncryptFinal_ex(c->ctx, output + len, &tail_len));
    MUST(EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, c->tag));
}

static void prepare_floor_open(struct candidate *c)
{
    prepare_floor_seal(c);
    run_floor_seal(c);
    c->message = malloc(c->len);
    memcpy(c->message, output, c->len);
    MUST(EVP_DecryptInit_ex(c->ctx, NULL, NULL, raw_key, c->iv));
}

static void run_floor_open(struct candidate *c)
{
    int len = 0, tail_len = 0;
    MUST(EVP_DecryptInit_ex(c->ctx, NULL, NULL, NULL, c->iv));
    MUST(EVP_DecryptUpdate(c->ctx, output, &len, c->message, (int)c->len));
    MUST(EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, c->tag));
    MUST(EVP_DecryptFinal_ex(c->ctx, output + len, &tail_len));
}

/* (b) by hand: a context, key and random IV for every message. */
static void run_by_hand_seal(struct candidate *c)
{
    int len = 0, tail_len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MUST(RAND_bytes(c->iv, IV_LEN));
    MUST(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, raw_key, c->iv));
    MUST(EVP_EncryptUpdate(ctx, output, &len, plaintext, (int)c->len));
    MUST(EVP_EncryptFinal_ex(ctx, output + len, &tail_len));
    MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, c->tag));
    EVP_CIPHER_CTX_free(ctx);
}

static void run_by_hand_open(struct candidate *c)
{
    int len = 0, tail_len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MUST(EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, raw_key, c->iv));
    MUST(EVP_DecryptUpdate(ctx, output, &len, c->message, (int)c->len));
    MUST(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, c->tag));
    MUST(EVP_DecryptFinal_ex(ctx, output + len, &tail_len));
    EVP_CIPHER_CTX_free(ctx);
}

/* Ours, with one context for all messages, or a fresh one for each. */
static void seal_with(EVP_CIPHER_CTX *ctx, size_t in_len)
{
    int len = 0, tail_len = 0;
    MUST(EVP_EncryptUpdate(ctx, output, &len, plaintext, (int)in_len));
    MUST(EVP_EncryptFinal_ex(ctx, output + len, &tail_len));
}

static void open_with(EVP_CIPHER_CTX *ctx, const struct candidate *c)
{
    int len = 0, tail_len = 0;
    MUST(EVP_DecryptUpdate(ctx, output, &len, c->message,
                           (int)c->len + ENV_OVERHEAD));
    MUST(EVP_DecryptFinal_ex(ctx, output + len, &tail_len));
}

static void prepare_seal(struct candidate *c)
{
    c->ctx = EVP_CIPHER_CTX_new();
    MUST(EVP_EncryptInit_ex2(c->ctx, c->env->cipher, NULL, NULL, NULL));
}

static void run_seal(struct candidate *c)
{
    MUST(EVP_EncryptInit_ex2(c->ctx, NULL, NULL, NULL, NULL));
    seal_with(c->ctx, c->len);
}

static void prepare_open(struct candidate *c)
{
    prepare_seal(c);
    seal_with(c->ctx, c->len);
    c->message = malloc(c->len + ENV_OVERHEAD);
    memcpy(c->message, output, c->len + ENV_OVERHEAD);
    MUST(EVP_DecryptInit_ex2(c->ctx, NULL, NULL, NULL, NULL));
}

static void run_open(struct candidate *c)
{
    MUST(EVP_DecryptInit_ex2(c->ctx, NULL, NULL, NULL, NULL));
    open_with(c->ctx, c);
}

static void run_fresh_seal(struct candidate *c)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MUST(EVP_EncryptInit_ex2(ctx, c->env->cipher, NULL, NULL, NULL));
    seal_with(ctx, c->len);
    EVP_CIPHER_CTX_free(ctx);
}

static void run_fresh_open(struct candidate *c)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    MUST(EVP_DecryptInit_ex2(ctx, c->env->cipher, NULL, NULL, NULL));
    open_with(ctx, c);
    EVP_CIPHER_CTX_free(ctx);
}

enum which {
    FLOOR_SEAL,
    HAND_SEAL,
    SEAL,
    FRESH_SEAL,
    FLOOR_OPEN,
    HAND_OPEN,
    OPEN,
    FRESH_OPEN,
    LARGE_FLOOR_SEAL,
    LARGE_SEAL,
    LARGE_FLOOR_OPEN,
    LARGE_OPEN,
    CANDIDATES_ALONE,
    OTHER_SEAL = CANDIDATES_ALONE,
    OTHER_FRESH_SEAL,
    OTHER_OPEN,
    OTHER_FRESH_OPEN,
    CANDIDATES,
};

#define FIELD(prepare_it, run_it)                                              \
    {                                                                          \
        .prepare = (prepare_it), .run = (run_it), .len = FIELD_LEN,            \
        .env = &env                                                            \
    }
#define OTHER(prepare_it, run_it)                                              \
    {                                                                          \
        .prepare = (prepare_it), .run = (run_it), .len = FIELD_LEN,            \
        .env = &other                                                          \
    }
#define LARGE(prepare_it, run_it)                                              \
    {                                                                          \
        .prepare = (prepare_it), .run = (run_it), .len = LARGE_LEN,            \
        .env = &env                                                            \
    }
static struct candidate candidates[CANDIDATES] = {
    [FLOOR_SEAL] = FIELD(prepare_floor_seal, run_floor_seal),
    [HAND_SEAL] = FIELD(prepare_floor_seal, run_by_hand_seal),
    [SEAL] = FIELD(prepare_seal, run_seal),
    [FRESH_SEAL] = FIELD(prepare_seal, run_fresh_seal),
    [FLOOR_OPEN] = FIELD(prepare_floor_open, run_floor_open),
    [HAND_OPEN] = FIELD(prepare_floor_open, run_by_hand_open),
    [OPEN] = FIELD(prepare_open, run_open),
    [FRESH_OPEN] = FIELD(prepare_open, run_fresh_open),
    [LARGE_FLOOR_SEAL] = LARGE(prepare_floor_seal, run_floor_seal),
    [LARGE_SEAL] = LARGE(prepare_seal, run_seal),
    [LARGE_FLOOR_OPEN] = LARGE(prepare_floor_open, run_floor_open),
    [LARGE_OPEN] = LARGE(prepare_open, run_open),
    [OTHER_SEAL] = OTHER(prepare_seal, run_seal),
    [OTHER_FRESH_SEAL] = OTHER(prepare_seal, run_fresh_seal),
    [OTHER_OPEN] = OTHER(prepare_open, run_open),
    [OTHER_FRESH_OPEN] = OTHER(prepare_open, run_fresh_open),
};

/* --- ratios ------------------------------------------------------------- */

static const struct comparison {
    const char *what, *goal;
    enum which ours, theirs;
    bool throughput; /* theirs / ours, not ours / theirs */
} COMPARISONS[] = {
    {"encrypt 32 B, reused context / raw GCM, key kept", "<= 1.10", SEAL,
     FLOOR_SEAL, false},
    {"decrypt 32 B, reused context / raw GCM, key kept", "<= 1.10", OPEN,
     FLOOR_OPEN, false},
    {"encrypt 32 B, reused context / by hand", "<= 0.25", SEAL, HAND_SEAL,
     false},
    {"decrypt 32 B, reused context / by hand", "<= 0.25", OPEN, HAND_OPEN,
     false},
    {"encrypt 32 B, fresh context / by hand", "<= 0.50", FRESH_SEAL, HAND_SEAL,
     false},
    {"decrypt 32 B, fresh context / by hand", "<= 0.50", FRESH_OPEN, HAND_OPEN,
     false},
    {"encrypt 1 MiB, throughput / raw GCM", ">= 0.98", LARGE_SEAL,
     LARGE_FLOOR_SEAL, true},
    {"decrypt 1 MiB, throughput / raw GCM", ">= 0.98", LARGE_OPEN,
     LARGE_FLOOR_OPEN, true},
    {"other module: encrypt 32 B, reused / raw GCM", "", OTHER_SEAL, FLOOR_SEAL,
     false},
    {"other module: decrypt 32 B, reused / raw GCM", "", OTHER_OPEN, FLOOR_OPEN,
     false},
    {"encrypt 32 B, reused context / other module", "<= 1.00", SEAL, OTHER_SEAL,
     false},
    {"decrypt 32 B, reused context / other module", "<= 1.00", OPEN, OTHER_OPEN,
     false},
    {"encrypt 32 B, fresh context / other module", "<= 1.00", FRESH_SEAL,
     OTHER_FRESH_SEAL, false},
    {"decrypt 32 B, fresh context / other module", "<= 1.00", FRESH_OPEN,
     OTHER_FRESH_OPEN, false},
};
enum {
    COMPARISON_COUNT = sizeof(COMPARISONS) / sizeof(COMPARISONS[0]),
    COMPARISONS_ALONE = 8,
};
/* Without another module, the first of each. */
static int candidate_count = CANDIDATES_ALONE;
static int comparison_count = COMPARISONS_ALONE;

static double ratios[COMPARISON_COUNT][ROUNDS_MAX];

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * NS_PER_S + (double)now.tv_nsec;
}

/* Nanoseconds a message. */
static double time_candidate(struct candidate *c)
{
    int messages = c->len == LARGE_LEN ? LARGE_MESSAGES : FIELD_MESSAGES;
    double start_ns = now_ns();
    for (int i = 0; i < messages; i++)
        c->run(c);
    return (now_ns() - start_ns) / messages;
}

static void run_round(int round)
{
    double ns[CANDIDATES] = {0};
    /* There and back: what follows what is the same for both sides. */
    for (int i = 0; i < candidate_count; i++) {
        int which = round % 2 == 0 ? i : candidate_count - 1 - i;
        ns[which] = time_candidate(&candidates[which]);
    }
    for (int i = 0; i < comparison_count; i++) {
        const struct comparison *comparison = &COMPARISONS[i];
        double ratio = ns[comparison->ours] / ns[comparison->theirs];
        ratios[i][round] = comparison->throughput ? 1 / ratio : ratio;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_ratios(int rounds)
{
    enum { QUARTERS = 4 };
    printf("%-50s %6s  %-13s %s\n", "", "median", "quartiles", "goal");
    for (int i = 0; i < comparison_count; i++) {
        double *sorted = ratios[i];
        qsort(sorted, (size_t)rounds, sizeof(*sorted), compare_doubles);
        printf("%-50s %6.3f  %.3f - %.3f  %s\n", COMPARISONS[i].what,
               sorted[rounds / 2], sorted[rounds / QUARTERS],
               sorted[rounds * (QUARTERS - 1) / QUARTERS], COMPARISONS[i].goal);
    }
}

static void open_environments(const char *module)
{
    evp_env_open(&env, "");
    if (module == NULL)
        return;
    candidate_count = CANDIDATES;
    comparison_count = COMPARISON_COUNT;
    /* Of the old table of names there is one in a process. */
    evp_env_open_module(&other, module, "legacy-names = no\n");
}

static void close_environments(void)
{
    for (int i = 0; i < candidate_count; i++) {
        EVP_CIPHER_CTX_free(candidates[i].ctx);
        free(candidates[i].message);
    }
    evp_env_close(&env);
    if (other.libctx != NULL)
        evp_env_close(&other);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : ROUNDS;
    if (argc > 3 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: envelope_bench [ROUNDS, 1 to %d [MODULE]]\n",
                ROUNDS_MAX);
        return EXIT_FAILURE;
    }
    open_environments(argc > 2 ? argv[2] : NULL);
    MUST(RAND_bytes(raw_key, sizeof(raw_key)));
    for (int i = 0; i < candidate_count; i++)
        candidates[i].prepare(&candidates[i]);
    for (int i = 0; i < candidate_count; i++)
        time_candidate(&candidates[i]); /* warm up */
    for (int round = 0; round < rounds; round++)
        run_round(round);
    print_ratios(rounds);
    close_environments();
    return EXIT_SUCCESS;
}
