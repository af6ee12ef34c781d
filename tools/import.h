/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_IMPORT_H
#define KMSE_TOOLS_IMPORT_H

#include "base/secret.h"
#include "kms/kms.h"

/* Data keys that are there before their key: wrapped, in a file, or plain. */

enum kmse_import_form {
    KMSE_IMPORT_BINARY,
    KMSE_IMPORT_HEX,
    KMSE_IMPORT_BASE64,
};
const char *kmse_import_form_name(enum kmse_import_form form);

/*
 * A wrapped data key. Text must be base64, in one line or several; all else is
 * the blob itself. KMSE_R_ENCODING: text of another kind, or too long.
 */
kmse_st kmse_import_blob_parse(struct kmse_blob *blob,
                               enum kmse_import_form *form,
                               const uint8_t *bytes, size_t len,
                               struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_import_blob_read(struct kmse_blob *blob,
                              enum kmse_import_form *form, const char *path,
                              struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * A data key: 32 bytes, or, with a line's end behind it or not, 64 hex digits
 * or base64. KMSE_R_ENCODING: anything else; why does not quote it. 32 hex
 * digits are 16 bytes, written by somebody who takes them for 32: refused.
 */
kmse_st kmse_import_key_parse(struct kmse_secret *data_key,
                              struct kmse_pool *pool,
                              enum kmse_import_form *form, const uint8_t *bytes,
                              size_t len, struct kmse_why *why) KMSE_MUST_CHECK;
/* To the end of fd, which is no terminal; by way of no other memory. */
kmse_st kmse_import_key_read(struct kmse_secret *data_key,
                             struct kmse_pool *pool,
                             enum kmse_import_form *form, int fd,
                             struct kmse_why *why) KMSE_MUST_CHECK;

#endif
