/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_SIGV4_H
#define KMSE_KMS_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/status.h"

/*
 * AWS Signature Version 4 (IAM User Guide, "Create a signed AWS API request").
 * Pure: no clock, no I/O. Each step of that document is one function.
 * Only what KMS and STS need: path "/", no query string, body in memory.
 */
struct kmse_sigv4_header {
    const char *name;  /* [a-z0-9-]+, each once */
    const char *value; /* printable ASCII */
};
enum { KMSE_SIGV4_HEADERS_MAX = 16 };

struct kmse_sigv4_request {
    const char *method;
    const struct kmse_sigv4_header *headers; /* all are signed, host too */
    size_t header_count;
    const uint8_t *body;
    size_t body_len;
};

enum {
    KMSE_SIGV4_DATE_LEN = sizeof("20150830"),
    KMSE_SIGV4_TIME_LEN = sizeof("20150830T123600Z"),
    KMSE_SIGV4_SIGNATURE_LEN = 2 * KMSE_HMAC_LEN + 1, /* hex and a NUL */
};

/* date/region/service/aws4_request */
struct kmse_sigv4_scope {
    const char *region, *service;
    char time[KMSE_SIGV4_TIME_LEN]; /* also the header x-amz-date */
};
/* Times before 1970 and after 9999 are printed as the first and last in it. */
void kmse_sigv4_time_print(char out[KMSE_SIGV4_TIME_LEN], int64_t wall_s);

/*
 * The caller frees what each gives with free(); a canonical request has the
 * session token in it: wipe it. KMSE_R_PARAMETER: a header, a Region or an
 * access key's id that cannot stand in a request, or too many headers.
 */
kmse_st kmse_sigv4_canonical_request(
    char **canonical, struct kmse_crypto *crypto,
    const struct kmse_sigv4_request *request) KMSE_MUST_CHECK;
kmse_st kmse_sigv4_string_to_sign(char **text, struct kmse_crypto *crypto,
                                  const struct kmse_sigv4_scope *scope,
                                  const char *canonical) KMSE_MUST_CHECK;
/* Wipe it: it signs for a day. On failure it is wiped. */
kmse_st kmse_sigv4_signing_key(uint8_t key[KMSE_HMAC_LEN],
                               struct kmse_crypto *crypto,
                               const struct kmse_sigv4_scope *scope,
                               const char *secret_access_key) KMSE_MUST_CHECK;
kmse_st kmse_sigv4_signature(char signature[KMSE_SIGV4_SIGNATURE_LEN],
                             struct kmse_crypto *crypto,
                             const uint8_t key[KMSE_HMAC_LEN],
                             const char *string_to_sign) KMSE_MUST_CHECK;

/* All steps: the value of the header Authorization. */
kmse_st kmse_sigv4_authorization(char **value, struct kmse_crypto *crypto,
                                 const struct kmse_sigv4_request *request,
                                 const struct kmse_sigv4_scope *scope,
                                 const char *access_key_id,
                                 const char *secret_access_key) KMSE_MUST_CHECK;

#endif
