/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP module: test_http MODULE, against servers of test/doubles/echo.py */
#include "test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "kms/http.h"

enum {
    VALUE_LEN = 256,
    URL_LEN = 512,
    ANSWER_MAX = 4096,
    TIMEOUT_MS = 10000,
    SHORT_MS = 150,
    GRACE_MS = 3000,
    MS_PER_S = 1000,
    NS_PER_MS = 1000000,
};

/* --- the servers and the module ----------------------------------------- */

static struct {
    const struct kmse_http_module *module;
    char folder[VALUE_LEN];
    pid_t pid;
    int input;
    char plain[VALUE_LEN], good[VALUE_LEN], other[VALUE_LEN];
    char elsewhere[VALUE_LEN], expired[VALUE_LEN], proxy[VALUE_LEN];
    char bundle[VALUE_LEN], other_bundle[VALUE_LEN];
} env;

static void learn(const char *name, const char *value)
{
    const struct {
        const char *name;
        char *value;
    } known[] = {
        {"plain", env.plain},     {"good", env.good},
        {"other", env.other},     {"elsewhere", env.elsewhere},
        {"expired", env.expired}, {"proxy", env.proxy},
        {"bundle", env.bundle},   {"other-bundle", env.other_bundle},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(name, known[i].name) == 0)
            snprintf(known[i].value, VALUE_LEN, "%s", value);
    }
}

static int serve(const int input[2], const int output[2])
{
    dup2(input[0], STDIN_FILENO);
    dup2(output[1], STDOUT_FILENO);
    close(input[1]);
    close(output[0]);
    execl("/usr/bin/python3", "python3", "-B", KMSE_ECHO, env.folder,
          (char *)NULL);
    return EXIT_FAILURE;
}

static int start_servers(void **state)
{
    int input[2], output[2];
    char line[URL_LEN], name[VALUE_LEN], value[VALUE_LEN];
    (void)state;
    snprintf(env.folder, sizeof(env.folder), "/tmp/kmse-http-XXXXXX");
    assert_non_null(mkdtemp(env.folder));
    assert_int_equal(pipe(input), 0);
    assert_int_equal(pipe(output), 0);
    env.pid = fork();
    if (env.pid == 0)
        _exit(serve(input, output));
    close(input[0]);
    close(output[1]);
    env.input = input[1];
    FILE *lines = fdopen(output[0], "r");
    while (fgets(line, sizeof(line), lines) != NULL
           && sscanf(line, "%255s %255s", name, value) == 2)
        learn(name, value);
    fclose(lines);
    assert_true(env.other_bundle[0] != '\0');
    return 0;
}

static int stop_servers(void **state)
{
    char command[URL_LEN];
    (void)state;
    close(env.input);
    waitpid(env.pid, NULL, 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", env.folder);
    return system(command);
}

static int open_client(void **state)
{
    struct kmse_http *http = calloc(1, sizeof(*http));
    struct kmse_why why = {""};
    expect_ok(env.module->open(http, &why));
    *state = http;
    return 0;
}

static int close_client(void **state)
{
    struct kmse_http *http = *state;
    http->free(http->arg);
    free(http);
    return 0;
}

/* --- asking ------------------------------------------------------------- */

struct asked {
    struct kmse_http_request request;
    char url[URL_LEN];
    struct kmse_http_answer answer;
    struct kmse_why why;
};

static const char *const NO_HEADERS[] = {NULL};

static void init(struct asked *asked, const char *server, const char *target)
{
    *asked = (struct asked){.why = {""}};
    snprintf(asked->url, sizeof(asked->url), "%s%s", server, target);
    asked->request = (struct kmse_http_request){
        .method = "GET",
        .url = asked->url,
        .headers = NO_HEADERS,
        .answer_max = ANSWER_MAX,
        .connect_timeout_ms = TIMEOUT_MS,
        .timeout_ms = TIMEOUT_MS,
        .ca_bundle = env.bundle,
    };
}

static kmse_st ask(struct kmse_http *http, struct asked *asked)
{
    kmse_http_answer_wipe(&asked->answer);
    asked->why.text[0] = '\0';
    return http->perform(http->arg, &asked->request, &asked->answer,
                         &asked->why);
}

static void expect_answer(struct kmse_http *http, struct asked *asked,
                          const char *body)
{
    kmse_st st = ask(http, asked);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s: %s", asked->url, kmse_reason_text(st.reason),
                 asked->why.text);
    assert_int_equal(asked->answer.status, 200);
    if (body != NULL)
        assert_string_equal((const char *)asked->answer.body, body);
    kmse_http_answer_wipe(&asked->answer);
}

