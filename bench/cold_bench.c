/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first message under a key costs, in programs that ask the KMS, and
 * in those that ask an agent:
 *     cold_bench [KEYS]
 * Key by key, one program after the other: the first asks the KMS, the second
 * an agent that must ask the KMS, the third the agent that has it by then.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "kms_double.h"
#include "site.h"

enum {
    KEYS = 300,
    KEYS_MAX = 10000,
    WARM_UP = 10, /* keys: libraries are loaded, and so on */
    FIELD_LEN = 32,
    MESSAGE_LEN = 64,
    TEXT_LEN = 2 * SITE_PATH_LEN,
    NS_PER_US = 1000,
    NS_PER_MS = 1000000,
    NS_PER_S = 1000000000,
    START_MS = 20000,
};

extern char **environ;

static struct kms_double kms;
static struct site site;
static pid_t agent; /* 0: none */

static void end_agent(void)
{
    if (agent == 0)
        return;
    kill(agent, SIGTERM);
    waitpid(agent, NULL, 0);
    agent = 0;
}

static void give_up(const char *what)
{
    end_agent();
    fprintf(stderr, "cold_bench: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(EXIT_FAILURE);
}

/* --- the agent ---------------------------------------------------------- */

static const char *in_site(const char *name)
{
    static char path[TEXT_LEN];
    snprintf(path, sizeof(path), "%s/%s", site.folder, name);
    return path;
}

static void write_agent_conf(void)
{
    FILE *conf = fopen(in_site("agent.cnf"), "w");
    if (conf == NULL)
        give_up("agent.cnf");
    fprintf(conf,
            "[agent]\nsocket = %s/agent.sock\nkeys = %s/keys\n"
            "aws-endpoint-url = http://127.0.0.1:%u\n"
            "[allow us]\nkey = *\nuid = %u\n",
            site.folder, site.folder, site.port, (unsigned)getuid());
    if (fclose(conf) != 0)
        give_up("agent.cnf");
}

static bool is_answering(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/agent.sock",
             site.folder);
    bool answers =
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return answers;
}

static void start_agent(void)
{
    static const struct timespec A_MS = {.tv_nsec = NS_PER_MS};
    char program[] = MODULE_FOLDER "/kms-envelope", verb[] = "agent";
    char option[] = "--config", conf[TEXT_LEN];
    char *arguments[] = {program, verb, option, conf, NULL};
    posix_spawn_file_actions_t actions;
    write_agent_conf();
    snprintf(conf, sizeof(conf), "%s", in_site("agent.cnf"));
    if (posix_spawn_file_actions_init(&actions) != 0
        || posix_spawn_file_actions_addopen(
               &actions, STDERR_FILENO, in_site("agent.log"),
               O_WRONLY | O_CREAT | O_APPEND, S_IRUSR | S_IWUSR)
               != 0
        || posix_spawn(&agent, program, &actions, NULL, arguments, environ)
               != 0)
        give_up(program);
    posix_spawn_file_actions_destroy(&actions);
    for (int ms = 0; !is_answering(); ms++) {
        if (ms == START_MS || waitpid(agent, NULL, WNOHANG) != 0)
            give_up("the agent does not start");
        nanosleep(&A_MS, NULL);
    }
}

/* --- first messages ----------------------------------------------------- */

enum { DIRECT, AGENT_COLD, AGENT_WARM, PROGRAMS };
static struct site_program programs[PROGRAMS];
static double us[PROGRAMS][KEYS_MAX], added_us[PROGRAMS][KEYS_MAX],
    ratio[PROGRAMS][KEYS_MAX];

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((double)now.tv_sec * NS_PER_S + (double)now.tv_nsec) / NS_PER_US;
}

static double first_message_us(int program, int key)
{
    static const uint8_t plaintext[FIELD_LEN];
    uint8_t message[MESSAGE_LEN];
    unsigned char name[SITE_NAME_LEN];
    int len = 0, tail_len = 0;
    site_key_name(name, key);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    double start_us = now_us();
    if (ctx == NULL
        || !EVP_EncryptInit_ex2(ctx, programs[program].cipher, name, NULL, NULL)
        || !EVP_EncryptUpdate(ctx, message, &len, plaintext, FIELD_LEN)
        || !EVP_EncryptFinal_ex(ctx, message + len, &tail_len))
        give_up("a message");
    double end_us = now_us();
    EVP_CIPHER_CTX_free(ctx);
    return end_us - start_us;
}

/* Each of the first two is first with every other key. */
static void measure_key(int key)
{
    int first = key % 2 == 0 ? DIRECT : AGENT_COLD;
    us[first][key] = first_message_us(first, key);
    us[AGENT_COLD - first][key] = first_message_us(AGENT_COLD - first, key);
    us[AGENT_WARM][key] = first_message_us(AGENT_WARM, key);
    for (int i = 0; i < PROGRAMS; i++) {
        added_us[i][key] = us[i][key] - us[DIRECT][key];
        ratio[i][key] = us[i][key] / us[DIRECT][key];
    }
}

/* --- what came of it ---------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double share_of(double *numbers, int count, double share)
{
    qsort(numbers, (size_t)count, sizeof(*numbers), compare_doubles);
    return numbers[(int)(share * (count - 1))];
}

static void print_row(const char *what, int program, int keys, const char *goal)
{
    static const double MEDIAN = 0.5, MOST = 0.9;
    double *ratios = ratio[program] + WARM_UP, *added = added_us[program];
    added += WARM_UP;
    printf("%-42s %6.2f %6.2f  %8.0f %8.0f  %s\n", what,
           share_of(ratios, keys, MEDIAN), share_of(ratios, keys, MOST),
           share_of(added, keys, MEDIAN), share_of(added, keys, MOST), goal);
}

static void print_table(int keys)
{
    printf("%-42s %13s  %17s\n", "the first message under a key, of", "ratio",
           "us more");
    printf("%-42s %6s %6s  %8s %8s  %s\n", "", "median", "90 %", "median",
           "90 %", "goal");
    print_row("a program that asks the KMS", DIRECT, keys, "");
    print_row("one whose agent asks the KMS", AGENT_COLD, keys, "< 1000");
    print_row("one whose agent has it", AGENT_WARM, keys, "");
}

int main(int argc, char **argv)
{
    enum { BASE = 10 };
    int keys = argc > 1 ? (int)strtol(argv[1], NULL, BASE) : KEYS;
    char settings[TEXT_LEN];
    if (argc > 2 || keys < 1 || keys > KEYS_MAX - WARM_UP) {
        fprintf(stderr, "usage: cold_bench [KEYS, 1 to %d]\n",
                KEYS_MAX - WARM_UP);
        return EXIT_FAILURE;
    }
    kms_double_start(&kms);
    site_open(&site, kms.port);
    site_create_keys(&site, keys + WARM_UP);
    start_agent();
    snprintf(settings, sizeof(settings), "agent = %.200s\n",
             in_site("agent.sock"));
    for (int i = 0; i < PROGRAMS; i++)
        site_start(&programs[i], &site, i == DIRECT ? "" : settings, NULL);
    for (int key = 0; key < keys + WARM_UP; key++)
        measure_key(key);
    print_table(keys);
    for (int i = 0; i < PROGRAMS; i++)
        site_end(&programs[i]);
    end_agent();
    site_close(&site);
    kms_double_stop(&kms);
    return EXIT_SUCCESS;
}
