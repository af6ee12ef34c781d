/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration, and the policy in it. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"

static struct kmse_agent_config config;

static kmse_st parse(const char *text, struct kmse_why *why)
{
    kmse_agent_config_wipe(&config);
    return kmse_agent_config_parse(&config, text, strlen(text), "agent.cnf",
                                   why);
}

static void expect_parsed(const char *text)
{
    struct kmse_why why = {""};
    kmse_st st = parse(text, &why);
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

static void expect_bad(const char *text, int reason, const char *words)
{
    static const struct kmse_agent_config NOTHING;
    struct kmse_why why = {""};
    kmse_st st = parse(text, &why);
    if (st.reason != reason || strstr(why.text, words) == NULL)
        fail_msg("\"%s\": %s: %s", text, kmse_reason_text(st.reason), why.text);
    assert_memory_equal(&config, &NOTHING, sizeof(config));
}

static int tear_down(void **state)
{
    (void)state;
    kmse_agent_config_wipe(&config);
    return 0;
}

/* --- the file ----------------------------------------------------------- */

#define RULE "[allow web]\nkey = *\nuid = 33\n"

static void what_is_not_said_has_a_default(void **state)
{
    (void)state;
    expect_parsed(RULE);
    assert_string_equal(config.socket, "/run/kms-envelope/agent.sock");
    assert_string_equal(config.keys, "/etc/kms-envelope/keys");
    assert_string_equal(config.audit, "stderr");
    assert_int_equal(config.max_age_ms, 300000);
    assert_int_equal(config.stale_ms, 3600000);
    assert_int_equal(config.workers, 8);
    assert_int_equal(config.max_connections, 4096);
    assert_int_equal(config.max_connections_per_user, 1024);
    assert_int_equal(config.metrics_port, 0);
    assert_null(config.aws.region);
}

static void what_is_said_counts(void **state)
{
    (void)state;
    expect_parsed("[agent]\nsocket = /tmp/s\nkeys = /tmp/k\nmax-age = 1m\n"
                  "stale-if-unreachable = 0\naudit = /var/log/a\n"
                  "metrics-port = 9464\nworkers = 2\nmax-connections = 10\n"
                  "max-connections-per-user = 5\naws-region = eu-west-1\n"
                  "kms-timeout = 2s\nstatus-uid = 1, 2\n" RULE);
    assert_string_equal(config.socket, "/tmp/s");
    assert_string_equal(config.keys, "/tmp/k");
    assert_string_equal(config.audit, "/var/log/a");
    assert_int_equal(config.max_age_ms, 60000);
    assert_int_equal(config.stale_ms, 0);
    assert_int_equal(config.workers, 2);
    assert_int_equal(config.max_connections, 10);
    assert_int_equal(config.max_connections_per_user, 5);
    assert_int_equal(config.metrics_port, 9464);
    assert_string_equal(config.aws.region, "eu-west-1");
    assert_int_equal(config.aws.timeout_ms, 2000);
    assert_int_equal(config.policy.readers.uid_count, 2);
}

static void a_mistake_is_named_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int reason;
        const char *words;
    } BAD[] = {
        {"", KMSE_R_CONFIG_VALUE, "agent.cnf: has no section [allow NAME]"},
        {"[agent]\nworkers = 4\n", KMSE_R_CONFIG_VALUE, "nobody could"},
        {"[agent]\nmaxage = 5\n" RULE, KMSE_R_CONFIG_KEY,
         "agent.cnf, section [agent]: maxage"},
        {"[Agent]\n" RULE, KMSE_R_CONFIG_KEY, "section [Agent]: only [agent]"},
        {"[allow]\nkey = *\n", KMSE_R_CONFIG_KEY, "section [allow]: only"},
        {"workers = 4\n" RULE, KMSE_R_CONFIG_KEY, "section [default]: only"},
        {"[agent]\nworkers = 0\n" RULE, KMSE_R_CONFIG_VALUE, "workers = 0"},
        {"[agent]\nworkers = 65\n" RULE, KMSE_R_CONFIG_VALUE, "1 to 64"},
        {"[agent]\nmetrics-port = 70000\n" RULE, KMSE_R_CONFIG_VALUE, "65535"},
        {"[agent]\nsocket = agent.sock\n" RULE, KMSE_R_CONFIG_VALUE,
         "absolute"},
        {"[agent]\naudit = log\n" RULE, KMSE_R_CONFIG_VALUE, "audit = log"},
        {"[agent]\nmax-age = soon\n" RULE, KMSE_R_CONFIG_VALUE, "max-age"},
        {"[agent]\naws-region = EU\n" RULE, KMSE_R_CONFIG_VALUE, "aws-region"},
        {"[allow a]\nkey = *\n", KMSE_R_CONFIG_VALUE,
         "section [allow a]: neither uid nor gid"},
        {"[allow a]\nuid = 1\n", KMSE_R_CONFIG_VALUE,
         "section [allow a]: key is not set"},
        {"[allow a]\nkeys = *\nuid = 1\n", KMSE_R_CONFIG_KEY,
         "keys: only key, uid and gid"},
        {"[allow a]\nkey = A*\nuid = 1\n", KMSE_R_CONFIG_VALUE, "key = A*"},
        {"[allow a]\nkey = [ab]\nuid = 1\n", KMSE_R_CONFIG_VALUE, "key = [ab]"},
        {"[allow a]\nkey = a,,b\nuid = 1\n", KMSE_R_CONFIG_VALUE, "a,,b"},
        {"[allow a]\nkey = *\nuid = \n", KMSE_R_CONFIG_VALUE, "uid = "},
        {"[allow a]\nkey = *\nuid = no-such-user\n", KMSE_R_CONFIG_VALUE,
         "uid = no-such-user: must be users"},
        {"[allow a]\nkey = *\nuid = 4294967295\n", KMSE_R_CONFIG_VALUE, "uid"},
        {"[allow a]\nkey = *\nuid = -1\n", KMSE_R_CONFIG_VALUE, "uid = -1"},
        {"[allow a]\nkey = *\ngid = no-such-group\n", KMSE_R_CONFIG_VALUE,
         "must be groups"},
        {"[agent\n", KMSE_R_FILE, "agent.cnf, line 1"},
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        expect_bad(BAD[i].text, BAD[i].reason, BAD[i].words);
}