/* It fails for that reason, is told with these words, and answers nothing. */
static void expect_failure(struct kmse_http *http, struct asked *asked,
                           int reason, const char *words)
{
    kmse_st st = ask(http, asked);
    if (st.reason != reason)
        fail_msg("%s: %s: %s", asked->url, kmse_reason_text(st.reason),
                 asked->why.text);
    if (strstr(asked->why.text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, asked->why.text);
    assert_null(asked->answer.body);
    assert_int_equal(asked->answer.status, 0);
}

/* Through a client of its own, whose connections do not count here. */
static void control(const char *server, const char *orders)
{
    struct kmse_http http;
    struct asked asked;
    expect_ok(env.module->open(&http, NULL));
    init(&asked, server, "/__control");
    asked.request.method = "POST";
    asked.request.body = (const uint8_t *)orders;
    asked.request.body_len = strlen(orders);
    expect_answer(&http, &asked, "{}");
    http.free(http.arg);
}

static void set_fault(const char *server, const char *fault)
{
    char orders[VALUE_LEN];
    snprintf(orders, sizeof(orders), "{\"fault\": \"%s\", \"times\": 1}",
             fault);
    control(server, orders);
}

static int connections(const char *server)
{
    static const char NAME[] = "\"connections\": ";
    struct kmse_http http;
    struct asked asked;
    expect_ok(env.module->open(&http, NULL));
    init(&asked, server, "/__counts");
    expect_ok(ask(&http, &asked));
    const char *found = strstr((const char *)asked.answer.body, NAME);
    int count = found != NULL ? (int)strtol(found + strlen(NAME), NULL, 10) : 0;
    kmse_http_answer_wipe(&asked.answer);
    http.free(http.arg);
    return count;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

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
             "POST /a?b=c%%20d\nhost: %s\nuser-agent: kms-envelope\n"
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
             "GET /\nhost: %s\nuser-agent: kms-envelope\naccept: */*\n\n",
             host);
    expect_answer(*state, &asked, expected);
    asked.request.method = "PUT";
    snprintf(expected, sizeof(expected),
             "PUT /\nhost: %s\nuser-agent: kms-envelope\naccept: */*\n"
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
    snprintf(path, sizeof(path), "%s/.netrc", env.folder);
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
    snprintf(fault, sizeof(fault), "redirect:%s/", env.plain);
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
    int before = connections(env.good);
    for (int i = 0; i < 5; i++)
        expect_answer(*state, &asked, NULL);
    assert_int_equal(connections(env.good), before + 1);
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

/* --- which URLs --------------------------------------------------------- */

static void a_url_that_may_not_be_asked_is_not_asked(void **state)
{
    static const char *const URLS[] = {
        "http://127.0.0.1.example.org/",
        "http://localhost.example.org/",
        "http://127.example/",
        "http://[::2]/",
        "http://128.0.0.1/",
        "http://169.254.169.254/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1",
        "https://",
        "",
    };
    struct asked asked;
    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        init(&asked, URLS[i], "");
        expect_failure(*state, &asked, KMSE_R_KMS_URI, "https://");
    }
}

static void a_url_has_no_user_in_it_and_is_not_shown(void **state)
{
    static const char *const URLS[] = {
        "https://anna:geheim@127.0.0.1/", "https://anna@127.0.0.1/",
        "https://:geheim@127.0.0.1/", "https://anna:geheim@127.0.0.1:x/"};
    struct asked asked;
    for (size_t i = 0; i < sizeof(URLS) / sizeof(URLS[0]); i++) {
        init(&asked, URLS[i], "");
        expect_failure(*state, &asked, KMSE_R_KMS_URI, "a URL with a user");
        assert_null(strstr(asked.why.text, "geheim"));
    }
}

static void plain_http_elsewhere_is_asked_if_the_request_says_so(void **state)
{
    struct asked asked;
    init(&asked, "http://host.invalid/", "");
    asked.request.allow_http = true;
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "host.invalid: ");
}

