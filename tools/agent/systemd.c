/* SPDX-License-Identifier: Apache-2.0 */
/* systemd: sockets given, and states told. */
#include "agent/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

/* Whether the variable is that number. */
static bool is_number(const char *name, uint64_t wanted)
{
    char text[24];
    const char *value = getenv(name);
    snprintf(text, sizeof(text), "%" PRIu64, wanted);
    return value != NULL && strcmp(value, text) == 0;
}

kmse_st kmse_systemd_take_socket(int *fd, struct kmse_why *why)
{
    bool is_for_us = is_number("LISTEN_PID", (uint64_t)getpid());
    bool is_one = is_number("LISTEN_FDS", 1);
    *fd = -1;
    if (!is_for_us)
        return KMSE_OK;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!is_one)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "systemd must give one socket, not more");
    int flags = fcntl(FIRST_FD, F_GETFL);
    if (flags < 0 || fcntl(FIRST_FD, F_SETFL, flags | O_NONBLOCK) != 0
        || fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) != 0)
        return kmse_fail(why, KMSE_R_PARAMETER, "the socket from systemd: %s",
                         strerror(errno));
    *fd = FIRST_FD;
    return KMSE_OK;
}

/* A path, or with '@' a name in the abstract namespace. */
static socklen_t make_address(struct sockaddr_un *address, const char *place)
{
    size_t len = strlen(place);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((place[0] != '/' && place[0] != '@')
        || len >= sizeof(address->sun_path))
        return 0;
    memcpy(address->sun_path, place, len);
    if (place[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void kmse_systemd_notify(const char *state)
{
    struct sockaddr_un address;
    const char *place = getenv("NOTIFY_SOCKET");
    socklen_t address_len = place != NULL ? make_address(&address, place) : 0;
    if (address_len == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Who does not hear it will ask. */
    ssize_t n = sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                       (const struct sockaddr *)&address, address_len);
    (void)n;
    close(fd);
}

void kmse_systemd_notify_reloading(void)
{
    enum { US_PER_S = 1000000, NS_PER_US = 1000 };
    char state[64];
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * US_PER_S
                 + (uint64_t)now.tv_nsec / NS_PER_US);
    kmse_systemd_notify(state);
}

uint64_t kmse_systemd_watchdog_ms(void)
{
    enum { US_PER_MS = 1000, TWICE = 2 };
    const char *text = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (text == NULL
        || (pid != NULL && !is_number("WATCHDOG_PID", (uint64_t)getpid())))
        return 0;
    return strtoull(text, NULL, 10) / US_PER_MS / TWICE;
}
