/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that the agent listens on. */
#include "agent/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/systemd.h"
#include "base/file.h"

enum { SOCKET_MODE = 0666, BACKLOG = 4096 };

static kmse_st fail_errno(struct kmse_why *why, const char *what,
                          const char *path)
{
    return kmse_fail(why, KMSE_R_FILE, "%s %.107s: %s", what, path,
                     strerror(errno));
}

/* --- one of our own ----------------------------------------------------- */

static kmse_st lock(int *lock_fd, const char *path, struct kmse_why *why)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    const char *name = path + (slash - folder) + 1;
    slash[slash == folder ? 1 : 0] = '\0';
    kmse_st st = kmse_file_lock(folder, name, 0, lock_fd, why);
    if (st.reason == KMSE_R_KEYFILE_LOCKED)
        return kmse_fail(why, KMSE_R_FILE,
                         "%.107s: another agent has it; stop that one, or give "
                         "this one another --socket",
                         path);
    return st;
}

/* Under the lock nobody listens there: it was left behind. */
static kmse_st remove_dead(const char *path, struct kmse_why *why)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? KMSE_OK : fail_errno(why, "stat", path);
    if (!S_ISSOCK(status.st_mode))
        return kmse_fail(why, KMSE_R_FILE, "%.107s is no socket: not replaced",
                         path);
    return unlink(path) == 0 ? KMSE_OK : fail_errno(why, "unlink", path);
}

/* Without an answer to "who listens?", as that of another program. */
static kmse_st check_nobody_listens(const struct sockaddr_un *address,
                                    struct kmse_why *why)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno(why, "socket", address->sun_path);
    int connected =
        connect(fd, (const struct sockaddr *)address, sizeof(*address));
    int error = errno;
    close(fd);
    if (connected == 0 || (error != ENOENT && error != ECONNREFUSED))
        return kmse_fail(why, KMSE_R_FILE,
                         "%.107s: somebody else listens there",
                         address->sun_path);
    return KMSE_OK;
}

static kmse_st listen_at(int fd, const struct sockaddr_un *address,
                         struct kmse_why *why)
{
    KMSE_TRY(check_nobody_listens(address, why));
    KMSE_TRY(remove_dead(address->sun_path, why));
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return fail_errno(why, "bind", address->sun_path);
    if (chmod(address->sun_path, SOCKET_MODE) != 0)
        return fail_errno(why, "chmod", address->sun_path);
    if (listen(fd, BACKLOG) != 0)
        return fail_errno(why, "listen", address->sun_path);
    return KMSE_OK;
}

static kmse_st open_own(struct kmse_agent_socket *listening, const char *path,
                        struct kmse_why *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    KMSE_TRY(lock(&listening->lock_fd, path, why));
    listening->fd =
        socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listening->fd < 0)
        return fail_errno(why, "socket", path);
    return listen_at(listening->fd, &address, why);
}

/* --- systemd's ---------------------------------------------------------- */

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static kmse_st check_given(int fd, struct kmse_why *why)
{
    if (option(fd, SO_DOMAIN) != AF_UNIX
        || option(fd, SO_TYPE) != SOCK_SEQPACKET
        || option(fd, SO_ACCEPTCONN) != 1)
        return kmse_fail(why, KMSE_R_FILE,
                         "the socket from systemd is of another kind: "
                         "ListenSequentialPacket= is the right one");
    return KMSE_OK;
}

kmse_st kmse_agent_socket_open(struct kmse_agent_socket *listening,
                               const char *path, struct kmse_why *why)
{
    struct kmse_agent_socket made = {.fd = -1, .lock_fd = -1};
    kmse_st st = kmse_systemd_take_socket(&made.fd, why);
    if (!kmse_is_ok(st))
        return st;
    if (made.fd >= 0) {
        st = check_given(made.fd, why);
        if (kmse_is_ok(st))
            *listening = made;
        return st;
    }
    made.path = strdup(path);
    if (made.path == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    st = open_own(&made, path, why);
    if (!kmse_is_ok(st)) {
        if (made.fd >= 0)
            close(made.fd);
        if (made.lock_fd >= 0)
            kmse_file_unlock(made.lock_fd);
        free(made.path);
        return st;
    }
    *listening = made;
    return KMSE_OK;
}

void kmse_agent_socket_close(struct kmse_agent_socket *listening)
{
    if (listening->path != NULL)
        unlink(listening->path);
    if (listening->fd >= 0)
        close(listening->fd);
    if (listening->lock_fd >= 0)
        kmse_file_unlock(listening->lock_fd);
    free(listening->path);
    *listening = (struct kmse_agent_socket){.fd = -1, .lock_fd = -1};
}
