/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the agent: one that answers, and many that do not. */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "kms/agent_client.h"
#include "kms/agent_wire.h"

/* --- an agent that does as it is told ----------------------------------- */

static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes";
static const uint8_t DATA_KEY[KMSE_SECRET_LEN] =
    "the data key, of 32 bytes......";

struct double_agent {
    char folder[64];
    char path[96];
    int fd;
    pthread_t thread;
    void (*serve)(int fd);             /* one connection */
    unsigned connections;              /* to serve */
    struct kmse_agent_request request; /* the last one */
};

static struct double_agent agent;
static struct kmse_pool *pool;

/* A question is not sent before the agent has hung up, if it must not be. */
static _Atomic bool asks_late, hung_up;

kmse_st __real_kmse_agent_request_encode(uint8_t *, size_t *,
                                         const struct kmse_agent_request *);
kmse_st __wrap_kmse_agent_request_encode(uint8_t *, size_t *,
                                         const struct kmse_agent_request *);

kmse_st __wrap_kmse_agent_request_encode(uint8_t *out, size_t *len,
                                         const struct kmse_agent_request *r)
{
    while (asks_late && !hung_up)
        kmse_interrupt_sleep(NULL, 1);
    return __real_kmse_agent_request_encode(out, len, r);
}

static void *serve_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < agent.connections; i++) {
        int fd = accept(agent.fd, NULL, NULL);
        agent.serve(fd);
        close(fd);
        hung_up = true;
    }
    return NULL;
}

static void start(unsigned connections, void (*serve)(int fd))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    agent.connections = connections;
    agent.serve = serve;
    hung_up = false;
    strncpy(address.sun_path, agent.path, sizeof(address.sun_path) - 1);
    agent.fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(
        bind(agent.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(agent.fd, 1), 0);
    assert_int_equal(pthread_create(&agent.thread, NULL, serve_all, NULL), 0);
}

static void stop(void)
{
    pthread_join(agent.thread, NULL);
    close(agent.fd);
    unlink(agent.path);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(agent.folder, sizeof(agent.folder), "/tmp/kmse-agent-XXXXXX");
    if (mkdtemp(agent.folder) == NULL)
        return -1;
    snprintf(agent.path, sizeof(agent.path), "%s/agent.sock", agent.folder);
    expect_ok(kmse_pool_new(&pool));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_pool_free(pool);
    unlink(agent.path);
    return rmdir(agent.folder);
}

static void read_request(int fd)
{
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    ssize_t n = recv(fd, packet, sizeof(packet), 0);
    if (n <= 0
        || !kmse_is_ok(
            kmse_agent_request_decode(&agent.request, packet, (size_t)n)))
        agent.request.ask = 0;
}

static void reply(int fd, const struct kmse_agent_answer *answer)
{
    uint8_t packet[KMSE_AGENT_ANSWER_MAX];
    size_t len = 0;
    if (kmse_is_ok(kmse_agent_answer_encode(packet, &len, answer, DATA_KEY)))
        (void)!send(fd, packet, len, MSG_NOSIGNAL);
}

/* --- a question --------------------------------------------------------- */

static kmse_st fetch_within(uint64_t timeout_ms, struct kmse_loan *loan,
                            struct kmse_why *why)
{
    const struct kmse_agent_address address = {
        .path = agent.path,
        .timeout_ms = timeout_ms,
        .clock = &kmse_clock_system,
    };
    const struct kmse_wanted wanted = {
        .key = "emails", .id = ID, .version = 3, .messages = 4, .bytes = 5};
    return kmse_agent_fetch(&address, pool, &wanted, loan, why);
}

static void expect_fetch_fails(int reason, const char *text)
{
    struct kmse_loan loan = {.fresh_ms = 77};
    struct kmse_why why = {""};
    kmse_st st = fetch_within(200, &loan, &why);
    if (st.reason != reason || strstr(why.text, text) == NULL)
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    assert_null(loan.data_key.bytes);
    assert_true(loan.fresh_ms == 77);
}

static void lend(int fd)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH, .fresh_ms = 1000, .stale_ms = 2000};
    read_request(fd);
    reply(fd, &answer);
}

