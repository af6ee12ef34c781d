/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_FAILURES_H
#define KMSE_KEYRING_FAILURES_H

#include <stddef.h>

#include "base/status.h"

/*
 * Inside keyring: several attempts that all failed, told as one failure.
 *
 * A data key with two copies opens through either master key, so the "no" of
 * one (KMSE_KMS_DENIED, _NOT_FOUND) is not the "no" of the other. The status is
 * therefore that of the first that might yet open (_RETRYABLE), else of the
 * first that broke (_FATAL), and a "no" only if all said no, the first one's
 * then. So while one master key is unreachable a cached data key serves on, for
 * as long as stale-if-unreachable allows, though another was disabled: nobody
 * has taken the key away yet. To take it away, all master keys must say no. The
 * order of the copies does not matter for this.
 */
struct kmse_failures {
    size_t expected, count;
    kmse_st st;
    struct kmse_why why;
};

/* expected: at most so many are added. The format tells what was tried. */
void kmse_failures_init(struct kmse_failures *failures, size_t expected,
                        const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Several share the room there is; a text that is too long ends in "...". */
void kmse_failures_add(struct kmse_failures *failures, kmse_st st,
                       const struct kmse_why *of_attempt);
/* After at least one was added. */
kmse_st kmse_failures_tell(const struct kmse_failures *failures,
                           struct kmse_why *why) KMSE_MUST_CHECK;

#endif
