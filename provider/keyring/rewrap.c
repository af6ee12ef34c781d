/* SPDX-License-Identifier: Apache-2.0 */
/* New wrapped copies of a key's versions, and fewer: one atomic write. */
#include "keyring/rotation.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "keyring/change.h"
#include "keyring/failures.h"
#include "keyring/masters.h"

/* --- what is to be ------------------------------------------------------ */

struct change {
    enum kmse_rewrap_how how;
    struct kmse_masters named;
};

/* A copy that a version will have. */
struct target {
    const char *uri;
    const struct kmse_copy *old; /* the one whose place it takes, or NULL */
    bool make;                   /* anew; else old stays */
};

static const struct kmse_copy *find_copy(const struct kmse_version *version,
                                         const char *uri)
{
    for (size_t i = 0; i < version->copy_count; i++) {
        if (strcmp(version->copies[i].kms, uri) == 0)
            return &version->copies[i];
    }
    return NULL;
}

static size_t list_old(struct target *targets, const struct change *change,
                       const struct kmse_version *version)
{
    size_t count = 0;
    for (size_t i = 0; i < version->copy_count; i++) {
        const struct kmse_copy *copy = &version->copies[i];
        bool named = kmse_masters_has(&change->named, copy->kms);
        if (change->how == KMSE_REWRAP_DROP && named)
            continue;
        targets[count++] = (struct target){
            .uri = copy->kms,
            .old = copy,
            .make = named || change->how == KMSE_REWRAP_RENEW,
        };
    }
    return count;
}

static size_t list_named(struct target *targets, const struct change *change,
                         const struct kmse_version *version)
{
    size_t count = 0;
    for (size_t i = 0; i < change->named.count; i++) {
        const char *uri = change->named.uris[i];
        const struct kmse_copy *old = find_copy(version, uri);
        if (change->how == KMSE_REWRAP_ADD && old != NULL)
            continue;
        targets[count++] =
            (struct target){.uri = uri, .old = old, .make = true};
    }
    return count;
}

/* targets has room for all old copies and all named master keys. */
static size_t list_targets(struct target *targets, const struct change *change,
                           const struct kmse_version *version)
{
    size_t count = 0;
    if (change->how != KMSE_REWRAP_TO)
        count = list_old(targets, change, version);
    if (change->how == KMSE_REWRAP_TO || change->how == KMSE_REWRAP_ADD)
        count += list_named(targets + count, change, version);
    return count;
}

static void count_done(struct kmse_rewrapped *done, const struct target *target,
                       size_t count, const struct kmse_version *version)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        done->made += target[i].make;
        kept += target[i].old != NULL;
    }
    done->dropped += version->copy_count - kept;
}

/* --- making copies ------------------------------------------------------ */

static kmse_st make_from(const struct kmse_rotation *r,
                         const struct kmse_keyfile *file,
                         const struct kmse_version *version,
                         const struct kmse_copy *from, const char *uri,
                         struct kmse_copy *copy, struct kmse_why *why)
{
    struct kmse_copy made = {.kms = strdup(uri)};
    kmse_st st = made.kms != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
    if (kmse_is_ok(st))
        st = kmse_keyfile_context(&made.context, file, version->number);
    if (kmse_is_ok(st))
        st = kmse_kms_rewrap(r->kms, from->kms, &from->context, &from->blob,
                             uri, &made.context, &made.blob, why);
    /* A source that opens to another data key must not hide a good one. */
    if (kmse_is_ok(st))
        st = kmse_change_prove_copy(r, file, version, &made, why);
    if (!kmse_is_ok(st)) {
        kmse_copy_wipe(&made);
        return st;
    }
    *copy = made;
    return KMSE_OK;
}

/* Of its predecessor, or else of any other copy that will do. */
static kmse_st make_copy(const struct kmse_rotation *r,
                         const struct kmse_keyfile *file,
                         const struct kmse_version *version,
                         const struct target *target, struct kmse_copy *copy,
                         struct kmse_why *why)
{
    struct kmse_failures failures;
    kmse_failures_init(&failures, version->copy_count,
                       "key %s, version %u: no copy for %.200s", file->name,
                       version->number, target->uri);
    for (size_t i = 0; i <= version->copy_count; i++) {
        const struct kmse_copy *from = target->old;
        struct kmse_why of_copy = {""};
        if (i > 0)
            from = &version->copies[i - 1];
        if (from == NULL || (i > 0 && from == target->old))
            continue;
        kmse_st st =
            make_from(r, file, version, from, target->uri, copy, &of_copy);
        if (kmse_is_ok(st))
            return st;
        kmse_failures_add(&failures, st, &of_copy);
    }
    return kmse_failures_tell(&failures, why);
}

static kmse_st make_copies(const struct kmse_rotation *r,
                           const struct kmse_keyfile *file,
                           const struct kmse_version *old,
                           const struct target *targets, size_t count,
                           struct kmse_version *version, struct kmse_why *why)
{
    version->copies = calloc(count, sizeof(*version->copies));
    if (version->copies == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    version->copy_count = count;
    for (size_t i = 0; i < count; i++) {
        struct kmse_copy *copy = &version->copies[i];
        if (targets[i].make)
            KMSE_TRY(make_copy(r, file, old, &targets[i], copy, why));
        else
            KMSE_TRY(kmse_copy_copy(copy, targets[i].old));
    }
    return KMSE_OK;
}

/* --- versions ----------------------------------------------------------- */

static kmse_st last_copy(const struct kmse_keyfile *file,
                         const struct kmse_version *version,
                         struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_STATE,
                     "key %s, version %u has no copy but those under %.300s: "
                     "the last one is never dropped; add another first",
                     file->name, version->number, version->copies[0].kms);
}

