/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_HANDLES_H
#define KMSE_KEYRING_HANDLES_H

#include "keyring/handle.h"

/* Inside keyring: the handles that a ring has seen, with their AES keys. */
struct kmse_handles;

kmse_st kmse_handles_new(struct kmse_handles **handles,
                         struct kmse_pool *pool) KMSE_MUST_CHECK;
/* Before the keys go. */
void kmse_handles_free(struct kmse_handles *handles);

/* For fork handlers: hold its mutex over a fork. */
void kmse_handles_prepare_fork(struct kmse_handles *handles);
void kmse_handles_after_fork(struct kmse_handles *handles);

/* Wipe what was derived from that key's data keys: they are replaced or gone.
 */
void kmse_handles_forget(struct kmse_handles *handles,
                         const struct kmse_key *key);

#endif
