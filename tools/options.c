/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of options, of which each verb takes some. */
#include "tools/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/duration.h"

struct option_row {
    uint64_t bit;
    const char *name;
    const char *argument; /* NULL: takes none; "URI...": several times */
    const char *help;
    /* NULL: that it was given is all there is to it. */
    kmse_st (*take)(struct kmse_options *options, const char *value,
                    struct kmse_why *why);
};

static kmse_st take_keys(struct kmse_options *options, const char *value,
                         struct kmse_why *why)
{
    if (value[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "--keys: no folder given");
    options->keys = value;
    return KMSE_OK;
}

static kmse_st add_uri(struct kmse_uris *uris, const char *option,
                       const char *value, struct kmse_why *why)
{
    if (uris->count == KMSE_MASTER_KEYS_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s: more than %d of them",
                         option, KMSE_MASTER_KEYS_MAX);
    uris->list[uris->count++] = value;
    return KMSE_OK;
}

static kmse_st take_master_key(struct kmse_options *options, const char *value,
                               struct kmse_why *why)
{
    return add_uri(&options->master_keys, "--master-key", value, why);
}

/* NAME=VALUE; names of our own would clash with the ones that we add. */
static kmse_st add_pair(struct kmse_kms_context *context, const char *option,
                        const char *value, struct kmse_why *why)
{
    static const char RESERVED[] = KMSE_CONTEXT_RESERVED;
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s %s: not NAME=VALUE", option,
                         value);
    if (strncmp(value, RESERVED, sizeof(RESERVED) - 1) == 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s %s: names that begin with %s are taken", option,
                         value, RESERVED);
    char *name = strndup(value, (size_t)(equals - value));
    if (name == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = kmse_kms_context_add(context, name, equals + 1);
    free(name);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason,
                         "%s %s: there twice, not UTF-8, or too long", option,
                         value);
    return KMSE_OK;
}

static kmse_st take_context(struct kmse_options *options, const char *value,
                            struct kmse_why *why)
{
    return add_pair(&options->context, "--context", value, why);
}

static kmse_st take_blob_context(struct kmse_options *options,
                                 const char *value, struct kmse_why *why)
{
    return add_pair(&options->blob_context, "--blob-context", value, why);
}

static kmse_st take_from_ciphertext(struct kmse_options *options,
                                    const char *value, struct kmse_why *why)
{
    if (value[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--from-ciphertext: no file given");
    options->from_ciphertext = value;
    return KMSE_OK;
}

/* What was given may be the key itself: it is not printed. */
static kmse_st take_from_plaintext(struct kmse_options *options,
                                   const char *value, struct kmse_why *why)
{
    if (strcmp(value, "-") != 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--from-plaintext takes only -, standard input: all"
                         " users can see the arguments of a program, and a file"
                         " stays on the disk");
    options->from_plaintext = true;
    return KMSE_OK;
}

/* 0 if it is no number from 1. */
static uint64_t parse_number(const char *value)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    bool is_number = value[0] >= '0' && value[0] <= '9' && *end == '\0';
    return is_number && errno == 0 ? number : 0;
}

static kmse_st take_limit(uint64_t *limit, const char *option,
                          const char *value, struct kmse_why *why)
{
    uint64_t number = parse_number(value);
    if (number == 0 && strcmp(value, "none") != 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s %s: not a number from 1, nor none", option, value);
    *limit = number;
    return KMSE_OK;
}

static kmse_st take_rotate_after(struct kmse_options *options,
                                 const char *value, struct kmse_why *why)
{
    int64_t seconds = 0;
    bool is_never = strcmp(value, "never") == 0;
    if (!is_never
        && (!kmse_is_ok(kmse_duration_parse(&seconds, value)) || seconds == 0))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--rotate-after %s: not a time up to ten years, such"
                         " as 12h, 90d, nor never",
                         value);
    options->policy.rotate_after_s = (uint64_t)seconds;
    return KMSE_OK;
}

static kmse_st take_max_messages(struct kmse_options *options,
                                 const char *value, struct kmse_why *why)
{
    return take_limit(&options->policy.max_messages, "--max-messages", value,
                      why);
}

static kmse_st take_max_bytes(struct kmse_options *options, const char *value,
                              struct kmse_why *why)
{
    return take_limit(&options->policy.max_bytes, "--max-bytes", value, why);
}

static kmse_st take_active_in(struct kmse_options *options, const char *value,
                              struct kmse_why *why)
{
    kmse_st st = kmse_duration_parse(&options->active_in_s, value);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason,
                         "--active-in %s: not a time, such as 90s, 10m, 2h, 7d",
                         value);
    return KMSE_OK;
}

