/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_PAGES_H
#define KMSE_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * Pages for secrets: between guard pages, left out of core dumps, locked into
 * memory where RLIMIT_MEMLOCK allows, wiped when given back. For keys use the
 * pool (secret.h), which puts many on a page.
 */
struct kmse_pages {
    uint8_t *bytes; /* NULL: none */
    size_t len;     /* as asked for */
    bool locked;
    uint8_t *mapping; /* with the guard pages */
    size_t mapping_len;
};

/* Zero bytes. KMSE_R_SECURE_MEMORY. */
kmse_st kmse_pages_init(struct kmse_pages *pages, size_t len) KMSE_MUST_CHECK;
void kmse_pages_wipe(struct kmse_pages *pages);
/* A forked child has the bytes, but not the lock. */
void kmse_pages_lock(struct kmse_pages *pages);

#endif
