/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent has of its ring: data keys lent, for how long, and numbers. */
#include "ring_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keyring/keyfile.h"

static struct kmse_wanted wanted_version(uint32_t version)
{
    static struct kmse_keyfile *file;
    static uint8_t id[KMSE_KEY_ID_LEN];
    expect_ok(
        kmse_keyfile_read(&file, ring_fixture.folder, "emails", NULL, NULL));
    memcpy(id, file->id, sizeof(id));
    kmse_keyfile_free(file);
    return (struct kmse_wanted){.key = "emails", .id = id, .version = version};
}

static struct kmse_loan lend(uint32_t version)
{
    const struct kmse_wanted wanted = wanted_version(version);
    struct kmse_loan loan = {.fresh_ms = 0};
    struct kmse_why why = {""};
    kmse_st st = kmse_key_lend(ring_key(), &wanted, &loan, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
    return loan;
}

static kmse_st try_lend(uint32_t version, struct kmse_loan *loan,
                        enum kmse_lending expected)
{
    const struct kmse_wanted wanted = wanted_version(version);
    kmse_st st = KMSE_ERR(KMSE_R_INTERNAL);
    assert_int_equal(kmse_key_try_lend(ring_key(), &wanted, loan, &st, NULL),
                     expected);
    return st;
}

/* What a look at the file would find is not in question here. */
static void pass(uint64_t ms)
{
    ring_time_ms += ms;
    kmse_key_look(ring_key());
}

static void expect_terms(const struct kmse_loan *loan, uint64_t fresh_ms,
                         uint64_t stale_ms)
{
    assert_int_equal(loan->fresh_ms, fresh_ms);
    assert_int_equal(loan->stale_ms, stale_ms);
}

/* --- the data key ------------------------------------------------------- */

static void what_is_lent_is_the_versions_data_key(void **state)
{
    (void)state;
    struct kmse_lease *lease = NULL;
    struct kmse_loan loan = lend(1);
    expect_terms(&loan, RING_MAX_AGE_MS, RING_STALE_MS);
    ring_newest(&lease);
    assert_memory_equal(loan.data_key.bytes, lease->datakey->data_key.bytes,
                        KMSE_SECRET_LEN);
    assert_ptr_not_equal(loan.data_key.bytes, lease->datakey->data_key.bytes);
    kmse_lease_give_back(&lease);
    kmse_secret_wipe(&loan.data_key);
    assert_int_equal(ring_unwraps, 1);
}

static void another_key_of_that_name_is_not_lent(void **state)
{
    (void)state;
    struct kmse_wanted wanted = wanted_version(1);
    uint8_t id[KMSE_KEY_ID_LEN];
    struct kmse_loan loan;
    struct kmse_why why = {""};
    memcpy(id, wanted.id, sizeof(id));
    id[0] ^= 1;
    wanted.id = id;
    expect_reason(kmse_key_lend(ring_key(), &wanted, &loan, &why),
                  KMSE_R_KEY_NOT_FOUND);
    assert_non_null(strstr(why.text, "another key of that name"));
    assert_int_equal(ring_unwraps, 0);
}

static void a_version_that_is_not_there_is_looked_for_at_once(void **state)
{
    (void)state;
    const struct kmse_wanted wanted = wanted_version(2);
    struct kmse_loan loan;
    (void)try_lend(2, &loan, KMSE_LENDING_WAIT);
    expect_reason(kmse_key_lend(ring_key(), &wanted, &loan, NULL),
                  KMSE_R_KEY_VERSION_UNKNOWN);
    assert_int_equal(ring_rotate(0), 2);
    loan = lend(2);
    kmse_secret_wipe(&loan.data_key);
}

/* --- for how long ------------------------------------------------------- */

static void what_is_left_is_lent_without_waiting(void **state)
{
    (void)state;
    struct kmse_numbers numbers;
    struct kmse_loan loan = {.fresh_ms = 0};
    (void)try_lend(1, &loan, KMSE_LENDING_WAIT);
    loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    pass(100000);
    expect_ok(try_lend(1, &loan, KMSE_LENDING_DONE));
    expect_terms(&loan, RING_MAX_AGE_MS - 100000, RING_STALE_MS);
    kmse_secret_wipe(&loan.data_key);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.misses, 1);
    assert_int_equal(numbers.hits, 1);
    assert_int_equal(ring_unwraps, 1);
}

