/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a key file: read and checked, proven, written, read back. */
#include "keyring/change.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/file.h"

kmse_st kmse_change_lock(const struct kmse_rotation *r, const char *name,
                         int *lock_fd, struct kmse_why *why)
{
    struct kmse_file_mark mark;
    KMSE_TRY(kmse_keyfile_stat(r->folder, name, &mark, why));
    return kmse_keyfile_lock(r->folder, name, lock_fd, why);
}

/* The newest version's data key proves the file as well. */
static kmse_st unwrap_version(struct kmse_secret *data_key,
                              const struct kmse_rotation *r,
                              const struct kmse_keyfile *file,
                              const struct kmse_version *version,
                              struct kmse_why *why)
{
    KMSE_TRY(
        kmse_keyfile_unwrap(data_key, r->kms, r->crypto, file, version, why));
    kmse_st st = KMSE_OK;
    if (version->number == kmse_keyfile_newest(file)->number)
        st = kmse_keyfile_check_mac(r->crypto, file, data_key, why);
    if (!kmse_is_ok(st))
        kmse_secret_wipe(data_key);
    return st;
}

static kmse_st open_version(const struct kmse_rotation *r,
                            const struct kmse_keyfile *file,
                            const struct kmse_version *version,
                            struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    kmse_st st = unwrap_version(&data_key, r, file, version, why);
    kmse_secret_wipe(&data_key);
    return st;
}

kmse_st kmse_change_open(struct kmse_keyfile **file, struct kmse_secret *newest,
                         const struct kmse_rotation *r, const char *name,
                         struct kmse_why *why)
{
    struct kmse_keyfile *read = NULL;
    KMSE_TRY(kmse_keyfile_read(&read, r->folder, name, NULL, why));
    kmse_st st =
        unwrap_version(newest, r, read, kmse_keyfile_newest(read), why);
    if (!kmse_is_ok(st)) {
        kmse_keyfile_free(read);
        return st;
    }
    *file = read;
    return KMSE_OK;
}

kmse_st kmse_change_read(struct kmse_keyfile **file,
                         const struct kmse_rotation *r, const char *name,
                         struct kmse_why *why)
{
    struct kmse_secret newest = {0};
    kmse_st st = kmse_change_open(file, &newest, r, name, why);
    kmse_secret_wipe(&newest);
    return st;
}

kmse_st kmse_change_begin(struct kmse_keyfile **file,
                          const struct kmse_keyfile *old, struct kmse_why *why)
{
    char *json = NULL;
    KMSE_TRY(kmse_keyfile_print(&json, old));
    kmse_st st = kmse_keyfile_parse(file, json, strlen(json), old->name,
                                    "the key file as read", why);
    free(json);
    return st;
}

kmse_st kmse_change_prove_copy(const struct kmse_rotation *r,
                               const struct kmse_keyfile *file,
                               const struct kmse_version *version,
                               struct kmse_copy *copy, struct kmse_why *why)
{
    struct kmse_version alone = *version;
    alone.copies = copy;
    alone.copy_count = 1;
    return open_version(r, file, &alone, why);
}

/* --- proof before a write ----------------------------------------------- */

static bool same_copy(const struct kmse_copy *a, const struct kmse_copy *b)
{
    return strcmp(a->kms, b->kms) == 0 && a->adopted == b->adopted
           && a->blob.len == b->blob.len
           && memcmp(a->blob.bytes, b->blob.bytes, a->blob.len) == 0
           && kmse_kms_context_equal(&a->context, &b->context);
}

/* version: NULL has none. */
static bool has_copy(const struct kmse_version *version,
                     const struct kmse_copy *copy)
{
    for (size_t i = 0; version != NULL && i < version->copy_count; i++) {
        if (same_copy(&version->copies[i], copy))
            return true;
    }
    return false;
}

static bool lost_a_copy(const struct kmse_version *old,
                        const struct kmse_version *version)
{
    for (size_t i = 0; old != NULL && i < old->copy_count; i++) {
        if (!has_copy(version, &old->copies[i]))
            return true;
    }
    return false;
}

static kmse_st prove_the_rest(const struct kmse_rotation *r,
                              const struct kmse_keyfile *file,
                              const struct kmse_version *version,
                              struct kmse_why *why)
{
    struct kmse_why of_rest = {""};
    kmse_st st = open_version(r, file, version, &of_rest);
    if (kmse_is_ok(st))
        return KMSE_OK;
    return kmse_fail(why, st.reason,
                     "nothing is dropped, for no copy that would stay opens: "
                     "%.900s",
                     of_rest.text);
}

