/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_PROGRESS_H
#define KMSE_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How far a column is. */
struct kmse_progress {
    const char *what;   /* "users.email" */
    uint64_t rows;      /* so far */
    uint64_t estimated; /* in all, or 0 */
    uint64_t elapsed_ms;
};

enum { KMSE_PROGRESS_LEN = 160 };

/*
 * "users.email  [#####.......]  43 %  430000 rows  95000/s  0:06 left"; the
 * bar only if with_bar. What is not known is left out.
 */
void kmse_progress_print(char out[KMSE_PROGRESS_LEN],
                         const struct kmse_progress *progress, bool with_bar);

/* Rows a second; 0 before the first. */
uint64_t kmse_progress_rate(const struct kmse_progress *progress);

/* A key's bytes for people: what is not printable ASCII, \ and blanks are
 * \xNN. Ends with "..." where out is too small. */
void kmse_progress_key(char *out, size_t out_size, const uint8_t *in,
                       size_t in_len);

#endif
