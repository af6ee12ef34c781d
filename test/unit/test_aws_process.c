/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is run: what it gets, what is taken of it, and its end. */
#include "kms/aws_process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "test.h"

enum { OUTPUT_MAX = 64, LONG_MS = 20000, SHORT_MS = 200, MS_PER_S = 1000 };

static char SHELL[] = "sh", DASH_C[] = "-c";

struct ran {
    kmse_st st;
    uint8_t *output;
    size_t len;
    struct kmse_why why;
};

static struct ran run_words(char *const *words, uint64_t timeout_ms)
{
    struct ran ran = {.why = {""}};
    ran.st = kmse_aws_process_run(&ran.output, &ran.len, words, OUTPUT_MAX,
                                  timeout_ms, &ran.why);
    if (!kmse_is_ok(ran.st))
        assert_null(ran.output);
    return ran;
}

static struct ran run_shell(const char *script, uint64_t timeout_ms)
{
    char *copy = strdup(script);
    assert_non_null(copy);
    char *const words[] = {SHELL, DASH_C, copy, NULL};
    struct ran ran = run_words(words, timeout_ms);
    free(copy);
    return ran;
}

static void expect_output(const char *script, const char *expected)
{
    struct ran ran = run_shell(script, LONG_MS);
    if (!kmse_is_ok(ran.st))
        fail_msg("%s: %s", script, ran.why.text);
    assert_int_equal(ran.len, strlen(expected));
    assert_memory_equal(ran.output, expected, ran.len + 1); /* and the NUL */
    kmse_file_free_bytes(ran.output, ran.len);
}

static void expect_failed(const char *script, uint64_t timeout_ms, int reason,
                          const char *why)
{
    struct ran ran = run_shell(script, timeout_ms);
    expect_reason(ran.st, reason);
    if (strstr(ran.why.text, why) == NULL)
        fail_msg("\"%s\" has no \"%s\"", ran.why.text, why);
    assert_null(strstr(ran.why.text, "word")); /* of what it was told */
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / 1000000;
}

/* --- what is taken ------------------------------------------------------ */

static void takes_what_is_printed(void **state)
{
    char full[OUTPUT_MAX + 1], script[OUTPUT_MAX + 32];
    (void)state;
    expect_output("printf ''", "");
    expect_output("echo a; echo b", "a\nb\n");
    expect_output("echo out; echo err >&2", "out\n");
    memset(full, 'x', OUTPUT_MAX);
    full[OUTPUT_MAX] = '\0';
    snprintf(script, sizeof(script), "printf %s", full);
    expect_output(script, full);
}

static void what_ends_badly_is_refused(void **state)
{
    char *const absent[] = {DASH_C, NULL};
    (void)state;
    expect_failed("echo word; exit 3", LONG_MS, KMSE_R_KMS_CREDENTIALS,
                  "sh: ended with status 3");
    expect_failed("echo word; kill -9 $$", LONG_MS, KMSE_R_KMS_CREDENTIALS,
                  "sh: ended with signal 9");
    expect_failed("while echo word; do :; done", LONG_MS,
                  KMSE_R_KMS_CREDENTIALS, "sh: prints too much");
    struct ran ran = run_words(absent, LONG_MS);
    expect_reason(ran.st, KMSE_R_KMS_CREDENTIALS);
    assert_non_null(strstr(ran.why.text, "No such file"));
}

/* --- its end ------------------------------------------------------------ */