static void a_ring_stays_while_its_settings_do(void **state)
{
    (void)state;
    static const char *const OTHERS[] = {
        "[agent]\nmax-age = 2m\n" RULE,
        "[agent]\nstale-if-unreachable = 2h\n" RULE,
        "[agent]\nkeys = /other\n" RULE,
        "[agent]\naws-region = eu-west-1\n" RULE,
        "[agent]\nkms-timeout = 2s\n" RULE,
    };
    expect_parsed(RULE);
    struct kmse_agent_config before = config;
    config = (struct kmse_agent_config){0};
    expect_parsed("[agent]\naudit = stdout\nmax-age = 300\n"
                  "[allow others]\nkey = x\ngid = 1\n");
    assert_true(kmse_agent_config_same_ring(&before, &config));
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        expect_parsed(OTHERS[i]);
        assert_false(kmse_agent_config_same_ring(&before, &config));
    }
    kmse_agent_config_wipe(&before);
}

/* --- where it is read --------------------------------------------------- */

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fchmod(fileno(file), mode), 0);
    fclose(file);
}

static void the_command_line_says_more_than_the_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/kmse-config-XXXXXX", path[64];
    struct kmse_why why = {""};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/agent.cnf", folder);
    write_file(path, "[agent]\nsocket = /tmp/s\nkeys = /nowhere\n" RULE, 0644);
    struct kmse_agent_overrides overrides = {.path = path};
    expect_reason(kmse_agent_config_read(&config, &overrides, &why),
                  KMSE_R_CONFIG_KEYS_FOLDER);
    assert_non_null(strstr(why.text, "/nowhere"));
    overrides.keys = folder;
    overrides.socket = "a.sock";
    expect_ok(kmse_agent_config_read(&config, &overrides, &why));
    assert_string_equal(config.keys, folder);
    assert_int_equal(config.socket[0], '/');
    assert_non_null(strstr(config.socket, "/a.sock"));
    kmse_agent_config_wipe(&config);
    /* Who may write it, may have every key. */
    write_file(path, RULE, 0664);
    expect_reason(kmse_agent_config_read(&config, &overrides, &why),
                  KMSE_R_FILE_MODE);
    assert_int_equal(unlink(path), 0);
    expect_reason(kmse_agent_config_read(&config, &overrides, &why),
                  KMSE_R_FILE);
    assert_int_equal(rmdir(folder), 0);
}

