/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the agent: slow ones, many, and those that go away. */
#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/server.h"

/* --- a desk that answers when it is told -------------------------------- */

enum { ASKERS_MAX = 64 };
static struct kmse_asker *askers[ASKERS_MAX];
static size_t asker_count;
static bool answers_at_once;

void __wrap_kmse_desk_ask(struct kmse_desk *desk, struct kmse_asker *asker,
                          const struct kmse_credentials *credentials);

static void answer(struct kmse_asker *asker)
{
    static const uint8_t DATA_KEY[KMSE_SECRET_LEN] = {1, 2, 3};
    const struct kmse_agent_answer lent = {.ask = KMSE_AGENT_FETCH,
                                           .fresh_ms = 1};
    asker->answer(asker, &lent, DATA_KEY);
}

void __wrap_kmse_desk_ask(struct kmse_desk *desk, struct kmse_asker *asker,
                          const struct kmse_credentials *credentials)
{
    assert_null(desk);
    assert_int_equal(credentials->peer.uid, geteuid());
    if (answers_at_once)
        answer(asker);
    else
        askers[asker_count++] = asker;
}

/* --- a server, and its loop turned by hand ------------------------------ */

static struct {
    struct event_base *base;
    struct kmse_server *server;
    struct kmse_metrics metrics;
    struct kmse_people readers;
    char path[64];
    int fd;
    size_t text_len;
} fixture;

static char *status(void *arg)
{
    (void)arg;
    char *text = malloc(fixture.text_len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < fixture.text_len; i++)
        text[i] = (char)('a' + i % 26);
    text[fixture.text_len] = '\0';
    return text;
}

static struct sockaddr_un address(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, fixture.path, strlen(fixture.path));
    return at;
}

static int set_up(void **state)
{
    (void)state;
    asker_count = 0;
    answers_at_once = true;
    snprintf(fixture.path, sizeof(fixture.path), "/tmp/kmse-server-%d",
             getpid());
    fixture.metrics = (struct kmse_metrics){0};
    fixture.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    const struct sockaddr_un at = address();
    if (bind(fixture.fd, (const struct sockaddr *)&at, sizeof(at)) != 0
        || listen(fixture.fd, 1024) != 0)
        return -1;
    fixture.base = event_base_new();
    const struct kmse_server_options options = {
        .base = fixture.base,
        .fd = fixture.fd,
        .metrics = &fixture.metrics,
        .status = status,
    };
    expect_ok(kmse_server_new(&fixture.server, &options));
    kmse_server_set(fixture.server, 8, 6, &fixture.readers);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kmse_server_free(fixture.server);
    event_base_free(fixture.base);
    close(fixture.fd);
    return unlink(fixture.path);
}

static void turn(void)
{
    enum { TURNS = 3 }; /* one may add events for the next */
    for (int i = 0; i < TURNS; i++)
        event_base_loop(fixture.base, EVLOOP_NONBLOCK);
}

static int dial(void)
{
    const struct sockaddr_un at = address();
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    turn();
    return fd;
}

static void ask(int fd, enum kmse_agent_ask what)
{
    const struct kmse_agent_request request = {
        .ask = what, .key = "emails", .version = 1};
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    size_t len = 0;
    expect_ok(kmse_agent_request_encode(packet, &len, &request));
    assert_int_equal(send(fd, packet, len, MSG_NOSIGNAL), len);
    turn();
}

static ssize_t receive(int fd, struct kmse_agent_answer *answer,
                       enum kmse_agent_ask asked)
{
    uint8_t packet[KMSE_AGENT_ANSWER_MAX + 1], data_key[KMSE_SECRET_LEN];
    ssize_t n = recv(fd, packet, sizeof(packet), 0);
    if (n > 0)
        expect_ok(kmse_agent_answer_decode(answer, data_key, asked, packet,
                                           (size_t)n));
    return n;
}

static void expect_lent(int fd)
{
    struct kmse_agent_answer read;
    assert_true(receive(fd, &read, KMSE_AGENT_FETCH) > 0);
    assert_int_equal(read.reason, 0);
    assert_int_equal(receive(fd, &read, KMSE_AGENT_FETCH), 0);
    close(fd);
}

