/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption contexts, and blobs. */
#include "kms/backend.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>

#include "base/bytes.h"

/* AWS KMS takes encryption contexts of up to 8192 characters in all. */
enum { CONTEXT_MAX = 8192, LENGTH_LEN = 4 };

bool kmse_text_is_utf8(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;
    while (len > 0) {
        unsigned long character = 0;
        int used = UTF8_getc(at, (int)len, &character);
        if (used <= 0)
            return false;
        at += used;
        len -= (size_t)used;
    }
    return true;
}

static size_t context_len(const struct kmse_kms_context *context)
{
    size_t len = 0;
    for (size_t i = 0; i < context->count; i++)
        len += strlen(context->pairs[i].name) + strlen(context->pairs[i].value);
    return len;
}

/* Where the name belongs; KMSE_R_PARAMETER if it is there already. */
static kmse_st find_place(size_t *place, const struct kmse_kms_context *context,
                          const char *name)
{
    size_t i = 0;
    int order = -1;
    while (i < context->count
           && (order = strcmp(context->pairs[i].name, name)) < 0)
        i++;
    if (i < context->count && order == 0)
        return KMSE_ERR(KMSE_R_PARAMETER);
    *place = i;
    return KMSE_OK;
}

static kmse_st insert(struct kmse_kms_context *context, size_t place,
                      struct kmse_kms_pair pair)
{
    struct kmse_kms_pair *pairs =
        realloc(context->pairs, (context->count + 1) * sizeof(*pairs));
    if (pairs == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    memmove(pairs + place + 1, pairs + place,
            (context->count - place) * sizeof(*pairs));
    pairs[place] = pair;
    context->pairs = pairs;
    context->count++;
    return KMSE_OK;
}

kmse_st kmse_kms_context_add(struct kmse_kms_context *context, const char *name,
                             const char *value)
{
    size_t name_len = strlen(name);
    size_t value_len = strlen(value);
    if (name_len == 0 || name_len > CONTEXT_MAX || value_len > CONTEXT_MAX
        || context_len(context) + name_len + value_len > CONTEXT_MAX
        || !kmse_text_is_utf8(name, name_len)
        || !kmse_text_is_utf8(value, value_len))
        return KMSE_ERR(KMSE_R_PARAMETER);
    size_t place = 0;
    KMSE_TRY(find_place(&place, context, name));

    struct kmse_kms_pair pair = {strdup(name), strdup(value)};
    kmse_st st = KMSE_ERR(KMSE_R_MEMORY);
    if (pair.name != NULL && pair.value != NULL)
        st = insert(context, place, pair);
    if (!kmse_is_ok(st)) {
        free(pair.value);
        free(pair.name);
    }
    return st;
}

kmse_st kmse_kms_context_copy(struct kmse_kms_context *to,
                              const struct kmse_kms_context *from)
{
    struct kmse_kms_context copy = {0};
    for (size_t i = 0; i < from->count; i++) {
        kmse_st st = kmse_kms_context_add(&copy, from->pairs[i].name,
                                          from->pairs[i].value);
        if (!kmse_is_ok(st)) {
            kmse_kms_context_wipe(&copy);
            return st;
        }
    }
    *to = copy;
    return KMSE_OK;
}

bool kmse_kms_context_equal(const struct kmse_kms_context *a,
                            const struct kmse_kms_context *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->pairs[i].name, b->pairs[i].name) != 0
            || strcmp(a->pairs[i].value, b->pairs[i].value) != 0)
            return false;
    }
    return true;
}

void kmse_kms_context_wipe(struct kmse_kms_context *context)
{
    for (size_t i = 0; i < context->count; i++) {
        free(context->pairs[i].name);
        free(context->pairs[i].value);
    }
    free(context->pairs);
    *context = (struct kmse_kms_context){0};
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t len = strlen(text);
    kmse_store_be32(at, (uint32_t)len);
    memcpy(at + LENGTH_LEN, text, len);
    return at + LENGTH_LEN + len;
}

kmse_st kmse_kms_context_encode(uint8_t **bytes, size_t *len,
                                const struct kmse_kms_context *context)
{
    size_t size =
        LENGTH_LEN + context_len(context) + context->count * 2 * LENGTH_LEN;
    uint8_t *out = malloc(size);
    if (out == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);

    kmse_store_be32(out, (uint32_t)context->count);
    uint8_t *at = out + LENGTH_LEN;
    for (size_t i = 0; i < context->count; i++) {
        at = put_text(at, context->pairs[i].name);
        at = put_text(at, context->pairs[i].value);
    }
    *bytes = out;
    *len = size;
    return KMSE_OK;
}

kmse_st kmse_blob_copy(struct kmse_blob *to, const struct kmse_blob *from)
{
    uint8_t *bytes = malloc(from->len + 1); /* never of size 0 */
    if (bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (from->len > 0)
        memcpy(bytes, from->bytes, from->len);
    *to = (struct kmse_blob){.bytes = bytes, .len = from->len};
    return KMSE_OK;
}

void kmse_blob_wipe(struct kmse_blob *blob)
{
    free(blob->bytes);
    *blob = (struct kmse_blob){0};
}
