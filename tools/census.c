/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope census: how many messages there are of each version. */
#include "tools/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "keyring/retire.h"
#include "tools/common.h"
#include "tools/walk.h"

/* What is counted, how, and since when. */
struct census {
    const struct kmse_options *options;
    struct kmse_keyfile *file;
    struct kmse_tally tally;
    int64_t taken_s;
};

/* --- reading files ------------------------------------------------------ */

/* Up to len bytes, less only at the end of the file. */
static kmse_st read_some(int fd, const char *path, uint8_t *bytes, size_t len,
                         size_t *got, struct kmse_why *why)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = read(fd, bytes + *got, len - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kmse_fail(why, KMSE_R_FILE, "%.900s: %s", path,
                             strerror(errno));
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return KMSE_OK;
}

static kmse_st count_binary(void *arg, int fd, const char *path,
                            struct kmse_why *why)
{
    struct census *census = arg;
    uint8_t tag[KMSE_TAG_BYTES];
    size_t len = 0;
    KMSE_TRY(read_some(fd, path, tag, sizeof(tag), &len, why));
    if (len > 0)
        kmse_tally_add(&census->tally, tag, len);
    return KMSE_OK;
}

/* Either of the two readers of text: csv is NULL for lines. No len: the end. */
static kmse_st feed(struct kmse_lines *lines, struct kmse_csv *csv,
                    const char *text, size_t len, struct kmse_why *why)
{
    if (csv != NULL)
        return len > 0 ? kmse_csv_feed(csv, text, len, why)
                       : kmse_csv_end(csv, why);
    if (len > 0)
        kmse_lines_feed(lines, text, len);
    else
        kmse_lines_end(lines);
    return KMSE_OK;
}

static kmse_st count_text(void *arg, int fd, const char *path,
                          struct kmse_why *why)
{
    enum { BUFFER_LEN = 1 << 16 };
    struct census *census = arg;
    const struct kmse_options *options = census->options;
    uint8_t buffer[BUFFER_LEN];
    struct kmse_lines lines = {.tally = &census->tally,
                               .encoding = options->encoding};
    struct kmse_csv csv;
    bool is_csv = options->column != NULL;
    size_t len = 1;
    if (is_csv)
        KMSE_TRY(kmse_csv_init(&csv, &census->tally, options->encoding,
                               options->column, why));
    while (len > 0) {
        struct kmse_why of_text = {""};
        KMSE_TRY(read_some(fd, path, buffer, sizeof(buffer), &len, why));
        kmse_st st = feed(&lines, is_csv ? &csv : NULL, (const char *)buffer,
                          len, &of_text);
        if (!kmse_is_ok(st))
            return kmse_fail(why, st.reason, "%.800s: %s", path, of_text.text);
    }
    return KMSE_OK;
}

static kmse_st count_all(struct census *census, struct kmse_why *why)
{
    const struct kmse_options *options = census->options;
    kmse_walk_fn *visit =
        options->encoding == KMSE_BINARY ? count_binary : count_text;
    for (size_t i = 0; i < options->more_count; i++)
        KMSE_TRY(kmse_walk(options->more_operands[i], visit, census, why));
    return KMSE_OK;
}

/* --- recording ---------------------------------------------------------- */

/* Versions that the key does not have are told as one, the highest. */
static kmse_st record(const struct census *census, struct kmse_why *why)
{
    const struct kmse_tally *tally = &census->tally;
    char tool[KMSE_CENSUS_TOOL_MAX];
    struct kmse_session session = {0};
    struct kmse_version_count *counts =
        calloc(tally->version_count + 1, sizeof(*counts));
    if (counts == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (size_t i = 0; i < tally->version_count; i++)
        counts[i] =
            (struct kmse_version_count){(uint32_t)i + 1, tally->counts[i]};
    counts[tally->version_count] =
        (struct kmse_version_count){tally->unknown_version, tally->unknown};
    snprintf(tool, sizeof(tool), "kms-envelope %s", kmse_release);
    const struct kmse_census found = {
        .scope = census->options->record,
        .tool = tool,
        .taken_s = census->taken_s,
        .counts = counts,
        .count_count = tally->version_count + 1,
        .other = tally->other,
    };
    kmse_st st = kmse_session_open(&session, census->options->keys, why);
    if (kmse_is_ok(st))
        st = kmse_rotation_record_census(&session.rotation,
                                         census->options->operand, &found, why);
    kmse_session_close(&session);
    free(counts);
    return st;
}

/* --- printing ----------------------------------------------------------- */

static void print_table(const struct census *census)
{
    const struct kmse_tally *tally = &census->tally;
    const char *name = census->options->operand;
    for (size_t i = 0; i < tally->version_count; i++)
        printf("%s: version %zu: %" PRIu64 "\n", name, i + 1, tally->counts[i]);
    if (tally->unknown > 0)
        printf("%s: versions that it does not have, up to %u: %" PRIu64 "\n",
               name, (unsigned)tally->unknown_version, tally->unknown);
    if (tally->other > 0)
        printf("%s: no messages: %" PRIu64 "\n", name, tally->other);
}

static bool add_count(cJSON *object, const char *name, uint64_t count)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, count);
    return cJSON_AddRawToObject(object, name, text) != NULL;
}

