/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys from outside: what is accepted is written in one way alone. */
#include "fuzz.h"

#include "base/bytes.h"
#include "tools/import.h"

/* data without its end of line is text, but for the case of hex digits. */
static void check_is_text(const uint8_t *data, size_t size, const char *text,
                          bool any_case)
{
    size_t len = strlen(text);
    FUZZ_CHECK(size >= len);
    for (size_t i = 0; i < len; i++) {
        uint8_t c = data[i];
        if (any_case && c >= 'A' && c <= 'F')
            c = (uint8_t)(c - 'A' + 'a');
        FUZZ_CHECK(c == (uint8_t)text[i]);
    }
    size_t end = size - len;
    FUZZ_CHECK(end == 0 || (end == 1 && data[len] == '\n')
               || (end == 1 && data[len] == '\r')
               || (end == 2 && memcmp(data + len, "\r\n", 2) == 0));
}

static void check_key(const uint8_t *data, size_t size,
                      const struct kmse_secret *key, enum kmse_import_form form)
{
    char hex[2 * KMSE_SECRET_LEN + 1], *base64 = NULL;
    switch (form) {
    case KMSE_IMPORT_BINARY:
        FUZZ_CHECK(size == KMSE_SECRET_LEN);
        FUZZ_CHECK(memcmp(key->bytes, data, size) == 0);
        break;
    case KMSE_IMPORT_HEX:
        kmse_hex_encode(hex, key->bytes, KMSE_SECRET_LEN);
        check_is_text(data, size, hex, true);
        break;
    case KMSE_IMPORT_BASE64:
        FUZZ_OK(kmse_base64_encode(&base64, key->bytes, KMSE_SECRET_LEN));
        check_is_text(data, size, base64, false);
        free(base64);
        break;
    }
}

static void try_key(const uint8_t *data, size_t size)
{
    static struct kmse_pool *pool;
    struct kmse_secret key = {0};
    enum kmse_import_form form = KMSE_IMPORT_BINARY;
    struct kmse_why why = {.text = ""};
    if (pool == NULL)
        FUZZ_OK(kmse_pool_new(&pool));
    kmse_st st = kmse_import_key_parse(&key, pool, &form, data, size, &why);
    if (kmse_is_ok(st)) {
        check_key(data, size, &key, form);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_ENCODING && key.bytes == NULL);
        FUZZ_CHECK(why.text[0] != '\0');
    }
    kmse_secret_wipe(&key);
}

/* Base64 that is written again is what there was, its line ends left out. */
static void check_blob_text(const uint8_t *data, size_t size,
                            const struct kmse_blob *blob)
{
    char *base64 = NULL;
    size_t at = 0;
    FUZZ_OK(kmse_base64_encode(&base64, blob->bytes, blob->len));
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\r' && data[i] != '\n')
            FUZZ_CHECK(data[i] == (uint8_t)base64[at++]);
    }
    FUZZ_CHECK(base64[at] == '\0');
    free(base64);
}

static void try_blob(const uint8_t *data, size_t size)
{
    struct kmse_blob blob = {0};
    enum kmse_import_form form = KMSE_IMPORT_HEX;
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_import_blob_parse(&blob, &form, data, size, &why);
    if (!kmse_is_ok(st)) {
        FUZZ_CHECK(st.reason == KMSE_R_ENCODING && blob.bytes == NULL);
        return;
    }
    FUZZ_CHECK(blob.len > 0 && blob.len <= KMSE_BLOB_MAX);
    if (form == KMSE_IMPORT_BASE64)
        check_blob_text(data, size, &blob);
    else
        FUZZ_CHECK(form == KMSE_IMPORT_BINARY && blob.len == size
                   && memcmp(blob.bytes, data, size) == 0);
    kmse_blob_wipe(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Exactly so many bytes: a sanitizer sees each one too many. */
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    FUZZ_CHECK(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    try_key(bytes, size);
    try_blob(bytes, size);
    free(bytes);
    return 0;
}
