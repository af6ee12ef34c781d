/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to AWS KMS: where to, with which credentials, and once more. */
#include "kms/aws_client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/interrupt.h"
#include "kms/aws_request.h"
#include "kms/aws_retry.h"

enum { TIMEOUT_MS = 5000, CONNECT_TIMEOUT_MS = 1000 };

/* What the first call makes. */
struct session {
    struct kmse_http http;
    struct kmse_aws_credential_chain *chain;
};

struct kmse_aws {
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    const struct kmse_clock *clock;
    struct kmse_aws_options options;
    struct kmse_aws_wait wait;
    struct kmse_retry_bucket bucket;
    _Atomic int64_t skew_s;            /* the KMS's clock, less ours */
    struct kmse_http given_http;       /* for tests; perform NULL: none */
    _Atomic(struct session *) session; /* NULL until the first call */
    struct session *forking;           /* the one whose locks a fork holds */
};

/* --- life --------------------------------------------------------------- */

static void sleep_ms(void *arg, uint32_t ms)
{
    (void)arg;
    kmse_interrupt_sleep(kmse_interrupt_current(), ms);
}

kmse_st kmse_aws_new(struct kmse_aws **aws, struct kmse_crypto *crypto,
                     struct kmse_pool *pool,
                     const struct kmse_aws_options *options,
                     const struct kmse_clock *clock,
                     const struct kmse_http *http,
                     const struct kmse_aws_wait *wait)
{
    if (http == NULL)
        KMSE_TRY(kmse_http_watch());
    struct kmse_aws *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->crypto = crypto;
    made->pool = pool;
    made->clock = clock;
    made->wait = wait != NULL ? *wait : (struct kmse_aws_wait){sleep_ms, NULL};
    kmse_st st = kmse_aws_options_copy(&made->options, options);
    if (kmse_is_ok(st))
        st = kmse_retry_bucket_init(&made->bucket);
    if (!kmse_is_ok(st)) {
        kmse_aws_options_wipe(&made->options);
        free(made);
        return st;
    }
    if (http != NULL)
        made->given_http = *http;
    *aws = made;
    return KMSE_OK;
}

static void session_free(struct session *session)
{
    if (session == NULL)
        return;
    kmse_aws_chain_free(session->chain);
    if (session->http.free != NULL)
        session->http.free(session->http.arg);
    free(session);
}

void kmse_aws_free(struct kmse_aws *aws)
{
    if (aws == NULL)
        return;
    struct session *session = atomic_load(&aws->session);
    if (session == NULL && aws->given_http.free != NULL)
        aws->given_http.free(aws->given_http.arg);
    session_free(session);
    kmse_retry_bucket_wipe(&aws->bucket);
    kmse_aws_options_wipe(&aws->options);
    free(aws);
}

/*
 * A session may be made meanwhile by a thread that the fork does not stop. The
 * child makes its own then, for that thread may hold what is in it.
 */
void kmse_aws_prepare_fork(struct kmse_aws *aws)
{
    pthread_mutex_lock(&aws->bucket.mutex);
    aws->forking = atomic_load(&aws->session);
    if (aws->forking != NULL)
        kmse_aws_chain_prepare_fork(aws->forking->chain);
}

void kmse_aws_parent(struct kmse_aws *aws)
{
    if (aws->forking != NULL)
        kmse_aws_chain_parent(aws->forking->chain);
    pthread_mutex_unlock(&aws->bucket.mutex);
}

void kmse_aws_child(struct kmse_aws *aws)
{
    if (aws->forking != NULL)
        kmse_aws_chain_child(aws->forking->chain);
    else
        atomic_store(&aws->session, NULL);
    pthread_mutex_unlock(&aws->bucket.mutex);
}

