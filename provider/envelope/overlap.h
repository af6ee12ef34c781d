/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_ENVELOPE_OVERLAP_H
#define KMSE_ENVELOPE_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether two ranges share a byte. Compared as integers: two objects. */
static inline bool kmse_overlap(const void *a, size_t a_len, const void *b,
                                size_t b_len)
{
    uintptr_t a_from = (uintptr_t)a, b_from = (uintptr_t)b;
    return a_len > 0 && b_len > 0 && a_from < b_from + b_len
           && b_from < a_from + a_len;
}

#endif
