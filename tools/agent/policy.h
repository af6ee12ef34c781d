/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_POLICY_H
#define KMSE_AGENT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

/* Who asks, as the kernel says (SO_PEERCRED): of when it connected. */
struct kmse_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

/* With its supplementary groups, which are many: for a moment only. */
enum { KMSE_PEER_GROUPS_MAX = 1024 };
struct kmse_credentials {
    struct kmse_peer peer;
    gid_t groups[KMSE_PEER_GROUPS_MAX];
    size_t group_count;
};
kmse_st kmse_peer_read(struct kmse_peer *peer, int fd) KMSE_MUST_CHECK;
kmse_st kmse_credentials_read(struct kmse_credentials *credentials,
                              int fd) KMSE_MUST_CHECK;

/* Some users and groups. */
struct kmse_people {
    uid_t *uids;
    size_t uid_count;
    gid_t *gids;
    size_t gid_count;
};
bool kmse_people_have(const struct kmse_people *people,
                      const struct kmse_credentials *credentials);

/*
 * Who may have which keys: rules, each of them patterns of names and people. A
 * key is for whoever one rule allows it to, and for nobody else.
 */
struct kmse_policy_rule {
    char *name;
    char **patterns;
    size_t pattern_count;
    struct kmse_people people;
};

struct kmse_agent_policy {
    struct kmse_policy_rule *rules;
    size_t rule_count;
    struct kmse_people readers; /* of the status, beside root and ourselves */
};
void kmse_agent_policy_wipe(struct kmse_agent_policy *policy);

/* The rule that lets this peer have this key; NULL: none does. */
const struct kmse_policy_rule *
kmse_agent_policy_find(const struct kmse_agent_policy *policy, const char *key,
                       const struct kmse_credentials *credentials);

/* All keys, for one user: where there is no configuration. */
kmse_st kmse_agent_policy_only(struct kmse_agent_policy *policy,
                               uid_t uid) KMSE_MUST_CHECK;
/* A new empty rule of that name; it lives until the next is added. */
kmse_st kmse_agent_policy_add(struct kmse_agent_policy *policy,
                              struct kmse_policy_rule **rule,
                              const char *name) KMSE_MUST_CHECK;

/*
 * Lists with commas, added to what is there: patterns of [a-z0-9._-*?]; names
 * or numbers of users, of groups. KMSE_R_CONFIG_VALUE with key = value in why.
 */
kmse_st kmse_policy_add_patterns(struct kmse_policy_rule *rule, const char *key,
                                 const char *value,
                                 struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_people_add_users(struct kmse_people *people, const char *key,
                              const char *value,
                              struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_people_add_groups(struct kmse_people *people, const char *key,
                               const char *value,
                               struct kmse_why *why) KMSE_MUST_CHECK;

#endif
