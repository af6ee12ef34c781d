/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_REFRESHER_H
#define KMSE_KEYRING_REFRESHER_H

#include <stdbool.h>

#include "base/status.h"

/*
 * Inside keyring: a thread that unwraps data keys anew before they expire, so
 * that no message waits for the KMS. It lives while there is something to do,
 * a moment every max-age, blocks all signals, and is stopped, not abandoned,
 * over a fork and at the end: a child would inherit its locks, and a host's
 * libcrypto would be taken down under it.
 */
struct kmse_refresher;
struct kmse_key;

kmse_st
kmse_refresher_new(struct kmse_refresher **refresher,
                   void (*refresh)(struct kmse_key *key)) KMSE_MUST_CHECK;
void kmse_refresher_free(struct kmse_refresher *refresher);

/*
 * refresh(key) soon, in the thread. The key lives until refresher_stop. False:
 * there is no thread to be had; do it yourself.
 */
bool kmse_refresher_wake(struct kmse_refresher *refresher,
                         struct kmse_key *key);
/* Ends the thread, interrupting what it waits for. None is started after. */
void kmse_refresher_stop(struct kmse_refresher *refresher);
/* Until there is nothing to do: for tests. */
void kmse_refresher_wait(struct kmse_refresher *refresher);

/*
 * Around a fork: pause before any lock of a key is taken, since the thread
 * takes those; lock after them, as wake does.
 */
void kmse_refresher_pause(struct kmse_refresher *refresher);
void kmse_refresher_lock(struct kmse_refresher *refresher);
void kmse_refresher_parent(struct kmse_refresher *refresher);
void kmse_refresher_child(struct kmse_refresher *refresher);

#endif
