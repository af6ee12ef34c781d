/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration: one table of keys, and rules of who may what. */
#include "agent/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/err.h>

#include "base/file.h"
#include "base/setting.h"
#include "kms/agent_client.h"
#include "kms/aws_options.h"
#include "kms_envelope/params.h"

static const char AGENT[] = "agent";
static const char ALLOW[] = "allow ";

/* --- [agent] ------------------------------------------------------------ */

static kmse_st parse_socket(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    if (value[0] != '/' || strlen(value) > KMSE_AGENT_PATH_MAX)
        return kmse_setting_bad(key, value,
                                "an absolute path of at most 107 bytes", why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_folder(void *field, const char *key, const char *value,
                            struct kmse_why *why)
{
    if (value[0] != '/')
        return kmse_setting_bad(key, value, "the absolute path of a folder",
                                why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_audit(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    if (value[0] != '/' && strcmp(value, "stderr") != 0
        && strcmp(value, "stdout") != 0)
        return kmse_setting_bad(
            key, value, "stderr, stdout or the absolute path of a file", why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_age(void *field, const char *key, const char *value,
                         struct kmse_why *why)
{
    return kmse_setting_age(field, key, value, why);
}

static kmse_st parse_delay(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    return kmse_setting_delay(field, key, value, why);
}

static kmse_st parse_workers(void *field, const char *key, const char *value,
                             struct kmse_why *why)
{
    enum { MOST = 64 };
    return kmse_setting_up_to(field, MOST, key, value, "a number of 1 to 64",
                              why);
}

static kmse_st parse_connections(void *field, const char *key,
                                 const char *value, struct kmse_why *why)
{
    enum { MOST = 65536 };
    return kmse_setting_up_to(field, MOST, key, value, "a number of 1 to 65536",
                              why);
}

static kmse_st parse_port(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    enum { MOST = 65535 };
    return kmse_setting_up_to(field, MOST, key, value, "a port, 1 to 65535",
                              why);
}

static kmse_st parse_readers_uid(void *field, const char *key,
                                 const char *value, struct kmse_why *why)
{
    return kmse_people_add_users(field, key, value, why);
}

static kmse_st parse_readers_gid(void *field, const char *key,
                                 const char *value, struct kmse_why *why)
{
    return kmse_people_add_groups(field, key, value, why);
}

struct option {
    const char *key;
    kmse_st (*parse)(void *field, const char *key, const char *value,
                     struct kmse_why *why);
    const char *default_value; /* NULL: none */
    size_t offset;
};

#define FIELD(name) offsetof(struct kmse_agent_config, name)

static const struct option OPTIONS[] = {
    {"socket", parse_socket, KMSE_AGENT_SOCKET, FIELD(socket)},
    {KMSE_CONF_KEYS, parse_folder, KMSE_AGENT_KEYS, FIELD(keys)},
    {KMSE_CONF_MAX_AGE, parse_age, "300s", FIELD(max_age_ms)},
    {KMSE_CONF_STALE_IF_UNREACHABLE, parse_delay, "1h", FIELD(stale_ms)},
    {"audit", parse_audit, "stderr", FIELD(audit)},
    {"metrics-port", parse_port, NULL, FIELD(metrics_port)},
    {"status-uid", parse_readers_uid, NULL, FIELD(policy.readers)},
    {"status-gid", parse_readers_gid, NULL, FIELD(policy.readers)},
    {"workers", parse_workers, "8", FIELD(workers)},
    {"max-connections", parse_connections, "4096", FIELD(max_connections)},
    {"max-connections-per-user", parse_connections, "1024",
     FIELD(max_connections_per_user)},
};
enum { OPTION_COUNT = sizeof(OPTIONS) / sizeof(OPTIONS[0]) };

static kmse_st set(struct kmse_agent_config *config, const char *key,
                   const char *value, struct kmse_why *why)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        void *field = (uint8_t *)config + OPTIONS[i].offset;
        if (strcmp(key, OPTIONS[i].key) == 0)
            return OPTIONS[i].parse(field, key, value, why);
    }
    return kmse_aws_options_set(&config->aws, key, value, why);
}

static kmse_st set_defaults(struct kmse_agent_config *config)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (OPTIONS[i].default_value != NULL)
            KMSE_TRY(
                set(config, OPTIONS[i].key, OPTIONS[i].default_value, NULL));
    }
    return KMSE_OK;
}

/* --- [allow NAME] ------------------------------------------------------- */

static kmse_st set_rule(struct kmse_policy_rule *rule, const char *key,
                        const char *value, struct kmse_why *why)
{
    if (strcmp(key, "key") == 0)
        return kmse_policy_add_patterns(rule, key, value, why);
    if (strcmp(key, "uid") == 0)
        return kmse_people_add_users(&rule->people, key, value, why);
    if (strcmp(key, "gid") == 0)
        return kmse_people_add_groups(&rule->people, key, value, why);
    return kmse_fail(why, KMSE_R_CONFIG_KEY, "%.100s: only key, uid and gid",
                     key);
}

static kmse_st check_rule(const struct kmse_policy_rule *rule,
                          struct kmse_why *why)
{
    if (rule->pattern_count == 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "key is not set");
    if (rule->people.uid_count + rule->people.gid_count == 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "neither uid nor gid is set");
    return KMSE_OK;
}

/* --- sections ----------------------------------------------------------- */

static kmse_st take_allow(struct kmse_agent_config *config, const char *name,
                          const STACK_OF(CONF_VALUE) * pairs,
                          struct kmse_why *why)
{
    struct kmse_policy_rule *rule = NULL;
    KMSE_TRY(
        kmse_agent_policy_add(&config->policy, &rule, name + strlen(ALLOW)));
    for (int i = 0; i < sk_CONF_VALUE_num(pairs); i++) {
        const CONF_VALUE *pair = sk_CONF_VALUE_value(pairs, i);
        KMSE_TRY(set_rule(rule, pair->name, pair->value, why));
    }
    return check_rule(rule, why);
}

static kmse_st take_agent(struct kmse_agent_config *config,
                          const STACK_OF(CONF_VALUE) * pairs,
                          struct kmse_why *why)
{
    for (int i = 0; i < sk_CONF_VALUE_num(pairs); i++) {
        const CONF_VALUE *pair = sk_CONF_VALUE_value(pairs, i);
        KMSE_TRY(set(config, pair->name, pair->value, why));
    }
    return KMSE_OK;
}

static kmse_st take_section(struct kmse_agent_config *config, const CONF *conf,
                            const char *name, struct kmse_why *why)
{
    const STACK_OF(CONF_VALUE) *pairs = NCONF_get_section(conf, name);
    if (strcmp(name, AGENT) == 0)
        return take_agent(config, pairs, why);
    if (strncmp(name, ALLOW, strlen(ALLOW)) == 0)
        return take_allow(config, name, pairs, why);
    /* There always is one; it has what stands before the first "[...]". */
    if (strcmp(name, "default") == 0 && sk_CONF_VALUE_num(pairs) <= 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_CONFIG_KEY,
                     "only [agent] and [allow NAME] are known here");
}

static kmse_st take_sections(struct kmse_agent_config *config, const CONF *conf,
                             const char *origin, struct kmse_why *why)
{
    STACK_OF(OPENSSL_CSTRING) *names = NCONF_get_section_names(conf);
    kmse_st st = names != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    for (int i = 0; kmse_is_ok(st) && i < sk_OPENSSL_CSTRING_num(names); i++) {
        const char *name = sk_OPENSSL_CSTRING_value(names, i);
        struct kmse_why cause = {""};
        st = take_section(config, conf, name, &cause);
        if (!kmse_is_ok(st))
            st = kmse_fail(why, st.reason, "%.160s, section [%.40s]: %.290s",
                           origin, name, cause.text);
    }
    sk_OPENSSL_CSTRING_free(names);
    if (kmse_is_ok(st) && config->policy.rule_count == 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "%.160s: has no section [allow NAME]: nobody could "
                         "have a key",
                         origin);
    return st;
}

/* What a ring hangs on, in the words of the file. */
static kmse_st describe_ring(struct kmse_agent_config *config, const CONF *conf)
{
    size_t len = 0;
    FILE *out = open_memstream(&config->of_ring, &len);
    if (out == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    fprintf(out, "%s %" PRIu64 " %" PRIu64 "\n", config->keys,
            config->max_age_ms, config->stale_ms);
    for (size_t i = 0; conf != NULL && i < KMSE_AWS_OPTION_COUNT; i++) {
        const char *key = kmse_aws_options_key(i);
        const char *value = NCONF_get_string(conf, AGENT, key);
        if (value != NULL)
            fprintf(out, "%s = %s\n", key, value);
    }
    return fclose(out) == 0 ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

static kmse_st load(CONF *conf, const char *bytes, size_t len,
                    const char *origin, struct kmse_why *why)
{
    enum { MOST = 1 << 20 };
    long line = 0;
    if (len > MOST || memchr(bytes, '\0', len) != NULL)
        return kmse_fail(why, KMSE_R_FILE, "%.160s: not a text", origin);
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    if (bio == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    int loaded = NCONF_load_bio(conf, bio, &line);
    BIO_free(bio);
    if (loaded != 1)
        return kmse_fail(why, KMSE_R_FILE, "%.160s, line %ld: not valid",
                         origin, line);
    return KMSE_OK;
}

static kmse_st parse(struct kmse_agent_config *config, const char *bytes,
                     size_t len, const char *origin, struct kmse_why *why)
{
    CONF *conf = NCONF_new(NULL);
    if (conf == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    ERR_set_mark();
    kmse_st st = load(conf, bytes, len, origin, why);
    if (kmse_is_ok(st))
        st = set_defaults(config);
    if (kmse_is_ok(st))
        st = take_sections(config, conf, origin, why);
    if (kmse_is_ok(st))
        st = describe_ring(config, conf);
    ERR_pop_to_mark();
    NCONF_free(conf);
    return st;
}

kmse_st kmse_agent_config_parse(struct kmse_agent_config *config,
                                const char *bytes, size_t len,
                                const char *origin, struct kmse_why *why)
{
    struct kmse_agent_config made = {0};
    kmse_st st = parse(&made, bytes, len, origin, why);
    if (!kmse_is_ok(st)) {
        kmse_agent_config_wipe(&made);
        return st;
    }
    *config = made;
    return KMSE_OK;
}

/* --- files -------------------------------------------------------------- */

static kmse_st parse_file(struct kmse_agent_config *config, const char *path,
                          struct kmse_why *why)
{
    enum { MOST = 1 << 20, FORBIDDEN = 0022 };
    uint8_t *bytes = NULL;
    size_t len = 0;
    KMSE_TRY(kmse_file_read(path, MOST, FORBIDDEN, &bytes, &len, why));
    kmse_st st =
        kmse_agent_config_parse(config, (const char *)bytes, len, path, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}

static kmse_st make_without_file(struct kmse_agent_config *config)
{
    KMSE_TRY(set_defaults(config));
    return kmse_agent_policy_only(&config->policy, geteuid());
}

static kmse_st override(struct kmse_agent_config *config, const char *key,
                        const char *value, struct kmse_why *why)
{
    char path[4096];
    if (value == NULL)
        return KMSE_OK;
    /* A folder or a socket to be, beside us. */
    if (value[0] != '/') {
        char *here = getcwd(NULL, 0);
        int n = snprintf(path, sizeof(path), "%s/%s", here != NULL ? here : "",
                         value);
        free(here);
        if (n < 0 || (size_t)n >= sizeof(path))
            return kmse_setting_bad(key, value, "a shorter path", why);
        value = path;
    }
    return set(config, key, value, why);
}

static kmse_st read_all(struct kmse_agent_config *config,
                        const struct kmse_agent_overrides *overrides,
                        struct kmse_why *why)
{
    const char *path = overrides->path;
    if (path == NULL
        && (access(KMSE_AGENT_CONFIG, F_OK) == 0 || errno != ENOENT))
        path = KMSE_AGENT_CONFIG;
    if (path != NULL)
        KMSE_TRY(parse_file(config, path, why));
    else
        KMSE_TRY(make_without_file(config));
    KMSE_TRY(override(config, "socket", overrides->socket, why));
    KMSE_TRY(override(config, KMSE_CONF_KEYS, overrides->keys, why));
    if (access(config->keys, R_OK | X_OK) != 0)
        return kmse_fail(why, KMSE_R_CONFIG_KEYS_FOLDER, "%.200s: %s",
                         config->keys, strerror(errno));
    return KMSE_OK;
}

kmse_st kmse_agent_config_read(struct kmse_agent_config *config,
                               const struct kmse_agent_overrides *overrides,
                               struct kmse_why *why)
{
    struct kmse_agent_config made = {0};
    kmse_st st = read_all(&made, overrides, why);
    if (!kmse_is_ok(st)) {
        kmse_agent_config_wipe(&made);
        return st;
    }
    *config = made;
    return KMSE_OK;
}

void kmse_agent_config_wipe(struct kmse_agent_config *config)
{
    free(config->socket);
    free(config->keys);
    free(config->audit);
    free(config->of_ring);
    kmse_aws_options_wipe(&config->aws);
    kmse_agent_policy_wipe(&config->policy);
    *config = (struct kmse_agent_config){0};
}

bool kmse_agent_config_same_ring(const struct kmse_agent_config *a,
                                 const struct kmse_agent_config *b)
{
    const char *of_a = a->of_ring != NULL ? a->of_ring : "";
    const char *of_b = b->of_ring != NULL ? b->of_ring : "";
    return strcmp(of_a, of_b) == 0 && strcmp(a->keys, b->keys) == 0;
}
