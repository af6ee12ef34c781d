/* SPDX-License-Identifier: Apache-2.0 */
/* Servers for tests of the HTTP module, and asking them. */
#include "http_fixture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };

/* --- the servers and the module ----------------------------------------- */

struct http_env env;

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
    execl("/usr/bin/python3", "/usr/bin/python3", "-B", KMSE_ECHO, env.folder,
          (char *)NULL);
    return EXIT_FAILURE;
}

int start_servers(void **state)
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

int stop_servers(void **state)
{
    char command[URL_LEN];
    (void)state;
    close(env.input);
    waitpid(env.pid, NULL, 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", env.folder);
    return system(command);
}

int open_client(void **state)
{
    struct kmse_http *http = calloc(1, sizeof(*http));
    struct kmse_why why = {""};
    expect_ok(env.module->open(http, &why));
    *state = http;
    return 0;
}

int close_client(void **state)
{
    struct kmse_http *http = *state;
    http->free(http->arg);
    free(http);
    return 0;
}

/* --- asking ------------------------------------------------------------- */

static const char *const NO_HEADERS[] = {NULL};

void init(struct asked *asked, const char *server, const char *target)
{
    *asked = (struct asked){.why = {""}};
    snprintf(asked->url, sizeof(asked->url), "%.250s%.250s", server, target);
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

kmse_st ask(struct kmse_http *http, struct asked *asked)
{
    kmse_http_answer_wipe(&asked->answer);
    asked->why.text[0] = '\0';
    return http->perform(http->arg, &asked->request, &asked->answer,
                         &asked->why);
}

void expect_answer(struct kmse_http *http, struct asked *asked,
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

void expect_failure(struct kmse_http *http, struct asked *asked, int reason,
                    const char *words)
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
void control(const char *server, const char *orders)
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

void set_fault(const char *server, const char *fault)
{
    char orders[URL_LEN];
    snprintf(orders, sizeof(orders), "{\"fault\": \"%s\", \"times\": 1}",
             fault);
    control(server, orders);
}

int count(const char *server, const char *what)
{
    char name[VALUE_LEN];
    struct kmse_http http;
    struct asked asked;
    snprintf(name, sizeof(name), "\"%s\": ", what);
    expect_ok(env.module->open(&http, NULL));
    init(&asked, server, "/__counts");
    expect_ok(ask(&http, &asked));
    const char *found = strstr((const char *)asked.answer.body, name);
    int number =
        found != NULL ? (int)strtol(found + strlen(name), NULL, 10) : 0;
    kmse_http_answer_wipe(&asked.answer);
    http.free(http.arg);
    return number;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

bool open_module(int argc, char **argv)
{
    if (argc != 2)
        return false;
    void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    env.module = dlsym(handle, KMSE_HTTP_MODULE_SYMBOL);
    return env.module != NULL && env.module->abi == KMSE_HTTP_ABI
           && pthread_atfork(env.module->before_fork,
                             env.module->after_fork_parent,
                             env.module->after_fork_child)
                  == 0;
}