/* --- TLS ---------------------------------------------------------------- */

static void a_certificate_is_always_verified(void **state)
{
    const struct {
        const char *url, *bundle;
    } bad[] = {
        {env.other, env.bundle},
        {env.good, env.other_bundle},
        {env.elsewhere, env.bundle},
        {env.expired, env.bundle},
        {env.good, NULL},
    };
    struct asked asked;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        init(&asked, bad[i].url, "/");
        asked.request.ca_bundle = bad[i].bundle;
        expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    }
    init(&asked, env.other, "/");
    asked.request.ca_bundle = env.other_bundle;
    expect_answer(*state, &asked, NULL);
}

static void a_bundle_that_cannot_be_used_is_not_passed_by(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/");
    asked.request.ca_bundle = "/nowhere/bundle.pem";
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    asked.request.ca_bundle = KMSE_ECHO; /* no certificate in it */
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
}

/* The connection that is open was made by another bundle's grace. */
static void a_connection_is_not_used_for_another_bundle(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/");
    expect_answer(*state, &asked, NULL);
    asked.request.ca_bundle = env.other_bundle;
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
    asked.request.ca_bundle = env.bundle;
    expect_answer(*state, &asked, NULL);
}

static void a_bundle_that_changes_is_read_anew(void **state)
{
    char path[URL_LEN], command[3 * URL_LEN];
    struct asked asked;
    snprintf(path, sizeof(path), "%s/changing.pem", env.folder);
    snprintf(command, sizeof(command), "cp %s %s", env.bundle, path);
    assert_int_equal(system(command), 0);
    init(&asked, env.good, "/last");
    asked.request.ca_bundle = path;
    expect_answer(*state, &asked, NULL);
    snprintf(command, sizeof(command), "cp %s %s", env.other_bundle, path);
    assert_int_equal(system(command), 0);
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "aws-ca-bundle");
}

/* --- proxies ------------------------------------------------------------ */

/* The name is not looked up here: it is the proxy's to find. */
static void a_proxy_makes_a_tunnel_and_learns_nothing(void **state)
{
    static const char *const HEADERS[] = {"authorization: geheim", NULL};
    struct asked asked;
    init(&asked, "https://kms.eu-central-1.amazonaws.com", "/");
    asked.request.proxy = env.proxy;
    asked.request.headers = HEADERS;
    expect_ok(ask(*state, &asked));
    assert_non_null(strstr((const char *)asked.answer.body, "geheim"));
    assert_true(asked.answer.date[0] != '\0');
    init(&asked, env.plain, "/proxy-heads");
    expect_ok(ask(*state, &asked));
    const char *heads = (const char *)asked.answer.body;
    assert_non_null(
        strstr(heads, "CONNECT kms.eu-central-1.amazonaws.com:443"));
    assert_null(strstr(heads, "geheim"));
    kmse_http_answer_wipe(&asked.answer);
}

