/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_PKEY_FORM_H
#define KMSE_GLUE_PKEY_FORM_H

#include <stddef.h>
#include <stdint.h>

#include "glue/reference.h"

/*
 * A key as a file, so that it travels: in DER (X.690)
 *
 *   KmsEnvelopeKey ::= SEQUENCE {
 *       format   UTF8String,              -- "kms-envelope reference 1"
 *       key      UTF8String,              -- kms-envelope:NAME[?version=N]
 *       id       OCTET STRING (SIZE(16)), -- the key's
 *       keyFile  OCTET STRING OPTIONAL    -- kms-envelope-keyfile(5), JSON
 *   }
 *
 * and, as people see it, in PEM (RFC 7468) with the label KMS-ENVELOPE KEY.
 * Nothing of it is secret: what the key file holds is wrapped.
 */
#define KMSE_PEM_LABEL      "KMS-ENVELOPE KEY"
#define KMSE_FORM_STRUCTURE "kms-envelope"

struct kmse_pkey_form {
    struct kmse_reference reference; /* with_copies: there is a key file */
    uint8_t id[KMSE_KEY_ID_LEN];
    char *key_file; /* with a NUL after it, or NULL */
    size_t key_file_len;
};
void kmse_pkey_form_wipe(struct kmse_pkey_form *form);

/*
 * Strict: DER to the last byte, and a key file of that key. Whatever it is read
 * from, this much of it says whether it is one, and how long.
 * KMSE_R_ENCODING, or the reason that the key file is none; *form on success.
 */
enum { KMSE_FORM_HEAD_LEN = 31, KMSE_FORM_MAX = 5 << 20 };
bool kmse_pkey_form_head(const uint8_t head[KMSE_FORM_HEAD_LEN],
                         size_t *total_len);
kmse_st kmse_pkey_form_parse(struct kmse_pkey_form *form, const uint8_t *der,
                             size_t der_len,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* The caller frees *der with free(). */
kmse_st kmse_pkey_form_print(uint8_t **der, size_t *der_len,
                             const struct kmse_pkey_form *form) KMSE_MUST_CHECK;

#endif
