/* SPDX-License-Identifier: Apache-2.0 */
/* Every file below a folder. */
#include "tools/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each level has a file open; deeper is a loop of links, most likely. */
enum { DEPTH_MAX = 100 };

struct walk {
    kmse_walk_fn *visit;
    void *arg;
    char path[PATH_MAX]; /* where we are, for messages */
    int depth;
};

static kmse_st failed(const struct walk *walk, int error, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_FILE, "%.900s: %s", walk->path,
                     strerror(error));
}

static kmse_st visit_folder(struct walk *walk, int fd, struct kmse_why *why);

/* Takes fd. type: of readdir, or DT_UNKNOWN. */
static kmse_st visit_fd(struct walk *walk, int fd, unsigned char type,
                        struct kmse_why *why)
{
    struct stat status = {.st_mode = S_IFREG};
    kmse_st st = KMSE_OK;
    if (type != DT_REG && fstat(fd, &status) != 0)
        st = failed(walk, errno, why);
    else if (S_ISDIR(status.st_mode))
        return visit_folder(walk, fd, why);
    else if (S_ISREG(status.st_mode) || walk->depth == 0)
        st = walk->visit(walk->arg, fd, walk->path, why);
    close(fd);
    return st;
}

static bool may_be_a_file(unsigned char type)
{
    return type == DT_REG || type == DT_DIR || type == DT_LNK
           || type == DT_UNKNOWN;
}

static kmse_st visit_entry(struct walk *walk, int folder,
                           const struct dirent *entry, struct kmse_why *why)
{
    int fd = openat(folder, entry->d_name,
                    O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return KMSE_OK;
    if (fd < 0)
        return failed(walk, errno, why);
    return visit_fd(walk, fd, entry->d_type, why);
}

static kmse_st visit_entries(struct walk *walk, DIR *folder,
                             struct kmse_why *why)
{
    const size_t len = strlen(walk->path);
    const struct dirent *entry = NULL;
    while (errno = 0, (entry = readdir(folder)) != NULL) {
        if (!may_be_a_file(entry->d_type) || strcmp(entry->d_name, ".") == 0
            || strcmp(entry->d_name, "..") == 0)
            continue;
        int n = snprintf(walk->path + len, sizeof(walk->path) - len, "/%s",
                         entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(walk->path) - len)
            return failed(walk, ENAMETOOLONG, why);
        KMSE_TRY(visit_entry(walk, dirfd(folder), entry, why));
        walk->path[len] = '\0';
    }
    return errno == 0 ? KMSE_OK : failed(walk, errno, why);
}

/* Takes fd. */
static kmse_st visit_folder(struct walk *walk, int fd, struct kmse_why *why)
{
    DIR *folder = walk->depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        kmse_st st = failed(walk, walk->depth < DEPTH_MAX ? errno : ELOOP, why);
        close(fd);
        return st;
    }
    walk->depth++;
    kmse_st st = visit_entries(walk, folder, why);
    walk->depth--;
    closedir(folder);
    return st;
}

kmse_st kmse_walk(const char *path, kmse_walk_fn *visit, void *arg,
                  struct kmse_why *why)
{
    struct walk walk = {.visit = visit, .arg = arg};
    if (strcmp(path, "-") == 0)
        return visit(arg, STDIN_FILENO, "standard input", why);
    int n = snprintf(walk.path, sizeof(walk.path), "%s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (n < 0 || (size_t)n >= sizeof(walk.path) || fd < 0) {
        int error = fd < 0 ? errno : ENAMETOOLONG;
        if (fd >= 0)
            close(fd);
        return failed(&walk, error, why);
    }
    return visit_fd(&walk, fd, DT_UNKNOWN, why);
}
