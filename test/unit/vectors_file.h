/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_UNIT_VECTORS_FILE_H
#define KMSE_TEST_UNIT_VECTORS_FILE_H

#include "test.h"

#include <cjson/cJSON.h>

#include "base/crypto.h"
#include "base/secret.h"

/* A file of test/vectors, and what its entries are made with. */
extern struct kmse_crypto *crypto;
extern struct kmse_pool *pool;

struct bytes {
    uint8_t *at;
    size_t len;
};

int vectors_open(const char *path);
void vectors_close(void);

/* A list of the file; it has entries. */
const cJSON *list_of(const char *name);
const char *text_of(const cJSON *item, const char *field);
/* bytes.at: to be freed. */
struct bytes bytes_of(const cJSON *item, const char *field);
/* The data key of an entry. */
struct kmse_secret data_key_of(const struct bytes *data_key);

#endif
