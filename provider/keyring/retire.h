/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_RETIRE_H
#define KMSE_KEYRING_RETIRE_H

#include "keyring/rotation.h"

/*
 * The end of a version: counted, retired, destroyed; each as atomic as what
 * rotation.h has, and done twice it is done once. What is asked for:
 *
 *   retire    programs that have the key file encrypt with a later version; of
 *             every scope that a census was ever recorded of, the last one
 *             found none, and began no sooner than the policy's census-fence
 *             after that later version took over, so that a program with an
 *             older view had written its last row
 *   destroy   it has been retired for the policy's destroy-after, and no census
 *             found rows of it meanwhile
 *   undo      it is retired, and not destroyed
 */

/* What one census found in one place, to be recorded. */
struct kmse_version_count {
    uint32_t version;
    uint64_t count;
};
struct kmse_census {
    const char *scope; /* in words; KMSE_SCOPE_MAX */
    const char *tool;  /* that took it: name and release */
    /* By rotation's clock, before the first row was read. */
    int64_t taken_s;
    const struct kmse_version_count *counts; /* each version once; 0: none */
    size_t count_count;
    uint64_t other; /* rows that are no messages */
};

/*
 * Record it, in the place of an earlier one of that scope. Refused, with
 * nothing written:
 *   KMSE_R_PARAMETER            a bad scope or tool; rows, of which not one is
 *                               a message: they were looked at in a wrong way
 *   KMSE_R_KEY_VERSION_UNKNOWN  rows of a version that the key does not have:
 *                               of another key, or the file is old
 *   KMSE_R_STATE                taken in the future, or before the one that is
 *                               recorded, or too many scopes
 */
kmse_st kmse_rotation_record_census(const struct kmse_rotation *rotation,
                                    const char *name,
                                    const struct kmse_census *census,
                                    struct kmse_why *why) KMSE_MUST_CHECK;
/* There are no such rows any more. KMSE_R_PARAMETER: no census of that scope.
 */
kmse_st kmse_rotation_forget_census(const struct kmse_rotation *rotation,
                                    const char *name, const char *scope,
                                    struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * KMSE_R_KEY_VERSION_UNKNOWN, _DESTROYED; KMSE_R_STATE, and why says what is
 * missing. It does not decrypt from then on, in running programs within a
 * second; its copies are kept.
 */
kmse_st kmse_rotation_retire(const struct kmse_rotation *rotation,
                             const char *name, uint32_t version,
                             struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * Back to active, until it is destroyed. Before it can be retired again, a
 * census is needed that is younger than that.
 */
kmse_st kmse_rotation_undo_retire(const struct kmse_rotation *rotation,
                                  const char *name, uint32_t version,
                                  struct kmse_why *why) KMSE_MUST_CHECK;
/*
 * Its wrapped copies go, for ever. KMSE_R_STATE: it is not retired, or not for
 * long enough, or a census found rows of it.
 */
kmse_st kmse_rotation_destroy(const struct kmse_rotation *rotation,
                              const char *name, uint32_t version,
                              struct kmse_why *why) KMSE_MUST_CHECK;
/* What kmse_rotation_destroy would refuse, without a change and any KMS. */
kmse_st kmse_destroy_check(const struct kmse_keyfile *file, uint32_t version,
                           int64_t now_s, struct kmse_why *why) KMSE_MUST_CHECK;

#endif
