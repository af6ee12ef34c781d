/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_OPTIONS_H
#define KMSE_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyring/keyfile.h"
#include "kms/kms.h"

/* Which options a verb takes: in the order of their help. */
enum kmse_option {
    KMSE_OPTION_KEYS = 1 << 0,
    KMSE_OPTION_MASTER_KEY = 1 << 1,
    KMSE_OPTION_CONTEXT = 1 << 2,
    KMSE_OPTION_ROTATE_AFTER = 1 << 3,
    KMSE_OPTION_MAX_MESSAGES = 1 << 4,
    KMSE_OPTION_MAX_BYTES = 1 << 5,
    KMSE_OPTION_FROM_CIPHERTEXT = 1 << 6,
    KMSE_OPTION_BLOB_CONTEXT = 1 << 7,
    KMSE_OPTION_FROM_PLAINTEXT = 1 << 8,
    KMSE_OPTION_ALL = 1 << 9,
    KMSE_OPTION_IF_DUE = 1 << 10,
    KMSE_OPTION_ACTIVE_IN = 1 << 11,
    KMSE_OPTION_TO = 1 << 12,
    KMSE_OPTION_ADD = 1 << 13,
    KMSE_OPTION_DROP = 1 << 14,
    KMSE_OPTION_VERSION = 1 << 15,
    KMSE_OPTION_ROTATE = 1 << 16,
    KMSE_OPTION_UNDO = 1 << 17,
    KMSE_OPTION_YES = 1 << 18,
    KMSE_OPTION_JSON = 1 << 19,
    KMSE_OPTION_CONFIG = 1 << 20,
    KMSE_OPTION_SOCKET = 1 << 21,
    KMSE_OPTION_LIVE = 1 << 22,
    KMSE_OPTION_ALL_VERSIONS = 1 << 23,
    KMSE_OPTION_SIZE = 1 << 24,
    KMSE_OPTION_BASE64 = 1 << 25,
    KMSE_OPTION_JOB = 1 << 26, /* a job file, and each that it has, too */
    KMSE_OPTION_DRY_RUN = 1 << 27,
    KMSE_OPTION_VERIFY = 1 << 28,
};

/* The table of verbs has one of these for each; one file a verb. */
struct kmse_options;
struct kmse_verb {
    const char *name;
    const char *operands; /* as in the usage line, "" if none */
    const char *summary;  /* one line */
    const char *details;  /* some more, or NULL */
    unsigned takes;       /* enum kmse_option, or-ed */
    unsigned needs;       /* those that must be given */
    int operands_min, operands_max;
    /* Whether the options go together, or NULL: all do. */
    kmse_st (*check)(const struct kmse_options *options, struct kmse_why *why);
    int (*run)(const struct kmse_options *options);
};

enum { KMSE_MASTER_KEYS_MAX = 16 };

/* The URIs of an option that may be given several times. */
struct kmse_uris {
    const char *list[KMSE_MASTER_KEYS_MAX];
    size_t count;
};

/* Settings of a job, as they were given: table/job.h. */
enum { KMSE_JOB_WORDS_MAX = 256 };
struct kmse_job_word {
    const char *name, *value;
};

/* A parsed command line. Strings are argv's. */
struct kmse_options {
    bool help;
    unsigned given; /* enum kmse_option, or-ed */
    const char *keys;
    struct kmse_uris master_keys;
    struct kmse_kms_context context;
    struct kmse_policy policy;
    const char *from_ciphertext;
    struct kmse_kms_context blob_context;
    bool from_plaintext; /* of standard input */
    bool all, if_due;
    int64_t active_in_s;
    struct kmse_uris to, add, drop;
    uint32_t version;
    bool rotate, undo, yes;
    bool json;
    const char *config;
    const char *socket;
    bool live;
    bool all_versions, base64;
    size_t size; /* KMSE_INDEX_SIZE_DEFAULT, if not given */
    const char *job_file;
    struct kmse_job_word job_words[KMSE_JOB_WORDS_MAX];
    size_t job_word_count;
    bool dry_run, verify;
    const char *operand; /* the first, or NULL */
};

/*
 * argv[0] is the verb. KMSE_R_PARAMETER with what is wrong in why; options
 * must be wiped in any case.
 */
kmse_st kmse_options_parse(struct kmse_options *options,
                           const struct kmse_verb *verb, int argc, char **argv,
                           struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_options_wipe(struct kmse_options *options);

/* To stdout: the help for a verb, from the tables. */
void kmse_options_help(const struct kmse_verb *verb);

#endif
