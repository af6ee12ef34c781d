/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_RING_H
#define KMSE_TOOLS_RING_H

#include "keyring/ring.h"

/*
 * Keys for verbs that encrypt and decrypt: a ring as the provider would have
 * it, with the ages, limits, agent and KMS that its section of openssl.cnf
 * says, or their defaults. folder NULL: the one that is named there.
 */
kmse_st kmse_tool_ring(struct kmse_ring **ring, const char *folder,
                       struct kmse_why *why) KMSE_MUST_CHECK;

#endif
