/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_CACHE_H
#define KMSE_KEYRING_CACHE_H

#include "keyring/key.h"

/* Inside keyring: what cache.c, flight.c and lend.c have of each other. */

uint64_t kmse_key_now_ms(const struct kmse_key *key);

struct kmse_entry *kmse_locked_entry(struct kmse_key *key, uint32_t version);
/* Stop using a data key: live leases fail at their next message. */
void kmse_locked_drop(struct kmse_key *key, struct kmse_entry *entry);
/* Data keys that may not serve any more do not stay in memory. */
void kmse_locked_drop_expired(struct kmse_key *key);

/* Obtain the data key anew, with the mutex let go meanwhile. */
void kmse_locked_fly(struct kmse_key *key, uint32_t version);

/* Whether the file has that version, and lets it be used. */
kmse_st kmse_locked_check_state(const struct kmse_key *key, uint32_t version,
                                struct kmse_why *why) KMSE_MUST_CHECK;
bool kmse_entry_may_serve(const struct kmse_key *key,
                          const struct kmse_entry *entry, uint64_t now);
/* It serves: note it for the refresher if that is due, and count it. */
void kmse_locked_served(struct kmse_key *key, struct kmse_entry *entry,
                        uint64_t now);
/* The last failure, while it is not tried again; else success. */
kmse_st kmse_entry_failed(const struct kmse_entry *entry, uint64_t now,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
