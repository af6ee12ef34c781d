/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers, read from a file of test/vectors. */
#include "vectors_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "kms_envelope/format.h"

enum { FILE_MAX = 1 << 20 };

struct kmse_crypto *crypto;
struct kmse_pool *pool;
static cJSON *vectors;

int vectors_open(const char *path)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct kmse_why why = {.text = ""};
    if (!kmse_is_ok(kmse_crypto_new(&crypto, NULL, false))
        || !kmse_is_ok(kmse_pool_new(&pool))
        || !kmse_is_ok(kmse_file_read(path, FILE_MAX, 0, &bytes, &len, &why))) {
        print_error("%s: %s\n", path, why.text);
        return -1;
    }
    vectors = cJSON_Parse((const char *)bytes);
    kmse_file_free_bytes(bytes, len);
    return vectors != NULL ? 0 : -1;
}

void vectors_close(void)
{
    cJSON_Delete(vectors);
    kmse_pool_free(pool);
    kmse_crypto_free(crypto);
}

const cJSON *list_of(const char *name)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(vectors, name);
    assert_true(cJSON_GetArraySize(list) > 0);
    return list;
}

const char *text_of(const cJSON *item, const char *field)
{
    const char *text =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, field));
    if (text == NULL)
        fail_msg("an entry has no \"%s\"", field);
    return text;
}

struct bytes bytes_of(const cJSON *item, const char *field)
{
    const char *hex = text_of(item, field);
    struct bytes bytes = {.len = strlen(hex) / 2};
    /* calloc(0) may be NULL. */
    bytes.at = calloc(bytes.len + 1, 1);
    assert_non_null(bytes.at);
    expect_ok(kmse_hex_decode(bytes.at, bytes.len, hex));
    return bytes;
}

struct kmse_secret data_key_of(const struct bytes *data_key)
{
    struct kmse_secret secret = {0};
    assert_int_equal(data_key->len, KMSE_DATA_KEY_LEN);
    expect_ok(kmse_secret_init(&secret, pool));
    memcpy(secret.bytes, data_key->at, KMSE_DATA_KEY_LEN);
    return secret;
}
