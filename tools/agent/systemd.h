/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_SYSTEMD_H
#define KMSE_AGENT_SYSTEMD_H

#include <stdint.h>

#include "base/status.h"

/*
 * What a service and systemd say to each other, sd_listen_fds(3) and
 * sd_notify(3), in the few lines that they are: a process that holds keys has
 * no use for the libraries that come with libsystemd. Without systemd all of it
 * does nothing.
 */

/* *fd is -1 if there is none. KMSE_R_PARAMETER: more than one. */
kmse_st kmse_systemd_take_socket(int *fd, struct kmse_why *why) KMSE_MUST_CHECK;

/* Lines of NAME=VALUE. */
void kmse_systemd_notify(const char *state);
/* RELOADING=1, with the time that goes with it. */
void kmse_systemd_notify_reloading(void);

/* How often WATCHDOG=1 must be said, in ms; 0: not at all. */
uint64_t kmse_systemd_watchdog_ms(void);

#endif
