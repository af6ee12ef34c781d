/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TABLE_JOB_H
#define KMSE_TABLE_JOB_H

#include "table/database.h"
#include "table/encoding.h"

/*
 * What to work on: a database, and columns of it. A job file says it in the
 * format of openssl.cnf (config(5)); kms-envelope(1) explains every key.
 *   [job]          database, keys, batch, jobs, rate, retry-for
 *   [column NAME]  table, column, primary-key, key, encoding, aad, where
 * The command line says the same with options of the same names.
 */
enum { KMSE_JOB_COLUMNS_MAX = 64 };

struct kmse_job_column {
    char *name; /* of its section; "" on the command line */
    char *table, *column;
    char *keys;  /* of the primary key, commas between them, or NULL */
    char *key;   /* our key's name; "": the default key */
    char *aad;   /* a template, or NULL */
    char *where; /* SQL, or NULL */
    enum kmse_encoding encoding;
    struct kmse_column spec; /* the same for a database; its own strings' */
    char *key_names;         /* keys, taken apart */
};

struct kmse_job {
    char *database; /* a URL */
    char *keys;     /* the folder of key files, or NULL: as openssl.cnf says */
    uint64_t batch; /* rows */
    uint64_t jobs;
    uint64_t rate; /* rows a second; 0: as fast as it goes */
    uint64_t retry_ms;
    struct kmse_job_column *columns;
    size_t column_count;
};

/* All defaults. */
void kmse_job_init(struct kmse_job *job);
void kmse_job_wipe(struct kmse_job *job);

/*
 * One setting, as both forms have them. "table" begins a new column; settings
 * of a column are of the last one. KMSE_R_CONFIG_KEY, KMSE_R_CONFIG_VALUE with
 * "key = value: must be ..." in why.
 */
kmse_st kmse_job_set(struct kmse_job *job, const char *key, const char *value,
                     struct kmse_why *why) KMSE_MUST_CHECK;
/* When all is set: KMSE_R_CONFIG_VALUE names what is missing. */
kmse_st kmse_job_finish(struct kmse_job *job,
                        struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * A job file's bytes; bytes[len] is NUL. Columns are in the order of their
 * sections' names. All or nothing; unknown sections and keys are failures that
 * name file, section and key. Not finished: the command line may say more.
 */
kmse_st kmse_job_parse(struct kmse_job *job, const char *bytes, size_t len,
                       const char *origin,
                       struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_job_read(struct kmse_job *job, const char *path,
                      struct kmse_why *why) KMSE_MUST_CHECK;

#endif
