/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_AGENT_H
#define KMSE_AGENT_AGENT_H

#include "agent/config.h"

/*
 * The agent, from its start to SIGTERM or SIGINT; SIGHUP reads the
 * configuration anew. An exit code of the tool.
 */
int kmse_agent_run(const struct kmse_agent_overrides *overrides);

#endif
