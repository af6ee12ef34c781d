/* SPDX-License-Identifier: Apache-2.0 */
/* The audit's lines: what is in them, how many, and where. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/audit.h"

static uint64_t time_ms;

static uint64_t fake_ms(void *arg)
{
    (void)arg;
    return time_ms;
}

static int64_t fake_wall_s(void *arg)
{
    (void)arg;
    return 1800000000;
}

static const struct kmse_clock CLOCK = {fake_ms, fake_ms, fake_wall_s, NULL};

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/kmse-audit-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    time_ms = 1000;
    return fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static char *read_log(void)
{
    static char log[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, log, sizeof(log) - 1);
    close(fd);
    assert_true(n >= 0);
    log[n] = '\0';
    return log;
}

static const struct kmse_kms_event EVENT = {
    .operation = "unwrap",
    .uri = "aws-kms:arn",
    .key = "emails",
    .version = 3,
    .request_id = "8f3-\"1",
    .st = {0},
    .why = "",
    .duration_ms = 12,
};

static void an_unwrap_is_one_line(void **state)
{
    (void)state;
    static const struct kmse_peer PEER = {.pid = 7, .uid = 33, .gid = 34};
    struct kmse_audit *audit = NULL;
    expect_ok(kmse_audit_open(&audit, path, &CLOCK, NULL));
    kmse_audit_set_peer(&PEER);
    kmse_audit_event(audit, &EVENT);
    kmse_audit_set_peer(NULL);
    assert_string_equal(
        read_log(),
        "{\"time\":\"2027-01-15T08:00:00Z\",\"event\":\"unwrap\","
        "\"key\":\"emails\",\"version\":3,\"master-key\":\"aws-kms:arn\","
        "\"request-id\":\"8f3-\\\"1\","
        "\"peer\":{\"pid\":7,\"uid\":33,\"gid\":34},"
        "\"milliseconds\":12,\"outcome\":\"ok\"}\n");
    kmse_audit_close(audit);
}

static void a_failure_says_why(void **state)
{
    (void)state;
    struct kmse_kms_event event = EVENT;
    struct kmse_audit *audit = NULL;
    event.key = NULL;
    event.version = 0;
    event.request_id = "";
    event.st = KMSE_ERR(KMSE_R_KMS_DENIED);
    event.why = "not\nallowed";
    expect_ok(kmse_audit_open(&audit, path, &CLOCK, NULL));
    kmse_audit_event(audit, &event);
    assert_non_null(strstr(
        read_log(), "\"key\":null,\"version\":null,\"master-key\":\"aws-kms:arn"
                    "\",\"request-id\":null,\"peer\":null,\"milliseconds\":12,"
                    "\"outcome\":\"the KMS denied access\","
                    "\"why\":\"not\\nallowed\"}\n"));
    kmse_audit_close(audit);
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* Who is refused may ask for ever. */
static void refusals_are_told_some_a_second(void **state)
{
    (void)state;
    static const struct kmse_peer PEER = {.pid = 7, .uid = 33, .gid = 34};
    struct kmse_audit *audit = NULL;
    expect_ok(kmse_audit_open(&audit, path, &CLOCK, NULL));
    for (int i = 0; i < 1000; i++)
        kmse_audit_refusal(audit, &PEER, "emails", 1, "policy");
    assert_int_equal(count_lines(read_log()), 20);
    assert_null(strstr(read_log(), "untold"));
    time_ms += 1000;
    kmse_audit_refusal(audit, &PEER, "emails", 1, "policy");
    assert_non_null(strstr(read_log(),
                           "\"event\":\"refuse\",\"key\":\"emails\","
                           "\"version\":1,\"peer\":{\"pid\":7,\"uid\":33,"
                           "\"gid\":34},\"outcome\":\"refused\","
                           "\"why\":\"policy\",\"untold\":980}\n"));
    assert_int_equal(count_lines(read_log()), 21);
    assert_int_equal(kmse_audit_lost(audit), 0);
    kmse_audit_close(audit);
}

static void a_file_moved_away_is_opened_anew(void **state)
{
    (void)state;
    char moved[80];
    struct kmse_audit *audit = NULL;
    struct kmse_why why = {""};
    snprintf(moved, sizeof(moved), "%s.1", path);
    expect_ok(kmse_audit_open(&audit, path, &CLOCK, NULL));
    kmse_audit_event(audit, &EVENT);
    assert_int_equal(rename(path, moved), 0);
    expect_ok(kmse_audit_reopen(audit, path, &why));
    assert_string_equal(read_log(), "");
    kmse_audit_event(audit, &EVENT);
    assert_int_equal(count_lines(read_log()), 1);
    expect_reason(kmse_audit_reopen(audit, "/nowhere/at/all", &why),
                  KMSE_R_FILE);
    kmse_audit_event(audit, &EVENT);
    assert_int_equal(count_lines(read_log()), 2);
    kmse_audit_close(audit);
    assert_int_equal(unlink(moved), 0);
}

static void who_reads_too_slowly_stops_nobody(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    struct kmse_audit *audit = NULL;
    int ends[2], saved = dup(STDOUT_FILENO);
    expect_ok(kmse_audit_open(&audit, "stdout", &CLOCK, NULL));
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    dup2(ends[1], STDOUT_FILENO);
    for (int i = 0; i < MANY; i++)
        kmse_audit_event(audit, &EVENT);
    dup2(saved, STDOUT_FILENO);
    assert_in_range(kmse_audit_lost(audit), 1, MANY - 1);
    kmse_audit_close(audit);
    close(ends[0]);
    close(ends[1]);
    close(saved);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(an_unwrap_is_one_line),
        STORY(a_failure_says_why),
        STORY(refusals_are_told_some_a_second),
        STORY(a_file_moved_away_is_opened_anew),
        cmocka_unit_test(who_reads_too_slowly_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
