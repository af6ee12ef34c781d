/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What messages notice of a KMS that is away:
 *     outage_bench [MINUTES]
 * Four threads encrypt 32 bytes, over and over, in programs that differ in
 * their KMS alone, in turn: so all have the same machine. A hundred
 * milliseconds of their clock pass in each millisecond; time-outs are shorter
 * by as much. With less than 50 minutes max-age and all the rest shrink too.
 * test/unit/test_outage.c is what proves it; this is how long it takes.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "base/clock.h"
#include "kms_double.h"
#include "kms_envelope/params.h"
#include "site.h"

enum {
    MINUTES = 50,
    MINUTE_MS = 60000,
    /* For each minute of the outage: 300 s, 3600 s and 5 s in 50 minutes. */
    MAX_AGE_MS = 6000,
    STALE_MS = 72000,
    KMS_TIMEOUT_MS = 1, /* by the real clock */
    STEP_MS = 100,
    THREADS = 4,
    BATCH = 16,
    FIELD_LEN = 32,
    MESSAGE_LEN = 64,
    NS_PER_MS = 1000000,
    NS_PER_S = 1000000000,
    SLOT_NS = 10,
    SLOTS = 100000, /* to a millisecond; what is longer is in the last */
};

/* --- the clock of the provider ------------------------------------------ */

static _Atomic uint64_t time_ms = NS_PER_MS;

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return atomic_load_explicit(&time_ms, memory_order_relaxed);
}

static int64_t now_s(void *arg)
{
    enum { EPOCH_S = 1800000000, MS_PER_S = 1000 };
    return EPOCH_S + (int64_t)(now_ms(arg) / MS_PER_S);
}

extern const struct kmse_clock __wrap_kmse_clock_system;
const struct kmse_clock __wrap_kmse_clock_system = {now_ms, now_ms, now_s,
                                                    NULL};

static void pass_a_step(void)
{
    static const struct timespec A_MS = {.tv_nsec = NS_PER_MS};
    nanosleep(&A_MS, NULL);
    atomic_fetch_add(&time_ms, STEP_MS);
}

/* --- programs, each with its KMS ---------------------------------------- */

enum { UP, REFUSED, SILENT, THROTTLED, LOADED, DENIED = LOADED, PROGRAMS };

static struct program {
    const char *what;
    enum kms_mood mood;
    struct kms_double kms;
    struct site site;
    struct site_program program;
} programs[PROGRAMS] = {
    [UP] = {.what = "KMS up", .mood = KMS_UP},
    [REFUSED] = {.what = "connections refused", .mood = KMS_REFUSING},
    [SILENT] = {.what = "black hole", .mood = KMS_SILENT},
    [THROTTLED] = {.what = "throttling", .mood = KMS_THROTTLING},
    [DENIED] = {.what = "access denied", .mood = KMS_DENYING},
};

static bool encrypt(EVP_CIPHER_CTX *ctx)
{
    static const uint8_t plaintext[FIELD_LEN];
    uint8_t message[MESSAGE_LEN];
    int len = 0, tail_len = 0;
    return EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL)
           && EVP_EncryptUpdate(ctx, message, &len, plaintext, FIELD_LEN)
           && EVP_EncryptFinal_ex(ctx, message + len, &tail_len);
}

/* On a busy machine a KMS that is up may take longer than it is given. */
static bool encrypt_at_last(EVP_CIPHER_CTX *ctx)
{
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        if (encrypt(ctx))
            return true;
        ERR_clear_error();
        pass_a_step();
    }
    return encrypt(ctx);
}

static EVP_CIPHER_CTX *context_of(const struct program *program)
{
    unsigned char name[SITE_NAME_LEN];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    site_key_name(name, 0);
    if (ctx == NULL
        || !EVP_EncryptInit_ex2(ctx, program->program.cipher, name, NULL, NULL)
        || !encrypt_at_last(ctx)) {
        ERR_print_errors_fp(stderr);
        exit(EXIT_FAILURE);
    }
    return ctx;
}

