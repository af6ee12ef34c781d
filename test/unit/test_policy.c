/* SPDX-License-Identifier: Apache-2.0 */
/* The policy of a key: what the file says, and when the next version is due. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "keyring/due.h"
#include "keyring/rotation.h"

static const char NAME[] = "emails";
static const int64_t DAY_S = 86400;

static struct kmse_why why;

static void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

/* --- time stands still unless told -------------------------------------- */

static const int64_t START_S = 1800000000;
static int64_t now_s;

static uint64_t fake_ms(void *arg)
{
    (void)arg;
    return 0;
}

static int64_t fake_wall_s(void *arg)
{
    (void)arg;
    return now_s;
}

static const struct kmse_clock CLOCK = {fake_ms, fake_ms, fake_wall_s, NULL};

/* --- a key that is to be rotated after 90 days -------------------------- */

static struct {
    char folder[64], path[128];
    struct kmse_rotation rotation;
} at;

static int set_up(void **state)
{
    (void)state;
    struct kmse_rotation *r = &at.rotation;
    char master[128];
    now_s = START_S;
    snprintf(at.folder, sizeof(at.folder), "/tmp/kmse-policy-XXXXXX");
    if (mkdtemp(at.folder) == NULL)
        return -1;
    snprintf(master, sizeof(master), "local:%s/master.key", at.folder);
    snprintf(at.path, sizeof(at.path), "%s/%s.json", at.folder, NAME);
    r->folder = at.folder;
    r->clock = &CLOCK;
    expect_ok(kmse_crypto_new(&r->crypto, NULL, false));
    expect_ok(kmse_pool_new(&r->pool));
    expect_ok(kmse_kms_new(&r->kms, r->crypto, r->pool, r->clock, NULL));
    const char *uris[] = {master};
    const struct kmse_policy policy = {
        .max_messages = 1000,
        .rotate_after_s = 90 * (uint64_t)DAY_S,
    };
    expect_done(kmse_rotation_create(r, NAME, uris, 1, NULL, &policy, &why));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    kmse_kms_free(at.rotation.kms);
    kmse_pool_free(at.rotation.pool);
    kmse_crypto_free(at.rotation.crypto);
    snprintf(command, sizeof(command), "rm -r '%s'", at.folder);
    return system(command);
}

static struct kmse_keyfile *read_file(void)
{
    struct kmse_keyfile *file = NULL;
    expect_done(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why));
    return file;
}

static char *read_bytes(void)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    expect_done(kmse_file_read(at.path, 1 << 20, 0, &bytes, &len, &why));
    char *text = strndup((const char *)bytes, len);
    assert_non_null(text);
    kmse_file_free_bytes(bytes, len);
    return text;
}

static size_t count_versions(void)
{
    struct kmse_keyfile *file = read_file();
    size_t count = file->version_count;
    kmse_keyfile_free(file);
    return count;
}

/* --- the file ----------------------------------------------------------- */

/* The text under the MAC is in kms-envelope-keyfile(5); the MACs are Python's.
 */
static const struct {
    uint64_t rotate_after_s;
    enum kmse_version_state state;
    const char *mac;
} MACS[] = {
    /* As releases wrote it that knew of neither. */
    {0, KMSE_VERSION_ACTIVE,
     "f26a00387bf215bbb31838ea19e1c3199ecdfd58ac3508900667effc3aa074ba"},
    {7776000, KMSE_VERSION_ACTIVE,
     "fcc75503060928f15c0ac4ce453e812e3e5e455b82a78932812edbecc4966a42"},
    {0, KMSE_VERSION_REVOKED,
     "a438cf050e09fbbb88e0a161dd2fff65e7ea86762725fb74a78e9688c358b87e"},
};

/* As one ends: every line that need not be there. */
static const char ENDED_MAC[] =
    "acdda3a85267d7bf31747e4edeb40618f611575c99e505cb57b87f17be2552ee";

static void set_version(struct kmse_version *version, uint32_t number,
                        int64_t created_s, int64_t active_from_s)
{
    *version = (struct kmse_version){
        .number = number,
        .created_s = created_s,
        .active_from_s = active_from_s,
        .state = KMSE_VERSION_ACTIVE,
    };
    memset(version->commitment, (int)number, KMSE_HMAC_LEN);
}

static void set_end(struct kmse_keyfile *file)
{
    static char scope[] = "users.email", tool[] = "kms-envelope 1";
    static uint64_t found[] = {0, 1000};
    static struct kmse_census_record census = {.scope = scope,
                                               .tool = tool,
                                               .taken_s = 1769990000,
                                               .found = found,
                                               .found_count = 2,
                                               .other = 3};
    struct kmse_version *one = &file->versions[0];
    file->policy.rotate_after_s = 0;
    file->policy.destroy_after_s = 86400;
    file->policy.census_fence_s = 90;
    one->state = KMSE_VERSION_DESTROYED;
    one->retired_s = 1769990400;
    one->destroyed_s = 1770076800;
    one->restored_s = 1769904900;
    file->censuses = &census;
    file->census_count = 1;
}

