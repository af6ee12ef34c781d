/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files: read with a cap, replaced atomically, locked. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

enum { LOCK_POLL_MS = 10, NS_PER_MS = 1000000, MODE_BITS = 07777 };

static kmse_st fail_errno(struct kmse_why *why, const char *doing,
                          const char *path)
{
    return kmse_fail(why, KMSE_R_FILE, "%s %s: %s", doing, path,
                     strerror(errno));
}

/* --- reading ------------------------------------------------------------ */

static kmse_st check_file(int fd, const char *path, size_t max_len,
                          mode_t forbidden_mode, size_t *len,
                          struct kmse_why *why)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return fail_errno(why, "stat", path);
    if (!S_ISREG(status.st_mode))
        return kmse_fail(why, KMSE_R_FILE, "%s: not a regular file", path);
    if ((status.st_mode & forbidden_mode) != 0)
        return kmse_fail(
            why, KMSE_R_FILE_MODE, "%s has mode %04o; chmod %04o %s", path,
            (unsigned)(status.st_mode & MODE_BITS),
            (unsigned)(status.st_mode & MODE_BITS & ~forbidden_mode), path);
    if (status.st_size < 0 || (uintmax_t)status.st_size > max_len)
        return kmse_fail(why, KMSE_R_FILE, "%s: longer than %zu bytes", path,
                         max_len);
    *len = (size_t)status.st_size;
    return KMSE_OK;
}

static kmse_st read_all(int fd, const char *path, uint8_t *bytes, size_t len,
                        struct kmse_why *why)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = read(fd, bytes + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, "read", path);
        if (n == 0)
            return kmse_fail(why, KMSE_R_FILE, "%s: became shorter", path);
        have += (size_t)n;
    }
    return KMSE_OK;
}

kmse_st kmse_file_read(const char *path, size_t max_len, mode_t forbidden_mode,
                       uint8_t **bytes, size_t *len, struct kmse_why *why)
{
    size_t size = 0;
    uint8_t *read_bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(why, "open", path);
    kmse_st st = check_file(fd, path, max_len, forbidden_mode, &size, why);
    if (kmse_is_ok(st) && (read_bytes = malloc(size + 1)) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_is_ok(st))
        st = read_all(fd, path, read_bytes, size, why);
    close(fd);
    if (!kmse_is_ok(st)) {
        kmse_file_free_bytes(read_bytes, size);
        return st;
    }
    read_bytes[size] = '\0';
    *bytes = read_bytes;
    *len = size;
    return KMSE_OK;
}

void kmse_file_free_bytes(uint8_t *bytes, size_t len)
{
    if (bytes == NULL)
        return;
    OPENSSL_cleanse(bytes, len);
    free(bytes);
}

/* --- replacing ---------------------------------------------------------- */

static kmse_st write_all(int fd, const char *path, const uint8_t *bytes,
                         size_t len, struct kmse_why *why)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(why, "write", path);
        bytes += n;
        len -= (size_t)n;
    }
    return KMSE_OK;
}

static kmse_st join(char path[PATH_MAX], const char *folder, const char *prefix,
                    const char *name, const char *suffix, struct kmse_why *why)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s%s", folder, prefix, name, suffix);
    if (n < 0 || n >= PATH_MAX)
        return kmse_fail(why, KMSE_R_FILE, "%s: the path is too long", folder);
    return KMSE_OK;
}

/* A root's rotate must not take the file from the application's user. */
static void keep_owner(int fd, const char *path)
{
    struct stat old;
    if (stat(path, &old) == 0 && fchown(fd, old.st_uid, old.st_gid) != 0)
        errno = 0;
}

static kmse_st write_temporary(const char *temporary, const char *path,
                               const uint8_t *bytes, size_t len, mode_t mode,
                               struct kmse_why *why)
{
    /* What a killed writer left behind. */
    if (unlink(temporary) != 0 && errno != ENOENT)
        return fail_errno(why, "unlink", temporary);
    int fd = open(temporary,
                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return fail_errno(why, "create", temporary);
    keep_owner(fd, path);
    kmse_st st =
        fchmod(fd, mode) == 0 ? KMSE_OK : fail_errno(why, "chmod", temporary);
    if (kmse_is_ok(st))
        st = write_all(fd, temporary, bytes, len, why);
    if (kmse_is_ok(st) && fsync(fd) != 0)
        st = fail_errno(why, "fsync", temporary);
    if (close(fd) != 0 && kmse_is_ok(st))
        st = fail_errno(why, "close", temporary);
    return st;
}

static kmse_st sync_folder(const char *folder, struct kmse_why *why)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(why, "open", folder);
    kmse_st st = fsync(fd) == 0 ? KMSE_OK : fail_errno(why, "fsync", folder);
    close(fd);
    return st;
}

kmse_st kmse_file_replace(const char *folder, const char *name,
                          const uint8_t *bytes, size_t len, mode_t mode,
                          struct kmse_why *why)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    KMSE_TRY(join(path, folder, "", name, "", why));
    KMSE_TRY(join(temporary, folder, ".", name, ".new", why));
    kmse_st st = write_temporary(temporary, path, bytes, len, mode, why);
    if (kmse_is_ok(st) && rename(temporary, path) != 0)
        st = fail_errno(why, "rename to", path);
    if (!kmse_is_ok(st)) {
        unlink(temporary);
        return st;
    }
    return sync_folder(folder, why);
}

/* --- locking ------------------------------------------------------------ */

static uint64_t now_ms(void)
{
    enum { MS_PER_S = 1000 };
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

kmse_st kmse_file_lock(const char *folder, const char *name,
                       unsigned timeout_ms, int *lock_fd, struct kmse_why *why)
{
    char path[PATH_MAX];
    KMSE_TRY(join(path, folder, ".", name, ".lock", why));
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                  S_IRUSR | S_IWUSR);
    if (fd < 0)
        return fail_errno(why, "open", path);
    uint64_t deadline = now_ms() + timeout_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        kmse_st st = KMSE_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            st = fail_errno(why, "lock", path);
        else if (now_ms() >= deadline)
            st = kmse_fail(why, KMSE_R_KEYFILE_LOCKED,
                           "%s: another process holds it; try again", path);
        if (!kmse_is_ok(st)) {
            close(fd);
            return st;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * NS_PER_MS},
                  NULL);
    }
    *lock_fd = fd;
    return KMSE_OK;
}

void kmse_file_unlock(int lock_fd)
{
    close(lock_fd);
}
