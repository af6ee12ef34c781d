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
#include "tools/census.h"
#include "tools/walk.h"

struct census {
    const struct kmse_options *options;
    enum kmse_encoding encoding;
    const char *column; /* of CSV: name or number; NULL: none */
    struct kmse_count count;
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
        kmse_version_tally_add(&census->count.tally, tag, len);
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
    uint8_t buffer[BUFFER_LEN];
    struct kmse_lines lines = {.tally = &census->count.tally,
                               .encoding = census->encoding};
    struct kmse_csv csv;
    bool is_csv = census->column != NULL;
    size_t len = 1;
    if (is_csv)
        KMSE_TRY(kmse_csv_init(&csv, &census->count.tally, census->encoding,
                               census->column, why));
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
        census->encoding == KMSE_ENCODING_BINARY ? count_binary : count_text;
    for (size_t i = 0; i < options->more_count; i++)
        KMSE_TRY(kmse_walk(options->more_operands[i], visit, census, why));
    return KMSE_OK;
}

/* --- printing ----------------------------------------------------------- */

static void print_table(const struct census *census)
{
    const struct kmse_version_tally *tally = &census->count.tally;
    const char *name = census->options->operand;
    for (size_t i = 0; i < tally->version_count; i++)
        printf("%s: version %zu: %" PRIu64 "\n", name, i + 1, tally->counts[i]);
    if (tally->unknown > 0)
        printf("%s: versions that it does not have, up to %u: %" PRIu64 "\n",
               name, (unsigned)tally->unknown_version, tally->unknown);
    if (tally->other > 0)
        printf("%s: no messages: %" PRIu64 "\n", name, tally->other);
}

/* These names are an interface: never changed. */
static bool add_all(cJSON *root, const struct census *census, bool recorded)
{
    char taken[KMSE_TIME_LEN];
    kmse_time_print(taken, census->count.taken_s);
    return cJSON_AddStringToObject(root, "key", census->options->operand)
               != NULL
           && cJSON_AddStringToObject(root, "taken", taken) != NULL
           && cJSON_AddBoolToObject(root, "recorded", recorded) != NULL
           && kmse_count_add_json(root, &census->count);
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
    census->count.key = options->operand;
    census->count.scope = options->record;
    KMSE_TRY(kmse_count_init(&census->count, options->keys, why));
    return count_all(census, why);
}

static kmse_st record(const struct census *census, struct kmse_why *why)
{
    struct kmse_session session = {0};
    kmse_st st = kmse_session_open(&session, census->options->keys, why);
    if (kmse_is_ok(st))
        st = kmse_count_record(&census->count, &session, why);
    kmse_session_close(&session);
    return st;
}

/* A column of CSV is text: base64, unless hex was said. */
static kmse_st read_words(struct census *census, struct kmse_why *why)
{
    const struct kmse_options *options = census->options;
    census->encoding = KMSE_ENCODING_AUTO;
    for (size_t i = 0; i < options->job_word_count; i++) {
        const struct kmse_job_word *word = &options->job_words[i];
        if (strcmp(word->name, "column") == 0)
            census->column = word->value;
        else if (strcmp(word->name, "encoding") != 0)
            return kmse_fail(why, KMSE_R_PARAMETER,
                             "--%s: not of files, and no --database is given",
                             word->name);
        else if (!kmse_encoding_parse(&census->encoding, word->value))
            return kmse_fail(why, KMSE_R_PARAMETER,
                             "--encoding %s: not binary, base64 nor hex",
                             word->value);
    }
    if (census->column != NULL && census->encoding == KMSE_ENCODING_BINARY)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--column: CSV is text, --encoding base64 or hex");
    if (census->encoding == KMSE_ENCODING_AUTO)
        census->encoding = census->column != NULL ? KMSE_ENCODING_BASE64
                                                  : KMSE_ENCODING_BINARY;
    return KMSE_OK;
}

static int count(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct census census = {.options = options};
    bool recorded = false;
    kmse_st st = read_words(&census, &why);
    if (kmse_is_ok(st))
        st = take_census(&census, &why);
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
    kmse_count_wipe(&census.count);
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

/* What is counted is in a database, as a job says it. */
static bool has_job(const struct kmse_options *options)
{
    for (size_t i = 0; i < options->job_word_count; i++) {
        const char *name = options->job_words[i].name;
        if (strcmp(name, "database") == 0 || strcmp(name, "table") == 0)
            return true;
    }
    return options->job_file != NULL;
}

static int run(const struct kmse_options *options)
{
    if (options->forget != NULL)
        return forget(options);
    return has_job(options) ? kmse_census_database(options) : count(options);
}

static kmse_st check_files(const struct kmse_options *options,
                           struct kmse_why *why)
{
    struct kmse_csv csv;
    struct census census = {.options = options};
    if (options->operand == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "NAME PATH... is missing, or --database URL");
    if (options->more_count == 0)
        return kmse_fail(why, KMSE_R_PARAMETER, "PATH is missing");
    if (options->record != NULL && options->record[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--record: SCOPE is missing: say in words what these "
                         "files are");
    KMSE_TRY(read_words(&census, why));
    if (census.column == NULL)
        return KMSE_OK;
    return kmse_csv_init(&csv, NULL, census.encoding, census.column, why);
}

/* A database says by itself what was counted: nothing takes its place. */
static kmse_st check_job(const struct kmse_options *options,
                         struct kmse_why *why)
{
    if (options->operand != NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%.300s: a job has tables: the key is --key NAME",
                         options->operand);
    if (options->record != NULL && options->record[0] != '\0')
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--record %s: of a database it takes no words, table, "
                         "column and database are the scope",
                         options->record);
    return KMSE_OK;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->forget == NULL && has_job(options))
        return check_job(options, why);
    if (options->keys == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER, "--keys DIR is missing");
    if (options->forget == NULL)
        return check_files(options, why);
    if (options->operand == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER, "NAME is missing");
    if (options->record != NULL || options->more_count > 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--forget: nothing is counted, give no PATH");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_census = {
    .name = "census",
    .operands = "[NAME PATH...]",
    .summary = "count the messages of each version",
    .details = "Each file at or below a PATH is one message; with --encoding"
               " base64 or hex it has\none a line; with --column it is CSV, and"
               " that is the column's name or number.\nWith --database or --job"
               " columns are counted in SQL, as reencrypt takes them.\nOnly the"
               " first bytes of a message are looked at: no KMS is needed, and"
               " nothing\nverified. With --record, the key file keeps what was"
               " found, which retire needs:\nof the same scope it takes the"
               " place of the last one. Of files, SCOPE says it.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_JSON | KMSE_OPTION_JOB
             | KMSE_OPTION_RECORD | KMSE_OPTION_FORGET,
    .operands_min = 0,
    .operands_max = INT_MAX,
    .check = check,
    .run = run,
};
