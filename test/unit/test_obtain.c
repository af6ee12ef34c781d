/* SPDX-License-Identifier: Apache-2.0 */
/* A ring whose data keys come from an agent. */
#include "ring_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keyring/keyfile.h"

/* --- an agent that does as it is told ----------------------------------- */

static struct {
    enum kmse_kms_agent use;
    int failure; /* a reason; 0: it lends */
    bool lends_another_key;
    uint64_t fresh_ms, stale_ms;
    _Atomic unsigned asked;
    struct kmse_wanted wanted; /* the last one */
} agent;

enum kmse_kms_agent __wrap_kmse_kms_agent(const struct kmse_kms *kms);
enum kmse_kms_agent __wrap_kmse_kms_agent(const struct kmse_kms *kms)
{
    (void)kms;
    return agent.use;
}

kmse_st __real_kmse_keyfile_unwrap(struct kmse_secret *, struct kmse_kms *,
                                   struct kmse_crypto *,
                                   const struct kmse_keyfile *,
                                   const struct kmse_version *,
                                   struct kmse_why *);
kmse_st __wrap_kmse_kms_borrow(struct kmse_kms *kms,
                               const struct kmse_wanted *wanted,
                               struct kmse_loan *loan, struct kmse_why *why);

static kmse_st borrow(struct kmse_loan *loan, uint32_t version)
{
    const struct kmse_rotation *r = &ring_fixture.rotation;
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(kmse_keyfile_read(&file, r->folder, "emails", NULL, NULL));
    kmse_st st =
        __real_kmse_keyfile_unwrap(&loan->data_key, r->kms, r->crypto, file,
                                   kmse_keyfile_find(file, version), NULL);
    kmse_keyfile_free(file);
    return st;
}

kmse_st __wrap_kmse_kms_borrow(struct kmse_kms *kms,
                               const struct kmse_wanted *wanted,
                               struct kmse_loan *loan, struct kmse_why *why)
{
    (void)kms;
    agent.asked++;
    agent.wanted = *wanted;
    if (agent.failure != 0)
        return kmse_fail(why, agent.failure, "told so by the agent");
    KMSE_TRY(borrow(loan, wanted->version));
    if (agent.lends_another_key)
        loan->data_key.bytes[0] ^= 1;
    loan->fresh_ms = agent.fresh_ms;
    loan->stale_ms = agent.stale_ms;
    return KMSE_OK;
}

static int set_up(void **state)
{
    int failed = ring_set_up(state);
    agent.use = KMSE_KMS_AGENT_ONLY;
    agent.failure = 0;
    agent.lends_another_key = false;
    agent.fresh_ms = RING_MAX_AGE_MS;
    agent.stale_ms = RING_STALE_MS;
    agent.asked = 0;
    return failed;
}

/* The agent's own calls to the KMS are not the ring's. */
static void expect_asked(unsigned of_agent, unsigned of_kms)
{
    assert_int_equal(agent.asked, of_agent);
    assert_int_equal(ring_unwraps, of_kms);
}

static void expect_no_lease(int reason, const char *text)
{
    struct kmse_lease *lease = NULL;
    struct kmse_why why = {""};
    kmse_st st = kmse_lease_newest(&lease, ring_key(), &why);
    if (st.reason != reason || strstr(why.text, text) == NULL)
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

/* --- stories ------------------------------------------------------------ */

static void the_agent_is_asked_and_no_kms(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    struct kmse_numbers numbers;
    assert_int_equal(ring_newest(&lease), 1);
    kmse_lease_give_back(&lease);
    expect_asked(1, 0);
    assert_string_equal(agent.wanted.key, "emails");
    assert_int_equal(agent.wanted.version, 1);
    assert_int_equal(kmse_ring_kms_calls(ring_fixture.ring), 0);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.unwraps, 1);
}

/* What the agent has left of its own time, not our max-age anew. */
static void it_is_good_for_what_the_agent_has_left(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.fresh_ms = 60000;
    ring_newest(&lease);
    ring_time_ms += 44000; /* 75 % are 45 s */
    ring_newest(&lease);
    kmse_ring_wait(ring_fixture.ring);
    expect_asked(1, 0);
    ring_time_ms += 10500; /* 90 % are past */
    ring_newest(&lease);
    kmse_ring_wait(ring_fixture.ring);
    expect_asked(2, 0);
    agent.failure = KMSE_R_KMS_DENIED;
    ring_time_ms += 60101;
    kmse_lease_give_back(&lease);
    expect_no_lease(KMSE_R_KMS_DENIED, "told so");
}

static void our_own_max_age_is_the_most(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.fresh_ms = 10 * (uint64_t)RING_MAX_AGE_MS;
    ring_newest(&lease);
    ring_time_ms += RING_MAX_AGE_MS + 101;
    ring_newest(&lease);
    expect_asked(2, 0);
    kmse_lease_give_back(&lease);
}

static void our_own_stale_time_is_the_most(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.stale_ms = 10 * (uint64_t)RING_STALE_MS;
    ring_newest(&lease);
    agent.failure = KMSE_R_AGENT;
    ring_time_ms += RING_MAX_AGE_MS + RING_STALE_MS - 1000;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
    ring_time_ms += 1001;
    expect_no_lease(KMSE_R_AGENT, "");
}

static void what_is_lent_for_no_time_serves_at_once(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.fresh_ms = 0;
    agent.stale_ms = 0;
    ring_newest(&lease);
    expect_asked(1, 0);
    ring_time_ms += 101;
    ring_newest(&lease);
    expect_asked(2, 0);
    kmse_lease_give_back(&lease);
}

