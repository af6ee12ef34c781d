/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_RING_H
#define KMSE_KEYRING_RING_H

#include "base/algorithm.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/hmac.h"
#include "base/secret.h"
#include "base/siv.h"
#include "keyring/datakey.h"
#include "keyring/rotation.h"
#include "kms/kms.h"

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
    const struct kmse_kms_options *kms; /* or NULL */
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
/* Ciphers of others, from the library context that the ring uses. */
kmse_st
kmse_ring_algorithms(struct kmse_ring *ring,
                     struct kmse_algorithms *algorithms) KMSE_MUST_CHECK;
const struct kmse_ring_options *
kmse_ring_get_options(const struct kmse_ring *ring);
/* End the background thread: the provider goes, though contexts may stay. */
void kmse_ring_stop(struct kmse_ring *ring);
/* Until the background thread has nothing to do: for tests. */
void kmse_ring_wait(struct kmse_ring *ring);
uint64_t kmse_ring_kms_calls(const struct kmse_ring *ring);
/* Whether keys are locked into memory: none is in swap. */
bool kmse_ring_is_locked(struct kmse_ring *ring);
/* Wipe what may not serve any more: the next who asks would do it. */
void kmse_ring_tidy(struct kmse_ring *ring);

/* Since the ring was made. */
struct kmse_numbers {
    uint64_t unwraps;  /* data keys that the KMS, or the agent, gave */
    uint64_t failures; /* and did not give */
    uint64_t hits;     /* messages that found their data key at hand */
    uint64_t misses;   /* and that waited for it */
    /* Hits past max-age, the KMS being away; of a thread, at most each 100 ms
     * counts as one. */
    uint64_t stale_serves;
};
void kmse_ring_get_numbers(struct kmse_ring *ring,
                           struct kmse_numbers *numbers);

/* What is cached now, a version each; visit may call nothing of the ring. */
struct kmse_cached {
    const char *key;
    uint32_t version;
    int64_t fresh_ms;  /* until it expires; less than 0: since when it has */
    int64_t serves_ms; /* until it stops serving, if the KMS stays away */
    unsigned failures; /* in a row, since the KMS last gave it */
    uint64_t messages, bytes; /* encrypted with it by this process */
};
void kmse_ring_visit(struct kmse_ring *ring,
                     void (*visit)(void *arg, const struct kmse_cached *cached),
                     void *arg);

/*
 * The key of that name; "" is the default key. It lives as long as the ring.
 * KMSE_R_KEY_NAME, KMSE_R_KEY_NOT_FOUND, and the reasons of a key file.
 */
kmse_st kmse_ring_find(struct kmse_ring *ring, const char *name,
                       struct kmse_key **key,
                       struct kmse_why *why) KMSE_MUST_CHECK;
const char *kmse_key_name(const struct kmse_key *key);
/* The same without I/O: NULL if the key was not looked for yet. */
struct kmse_key *kmse_ring_find_loaded(struct kmse_ring *ring,
                                       const char *name);
/*
 * A key that is in no folder: its file was carried here by other means, as
 * json[0..json_len), NUL after it. The same file is the same key, and stays for
 * as long as the ring does. No file of the folder can stand for it, nor it for
 * one. The reasons of kmse_keyfile_parse.
 */
