/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have which keys. */
#include "agent/policy.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/setting.h"
#include "kms_envelope/format.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13, and not in every libc's headers */
#endif

/* --- peers -------------------------------------------------------------- */

kmse_st kmse_peer_read(struct kmse_peer *peer, int fd)
{
    struct ucred told = {.pid = 0};
    socklen_t len = sizeof(told);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &told, &len) != 0
        || len != sizeof(told))
        return KMSE_ERR(KMSE_R_INTERNAL);
    *peer =
        (struct kmse_peer){.pid = told.pid, .uid = told.uid, .gid = told.gid};
    return KMSE_OK;
}

kmse_st kmse_credentials_read(struct kmse_credentials *credentials, int fd)
{
    socklen_t len = sizeof(credentials->groups);
    KMSE_TRY(kmse_peer_read(&credentials->peer, fd));
    /* An older kernel, or more of them: who asks has its first group alone. */
    bool known =
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, credentials->groups, &len)
        == 0;
    credentials->group_count = known ? len / sizeof(gid_t) : 0;
    return KMSE_OK;
}

static bool is_in_group(const struct kmse_credentials *credentials, gid_t gid)
{
    if (credentials->peer.gid == gid)
        return true;
    for (size_t i = 0; i < credentials->group_count; i++) {
        if (credentials->groups[i] == gid)
            return true;
    }
    return false;
}

bool kmse_people_have(const struct kmse_people *people,
                      const struct kmse_credentials *credentials)
{
    for (size_t i = 0; i < people->uid_count; i++) {
        if (people->uids[i] == credentials->peer.uid)
            return true;
    }
    for (size_t i = 0; i < people->gid_count; i++) {
        if (is_in_group(credentials, people->gids[i]))
            return true;
    }
    return false;
}

/* --- the policy --------------------------------------------------------- */

static void wipe_people(struct kmse_people *people)
{
    free(people->uids);
    free(people->gids);
}

void kmse_agent_policy_wipe(struct kmse_agent_policy *policy)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        struct kmse_policy_rule *rule = &policy->rules[i];
        for (size_t j = 0; j < rule->pattern_count; j++)
            free(rule->patterns[j]);
        free(rule->patterns);
        free(rule->name);
        wipe_people(&rule->people);
    }
    free(policy->rules);
    wipe_people(&policy->readers);
    *policy = (struct kmse_agent_policy){0};
}

static bool is_for_key(const struct kmse_policy_rule *rule, const char *key)
{
    for (size_t i = 0; i < rule->pattern_count; i++) {
        if (fnmatch(rule->patterns[i], key, 0) == 0)
            return true;
    }
    return false;
}

const struct kmse_policy_rule *
kmse_agent_policy_find(const struct kmse_agent_policy *policy, const char *key,
                       const struct kmse_credentials *credentials)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct kmse_policy_rule *rule = &policy->rules[i];
        if (is_for_key(rule, key)
            && kmse_people_have(&rule->people, credentials))
            return rule;
    }
    return NULL;
}

/* --- making one --------------------------------------------------------- */

/* Room for one more; the old array stays as it is if there is no memory. */
static kmse_st grow(void **array, size_t count, size_t item_len)
{
    void *grown = realloc(*array, (count + 1) * item_len);
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *array = grown;
    return KMSE_OK;
}

kmse_st kmse_agent_policy_add(struct kmse_agent_policy *policy,
                              struct kmse_policy_rule **rule, const char *name)
{
    void *rules = policy->rules;
    char *copy = strdup(name);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = grow(&rules, policy->rule_count, sizeof(*policy->rules));
    if (!kmse_is_ok(st)) {
        free(copy);
        return st;
    }
    policy->rules = rules;
    *rule = &policy->rules[policy->rule_count++];
    **rule = (struct kmse_policy_rule){.name = copy};
    return KMSE_OK;
}

static kmse_st add_pattern(struct kmse_policy_rule *rule, const char *pattern)
{
    void *patterns = rule->patterns;
    char *copy = strdup(pattern);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = grow(&patterns, rule->pattern_count, sizeof(*rule->patterns));
    if (!kmse_is_ok(st)) {
        free(copy);
        return st;
    }
    rule->patterns = patterns;
    rule->patterns[rule->pattern_count++] = copy;
    return KMSE_OK;
}

