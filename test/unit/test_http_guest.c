/* SPDX-License-Identifier: Apache-2.0 */
/* What interrupts, forks and programs have to do with the HTTP module. */
#include "http_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

/* --- interrupts, forks -------------------------------------------------- */

struct interrupted {
    struct kmse_http *http;
    struct kmse_interrupt interrupt;
    const char *url;
};

static void *ask_until_interrupted(void *arg)
{
    struct interrupted *interrupted = arg;
    struct asked asked;
    init(&asked, interrupted->url, "/");
    asked.request.interrupt = &interrupted->interrupt;
    expect_failure(interrupted->http, &asked, KMSE_R_INTERRUPTED, "127.0.0.1");
    return NULL;
}

/* Until the server has the request that it will not answer. */
static void wait_for_fault(const char *server)
{
    int64_t start_ms = now_ms();
    while (count(server, "faults") == 0)
        assert_true(now_ms() - start_ms < TIMEOUT_MS);
}

static int64_t interrupt_one(struct interrupted *interrupted)
{
    pthread_t thread;
    control(env.good, "{\"reset_counts\": true}");
    assert_int_equal(
        pthread_create(&thread, NULL, ask_until_interrupted, interrupted), 0);
    wait_for_fault(env.good);
    int64_t start_ms = now_ms();
    kmse_interrupt_raise(&interrupted->interrupt);
    pthread_join(thread, NULL);
    return now_ms() - start_ms;
}

/* libcurl by itself looks up once a second; a busy machine may be as slow. */
static void an_interrupt_ends_a_call_at_once(void **state)
{
    enum { TRIES = 5, AT_ONCE_MS = 300 };
    struct interrupted interrupted = {.http = *state, .url = env.good};
    int64_t took_ms = TIMEOUT_MS;
    expect_ok(kmse_interrupt_init(&interrupted.interrupt));
    control(env.good, "{\"fault\": \"hang\"}");
    for (int i = 0; i < TRIES && took_ms > AT_ONCE_MS; i++) {
        took_ms = interrupt_one(&interrupted);
        kmse_interrupt_clear(&interrupted.interrupt);
    }
    assert_in_range(took_ms, 0, AT_ONCE_MS);
    control(env.good, "{\"fault\": null}");
    struct asked asked;
    init(&asked, env.good, "/");
    asked.request.interrupt = &interrupted.interrupt;
    expect_answer(*state, &asked, NULL);
    kmse_interrupt_destroy(&interrupted.interrupt);
}

static void an_interrupt_that_is_raised_already_does_too(void **state)
{
    struct interrupted interrupted = {.http = *state, .url = env.good};
    expect_ok(kmse_interrupt_init(&interrupted.interrupt));
    kmse_interrupt_raise(&interrupted.interrupt);
    control(env.good, "{\"fault\": \"hang\"}");
    int64_t start_ms = now_ms();
    ask_until_interrupted(&interrupted);
    assert_in_range(now_ms() - start_ms, 0, GRACE_MS);
    control(env.good, "{\"fault\": null}");
    kmse_interrupt_destroy(&interrupted.interrupt);
}

static int count_internet_sockets(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        int domain = 0;
        socklen_t len = sizeof(domain);
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0
            && (domain == AF_INET || domain == AF_INET6))
            count++;
    }
    closedir(folder);
    return count;
}

/* Exit codes, since a failure must not unwind into the parent's tests. */
static int run_child(struct kmse_http *http)
{
    enum { FINE, INHERITED, UNANSWERED };
    struct asked asked;
    if (count_internet_sockets() != 0)
        return INHERITED;
    init(&asked, env.good, "/size/9");
    for (int i = 0; i < 2; i++) {
        if (!kmse_is_ok(ask(http, &asked)) || asked.answer.body_len != 9)
            return UNANSWERED;
    }
    kmse_http_answer_wipe(&asked.answer);
    http->free(http->arg);
    return FINE;
}

