/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys asked for, looked up, and handed out. */
#include "agent/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kmse_desk {
    struct kmse_desk_tools tools;
    const struct kmse_agent_policy *policy;
    struct kmse_ring *ring;
    struct inquiry *inquiries;
};

/* One version being looked for, and all who wait for it. */
struct inquiry {
    struct kmse_job job; /* first: the pointer is to both */
    struct kmse_desk *desk;
    struct inquiry *next;
    struct kmse_asker *askers;
    struct kmse_peer peer; /* who asked first */
    struct kmse_agent_request request;
    struct kmse_ring *ring;
    struct kmse_key *key;
    struct kmse_loan loan;
    kmse_st st;
    struct kmse_why why;
};

kmse_st kmse_desk_new(struct kmse_desk **desk,
                      const struct kmse_desk_tools *tools)
{
    struct kmse_desk *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->tools = *tools;
    *desk = made;
    return KMSE_OK;
}

void kmse_desk_free(struct kmse_desk *desk)
{
    if (desk == NULL)
        return;
    kmse_ring_release(desk->ring);
    free(desk);
}

void kmse_desk_set(struct kmse_desk *desk,
                   const struct kmse_agent_policy *policy,
                   struct kmse_ring *ring)
{
    struct kmse_ring *old = desk->ring;
    desk->policy = policy;
    desk->ring = kmse_ring_acquire(ring);
    kmse_ring_release(old);
}

/* --- answers ------------------------------------------------------------ */

static void answer_reason(struct kmse_asker *asker, kmse_st st,
                          const struct kmse_why *why)
{
    struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .reason = st.reason,
    };
    /* Who borrowed goes on while it can, as if the KMS were away: it is. */
    if (st.reason == KMSE_R_INTERRUPTED)
        answer.reason = KMSE_R_KMS_UNREACHABLE;
    snprintf(answer.text, sizeof(answer.text), "%s", why->text);
    asker->answer(asker, &answer, NULL);
}

static void answer_loan(struct kmse_desk *desk, struct kmse_asker *asker,
                        const struct kmse_loan *loan)
{
    const struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .fresh_ms = loan->fresh_ms,
        .stale_ms = loan->stale_ms,
    };
    kmse_metrics_use(desk->tools.metrics, &asker->request);
    asker->answer(asker, &answer, loan->data_key.bytes);
}

static void count(struct kmse_metrics *metrics, kmse_st st)
{
    if (kmse_is_ok(st))
        metrics->lent++;
    else
        metrics->failed++;
}

static void answer(struct kmse_desk *desk, struct kmse_asker *asker,
                   const struct kmse_loan *loan, kmse_st st,
                   const struct kmse_why *why)
{
    count(desk->tools.metrics, st);
    if (kmse_is_ok(st))
        answer_loan(desk, asker, loan);
    else
        answer_reason(asker, st, why);
}

/* --- inquiries ---------------------------------------------------------- */

static struct kmse_wanted wanted_of(const struct kmse_agent_request *request)
{
    return (struct kmse_wanted){
        .key = request->key,
        .id = request->id,
        .version = request->version,
    };
}

static void unlink_inquiry(struct inquiry *inquiry)
{
    struct inquiry **at = &inquiry->desk->inquiries;
    while (*at != inquiry)
        at = &(*at)->next;
    *at = inquiry->next;
}

/* Out of the list first: an answer may be followed by the next question. */
static void settle(struct inquiry *inquiry)
{
    unlink_inquiry(inquiry);
    while (inquiry->askers != NULL) {
        struct kmse_asker *asker = inquiry->askers;
        inquiry->askers = asker->next;
        answer(inquiry->desk, asker, &inquiry->loan, inquiry->st,
               &inquiry->why);
    }
    kmse_secret_wipe(&inquiry->loan.data_key);
    kmse_ring_release(inquiry->ring);
    free(inquiry);
}

static void post(struct inquiry *inquiry, struct kmse_jobs *jobs,
                 void (*run)(struct kmse_job *job),
                 void (*done)(struct kmse_job *job))
{
    inquiry->job.run = run;
    inquiry->job.done = done;
    inquiry->st = kmse_fail(&inquiry->why, KMSE_R_KMS_UNREACHABLE,
                            "the agent is about to end");
    if (kmse_jobs_post(jobs, &inquiry->job))
        return;
    inquiry->st = kmse_fail(&inquiry->why, KMSE_R_KMS_THROTTLED,
                            "the agent has too much to do");
    inquiry->desk->tools.metrics->refused_busy++;
    settle(inquiry);
}

