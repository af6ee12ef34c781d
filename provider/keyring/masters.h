/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_MASTERS_H
#define KMSE_KEYRING_MASTERS_H

#include <stdbool.h>
#include <stddef.h>

#include "keyring/rotation.h"

/* Inside keyring: the master keys that a caller named. Owns its strings. */
struct kmse_masters {
    char **uris; /* as kmse_kms_resolve gives them */
    size_t count;
};

/* KMSE_R_PARAMETER if two of them turn out to be one. */
kmse_st kmse_masters_resolve(struct kmse_masters *masters,
                             const struct kmse_rotation *r,
                             const char *const *uris, size_t count,
                             struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_masters_wipe(struct kmse_masters *masters);

/* From that index on: made if their KMS lets us. */
kmse_st kmse_masters_ensure(const struct kmse_masters *masters, size_t from,
                            const struct kmse_rotation *r,
                            struct kmse_why *why) KMSE_MUST_CHECK;

bool kmse_masters_has(const struct kmse_masters *masters, const char *uri);
/* Takes *uri. KMSE_R_PARAMETER if it is there already. */
kmse_st kmse_masters_add(struct kmse_masters *masters, char **uri,
                         struct kmse_why *why) KMSE_MUST_CHECK;

#endif