static bool is_gone(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    assert_true(pid > 0);
    /* A killed one stays until whoever inherited it looks: a zombie is gone. */
    for (unsigned i = 0; i < 200; i++) {
        char stat_path[64], state = 'R';
        snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", (int)pid);
        FILE *stat_file = fopen(stat_path, "r");
        if (stat_file == NULL)
            return true;
        int fields = fscanf(stat_file, "%*d %*s %c", &state);
        fclose(stat_file);
        if (fields != 1 || state == 'Z')
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

/* With those it started, one of which holds its output open. */
static void what_is_late_is_killed(void **state)
{
    char path[] = "/tmp/kmse-process-XXXXXX", script[128];
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(script, sizeof(script), "sleep 60 & echo $! > %s; wait", path);
    uint64_t before_ms = now_ms();
    expect_failed(script, SHORT_MS, KMSE_R_KMS_TIMEOUT,
                  "sh: is not done in time");
    assert_true(now_ms() - before_ms < LONG_MS);
    assert_true(is_gone(path));
    unlink(path);
    expect_failed("exec >&-; sleep 60", SHORT_MS, KMSE_R_KMS_TIMEOUT,
                  "sh: is not done in time");
    expect_failed("echo", 0, KMSE_R_KMS_TIMEOUT, "sh: is not done in time");
}

static void no_child_is_left(void **state)
{
    (void)state;
    expect_output("echo a", "a\n");
    expect_failed("sleep 60", SHORT_MS, KMSE_R_KMS_TIMEOUT, "in time");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void *raise_it(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = SHORT_MS * 1000000 / 4}, NULL);
    kmse_interrupt_raise(arg);
    return NULL;
}

static void a_thread_of_ours_can_be_interrupted(void **state)
{
    struct kmse_interrupt interrupt;
    pthread_t thread;
    (void)state;
    expect_ok(kmse_interrupt_init(&interrupt));
    kmse_interrupt_set_current(&interrupt);
    expect_output("echo a", "a\n");
    assert_int_equal(pthread_create(&thread, NULL, raise_it, &interrupt), 0);
    uint64_t before_ms = now_ms();
    expect_failed("sleep 60", LONG_MS, KMSE_R_INTERRUPTED, "");
    assert_true(now_ms() - before_ms < LONG_MS / 2);
    pthread_join(thread, NULL);
    kmse_interrupt_set_current(NULL);
    kmse_interrupt_destroy(&interrupt);
}

/* --- what it gets ------------------------------------------------------- */

static void its_input_is_empty_and_the_environment_the_hosts(void **state)
{
    (void)state;
    expect_output("cat", "");
    setenv("KMSE_TEST_WORD", "of the host", 1);
    expect_output("echo $KMSE_TEST_WORD", "of the host\n");
    unsetenv("KMSE_TEST_WORD");
}

static void files_of_the_host_are_not_its(void **state)
{
    char script[64];
    int fd = open("/dev/null", O_RDONLY); /* not close-on-exec */
    (void)state;
    assert_true(fd > STDERR_FILENO);
    snprintf(script, sizeof(script), "[ -e /proc/self/fd/%d ] || echo none",
             fd);
    expect_output(script, "none\n");
    close(fd);
}

/* A daemon may have closed the three: a pipe's end is then one of them. */
static void a_host_without_standard_files_is_served(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char echo[] = "echo", word[] = "w";
        char *const words[] = {echo, word, NULL};
        struct kmse_why why = {""};
        uint8_t *output = NULL;
        size_t len = 0;
        for (int i = 0; i <= STDERR_FILENO; i++)
            close(i);
        kmse_st st = kmse_aws_process_run(&output, &len, words, OUTPUT_MAX,
                                          LONG_MS, &why);
        bool is_right =
            kmse_is_ok(st) && len == 2 && memcmp(output, "w\n", len) == 0;
        _exit(is_right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void signals_are_as_a_new_program_has_them(void **state)
{
    sigset_t blocked, before;
    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    void (*pipe_before)(int) = signal(SIGPIPE, SIG_IGN);
    expect_failed("kill -TERM $$; echo word", LONG_MS, KMSE_R_KMS_CREDENTIALS,
                  "ended with signal 15");
    expect_failed("kill -PIPE $$; echo word", LONG_MS, KMSE_R_KMS_CREDENTIALS,
                  "ended with signal 13");
    signal(SIGPIPE, pipe_before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Then nobody can say how it ended. */
static void a_host_that_ignores_its_children_is_served(void **state)
{
    (void)state;
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    expect_output("echo a", "a\n");
    expect_failed("sleep 60", SHORT_MS, KMSE_R_KMS_TIMEOUT, "in time");
    signal(SIGCHLD, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_is_printed),
        cmocka_unit_test(what_ends_badly_is_refused),
        cmocka_unit_test(what_is_late_is_killed),
        cmocka_unit_test(no_child_is_left),
        cmocka_unit_test(a_thread_of_ours_can_be_interrupted),
        cmocka_unit_test(its_input_is_empty_and_the_environment_the_hosts),
        cmocka_unit_test(files_of_the_host_are_not_its),
        cmocka_unit_test(a_host_without_standard_files_is_served),
        cmocka_unit_test(signals_are_as_a_new_program_has_them),
        cmocka_unit_test(a_host_that_ignores_its_children_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