static kmse_st add_uid(struct kmse_people *people, uid_t uid)
{
    void *uids = people->uids;
    KMSE_TRY(grow(&uids, people->uid_count, sizeof(*people->uids)));
    people->uids = uids;
    people->uids[people->uid_count++] = uid;
    return KMSE_OK;
}

static kmse_st add_gid(struct kmse_people *people, gid_t gid)
{
    void *gids = people->gids;
    KMSE_TRY(grow(&gids, people->gid_count, sizeof(*people->gids)));
    people->gids = gids;
    people->gids[people->gid_count++] = gid;
    return KMSE_OK;
}

kmse_st kmse_agent_policy_only(struct kmse_agent_policy *policy, uid_t uid)
{
    struct kmse_policy_rule *rule = NULL;
    KMSE_TRY(kmse_agent_policy_add(policy, &rule, "this user"));
    KMSE_TRY(add_pattern(rule, "*"));
    return add_uid(&rule->people, uid);
}

/* --- lists -------------------------------------------------------------- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* take(arg, word) for each word between commas; an empty one is none. */
static kmse_st for_each_word(const char *value, void *arg,
                             kmse_st (*take)(void *arg, const char *word))
{
    char *copy = strdup(value);
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    char *rest = copy;
    kmse_st st = KMSE_OK;
    while (kmse_is_ok(st) && rest != NULL)
        st = take(arg, trim(strsep(&rest, ",")));
    free(copy);
    return st;
}

static kmse_st take_pattern(void *arg, const char *word)
{
    static const char CHARACTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789"
                                     "._-*?";
    size_t len = strspn(word, CHARACTERS);
    if (len == 0 || len > KMSE_KEY_NAME_MAX || word[len] != '\0')
        return KMSE_ERR(KMSE_R_CONFIG_VALUE);
    return add_pattern(arg, word);
}

/* Decimal, and not -1, which means "nobody" to the system. */
static bool parse_id(uint32_t *id, const char *word)
{
    enum { DIGITS_MAX = 10 };
    size_t digits = strspn(word, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || word[digits] != '\0')
        return false;
    unsigned long long number = strtoull(word, NULL, 10);
    if (number >= UINT32_MAX)
        return false;
    *id = (uint32_t)number;
    return true;
}

static kmse_st take_user(void *arg, const char *word)
{
    uint32_t id = 0;
    static_assert(sizeof(uid_t) == sizeof(id), "user ids");
    if (parse_id(&id, word))
        return add_uid(arg, id);
    const struct passwd *user = getpwnam(word);
    return user != NULL ? add_uid(arg, user->pw_uid)
                        : KMSE_ERR(KMSE_R_CONFIG_VALUE);
}

static kmse_st take_group(void *arg, const char *word)
{
    uint32_t id = 0;
    static_assert(sizeof(gid_t) == sizeof(id), "group ids");
    if (parse_id(&id, word))
        return add_gid(arg, id);
    const struct group *group = getgrnam(word);
    return group != NULL ? add_gid(arg, group->gr_gid)
                         : KMSE_ERR(KMSE_R_CONFIG_VALUE);
}

static kmse_st tell(kmse_st st, const char *key, const char *value,
                    const char *wanted, struct kmse_why *why)
{
    if (st.reason == KMSE_R_CONFIG_VALUE)
        return kmse_setting_bad(key, value, wanted, why);
    return st;
}

kmse_st kmse_policy_add_patterns(struct kmse_policy_rule *rule, const char *key,
                                 const char *value, struct kmse_why *why)
{
    return tell(for_each_word(value, rule, take_pattern), key, value,
                "names of keys with commas between, * and ? allowed", why);
}

kmse_st kmse_people_add_users(struct kmse_people *people, const char *key,
                              const char *value, struct kmse_why *why)
{
    return tell(for_each_word(value, people, take_user), key, value,
                "users of this system, names or numbers, with commas between",
                why);
}

kmse_st kmse_people_add_groups(struct kmse_people *people, const char *key,
                               const char *value, struct kmse_why *why)
{
    return tell(for_each_word(value, people, take_group), key, value,
                "groups of this system, names or numbers, with commas between",
                why);
}