static void expect_open(int fd)
{
    uint8_t byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void expect_closed(int fd)
{
    uint8_t byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

/* --- stories ------------------------------------------------------------ */

static void a_question_is_answered_and_closed(void **state)
{
    (void)state;
    int fd = dial();
    expect_open(fd);
    ask(fd, KMSE_AGENT_FETCH);
    expect_lent(fd);
    assert_int_equal(fixture.metrics.connections, 1);
    assert_int_equal(fixture.metrics.connections_now, 0);
    assert_int_equal(kmse_server_waiting(fixture.server), 0);
}

static void who_waits_is_answered_later(void **state)
{
    (void)state;
    answers_at_once = false;
    int fd = dial();
    ask(fd, KMSE_AGENT_FETCH);
    expect_open(fd);
    assert_int_equal(kmse_server_waiting(fixture.server), 1);
    answer(askers[0]);
    expect_lent(fd);
    assert_int_equal(kmse_server_waiting(fixture.server), 0);
}

static void who_went_away_meanwhile_is_no_matter(void **state)
{
    (void)state;
    answers_at_once = false;
    int fd = dial();
    ask(fd, KMSE_AGENT_FETCH);
    close(fd);
    turn();
    answer(askers[0]);
    assert_int_equal(kmse_server_waiting(fixture.server), 0);
    assert_int_equal(fixture.metrics.connections_now, 0);
}

/* More than a socket's buffer: it is sent as it is read, others meanwhile. */
static void a_slow_reader_gets_all_of_it_and_stops_nobody(void **state)
{
    (void)state;
    enum { LEN = 3000000 };
    fixture.text_len = LEN;
    struct kmse_agent_answer read = {.more = true};
    int slow = dial();
    ask(slow, KMSE_AGENT_STATUS);
    assert_int_equal(fixture.metrics.connections_now, 1);
    size_t len = 0;
    while (read.more) {
        int other = dial();
        ask(other, KMSE_AGENT_FETCH);
        expect_lent(other);
        assert_true(receive(slow, &read, KMSE_AGENT_STATUS) > 0);
        for (const char *at = read.text; *at != '\0'; at++)
            assert_int_equal(*at, 'a' + len++ % 26);
        turn();
    }
    assert_int_equal(len, LEN);
    expect_closed(slow);
}

static void a_reader_that_goes_away_in_the_middle_is_no_matter(void **state)
{
    (void)state;
    fixture.text_len = 3000000;
    struct kmse_agent_answer read;
    int slow = dial();
    ask(slow, KMSE_AGENT_STATUS);
    assert_true(receive(slow, &read, KMSE_AGENT_STATUS) > 0);
    close(slow);
    turn();
    assert_int_equal(fixture.metrics.connections_now, 0);
}

/* Six of a user; the ninth of all would be too many, too. */
static void
where_it_is_crowded_the_idle_go_and_those_who_asked_stay(void **state)
{
    (void)state;
    enum { OF_USER = 6 };
    int fds[OF_USER];
    answers_at_once = false;
    for (size_t i = 0; i < OF_USER; i++)
        fds[i] = dial();
    ask(fds[0], KMSE_AGENT_FETCH);
    int more = dial();
    expect_closed(fds[1]);
    expect_open(fds[0]);
    expect_open(fds[2]);
    assert_int_equal(fixture.metrics.dropped_crowded, 1);
    for (size_t i = 2; i < OF_USER; i++)
        ask(fds[i], KMSE_AGENT_FETCH);
    ask(more, KMSE_AGENT_FETCH);
    /* All have asked: the next is told that it is too much. */
    struct kmse_agent_answer read;
    int late = dial();
    assert_true(receive(late, &read, KMSE_AGENT_FETCH) > 0);
    assert_int_equal(read.reason, KMSE_R_KMS_THROTTLED);
    expect_closed(late);
    assert_int_equal(asker_count, OF_USER);
    for (size_t i = 0; i < asker_count; i++)
        answer(askers[i]);
    expect_lent(fds[0]);
    expect_lent(more);
    for (size_t i = 2; i < OF_USER; i++)
        expect_lent(fds[i]);
}

static void draining_lets_those_who_asked_have_their_answer(void **state)
{
    (void)state;
    answers_at_once = false;
    int idle = dial(), asked = dial();
    ask(asked, KMSE_AGENT_FETCH);
    kmse_server_drain(fixture.server);
    expect_closed(idle);
    expect_open(asked);
    assert_int_equal(kmse_server_waiting(fixture.server), 1);
    int late = dial();
    expect_open(late); /* nobody takes it */
    answer(askers[0]);
    expect_lent(asked);
    close(late);
}

static void what_is_no_question_is_closed(void **state)
{
    (void)state;
    static const uint8_t LONG[KMSE_AGENT_REQUEST_MAX + 1] = {'K', 'E', 'A', 1,
                                                             2};
    int fd = dial();
    assert_int_equal(send(fd, LONG, sizeof(LONG), 0), sizeof(LONG));
    turn();
    expect_closed(fd);
    fd = dial();
    assert_int_equal(send(fd, "x", 1, 0), 1);
    turn();
    expect_closed(fd);
    assert_int_equal(fixture.metrics.refused_request, 2);
    assert_int_equal(fixture.metrics.connections_now, 0);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_question_is_answered_and_closed),
        STORY(who_waits_is_answered_later),
        STORY(who_went_away_meanwhile_is_no_matter),
        STORY(a_slow_reader_gets_all_of_it_and_stops_nobody),
        STORY(a_reader_that_goes_away_in_the_middle_is_no_matter),
        STORY(where_it_is_crowded_the_idle_go_and_those_who_asked_stay),
        STORY(draining_lets_those_who_asked_have_their_answer),
        STORY(what_is_no_question_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
