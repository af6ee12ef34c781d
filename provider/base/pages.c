/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded, locked, undumped pages. */
#include "base/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

kmse_st kmse_pages_init(struct kmse_pages *pages, size_t len)
{
    size_t page_len = (size_t)sysconf(_SC_PAGESIZE);
    size_t data_len = (len + page_len - 1) / page_len * page_len;
    size_t mapping_len = data_len + 2 * page_len;
    void *mapping =
        mmap(NULL, mapping_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return KMSE_ERR(KMSE_R_SECURE_MEMORY);
    uint8_t *bytes = (uint8_t *)mapping + page_len;
    /* Out of core dumps is a promise, locked is best effort: SECURITY.md. */
    if (mprotect(bytes, data_len, PROT_READ | PROT_WRITE) != 0
        || madvise(bytes, data_len, MADV_DONTDUMP) != 0) {
        munmap(mapping, mapping_len);
        return KMSE_ERR(KMSE_R_SECURE_MEMORY);
    }
    *pages = (struct kmse_pages){
        .bytes = bytes,
        .len = len,
        .mapping = mapping,
        .mapping_len = mapping_len,
    };
    kmse_pages_lock(pages);
    return KMSE_OK;
}

void kmse_pages_wipe(struct kmse_pages *pages)
{
    if (pages->bytes == NULL)
        return;
    OPENSSL_cleanse(pages->bytes, pages->len);
    munmap(pages->mapping, pages->mapping_len);
    *pages = (struct kmse_pages){0};
}

void kmse_pages_lock(struct kmse_pages *pages)
{
    pages->locked = mlock(pages->bytes, pages->len) == 0;
}
