/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_OBTAIN_H
#define KMSE_KEYRING_OBTAIN_H

#include "keyring/key.h"

/*
 * Inside keyring: a version's data key from where the configuration says, the
 * agent or the KMS, held against its commitment; and for how long it is good,
 * which is never longer than our own max-age and stale-if-unreachable allow.
 */
struct kmse_obtained {
    struct kmse_loan loan;
    bool from_agent;
};

/* used: what was encrypted with it, for the agent to be told. */
kmse_st kmse_obtain(struct kmse_obtained *obtained,
                    const struct kmse_key_environment *environment,
                    const struct kmse_keyfile *file,
                    const struct kmse_version *version,
                    const struct kmse_told *used,
                    struct kmse_why *why) KMSE_MUST_CHECK;

#endif