static void start_program(struct program *program, int minutes)
{
    char settings[MESSAGE_LEN * 4];
    snprintf(settings, sizeof(settings),
             "max-age = %dms\nstale-if-unreachable = %dms\n"
             "kms-timeout = %dms\nkms-connect-timeout = %dms\n",
             MAX_AGE_MS * minutes, STALE_MS * minutes, KMS_TIMEOUT_MS * minutes,
             KMS_TIMEOUT_MS * minutes);
    kms_double_start(&program->kms);
    site_open(&program->site, program->kms.port);
    site_create_keys(&program->site, 1);
    site_start(&program->program, &program->site, settings, OSSL_provider_init);
}

static void end_program(struct program *program)
{
    site_end(&program->program);
    site_close(&program->site);
    kms_double_stop(&program->kms);
}

static uint64_t number_of(const struct program *program, const char *name)
{
    uint64_t number = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint64(name, &number),
                           OSSL_PARAM_construct_end()};
    OSSL_PROVIDER *provider =
        OSSL_PROVIDER_load(program->program.libctx, KMSE_PROVIDER_NAME);
    if (provider == NULL || !OSSL_PROVIDER_get_params(provider, params))
        exit(EXIT_FAILURE);
    OSSL_PROVIDER_unload(provider);
    return number;
}

/* --- load --------------------------------------------------------------- */

struct measured {
    uint64_t messages, failed;
    uint64_t longest_ns;
    uint32_t slots[SLOTS]; /* messages that took so many times SLOT_NS */
};

struct worker {
    pthread_t thread;
    struct measured measured[LOADED];
};
static struct worker workers[THREADS];
static _Atomic bool over;

static uint64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void measure(struct measured *measured, EVP_CIPHER_CTX *ctx)
{
    uint64_t start_ns = real_ns();
    bool encrypted = encrypt(ctx);
    uint64_t ns = real_ns() - start_ns, slot = ns / SLOT_NS;
    measured->messages++;
    measured->failed += encrypted ? 0 : 1;
    measured->slots[slot < SLOTS ? slot : SLOTS - 1]++;
    if (ns > measured->longest_ns)
        measured->longest_ns = ns;
}

static void *work(void *arg)
{
    static const struct timespec PAUSE = {.tv_nsec = NS_PER_MS};
    struct worker *worker = arg;
    EVP_CIPHER_CTX *contexts[LOADED];
    for (int i = 0; i < LOADED; i++)
        contexts[i] = context_of(&programs[i]);
    for (unsigned first = 0; !over; first++) {
        for (unsigned i = 0; i < LOADED; i++) {
            unsigned which = (first + i) % LOADED;
            for (int j = 0; j < BATCH; j++)
                measure(&worker->measured[which], contexts[which]);
        }
        nanosleep(&PAUSE, NULL);
    }
    for (int i = 0; i < LOADED; i++)
        EVP_CIPHER_CTX_free(contexts[i]);
    return NULL;
}

/* --- what came of it ---------------------------------------------------- */

static void sum_up(struct measured *sum, int program)
{
    memset(sum, 0, sizeof(*sum));
    for (int i = 0; i < THREADS; i++) {
        const struct measured *one = &workers[i].measured[program];
        sum->messages += one->messages;
        sum->failed += one->failed;
        if (one->longest_ns > sum->longest_ns)
            sum->longest_ns = one->longest_ns;
        for (size_t j = 0; j < SLOTS; j++)
            sum->slots[j] += one->slots[j];
    }
}

static double share_ns(const struct measured *measured, double share)
{
    uint64_t below = (uint64_t)((double)measured->messages * share);
    size_t slot = 0;
    for (uint64_t seen = 0; slot < SLOTS - 1; slot++) {
        seen += measured->slots[slot];
        if (seen > below)
            break;
    }
    return ((double)slot + 0.5) * SLOT_NS;
}

