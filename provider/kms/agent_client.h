/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AGENT_CLIENT_H
#define KMSE_KMS_AGENT_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "kms/kms.h"

/*
 * Asking the agent of this host. Each question is a connection of its own:
 * there is no file descriptor that a host could close under us, or a child
 * inherit. Several threads may ask.
 *
 * KMSE_R_AGENT, with path and cause in why: nobody listens there, no answer in
 * time, or who listens is neither root, nor the owner of the socket's folder,
 * nor our own user. KMSE_R_KMS_ANSWER: an answer that is none.
 * KMSE_R_INTERRUPTED. Else the agent's own reasons, with its words.
 */
struct kmse_agent_address {
    const char *path;
    uint64_t timeout_ms; /* for all of it */
    const struct kmse_clock *clock;
};

/* A path that a socket can have; sockaddr_un is small. */
enum { KMSE_AGENT_PATH_MAX = 107 };

kmse_st kmse_agent_fetch(const struct kmse_agent_address *agent,
                         struct kmse_pool *pool,
                         const struct kmse_wanted *wanted,
                         struct kmse_loan *loan,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/* The agent's numbers as text; the caller frees *text. */
enum { KMSE_AGENT_STATUS_MAX = 8 << 20 };
kmse_st kmse_agent_status(const struct kmse_agent_address *agent, char **text,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
