/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a version: its rows counted, itself retired, then destroyed. */
#include "keyring/retire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "keyring/change.h"
#include "keyring/keyfile_census.h"

static int64_t now_of(const struct kmse_rotation *r)
{
    return r->clock->wall_s(r->clock->arg);
}

/* --- censuses ----------------------------------------------------------- */

static kmse_st check_census(const struct kmse_keyfile *file,
                            const struct kmse_census *census, int64_t now_s,
                            struct kmse_why *why)
{
    uint64_t messages = 0;
    if (!kmse_census_text_is_valid(census->scope, KMSE_SCOPE_MAX)
        || !kmse_census_text_is_valid(census->tool, KMSE_CENSUS_TOOL_MAX))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "a census's scope is 1 to %d bytes of UTF-8 without "
                         "controls",
                         KMSE_SCOPE_MAX);
    if (census->taken_s > now_s)
        return kmse_fail(why, KMSE_R_STATE,
                         "the census began in the future: set the clocks");
    for (size_t i = 0; i < census->count_count; i++) {
        const struct kmse_version_count *count = &census->counts[i];
        messages += count->count;
        if (count->count == 0
            || kmse_keyfile_find(file, count->version) != NULL)
            continue;
        return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                         "%" PRIu64 " rows are of version %u, and key %s has "
                         "versions 1 to %zu: are they of another key, or is "
                         "its file old?",
                         count->count, count->version, file->name,
                         file->version_count);
    }
    if (messages == 0 && census->other > 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "not one of %" PRIu64 " rows is a message: is the "
                         "encoding right, and is it the right place?",
                         census->other);
    return KMSE_OK;
}

