/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_HTTP_FIXTURE_H
#define KMSE_TEST_UNIT_HTTP_FIXTURE_H

#include "test.h"

#include "kms/http.h"

/* The HTTP module as it is loaded, and the servers of test/doubles/echo.py. */
enum {
    VALUE_LEN = 256,
    URL_LEN = 512,
    ANSWER_MAX = 4096,
    TIMEOUT_MS = 10000,
    SHORT_MS = 150,
    GRACE_MS = 3000, /* a busy machine's, and a sanitizer's */
};

struct http_env {
    const struct kmse_http_module *module;
    char folder[VALUE_LEN]; /* for files of tests */
    pid_t pid;
    int input;
    char plain[VALUE_LEN], good[VALUE_LEN], other[VALUE_LEN];
    char elsewhere[VALUE_LEN], expired[VALUE_LEN], proxy[VALUE_LEN];
    char bundle[VALUE_LEN], other_bundle[VALUE_LEN];
};
extern struct http_env env;

/* A request, and what came of it. */
struct asked {
    struct kmse_http_request request;
    char url[URL_LEN];
    struct kmse_http_answer answer;
    struct kmse_why why;
};

/* GET, with TLS verified by env.bundle. */
void init(struct asked *asked, const char *server, const char *target);
kmse_st ask(struct kmse_http *http, struct asked *asked);
/* Status 200; body NULL: any. */
void expect_answer(struct kmse_http *http, struct asked *asked,
                   const char *body);
/* It fails for that reason, is told with these words, and answers nothing. */
void expect_failure(struct kmse_http *http, struct asked *asked, int reason,
                    const char *words);

/* Orders to a server, and its counts, through a client of their own. */
void control(const char *server, const char *orders);
void set_fault(const char *server, const char *fault);
int count(const char *server, const char *what);

int64_t now_ms(void);

/* state is a struct kmse_http. */
int open_client(void **state);
int close_client(void **state);
#define HTTP_TEST(f)                                                           \
    cmocka_unit_test_setup_teardown(f, open_client, close_client)

/* argv[1] is the module. */
bool open_module(int argc, char **argv);
int start_servers(void **state);
int stop_servers(void **state);
#define RUN_HTTP_TESTS(tests, argc, argv)                                      \
    (open_module(argc, argv)                                                   \
         ? cmocka_run_group_tests(tests, start_servers, stop_servers)          \
         : EXIT_FAILURE)

#endif
