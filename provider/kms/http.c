/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP module, found beside our own, and its answers. */
#include "kms/http.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/fork.h"

static const char MODULE_NAME[] = "kms-envelope-http.so";
enum { PATH_LEN = 4096 };

void kmse_http_answer_wipe(struct kmse_http_answer *answer)
{
    if (answer->body != NULL)
        OPENSSL_cleanse(answer->body, answer->body_len);
    free(answer->body);
    *answer = (struct kmse_http_answer){0};
}

/* The file that is mapped at an address, as the kernel knows it. */
static bool mapped_path(char path[PATH_LEN], uintptr_t address)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (maps != NULL && !found && getline(&line, &size, maps) > 0) {
        uintptr_t start = 0, end = 0;
        const char *slash = strchr(line, '/');
        if (slash == NULL
            || sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2)
            continue;
        found = start <= address && address < end
                && snprintf(path, PATH_LEN, "%s", slash) < PATH_LEN;
    }
    free(line);
    if (maps != NULL)
        fclose(maps);
    return found;
}

/*
 * The loader knows a file by what it was called with, a program by its first
 * argument: if that is relative, it may mean another file by now.
 */
static bool own_path(char path[PATH_LEN])
{
    static const char ANCHOR;
    Dl_info info;
    if (dladdr(&ANCHOR, &info) == 0 || info.dli_fname == NULL)
        return false;
    if (info.dli_fname[0] == '/')
        return snprintf(path, PATH_LEN, "%s", info.dli_fname) < PATH_LEN;
    return mapped_path(path, (uintptr_t)&ANCHOR);
}

/* The folder of the file that this code came from: the module, or the tool. */
static bool own_folder(char folder[PATH_LEN])
{
    if (!own_path(folder))
        return false;
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    return slash != NULL;
}

static void *open_in(const char *folder)
{
    char path[PATH_LEN + sizeof(MODULE_NAME)];
    snprintf(path, sizeof(path), "%s/%s", folder, MODULE_NAME);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* Beside us, or where OpenSSL keeps modules: the tool is not there. */
static void *open_module(void)
{
    char folder[PATH_LEN];
    void *module = own_folder(folder) ? open_in(folder) : NULL;
    const char *modules = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
    if (module == NULL && modules != NULL)
        module = open_in(modules);
    return module;
}

/*
 * The loader, and libcurl while it starts, do not come through a fork in
 * another thread, nor through the end of the process: both wait, which is a few
 * milliseconds once a process.
 */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static bool ending;                           /* guarded by loading */
static const struct kmse_http_module *loaded; /* guarded by loading */

static void before_fork(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&loading);
    if (loaded != NULL)
        loaded->before_fork();
}

static void after_fork_parent(void *arg)
{
    (void)arg;
    if (loaded != NULL)
        loaded->after_fork_parent();
    pthread_mutex_unlock(&loading);
}

static void after_fork_child(void *arg)
{
    (void)arg;
    if (loaded != NULL)
        loaded->after_fork_child();
    pthread_mutex_unlock(&loading);
}

/* More than one end may be told of: the first one counts. */
static void at_exit(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&loading);
    if (!ending && loaded != NULL)
        loaded->stop();
    ending = true;
    pthread_mutex_unlock(&loading);
}

/*
 * Once a process, however many ask for it. A libcurl over another libcrypto has
 * that one read openssl.cnf while it starts, and so loads this provider once
 * more: under the lock.
 */
kmse_st kmse_http_watch(void)
{
    static struct kmse_fork_hooks hooks = {.prepare = before_fork,
                                           .parent = after_fork_parent,
                                           .child = after_fork_child,
                                           .at_exit = at_exit};
    return kmse_fork_watch_outermost(&hooks);
}

static void before_the_end(void)
{
    at_exit(NULL);
}

/*
 * libcurl's libcrypto may be another than ours, and takes TLS down at an end
 * that it registered while libcurl started. What is registered later than that
 * is called before it. If that cannot be, only the end is the worse for it.
 */
static void locked_watch_end(void)
{
    static bool watched;
    watched = watched || atexit(before_the_end) == 0;
}

static kmse_st locked_load(struct kmse_http *http, struct kmse_why *why)
{
    if (ending)
        return kmse_fail(why, KMSE_R_INTERRUPTED, "the process ends");
    void *handle = open_module();
    if (handle == NULL) {
        const char *cause = dlerror();
        return kmse_fail(why, KMSE_R_KMS_HTTP,
                         "%s: install it beside kms-envelope.so, and libcurl",
                         cause != NULL ? cause : MODULE_NAME);
    }
    const struct kmse_http_module *module =
        dlsym(handle, KMSE_HTTP_MODULE_SYMBOL);
    if (module == NULL || module->abi != KMSE_HTTP_ABI)
        return kmse_fail(why, KMSE_R_KMS_HTTP,
                         "%s is of another release: install both together",
                         MODULE_NAME);
    loaded = module;
    KMSE_TRY(module->open(http, why));
    locked_watch_end();
    return KMSE_OK;
}

kmse_st kmse_http_load(struct kmse_http *http, struct kmse_why *why)
{
    pthread_mutex_lock(&loading);
    kmse_st st = locked_load(http, why);
    pthread_mutex_unlock(&loading);
    return st;
}
