/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_REQUEST_H
#define KMSE_KMS_AWS_REQUEST_H

#include "base/crypto.h"
#include "kms/aws_credentials.h"
#include "kms/aws_message.h"
#include "kms/http.h"

/* One attempt: a signed request to KMS, and what came of it. */
struct kmse_aws_request {
    const char *url;    /* https://kms.eu-west-1.amazonaws.com/ */
    const char *region; /* to sign for */
    const char *action; /* "Decrypt" */
    const struct kmse_aws_body *body;
    const char *ca_bundle; /* or NULL, as the next two: http.h */
    const char *proxy, *no_proxy;
    bool allow_http;
    uint32_t connect_timeout_ms, timeout_ms;
    int64_t wall_s; /* to sign with: the KMS's time, as far as we know it */
};

struct kmse_aws_outcome {
    struct kmse_http_answer answer; /* status 0: none came */
    struct kmse_aws_error error;    /* of a status other than 200 */
    int64_t server_s;               /* its Date; 0: not said */
    uint64_t retry_after_ms;        /* 0: not said */
};
void kmse_aws_outcome_wipe(struct kmse_aws_outcome *outcome);

/*
 * KMSE_OK for status 200. Else the reason of AWS's error code, or of http.h,
 * with a text in why that names neither key nor action. outcome is set in any
 * case; the caller wipes it.
 */
kmse_st kmse_aws_attempt(struct kmse_aws_outcome *outcome,
                         struct kmse_crypto *crypto,
                         const struct kmse_http *http,
                         const struct kmse_aws_credentials *credentials,
                         const struct kmse_aws_request *request,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The value of the header Host that goes with a URL: no default port.
 * KMSE_R_CONFIG_VALUE: no host, or a path, which a signature here cannot have.
 */
enum { KMSE_AWS_HOST_LEN = 264 };
kmse_st kmse_aws_url_host(char host[KMSE_AWS_HOST_LEN], const char *url,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/* RFC 9110, 5.6.7, IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"; 0: not so. */
int64_t kmse_http_date_parse(const char *text);

#endif
