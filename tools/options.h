/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_OPTIONS_H
#define KMSE_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyring/keyfile.h"
#include "kms/kms.h"

/* Which options a verb takes: a set of bits, in the order of their help. */
#define KMSE_OPTION(bit)            ((uint64_t)1 << (bit))
#define KMSE_OPTION_KEYS            KMSE_OPTION(0)
#define KMSE_OPTION_MASTER_KEY      KMSE_OPTION(1)
#define KMSE_OPTION_CONTEXT         KMSE_OPTION(2)
#define KMSE_OPTION_ROTATE_AFTER    KMSE_OPTION(3)
#define KMSE_OPTION_MAX_MESSAGES    KMSE_OPTION(4)
#define KMSE_OPTION_MAX_BYTES       KMSE_OPTION(5)
#define KMSE_OPTION_FROM_CIPHERTEXT KMSE_OPTION(6)
#define KMSE_OPTION_BLOB_CONTEXT    KMSE_OPTION(7)
#define KMSE_OPTION_FROM_PLAINTEXT  KMSE_OPTION(8)
#define KMSE_OPTION_ALL             KMSE_OPTION(9)
#define KMSE_OPTION_IF_DUE          KMSE_OPTION(10)
#define KMSE_OPTION_ACTIVE_IN       KMSE_OPTION(11)
#define KMSE_OPTION_TO              KMSE_OPTION(12)
#define KMSE_OPTION_ADD             KMSE_OPTION(13)
#define KMSE_OPTION_DROP            KMSE_OPTION(14)
#define KMSE_OPTION_VERSION         KMSE_OPTION(15)
#define KMSE_OPTION_ROTATE          KMSE_OPTION(16)
#define KMSE_OPTION_UNDO            KMSE_OPTION(17)
#define KMSE_OPTION_YES             KMSE_OPTION(18)
#define KMSE_OPTION_JSON            KMSE_OPTION(19)
#define KMSE_OPTION_CONFIG          KMSE_OPTION(20)
#define KMSE_OPTION_SOCKET          KMSE_OPTION(21)
#define KMSE_OPTION_LIVE            KMSE_OPTION(22)
#define KMSE_OPTION_ALL_VERSIONS    KMSE_OPTION(23)
#define KMSE_OPTION_SIZE            KMSE_OPTION(24)
#define KMSE_OPTION_BASE64          KMSE_OPTION(25)
/* A job file, and each setting that it has, too. */
#define KMSE_OPTION_JOB           KMSE_OPTION(26)
#define KMSE_OPTION_DRY_RUN       KMSE_OPTION(27)
#define KMSE_OPTION_VERIFY        KMSE_OPTION(28)
#define KMSE_OPTION_DESTROY_AFTER KMSE_OPTION(29)
#define KMSE_OPTION_CENSUS_FENCE  KMSE_OPTION(30)
#define KMSE_OPTION_RECORD        KMSE_OPTION(31)
#define KMSE_OPTION_FORGET        KMSE_OPTION(32)

/* The table of verbs has one of these for each; one file a verb. */
struct kmse_options;
struct kmse_verb {
    const char *name;
    const char *operands; /* as in the usage line, "" if none */
    const char *summary;  /* one line */
    const char *details;  /* some more, or NULL */
    uint64_t takes;       /* KMSE_OPTION_..., or-ed */
    uint64_t needs;       /* those that must be given */
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
    uint64_t given; /* KMSE_OPTION_..., or-ed */
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
    /* A census's scope; record "": of the columns that are counted. */
    const char *record, *forget;
    const char *operand;        /* the first, or NULL */
    char *const *more_operands; /* and those after it */
    size_t more_count;
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
