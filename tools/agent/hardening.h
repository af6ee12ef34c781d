/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_HARDENING_H
#define KMSE_AGENT_HARDENING_H

#include <stddef.h>

#include "base/status.h"

/*
 * What a process with keys does to itself first: no core dump, no ptrace by
 * others of its user (PR_SET_DUMPABLE), nothing new by exec (no_new_privs), and
 * file descriptors for that many connections. Keys are in locked pages
 * (base/secret.h); mlockall would lock threads' stacks, too, of which there are
 * more megabytes than RLIMIT_MEMLOCK has.
 */
kmse_st kmse_harden(size_t connections, struct kmse_why *why) KMSE_MUST_CHECK;

#endif