static kmse_st take_to(struct kmse_options *options, const char *value,
                       struct kmse_why *why)
{
    return add_uri(&options->to, "--to", value, why);
}

static kmse_st take_add(struct kmse_options *options, const char *value,
                        struct kmse_why *why)
{
    return add_uri(&options->add, "--add", value, why);
}

static kmse_st take_drop(struct kmse_options *options, const char *value,
                         struct kmse_why *why)
{
    return add_uri(&options->drop, "--drop", value, why);
}

static kmse_st take_version(struct kmse_options *options, const char *value,
                            struct kmse_why *why)
{
    uint64_t number = parse_number(value);
    if (number == 0 || number > KMSE_VERSION_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--version %s: not a version's number", value);
    options->version = (uint32_t)number;
    return KMSE_OK;
}

static kmse_st take_config(struct kmse_options *options, const char *value,
                           struct kmse_why *why)
{
    (void)why;
    options->config = value;
    return KMSE_OK;
}

static kmse_st take_socket(struct kmse_options *options, const char *value,
                           struct kmse_why *why)
{
    if (value[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "--socket: no path given");
    options->socket = value;
    return KMSE_OK;
}

static kmse_st take_size(struct kmse_options *options, const char *value,
                         struct kmse_why *why)
{
    uint64_t number = parse_number(value);
    if (number < KMSE_INDEX_SIZE_MIN || number > KMSE_INDEX_SIZE_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER, "--size %s: not from %d to %d",
                         value, KMSE_INDEX_SIZE_MIN, KMSE_INDEX_SIZE_MAX);
    options->size = (size_t)number;
    return KMSE_OK;
}

static kmse_st take_job_file(struct kmse_options *options, const char *value,
                             struct kmse_why *why)
{
    if (value[0] == '\0')
        return kmse_fail(why, KMSE_R_PARAMETER, "--job: no file given");
    options->job_file = value;
    return KMSE_OK;
}

/* One of several options: which one, and in which order, says the list. */
static kmse_st take_job_word(struct kmse_options *options, const char *name,
                             const char *value, struct kmse_why *why)
{
    if (options->job_word_count == KMSE_JOB_WORDS_MAX)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--%s: so many settings want a job file", name);
    options->job_words[options->job_word_count++] =
        (struct kmse_job_word){name, value};
    return KMSE_OK;
}

/* 0 for "default". */
static kmse_st take_time(uint64_t *seconds, const char *option, uint64_t min_s,
                         const char *value, struct kmse_why *why)
{
    int64_t given_s = 0;
    bool is_default = strcmp(value, "default") == 0;
    if (!is_default
        && (!kmse_is_ok(kmse_duration_parse(&given_s, value))
            || (uint64_t)given_s < min_s))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s %s: not a time from %us up to ten years, such as"
                         " 12h, 30d, nor default",
                         option, value, (unsigned)min_s);
    *seconds = (uint64_t)given_s;
    return KMSE_OK;
}

static kmse_st take_destroy_after(struct kmse_options *options,
                                  const char *value, struct kmse_why *why)
{
    return take_time(&options->policy.destroy_after_s, "--destroy-after", 1,
                     value, why);
}

static kmse_st take_census_fence(struct kmse_options *options,
                                 const char *value, struct kmse_why *why)
{
    return take_time(&options->policy.census_fence_s, "--census-fence",
                     KMSE_CENSUS_FENCE_MIN_S, value, why);
}

static kmse_st take_scope(const char **scope, const char *option,
                          const char *value, struct kmse_why *why)
{
    if (!kmse_census_text_is_valid(value, KMSE_SCOPE_MAX))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "%s: not 1 to %d bytes of text in one line", option,
                         KMSE_SCOPE_MAX);
    *scope = value;
    return KMSE_OK;
}