static void a_look_at_the_file_comes_first_when_it_is_due(void **state)
{
    (void)state;
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    ring_time_ms += 1000;
    (void)try_lend(1, &loan, KMSE_LENDING_LOOK);
    kmse_key_look(ring_key());
    expect_ok(try_lend(1, &loan, KMSE_LENDING_DONE));
    kmse_secret_wipe(&loan.data_key);
}

static void past_its_time_it_takes_the_kms(void **state)
{
    (void)state;
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    pass(RING_MAX_AGE_MS);
    (void)try_lend(1, &loan, KMSE_LENDING_WAIT);
    loan = lend(1);
    expect_terms(&loan, RING_MAX_AGE_MS, RING_STALE_MS);
    kmse_secret_wipe(&loan.data_key);
    assert_int_equal(ring_unwraps, 2);
}

/* And a key in use is refreshed before that. */
static void lending_near_the_end_refreshes(void **state)
{
    (void)state;
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    pass(RING_MAX_AGE_MS / 100 * 95);
    expect_ok(try_lend(1, &loan, KMSE_LENDING_DONE));
    kmse_secret_wipe(&loan.data_key);
    kmse_ring_wait(ring_fixture.ring);
    assert_int_equal(ring_unwraps, 2);
    expect_ok(try_lend(1, &loan, KMSE_LENDING_DONE));
    expect_terms(&loan, RING_MAX_AGE_MS, RING_STALE_MS);
    kmse_secret_wipe(&loan.data_key);
}

static void while_the_kms_is_away_it_is_lent_a_second_at_a_time(void **state)
{
    (void)state;
    struct kmse_numbers numbers;
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    ring_failure = KMSE_R_KMS_UNREACHABLE;
    pass(RING_MAX_AGE_MS);
    loan = lend(1);
    expect_terms(&loan, 1000, RING_STALE_MS - 1000);
    kmse_secret_wipe(&loan.data_key);
    /* Asked lately, or it would not be away. */
    pass(RING_STALE_MS - 400);
    loan = lend(1);
    expect_terms(&loan, 400, 0);
    kmse_secret_wipe(&loan.data_key);
    pass(400);
    const struct kmse_wanted wanted = wanted_version(1);
    expect_reason(kmse_key_lend(ring_key(), &wanted, &loan, NULL),
                  KMSE_R_KMS_UNREACHABLE);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.stale_serves, 2);
    assert_int_equal(numbers.unwraps, 1);
    assert_true(numbers.failures >= 2);
}

static void a_no_is_remembered_and_told_without_waiting(void **state)
{
    (void)state;
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    ring_failure = KMSE_R_KMS_DENIED;
    pass(RING_MAX_AGE_MS);
    const struct kmse_wanted wanted = wanted_version(1);
    expect_reason(kmse_key_lend(ring_key(), &wanted, &loan, NULL),
                  KMSE_R_KMS_DENIED);
    expect_reason(try_lend(1, &loan, KMSE_LENDING_DONE), KMSE_R_KMS_DENIED);
    assert_int_equal(ring_unwraps, 2);
}

/* --- numbers ------------------------------------------------------------ */

static void messages_are_counted_as_hits_and_misses(void **state)
{
    (void)state;
    struct kmse_numbers numbers;
    struct kmse_lease *lease = NULL, *other = NULL;
    for (int i = 0; i < 1000; i++)
        ring_newest(&lease);
    kmse_lease_give_back(&lease);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.misses, 1);
    assert_int_equal(numbers.hits, 999);
    assert_int_equal(numbers.unwraps, 1);
    assert_int_equal(numbers.failures, 0);
    assert_int_equal(numbers.stale_serves, 0);
    /* In use, one is counted when it next looks; given back, at once. */
    ring_newest(&lease);
    ring_newest(&other);
    ring_newest(&other);
    ring_time_ms += 101;
    ring_newest(&other);
    kmse_lease_give_back(&lease);
    kmse_lease_give_back(&other);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.hits, 1003);
    /* A lease that ends tells what it knows. */
    ring_newest(&lease);
    ring_newest(&other);
    ring_newest(&other);
    kmse_lease_give_back(&lease);
    kmse_lease_give_back(&other);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.hits, 1006);
    kmse_ring_get_numbers(ring_fixture.ring, &numbers);
    assert_int_equal(numbers.hits, 1006);
}

