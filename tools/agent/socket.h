/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_SOCKET_H
#define KMSE_AGENT_SOCKET_H

#include <stdbool.h>

#include "base/status.h"

/*
 * The socket that the agent listens on: systemd's, or one of our own, which
 * everybody may connect to, since the policy decides. A lock beside it
 * (.<name>.lock) is held as long: of two agents one starts, and a socket that
 * an agent left behind when it was killed is taken away.
 */
struct kmse_agent_socket {
    int fd;
    int lock_fd; /* -1: it is systemd's */
    char *path;
};

/* KMSE_R_FILE: another agent is there, or something that is no socket. */
kmse_st kmse_agent_socket_open(struct kmse_agent_socket *listening,
                               const char *path,
                               struct kmse_why *why) KMSE_MUST_CHECK;
/* Our own is removed. */
void kmse_agent_socket_close(struct kmse_agent_socket *listening);

#endif
