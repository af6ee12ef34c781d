/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_DUE_H
#define KMSE_KEYRING_DUE_H

#include "keyring/keyfile.h"

/*
 * When the next version of a key is due, by its policy. Pure: the time is
 * given, and the file need not be proven to be looked at.
 */

/* Of one version, as far as somebody has counted: an agent, for its host. */
struct kmse_used {
    uint32_t version;
    uint64_t messages, bytes;
};

enum kmse_due_state {
    KMSE_DUE_NEVER, /* the policy does not say */
    KMSE_DUE_LATER,
    KMSE_DUE_SOON,     /* four fifths of the time have passed */
    KMSE_DUE_AGE,      /* now: the newest version is that old, */
    KMSE_DUE_MESSAGES, /* or it was used for three quarters of a limit */
    KMSE_DUE_BYTES,
};

struct kmse_due {
    enum kmse_due_state state;
    int64_t at_s; /* by age; 0 if the policy has no rotate-after */
};

/*
 * By the newest version, whether it encrypts yet or not: one that was made
 * ahead for a fleet is the rotation. used may be NULL, and is passed over if it
 * is of another version.
 */
struct kmse_due kmse_due_of(const struct kmse_keyfile *file, int64_t now_s,
                            const struct kmse_used *used);
bool kmse_due_is_now(const struct kmse_due *due);

#endif
