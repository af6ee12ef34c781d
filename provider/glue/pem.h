/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_PEM_H
#define KMSE_GLUE_PEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * PEM with our label (RFC 7468), line by line, as OpenSSL's BIOs give it. All
 * other PEM of a process comes by here, too: it is let go at its first line.
 */
enum kmse_pem_state {
    KMSE_PEM_BEFORE, /* no "-----BEGIN " yet */
    KMSE_PEM_INSIDE,
    KMSE_PEM_DONE,  /* "-----END" of ours */
    KMSE_PEM_OTHER, /* somebody else's, or none at all */
};

struct kmse_pem {
    enum kmse_pem_state state;
    char *base64; /* so far, NUL-terminated, or NULL */
    size_t len, size;
    size_t passed_over; /* bytes before the beginning */
};

/*
 * The next line, with or without its end; a long one may come in parts.
 * KMSE_R_ENCODING: what began as ours is not, or is too long.
 */
kmse_st kmse_pem_take_line(struct kmse_pem *pem, const char *line,
                           struct kmse_why *why) KMSE_MUST_CHECK;
/* Once done. The caller frees *der with free(). */
kmse_st kmse_pem_decode(uint8_t **der, size_t *der_len,
                        const struct kmse_pem *pem,
                        struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_pem_wipe(struct kmse_pem *pem);

/* The whole, to be freed with free(). */
kmse_st kmse_pem_print(char **text, const uint8_t *der,
                       size_t der_len) KMSE_MUST_CHECK;

#endif
