/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is run for what it prints. */
#include "kms/aws_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"

enum {
    MS_PER_S = 1000,
    NS_PER_MS = 1000000,
    WAIT_POLL_MS = 5,
    INTERRUPT_POLL_MS = 50
};

static const char NOWHERE[] = "/dev/null";

struct process {
    const char *name;
    pid_t pid;
    int out; /* where its output is read */
    uint64_t deadline_ms;
    struct kmse_why *why;
};

static uint64_t now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

static kmse_st fail(const struct process *process, const char *what)
{
    return kmse_fail(process->why, KMSE_R_KMS_CREDENTIALS,
                     "credential_process %s: %s", process->name, what);
}

/* --- starting ----------------------------------------------------------- */

/*
 * A pipe whose ends are none of the three standard files: in a host that has
 * closed those, /dev/null would take an end's place in the child.
 */
static bool open_pipe(int ends[2])
{
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return false;
    for (size_t i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(low[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    for (size_t i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return false;
}

static int add_files(posix_spawn_file_actions_t *files, int out)
{
    int error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, NOWHERE,
                                                 O_RDONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_addopen(files, STDERR_FILENO, NOWHERE,
                                                 O_WRONLY, 0);
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 34)
    /* The host's own files, if it did not mark them close-on-exec. */
    if (error == 0)
        error =
            posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
#endif
#endif
    return error;
}

/*
 * The signals as a new program expects them, whatever this thread blocks and
 * the host ignores; and a process group, so that all of it can be ended.
 */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (error == 0)
        error = posix_spawnattr_setpgroup(attributes, 0);
    if (error == 0)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
                            | POSIX_SPAWN_SETPGROUP);
    return error;
}

static int spawn(pid_t *pid, char *const *words, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&files);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = add_files(&files, out);
        if (error == 0)
            error = set_attributes(&attributes);
        if (error == 0)
            error = posix_spawnp(pid, words[0], &files, &attributes, words,
                                 environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static kmse_st start(struct process *process, char *const *words)
{
    int ends[2];
    if (!open_pipe(ends))
        return fail(process, strerror(errno));
    int error = spawn(&process->pid, words, ends[1]);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return fail(process, strerror(error));
    }
    process->out = ends[0];
    return KMSE_OK;
}

/* --- its output and its end --------------------------------------------- */

/* 0: time is over. poll takes an int: a deadline is seconds away. */
static int left_ms(const struct process *process)
{
    uint64_t now = now_ms();
    return now < process->deadline_ms ? (int)(process->deadline_ms - now) : 0;
}

static kmse_st check_time(const struct process *process)
{
    if (kmse_interrupt_is_raised(kmse_interrupt_current()))
        return KMSE_ERR(KMSE_R_INTERRUPTED);
    if (left_ms(process) == 0)
        return kmse_fail(process->why, KMSE_R_KMS_TIMEOUT,
                         "credential_process %s: is not done in time",
                         process->name);
    return KMSE_OK;
}

/* Up to its end, or size bytes. */
static kmse_st read_output(const struct process *process, uint8_t *bytes,
                           size_t size, size_t *len)
{
    struct pollfd wait = {.fd = process->out, .events = POLLIN};
    *len = 0;
    while (*len < size) {
        int left = left_ms(process);
        KMSE_TRY(check_time(process));
        if (kmse_interrupt_current() != NULL && left > INTERRUPT_POLL_MS)
            left = INTERRUPT_POLL_MS;
        int ready = poll(&wait, 1, left);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t n =
            ready > 0 ? read(process->out, bytes + *len, size - *len) : -1;
        if (n < 0 && errno != EINTR)
            return fail(process, strerror(errno));
        if (n == 0)
            return KMSE_OK;
        if (n > 0)
            *len += (size_t)n;
    }
    return fail(process, "prints too much");
}

/*
 * By its pid alone: other children are the host's. If the host ignores SIGCHLD
 * or waits for every child, the status is lost (ECHILD), and what was printed
 * must do: it is a whole JSON object, or refused.
 */
static kmse_st await_end(struct process *process)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(process->pid, &status, WNOHANG)) == 0) {
        KMSE_TRY(check_time(process));
        nanosleep(&(struct timespec){.tv_nsec = WAIT_POLL_MS * NS_PER_MS},
                  NULL);
    }
    process->pid = 0;
    if (ended < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return KMSE_OK;
    return kmse_fail(process->why, KMSE_R_KMS_CREDENTIALS,
                     "credential_process %s: ended with %s %d", process->name,
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status)
                                         : WEXITSTATUS(status));
}

/*
 * Until it is waited for, its pid is nobody else's; if the host has done that,
 * it may be. It may also have left its group, or left others there.
 */
static void end(struct process *process)
{
    siginfo_t info;
    if (process->pid == 0
        || waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT)
               != 0)
        return;
    kill(-process->pid, SIGKILL);
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

kmse_st kmse_aws_process_run(uint8_t **output, size_t *output_len,
                             char *const *words, size_t output_max,
                             uint64_t timeout_ms, struct kmse_why *why)
{
    struct process process = {
        .name = words[0], .deadline_ms = now_ms() + timeout_ms, .why = why};
    size_t len = 0;
    /* There the environment is whoever's who started it: PATH, LD_PRELOAD. */
    if (getauxval(AT_SECURE) != 0)
        return fail(&process, "not run by a program with more rights than its"
                              " user");
    uint8_t *bytes = malloc(output_max + 1);
    if (bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = start(&process, words);
    if (kmse_is_ok(st)) {
        st = read_output(&process, bytes, output_max + 1, &len);
        close(process.out);
        if (kmse_is_ok(st))
            st = await_end(&process);
        end(&process);
    }
    if (!kmse_is_ok(st)) {
        kmse_file_free_bytes(bytes, output_max + 1);
        return st;
    }
    bytes[len] = '\0';
    *output = bytes;
    *output_len = len;
    return KMSE_OK;
}
