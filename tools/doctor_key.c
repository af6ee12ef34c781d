/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: a folder of key files. */
#include "tools/doctor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/age.h"

enum { WRITE_BY_OTHERS = 0022, CLOCK_SKEW_S = 60, SUBJECT_LEN = 160 };

static bool check_folder_mode(struct kmse_doctor *doctor, const char *folder)
{
    struct stat status;
    if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
        kmse_doctor_find(doctor, "the folder of key files, %s: %s", folder,
                         strerror(errno != 0 ? errno : ENOTDIR));
        kmse_doctor_mend("kms-envelope create NAME --keys '%s' ... makes it",
                         folder);
        return false;
    }
    if ((status.st_mode & WRITE_BY_OTHERS) != 0) {
        kmse_doctor_find(doctor, "%s: others may write there (mode %03o)",
                         folder, (unsigned)status.st_mode & 0777U);
        kmse_doctor_mend("chmod go-w '%s'", folder);
        return true;
    }
    kmse_doctor_ok("%s: mode %03o", folder, (unsigned)status.st_mode & 0777U);
    return true;
}

static void check_times(struct kmse_doctor *doctor,
                        const struct kmse_keyfile *file, int64_t now_s)
{
    char at[KMSE_TIME_LEN];
    for (size_t i = 0; i < file->version_count; i++) {
        const struct kmse_version *version = &file->versions[i];
        if (version->created_s <= now_s + CLOCK_SKEW_S)
            continue;
        kmse_time_print(at, version->created_s);
        kmse_doctor_find(doctor, "%s version %u: made in the future (%s)",
                         file->name, (unsigned)version->number, at);
        kmse_doctor_mend("set the clocks (NTP): this one is slow, or that of"
                         " the machine that made it was fast");
    }
    if (kmse_keyfile_current(file, now_s) == NULL) {
        kmse_doctor_find(doctor, "%s: no version encrypts yet", file->name);
        kmse_doctor_mend("wait for the active-from that kms-envelope status"
                         " shows, set the clock, or kms-envelope rotate %s",
                         file->name);
    }
}

/* One wrapped copy by itself: a version's others must not hide it. */
static bool check_copy(struct kmse_doctor *doctor,
                       const struct kmse_session *session,
                       const struct kmse_keyfile *file,
                       const struct kmse_version *version, size_t index)
{
    const struct kmse_rotation *with = &session->rotation;
    struct kmse_version alone = *version;
    alone.copies = &version->copies[index];
    alone.copy_count = 1;
    struct kmse_secret data_key = {0};
    struct kmse_why why = {""};
    kmse_st st = kmse_keyfile_unwrap(&data_key, with->kms, with->crypto, file,
                                     &alone, &why);
    if (kmse_is_ok(st) && version == kmse_keyfile_newest(file))
        st = kmse_keyfile_check_mac(with->crypto, file, &data_key, &why);
    kmse_secret_wipe(&data_key);
    if (kmse_is_ok(st))
        return true;

    char subject[SUBJECT_LEN];
    snprintf(subject, sizeof(subject), "%s version %u, copy %zu of %zu",
             file->name, (unsigned)version->number, index + 1,
             version->copy_count);
    kmse_doctor_find_kms_failure(doctor, subject, alone.copies->kms, st, &why);
    return false;
}

/* How many copies of all versions were not tried, and how many do not open. */
struct copies {
    size_t untried, bad;
};

static void check_copies(struct kmse_doctor *doctor,
                         const struct kmse_session *session,
                         const struct kmse_keyfile *file,
                         const struct kmse_version *version,
                         struct copies *copies)
{
    for (size_t i = 0; i < version->copy_count; i++) {
        if (!kmse_doctor_check_master(doctor, session, version->copies[i].kms))
            copies->untried++;
        else if (!check_copy(doctor, session, file, version, i))
            copies->bad++;
    }
}

static void check_versions(struct kmse_doctor *doctor,
                           const struct kmse_session *session,
                           const struct kmse_keyfile *file)
{
    struct copies copies = {0};
    size_t destroyed = 0;
    for (size_t i = 0; i < file->version_count; i++) {
        destroyed += file->versions[i].state == KMSE_VERSION_DESTROYED;
        check_copies(doctor, session, file, &file->versions[i], &copies);
    }
    if (copies.untried > 0)
        kmse_doctor_note("%s: %zu %s not tried: see the master key", file->name,
                         copies.untried,
                         copies.untried == 1 ? "copy was" : "copies were");
    if (copies.untried > 0 || copies.bad > 0)
        return;
    kmse_doctor_ok("%s: every copy of %zu %s unwraps, the MAC is right%s",
                   file->name, file->version_count - destroyed,
                   file->version_count - destroyed == 1 ? "version"
                                                        : "versions",
                   destroyed > 0 ? " (others are destroyed)" : "");
}

/* Rows of one that does not open, by a census. */
static void find_rows(struct kmse_doctor *doctor,
                      const struct kmse_keyfile *file,
                      const struct kmse_version *version, const char *folder)
{
    for (size_t i = 0; i < file->census_count; i++) {
        const struct kmse_census_record *census = &file->censuses[i];
        uint64_t found = kmse_census_found(census, version->number);
        if (found == 0)
            continue;
        kmse_doctor_find(
            doctor,
            "%s version %u is %s, and the census of %s found %" PRIu64
            " rows of it",
            file->name, (unsigned)version->number,
            kmse_version_state_name(version->state), census->scope, found);
        if (version->state == KMSE_VERSION_RETIRED)
            kmse_doctor_mend("kms-envelope undo %s --version %u --keys '%s',"
                             " then re-encrypt them",
                             file->name, (unsigned)version->number, folder);
        else
            kmse_doctor_mend("a backup of the key file from before has its"
                             " wrapped copies; else those rows are lost");
    }
}