static bool has_another_mac(const struct kmse_keyfile *old,
                            const struct kmse_keyfile *file)
{
    return old == NULL
           || CRYPTO_memcmp(old->mac, file->mac, KMSE_HMAC_LEN) != 0;
}

/* old: the file to be replaced, or NULL. */
static kmse_st prove_version(const struct kmse_rotation *r,
                             const struct kmse_keyfile *file,
                             const struct kmse_keyfile *old,
                             const struct kmse_version *version,
                             struct kmse_why *why)
{
    const struct kmse_version *before =
        old != NULL ? kmse_keyfile_find(old, version->number) : NULL;
    bool proven = false;
    for (size_t i = 0; i < version->copy_count; i++) {
        if (has_copy(before, &version->copies[i]))
            continue;
        KMSE_TRY(
            kmse_change_prove_copy(r, file, version, &version->copies[i], why));
        proven = true;
    }
    if (!proven && lost_a_copy(before, version)
        && version->state != KMSE_VERSION_DESTROYED)
        return prove_the_rest(r, file, version, why);
    if (!proven && version == kmse_keyfile_newest(file)
        && has_another_mac(old, file))
        return open_version(r, file, version, why);
    return KMSE_OK;
}

/*
 * Not what is in memory is proven but what a reader will find: the bytes to be
 * written, parsed again.
 */
static kmse_st prove(const struct kmse_rotation *r,
                     const struct kmse_keyfile *old,
                     const struct kmse_keyfile *file, struct kmse_why *why)
{
    char *json = NULL;
    struct kmse_keyfile *again = NULL;
    KMSE_TRY(kmse_keyfile_print(&json, file));
    kmse_st st = kmse_keyfile_parse(&again, json, strlen(json), file->name,
                                    "the new key file", why);
    for (size_t i = 0; kmse_is_ok(st) && i < again->version_count; i++) {
        st = prove_version(r, again, old, &again->versions[i], why);
    }
    kmse_keyfile_free(again);
    free(json);
    return st;
}

static kmse_st read_back(const struct kmse_rotation *r,
                         const struct kmse_keyfile *file, struct kmse_why *why)
{
    char *wanted = NULL, *found = NULL;
    struct kmse_keyfile *again = NULL;
    KMSE_TRY(kmse_keyfile_print(&wanted, file));
    kmse_st st = kmse_keyfile_read(&again, r->folder, file->name, NULL, why);
    if (kmse_is_ok(st))
        st = kmse_keyfile_print(&found, again);
    if (kmse_is_ok(st) && strcmp(wanted, found) != 0)
        st = kmse_fail(why, KMSE_R_FILE,
                       "%s/%s.json: what was read back is not what was written",
                       r->folder, file->name);
    kmse_keyfile_free(again);
    free(found);
    free(wanted);
    return st;
}

kmse_st kmse_change_write(const struct kmse_rotation *r,
                          const struct kmse_keyfile *old,
                          const struct kmse_keyfile *file, struct kmse_why *why)
{
    KMSE_TRY(prove(r, old, file, why));
    KMSE_TRY(kmse_keyfile_write(file, r->folder, why));
    return read_back(r, file, why);
}

/* --- one change of what a file says of its versions --------------------- */

void kmse_edit_close(struct kmse_edit *edit)
{
    kmse_secret_wipe(&edit->newest);
    kmse_keyfile_free(edit->file);
    kmse_keyfile_free(edit->old);
    kmse_file_unlock(edit->lock_fd);
}

kmse_st kmse_edit_open(struct kmse_edit *edit, const struct kmse_rotation *r,
                       const char *name, struct kmse_why *why)
{
    struct kmse_edit made = {.lock_fd = -1};
    KMSE_TRY(kmse_change_lock(r, name, &made.lock_fd, why));
    kmse_st st = kmse_change_open(&made.old, &made.newest, r, name, why);
    if (kmse_is_ok(st))
        st = kmse_change_begin(&made.file, made.old, why);
    if (!kmse_is_ok(st)) {
        kmse_edit_close(&made);
        return st;
    }
    *edit = made;
    return KMSE_OK;
}

/* No version came: the newest is the one whose data key is at hand. */
kmse_st kmse_edit_write(struct kmse_edit *edit, const struct kmse_rotation *r,
                        struct kmse_why *why)
{
    KMSE_TRY(kmse_keyfile_mac(edit->file->mac, r->crypto, edit->file,
                              &edit->newest));
    return kmse_change_write(r, edit->old, edit->file, why);
}