static kmse_st session_new(struct session **session, struct kmse_aws *aws,
                           struct kmse_why *why)
{
    struct session *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = KMSE_OK;
    if (aws->given_http.perform != NULL)
        made->http = aws->given_http;
    else
        st = kmse_http_load(&made->http, why);
    if (kmse_is_ok(st))
        st = kmse_aws_chain_new(&made->chain, aws->crypto, &aws->options,
                                &made->http, aws->clock);
    if (!kmse_is_ok(st)) {
        session_free(made);
        return st;
    }
    kmse_aws_chain_wait_with(made->chain, &aws->wait);
    *session = made;
    return KMSE_OK;
}

/* Two first calls may both make one; no lock is held, the first stays. */
static kmse_st get_session(struct session **session, struct kmse_aws *aws,
                           struct kmse_why *why)
{
    struct session *found = atomic_load(&aws->session), *made = NULL;
    if (found == NULL) {
        KMSE_TRY(session_new(&made, aws, why));
        if (atomic_compare_exchange_strong(&aws->session, &found, made))
            found = made;
        else
            session_free(made);
    }
    *session = found;
    return KMSE_OK;
}

/* --- where to ----------------------------------------------------------- */

struct route {
    char region[sizeof(((struct kmse_aws_key *)NULL)->region)];
    char url[KMSE_AWS_URL_MAX];
    char *ca_bundle;
};

static kmse_st find_region(struct route *route, const struct kmse_aws *aws,
                           const struct kmse_aws_key *key, struct kmse_why *why)
{
    char *region = NULL;
    if (key->region[0] != '\0') {
        snprintf(route->region, sizeof(route->region), "%s", key->region);
        return KMSE_OK;
    }
    KMSE_TRY(kmse_aws_region(&region, &aws->options, why));
    if (region == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "no AWS Region: give the key's ARN, or set aws-region "
                         "or AWS_REGION");
    bool fits = strlen(region) < sizeof(route->region);
    snprintf(route->region, sizeof(route->region), "%s", region);
    free(region);
    return fits ? KMSE_OK
                : kmse_fail(why, KMSE_R_CONFIG_VALUE,
                            "not an AWS Region: %s...", route->region);
}

static kmse_st find_url(struct route *route, const struct kmse_aws *aws,
                        struct kmse_why *why)
{
    const struct kmse_aws_options *options = &aws->options;
    char *url = NULL;
    KMSE_TRY(kmse_aws_endpoint_url(&url, options, "kms", why));
    if (url != NULL) {
        bool fits = strlen(url) < sizeof(route->url);
        snprintf(route->url, sizeof(route->url), "%s", url);
        free(url);
        return fits ? KMSE_OK
                    : kmse_fail(why, KMSE_R_CONFIG_VALUE,
                                "the endpoint's URL is too long");
    }
    return kmse_aws_standard_url(route->url, options, "kms", route->region,
                                 why);
}

static kmse_st find_route(struct route *route, const struct kmse_aws *aws,
                          const struct kmse_aws_key *key, struct kmse_why *why)
{
    *route = (struct route){.ca_bundle = NULL};
    KMSE_TRY(find_region(route, aws, key, why));
    KMSE_TRY(find_url(route, aws, why));
    return kmse_aws_ca_bundle(&route->ca_bundle, &aws->options, why);
}

/* --- a call and its attempts -------------------------------------------- */

struct call {
    struct kmse_aws *aws;
    struct session *session;
    const struct route *route;
    const char *action;
    const struct kmse_aws_body *body;
    uint64_t deadline_ms;
    struct kmse_retry retry;
    bool clock_corrected, credentials_renewed;
};

static uint64_t elapsed_ms(const struct kmse_aws *aws)
{
    return aws->clock->elapsed_ms(aws->clock->arg);
}

static int64_t wall_s(const struct kmse_aws *aws)
{
    return aws->clock->wall_s(aws->clock->arg);
}