static void note_retired(const struct kmse_keyfile *file,
                         const struct kmse_version *version, int64_t now_s)
{
    char until[KMSE_TIME_LEN];
    int64_t until_s = kmse_keyfile_destroyable(file, version);
    if (until_s == 0) {
        kmse_doctor_note("%s version %u is retired: what it encrypted does not"
                         " open",
                         file->name, (unsigned)version->number);
        return;
    }
    kmse_time_print(until, until_s);
    kmse_doctor_note("%s version %u is retired, and %s%s", file->name,
                     (unsigned)version->number,
                     until_s > now_s ? "held until " : "may be destroyed",
                     until_s > now_s ? until : "");
}

static void check_states(struct kmse_doctor *doctor,
                         const struct kmse_keyfile *file, const char *folder,
                         int64_t now_s)
{
    for (size_t i = 0; i < file->version_count; i++) {
        const struct kmse_version *version = &file->versions[i];
        if (version->state == KMSE_VERSION_REVOKED)
            kmse_doctor_note("%s version %u is revoked: what it encrypted does"
                             " not open",
                             file->name, (unsigned)version->number);
        if (version->state == KMSE_VERSION_RETIRED)
            note_retired(file, version, now_s);
        if (version->state == KMSE_VERSION_RETIRED
            || version->state == KMSE_VERSION_DESTROYED)
            find_rows(doctor, file, version, folder);
    }
}

static void check_rotation(struct kmse_doctor *doctor,
                           const struct kmse_keyfile *file, const char *folder,
                           int64_t now_s)
{
    struct kmse_due due = kmse_usage_due(&doctor->usage, file, now_s);
    char age[KMSE_AGE_LEN];
    if (kmse_usage_limit(&due) != NULL) {
        kmse_doctor_find(doctor, "%s: this host has used most of its %s",
                         file->name, kmse_usage_limit(&due));
        kmse_doctor_mend("kms-envelope rotate %s --keys '%s'", file->name,
                         folder);
    } else if (kmse_due_is_now(&due)) {
        kmse_age_print(age, now_s - due.at_s);
        kmse_doctor_find(doctor, "%s: its rotation is %s overdue", file->name,
                         age);
        kmse_doctor_mend("kms-envelope rotate %s --keys '%s', and see why no"
                         " timer does: kms-envelope-rotate.timer",
                         file->name, folder);
    } else if (due.state == KMSE_DUE_SOON) {
        kmse_age_print(age, due.at_s - now_s);
        kmse_doctor_note("%s: its rotation is due in %s", file->name, age);
    }
}

static void check_key(struct kmse_doctor *doctor,
                      const struct kmse_session *session, const char *folder,
                      const char *name)
{
    struct kmse_keyfile *file = NULL;
    struct kmse_why why = {""};
    kmse_st st = kmse_keyfile_read(&file, folder, name, NULL, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_failure(doctor, name, st, &why);
        return;
    }
    check_times(doctor, file, kmse_session_now(session));
    check_rotation(doctor, file, folder, kmse_session_now(session));
    check_states(doctor, file, folder, kmse_session_now(session));
    check_versions(doctor, session, file);
    kmse_keyfile_free(file);
}

static void check_default_key(struct kmse_doctor *doctor, const char *folder,
                              const char *name)
{
    struct kmse_file_mark mark;
    struct kmse_why why = {""};
    kmse_st st = kmse_keyfile_stat(folder, name, &mark, &why);
    if (!kmse_is_ok(st))
        kmse_doctor_find_failure(doctor, "default-key", st, &why);
}

static void check_all_keys(struct kmse_doctor *doctor,
                           const struct kmse_session *session,
                           const char *folder)
{
    char **names = NULL;
    size_t count = 0;
    struct kmse_why why = {""};
    kmse_st st = kmse_keyfile_list(&names, &count, folder, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_failure(doctor, folder, st, &why);
        return;
    }
    if (count == 0)
        kmse_doctor_note("%s: no keys yet", folder);
    for (size_t i = 0; i < count; i++)
        check_key(doctor, session, folder, names[i]);
    kmse_keyfile_free_list(names, count);
}

void kmse_doctor_check_folder(struct kmse_doctor *doctor, const char *folder,
                              const char *default_key)
{
    struct kmse_session session = {0};
    struct kmse_why why = {""};
    errno = 0;
    if (!check_folder_mode(doctor, folder))
        return;
    kmse_st st = kmse_session_open(&session, folder, &why);
    if (!kmse_is_ok(st)) {
        kmse_doctor_find_failure(doctor, folder, st, &why);
        return;
    }
    if (default_key != NULL)
        check_default_key(doctor, folder, default_key);
    check_all_keys(doctor, &session, folder);
    if (!kmse_pool_is_locked(session.rotation.pool))
        kmse_doctor_note("key memory is not locked, it may be swapped out:"
                         " raise RLIMIT_MEMLOCK (ulimit -l)");
    kmse_session_close(&session);
}
