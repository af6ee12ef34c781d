/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_SUPPORT_GUARD_H
#define KMSE_SUPPORT_GUARD_H

#include <stddef.h>
#include <stdint.h>

/*
 * Memory whose last byte lies before a page that cannot be touched, so that
 * one byte too many is a crash, in code without a sanitizer too.
 */
struct guard {
    uint8_t *map;
    size_t map_len, usable_len;
};

void guard_open(struct guard *guard, size_t usable_len);
void guard_close(struct guard *guard);
/* The last len bytes before the guard page; len <= usable_len. */
uint8_t *guard_last(const struct guard *guard, size_t len);

#endif