static void run_lend(struct kmse_job *job)
{
    struct inquiry *inquiry = (struct inquiry *)job;
    const struct kmse_wanted wanted = wanted_of(&inquiry->request);
    kmse_audit_set_peer(&inquiry->peer);
    inquiry->st =
        kmse_key_lend(inquiry->key, &wanted, &inquiry->loan, &inquiry->why);
    kmse_audit_set_peer(NULL);
}

static void lent(struct kmse_job *job)
{
    settle((struct inquiry *)job);
}

static void run_look(struct kmse_job *job)
{
    struct inquiry *inquiry = (struct inquiry *)job;
    inquiry->st = kmse_ring_find(inquiry->ring, inquiry->request.key,
                                 &inquiry->key, &inquiry->why);
    if (kmse_is_ok(inquiry->st))
        kmse_key_look(inquiry->key);
}

static void looked(struct kmse_job *job)
{
    struct inquiry *inquiry = (struct inquiry *)job;
    const struct kmse_wanted wanted = wanted_of(&inquiry->request);
    if (!kmse_is_ok(inquiry->st)
        || kmse_key_try_lend(inquiry->key, &wanted, &inquiry->loan,
                             &inquiry->st, &inquiry->why)
               == KMSE_LENDING_DONE) {
        settle(inquiry);
        return;
    }
    post(inquiry, inquiry->desk->tools.kms, run_lend, lent);
}

static struct inquiry *find_inquiry(const struct kmse_desk *desk,
                                    const struct kmse_agent_request *request)
{
    struct inquiry *found = desk->inquiries;
    while (found != NULL
           && (found->ring != desk->ring
               || found->request.version != request->version
               || memcmp(found->request.id, request->id, KMSE_KEY_ID_LEN) != 0
               || strcmp(found->request.key, request->key) != 0))
        found = found->next;
    return found;
}

static void inquire(struct kmse_desk *desk, struct kmse_asker *asker,
                    const struct kmse_peer *peer, struct kmse_key *key,
                    enum kmse_lending how)
{
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
    if (inquiry == NULL) {
        const struct kmse_why why = {"of the agent"};
        answer(desk, asker, NULL, KMSE_ERR(KMSE_R_MEMORY), &why);
        return;
    }
    asker->next = NULL;
    inquiry->desk = desk;
    inquiry->askers = asker;
    inquiry->peer = *peer;
    inquiry->request = asker->request;
    inquiry->ring = kmse_ring_acquire(desk->ring);
    inquiry->key = key;
    inquiry->next = desk->inquiries;
    desk->inquiries = inquiry;
    if (how == KMSE_LENDING_LOOK)
        post(inquiry, desk->tools.files, run_look, looked);
    else
        post(inquiry, desk->tools.kms, run_lend, lent);
}

/* --- asking ------------------------------------------------------------- */

static void refuse(struct kmse_desk *desk, struct kmse_asker *asker,
                   const struct kmse_peer *peer)
{
    const struct kmse_agent_request *request = &asker->request;
    struct kmse_why why;
    kmse_st st = kmse_fail(&why, KMSE_R_KMS_DENIED,
                           "user %u may not have the key %s: no [allow] "
                           "section of the agent's configuration says so",
                           (unsigned)peer->uid, request->key);
    desk->tools.metrics->refused_policy++;
    kmse_audit_refusal(desk->tools.audit, peer, request->key, request->version,
                       "policy");
    answer_reason(asker, st, &why);
}

void kmse_desk_ask(struct kmse_desk *desk, struct kmse_asker *asker,
                   const struct kmse_credentials *credentials)
{
    const struct kmse_agent_request *request = &asker->request;
    const struct kmse_wanted wanted = wanted_of(request);
    enum kmse_lending how = KMSE_LENDING_LOOK;
    struct kmse_loan loan = {.fresh_ms = 0};
    struct kmse_why why = {""};
    kmse_st st = KMSE_OK;
    if (kmse_agent_policy_find(desk->policy, request->key, credentials)
        == NULL) {
        refuse(desk, asker, &credentials->peer);
        return;
    }
    struct inquiry *same = find_inquiry(desk, request);
    if (same != NULL) {
        asker->next = same->askers;
        same->askers = asker;
        return;
    }
    struct kmse_key *key = kmse_ring_find_loaded(desk->ring, request->key);
    if (key != NULL)
        how = kmse_key_try_lend(key, &wanted, &loan, &st, &why);
    if (how == KMSE_LENDING_DONE)
        answer(desk, asker, &loan, st, &why);
    else
        inquire(desk, asker, &credentials->peer, key, how);
    kmse_secret_wipe(&loan.data_key);
}
