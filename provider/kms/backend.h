/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_BACKEND_H
#define KMSE_KMS_BACKEND_H

#include "kms/kms.h"

/* Inside kms: what a backend is. A new one is one more row in kms.c. */

struct kmse_aws;

/* What every call needs. location is the URI without its scheme. */
struct kmse_kms_call {
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    const struct kmse_clock *clock;
    struct kmse_aws *aws;
    const char *uri;
    const char *location;
    char *request_id; /* KMSE_KMS_REQUEST_ID_LEN to write to, or NULL */
};

/*
 * Outputs are written only on success, and why is always set on failure. A
 * function that is NULL is not possible with this KMS; generate and rewrap are
 * made of the others then.
 */
struct kmse_kms_backend {
    const char *scheme; /* with its colon */

    /* The caller frees *resolved. */
    kmse_st (*resolve)(const struct kmse_kms_call *call, char **resolved,
                       struct kmse_why *why);
    kmse_st (*ensure)(const struct kmse_kms_call *call, bool *made,
                      struct kmse_why *why);
    kmse_st (*rotate_master)(const struct kmse_kms_call *call,
                             struct kmse_why *why);
    kmse_st (*generate)(const struct kmse_kms_call *call,
                        const struct kmse_kms_context *context,
                        struct kmse_secret *data_key, struct kmse_blob *blob,
                        struct kmse_why *why);
    kmse_st (*wrap)(const struct kmse_kms_call *call,
                    const struct kmse_kms_context *context,
                    const struct kmse_secret *data_key, struct kmse_blob *blob,
                    struct kmse_why *why);
    kmse_st (*unwrap)(const struct kmse_kms_call *call,
                      const struct kmse_kms_context *context,
                      const struct kmse_blob *blob,
                      struct kmse_secret *data_key, struct kmse_why *why);
    /* Both URIs are of this backend. */
    kmse_st (*rewrap)(const struct kmse_kms_call *from,
                      const struct kmse_kms_context *from_context,
                      const struct kmse_blob *from_blob,
                      const struct kmse_kms_call *to,
                      const struct kmse_kms_context *to_context,
                      struct kmse_blob *to_blob, struct kmse_why *why);
    kmse_st (*describe)(const struct kmse_kms_call *call,
                        struct kmse_kms_description *description,
                        struct kmse_why *why);
    kmse_st (*access)(const struct kmse_kms_call *call,
                      char out[KMSE_KMS_ACCESS_LEN], struct kmse_why *why);
};

extern const struct kmse_kms_backend kmse_kms_local;
extern const struct kmse_kms_backend kmse_kms_aws;

/*
 * The encryption context as bytes that no other context has: the number of
 * pairs, then each name and value behind its length, all lengths be32.
 * The caller frees *bytes.
 */
kmse_st
kmse_kms_context_encode(uint8_t **bytes, size_t *len,
                        const struct kmse_kms_context *context) KMSE_MUST_CHECK;

#endif
