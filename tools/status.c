/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope status: keys and their versions. No KMS is asked. */
#include "tools/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/age.h"
#include "tools/common.h"
#include "tools/status_live.h"
#include "tools/usage.h"
#include "tools/verbs.h"

enum {
    NAME_WIDTH_MIN = 3,
    ROTATION_LEN = sizeof("held for ") + KMSE_AGE_LEN,
    WARNING_LEN = 64,
};

/* Of one that is retired: until when it is held. */
static void print_hold(char out[ROTATION_LEN], int64_t until_s, int64_t now_s)
{
    char left[KMSE_AGE_LEN];
    kmse_age_print(left, until_s - now_s);
    if (until_s > now_s)
        snprintf(out, ROTATION_LEN, "held for %s", left);
    else
        snprintf(out, ROTATION_LEN, "held no more");
}

/* By policy; of the newest version alone, since the next follows that. */
static void print_rotation(char out[ROTATION_LEN],
                           const struct kmse_status *status,
                           const struct kmse_keyfile *file,
                           const struct kmse_version *version)
{
    struct kmse_due due = kmse_usage_due(&status->usage, file, status->now_s);
    int64_t held_s = kmse_keyfile_destroyable(file, version);
    char left[KMSE_AGE_LEN];
    if (held_s != 0) {
        print_hold(out, held_s, status->now_s);
    } else if (version != kmse_keyfile_newest(file)
               || due.state == KMSE_DUE_NEVER) {
        snprintf(out, ROTATION_LEN, "-");
    } else if (kmse_due_is_now(&due)) {
        snprintf(out, ROTATION_LEN, "overdue");
    } else {
        kmse_age_print(left, due.at_s - status->now_s);
        snprintf(out, ROTATION_LEN, "due in %s", left);
    }
}

static void print_version(const struct kmse_status *status,
                          const struct kmse_keyfile *file,
                          const struct kmse_version *version, int name_width)
{
    int64_t now_s = status->now_s;
    char number[16], from[KMSE_TIME_LEN], age[KMSE_AGE_LEN];
    char rotation[ROTATION_LEN];
    bool encrypts = version == kmse_keyfile_current(file, now_s);
    snprintf(number, sizeof(number), "%s%u", encrypts ? "*" : "",
             (unsigned)version->number);
    kmse_time_print(from, version->active_from_s);
    kmse_age_print(age, now_s - version->created_s);
    print_rotation(rotation, status, file, version);
    int column = printf(
        "%-*s  %7s  %-9s  %-20s  %5s  %-12s", name_width, file->name, number,
        kmse_version_state_at(version, now_s), from, age, rotation);
    for (size_t i = 0; i < version->copy_count; i++) {
        const struct kmse_copy *copy = &version->copies[i];
        printf("%*s  %s%s", i > 0 ? column : 0, "", copy->kms,
               copy->adopted ? " (adopted)\n" : "\n");
    }
    if (version->copy_count == 0)
        putchar('\n');
}

static void print_censuses(const struct kmse_keyfile *file)
{
    char taken[KMSE_TIME_LEN];
    for (size_t i = 0; i < file->census_count; i++) {
        const struct kmse_census_record *census = &file->censuses[i];
        kmse_time_print(taken, census->taken_s);
        printf("%s: census of %s, %s:", file->name, census->scope, taken);
        for (size_t v = 0; v < census->found_count; v++)
            printf("%s %" PRIu64 " of version %zu", v > 0 ? "," : "",
                   census->found[v], v + 1);
        if (census->other > 0)
            printf(", %" PRIu64 " no messages", census->other);
        putchar('\n');
    }
}

static void print_table(const struct kmse_status *status)
{
    struct kmse_keyfile *const *files = status->files;
    size_t count = status->count;
    int name_width = NAME_WIDTH_MIN;
    for (size_t i = 0; i < count; i++) {
        if ((int)strlen(files[i]->name) > name_width)
            name_width = (int)strlen(files[i]->name);
    }
    if (count == 0) {
        printf("no keys in %s\n", status->folder);
        return;
    }
    printf("%-*s  %7s  %-9s  %-20s  %5s  %-12s  %s\n", name_width, "KEY",
           "VERSION", "STATE", "ACTIVE-FROM", "AGE", "ROTATION", "MASTER KEYS");
    for (size_t i = 0; i < count; i++) {
        for (size_t v = 0; v < files[i]->version_count; v++)
            print_version(status, files[i], &files[i]->versions[v], name_width);
    }
    puts("* encrypts");
    for (size_t i = 0; i < count; i++)
        print_censuses(files[i]);
}