static kmse_st attempt(struct call *call, struct kmse_aws_outcome *outcome,
                       struct kmse_aws_credentials **credentials,
                       struct kmse_why *why)
{
    struct kmse_aws *aws = call->aws;
    const struct kmse_aws_options *options = &aws->options;
    uint64_t now_ms = elapsed_ms(aws);
    if (kmse_interrupt_is_raised(kmse_interrupt_current()))
        return kmse_fail(why, KMSE_R_INTERRUPTED, "before it was sent");
    KMSE_TRY(kmse_aws_chain_get(call->session->chain, credentials, why));
    /* A source of credentials has deadlines of its own. */
    call->deadline_ms += elapsed_ms(aws) - now_ms;
    now_ms = elapsed_ms(aws);
    if (now_ms >= call->deadline_ms)
        return kmse_fail(why, KMSE_R_KMS_TIMEOUT, "no time is left");
    uint64_t left_ms = call->deadline_ms - now_ms;
    uint64_t connect_ms = options->connect_timeout_ms != 0
                              ? options->connect_timeout_ms
                              : CONNECT_TIMEOUT_MS;
    const struct kmse_aws_request request = {
        .url = call->route->url,
        .region = call->route->region,
        .action = call->action,
        .body = call->body,
        .ca_bundle = call->route->ca_bundle,
        .proxy = options->proxy,
        .no_proxy = options->no_proxy,
        .allow_http = options->allow_http,
        .connect_timeout_ms =
            (uint32_t)(connect_ms < left_ms ? connect_ms : left_ms),
        .timeout_ms = (uint32_t)left_ms,
        .wall_s = wall_s(aws) + atomic_load(&aws->skew_s),
    };
    return kmse_aws_attempt(outcome, aws->crypto, &call->session->http,
                            *credentials, &request, why);
}

/* Signatures are good for five minutes: a clock that is off is made up for. */
static bool correct_clock(struct call *call,
                          const struct kmse_aws_outcome *outcome)
{
    if (call->clock_corrected || outcome->server_s == 0
        || !kmse_aws_error_is_skew(&outcome->error))
        return false;
    call->clock_corrected = true;
    atomic_store(&call->aws->skew_s, outcome->server_s - wall_s(call->aws));
    return true;
}

static bool renew_credentials(struct call *call,
                              const struct kmse_aws_outcome *outcome,
                              const struct kmse_aws_credentials *refused)
{
    if (call->credentials_renewed || refused == NULL
        || !kmse_aws_error_is_credentials(&outcome->error))
        return false;
    call->credentials_renewed = true;
    kmse_aws_chain_invalidate(call->session->chain, refused);
    return true;
}

/* Waits, if there is time left to try once more after that. */
static bool wait_for_retry(struct call *call, int reason,
                           const struct kmse_aws_outcome *outcome)
{
    uint32_t random = 0;
    if (!kmse_retry_again(&call->retry, reason)
        || !kmse_is_ok(kmse_crypto_random(call->aws->crypto, (uint8_t *)&random,
                                          sizeof(random))))
        return false;
    uint32_t delay_ms = kmse_retry_delay_ms(&call->retry, reason, random,
                                            outcome->retry_after_ms);
    if (elapsed_ms(call->aws) + delay_ms >= call->deadline_ms)
        return false;
    call->aws->wait.wait_ms(call->aws->wait.arg, delay_ms);
    return true;
}

/* On success outcome holds the answer. */
static kmse_st attempt_until_done(struct call *call,
                                  struct kmse_aws_outcome *outcome,
                                  struct kmse_why *why)
{
    for (;;) {
        struct kmse_aws_credentials *credentials = NULL;
        *outcome = (struct kmse_aws_outcome){.server_s = 0};
        kmse_st st = attempt(call, outcome, &credentials, why);
        /* Without credentials: their source has made its own attempts. */
        bool again = !kmse_is_ok(st) && credentials != NULL
                     && (correct_clock(call, outcome)
                         || renew_credentials(call, outcome, credentials)
                         || wait_for_retry(call, st.reason, outcome));
        kmse_aws_credentials_release(credentials);
        if (kmse_is_ok(st))
            kmse_retry_succeeded(&call->retry);
        if (!again)
            return st;
        kmse_aws_outcome_wipe(outcome);
    }
}

/* --- for people --------------------------------------------------------- */

