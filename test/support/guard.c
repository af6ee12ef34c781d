/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that end at a page which cannot be touched. */
#include "support/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void guard_open(struct guard *guard, size_t usable_len)
{
    size_t page_len = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (usable_len + page_len - 1) / page_len;
    guard->usable_len = pages * page_len;
    guard->map_len = guard->usable_len + page_len;
    void *map = mmap(NULL, guard->map_len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED
        || mprotect((uint8_t *)map + guard->usable_len, page_len, PROT_NONE)
               != 0) {
        perror("guard pages");
        exit(EXIT_FAILURE);
    }
    guard->map = map;
}

void guard_close(struct guard *guard)
{
    munmap(guard->map, guard->map_len);
}

uint8_t *guard_last(const struct guard *guard, size_t len)
{
    return guard->map + guard->usable_len - len;
}