static void a_data_key_is_lent(void **state)
{
    (void)state;
    struct kmse_loan loan;
    struct kmse_why why = {""};
    start(1, lend);
    kmse_st st = fetch_within(5000, &loan, &why);
    stop();
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    assert_memory_equal(loan.data_key.bytes, DATA_KEY, KMSE_SECRET_LEN);
    assert_int_equal(loan.fresh_ms, 1000);
    assert_int_equal(loan.stale_ms, 2000);
    assert_int_equal(agent.request.ask, KMSE_AGENT_FETCH);
    assert_string_equal(agent.request.key, "emails");
    assert_memory_equal(agent.request.id, ID, sizeof(ID));
    assert_int_equal(agent.request.version, 3);
    assert_int_equal(agent.request.messages, 4);
    assert_int_equal(agent.request.bytes, 5);
    kmse_secret_wipe(&loan.data_key);
}

static void deny(int fd)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .reason = KMSE_R_KMS_DENIED,
        .text = "user 33 may not",
    };
    read_request(fd);
    reply(fd, &answer);
}

static void its_no_comes_with_its_words(void **state)
{
    (void)state;
    start(1, deny);
    expect_fetch_fails(KMSE_R_KMS_DENIED, "the agent says: user 33 may not");
    stop();
}

/* Before it was asked, as who has too many connections does. */
static void deny_at_once(int fd)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .reason = KMSE_R_KMS_THROTTLED,
        .text = "too many connections",
    };
    reply(fd, &answer);
}

static void a_no_before_the_question_is_read(void **state)
{
    (void)state;
    start(1, deny_at_once);
    expect_fetch_fails(KMSE_R_KMS_THROTTLED, "too many connections");
    stop();
    asks_late = true;
    start(1, deny_at_once);
    expect_fetch_fails(KMSE_R_KMS_THROTTLED, "too many connections");
    stop();
    asks_late = false;
}

static void say_what_only_we_can(int fd)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH, .reason = KMSE_R_AGENT, .text = "away"};
    read_request(fd);
    reply(fd, &answer);
}

/* Else a false agent could send us to the KMS, past its policy. */
static void it_cannot_say_that_it_is_away(void **state)
{
    (void)state;
    start(1, say_what_only_we_can);
    expect_fetch_fails(KMSE_R_KMS_ANSWER, "away");
    stop();
}

/* --- agents that are none ----------------------------------------------- */

static void nobody_there(void **state)
{
    (void)state;
    expect_fetch_fails(KMSE_R_AGENT, "agent.sock: cannot connect: No such");
    start(0, lend);
    pthread_join(agent.thread, NULL);
    close(agent.fd);
    expect_fetch_fails(KMSE_R_AGENT, "Connection refused");
}

static void a_stream_is_another_kind_of_socket(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, agent.path, sizeof(address.sun_path) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    expect_fetch_fails(KMSE_R_AGENT, "Protocol wrong type");
    close(fd);
}

static void hang_up(int fd)
{
    read_request(fd);
}

static void send_bytes(int fd, size_t len)
{
    static const uint8_t BYTES[3 * KMSE_AGENT_ANSWER_MAX] = {'K', 'E', 'A', 1,
                                                             1};
    read_request(fd);
    (void)!send(fd, BYTES, len, MSG_NOSIGNAL);
}

static void send_short(int fd)
{
    send_bytes(fd, 4);
}

static void send_zeros(int fd)
{
    send_bytes(fd, 100);
}

static void send_too_much(int fd)
{
    send_bytes(fd, 3 * (size_t)KMSE_AGENT_ANSWER_MAX);
}

static void what_is_no_answer_is_said_so(void **state)
{
    (void)state;
    start(1, hang_up);
    expect_fetch_fails(KMSE_R_AGENT, "closed unanswered");
    stop();
    void (*const bad[])(int fd) = {send_short, send_zeros, send_too_much};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        start(1, bad[i]);
        expect_fetch_fails(KMSE_R_KMS_ANSWER, "not an agent's answer");
        stop();
    }
}

/* --- time --------------------------------------------------------------- */

/* Until the other side has gone. */
static void be_silent(int fd)
{
    uint8_t byte;
    read_request(fd);
    while (recv(fd, &byte, 1, 0) > 0)
        continue;
}

static void a_silent_agent_costs_the_time_allowed(void **state)
{
    (void)state;
    uint64_t before = kmse_clock_system.elapsed_ms(NULL);
    start(1, be_silent);
    expect_fetch_fails(KMSE_R_AGENT, "no answer within 200 ms");
    stop();
    assert_in_range(kmse_clock_system.elapsed_ms(NULL) - before, 200, 2000);
}

/* One that takes no connections: its queue of one or two is full soon. */
static void a_full_queue_costs_the_time_allowed(void **state)
{
    (void)state;
    struct kmse_why why = {""};
    int fds[8];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    start(0, lend);
    strncpy(address.sun_path, agent.path, sizeof(address.sun_path) - 1);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&address, sizeof(address));
    }
    struct kmse_loan loan;
    expect_reason(fetch_within(50, &loan, &why), KMSE_R_AGENT);
    assert_non_null(strstr(why.text, "no answer within 50 ms"));
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    stop();
}

