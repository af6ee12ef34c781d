/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_HTTP_H
#define KMSE_KMS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/status.h"
#include "kms/xml.h"

/*
 * One HTTP exchange, as data. What makes it is behind a table of functions:
 * the module kms-envelope-http.so in a process, a double in a unit test.
 */
struct kmse_http_request {
    const char *method; /* "POST", "GET", "PUT" */
    const char *url;
    const char *const *headers; /* "Name: value", the last is NULL */
    const uint8_t *body;        /* or NULL */
    size_t body_len;
    size_t answer_max; /* bytes; a longer body is KMSE_R_KMS_ANSWER */
    uint32_t connect_timeout_ms, timeout_ms;
    const char *ca_bundle; /* file, or NULL: as the HTTP library has it */
    const char *proxy;     /* URL, or NULL: as HTTPS_PROXY says */
    const char *no_proxy;  /* hosts asked directly, "*" for all, or NULL: as
                              NO_PROXY says. Loopback is asked directly if it
                              is asked by plain http. */
    bool allow_http;       /* plain http:// to other hosts than loopback */
    struct kmse_interrupt *interrupt; /* of the thread, or NULL */
};

enum { KMSE_HTTP_HEADER_MAX = 128 };

/* Set on success, whatever the status is. Wipe it: the body may be secret. */
struct kmse_http_answer {
    int status; /* 200, 404, ... */
    uint8_t *body;
    size_t body_len;                 /* and a NUL behind it */
    char date[KMSE_HTTP_HEADER_MAX]; /* headers, "" if they are not there */
    char retry_after[KMSE_HTTP_HEADER_MAX];
    char request_id[KMSE_HTTP_HEADER_MAX]; /* x-amzn-RequestId */
};

void kmse_http_answer_wipe(struct kmse_http_answer *answer);

/*
 * Redirects are not followed, certificates are always verified, plain http
 * goes to loopback only unless the request allows more, and .netrc and cookies
 * are left alone. Failures, with host and cause in why:
 *   KMSE_R_KMS_UNREACHABLE  no address, refused, reset, TLS not established
 *   KMSE_R_KMS_TIMEOUT      a deadline passed
 *   KMSE_R_KMS_ANSWER       the answer is cut short or too long
 *   KMSE_R_KMS_URI          a URL that may not be asked
 *   KMSE_R_INTERRUPTED      the interrupt was raised
 * Several threads may call perform; each call is one exchange.
 */
struct kmse_http {
    void *arg;
    kmse_st (*perform)(void *arg, const struct kmse_http_request *request,
                       struct kmse_http_answer *answer, struct kmse_why *why);
    void (*free)(void *arg);
    /* kmse_xml_texts (xml.h): what reads answers is loaded with what asks. */
    kmse_st (*xml_texts)(const char *xml, size_t xml_len,
                         struct kmse_xml_text *texts, size_t count);
};

/*
 * The module comes through forks, and through the end of the process, from here
 * on. That is asked for before there is a call, for a fork and the end wait for
 * the calls. KMSE_R_INTERRUPTED: the process ends already.
 */
kmse_st kmse_http_watch(void) KMSE_MUST_CHECK;

/*
 * The module, loaded at the first call and never unloaded: libcurl brings
 * thirty libraries, which a process that only reads its configuration must not
 * pay for. KMSE_R_KMS_HTTP names what is missing.
 */
kmse_st kmse_http_load(struct kmse_http *http,
                       struct kmse_why *why) KMSE_MUST_CHECK;

/* What the module exports, by this name; abi tells one release from another. */
#define KMSE_HTTP_MODULE_SYMBOL "kmse_http_module"
enum { KMSE_HTTP_ABI = 3 };
struct kmse_http_module {
    int abi;
    kmse_st (*open)(struct kmse_http *http, struct kmse_why *why);
    /*
     * Calls under way come to their ends before a fork; in the child there are
     * no connections. When OPENSSL_cleanup begins they are interrupted, and no
     * more are made.
     */
    void (*before_fork)(void);
    void (*after_fork_parent)(void);
    void (*after_fork_child)(void);
    void (*stop)(void);
};

#endif