static void a_child_has_connections_of_its_own(void **state)
{
    struct asked asked;
    int status = 0;
    init(&asked, env.good, "/size/9");
    int before = count(env.good, "connections");
    expect_answer(*state, &asked, NULL);
    assert_true(count_internet_sockets() > 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_child(*state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    expect_answer(*state, &asked, NULL);
    assert_int_equal(count(env.good, "connections"), before + 2);
}

/* No handler of forks runs; what the child must not do is to use it. */
static void a_child_behind_libcs_back_leaves_its_parents_alone(void **state)
{
    struct asked asked;
    int status = 0;
    init(&asked, env.good, "/size/9");
    int before = count(env.good, "connections");
    expect_answer(*state, &asked, NULL);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(kmse_is_ok(ask(*state, &asked)) ? EXIT_SUCCESS : EXIT_FAILURE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_SUCCESS);
    expect_answer(*state, &asked, NULL);
    assert_int_equal(count(env.good, "connections"), before + 2);
}

struct hanging {
    struct kmse_http *http;
    bool answered;
    atomic_bool done;
    sem_t may_end;
};

static void *ask_in_thread(void *arg)
{
    struct hanging *hanging = arg;
    struct asked asked;
    init(&asked, env.good, "/size/9");
    hanging->answered =
        kmse_is_ok(ask(hanging->http, &asked)) && asked.answer.body_len == 9;
    kmse_http_answer_wipe(&asked.answer);
    atomic_store(&hanging->done, true);
    sem_wait(&hanging->may_end);
    return NULL;
}

/* In a TLS library that a child inherits no thread may be: so it is got out. */
static void a_fork_disturbs_a_call_which_is_made_anew(void **state)
{
    struct hanging hanging = {.http = *state};
    pthread_t thread;
    sem_init(&hanging.may_end, 0, 0);
    int status = 0;
    control(env.good, "{\"reset_counts\": true}");
    set_fault(env.good, "hang"); /* once */
    assert_int_equal(pthread_create(&thread, NULL, ask_in_thread, &hanging), 0);
    wait_for_fault(env.good);
    int64_t start_ms = now_ms();
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_child(*state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    sem_post(&hanging.may_end);
    pthread_join(thread, NULL);
    assert_in_range(now_ms() - start_ms, 0, GRACE_MS);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(hanging.answered);
}

/* The child's is an end that no sanitizer looks into. */
static void fork_once(void)
{
    pid_t pid = fork();
    if (pid == 0)
        raise(SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A program that forks all the time must not keep it from its end. */
static void a_call_that_was_disturbed_often_is_left_alone(void **state)
{
    struct hanging hanging = {.http = *state};
    pthread_t thread;
    sem_init(&hanging.may_end, 0, 0);
    control(env.good, "{\"reset_counts\": true, \"fault\": \"slow:0.4\"}");
    assert_int_equal(pthread_create(&thread, NULL, ask_in_thread, &hanging), 0);
    int64_t start_ms = now_ms();
    while (!atomic_load(&hanging.done)) {
        assert_in_range(now_ms() - start_ms, 0, TIMEOUT_MS);
        fork_once();
    }
    sem_post(&hanging.may_end);
    pthread_join(thread, NULL);
    assert_true(hanging.answered);
    assert_in_range(count(env.good, "faults"), 2, 3);
    control(env.good, "{\"fault\": null}");
}

/* --- what the program notices ------------------------------------------- */

static void errors_of_the_program_stay_and_none_are_added(void **state)
{
    struct asked asked;
    ERR_clear_error();
    ERR_raise_data(ERR_LIB_USER, 7, "the program's own");
    init(&asked, env.good, "/");
    expect_answer(*state, &asked, NULL);
    init(&asked, env.other, "/");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "");
    const char *data = NULL;
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    assert_int_equal(ERR_GET_LIB(code), ERR_LIB_USER);
    assert_int_equal(ERR_GET_REASON(code), 7);
    assert_string_equal(data, "the program's own");
    assert_int_equal(ERR_peek_error(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(an_interrupt_ends_a_call_at_once),
        HTTP_TEST(an_interrupt_that_is_raised_already_does_too),
        HTTP_TEST(a_child_has_connections_of_its_own),
        HTTP_TEST(a_child_behind_libcs_back_leaves_its_parents_alone),
        HTTP_TEST(a_fork_disturbs_a_call_which_is_made_anew),
        HTTP_TEST(a_call_that_was_disturbed_often_is_left_alone),
        HTTP_TEST(errors_of_the_program_stay_and_none_are_added),
    };
    return RUN_HTTP_TESTS(tests, argc, argv);
}
