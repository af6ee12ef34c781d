/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_USAGE_H
#define KMSE_TOOLS_USAGE_H

#include "keyring/due.h"

/*
 * Inside tools: how much this host's processes have used their keys, as its
 * agent has counted since it started. Empty where there is no agent.
 */
struct kmse_usage {
    char *text;
};

/*
 * socket may be NULL: the one of openssl.cnf, or the usual one, if it is there
 * and this user may ask it.
 * An agent that does not answer is told on stderr; rotation then goes by age.
 */
void kmse_usage_open(struct kmse_usage *usage, const char *socket);
void kmse_usage_close(struct kmse_usage *usage);

/* Of the newest version that the agent knows; false if it knows none. */
bool kmse_usage_of(struct kmse_used *used, const struct kmse_usage *usage,
                   const char *key);
struct kmse_due kmse_usage_due(const struct kmse_usage *usage,
                               const struct kmse_keyfile *file, int64_t now_s);
/* "max-messages" or "max-bytes", or NULL if it is not due by its use. */
const char *kmse_usage_limit(const struct kmse_due *due);

#endif
