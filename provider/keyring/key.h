/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_KEY_H
#define KMSE_KEYRING_KEY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/fork.h"
#include "keyring/keyfile.h"
#include "keyring/ring.h"

/* Inside keyring: one key of the ring, its file and its data keys. */

/* A key file as read once; counted. */
struct kmse_snapshot {
    _Atomic unsigned references;
    struct kmse_keyfile *file;
    struct kmse_file_mark mark;
    _Atomic bool mac_checked;
};

/* The cache's entry of one version. */
struct kmse_entry {
    struct kmse_datakey *datakey; /* or NULL */
    uint64_t refresh_ms;          /* unwrap again in the background */
    uint64_t expires_ms;          /* unwrap again before it is used */
    uint64_t stale_until_ms;      /* may serve until then, KMS away */
    bool in_flight;               /* a thread is unwrapping it */
    bool refresh_wanted;          /* by the refresher's next round */
    unsigned failures;            /* in a row, since it was last unwrapped */
    kmse_st failed;               /* the last of them, */
    uint64_t failed_ms;           /* when, */
    uint64_t failed_until_ms;     /* and how long it is not tried again */
    struct kmse_why *failed_why;  /* or NULL */
};

/*
 * Idle leases, a lane for each of a few threads: taken and put back by one
 * atomic exchange. One for writing, some for reading, by version. A lane is
 * made when its first lease is put back, and is the key's until its end.
 */
enum { KMSE_LANES = 8, KMSE_LANE_OPEN = 4, KMSE_LANE_SLOTS = 5 };
struct kmse_lane {
    _Alignas(64) _Atomic(struct kmse_lease *) slots[KMSE_LANE_SLOTS];
};

/* What all keys of a ring share. */
struct kmse_key_environment {
    struct kmse_ring_options options; /* strings are the ring's */
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    struct kmse_kms *kms;
    struct kmse_fork *fork;
    const struct kmse_clock *clock;
    struct kmse_refresher *refresher;
    struct kmse_handles *handles;
};

const struct kmse_key_environment *
kmse_ring_environment(const struct kmse_ring *ring);

struct kmse_key {
    struct kmse_lane *_Atomic lanes[KMSE_LANES]; /* or NULL */
    struct kmse_key *_Atomic next; /* in the ring's bucket; set once */
    const struct kmse_key_environment *environment;
    char name[KMSE_KEY_NAME_MAX + 1];
    bool is_carried;                /* in no folder: never looked for there */
    uint8_t carried[KMSE_HMAC_LEN]; /* SHA-256 of the file that was */
    _Atomic uint64_t generation;    /* up: every lease must look again */
    _Atomic uint64_t next_stat_ms;  /* coarse time */
    _Atomic int64_t look_s;         /* wall time at which a look last began, */
    _Atomic int64_t looked_s;       /* and of the last one that is done */

    pthread_mutex_t mutex; /* guards what follows, and datakeys' usage */
    pthread_cond_t landed; /* an unwrap ended */
    struct kmse_snapshot *snapshot;
    struct kmse_entry *entries; /* of version 1, 2, ... */
    size_t entry_count;
    kmse_st reload_failed;       /* the file on disk now is bad */
    struct kmse_why *reload_why; /* or NULL */
    bool refresh_wanted;         /* of any entry */
    struct kmse_numbers numbers;

    struct kmse_key *next_refresh; /* the refresher's queue, under its lock */
    bool refresh_queued;
};

/* Reads the file. KMSE_R_KEY_NOT_FOUND and the reasons of a key file. */
kmse_st kmse_key_new(struct kmse_key **key, const char *name,
                     const struct kmse_key_environment *environment,
                     struct kmse_why *why) KMSE_MUST_CHECK;
/* Of a file that is in no folder, with the digest that tells it from others. */
kmse_st kmse_key_new_carried(struct kmse_key **key, const char *name,
                             const char *json, size_t json_len,
                             const uint8_t digest[KMSE_HMAC_LEN],
                             const struct kmse_key_environment *environment,
                             struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_key_free(struct kmse_key *key);

/* Where its file is, for messages. */
enum { KMSE_ORIGIN_LEN = 512 };
void kmse_key_print_origin(char out[KMSE_ORIGIN_LEN],
                           const struct kmse_key *key);

/* Over a fork: hold the mutex; in the child forget unwraps under way. */
void kmse_key_prepare_fork(struct kmse_key *key);
void kmse_key_parent(struct kmse_key *key);
void kmse_key_child(struct kmse_key *key);

/*
 * The data key to write with (version 0) or to read that version with, from
 * the cache or the KMS, with a reference for the caller. *asked, if it is not
 * NULL, is set on success: the answer stands while kmse_key_is_fresh.
 */
kmse_st kmse_key_datakey(struct kmse_key *key, uint32_t version,
                         struct kmse_datakey **datakey,
                         struct kmse_asked *asked,
                         struct kmse_why *why) KMSE_MUST_CHECK;

static inline uint64_t kmse_key_coarse_ms(const struct kmse_key *key)
{
    const struct kmse_clock *clock = key->environment->clock;
    return clock->coarse_ms(clock->arg);
}

static inline int64_t kmse_key_wall_s(const struct kmse_key *key)
{
    const struct kmse_clock *clock = key->environment->clock;
    return clock->wall_s(clock->arg);
}

/* Nothing happened to the key since it was asked. */
static inline bool kmse_key_is_current(const struct kmse_key *key,
                                       const struct kmse_asked *asked)
{
    return asked->generation
           == atomic_load_explicit(&key->generation, memory_order_acquire);
}

/*
 * Which second it is costs less than half of what milliseconds cost, and that
 * is most of what this layer costs. A clock that is set back by less than a
 * second makes one last longer by as much.
 */
static inline bool kmse_key_is_fresh(const struct kmse_key *key,
                                     const struct kmse_asked *asked)
{
    return kmse_key_is_current(key, asked)
           && (kmse_key_wall_s(key) == asked->calm_s
               || kmse_key_coarse_ms(key) < asked->recheck_ms);
}

/* Unwrap anew, now, what a kmse_key_datakey found due for it. */
void kmse_key_refresh(struct kmse_key *key);

/* What idle leases have counted goes to the key's numbers. */
void kmse_key_count_leases(struct kmse_key *key);

/* Between key.c and cache.c. */
struct kmse_snapshot *kmse_snapshot_acquire(struct kmse_snapshot *snapshot);
/* Whether b's version of that index is a's. */
bool kmse_keyfile_same_version(const struct kmse_keyfile *a,
                               const struct kmse_keyfile *b, size_t index);
void kmse_key_look_at_file(struct kmse_key *key);
bool kmse_key_is_look_due(const struct kmse_key *key);
void kmse_key_look_at_file_if_due(struct kmse_key *key);
void kmse_entry_wipe(struct kmse_entry *entry);

/* Limits in force for this key: of file and configuration, the stricter. */
struct kmse_policy kmse_key_locked_policy(const struct kmse_key *key);

/*
 * Free idle leases of an older generation (lease.c), and what handles have of
 * it; or all leases, at the end.
 */
void kmse_key_sweep_leases(struct kmse_key *key);
void kmse_key_free_lanes(struct kmse_key *key);

#endif