static void the_mac_of_a_file_is_as_documented(void **state)
{
    (void)state;
    struct kmse_version versions[2];
    struct kmse_keyfile file = {
        .name = "emails",
        .created_s = 1767225600,
        .policy = {.max_messages = 1000},
        .versions = versions,
        .version_count = 2,
    };
    struct kmse_secret key = {0};
    uint8_t mac[KMSE_HMAC_LEN];
    char hex[2 * KMSE_HMAC_LEN + 1];
    set_version(&versions[0], 1, file.created_s, file.created_s);
    set_version(&versions[1], 2, 1769904000, 1769904600);
    expect_ok(kmse_hex_decode(file.id, sizeof(file.id),
                              "c0ffee00c0ffee00c0ffee00c0ffee00"));
    expect_ok(kmse_kms_context_add(&file.context, "app", "crm"));
    expect_ok(kmse_secret_init(&key, at.rotation.pool));
    for (size_t i = 0; i < KMSE_SECRET_LEN; i++)
        key.bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(MACS) / sizeof(MACS[0]); i++) {
        file.policy.rotate_after_s = MACS[i].rotate_after_s;
        versions[0].state = MACS[i].state;
        expect_ok(kmse_keyfile_mac(mac, at.rotation.crypto, &file, &key));
        kmse_hex_encode(hex, mac, sizeof(mac));
        assert_string_equal(hex, MACS[i].mac);
    }
    set_end(&file);
    expect_ok(kmse_keyfile_mac(mac, at.rotation.crypto, &file, &key));
    kmse_hex_encode(hex, mac, sizeof(mac));
    assert_string_equal(hex, ENDED_MAC);
    kmse_secret_wipe(&key);
    kmse_kms_context_wipe(&file.context);
}

/* The file with another value in the place of rotate-after's. */
static kmse_st parse_with(const char *value, struct kmse_keyfile **file)
{
    char *json = read_bytes();
    char *number = strstr(json, "7776000");
    char *other = malloc(strlen(json) + 64);
    assert_non_null(number);
    sprintf(other, "%.*s%s%s", (int)(number - json), json, value,
            number + strlen("7776000"));
    kmse_st st =
        kmse_keyfile_parse(file, other, strlen(other), NAME, "the file", &why);
    free(other);
    free(json);
    return st;
}

static void rotate_after_is_read_strictly(void **state)
{
    (void)state;
    static const char *const BAD[] = {"0",
                                      "-1",
                                      "1.5",
                                      "\"90d\"",
                                      "null",
                                      "true",
                                      "[]",
                                      "316224001",
                                      "1e300",
                                      "1, \"rotate-after\": 1",
                                      "1, \"rotate-before\": 1",
                                      "1, \"Rotate-After\": 1"};
    struct kmse_keyfile *file = NULL;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        kmse_st st = parse_with(BAD[i], &file);
        if (kmse_is_ok(st))
            fail_msg("accepted %s", BAD[i]);
        expect_reason(st, KMSE_R_KEYFILE_FIELD);
        assert_non_null(strstr(why.text, "policy."));
        assert_null(file);
    }
    expect_done(parse_with("1", &file));
    assert_int_equal(file->policy.rotate_after_s, 1);
    assert_int_equal(file->policy.max_messages, 1000);
    kmse_keyfile_free(file);
    expect_done(parse_with("316224000", &file));
    assert_int_equal(file->policy.rotate_after_s, KMSE_ROTATE_AFTER_MAX_S);
    kmse_keyfile_free(file);
}

/* --- when --------------------------------------------------------------- */

static enum kmse_due_state due_after(int64_t age_s,
                                     const struct kmse_used *used)
{
    struct kmse_keyfile *file = read_file();
    struct kmse_due due = kmse_due_of(file, START_S + age_s, used);
    assert_int_equal(due.at_s, START_S + 90 * DAY_S);
    assert_true(kmse_due_is_now(&due) == (due.state >= KMSE_DUE_AGE));
    kmse_keyfile_free(file);
    return due.state;
}

static void it_is_due_by_age(void **state)
{
    (void)state;
    assert_int_equal(due_after(0, NULL), KMSE_DUE_LATER);
    assert_int_equal(due_after(-DAY_S, NULL), KMSE_DUE_LATER);
    assert_int_equal(due_after(72 * DAY_S - 1, NULL), KMSE_DUE_LATER);
    assert_int_equal(due_after(72 * DAY_S, NULL), KMSE_DUE_SOON);
    assert_int_equal(due_after(90 * DAY_S - 1, NULL), KMSE_DUE_SOON);
    assert_int_equal(due_after(90 * DAY_S, NULL), KMSE_DUE_AGE);
    assert_int_equal(due_after(900 * DAY_S, NULL), KMSE_DUE_AGE);
}

