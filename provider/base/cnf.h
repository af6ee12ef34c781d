/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_CNF_H
#define KMSE_BASE_CNF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * The providers that an OpenSSL configuration file names (config(5)), as
 * OpenSSL itself would read them: for telling what it does not tell.
 */
struct kmse_cnf;

struct kmse_cnf_pair {
    const char *name, *value;
};

struct kmse_cnf_provider {
    const char *root;    /* "openssl_conf", "nodejs_conf", ... */
    const char *name;    /* in the list of providers, or its identity */
    const char *section; /* the section with its keys */
    const char *module;  /* or NULL */
    bool activate;
    const struct kmse_cnf_pair *pairs; /* every key of the section */
    size_t pair_count;
};

/*
 * path NULL: the file in force (OPENSSL_CONF, or the built-in one).
 * KMSE_R_FILE if it cannot be read or parsed; why names file and line.
 */
kmse_st kmse_cnf_open(struct kmse_cnf **cnf, const char *path,
                      struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_cnf_close(struct kmse_cnf *cnf);

const char *kmse_cnf_path(const struct kmse_cnf *cnf);
size_t kmse_cnf_provider_count(const struct kmse_cnf *cnf);
/* Lives as long as cnf. */
const struct kmse_cnf_provider *kmse_cnf_provider(const struct kmse_cnf *cnf,
                                                  size_t index);

#endif