#define KMSE_CARRIED_ORIGIN "the key file in the key"
kmse_st kmse_ring_find_carried(struct kmse_ring *ring, const char *name,
                               const char *json, size_t json_len,
                               struct kmse_key **key,
                               struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The key's file as it is now: looked at, but no KMS is asked, so that nothing
 * proves it. The caller releases the snapshot.
 */
struct kmse_snapshot;
kmse_st kmse_key_snapshot(struct kmse_key *key, struct kmse_snapshot **snapshot,
                          struct kmse_why *why) KMSE_MUST_CHECK;
const struct kmse_keyfile *
kmse_snapshot_file(const struct kmse_snapshot *snapshot);
void kmse_snapshot_release(struct kmse_snapshot *snapshot);

/* What operations on the key files of the folder take. Borrowed. */
struct kmse_rotation kmse_ring_rotation(const struct kmse_ring *ring);

/*
 * For the agent: a copy of a version's data key. wanted->key is the key's name,
 * and its id must be the one of our key file. fresh_ms and stale_ms are what is
 * left of our own time; where the KMS is away, a moment at a time.
 */
kmse_st kmse_key_lend(struct kmse_key *key, const struct kmse_wanted *wanted,
                      struct kmse_loan *loan,
                      struct kmse_why *why) KMSE_MUST_CHECK;

/* The same without I/O, so without waiting, if it can be done so. */
enum kmse_lending {
    KMSE_LENDING_DONE, /* *st says how */
    KMSE_LENDING_LOOK, /* a look at the key's file is due: kmse_key_look */
    KMSE_LENDING_WAIT, /* it takes kmse_key_lend */
};
enum kmse_lending kmse_key_try_lend(struct kmse_key *key,
                                    const struct kmse_wanted *wanted,
                                    struct kmse_loan *loan, kmse_st *st,
                                    struct kmse_why *why);
void kmse_key_look(struct kmse_key *key);

/* When a key was last asked whether a data key is the one to use. */
struct kmse_asked {
    uint64_t generation; /* the key's, before that */
    uint64_t recheck_ms; /* coarse time of the next look */
    int64_t calm_s;      /* no look within that second of wall time */
};

/*
 * A lease: one thread's right to use one version in one direction, with AES
 * keyed and nonces in stock, so that a message costs no lock, no allocation,
 * no random bytes and no key schedule. Idle leases wait in the key, a few.
 */
struct kmse_lease {
    struct kmse_key *key;
    struct kmse_datakey *datakey;
    struct kmse_gcm *gcm;
    struct kmse_siv *siv;    /* or NULL: kmse_lease_siv */
    struct kmse_hmac *index; /* or NULL: kmse_lease_index */
    enum kmse_direction direction;
    struct kmse_asked asked;
    uint64_t fork_generation; /* the process's */
    uint64_t nonces_left, bytes_left;
    uint64_t hits;                 /* not yet in the key's numbers */
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

/* Keyed for the lease's version when first asked for; the lease's own. */
kmse_st kmse_lease_siv(struct kmse_lease *lease,
                       struct kmse_siv **siv) KMSE_MUST_CHECK;
kmse_st kmse_lease_index(struct kmse_lease *lease,
                         const struct kmse_hmac **index) KMSE_MUST_CHECK;

/*
 * The versions that rows may be found under: all that are active, also those
 * to come, ascending. Call it after kmse_lease_newest, which proves the file.
 * The caller frees *versions; *count is at least 1.
 */
kmse_st kmse_key_versions(struct kmse_key *key, uint32_t **versions,
                          size_t *count, struct kmse_why *why) KMSE_MUST_CHECK;

/* A nonce never used before with this data key. KMSE_R_KEY_LIMIT. */
kmse_st kmse_lease_take_nonce(struct kmse_lease *lease,
                              uint8_t nonce[KMSE_NONCE_LEN],
                              struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * A message whose nonce was drawn before a fork goes on in the parent alone:
 * KMSE_R_STATE in the child, which would encrypt with the same.
 */
kmse_st kmse_lease_check_process(const struct kmse_lease *lease,
                                 struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * AES-256-GCM for one stream, in the lease's direction, with a key of its own;
 * the caller's. salt: of a stream being read, or a nonce just taken.
 */
kmse_st kmse_lease_stream_gcm(const struct kmse_lease *lease,
                              const uint8_t salt[KMSE_STREAM_SALT_LEN],
                              struct kmse_gcm **gcm) KMSE_MUST_CHECK;
/* Account for a message that needs no nonce. KMSE_R_KEY_LIMIT. */
kmse_st kmse_lease_take_message(struct kmse_lease *lease,
                                struct kmse_why *why) KMSE_MUST_CHECK;
/* Account for plaintext before it is encrypted. KMSE_R_KEY_LIMIT. */
kmse_st kmse_lease_take_bytes(struct kmse_lease *lease, uint64_t len,
                              struct kmse_why *why) KMSE_MUST_CHECK;

#endif