static void another_data_key_is_not_used(void **state)
{
    (void)state;
    agent.lends_another_key = true;
    expect_no_lease(KMSE_R_COMMITMENT, "not this version's data key");
    agent.use = KMSE_KMS_AGENT_FIRST;
    ring_time_ms += 1001;
    expect_no_lease(KMSE_R_COMMITMENT, "not this version's data key");
    expect_asked(2, 0);
}

static void without_its_agent_it_says_what_to_do(void **state)
{
    (void)state;
    agent.failure = KMSE_R_AGENT;
    expect_no_lease(KMSE_R_AGENT, "told so by the agent; start kms-envelope "
                                  "agent, or set agent-fallback = yes");
    expect_asked(1, 0);
}

static void without_its_agent_it_goes_to_the_kms_where_it_may(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.failure = KMSE_R_AGENT;
    agent.use = KMSE_KMS_AGENT_FIRST;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
    expect_asked(1, 1);
}

static void an_agents_no_is_not_passed_by(void **state)
{
    (void)state;
    static const int NO[] = {KMSE_R_KMS_DENIED, KMSE_R_KMS_THROTTLED,
                             KMSE_R_KMS_UNREACHABLE, KMSE_R_KMS_ANSWER,
                             KMSE_R_KEY_VERSION_UNKNOWN};
    agent.use = KMSE_KMS_AGENT_FIRST;
    for (size_t i = 0; i < sizeof(NO) / sizeof(NO[0]); i++) {
        agent.failure = NO[i];
        expect_no_lease(NO[i], "key emails, version 1: told so");
        ring_time_ms += 1001;
    }
    assert_int_equal(ring_unwraps, 0);
}

static void while_the_agent_is_away_a_cached_key_serves(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.fresh_ms = 60000;
    agent.stale_ms = 120000;
    ring_newest(&lease);
    agent.failure = KMSE_R_AGENT;
    for (int i = 0; i < 179; i++) {
        ring_time_ms += 1000;
        ring_newest(&lease);
        kmse_ring_wait(ring_fixture.ring);
    }
    ring_time_ms += 1001;
    kmse_lease_give_back(&lease);
    expect_no_lease(KMSE_R_AGENT, "");
    agent.failure = 0;
    ring_time_ms += 30001; /* failures are kept as long, at most */
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
}

static void an_agents_no_takes_the_cached_key_away(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    agent.fresh_ms = 60000;
    ring_newest(&lease);
    agent.failure = KMSE_R_KMS_DENIED;
    ring_time_ms += 57000;
    ring_newest(&lease); /* it serves, and the agent is asked */
    kmse_ring_wait(ring_fixture.ring);
    kmse_lease_give_back(&lease);
    expect_no_lease(KMSE_R_KMS_DENIED, "told so");
}

/* --- what it was used for ----------------------------------------------- */

static void encrypt(uint64_t bytes)
{
    struct kmse_lease *lease = NULL;
    uint8_t nonce[KMSE_NONCE_LEN];
    ring_newest(&lease);
    expect_ok(kmse_lease_take_nonce(lease, nonce, NULL));
    expect_ok(kmse_lease_take_bytes(lease, bytes, NULL));
    kmse_lease_give_back(&lease);
}

/* Give or take what leases have in stock. */
static void expect_told_next(uint64_t messages)
{
    enum { STOCK = 256 };
    unsigned before = agent.asked;
    agent.wanted.messages = UINT64_MAX;
    ring_time_ms += RING_MAX_AGE_MS + 101;
    encrypt(1);
    kmse_ring_wait(ring_fixture.ring);
    assert_int_equal(agent.asked, before + 1);
    assert_in_range(agent.wanted.messages + STOCK, messages,
                    messages + 2 * STOCK);
}

static void the_agent_is_told_what_was_encrypted_once(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    encrypt(1);
    assert_int_equal(agent.wanted.messages, 0);
    for (int i = 0; i < MANY; i++)
        encrypt(1000);
    expect_told_next(MANY);
    assert_true(agent.wanted.bytes >= 1000 * (uint64_t)MANY);
    expect_told_next(0);
    for (int i = 0; i < MANY; i++)
        encrypt(1000);
    expect_told_next(MANY);
}

static void what_could_not_be_told_is_told_later(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    for (int i = 0; i < MANY; i++)
        encrypt(1);
    agent.failure = KMSE_R_AGENT;
    expect_told_next(MANY);
    agent.failure = 0;
    expect_told_next(MANY);
    expect_told_next(0);
}

static void a_child_does_not_tell_what_its_parent_did(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    for (int i = 0; i < MANY; i++)
        encrypt(1);
    pid_t child = fork();
    if (child == 0) {
        ring_time_ms += RING_MAX_AGE_MS + 101;
        encrypt(1);
        _exit(agent.asked == 2 && agent.wanted.messages <= 512 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_told_next(MANY);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, ring_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_agent_is_asked_and_no_kms),
        STORY(it_is_good_for_what_the_agent_has_left),
        STORY(our_own_max_age_is_the_most),
        STORY(our_own_stale_time_is_the_most),
        STORY(what_is_lent_for_no_time_serves_at_once),
        STORY(another_data_key_is_not_used),
        STORY(without_its_agent_it_says_what_to_do),
        STORY(without_its_agent_it_goes_to_the_kms_where_it_may),
        STORY(an_agents_no_is_not_passed_by),
        STORY(while_the_agent_is_away_a_cached_key_serves),
        STORY(an_agents_no_takes_the_cached_key_away),
        STORY(the_agent_is_told_what_was_encrypted_once),
        STORY(what_could_not_be_told_is_told_later),
        STORY(a_child_does_not_tell_what_its_parent_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
