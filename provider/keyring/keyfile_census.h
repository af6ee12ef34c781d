/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KEYRING_KEYFILE_CENSUS_H
#define KMSE_KEYRING_KEYFILE_CENSUS_H

#include <cjson/cJSON.h>

#include "keyring/keyfile.h"

/* Inside keyring: a key file's "censuses", which need not be there. */

enum { KMSE_CENSUS_FIELD_LEN = 64 };

/*
 * Strict, as kmse_keyfile_parse, once the file's versions are read. On
 * KMSE_R_KEYFILE_FIELD, field and *problem say what is wrong. What was read is
 * the file's in any case.
 */
kmse_st kmse_censuses_read(struct kmse_keyfile *file, const cJSON *root,
                           char field[KMSE_CENSUS_FIELD_LEN],
                           const char **problem) KMSE_MUST_CHECK;
/* false: no memory. A file without censuses gets no member. */
bool kmse_censuses_add(cJSON *root, const struct kmse_keyfile *file);

/* A time that much later, as far as key files can say it. */
int64_t kmse_time_after(int64_t wall_s, int64_t later_s);

#endif
