/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_AWS_FIXTURE_H
#define KMSE_TEST_UNIT_AWS_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "kms/aws_client.h"
#include "kms/aws_credentials.h"
#include "test.h"

/*
 * Where credentials are looked for, for tests: a home folder of its own, an
 * environment with nothing of AWS's in it, a clock that moves when told, and
 * HTTP that answers from a script and keeps what it was asked.
 */
enum { AWS_SCRIPT_MAX = 16, AWS_NOW_S = 1767225600 }; /* 2026-01-01 */

/* An answer, or, with a reason, none. */
struct aws_answer {
    int status;
    const char *body;
    const char *date;
    int reason;
    bool blocks; /* until aws_let_go */
};

struct aws_asked {
    char method[8], url[512], proxy[64], no_proxy[64], ca_bundle[128];
    char *headers; /* a line each */
    char *body;
    bool allow_http;
    uint32_t timeout_ms, connect_timeout_ms;
};

struct aws_fixture {
    char home[32], aws[48], credentials[64], config[64], token[64];
    struct kmse_crypto *crypto;
    struct kmse_aws_options options;
    struct kmse_http http;
    struct kmse_clock clock;
    struct kmse_aws_wait wait;
    _Atomic uint64_t elapsed_ms;
    _Atomic int64_t skew_s; /* of the wall clock, to what has elapsed */
    struct kmse_why why;
    unsigned tokens; /* left of retries after a search */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct aws_answer script[AWS_SCRIPT_MAX];
    struct aws_asked asked[AWS_SCRIPT_MAX];
    size_t answers, requests;
    bool blocked, let_go;
    unsigned waits;
};

int aws_setup(void **state);
int aws_teardown(void **state);

void aws_write(const char *path, const char *text);
/* The next answer; each is given once. */
void aws_will_answer(struct aws_fixture *f, int status, const char *body);
void aws_will_fail(struct aws_fixture *f, int reason);
void aws_will(struct aws_fixture *f, struct aws_answer answer);
void aws_forget(struct aws_fixture *f); /* script and requests */
void aws_pass(struct aws_fixture *f, uint64_t ms);
/* Of an answer that blocks: wait until one is there; let it end. */
void aws_await_blocked(struct aws_fixture *f);
void aws_let_go(struct aws_fixture *f);

size_t aws_requests(struct aws_fixture *f);
/* A header's value, or NULL. The caller frees it. */
char *aws_header(const struct aws_asked *asked, const char *name);
void aws_expect_header(const struct aws_asked *asked, const char *name,
                       const char *value);
void aws_expect_text(const char *text, const char *part);
void aws_expect_no_text(const char *text, const char *part);

/* Answers that credentials are in; expires as of ISO 8601. */
const char *aws_json(const char *id, const char *expires);
const char *aws_sts(const char *action, const char *id, const char *expires);

/* A search through all sources, and what is expected of it: that no block is
 * freed with a secret in it, too. */
struct aws_found {
    kmse_st st;
    struct kmse_aws_credentials *credentials; /* the caller releases */
    bool from_instance;
};
struct aws_found aws_look(struct aws_fixture *f, bool instance_expected);
void aws_expect_expiring(struct aws_fixture *f, const char *id,
                         const char *source, int64_t expires_s);
void aws_expect_found(struct aws_fixture *f, const char *id,
                      const char *source); /* for ever */
/* The reason, a part of why, no secret in it, and none left. */
void aws_expect_failed(struct aws_fixture *f, bool instance_expected,
                       int reason, const char *why);
void aws_expect_refused(struct aws_fixture *f, const char *why);

void aws_set_keys(const char *id); /* in the environment */
void aws_unset_keys(void);
char *aws_text_of(const char *literal);

#define AWS_SECRET     "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define AWS_IMDS_TOKEN "AQAEAimds-token"
#define AWS_JWT        "eyJhbGciOiJSUzI1NiJ9.claims.signature"
#define AWS_TOKEN      "IQoJb3JpZ2luX2Vj//token=="
#define AWS_IN_1H      "2026-01-01T01:00:00Z"
#define AWS_IN_2H      "2026-01-01T02:00:00Z"
#define AWS_COUNT(a)   (sizeof(a) / sizeof((a)[0]))

#endif