static void it_is_due_by_use(void **state)
{
    (void)state;
    struct kmse_used used = {.version = 1, .messages = 749, .bytes = 1 << 30};
    assert_int_equal(due_after(0, &used), KMSE_DUE_LATER);
    used.messages = 750;
    assert_int_equal(due_after(0, &used), KMSE_DUE_MESSAGES);
    assert_int_equal(due_after(80 * DAY_S, &used), KMSE_DUE_MESSAGES);
    assert_int_equal(due_after(90 * DAY_S, &used), KMSE_DUE_AGE);
    used.version = 2;
    assert_int_equal(due_after(0, &used), KMSE_DUE_LATER);
}

static void use_counts_without_an_age_too(void **state)
{
    (void)state;
    struct kmse_used used = {.version = 1, .messages = UINT64_MAX, .bytes = 4};
    struct kmse_keyfile *file = read_file();
    file->policy = (struct kmse_policy){.max_bytes = 5};
    struct kmse_due due = kmse_due_of(file, now_s, &used);
    assert_int_equal(due.state, KMSE_DUE_BYTES);
    assert_int_equal(due.at_s, 0);
    used.bytes = 3;
    due = kmse_due_of(file, now_s, &used);
    assert_int_equal(due.state, KMSE_DUE_NEVER);
    kmse_keyfile_free(file);
}

/* Made ahead for a fleet, it is the rotation: a timer makes no second one. */
static void a_version_that_waits_for_its_time_counts(void **state)
{
    (void)state;
    uint32_t number = 0;
    now_s += 90 * DAY_S;
    expect_done(
        kmse_rotation_rotate(&at.rotation, NAME, 10 * DAY_S, &number, &why));
    struct kmse_keyfile *file = read_file();
    assert_int_equal(kmse_due_of(file, now_s, NULL).state, KMSE_DUE_LATER);
    kmse_keyfile_free(file);
}

static void the_end_of_time_is_no_end_of_the_tool(void **state)
{
    (void)state;
    char text[KMSE_TIME_LEN];
    struct kmse_keyfile *file = read_file();
    file->versions[0].created_s = 253402300799;
    struct kmse_due due = kmse_due_of(file, now_s, NULL);
    kmse_time_print(text, due.at_s);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    kmse_keyfile_free(file);
}

/* --- rotation, if it is time -------------------------------------------- */

static uint32_t rotate_if_due(const struct kmse_used *used,
                              enum kmse_due_state expected)
{
    uint32_t number = 99;
    struct kmse_due due = {.state = KMSE_DUE_NEVER};
    expect_done(kmse_rotation_rotate_if_due(&at.rotation, NAME, 0, used, &due,
                                            &number, &why));
    assert_int_equal(due.state, expected);
    return number;
}

static void what_is_not_due_is_left_and_no_kms_is_asked(void **state)
{
    (void)state;
    char *before = read_bytes();
    uint64_t calls = kmse_kms_calls(at.rotation.kms);
    now_s += 90 * DAY_S - 1;
    assert_int_equal(rotate_if_due(NULL, KMSE_DUE_SOON), 0);
    assert_int_equal(kmse_kms_calls(at.rotation.kms), calls);
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void what_is_due_is_rotated_once(void **state)
{
    (void)state;
    now_s += 90 * DAY_S;
    assert_int_equal(rotate_if_due(NULL, KMSE_DUE_AGE), 2);
    assert_int_equal(rotate_if_due(NULL, KMSE_DUE_LATER), 0);
    now_s += 90 * DAY_S;
    assert_int_equal(rotate_if_due(NULL, KMSE_DUE_AGE), 3);
}

static void what_was_counted_is_of_one_version(void **state)
{
    (void)state;
    const struct kmse_used used = {.version = 1, .messages = 800};
    assert_int_equal(rotate_if_due(&used, KMSE_DUE_MESSAGES), 2);
    assert_int_equal(rotate_if_due(&used, KMSE_DUE_LATER), 0);
}

static void a_changed_file_is_not_rotated(void **state)
{
    (void)state;
    uint32_t number = 99;
    struct kmse_due due = {.at_s = 99};
    struct kmse_keyfile *file = read_file();
    file->policy.rotate_after_s = 1;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    kmse_keyfile_free(file);
    now_s += 5;
    expect_reason(kmse_rotation_rotate_if_due(&at.rotation, NAME, 0, NULL, &due,
                                              &number, &why),
                  KMSE_R_KEYFILE_MAC);
    assert_int_equal(number, 99);
    assert_int_equal(due.at_s, 99);
    assert_int_equal(count_versions(), 1);
}

enum { TIMERS = 6 };
static pthread_barrier_t all_are_there;

static void *run_timer(void *arg)
{
    uint32_t *number = arg;
    struct kmse_due due = {.state = KMSE_DUE_NEVER};
    pthread_barrier_wait(&all_are_there);
    kmse_st st = kmse_rotation_rotate_if_due(&at.rotation, NAME, 0, NULL, &due,
                                             number, NULL);
    return kmse_is_ok(st) ? number : NULL;
}

static void of_many_timers_one_makes_the_version(void **state)
{
    (void)state;
    pthread_t threads[TIMERS];
    uint32_t numbers[TIMERS] = {0};
    unsigned sum = 0;
    now_s += 100 * DAY_S;
    pthread_barrier_init(&all_are_there, NULL, TIMERS);
    for (size_t i = 0; i < TIMERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, run_timer, &numbers[i]), 0);
    for (size_t i = 0; i < TIMERS; i++) {
        void *done = NULL;
        pthread_join(threads[i], &done);
        assert_non_null(done);
        sum += numbers[i];
    }
    pthread_barrier_destroy(&all_are_there);
    assert_int_equal(sum, 2);
    assert_int_equal(count_versions(), 2);
}