static void wipe_copies(struct kmse_version *version)
{
    for (size_t i = 0; i < version->copy_count; i++)
        kmse_copy_wipe(&version->copies[i]);
    free(version->copies);
    version->copies = NULL;
    version->copy_count = 0;
}

/* version is old's, of the file to be written, and gets other copies. */
static kmse_st change_version(const struct kmse_rotation *r,
                              const struct kmse_keyfile *file,
                              const struct change *change,
                              const struct kmse_version *old,
                              struct kmse_version *version,
                              struct kmse_rewrapped *done, struct kmse_why *why)
{
    if (old->state == KMSE_VERSION_DESTROYED)
        return KMSE_OK;
    struct target *targets =
        calloc(old->copy_count + change->named.count, sizeof(*targets));
    if (targets == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    size_t count = list_targets(targets, change, old);
    kmse_st st = KMSE_OK;
    if (count == 0) {
        st = last_copy(file, old, why);
    } else {
        wipe_copies(version);
        st = make_copies(r, file, old, targets, count, version, why);
    }
    if (kmse_is_ok(st))
        count_done(done, targets, count, old);
    free(targets);
    return st;
}

/*
 * One write, in which new copies come and old ones go, and not two: each file
 * that can be found after a kill is whole, and there is no third one, half way,
 * that somebody would have to finish. All that a second write could wait for is
 * known before the first: every new copy has been opened from the very bytes
 * that are written. The MAC does not cover copies: it stands.
 */
static kmse_st locked_change(const struct kmse_rotation *r,
                             const struct change *change,
                             const struct kmse_keyfile *old,
                             struct kmse_rewrapped *done, struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(kmse_change_begin(&file, old, why));
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < old->version_count && kmse_is_ok(st); i++)
        st = change_version(r, file, change, &old->versions[i],
                            &file->versions[i], done, why);
    if (kmse_is_ok(st))
        st = kmse_change_write(r, old, file, why);
    kmse_keyfile_free(file);
    return st;
}

/* --- which master keys -------------------------------------------------- */

static bool is_used(const struct kmse_keyfile *file, const char *uri)
{
    for (size_t i = 0; i < file->version_count; i++) {
        if (find_copy(&file->versions[i], uri) != NULL)
            return true;
    }
    return false;
}

/*
 * As the key file has it, and only else by asking the KMS: a copy is dropped
 * because its KMS is away, or its master key gone.
 */
static kmse_st find_used(char **found, const struct kmse_rotation *r,
                         const struct kmse_keyfile *file, const char *uri,
                         struct kmse_why *why)
{
    char *made = NULL;
    struct kmse_why of_kms = {""};
    kmse_st st = KMSE_OK;
    if (is_used(file, uri))
        made = strdup(uri);
    else
        st = kmse_kms_resolve(&made, r->kms, uri, &of_kms);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason,
                         "%.350s; give the master key as kms-envelope status "
                         "%s prints it",
                         of_kms.text, file->name);
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (!is_used(file, made)) {
        st = kmse_fail(why, KMSE_R_PARAMETER,
                       "key %s has no copy under %.300s: see kms-envelope "
                       "status %s",
                       file->name, made, file->name);
        free(made);
        return st;
    }
    *found = made;
    return KMSE_OK;
}

static kmse_st find_all_used(struct kmse_masters *masters,
                             const struct kmse_rotation *r,
                             const struct kmse_keyfile *file,
                             const char *const *uris, size_t count,
                             struct kmse_why *why)
{
    for (size_t i = 0; i < count; i++) {
        char *found = NULL;
        KMSE_TRY(find_used(&found, r, file, uris[i], why));
        kmse_st st = kmse_masters_add(masters, &found, why);
        free(found);
        KMSE_TRY(st);
    }
    return KMSE_OK;
}

static kmse_st name_masters(struct kmse_masters *masters,
                            const struct kmse_rotation *r,
                            const struct kmse_keyfile *file,
                            enum kmse_rewrap_how how, const char *const *uris,
                            size_t count, struct kmse_why *why)
{
    if ((count == 0) != (how == KMSE_REWRAP_RENEW))
        return kmse_fail(why, KMSE_R_PARAMETER, "key %s: which master keys?",
                         file->name);
    if (how == KMSE_REWRAP_DROP)
        return find_all_used(masters, r, file, uris, count, why);
    KMSE_TRY(kmse_masters_resolve(masters, r, uris, count, why));
    return kmse_masters_ensure(masters, 0, r, why);
}

static kmse_st locked_rewrap(const struct kmse_rotation *r, const char *name,
                             enum kmse_rewrap_how how, const char *const *uris,
                             size_t uri_count, struct kmse_rewrapped *done,
                             struct kmse_why *why)
{
    struct kmse_keyfile *old = NULL;
    struct change change = {.how = how};
    KMSE_TRY(kmse_change_read(&old, r, name, why));
    kmse_st st = name_masters(&change.named, r, old, how, uris, uri_count, why);
    if (kmse_is_ok(st))
        st = locked_change(r, &change, old, done, why);
    kmse_masters_wipe(&change.named);
    kmse_keyfile_free(old);
    return st;
}

kmse_st kmse_rotation_rewrap(const struct kmse_rotation *rotation,
                             const char *name, enum kmse_rewrap_how how,
                             const char *const *uris, size_t uri_count,
                             struct kmse_rewrapped *done, struct kmse_why *why)
{
    int lock_fd = -1;
    struct kmse_rewrapped counted = {0};
    KMSE_TRY(kmse_change_lock(rotation, name, &lock_fd, why));
    kmse_st st =
        locked_rewrap(rotation, name, how, uris, uri_count, &counted, why);
    kmse_file_unlock(lock_fd);
    if (kmse_is_ok(st))
        *done = counted;
    return st;
}
