/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_LOCAL_FILE_H
#define KMSE_KMS_LOCAL_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/status.h"

/* Inside kms: the file of a local master key; docs/kms-local.md. */

enum {
    KMSE_MASTER_ID_LEN = 16,
    KMSE_BACKING_KEYS_MAX = 1000,
    KMSE_MASTER_FILE_MAX = 1 << 20,
};

struct kmse_backing_key {
    int64_t created_s;
    struct kmse_secret key;
};

/* Backing keys number 1, 2, 3, ...: the index, plus 1. At least one. */
struct kmse_master {
    uint8_t id[KMSE_MASTER_ID_LEN];
    struct kmse_backing_key *keys;
    size_t count;
};

/* One more backing key, which is left empty in *key. */
kmse_st kmse_master_add(struct kmse_master *master, int64_t created_s,
                        struct kmse_secret *key) KMSE_MUST_CHECK;
void kmse_master_wipe(struct kmse_master *master);

/*
 * Strict: every field there, each of its type, none unknown, none twice.
 * json[json_len] is NUL. origin names the file in why. KMSE_R_KMS_ANSWER.
 */
kmse_st kmse_master_parse(struct kmse_master *master, const char *json,
                          size_t json_len, struct kmse_pool *pool,
                          const char *origin,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/* The caller wipes and frees *json: kmse_file_free_bytes(*json, *len). */
kmse_st kmse_master_print(uint8_t **json, size_t *len,
                          const struct kmse_master *master) KMSE_MUST_CHECK;

#endif