static struct kmse_interrupt interrupt;

static void interrupt_and_be_silent(int fd)
{
    read_request(fd);
    kmse_interrupt_raise(&interrupt);
    be_silent(fd);
}

static void an_interrupt_ends_the_wait(void **state)
{
    (void)state;
    struct kmse_loan loan;
    struct kmse_why why = {""};
    uint64_t before = kmse_clock_system.elapsed_ms(NULL);
    expect_ok(kmse_interrupt_init(&interrupt));
    kmse_interrupt_set_current(&interrupt);
    start(1, interrupt_and_be_silent);
    expect_reason(fetch_within(60000, &loan, &why), KMSE_R_INTERRUPTED);
    kmse_interrupt_set_current(NULL);
    stop();
    assert_in_range(kmse_clock_system.elapsed_ms(NULL) - before, 0, 10000);
    kmse_interrupt_destroy(&interrupt);
}

/* --- whom to trust ------------------------------------------------------ */

/* In a child that is nobody, in a folder that is not nobody's. */
static void a_socket_of_just_anybody_is_not_asked(void **state)
{
    (void)state;
    enum { NOBODY = 65534 };
    int ready[2];
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(agent.folder, 01777), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, agent.path, sizeof(address.sun_path) - 1);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (setuid(NOBODY) != 0
            || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0
            || listen(fd, 4) != 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        pause();
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    expect_fetch_fails(KMSE_R_AGENT, "user 65534, and neither root");
    /* The same one where the folder is his. */
    assert_int_equal(chown(agent.folder, NOBODY, (gid_t)-1), 0);
    expect_fetch_fails(KMSE_R_AGENT, "no answer within");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

/* --- status ------------------------------------------------------------- */

static void tell_in_three(int fd)
{
    read_request(fd);
    for (int i = 1; i <= 3; i++) {
        struct kmse_agent_answer answer = {.ask = KMSE_AGENT_STATUS,
                                           .more = i < 3};
        snprintf(answer.text, sizeof(answer.text), "line %d\n", i);
        reply(fd, &answer);
    }
}

static void tell_two_and_hang_up(int fd)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_STATUS, .more = true, .text = "line\n"};
    read_request(fd);
    reply(fd, &answer);
    reply(fd, &answer);
}

/* The first of them would be a whole packet. */
static void tell_too_much(int fd)
{
    struct kmse_agent_answer answer = {.ask = KMSE_AGENT_STATUS};
    uint8_t packet[KMSE_AGENT_ANSWER_MAX + 1] = {0};
    size_t len = 0;
    memset(answer.text, 'x', KMSE_AGENT_TEXT_MAX);
    read_request(fd);
    if (kmse_is_ok(kmse_agent_answer_encode(packet, &len, &answer, NULL)))
        (void)!send(fd, packet, sizeof(packet), MSG_NOSIGNAL);
}

static void a_status_is_put_together(void **state)
{
    (void)state;
    const struct kmse_agent_address address = {
        .path = agent.path, .timeout_ms = 5000, .clock = &kmse_clock_system};
    char *text = NULL;
    struct kmse_why why = {""};
    start(1, tell_in_three);
    expect_ok(kmse_agent_status(&address, &text, &why));
    stop();
    assert_int_equal(agent.request.ask, KMSE_AGENT_STATUS);
    assert_string_equal(text, "line 1\nline 2\nline 3\n");
    free(text);
    text = NULL;
    start(1, tell_two_and_hang_up);
    expect_reason(kmse_agent_status(&address, &text, &why), KMSE_R_AGENT);
    stop();
    start(1, tell_too_much);
    expect_reason(kmse_agent_status(&address, &text, &why), KMSE_R_KMS_ANSWER);
    stop();
    assert_null(text);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_data_key_is_lent),
        STORY(its_no_comes_with_its_words),
        STORY(a_no_before_the_question_is_read),
        STORY(it_cannot_say_that_it_is_away),
        STORY(nobody_there),
        STORY(a_stream_is_another_kind_of_socket),
        STORY(what_is_no_answer_is_said_so),
        STORY(a_silent_agent_costs_the_time_allowed),
        STORY(a_full_queue_costs_the_time_allowed),
        STORY(an_interrupt_ends_the_wait),
        STORY(a_socket_of_just_anybody_is_not_asked),
        STORY(a_status_is_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