struct seen {
    unsigned count;
    struct kmse_cached last;
};

static void see(void *arg, const struct kmse_cached *cached)
{
    struct seen *seen = arg;
    seen->count++;
    seen->last = *cached;
}

static void what_is_cached_can_be_seen_until_it_is_wiped(void **state)
{
    (void)state;
    struct seen seen = {0};
    uint8_t nonce[KMSE_NONCE_LEN];
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    expect_ok(kmse_lease_take_nonce(lease, nonce, NULL));
    expect_ok(kmse_lease_take_bytes(lease, 5, NULL));
    ring_time_ms += RING_MAX_AGE_MS + 1000;
    kmse_ring_visit(ring_fixture.ring, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last.key, "emails");
    assert_int_equal(seen.last.version, 1);
    assert_true(seen.last.fresh_ms == -1000);
    assert_true(seen.last.serves_ms == RING_STALE_MS - 1000);
    assert_true(seen.last.messages > 0 && seen.last.bytes >= 5);
    ring_time_ms += RING_STALE_MS;
    kmse_ring_tidy(ring_fixture.ring);
    kmse_ring_visit(ring_fixture.ring, see, &seen);
    assert_int_equal(seen.count, 1);
    kmse_lease_give_back(&lease);
}

/* --- who keeps the books ------------------------------------------------ */

static struct {
    unsigned count;
    char operation[16], uri[128], key[32], why[64];
    uint32_t version;
    int reason;
    size_t request_id_len;
} observed;

static void observe(void *arg, const struct kmse_kms_event *event)
{
    assert_ptr_equal(arg, &observed);
    observed.count++;
    snprintf(observed.operation, sizeof(observed.operation), "%s",
             event->operation);
    snprintf(observed.uri, sizeof(observed.uri), "%s", event->uri);
    snprintf(observed.key, sizeof(observed.key), "%s", event->key);
    snprintf(observed.why, sizeof(observed.why), "%s", event->why);
    observed.version = event->version;
    observed.reason = event->st.reason;
    observed.request_id_len = strlen(event->request_id);
}

static void an_unwrap_is_told_to_who_keeps_the_books(void **state)
{
    (void)state;
    char path[128];
    const struct kmse_kms_options kms = {.observe = observe,
                                         .observe_arg = &observed};
    kmse_ring_release(ring_fixture.ring);
    ring_make(&(struct kmse_ring_options){.kms = &kms});
    struct kmse_loan loan = lend(1);
    kmse_secret_wipe(&loan.data_key);
    assert_int_equal(observed.count, 1);
    assert_string_equal(observed.operation, "unwrap");
    assert_string_equal(observed.uri, ring_fixture.uri);
    assert_string_equal(observed.key, "emails");
    assert_int_equal(observed.version, 1);
    assert_int_equal(observed.reason, 0);
    assert_string_equal(observed.why, "");
    assert_int_equal(observed.request_id_len, 0);
    snprintf(path, sizeof(path), "%s/master.key", ring_fixture.folder);
    assert_int_equal(unlink(path), 0);
    pass(RING_MAX_AGE_MS);
    const struct kmse_wanted wanted = wanted_version(1);
    kmse_st st = kmse_key_lend(ring_key(), &wanted, &loan, NULL);
    assert_false(kmse_is_ok(st));
    assert_int_equal(observed.count, 2);
    assert_int_equal(observed.reason, st.reason);
    assert_true(observed.why[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(what_is_lent_is_the_versions_data_key),
        RING_STORY(another_key_of_that_name_is_not_lent),
        RING_STORY(a_version_that_is_not_there_is_looked_for_at_once),
        RING_STORY(what_is_left_is_lent_without_waiting),
        RING_STORY(a_look_at_the_file_comes_first_when_it_is_due),
        RING_STORY(past_its_time_it_takes_the_kms),
        RING_STORY(lending_near_the_end_refreshes),
        RING_STORY(while_the_kms_is_away_it_is_lent_a_second_at_a_time),
        RING_STORY(a_no_is_remembered_and_told_without_waiting),
        RING_STORY(messages_are_counted_as_hits_and_misses),
        RING_STORY(what_is_cached_can_be_seen_until_it_is_wiped),
        RING_STORY(an_unwrap_is_told_to_who_keeps_the_books),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
