/* SPDX-License-Identifier: Apache-2.0 */
/* Asking an endpoint that hands out credentials. */
#include "kms/aws_source.h"

#include <string.h>

#include "base/interrupt.h"
#include "kms/aws_request.h"

/* --- answers ------------------------------------------------------------ */

kmse_st kmse_aws_judge_status(int status, struct kmse_why *why)
{
    enum { FINE = 200, TOO_MANY = 429, SERVER_ERRORS = 500 };
    int reason = KMSE_R_KMS_CREDENTIALS;
    if (status == FINE)
        return KMSE_OK;
    if (status == TOO_MANY)
        reason = KMSE_R_KMS_THROTTLED;
    else if (status >= SERVER_ERRORS)
        reason = KMSE_R_KMS_UNREACHABLE;
    return kmse_fail(why, reason, "HTTP status %d", status);
}

/*
 * A Date may be made up, too: what is good by our clock does not become bad by
 * it.
 */
void kmse_aws_credentials_by_our_clock(const struct kmse_aws_search *search,
                                       struct kmse_aws_credentials *credentials,
                                       const struct kmse_http_answer *answer)
{
    int64_t now_s = kmse_aws_search_wall_s(search);
    int64_t server_s = kmse_http_date_parse(answer->date);
    if (credentials->expires_s == 0 || server_s == 0)
        return;
    int64_t ours_s = credentials->expires_s - server_s + now_s;
    if (ours_s > now_s || credentials->expires_s <= now_s)
        credentials->expires_s = ours_s;
}

/* --- asking ------------------------------------------------------------- */

static uint32_t at_most(uint32_t timeout_ms, uint64_t left_ms)
{
    return timeout_ms < left_ms ? timeout_ms : (uint32_t)left_ms;
}

static kmse_st attempt(const struct kmse_aws_search *search,
                       const struct kmse_aws_ask *ask,
                       struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct kmse_http_request request = ask->request;
    uint64_t left_ms = kmse_aws_search_left_ms(search);
    if (left_ms == 0)
        return kmse_fail(why, KMSE_R_KMS_TIMEOUT, "no time is left");
    request.interrupt = kmse_interrupt_current();
    if (kmse_interrupt_is_raised(request.interrupt))
        return KMSE_ERR(KMSE_R_INTERRUPTED);
    request.timeout_ms = at_most(request.timeout_ms, left_ms);
    request.connect_timeout_ms = at_most(request.connect_timeout_ms, left_ms);
    kmse_st st =
        search->http->perform(search->http->arg, &request, answer, why);
    KMSE_TRY(st);
    return ask->judge(ask->judge_arg, answer, why);
}

/* Waits, if there is time left to try once more after that. */
static bool wait_for_retry(const struct kmse_aws_search *search,
                           struct kmse_retry *retry, int reason)
{
    uint32_t random = 0;
    if (!kmse_retry_again(retry, reason)
        || !kmse_is_ok(kmse_crypto_random(search->crypto, (uint8_t *)&random,
                                          sizeof(random))))
        return false;
    uint32_t delay_ms = kmse_retry_delay_ms(retry, reason, random, 0);
    if (delay_ms >= kmse_aws_search_left_ms(search))
        return false;
    search->wait.wait_ms(search->wait.arg, delay_ms);
    return true;
}

static kmse_st attempt_until_done(const struct kmse_aws_search *search,
                                  const struct kmse_aws_ask *ask,
                                  struct kmse_http_answer *answer,
                                  struct kmse_why *why)
{
    struct kmse_retry retry = {.bucket = search->bucket};
    for (;;) {
        kmse_st st = attempt(search, ask, answer, why);
        if (kmse_is_ok(st))
            kmse_retry_succeeded(&retry);
        if (kmse_is_ok(st) || ask->once
            || !wait_for_retry(search, &retry, st.reason))
            return st;
        kmse_http_answer_wipe(answer);
    }
}

kmse_st kmse_aws_ask(const struct kmse_aws_search *search,
                     const struct kmse_aws_ask *ask,
                     struct kmse_http_answer *answer, struct kmse_why *why)
{
    struct kmse_why cause = {""};
    *answer = (struct kmse_http_answer){.status = 0};
    kmse_st st = attempt_until_done(search, ask, answer, &cause);
    if (kmse_is_ok(st))
        return st;
    const char *text =
        cause.text[0] != '\0' ? cause.text : kmse_reason_text(st.reason);
    return kmse_fail(why, st.reason, "%.200s: %.300s", ask->source, text);
}
