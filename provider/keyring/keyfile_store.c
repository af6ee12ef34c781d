/* SPDX-License-Identifier: Apache-2.0 */
/* Key files on disk: found, read, locked, replaced. */
#include "keyring/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

static const char SUFFIX[] = ".json";
enum {
    SUFFIX_LEN = sizeof(SUFFIX) - 1,
    FILE_MAX = 4 << 20,
    LOCK_TIMEOUT_MS = 10000,
    /* The group may read; nobody but the owner writes, others do nothing. */
    FORBIDDEN_MODE = 0037,
    NEW_MODE = 0600,
    KEPT_MODE = 0640,
};

static kmse_st file_path(char path[PATH_MAX], const char *folder,
                         const char *name, struct kmse_why *why)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s", folder, name, SUFFIX);
    if (n < 0 || n >= PATH_MAX)
        return kmse_fail(why, KMSE_R_FILE, "%s: the path is too long", folder);
    return KMSE_OK;
}

bool kmse_file_mark_equal(const struct kmse_file_mark *a,
                          const struct kmse_file_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size
           && a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns;
}

kmse_st kmse_keyfile_stat(const char *folder, const char *name,
                          struct kmse_file_mark *mark, struct kmse_why *why)
{
    char path[PATH_MAX];
    struct stat status;
    KMSE_TRY(file_path(path, folder, name, why));
    if (stat(path, &status) != 0)
        return kmse_fail(why,
                         errno == ENOENT ? KMSE_R_KEY_NOT_FOUND : KMSE_R_FILE,
                         "key %s: %s: %s; restore it from a backup, or, for a "
                         "new key: kms-envelope create %s",
                         name, path, strerror(errno), name);
    *mark = (struct kmse_file_mark){
        .device = (uint64_t)status.st_dev,
        .inode = (uint64_t)status.st_ino,
        .size = (uint64_t)status.st_size,
        .mtime_s = (int64_t)status.st_mtim.tv_sec,
        .mtime_ns = (int64_t)status.st_mtim.tv_nsec,
    };
    return KMSE_OK;
}

/*
 * The mark is taken before the bytes are read: if the file is replaced in
 * between, the mark is old, and the next look reads again.
 */
kmse_st kmse_keyfile_read(struct kmse_keyfile **file, const char *folder,
                          const char *name, struct kmse_file_mark *mark,
                          struct kmse_why *why)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kmse_file_mark taken;
    KMSE_TRY(file_path(path, folder, name, why));
    KMSE_TRY(kmse_keyfile_stat(folder, name, &taken, why));
    KMSE_TRY(kmse_file_read(path, FILE_MAX, FORBIDDEN_MODE, &bytes, &len, why));
    kmse_st st =
        kmse_keyfile_parse(file, (const char *)bytes, len, name, path, why);
    kmse_file_free_bytes(bytes, len);
    if (kmse_is_ok(st) && mark != NULL)
        *mark = taken;
    return st;
}

kmse_st kmse_keyfile_lock(const char *folder, const char *name, int *lock_fd,
                          struct kmse_why *why)
{
    return kmse_file_lock(folder, name, LOCK_TIMEOUT_MS, lock_fd, why);
}

/* --- writing: never with less than before ------------------------------- */

static bool is_whole(const struct kmse_keyfile *file)
{
    for (size_t i = 0; i < file->version_count; i++) {
        const struct kmse_version *version = &file->versions[i];
        if (version->copy_count == 0
            && version->state != KMSE_VERSION_DESTROYED)
            return false;
    }
    return file->version_count > 0;
}

/* Only what was retired may be destroyed, and that is for ever. */
static bool may_become(const struct kmse_version *old,
                       const struct kmse_version *version)
{
    if (old->state == KMSE_VERSION_DESTROYED)
        return version->state == KMSE_VERSION_DESTROYED;
    return version->state != KMSE_VERSION_DESTROYED
           || old->state == KMSE_VERSION_RETIRED;
}

