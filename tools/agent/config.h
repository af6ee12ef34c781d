/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_CONFIG_H
#define KMSE_AGENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy.h"
#include "kms/aws_settings.h"

/*
 * The agent's file, in the format of openssl.cnf (config(5)):
 * kms-envelope-agent(8) explains every key of it.
 *   [agent]       socket, keys, ..., and the aws-... and kms-... of openssl.cnf
 *   [allow NAME]  key = patterns, uid = users, gid = groups
 */
#define KMSE_AGENT_CONFIG "/etc/kms-envelope/agent.cnf"
#define KMSE_AGENT_SOCKET "/run/kms-envelope/agent.sock"
#define KMSE_AGENT_KEYS   "/etc/kms-envelope/keys"

struct kmse_agent_config {
    char *socket, *keys;
    char *audit; /* "stderr", "stdout" or a path */
    uint64_t max_age_ms, stale_ms;
    uint64_t workers;
    uint64_t max_connections, max_connections_per_user;
    uint64_t metrics_port; /* on 127.0.0.1; 0: none */
    struct kmse_aws_options aws;
    struct kmse_agent_policy policy;
    char *of_ring; /* what a ring hangs on, as text */
};

/* What the command line says in place of the file; each may be NULL. */
struct kmse_agent_overrides {
    const char *path; /* NULL: KMSE_AGENT_CONFIG, if it is there */
    const char *socket, *keys;
};

/*
 * All or nothing. A key or section that is unknown, a value that is bad, and a
 * file that others may write are failures that name file, section and key.
 * Without a file only this user is allowed.
 */
kmse_st kmse_agent_config_read(struct kmse_agent_config *config,
                               const struct kmse_agent_overrides *overrides,
                               struct kmse_why *why) KMSE_MUST_CHECK;
/* The same of a file's bytes; bytes[len] is NUL. For fuzzing, too. */
kmse_st kmse_agent_config_parse(struct kmse_agent_config *config,
                                const char *bytes, size_t len,
                                const char *origin,
                                struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_agent_config_wipe(struct kmse_agent_config *config);

/* Whether both mean the same to a ring, which then can stay, and its keys. */
bool kmse_agent_config_same_ring(const struct kmse_agent_config *a,
                                 const struct kmse_agent_config *b);

#endif