/* --- changing it -------------------------------------------------------- */

static struct kmse_policy change(const struct kmse_policy_change *wish)
{
    struct kmse_policy said = {0};
    expect_done(
        kmse_rotation_change_policy(&at.rotation, NAME, wish, &said, &why));
    struct kmse_keyfile *file = read_file();
    assert_memory_equal(&said, &file->policy, sizeof(said));
    kmse_keyfile_free(file);
    return said;
}

static void what_is_not_named_stays(void **state)
{
    (void)state;
    const uint64_t week = 604800, five = 5, none = 0;
    uint32_t number = 0;
    struct kmse_policy policy =
        change(&(struct kmse_policy_change){.rotate_after_s = &week});
    assert_int_equal(policy.rotate_after_s, week);
    assert_int_equal(policy.max_messages, 1000);
    assert_int_equal(policy.max_bytes, 0);
    policy = change(&(struct kmse_policy_change){.max_bytes = &five,
                                                 .max_messages = &none});
    assert_int_equal(policy.rotate_after_s, week);
    assert_int_equal(policy.max_messages, 0);
    assert_int_equal(policy.max_bytes, 5);
    policy = change(&(struct kmse_policy_change){.rotate_after_s = &none});
    assert_int_equal(policy.rotate_after_s, 0);
    /* Its MAC is right: else nobody would build upon it. */
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    assert_int_equal(number, 2);
}

static void a_policy_that_no_file_can_hold_is_not_written(void **state)
{
    (void)state;
    const uint64_t too_long = KMSE_ROTATE_AFTER_MAX_S + 1;
    const struct kmse_policy_change wish = {.rotate_after_s = &too_long};
    struct kmse_policy policy = {.max_bytes = 99};
    char *before = read_bytes();
    expect_reason(
        kmse_rotation_change_policy(&at.rotation, NAME, &wish, &policy, &why),
        KMSE_R_KEYFILE_FIELD);
    assert_int_equal(policy.max_bytes, 99);
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void the_policy_of_a_changed_file_is_not_built_upon(void **state)
{
    (void)state;
    const uint64_t five = 5;
    const struct kmse_policy_change wish = {.max_bytes = &five};
    struct kmse_policy policy = {0};
    struct kmse_keyfile *file = read_file();
    file->policy.rotate_after_s = 0;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    kmse_keyfile_free(file);
    expect_reason(
        kmse_rotation_change_policy(&at.rotation, NAME, &wish, &policy, &why),
        KMSE_R_KEYFILE_MAC);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_mac_of_a_file_is_as_documented),
        STORY(rotate_after_is_read_strictly),
        STORY(it_is_due_by_age),
        STORY(it_is_due_by_use),
        STORY(use_counts_without_an_age_too),
        STORY(a_version_that_waits_for_its_time_counts),
        STORY(the_end_of_time_is_no_end_of_the_tool),
        STORY(what_is_not_due_is_left_and_no_kms_is_asked),
        STORY(what_is_due_is_rotated_once),
        STORY(what_was_counted_is_of_one_version),
        STORY(a_changed_file_is_not_rotated),
        STORY(of_many_timers_one_makes_the_version),
        STORY(what_is_not_named_stays),
        STORY(a_policy_that_no_file_can_hold_is_not_written),
        STORY(the_policy_of_a_changed_file_is_not_built_upon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
