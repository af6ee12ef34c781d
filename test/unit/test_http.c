/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, answers, deadlines and connections of the HTTP module. */
#include "http_fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- requests ----------------------------------------------------------- */

static void a_request_arrives_as_it_is_and_no_more(void **state)
{
    static const char *const HEADERS[] = {"x-amz-target: T.Decrypt",
                                          "content-type: x/y", NULL};
    char expected[URL_LEN];
    struct asked asked;
    init(&asked, env.plain, "/a?b=c%20d");
    asked.request.method = "POST";
    asked.request.headers = HEADERS;
    asked.request.body = (const uint8_t *)"{\"a\": 1}";
    asked.request.body_len = strlen("{\"a\": 1}");
    snprintf(expected, sizeof(expected),
             "POST /a?b=c%%20d\nhost: %.200s\nuser-agent: kms-envelope\n"
             "accept: */*\nx-amz-target: T.Decrypt\ncontent-type: x/y\n"
             "content-length: 8\n\n{\"a\": 1}",
             env.plain + strlen("http://"));
    expect_answer(*state, &asked, expected);
}

static void get_and_put_have_no_body(void **state)
{
    char expected[URL_LEN];
    const char *host = env.plain + strlen("http://");
    struct asked asked;
    init(&asked, env.plain, "/");
    snprintf(expected, sizeof(expected),
             "GET /\nhost: %.200s\nuser-agent: kms-envelope\naccept: */*\n\n",
             host);
    expect_answer(*state, &asked, expected);
    asked.request.method = "PUT";
    snprintf(expected, sizeof(expected),
             "PUT /\nhost: %.200s\nuser-agent: kms-envelope\naccept: */*\n"
             "content-length: 0\n\n",
             host);
    expect_answer(*state, &asked, expected);
}

static void a_long_body_is_whole(void **state)
{
    enum { LEN = 200000, ANSWER_LEN = LEN + 1000 };
    struct asked asked;
    uint8_t *body = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        body[i] = (uint8_t)('a' + i % 26);
    init(&asked, env.good, "/");
    asked.request.method = "POST";
    asked.request.body = body;
    asked.request.body_len = LEN;
    asked.request.answer_max = ANSWER_LEN;
    expect_ok(ask(*state, &asked));
    assert_true(asked.answer.body_len > LEN);
    assert_memory_equal(asked.answer.body + asked.answer.body_len - LEN, body,
                        LEN);
    kmse_http_answer_wipe(&asked.answer);
    free(body);
}

/* A password that ~/.netrc has for the host is nobody's to send. */
static void netrc_is_left_alone(void **state)
{
    char path[URL_LEN];
    struct asked asked;
    snprintf(path, sizeof(path), "%.250s/.netrc", env.folder);
    FILE *file = fopen(path, "w");
    fputs("default login anna password geheim\n", file);
    fclose(file);
    setenv("HOME", env.folder, 1);
    init(&asked, env.plain, "/");
    expect_ok(ask(*state, &asked));
    assert_null(strstr((const char *)asked.answer.body, "authorization"));
    kmse_http_answer_wipe(&asked.answer);
}

/* --- answers ------------------------------------------------------------ */

static void the_status_is_told_and_a_redirect_not_followed(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/status/418");
    expect_ok(ask(*state, &asked));
    assert_int_equal(asked.answer.status, 418);
    assert_string_equal((const char *)asked.answer.body, "status");
    char fault[URL_LEN];
    snprintf(fault, sizeof(fault), "redirect:%.200s/", env.plain);
    set_fault(env.plain, fault);
    expect_ok(ask(*state, &asked));
    assert_int_equal(asked.answer.status, 302);
    kmse_http_answer_wipe(&asked.answer);
}

