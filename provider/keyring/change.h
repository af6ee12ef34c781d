/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_CHANGE_H
#define KMSE_KEYRING_CHANGE_H

#include "keyring/rotation.h"

/* Inside keyring: how a key file is changed, all of it under the file's lock.
 */

/* The lock, of a key that exists; kmse_file_unlock(lock_fd) ends it. */
kmse_st kmse_change_lock(const struct kmse_rotation *r, const char *name,
                         int *lock_fd, struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * A file that does not fit its MAC is not built upon. *newest: the newest
 * version's data key, which the MAC of what it becomes is made with; the caller
 * wipes it.
 */
kmse_st kmse_change_open(struct kmse_keyfile **file, struct kmse_secret *newest,
                         const struct kmse_rotation *r, const char *name,
                         struct kmse_why *why) KMSE_MUST_CHECK;
/* The same, for a change that leaves the MAC as it is or makes a version. */
kmse_st kmse_change_read(struct kmse_keyfile **file,
                         const struct kmse_rotation *r, const char *name,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/* A copy of old, to be changed. */
kmse_st kmse_change_begin(struct kmse_keyfile **file,
                          const struct kmse_keyfile *old,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Write file in the place of old (NULL: there is none), and read it back.
 * Before, of what a reader will find, these must open through their own master
 * keys, and fit the commitment:
 *   each copy that old does not have;
 *   of a version that lost a copy, one at least. The lost copy need not open
 *   any more: its Region may be gone;
 *   of the newest version one at least, if the MAC is another: it must fit.
 * Copies that were there and stay are not asked for: an outage of one KMS must
 * not keep anyone from adding a copy in another.
 */
kmse_st kmse_change_write(const struct kmse_rotation *r,
                          const struct kmse_keyfile *old,
                          const struct kmse_keyfile *file,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * One more version in memory, under the newest one's master keys, and the MAC
 * of the file as it then is.
 */
kmse_st kmse_change_add_version(const struct kmse_rotation *r,
                                struct kmse_keyfile *file, int64_t active_in_s,
                                struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * One change of what a file says of its versions, without a new one: the file
 * that there is, its newest data key, and the file that takes its place.
 */
struct kmse_edit {
    int lock_fd;
    struct kmse_keyfile *old, *file;
    struct kmse_secret newest; /* old's data key for the MAC */
};
/* Takes the lock, and keeps it until kmse_edit_close. */
kmse_st kmse_edit_open(struct kmse_edit *edit, const struct kmse_rotation *r,
                       const char *name, struct kmse_why *why) KMSE_MUST_CHECK;
/* With its MAC, by kmse_change_write. */
kmse_st kmse_edit_write(struct kmse_edit *edit, const struct kmse_rotation *r,
                        struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_edit_close(struct kmse_edit *edit);

/* Whether the copy, alone, opens the version now and fits its commitment. */
kmse_st kmse_change_prove_copy(const struct kmse_rotation *r,
                               const struct kmse_keyfile *file,
                               const struct kmse_version *version,
                               struct kmse_copy *copy,
                               struct kmse_why *why) KMSE_MUST_CHECK;

#endif