static kmse_st take_record(struct kmse_options *options, const char *value,
                           struct kmse_why *why)
{
    options->record = "";
    if (value == NULL)
        return KMSE_OK;
    return take_scope(&options->record, "--record", value, why);
}

static kmse_st take_forget(struct kmse_options *options, const char *value,
                           struct kmse_why *why)
{
    return take_scope(&options->forget, "--forget", value, why);
}

/* Of those that take no value. */
static void set_flags(struct kmse_options *options)
{
    const uint64_t given = options->given;
    options->all = (given & KMSE_OPTION_ALL) != 0;
    options->if_due = (given & KMSE_OPTION_IF_DUE) != 0;
    options->rotate = (given & KMSE_OPTION_ROTATE) != 0;
    options->undo = (given & KMSE_OPTION_UNDO) != 0;
    options->yes = (given & KMSE_OPTION_YES) != 0;
    options->json = (given & KMSE_OPTION_JSON) != 0;
    options->live = (given & KMSE_OPTION_LIVE) != 0;
    options->all_versions = (given & KMSE_OPTION_ALL_VERSIONS) != 0;
    options->base64 = (given & KMSE_OPTION_BASE64) != 0;
    options->dry_run = (given & KMSE_OPTION_DRY_RUN) != 0;
    options->verify = (given & KMSE_OPTION_VERIFY) != 0;
}

static const struct option_row ROWS[] = {
    {KMSE_OPTION_KEYS, "keys", "DIR", "the folder of key files", take_keys},
    {KMSE_OPTION_MASTER_KEY, "master-key", "URI...",
     "wrap with it; any of several unwraps", take_master_key},
    {KMSE_OPTION_CONTEXT, "context", "NAME=VALUE...",
     "a pair of the KMS encryption context", take_context},
    {KMSE_OPTION_ROTATE_AFTER, "rotate-after", "TIME",
     "a new version is due then: 12h, 90d; or never", take_rotate_after},
    {KMSE_OPTION_MAX_MESSAGES, "max-messages", "N",
     "messages that one process may encrypt under one version",
     take_max_messages},
    {KMSE_OPTION_MAX_BYTES, "max-bytes", "N", "the same, in bytes of plaintext",
     take_max_bytes},
    {KMSE_OPTION_FROM_CIPHERTEXT, "from-ciphertext", "FILE",
     "adopt this data key, wrapped by the first master key",
     take_from_ciphertext},
    {KMSE_OPTION_BLOB_CONTEXT, "blob-context", "NAME=VALUE...",
     "a pair of the context that FILE was made with", take_blob_context},
    {KMSE_OPTION_FROM_PLAINTEXT, "from-plaintext", "-",
     "import the data key from standard input", take_from_plaintext},
    {KMSE_OPTION_ALL, "all", NULL, "every key of DIR whose policy says when",
     NULL},
    {KMSE_OPTION_IF_DUE, "if-due", NULL, "only if its policy says that it is",
     NULL},
    {KMSE_OPTION_ACTIVE_IN, "active-in", "TIME",
     "encrypt with it only then: 90, 90s, 10m, 2h, 7d; now if not given",
     take_active_in},
    {KMSE_OPTION_TO, "to", "URI...",
     "move to this master key, from all that are not named", take_to},
    {KMSE_OPTION_ADD, "add", "URI...", "one more copy, under this master key",
     take_add},
    {KMSE_OPTION_DROP, "drop", "URI...", "no more copy under this master key",
     take_drop},
    {KMSE_OPTION_VERSION, "version", "N", "the number of the version",
     take_version},
    {KMSE_OPTION_ROTATE, "rotate", NULL, "with a new version, in the same step",
     NULL},
    {KMSE_OPTION_UNDO, "undo", NULL, "make it active again", NULL},
    {KMSE_OPTION_YES, "yes", NULL, "do not ask", NULL},
    {KMSE_OPTION_JSON, "json", NULL, "print JSON, for programs", NULL},
    {KMSE_OPTION_CONFIG, "config", "FILE", "in place of the usual one",
     take_config},
    {KMSE_OPTION_SOCKET, "socket", "PATH", "the agent's socket", take_socket},
    {KMSE_OPTION_LIVE, "live", NULL, "ask the agent of this host", NULL},
    {KMSE_OPTION_ALL_VERSIONS, "all-versions", NULL,
     "under each version that is active", NULL},
    {KMSE_OPTION_SIZE, "size", "BYTES", "of a value, 4 to 32; 16 if not given",
     take_size},
    {KMSE_OPTION_BASE64, "base64", NULL, "print base64, not hex", NULL},
    {KMSE_OPTION_JOB, "job", "FILE", "what to work on", take_job_file},
    {KMSE_OPTION_JOB, "database", "URL",
     "postgresql://..., mysql://..., sqlite:FILE; no password in it", NULL},
    {KMSE_OPTION_JOB, "table", "NAME...", "a table, SCHEMA.NAME it may be",
     NULL},
    {KMSE_OPTION_JOB, "column", "NAME...", "its encrypted column", NULL},
    {KMSE_OPTION_JOB, "key", "NAME...", "the key; default-key if not given",
     NULL},
    {KMSE_OPTION_JOB, "aad", "TEXT...",
     "additional data of a row, with {COLUMN} of its primary key", NULL},
    {KMSE_OPTION_JOB, "encoding", "NAME...", "binary, base64 or hex", NULL},
    {KMSE_OPTION_JOB, "primary-key", "NAMES...",
     "columns that make a row, where the table does not say it", NULL},
    {KMSE_OPTION_JOB, "where", "SQL...", "only rows of which this is true",
     NULL},
    {KMSE_OPTION_JOB, "batch", "ROWS", "of one transaction; 1000", NULL},
    {KMSE_OPTION_JOB, "jobs", "N",
     "threads that encrypt, and connections that write; 1", NULL},
    {KMSE_OPTION_JOB, "rate", "ROWS", "a second, at most", NULL},
    {KMSE_OPTION_JOB, "retry-for", "TIME",
     "how long a database may be away; 5m", NULL},
    {KMSE_OPTION_DRY_RUN, "dry-run", NULL,
     "open what would be re-encrypted; write nothing", NULL},
    {KMSE_OPTION_VERIFY, "verify", NULL, "open every row; write nothing", NULL},
    {KMSE_OPTION_DESTROY_AFTER, "destroy-after", "TIME",
     "how long a retired version is held; 30d by default", take_destroy_after},
    {KMSE_OPTION_CENSUS_FENCE, "census-fence", "TIME",
     "what a census waits for, after a rotation; 1m by default",
     take_census_fence},
    {KMSE_OPTION_RECORD, "record", "[SCOPE]",
     "in the key file, as the census of what SCOPE says in words", take_record},
    {KMSE_OPTION_FORGET, "forget", "SCOPE",
     "the census of what is not there any more", take_forget},
};
enum { ROW_COUNT = sizeof(ROWS) / sizeof(ROWS[0]), HELP_VALUE = ROW_COUNT };