static const char *mend(int reason)
{
    switch (reason) {
    case KMSE_R_KMS_DENIED:
        return "allow it in the key's policy and in IAM";
    case KMSE_R_KMS_DISABLED:
        return "enable the key";
    case KMSE_R_KMS_PENDING_DELETION:
        return "cancel its deletion";
    case KMSE_R_KMS_KEY_NOT_FOUND:
        return "see Region and account";
    case KMSE_R_KMS_CREDENTIALS:
        return "kms-envelope doctor shows where they come from";
    case KMSE_R_KMS_UNREACHABLE:
    case KMSE_R_KMS_TIMEOUT:
        return "see network, endpoint and proxy";
    default:
        return "";
    }
}

static kmse_st tell(const struct call *call, const char *location, kmse_st st,
                    const struct kmse_why *cause, struct kmse_why *why)
{
    const char *what_to_do = mend(st.reason);
    return kmse_fail(why, st.reason, "aws-kms:%.160s: kms:%s in %s: %.680s%s%s",
                     location, call->action, call->route->region, cause->text,
                     what_to_do[0] != '\0' ? ": " : "", what_to_do);
}

static void take_request_id(struct kmse_aws_result *result,
                            const struct kmse_http_answer *answer)
{
    kmse_printable_copy(result->request_id, sizeof(result->request_id),
                        (const uint8_t *)answer->request_id,
                        strlen(answer->request_id));
}

static kmse_st call_and_parse(struct call *call, const char *location,
                              unsigned fields, struct kmse_aws_result *result,
                              struct kmse_why *why)
{
    struct kmse_why cause = {""};
    struct kmse_aws_outcome outcome;
    kmse_st st = attempt_until_done(call, &outcome, &cause);
    if (kmse_is_ok(st))
        st = kmse_aws_result_parse(result, call->aws->pool, fields,
                                   (const char *)outcome.answer.body,
                                   outcome.answer.body_len, &cause);
    take_request_id(result, &outcome.answer);
    kmse_aws_outcome_wipe(&outcome);
    return kmse_is_ok(st) ? st : tell(call, location, st, &cause, why);
}

kmse_st kmse_aws_call(struct kmse_aws *aws, const struct kmse_aws_key *key,
                      const char *location, const char *action,
                      const struct kmse_aws_body *body, unsigned fields,
                      struct kmse_aws_result *result, struct kmse_why *why)
{
    struct route route;
    uint64_t timeout_ms =
        aws->options.timeout_ms != 0 ? aws->options.timeout_ms : TIMEOUT_MS;
    struct call call = {
        .aws = aws,
        .route = &route,
        .action = action,
        .body = body,
        .deadline_ms = elapsed_ms(aws) + timeout_ms,
        .retry = {.bucket = &aws->bucket},
    };
    result->request_id[0] = '\0';
    KMSE_TRY(get_session(&call.session, aws, why));
    kmse_st st = find_route(&route, aws, key, why);
    if (kmse_is_ok(st))
        st = call_and_parse(&call, location, fields, result, why);
    free(route.ca_bundle);
    return st;
}

static kmse_st print_access(char out[KMSE_KMS_ACCESS_LEN], struct kmse_aws *aws,
                            const struct route *route, struct kmse_why *why)
{
    struct session *session = NULL;
    struct kmse_aws_credentials *credentials = NULL;
    KMSE_TRY(get_session(&session, aws, why));
    KMSE_TRY(kmse_aws_chain_get(session->chain, &credentials, why));
    snprintf(out, KMSE_KMS_ACCESS_LEN, "%s, Region %s, credentials from %s",
             route->url, route->region, credentials->source);
    kmse_aws_credentials_release(credentials);
    return KMSE_OK;
}

kmse_st kmse_aws_access(struct kmse_aws *aws, const struct kmse_aws_key *key,
                        char out[KMSE_KMS_ACCESS_LEN], struct kmse_why *why)
{
    struct route route;
    kmse_st st = find_route(&route, aws, key, why);
    if (kmse_is_ok(st))
        st = print_access(out, aws, &route, why);
    free(route.ca_bundle);
    return st;
}