static void print_row(int which, const struct measured *up)
{
    static struct measured one;
    static const double SHARES[] = {0.5, 0.99, 0.999};
    sum_up(&one, which);
    printf("%-20s %9llu %6llu", programs[which].what,
           (unsigned long long)one.messages, (unsigned long long)one.failed);
    for (size_t i = 0; i < sizeof(SHARES) / sizeof(SHARES[0]); i++)
        printf("  %6.3f", share_ns(&one, SHARES[i]) / share_ns(up, SHARES[i]));
    printf("  %6.3f %7llu %7llu %7llu\n",
           (double)one.longest_ns / (double)up->longest_ns,
           (unsigned long long)number_of(&programs[which], KMSE_PARAM_FAILURES),
           (unsigned long long)number_of(&programs[which], KMSE_PARAM_MISSES),
           (unsigned long long)number_of(&programs[which],
                                         KMSE_PARAM_STALE_SERVES));
}

static void print_table(int minutes)
{
    static struct measured up;
    sum_up(&up, UP);
    printf("%d minutes, %d threads, ratios to the run with the KMS up\n",
           minutes, THREADS);
    printf("%-20s %9s %6s  %6s  %6s  %6s  %6s %7s %7s %7s\n", "", "messages",
           "failed", "p50", "p99", "p99.9", "max", "KMS no", "waited", "stale");
    for (int i = 0; i < LOADED; i++)
        print_row(i, &up);
    printf("%-20s %9s %6d  %6s  %6s  %6s  %6s %7s %7d %7s\n", "goal", "", 0,
           "1.0", "1.0", "", "", "", 1, "");
}

/* --- the outage, and its end -------------------------------------------- */

static EVP_CIPHER_CTX *contexts[PROGRAMS];
static uint64_t refused_ms[PROGRAMS]; /* when it began; 0: not yet */

static void look_for_refusal(int which)
{
    if (refused_ms[which] != 0 || encrypt(contexts[which]))
        return;
    refused_ms[which] = now_ms(NULL);
    ERR_clear_error();
}

static void start_workers(void)
{
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            exit(EXIT_FAILURE);
    }
}

static void join_workers(void)
{
    over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

static void run_outage(int minutes)
{
    uint64_t end_ms = now_ms(NULL) + (uint64_t)minutes * MINUTE_MS;
    for (int i = 0; i < PROGRAMS; i++)
        programs[i].kms.mood = (int)programs[i].mood;
    start_workers();
    while (now_ms(NULL) < end_ms) {
        pass_a_step();
        look_for_refusal(DENIED);
    }
    join_workers();
    print_table(minutes);
}

/* No longer than half as long again: then something is wrong. */
static void run_to_the_limit(int minutes)
{
    uint64_t end_ms = now_ms(NULL) + (uint64_t)minutes * MINUTE_MS / 2;
    while (now_ms(NULL) < end_ms) {
        pass_a_step();
        for (int i = REFUSED; i < LOADED; i++)
            look_for_refusal(i);
    }
}

static void print_limits(int minutes, uint64_t start_ms)
{
    const double stale = (double)minutes * (MAX_AGE_MS + STALE_MS) / MINUTE_MS;
    const double denied = (double)minutes * MAX_AGE_MS / MINUTE_MS;
    printf("\nrefused after              minutes  goal\n");
    for (int i = REFUSED; i < PROGRAMS; i++)
        printf("%-26s %7.2f  <= %.2f\n", programs[i].what,
               refused_ms[i] == 0
                   ? -1.0
                   : (double)(refused_ms[i] - start_ms) / MINUTE_MS,
               i == DENIED ? denied : stale);
}

int main(int argc, char **argv)
{
    enum { BASE = 10 };
    int minutes = argc > 1 ? (int)strtol(argv[1], NULL, BASE) : MINUTES;
    if (argc > 2 || minutes < 1 || minutes > MINUTES) {
        fprintf(stderr, "usage: outage_bench [MINUTES, 1 to %d]\n", MINUTES);
        return EXIT_FAILURE;
    }
    for (int i = 0; i < PROGRAMS; i++) {
        start_program(&programs[i], minutes);
        contexts[i] = context_of(&programs[i]);
    }
    uint64_t start_ms = now_ms(NULL);
    run_outage(minutes);
    run_to_the_limit(minutes);
    print_limits(minutes, start_ms);
    for (int i = 0; i < PROGRAMS; i++) {
        EVP_CIPHER_CTX_free(contexts[i]);
        end_program(&programs[i]);
    }
    return EXIT_SUCCESS;
}