static bool add_versions(cJSON *root, const struct census *census)
{
    cJSON *list = cJSON_AddArrayToObject(root, "versions");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < census->tally.version_count; i++) {
        const struct kmse_version *version = &census->file->versions[i];
        cJSON *object = cJSON_CreateObject();
        if (object == NULL || !cJSON_AddItemToArray(list, object)) {
            cJSON_Delete(object);
            return false;
        }
        ok = add_count(object, "number", version->number)
             && cJSON_AddStringToObject(object, "state",
                                        kmse_version_state_name(version->state))
                    != NULL
             && add_count(object, "rows", census->tally.counts[i]);
    }
    return ok;
}

/* These names are an interface: never changed. */
static bool add_all(cJSON *root, const struct census *census, bool recorded)
{
    char taken[KMSE_TIME_LEN];
    kmse_time_print(taken, census->taken_s);
    return cJSON_AddStringToObject(root, "key", census->options->operand)
               != NULL
           && cJSON_AddStringToObject(root, "taken", taken) != NULL
           && cJSON_AddBoolToObject(root, "recorded", recorded) != NULL
           && add_versions(root, census)
           && add_count(root, "unknown-versions", census->tally.unknown)
           && add_count(root, "other", census->tally.other);
}

static kmse_st print_json(const struct census *census, bool recorded)
{
    cJSON *root = cJSON_CreateObject();
    char *text = root != NULL && add_all(root, census, recorded)
                     ? cJSON_Print(root)
                     : NULL;
    cJSON_Delete(root);
    if (text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    puts(text);
    cJSON_free(text);
    return KMSE_OK;
}

/* --- the verb ----------------------------------------------------------- */

static kmse_st take_census(struct census *census, struct kmse_why *why)
{
    const struct kmse_options *options = census->options;
    KMSE_TRY(kmse_keyfile_read(&census->file, options->keys, options->operand,
                               NULL, why));
    KMSE_TRY(kmse_tally_init(&census->tally, census->file->version_count));
    census->taken_s = kmse_clock_system.wall_s(kmse_clock_system.arg);
    return count_all(census, why);
}

static int count(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct census census = {.options = options};
    bool recorded = false;
    kmse_st st = take_census(&census, &why);
    if (kmse_is_ok(st)) {
        /* What was counted is told, even if it cannot be recorded. */
        if (options->record != NULL)
            st = record(&census, &why);
        recorded = options->record != NULL && kmse_is_ok(st);
        if (!options->json)
            print_table(&census);
        else if (!kmse_is_ok(print_json(&census, recorded)) && kmse_is_ok(st))
            st = KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_tally_wipe(&census.tally);
    kmse_keyfile_free(census.file);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    if (recorded)
        kmse_tool_hint("recorded as the census of %s", options->record);
    return KMSE_EXIT_DONE;
}

static int forget(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_forget_census(&session.rotation, options->operand,
                                         options->forget, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%s: no census of %s any more\n", options->operand, options->forget);
    return KMSE_EXIT_DONE;
}

static int run(const struct kmse_options *options)
{
    /* A column of CSV is text: base64, unless hex was said. */
    struct kmse_options with = *options;
    if (with.column != NULL && with.encoding == KMSE_BINARY)
        with.encoding = KMSE_BASE64;
    return options->forget != NULL ? forget(options) : count(&with);
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    struct kmse_csv csv;
    if (options->forget != NULL
        && (options->record != NULL || options->more_count > 0))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--forget: nothing is counted, give no PATH");
    if (options->forget == NULL && options->more_count == 0)
        return kmse_fail(why, KMSE_R_PARAMETER, "PATH is missing");
    if (options->column == NULL)
        return KMSE_OK;
    if ((options->given & KMSE_OPTION_ENCODING) != 0
        && options->encoding == KMSE_BINARY)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--column: CSV is text, --encoding base64 or hex");
    return kmse_csv_init(&csv, NULL, options->encoding, options->column, why);
}

const struct kmse_verb kmse_verb_census = {
    .name = "census",
    .operands = "NAME PATH...",
    .summary = "count the messages of each version",
    .details = "Each file at or below a PATH is one message; with --encoding"
               " base64 or hex it has\none a line; with --column it is CSV."
               " Only the first bytes of a message are looked\nat: no KMS is"
               " needed, and nothing verified. With --record, the key file"
               " keeps what\nwas found, which retire needs: under the same"
               " words it takes the place of the last\none.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_JSON | KMSE_OPTION_ENCODING
             | KMSE_OPTION_COLUMN | KMSE_OPTION_RECORD | KMSE_OPTION_FORGET,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = INT_MAX,
    .check = check,
    .run = run,
};
