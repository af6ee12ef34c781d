/* SPDX-License-Identifier: Apache-2.0 */
/* What a process with keys does to itself first. */
#include "agent/hardening.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Beside connections: files, sockets to KMSs, libraries' own. */
enum { OTHER_FDS = 256, UMASK = 0027 };

static kmse_st fail_errno(struct kmse_why *why, const char *what)
{
    return kmse_fail(why, KMSE_R_INTERNAL, "%s: %s", what, strerror(errno));
}

static kmse_st allow_fds(size_t count, struct kmse_why *why)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return fail_errno(why, "RLIMIT_NOFILE");
    if (limit.rlim_cur >= count)
        return KMSE_OK;
    if (limit.rlim_max < count)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "max-connections needs %zu file descriptors, and this "
                         "process may have %llu: LimitNOFILE=, ulimit -n",
                         count, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0
               ? KMSE_OK
               : fail_errno(why, "RLIMIT_NOFILE");
}

kmse_st kmse_harden(size_t connections, struct kmse_why *why)
{
    const struct rlimit none = {0, 0};
    umask(UMASK);
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return fail_errno(why, "RLIMIT_CORE");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail_errno(why, "PR_SET_DUMPABLE");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail_errno(why, "PR_SET_NO_NEW_PRIVS");
    return allow_fds(connections + OTHER_FDS, why);
}
