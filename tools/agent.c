/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope agent: data keys for all processes of a host. */
#include "tools/verbs.h"

#include "agent/agent.h"

static int run(const struct kmse_options *options)
{
    const struct kmse_agent_overrides overrides = {
        .path = options->config,
        .socket = options->socket,
        .keys = options->keys,
    };
    return kmse_agent_run(&overrides);
}

const struct kmse_verb kmse_verb_agent = {
    .name = "agent",
    .operands = "",
    .summary = "unwrap data keys for all processes of this host",
    .details = "It stays in the foreground. FILE is " KMSE_AGENT_CONFIG
               " if it is there;\nwithout a file only this user may have keys."
               " See kms-envelope-agent(8).",
    .takes = KMSE_OPTION_CONFIG | KMSE_OPTION_SOCKET | KMSE_OPTION_KEYS,
    .run = run,
};