static void warn(const struct kmse_status *status,
                 const struct kmse_keyfile *file)
{
    struct kmse_due due = kmse_usage_due(&status->usage, file, status->now_s);
    const char *limit = kmse_usage_limit(&due);
    bool is_now = kmse_due_is_now(&due);
    char age[KMSE_AGE_LEN], what[WARNING_LEN];
    if (due.state < KMSE_DUE_SOON)
        return;
    int64_t left_s = due.at_s - status->now_s;
    kmse_age_print(age, is_now ? -left_s : left_s);
    if (limit != NULL)
        snprintf(what, sizeof(what), "this host has used most of its %s",
                 limit);
    else
        snprintf(what, sizeof(what), "its rotation is %s%s%s",
                 is_now ? "" : "due in ", age, is_now ? " overdue" : "");
    kmse_tool_hint("%s: %s: kms-envelope rotate %s --keys %s", file->name, what,
                   file->name, status->folder);
}

/* All that can be read; says which cannot. */
static size_t read_files(struct kmse_keyfile **files, char *const *names,
                         size_t count, const char *folder, int *exit_code)
{
    size_t read = 0;
    for (size_t i = 0; i < count; i++) {
        struct kmse_why why = {""};
        kmse_st st =
            kmse_keyfile_read(&files[read], folder, names[i], NULL, &why);
        if (kmse_is_ok(st))
            read++;
        else
            *exit_code = kmse_tool_fail(st, &why);
    }
    return read;
}

static kmse_st print_files(char *const *names, size_t count, const char *folder,
                           const struct kmse_options *options, int *exit_code)
{
    struct kmse_keyfile **files =
        calloc(count + 1, sizeof(struct kmse_keyfile *));
    if (files == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    struct kmse_status status = {
        .folder = folder,
        .files = files,
        .count = read_files(files, names, count, folder, exit_code),
        .now_s = kmse_clock_system.wall_s(kmse_clock_system.arg),
    };
    kmse_usage_open(&status.usage, options->socket);
    kmse_st st = KMSE_OK;
    if (options->json)
        st = kmse_status_print_json(&status);
    else if (status.count > 0 || count == 0)
        print_table(&status);
    for (size_t i = 0; i < status.count; i++) {
        warn(&status, files[i]);
        kmse_keyfile_free(files[i]);
    }
    kmse_usage_close(&status.usage);
    free(files);
    return st;
}

static kmse_st print_status(const char *folder,
                            const struct kmse_options *options, int *exit_code,
                            struct kmse_why *why)
{
    if (options->operand != NULL) {
        char *name = strdup(options->operand);
        if (name == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        kmse_st st = print_files(&name, 1, folder, options, exit_code);
        free(name);
        return st;
    }
    char **names = NULL;
    size_t count = 0;
    KMSE_TRY(kmse_keyfile_list(&names, &count, folder, why));
    kmse_st st = print_files(names, count, folder, options, exit_code);
    kmse_keyfile_free_list(names, count);
    return st;
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    char *configured = NULL;
    int exit_code = KMSE_EXIT_DONE;
    if (options->live)
        return kmse_status_live(options);
    kmse_st st = KMSE_OK;
    if (options->keys == NULL)
        st = kmse_tool_configured_folder(&configured, &why);
    if (kmse_is_ok(st))
        st = print_status(options->keys != NULL ? options->keys : configured,
                          options, &exit_code, &why);
    free(configured);
    return kmse_is_ok(st) ? exit_code : kmse_tool_fail(st, &why);
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    bool of_files = options->keys != NULL || options->operand != NULL;
    if (options->live && of_files)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--live is of the agent: neither NAME nor --keys");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_status = {
    .name = "status",
    .operands = "[NAME]",
    .summary = "show keys and their versions",
    .details =
        "Without --keys: of the folder that openssl.cnf names. No KMS is"
        " asked.\nHow much keys are used, the agent of this host is asked"
        " if there is one; with\n--live: all of its numbers.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_JSON | KMSE_OPTION_LIVE
             | KMSE_OPTION_SOCKET,
    .operands_max = 1,
    .check = check,
    .run = run,
};
