/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_RING_H
#define KMSE_KEYRING_RING_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/secret.h"
#include "keyring/datakey.h"

/*
 * The ring: all keys of one folder, their data keys unwrapped when needed and
 * cached. Several threads may use it. It does I/O only when a key is first
 * used, when a look at its file is due, and when a data key must be unwrapped;
 * no lock is held then.
 */
struct kmse_ring;
struct kmse_key;

struct kmse_ring_options {
    const char *folder;
    const char *default_key; /* or NULL */
    uint64_t max_age_ms;     /* unwrap again after that */
    uint64_t stale_ms;       /* beyond max age, while the KMS is away */
    uint64_t max_messages;   /* per unwrapped data key */
    uint64_t max_bytes;
    const struct kmse_kms_options *kms; /* kms.h; or NULL */
};

/* Copies the options; takes crypto, on failure too. One reference. */
kmse_st kmse_ring_new(struct kmse_ring **ring,
                      const struct kmse_ring_options *options,
                      struct kmse_crypto *crypto,
                      const struct kmse_clock *clock) KMSE_MUST_CHECK;
struct kmse_ring *kmse_ring_acquire(struct kmse_ring *ring);
void kmse_ring_release(struct kmse_ring *ring);
/* Before the first context: see kmse_crypto_ready. */
kmse_st kmse_ring_ready(struct kmse_ring *ring) KMSE_MUST_CHECK;
const struct kmse_ring_options *
kmse_ring_get_options(const struct kmse_ring *ring);
/* End the background thread: the provider goes, though contexts may stay. */
void kmse_ring_stop(struct kmse_ring *ring);
/* Until the background thread has nothing to do: for tests. */
void kmse_ring_wait(struct kmse_ring *ring);
uint64_t kmse_ring_kms_calls(const struct kmse_ring *ring);

/*
 * The key of that name; "" is the default key. It lives as long as the ring.
 * KMSE_R_KEY_NAME, KMSE_R_KEY_NOT_FOUND, and the reasons of a key file.
 */
kmse_st kmse_ring_find(struct kmse_ring *ring, const char *name,
                       struct kmse_key **key,
                       struct kmse_why *why) KMSE_MUST_CHECK;
const char *kmse_key_name(const struct kmse_key *key);

/*
 * A lease: one thread's right to use one version in one direction, with AES
 * keyed and nonces in stock, so that a message costs no lock, no allocation,
 * no random bytes and no key schedule. Idle leases wait in the key, a few.
 */
struct kmse_lease {
    struct kmse_key *key;
    struct kmse_datakey *datakey;
    struct kmse_gcm *gcm;
    enum kmse_direction direction;
    uint64_t generation;      /* the key's, when last looked at */
    uint64_t fork_generation; /* the process's */
    uint64_t recheck_ms;      /* coarse time of the next look */
    uint64_t nonces_left, bytes_left;
    uint8_t nonce[KMSE_NONCE_LEN]; /* the next one */
};

/*
 * For a message to be written: the newest active version. *lease may hold the
 * lease of an earlier message, which is kept if it will do and given back if
 * not; on failure *lease is NULL.
 */
kmse_st kmse_lease_newest(struct kmse_lease **lease, struct kmse_key *key,
                          struct kmse_why *why) KMSE_MUST_CHECK;
/* For a message to be read: that version. */
kmse_st kmse_lease_version(struct kmse_lease **lease, struct kmse_key *key,
                           uint32_t version,
                           struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * Within a message: may its version still be used? It may have been revoked, or
 * the KMS may have said no, since the message began. The reasons are those of
 * kmse_lease_version. A rotation does not disturb a message.
 */
kmse_st kmse_lease_check(struct kmse_lease *lease,
                         struct kmse_why *why) KMSE_MUST_CHECK;
/* Sets *lease to NULL. */
void kmse_lease_give_back(struct kmse_lease **lease);

/* A nonce never used before with this data key. KMSE_R_KEY_LIMIT. */
kmse_st kmse_lease_take_nonce(struct kmse_lease *lease,
                              uint8_t nonce[KMSE_NONCE_LEN],
                              struct kmse_why *why) KMSE_MUST_CHECK;
/* Account for plaintext before it is encrypted. KMSE_R_KEY_LIMIT. */
kmse_st kmse_lease_take_bytes(struct kmse_lease *lease, uint64_t len,
                              struct kmse_why *why) KMSE_MUST_CHECK;

#endif
