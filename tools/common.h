/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_COMMON_H
#define KMSE_TOOLS_COMMON_H

#include "base/cnf.h"
#include "keyring/rotation.h"

/* What the verbs share. Results go to stdout, errors and hints to stderr. */

enum { KMSE_EXIT_DONE = 0, KMSE_EXIT_FAILED = 1, KMSE_EXIT_USAGE = 2 };

extern const char *const kmse_release; /* "0.1.0" */

/* "kms-envelope: <reason>: <why>"; returns KMSE_EXIT_FAILED. */
int kmse_tool_fail(kmse_st st, const struct kmse_why *why);

/* "kms-envelope: <text>", on stderr. */
void kmse_tool_hint(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Whether somebody types the key's name, and so means that key. */
bool kmse_tool_is_meant(const char *name);
/*
 * A script that did not think of --yes must not hang, nor go on:
 * KMSE_R_PARAMETER where there is no terminal to ask at.
 */
kmse_st kmse_tool_check_can_ask(bool yes, struct kmse_why *why) KMSE_MUST_CHECK;

/* Cryptography, key memory and KMS of one run, as rotation.h takes them. */
struct kmse_session {
    struct kmse_rotation rotation;
};
/*
 * folder: of key files, or NULL if none is needed. A KMS is reached as
 * openssl.cnf says in the provider's section, if it has one (KMSE_R_CONFIG_...
 * names file, section and key), else as the environment and AWS's files say.
 */
kmse_st kmse_session_open(struct kmse_session *session, const char *folder,
                          struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_session_close(struct kmse_session *session);

/* What openssl.cnf says of KMSs; the caller wipes *options. */
struct kmse_aws_options;
kmse_st kmse_tool_read_settings(struct kmse_aws_options *options,
                                struct kmse_why *why) KMSE_MUST_CHECK;

/* Now, as key files count it. */
int64_t kmse_session_now(const struct kmse_session *session);

/*
 * The URI in its absolute form (the caller frees *absolute), of a master key
 * that is there: a local one is made if need be, with a hint to back it up.
 */
kmse_st kmse_session_ensure_master(char **absolute,
                                   const struct kmse_session *session,
                                   const char *uri,
                                   struct kmse_why *why) KMSE_MUST_CHECK;

/* Whether a section of openssl.cnf is of this provider. */
bool kmse_cnf_is_ours(const struct kmse_cnf_provider *provider);
/* The value of a key in the section, or NULL. */
const char *kmse_cnf_value(const struct kmse_cnf_provider *provider,
                           const char *name);

/*
 * The folder of key files that openssl.cnf names; the caller frees *folder.
 * KMSE_R_CONFIG_KEYS_FOLDER if it names none.
 */
kmse_st kmse_tool_configured_folder(char **folder,
                                    struct kmse_why *why) KMSE_MUST_CHECK;
/* Its default-key, or NULL; the caller frees *name. */
kmse_st kmse_tool_configured_key(char **name) KMSE_MUST_CHECK;

#endif
