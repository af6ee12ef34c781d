/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_BASE_FILE_H
#define KMSE_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

/*
 * Whole small files: read with a cap, replaced atomically, locked.
 * Failures are KMSE_R_FILE with path and errno in why, unless said otherwise.
 */

/*
 * Read a regular file. *bytes gets len bytes and a NUL, the caller frees it
 * (kmse_file_free_bytes wipes first). KMSE_R_FILE_MODE if the file's mode has
 * a bit of forbidden_mode (as 0027: group may not write, others nothing).
 */
kmse_st kmse_file_read(const char *path, size_t max_len, mode_t forbidden_mode,
                       uint8_t **bytes, size_t *len,
                       struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_file_free_bytes(uint8_t *bytes, size_t len);

/*
 * Replace folder/name by these bytes, or leave it as it was: temporary file
 * (folder/.name.new), fsync, rename, fsync of the folder. With mode, and the
 * owner of the file replaced where we may give it. Call it under the lock.
 */
kmse_st kmse_file_replace(const char *folder, const char *name,
                          const uint8_t *bytes, size_t len, mode_t mode,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * An exclusive lock on folder/.name.lock, waited for up to timeout_ms; gone
 * with the process. KMSE_R_KEYFILE_LOCKED when time is up.
 */
kmse_st kmse_file_lock(const char *folder, const char *name,
                       unsigned timeout_ms, int *lock_fd,
                       struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_file_unlock(int lock_fd);

#endif
