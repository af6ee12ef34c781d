/* SPDX-License-Identifier: Apache-2.0 */
/* Where the shared configuration files are, and reading them. */
#include "kms/aws_profile.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "kms/aws_environment.h"

enum { FILE_MAX = 1 << 20, PASSWD_LEN = 16384 };

/* *home is NULL if nobody says where it is. The caller frees it. */
static kmse_st find_home(char **home)
{
    const char *named = kmse_aws_environment("HOME");
    if (named != NULL) {
        *home = strdup(named);
        return *home != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    }
    char *buffer = malloc(PASSWD_LEN);
    if (buffer == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    struct passwd entry, *found = NULL;
    kmse_st st = KMSE_OK;
    *home = NULL;
    if (getpwuid_r(geteuid(), &entry, buffer, PASSWD_LEN, &found) == 0
        && found != NULL && (*home = strdup(found->pw_dir)) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    free(buffer);
    return st;
}

/* *path is NULL if there is no home folder. */
static kmse_st in_home(char **path, const char *name)
{
    char *home = NULL;
    *path = NULL;
    KMSE_TRY(find_home(&home));
    if (home == NULL)
        return KMSE_OK;
    size_t size = strlen(home) + strlen(name) + 2;
    *path = malloc(size);
    if (*path != NULL)
        snprintf(*path, size, "%s/%s", home, name);
    free(home);
    return *path != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/*
 * Of a path that was named, "~/" is the home folder. botocore puts "~user" and
 * "$NAME" into their places, too; of the other SDKs few do.
 */
static kmse_st find_path(char **path, bool *is_named, const char *option,
                         const char *variable, const char *name)
{
    const char *named =
        option != NULL ? option : kmse_aws_environment(variable);
    *is_named = named != NULL;
    if (named == NULL)
        return in_home(path, name);
    if (strncmp(named, "~/", strlen("~/")) == 0)
        return in_home(path, named + strlen("~/"));
    *path = strdup(named);
    return *path != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

/*
 * A file that is not there is fine, also in a folder that we may not look
 * into, if nobody named it: a daemon often has root's HOME. A device, as
 * /dev/null, is how people say that there is none. But one that is there and
 * cannot be read is an error, while botocore takes it as not there: then
 * another source's credentials would serve.
 */
static bool is_absent(const char *path, bool is_named)
{
    struct stat status;
    if (stat(path, &status) == 0)
        return S_ISCHR(status.st_mode);
    return errno == ENOENT || errno == ENOTDIR
           || (errno == EACCES && !is_named);
}

static kmse_st read_file(struct kmse_aws_profiles *profiles,
                         enum kmse_aws_file kind, const char *path,
                         bool is_named, struct kmse_why *why)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (is_absent(path, is_named))
        return kmse_aws_profiles_parse(profiles, kind, "", 0, path, why);
    KMSE_TRY(kmse_file_read(path, FILE_MAX, 0, &bytes, &len, why));
    const void *text = bytes;
    kmse_st st = kmse_aws_profiles_parse(profiles, kind, text, len, path, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}

static kmse_st find_and_read(struct kmse_aws_profiles *profiles,
                             enum kmse_aws_file kind, const char *option,
                             const char *variable, const char *name,
                             struct kmse_why *why)
{
    char *path = NULL;
    bool is_named = false;
    KMSE_TRY(find_path(&path, &is_named, option, variable, name));
    if (path == NULL)
        return KMSE_OK;
    kmse_st st = read_file(profiles, kind, path, is_named, why);
    free(path);
    return st;
}

kmse_st kmse_aws_profile_name(char **name, bool *is_named,
                              const struct kmse_aws_options *options)
{
    const char *named = options->profile != NULL
                            ? options->profile
                            : kmse_aws_environment("AWS_PROFILE");
    char *copy = strdup(named != NULL ? named : "default");
    if (copy == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    *is_named = named != NULL;
    *name = copy;
    return KMSE_OK;
}

static kmse_st check_name(const struct kmse_aws_profiles *profiles,
                          const struct kmse_aws_options *options,
                          struct kmse_why *why)
{
    char *name = NULL;
    bool is_named = false;
    KMSE_TRY(kmse_aws_profile_name(&name, &is_named, options));
    kmse_st st = KMSE_OK;
    if (is_named && !kmse_aws_profiles_has(profiles, name))
        st = kmse_fail(
            why, KMSE_R_KMS_CREDENTIALS,
            "there is no profile '%s', neither [%s] in %s nor [profile %s]"
            " in %s",
            name, name,
            kmse_aws_profiles_path(profiles, KMSE_AWS_CREDENTIALS_FILE), name,
            kmse_aws_profiles_path(profiles, KMSE_AWS_CONFIG_FILE));
    free(name);
    return st;
}

kmse_st kmse_aws_profiles_read(struct kmse_aws_profiles **profiles,
                               const struct kmse_aws_options *options,
                               struct kmse_why *why)
{
    struct kmse_aws_profiles *made = kmse_aws_profiles_new();
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = find_and_read(
        made, KMSE_AWS_CREDENTIALS_FILE, options->shared_credentials_file,
        "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", why);
    if (kmse_is_ok(st))
        st = find_and_read(made, KMSE_AWS_CONFIG_FILE, options->config_file,
                           "AWS_CONFIG_FILE", ".aws/config", why);
    if (kmse_is_ok(st))
        st = check_name(made, options, why);
    if (!kmse_is_ok(st)) {
        kmse_aws_profiles_free(made);
        return st;
    }
    *profiles = made;
    return KMSE_OK;
}