static kmse_st make_record(struct kmse_census_record *record,
                           const struct kmse_keyfile *file,
                           const struct kmse_census *census)
{
    struct kmse_census_record made = {
        .scope = strdup(census->scope),
        .tool = strdup(census->tool),
        .taken_s = census->taken_s,
        .found = calloc(file->version_count, sizeof(*made.found)),
        .found_count = file->version_count,
        .other = census->other,
    };
    if (made.scope == NULL || made.tool == NULL || made.found == NULL) {
        kmse_census_record_wipe(&made);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    for (size_t i = 0; i < census->count_count; i++) {
        if (census->counts[i].count > 0)
            made.found[census->counts[i].version - 1] +=
                census->counts[i].count;
    }
    *record = made;
    return KMSE_OK;
}

/* Takes the record. */
static kmse_st put_record(struct kmse_keyfile *file,
                          struct kmse_census_record *record)
{
    struct kmse_census_record *place = kmse_keyfile_census(file, record->scope);
    if (place == NULL) {
        struct kmse_census_record *grown =
            realloc(file->censuses, (file->census_count + 1) * sizeof(*grown));
        if (grown == NULL) {
            kmse_census_record_wipe(record);
            return KMSE_ERR(KMSE_R_MEMORY);
        }
        file->censuses = grown;
        place = &grown[file->census_count++];
        *place = (struct kmse_census_record){0};
    }
    kmse_census_record_wipe(place);
    *place = *record;
    return KMSE_OK;
}

static kmse_st check_place(const struct kmse_keyfile *file,
                           const struct kmse_census *census,
                           struct kmse_why *why)
{
    char taken[KMSE_TIME_LEN];
    const struct kmse_census_record *there =
        kmse_keyfile_census(file, census->scope);
    if (there == NULL && file->census_count == KMSE_CENSUSES_MAX)
        return kmse_fail(why, KMSE_R_STATE,
                         "key %s has censuses of %d scopes: forget those that "
                         "are gone",
                         file->name, KMSE_CENSUSES_MAX);
    if (there == NULL || there->taken_s <= census->taken_s)
        return KMSE_OK;
    kmse_time_print(taken, there->taken_s);
    return kmse_fail(why, KMSE_R_STATE,
                     "key %s has a census of %s that began later, %s",
                     file->name, census->scope, taken);
}

static kmse_st locked_record(struct kmse_edit *edit,
                             const struct kmse_rotation *r,
                             const struct kmse_census *census,
                             struct kmse_why *why)
{
    struct kmse_census_record record = {0};
    KMSE_TRY(check_census(edit->file, census, now_of(r), why));
    KMSE_TRY(check_place(edit->file, census, why));
    KMSE_TRY(make_record(&record, edit->file, census));
    KMSE_TRY(put_record(edit->file, &record));
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_record_census(const struct kmse_rotation *rotation,
                                    const char *name,
                                    const struct kmse_census *census,
                                    struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_record(&edit, rotation, census, why);
    kmse_edit_close(&edit);
    return st;
}

static kmse_st locked_forget(struct kmse_edit *edit,
                             const struct kmse_rotation *r, const char *scope,
                             struct kmse_why *why)
{
    struct kmse_keyfile *file = edit->file;
    struct kmse_census_record *record = kmse_keyfile_census(file, scope);
    if (record == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "key %s has no census of %.300s: see kms-envelope "
                         "status %s",
                         file->name, scope, file->name);
    size_t index = (size_t)(record - file->censuses);
    kmse_census_record_wipe(record);
    memmove(record, record + 1,
            (file->census_count - index - 1) * sizeof(*record));
    file->census_count--;
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_forget_census(const struct kmse_rotation *rotation,
                                    const char *name, const char *scope,
                                    struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_forget(&edit, rotation, scope, why);
    kmse_edit_close(&edit);
    return st;
}

/* --- which version ------------------------------------------------------ */

static kmse_st find_version(const struct kmse_version **version,
                            const struct kmse_keyfile *file, uint32_t number,
                            struct kmse_why *why)
{
    *version = kmse_keyfile_find(file, number);
    if (*version == NULL)
        return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                         "key %s has versions 1 to %zu", file->name,
                         file->version_count);
    return KMSE_OK;
}

static kmse_st refuse(const struct kmse_keyfile *file,
                      const struct kmse_version *version, struct kmse_why *why,
                      const char *problem)
{
    return kmse_fail(why, KMSE_R_STATE, "key %s, version %u %s", file->name,
                     version->number, problem);
}

/* The newest proves the file, whatever its state. */
static kmse_st check_not_needed(const struct kmse_keyfile *file,
                                const struct kmse_version *version,
                                int64_t now_s, struct kmse_why *why)
{
    if (version == kmse_keyfile_current(file, now_s))
        return refuse(file, version, why,
                      "is the one that encrypts: kms-envelope rotate, then "
                      "re-encrypt its rows");
    if (version == kmse_keyfile_newest(file))
        return refuse(file, version, why,
                      "is the newest, which proves the key file: kms-envelope "
                      "rotate first");
    return KMSE_OK;
}

/* --- what the censuses say of it ---------------------------------------- */

static kmse_st check_no_rows(const struct kmse_keyfile *file,
                             const struct kmse_version *version,
                             struct kmse_why *why)
{
    char taken[KMSE_TIME_LEN];
    for (size_t i = 0; i < file->census_count; i++) {
        const struct kmse_census_record *census = &file->censuses[i];
        uint64_t found = kmse_census_found(census, version->number);
        if (found == 0)
            continue;
        kmse_time_print(taken, census->taken_s);
        return kmse_fail(why, KMSE_R_STATE,
                         "key %s, version %u has rows: %" PRIu64 " of %s, by "
                         "the census of %s; re-encrypt them, and take another",
                         file->name, version->number, found, census->scope,
                         taken);
    }
    return KMSE_OK;
}

/* From when a census of that version counts; 0: not before a rotation. */
static int64_t census_counts_from(const struct kmse_keyfile *file,
                                  const struct kmse_version *version)
{
    int64_t since_s = kmse_keyfile_superseded(file, version);
    if (since_s == 0)
        return 0;
    since_s = kmse_time_after(since_s, kmse_policy_census_fence(&file->policy));
    return since_s > version->restored_s ? since_s : version->restored_s + 1;
}

static kmse_st check_is_counted(const struct kmse_keyfile *file,
                                const struct kmse_version *version,
                                struct kmse_why *why)
{
    char from[KMSE_TIME_LEN], taken[KMSE_TIME_LEN];
    int64_t from_s = census_counts_from(file, version);
    if (from_s == 0)
        return refuse(file, version, why, "has no later one that is active");
    kmse_time_print(from, from_s);
    if (file->census_count == 0)
        return kmse_fail(why, KMSE_R_STATE,
                         "key %s has no census: take one of each place that "
                         "has its rows, begun at %s or later, and record it "
                         "(kms-envelope census --record)",
                         file->name, from);
    for (size_t i = 0; i < file->census_count; i++) {
        const struct kmse_census_record *census = &file->censuses[i];
        if (census->taken_s >= from_s)
            continue;
        kmse_time_print(taken, census->taken_s);
        return kmse_fail(why, KMSE_R_STATE,
                         "key %s, version %u: the census of %s began at %s, "
                         "when a program might still have been writing rows of "
                         "that version: take one that begins at %s or later",
                         file->name, version->number, census->scope, taken,
                         from);
    }
    return KMSE_OK;
}

/* --- retire ------------------------------------------------------------- */

static kmse_st locked_retire(struct kmse_edit *edit,
                             const struct kmse_rotation *r, uint32_t number,
                             struct kmse_why *why)
{
    const struct kmse_version *found = NULL;
    int64_t now_s = now_of(r);
    KMSE_TRY(find_version(&found, edit->file, number, why));
    if (found->state == KMSE_VERSION_DESTROYED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_DESTROYED,
                         "key %s, version %u", edit->file->name, number);
    if (found->state == KMSE_VERSION_RETIRED)
        return KMSE_OK;
    KMSE_TRY(check_not_needed(edit->file, found, now_s, why));
    KMSE_TRY(check_no_rows(edit->file, found, why));
    KMSE_TRY(check_is_counted(edit->file, found, why));
    struct kmse_version *version = &edit->file->versions[number - 1];
    version->state = KMSE_VERSION_RETIRED;
    version->retired_s = now_s;
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_retire(const struct kmse_rotation *rotation,
                             const char *name, uint32_t version,
                             struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_retire(&edit, rotation, version, why);
    kmse_edit_close(&edit);
    return st;
}

/* --- undo --------------------------------------------------------------- */

static kmse_st locked_undo(struct kmse_edit *edit,
                           const struct kmse_rotation *r, uint32_t number,
                           struct kmse_why *why)
{
    const struct kmse_version *found = NULL;
    KMSE_TRY(find_version(&found, edit->file, number, why));
    if (found->state == KMSE_VERSION_ACTIVE)
        return KMSE_OK;
    if (found->state == KMSE_VERSION_DESTROYED)
        return kmse_fail(why, KMSE_R_KEY_VERSION_DESTROYED,
                         "key %s, version %u: it has no wrapped copy any more",
                         edit->file->name, number);
    if (found->state == KMSE_VERSION_REVOKED)
        return refuse(edit->file, found, why,
                      "is revoked, not retired: kms-envelope revoke --undo");
    struct kmse_version *version = &edit->file->versions[number - 1];
    version->state = KMSE_VERSION_ACTIVE;
    version->retired_s = 0;
    version->restored_s = now_of(r);
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_undo_retire(const struct kmse_rotation *rotation,
                                  const char *name, uint32_t version,
                                  struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_undo(&edit, rotation, version, why);
    kmse_edit_close(&edit);
    return st;
}

/* --- destroy ------------------------------------------------------------ */

static kmse_st check_held(const struct kmse_keyfile *file,
                          const struct kmse_version *version, int64_t now_s,
                          struct kmse_why *why)
{
    char since[KMSE_TIME_LEN], until[KMSE_TIME_LEN];
    int64_t until_s = kmse_keyfile_destroyable(file, version);
    if (until_s == 0)
        return refuse(file, version, why,
                      "is retired, and its file does not say since when: undo "
                      "that, and retire it again");
    if (now_s >= until_s)
        return KMSE_OK;
    kmse_time_print(since, version->retired_s);
    kmse_time_print(until, until_s);
    return kmse_fail(
        why, KMSE_R_STATE,
        "key %s, version %u is retired since %s, and is held until "
        "%s, by the policy's destroy-after",
        file->name, version->number, since, until);
}

kmse_st kmse_destroy_check(const struct kmse_keyfile *file, uint32_t number,
                           int64_t now_s, struct kmse_why *why)
{
    const struct kmse_version *version = NULL;
    KMSE_TRY(find_version(&version, file, number, why));
    if (version->state == KMSE_VERSION_DESTROYED)
        return KMSE_OK;
    KMSE_TRY(check_not_needed(file, version, now_s, why));
    if (version->state != KMSE_VERSION_RETIRED)
        return refuse(file, version, why,
                      "is not retired: kms-envelope retire first");
    KMSE_TRY(check_no_rows(file, version, why));
    return check_held(file, version, now_s, why);
}

static void drop_copies(struct kmse_version *version)
{
    for (size_t i = 0; i < version->copy_count; i++)
        kmse_copy_wipe(&version->copies[i]);
    free(version->copies);
    version->copies = NULL;
    version->copy_count = 0;
}

static kmse_st locked_destroy(struct kmse_edit *edit,
                              const struct kmse_rotation *r, uint32_t number,
                              struct kmse_why *why)
{
    KMSE_TRY(kmse_destroy_check(edit->file, number, now_of(r), why));
    struct kmse_version *version = &edit->file->versions[number - 1];
    if (version->state == KMSE_VERSION_DESTROYED)
        return KMSE_OK;
    version->state = KMSE_VERSION_DESTROYED;
    version->destroyed_s = now_of(r);
    drop_copies(version);
    return kmse_edit_write(edit, r, why);
}

kmse_st kmse_rotation_destroy(const struct kmse_rotation *rotation,
                              const char *name, uint32_t version,
                              struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    kmse_st st = locked_destroy(&edit, rotation, version, why);
    kmse_edit_close(&edit);
    return st;
}
