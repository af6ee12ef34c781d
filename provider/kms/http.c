/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP module, found beside our own, and its answers. */
#include "kms/http.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

static const char MODULE_NAME[] = "kms-envelope-http.so";
enum { PATH_LEN = 4096 };

void kmse_http_answer_wipe(struct kmse_http_answer *answer)
{
    if (answer->body != NULL)
        OPENSSL_cleanse(answer->body, answer->body_len);
    free(answer->body);
    *answer = (struct kmse_http_answer){0};
}

/* A program is known to the loader by what it was called with: ask on. */
static bool own_path(char path[PATH_LEN])
{
    static const char ANCHOR;
    Dl_info info;
    if (dladdr(&ANCHOR, &info) == 0 || info.dli_fname == NULL)
        return false;
    if (info.dli_fname[0] == '/')
        return snprintf(path, PATH_LEN, "%s", info.dli_fname) < PATH_LEN;
    ssize_t len = readlink("/proc/self/exe", path, PATH_LEN - 1);
    if (len <= 0)
        return false;
    path[len] = '\0';
    return true;
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

kmse_st kmse_http_load(struct kmse_http *http, struct kmse_why *why)
{
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
    return module->open(http, why);
}
