/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_DOCTOR_H
#define KMSE_TOOLS_DOCTOR_H

#include "tools/common.h"
#include "tools/usage.h"

/* Inside tools: the checks of doctor, and how they report. */
struct kmse_doctor_master;
struct kmse_doctor {
    unsigned findings;
    struct kmse_doctor_master *masters; /* those that were looked at */
    size_t master_count;
    struct kmse_usage usage;
};
void kmse_doctor_wipe(struct kmse_doctor *doctor);

void kmse_doctor_ok(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
void kmse_doctor_note(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* Something to mend; the next call says how. */
void kmse_doctor_find(struct kmse_doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void kmse_doctor_mend(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/* A finding from a failure, with the mend that its reason has. */
void kmse_doctor_find_failure(struct kmse_doctor *doctor, const char *subject,
                              kmse_st st, const struct kmse_why *why);
/* The same, with that mend. */
void kmse_doctor_find_and_mend(struct kmse_doctor *doctor, const char *subject,
                               kmse_st st, const struct kmse_why *why,
                               const char *mend);
/* The same of a failure with that master key: each KMS has its own mends. */
void kmse_doctor_find_kms_failure(struct kmse_doctor *doctor,
                                  const char *subject, const char *uri,
                                  kmse_st st, const struct kmse_why *why);

/* The configuration file in force; cnf is NULL if it cannot be read. */
void kmse_doctor_check_config(struct kmse_doctor *doctor,
                              const struct kmse_cnf *cnf);
/* Whether the provider of that section loads, and if not, why. */
void kmse_doctor_check_load(struct kmse_doctor *doctor,
                            const struct kmse_cnf *cnf,
                            const struct kmse_cnf_provider *provider);
/*
 * How a master key is reached, and its state: told when it is first met. False
 * if no copy under it can be opened now, which is a finding already.
 */
bool kmse_doctor_check_master(struct kmse_doctor *doctor,
                              const struct kmse_session *session,
                              const char *uri);
/* Whether the agent at that path lends every key of the folder to this user. */
void kmse_doctor_check_agent(struct kmse_doctor *doctor, const char *folder,
                             const char *path);
/* A folder of key files, every key, version and wrapped copy in it. */
void kmse_doctor_check_folder(struct kmse_doctor *doctor, const char *folder,
                              const char *default_key);

#endif