static int argument_kind(const char *argument)
{
    if (argument == NULL)
        return no_argument;
    return argument[0] == '[' ? optional_argument : required_argument;
}

/* A word of its own may be the argument that need not be there. */
static const char *argument_of(const struct option_row *row, int argc,
                               char **argv)
{
    bool may_follow = argument_kind(row->argument) == optional_argument
                      && optarg == NULL && optind < argc
                      && argv[optind][0] != '-';
    return may_follow ? argv[optind++] : optarg;
}

/* getopt's table of the options that this verb takes; val is the row. */
static void list_options(struct option out[ROW_COUNT + 2],
                         const struct kmse_verb *verb)
{
    size_t count = 0;
    out[count++] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    for (int row = 0; row < ROW_COUNT; row++) {
        if ((verb->takes & ROWS[row].bit) == 0)
            continue;
        out[count++] = (struct option){
            ROWS[row].name, argument_kind(ROWS[row].argument), NULL, row};
    }
    out[count] = (struct option){0};
}

static kmse_st check_given(const struct kmse_verb *verb, uint64_t given,
                           int operand_count, struct kmse_why *why)
{
    for (size_t row = 0; row < ROW_COUNT; row++) {
        if ((verb->needs & ~given & ROWS[row].bit) != 0)
            return kmse_fail(why, KMSE_R_PARAMETER, "--%s %s is missing",
                             ROWS[row].name, ROWS[row].argument);
    }
    if (operand_count < verb->operands_min)
        return kmse_fail(why, KMSE_R_PARAMETER, "%s is missing",
                         verb->operands);
    if (operand_count > verb->operands_max)
        return kmse_fail(why, KMSE_R_PARAMETER, "too many arguments");
    return KMSE_OK;
}

