/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_REFERENCE_H
#define KMSE_GLUE_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kms_envelope/format.h"
#include "kms_envelope/params.h"

/*
 * What a URI says of a key:
 *   kms-envelope:                    all keys of the folder
 *   kms-envelope:NAME                one of them
 *   kms-envelope:NAME?version=2      that version of it alone
 *   kms-envelope:NAME?copies=yes     as a file (PEM), with its wrapped copies
 * Both with "&" between. Nothing is escaped: names have no need of it.
 */
struct kmse_reference {
    char name[KMSE_KEY_NAME_MAX + 1]; /* "": all keys */
    uint32_t version;                 /* 0: as the message says, or newest */
    bool with_copies;
};

/* The longest, with its NUL. */
enum {
    KMSE_REFERENCE_LEN = sizeof(KMSE_STORE_SCHEME ":") + KMSE_KEY_NAME_MAX
                         + sizeof("?version=16777215&copies=yes")
};

/*
 * Strict: the scheme in any case, the rest as above, nothing twice.
 * KMSE_R_PARAMETER, with the URI printably in why; *reference on success.
 */
kmse_st kmse_reference_parse(struct kmse_reference *reference, const char *uri,
                             struct kmse_why *why) KMSE_MUST_CHECK;
/* So that it is read again as the same. */
void kmse_reference_print(char out[KMSE_REFERENCE_LEN],
                          const struct kmse_reference *reference);

#endif
