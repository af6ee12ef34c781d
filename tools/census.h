/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_CENSUS_H
#define KMSE_TOOLS_CENSUS_H

#include "tools/common.h"
#include "tools/options.h"
#include "tools/tally.h"

/* What one place has of the versions of a key. */
struct kmse_count {
    const char *key;
    const char *scope; /* of the record, or NULL */
    struct kmse_keyfile *file;
    struct kmse_version_tally tally;
    int64_t taken_s; /* before the first row was read */
};

/* count->key's file, and an empty tally for its versions, as of now. */
kmse_st kmse_count_init(struct kmse_count *count, const char *folder,
                        struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_count_wipe(struct kmse_count *count);
/* Into the key file. */
kmse_st kmse_count_record(const struct kmse_count *count,
                          const struct kmse_session *session,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/* "versions": [...], "unknown-versions": n, "other": n; false: no memory. */
struct cJSON;
bool kmse_count_add_json(struct cJSON *object, const struct kmse_count *count);
bool kmse_count_add_number(struct cJSON *object, const char *name,
                           uint64_t number);

/* The verb, for the columns of a job. */
int kmse_census_database(const struct kmse_options *options);

#endif