/* What getopt would have printed, for --help never an error. */
static kmse_st bad_option(int argc, char **argv, bool argument_is_missing,
                          struct kmse_why *why)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    return kmse_fail(why, KMSE_R_PARAMETER,
                     argument_is_missing ? "%s: a value is missing"
                                         : "%s: no such option here",
                     word);
}

kmse_st kmse_options_parse(struct kmse_options *options,
                           const struct kmse_verb *verb, int argc, char **argv,
                           struct kmse_why *why)
{
    struct option known[ROW_COUNT + 2];
    list_options(known, verb);
    *options = (struct kmse_options){.size = KMSE_INDEX_SIZE_DEFAULT};
    optind = 0; /* glibc and musl: begin anew */
    opterr = 0;
    for (;;) {
        int row = getopt_long(argc, argv, ":", known, NULL);
        if (row == -1)
            break;
        if (row == '?' || row == ':')
            return bad_option(argc, argv, row == ':', why);
        if (row == HELP_VALUE) {
            options->help = true;
            return KMSE_OK;
        }
        options->given |= ROWS[row].bit;
        if (ROWS[row].take != NULL)
            KMSE_TRY(ROWS[row].take(options,
                                    argument_of(&ROWS[row], argc, argv), why));
        else if (ROWS[row].bit == KMSE_OPTION_JOB)
            KMSE_TRY(take_job_word(options, ROWS[row].name, optarg, why));
    }
    set_flags(options);
    KMSE_TRY(check_given(verb, options->given, argc - optind, why));
    if (optind < argc) {
        options->operand = argv[optind];
        options->more_operands = &argv[optind + 1];
        options->more_count = (size_t)(argc - optind - 1);
    }
    return verb->check != NULL ? verb->check(options, why) : KMSE_OK;
}

void kmse_options_wipe(struct kmse_options *options)
{
    kmse_kms_context_wipe(&options->context);
    kmse_kms_context_wipe(&options->blob_context);
}

/* The words of the usage line, in lines of at most 80 columns. */
static int print_word(int column, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int print_word(int column, const char *format, ...)
{
    enum { WORD_LEN = 80, COLUMNS = 80, INDENT = 4 };
    char word[WORD_LEN];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(word, sizeof(word), format, args);
    va_end(args);
    if (column + 1 + len > COLUMNS) {
        printf("\n%*s", INDENT - 1, "");
        column = INDENT - 1;
    }
    return column + printf(" %s", word);
}

static void print_usage(const struct kmse_verb *verb)
{
    int column = printf("usage: kms-envelope %s", verb->name);
    if (verb->operands[0] != '\0')
        column = print_word(column, "%s", verb->operands);
    for (size_t row = 0; row < ROW_COUNT; row++) {
        const char *argument = ROWS[row].argument;
        bool needed = (verb->needs & ROWS[row].bit) != 0;
        if ((verb->takes & ROWS[row].bit) == 0)
            continue;
        column =
            print_word(column, "%s--%s%s%s%s", needed ? "" : "[",
                       ROWS[row].name, argument != NULL ? " " : "",
                       argument != NULL ? argument : "", needed ? "" : "]");
    }
    printf("\n\n");
}

static bool is_repeated(const struct option_row *row)
{
    return row->argument != NULL && strstr(row->argument, "...") != NULL;
}

void kmse_options_help(const struct kmse_verb *verb)
{
    print_usage(verb);
    printf("%s\n", verb->summary);
    if (verb->details != NULL)
        printf("%s\n", verb->details);
    bool repeated = false;
    for (size_t row = 0; row < ROW_COUNT; row++) {
        if ((verb->takes & ROWS[row].bit) == 0)
            continue;
        repeated = repeated || is_repeated(&ROWS[row]);
        printf("%s  --%-15s %-13s %s\n",
               verb->takes & (ROWS[row].bit - 1) ? "" : "\n", ROWS[row].name,
               ROWS[row].argument != NULL ? ROWS[row].argument : "",
               ROWS[row].help);
    }
    if (repeated)
        puts("\nWhat ends in ... may be given several times.");
}
