/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_WALK_H
#define KMSE_TOOLS_WALK_H

#include "base/status.h"

/*
 * Each regular file at or below a path, links followed, in any order, in memory
 * that does not grow with their number. "-" is standard input; what is named
 * itself may be a pipe. A file that goes meanwhile is passed over, anything
 * that cannot be read is the end of it: KMSE_R_FILE, with its path in why. So
 * is what visit returns. visit does not close fd.
 */
typedef kmse_st kmse_walk_fn(void *arg, int fd, const char *path,
                             struct kmse_why *why);
kmse_st kmse_walk(const char *path, kmse_walk_fn *visit, void *arg,
                  struct kmse_why *why) KMSE_MUST_CHECK;

#endif