static void headers_are_found(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/headers");
    expect_ok(ask(*state, &asked));
    assert_string_equal(asked.answer.retry_after, "3");
    assert_string_equal(asked.answer.request_id, "1-2-3");
    assert_int_equal(strlen(asked.answer.date),
                     strlen("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_int_equal(asked.answer.body_len, 0);
    kmse_http_answer_wipe(&asked.answer);
}

static void only_the_last_head_counts(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/continue");
    expect_ok(ask(*state, &asked));
    assert_int_equal(asked.answer.status, 200);
    assert_string_equal(asked.answer.retry_after, "");
    kmse_http_answer_wipe(&asked.answer);
}

static void an_answer_is_as_long_as_allowed_and_no_longer(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/size/4096");
    expect_ok(ask(*state, &asked));
    assert_int_equal(asked.answer.body_len, ANSWER_MAX);
    assert_int_equal(asked.answer.body[ANSWER_MAX], '\0');
    kmse_http_answer_wipe(&asked.answer);
    init(&asked, env.good, "/chunked");
    expect_answer(*state, &asked, "abcde");
    init(&asked, env.good, "/size/4097");
    expect_failure(*state, &asked, KMSE_R_KMS_ANSWER, "longer than 4096 bytes");
    set_fault(env.good, "oversized");
    init(&asked, env.good, "/");
    expect_failure(*state, &asked, KMSE_R_KMS_ANSWER, "longer than 4096 bytes");
    init(&asked, env.good, "/endless-head");
    expect_failure(*state, &asked, KMSE_R_KMS_ANSWER, "longer");
}

static void an_answer_that_is_no_http_1_is_refused(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/old");
    expect_failure(*state, &asked, KMSE_R_KMS_ANSWER, "HTTP/0.9");
}

static void an_answer_that_breaks_off_is_none(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/size/4000");
    set_fault(env.plain, "truncated");
    expect_failure(*state, &asked, KMSE_R_KMS_ANSWER, "127.0.0.1: ");
    set_fault(env.plain, "reset_mid_body");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
}

/* --- deadlines ---------------------------------------------------------- */

static void expect_timeout(struct kmse_http *http, struct asked *asked)
{
    int64_t start_ms = now_ms();
    expect_failure(http, asked, KMSE_R_KMS_TIMEOUT, "127.0.0.1: ");
    assert_true(now_ms() - start_ms < GRACE_MS);
}

static void a_server_that_is_silent_or_slow_is_given_up(void **state)
{
    static const char *const FAULTS[] = {"hang", "slow:9", "drip:0.02"};
    struct asked asked;
    for (size_t i = 0; i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++) {
        set_fault(env.good, FAULTS[i]);
        init(&asked, env.good, "/size/4000");
        asked.request.timeout_ms = SHORT_MS;
        expect_timeout(*state, &asked);
        expect_answer(*state, &asked, NULL);
    }
    set_fault(env.good, "hang");
    asked.request.timeout_ms = 0; /* is now, not never */
    expect_timeout(*state, &asked);
    control(env.good, "{\"fault\": null}");
}

/* The kernel takes the connection; nobody is there for TLS. */
static void tls_that_is_not_answered_is_given_up(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    union {
        struct sockaddr_in *in;
        struct sockaddr *any;
    } at = {.in = &address};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, at.any, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, at.any, &len), 0);
    char url[VALUE_LEN];
    snprintf(url, sizeof(url), "https://127.0.0.1:%d", ntohs(address.sin_port));
    struct asked asked;
    init(&asked, url, "/");
    asked.request.connect_timeout_ms = SHORT_MS;
    expect_timeout(*state, &asked);
    close(fd);
    init(&asked, url, "/");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
}

/* --- connections -------------------------------------------------------- */

static void a_connection_is_used_again(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/");
    int before = count(env.good, "connections");
    for (int i = 0; i < 5; i++)
        expect_answer(*state, &asked, NULL);
    assert_int_equal(count(env.good, "connections"), before + 1);
}

static void one_that_the_server_closed_is_replaced(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/last");
    asked.request.method = "POST";
    for (int i = 0; i < 5; i++)
        expect_answer(*state, &asked, NULL);
    /* Closed only when the next request comes: it is sent once more. */
    init(&asked, env.good, "/");
    asked.request.method = "POST";
    expect_answer(*state, &asked, NULL);
    set_fault(env.good, "close");
    expect_answer(*state, &asked, NULL);
}

static void a_first_one_that_is_closed_is_a_failure(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/");
    set_fault(env.plain, "close");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
    set_fault(env.plain, "reset");
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
    expect_answer(*state, &asked, NULL);
}

static void *ask_often(void *arg)
{
    struct asked asked;
    init(&asked, env.good, "/size/9");
    for (int i = 0; i < 20; i++)
        expect_answer(arg, &asked, "xxxxxxxxx");
    return NULL;
}

static void threads_share_a_client(void **state)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, *state),
                         0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_request_arrives_as_it_is_and_no_more),
        HTTP_TEST(get_and_put_have_no_body),
        HTTP_TEST(a_long_body_is_whole),
        HTTP_TEST(netrc_is_left_alone),
        HTTP_TEST(the_status_is_told_and_a_redirect_not_followed),
        HTTP_TEST(headers_are_found),
        HTTP_TEST(only_the_last_head_counts),
        HTTP_TEST(an_answer_is_as_long_as_allowed_and_no_longer),
        HTTP_TEST(an_answer_that_is_no_http_1_is_refused),
        HTTP_TEST(an_answer_that_breaks_off_is_none),
        HTTP_TEST(a_server_that_is_silent_or_slow_is_given_up),
        HTTP_TEST(tls_that_is_not_answered_is_given_up),
        HTTP_TEST(a_connection_is_used_again),
        HTTP_TEST(one_that_the_server_closed_is_replaced),
        HTTP_TEST(a_first_one_that_is_closed_is_a_failure),
        HTTP_TEST(threads_share_a_client),
    };
    return RUN_HTTP_TESTS(tests, argc, argv);
}