static bool has_all_of(const struct kmse_keyfile *file,
                       const struct kmse_keyfile *old)
{
    if (memcmp(file->id, old->id, KMSE_KEY_ID_LEN) != 0
        || file->version_count < old->version_count)
        return false;
    for (size_t i = 0; i < old->version_count; i++) {
        if (memcmp(file->versions[i].commitment, old->versions[i].commitment,
                   KMSE_HMAC_LEN)
                != 0
            || !may_become(&old->versions[i], &file->versions[i]))
            return false;
    }
    return true;
}

static kmse_st check_not_less(const struct kmse_keyfile *file,
                              const char *folder, struct kmse_why *why)
{
    struct kmse_keyfile *old = NULL;
    kmse_st st = kmse_keyfile_read(&old, folder, file->name, NULL, why);
    bool is_new = st.reason == KMSE_R_KEY_NOT_FOUND;
    if (!is_new)
        KMSE_TRY(st);
    bool whole = is_whole(file) && (is_new || has_all_of(file, old));
    kmse_keyfile_free(old);
    if (!whole)
        return kmse_fail(why, KMSE_R_INTERNAL,
                         "key %s: refused to write a file with less than "
                         "%s/%s%s has",
                         file->name, folder, file->name, SUFFIX);
    return KMSE_OK;
}

static mode_t mode_to_keep(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_mode & KEPT_MODE : NEW_MODE;
}

kmse_st kmse_keyfile_write(const struct kmse_keyfile *file, const char *folder,
                           struct kmse_why *why)
{
    char path[PATH_MAX], name[KMSE_KEY_NAME_MAX + SUFFIX_LEN + 1];
    char *json = NULL;
    KMSE_TRY(file_path(path, folder, file->name, why));
    KMSE_TRY(check_not_less(file, folder, why));
    KMSE_TRY(kmse_keyfile_print(&json, file));
    snprintf(name, sizeof(name), "%s%s", file->name, SUFFIX);
    kmse_st st = kmse_file_replace(folder, name, (const uint8_t *)json,
                                   strlen(json), mode_to_keep(path), why);
    free(json);
    return st;
}

/* --- listing ------------------------------------------------------------ */

static char *key_of_file(const char *file_name)
{
    size_t len = strlen(file_name);
    if (len <= SUFFIX_LEN || strcmp(file_name + len - SUFFIX_LEN, SUFFIX) != 0)
        return NULL;
    char *name = strndup(file_name, len - SUFFIX_LEN);
    if (name != NULL && !kmse_key_name_is_valid(name)) {
        free(name);
        return NULL;
    }
    return name;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

static kmse_st read_names(DIR *directory, char ***names, size_t *count)
{
    const struct dirent *entry = NULL;
    while ((entry = readdir(directory)) != NULL) {
        char *name = key_of_file(entry->d_name);
        if (name == NULL)
            continue;
        char **grown = realloc(*names, (*count + 1) * sizeof(*grown));
        if (grown == NULL) {
            free(name);
            return KMSE_ERR(KMSE_R_MEMORY);
        }
        grown[(*count)++] = name;
        *names = grown;
    }
    return KMSE_OK;
}

kmse_st kmse_keyfile_list(char ***names, size_t *count, const char *folder,
                          struct kmse_why *why)
{
    char **found = NULL;
    size_t found_count = 0;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return kmse_fail(why, KMSE_R_FILE, "%s: %s", folder, strerror(errno));
    kmse_st st = read_names(directory, &found, &found_count);
    closedir(directory);
    if (!kmse_is_ok(st)) {
        kmse_keyfile_free_list(found, found_count);
        return st;
    }
    if (found_count > 1)
        qsort(found, found_count, sizeof(*found), compare_names);
    *names = found;
    *count = found_count;
    return KMSE_OK;
}

void kmse_keyfile_free_list(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