static void plain_loopback_is_asked_without_a_proxy(void **state)
{
    struct asked asked;
    init(&asked, env.plain, "/");
    asked.request.proxy = env.proxy;
    expect_answer(*state, &asked, NULL);
    asked.request.allow_http = true;
    expect_answer(*state, &asked, NULL);
    setenv("http_proxy", env.proxy, 1);
    setenv("ALL_PROXY", env.proxy, 1);
    asked.request.proxy = NULL;
    expect_answer(*state, &asked, NULL);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void hosts_without_a_proxy_are_asked_directly(void **state)
{
    struct asked asked;
    init(&asked, env.good, "/size/1");
    asked.request.proxy = "http://127.0.0.1:1";
    expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
    asked.request.no_proxy = "example.org,127.0.0.1";
    expect_answer(*state, &asked, "x");
    asked.request.no_proxy = "*";
    expect_answer(*state, &asked, "x");
}

static void the_password_of_a_proxy_is_not_shown(void **state)
{
    static const char *const PROXIES[] = {"what://anna:geheim@127.0.0.1:1",
                                          "http://anna:geheim@127.0.0.1:x",
                                          "http://anna:geheim@127.0.0.1:1"};
    struct asked asked;
    for (size_t i = 0; i < sizeof(PROXIES) / sizeof(PROXIES[0]); i++) {
        init(&asked, env.good, "/");
        asked.request.proxy = PROXIES[i];
        expect_failure(*state, &asked, KMSE_R_KMS_UNREACHABLE, "127.0.0.1: ");
        assert_null(strstr(asked.why.text, "geheim"));
    }
}

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

/* Wait until the server has the request that it will not answer. */
static void wait_for_fault(const char *server)
{
    struct kmse_http http;
    struct asked asked;
    expect_ok(env.module->open(&http, NULL));
    init(&asked, server, "/__counts");
    bool found = false;
    for (int64_t start_ms = now_ms(); !found;) {
        assert_true(now_ms() - start_ms < TIMEOUT_MS);
        expect_ok(ask(&http, &asked));
        found = strstr((const char *)asked.answer.body, "\"faults\"") != NULL;
    }
    kmse_http_answer_wipe(&asked.answer);
    http.free(http.arg);
}

static void an_interrupt_ends_a_call_at_once(void **state)
{
    struct interrupted interrupted = {.http = *state, .url = env.good};
    pthread_t thread;
    expect_ok(kmse_interrupt_init(&interrupted.interrupt));
    control(env.good, "{\"reset_counts\": true, \"fault\": \"hang\"}");
    assert_int_equal(
        pthread_create(&thread, NULL, ask_until_interrupted, &interrupted), 0);
    wait_for_fault(env.good);
    int64_t start_ms = now_ms();
    kmse_interrupt_raise(&interrupted.interrupt);
    pthread_join(thread, NULL);
    assert_true(now_ms() - start_ms < GRACE_MS);
    /* One that is raised already ends it before it begins. */
    ask_until_interrupted(&interrupted);
    control(env.good, "{\"fault\": null}");
    kmse_interrupt_clear(&interrupted.interrupt);
    struct asked asked;
    init(&asked, env.good, "/");
    asked.request.interrupt = &interrupted.interrupt;
    expect_answer(*state, &asked, NULL);
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
    int before = connections(env.good);
    expect_answer(*state, &asked, NULL);
    assert_true(count_internet_sockets() > 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_child(*state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    expect_answer(*state, &asked, NULL);
    assert_int_equal(connections(env.good), before + 2);
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

static int open_module(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return EXIT_FAILURE;
    }
    env.module = dlsym(handle, KMSE_HTTP_MODULE_SYMBOL);
    return env.module != NULL && env.module->abi == KMSE_HTTP_ABI
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

#define HTTP_TEST(f)                                                           \
    cmocka_unit_test_setup_teardown(f, open_client, close_client)

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
        HTTP_TEST(a_url_that_may_not_be_asked_is_not_asked),
        HTTP_TEST(a_url_has_no_user_in_it_and_is_not_shown),
        HTTP_TEST(plain_http_elsewhere_is_asked_if_the_request_says_so),
        HTTP_TEST(a_certificate_is_always_verified),
        HTTP_TEST(a_bundle_that_cannot_be_used_is_not_passed_by),
        HTTP_TEST(a_connection_is_not_used_for_another_bundle),
        HTTP_TEST(a_bundle_that_changes_is_read_anew),
        HTTP_TEST(a_proxy_makes_a_tunnel_and_learns_nothing),
        HTTP_TEST(plain_loopback_is_asked_without_a_proxy),
        HTTP_TEST(hosts_without_a_proxy_are_asked_directly),
        HTTP_TEST(the_password_of_a_proxy_is_not_shown),
        HTTP_TEST(an_interrupt_ends_a_call_at_once),
        HTTP_TEST(a_child_has_connections_of_its_own),
        HTTP_TEST(errors_of_the_program_stay_and_none_are_added),
    };
    if (argc != 2 || open_module(argv[1]) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