/* --- the policy --------------------------------------------------------- */

static const char *rule_for(const char *key, uid_t uid, gid_t gid,
                            gid_t another_gid)
{
    const struct kmse_credentials credentials = {
        .peer = {.pid = 1, .uid = uid, .gid = gid},
        .groups = {another_gid},
        .group_count = 1,
    };
    const struct kmse_policy_rule *rule =
        kmse_agent_policy_find(&config.policy, key, &credentials);
    return rule != NULL ? rule->name : "none";
}

static void a_key_is_for_whom_a_rule_allows_it(void **state)
{
    (void)state;
    expect_parsed("[allow web]\nkey = customer-*, sessions\nuid = 33, root\n"
                  "[allow batch]\nkey = customer-emails\ngid = 700\n"
                  "[allow one]\nkey = a?\nuid = 44\n");
    assert_string_equal(rule_for("customer-names", 33, 33, 9), "web");
    assert_string_equal(rule_for("customer-", 33, 33, 9), "web");
    assert_string_equal(rule_for("sessions", 33, 33, 9), "web");
    assert_string_equal(rule_for("sessions2", 33, 33, 9), "none");
    assert_string_equal(rule_for("customer", 33, 33, 9), "none");
    assert_string_equal(rule_for("my-customer-x", 33, 33, 9), "none");
    assert_string_equal(rule_for("customer-names", 34, 33, 9), "none");
    assert_string_equal(rule_for("customer-names", 0, 0, 9), "web");
    assert_string_equal(rule_for("payroll", 0, 0, 9), "none");
    assert_string_equal(rule_for("customer-emails", 5, 700, 9), "batch");
    assert_string_equal(rule_for("customer-emails", 5, 5, 700), "batch");
    assert_string_equal(rule_for("customer-emails", 700, 5, 9), "none");
    assert_string_equal(rule_for("customer-names", 5, 700, 9), "none");
    assert_string_equal(rule_for("ab", 44, 1, 1), "one");
    assert_string_equal(rule_for("abc", 44, 1, 1), "none");
}

static void without_a_file_only_this_user_is_allowed(void **state)
{
    (void)state;
    expect_ok(kmse_agent_policy_only(&config.policy, 1000));
    assert_string_equal(rule_for("emails", 1000, 1, 1), "this user");
    assert_string_equal(rule_for("emails", 1001, 1000, 1000), "none");
    assert_string_equal(rule_for("emails", 0, 0, 0), "none");
}

static void the_kernel_says_who_asks(void **state)
{
    (void)state;
    int ends[2];
    struct kmse_credentials credentials;
    gid_t groups[KMSE_PEER_GROUPS_MAX];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    expect_ok(kmse_credentials_read(&credentials, ends[0]));
    assert_int_equal(credentials.peer.pid, getpid());
    assert_int_equal(credentials.peer.uid, geteuid());
    assert_int_equal(credentials.peer.gid, getegid());
    int count = getgroups(KMSE_PEER_GROUPS_MAX, groups);
    assert_int_equal(credentials.group_count, count);
    assert_memory_equal(credentials.groups, groups,
                        (size_t)count * sizeof(groups[0]));
    close(ends[0]);
    close(ends[1]);
    assert_false(kmse_is_ok(kmse_credentials_read(&credentials, ends[0])));
}

#define STORY(f) cmocka_unit_test_teardown(f, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_is_not_said_has_a_default),
        STORY(what_is_said_counts),
        STORY(a_mistake_is_named_with_its_place),
        STORY(a_ring_stays_while_its_settings_do),
        STORY(the_command_line_says_more_than_the_file),
        STORY(a_key_is_for_whom_a_rule_allows_it),
        STORY(without_a_file_only_this_user_is_allowed),
        STORY(the_kernel_says_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
