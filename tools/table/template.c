/* SPDX-License-Identifier: Apache-2.0 */
/* The AAD of a row, made of text and of the row's key. */
#include "table/template.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"

static const char HEX[] = ":hex";

/* --- reading ------------------------------------------------------------ */

/* One part of a text: a brace, characters up to the next, or {name}. */
struct word {
    const char *text;
    size_t len;
    bool is_key;
};

static kmse_st bad(const char *text, const char *what, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_PARAMETER, "aad %.200s: %s", text, what);
}

static kmse_st next_word(struct word *word, const char **at, const char *text,
                         struct kmse_why *why)
{
    const char *from = *at;
    if ((from[0] == '{' || from[0] == '}') && from[1] == from[0]) {
        *word = (struct word){from, 1, false};
        *at = from + 2;
        return KMSE_OK;
    }
    if (from[0] == '}')
        return bad(text, "a } without its {; a brace itself is }}", why);
    if (from[0] != '{') {
        *word = (struct word){from, strcspn(from, "{}"), false};
        *at = from + word->len;
        return KMSE_OK;
    }
    size_t len = strcspn(from + 1, "{}");
    if (from[1 + len] != '}' || len == 0)
        return bad(text, "a { without its column and }; a brace itself is {{",
                   why);
    *word = (struct word){from + 1, len, true};
    *at = from + 1 + len + 1;
    return KMSE_OK;
}

kmse_st kmse_template_check(const char *text, struct kmse_why *why)
{
    struct word word;
    for (const char *at = text; *at != '\0';)
        KMSE_TRY(next_word(&word, &at, text, why));
    return KMSE_OK;
}

static bool is_name(const char *name, const struct word *word, size_t len)
{
    return strlen(name) == len && strncmp(name, word->text, len) == 0;
}

static kmse_st find_key(struct kmse_template_part *part,
                        const struct word *word, const char *text,
                        const struct kmse_table *table, struct kmse_why *why)
{
    const size_t suffix = sizeof(HEX) - 1;
    size_t len = word->len;
    part->hex =
        len > suffix && memcmp(word->text + len - suffix, HEX, suffix) == 0;
    if (part->hex)
        len -= suffix;
    for (part->key = 0; part->key < table->key_count; part->key++) {
        if (is_name(table->keys[part->key].name, word, len))
            return KMSE_OK;
    }
    return kmse_fail(why, KMSE_R_PARAMETER,
                     "aad %.200s: {%.*s} is no column of the primary key, "
                     "whose first is %s",
                     text, (int)word->len, word->text, table->keys[0].name);
}

static kmse_st add_part(struct kmse_template *made, const struct word *word,
                        const char *text, const struct kmse_table *table,
                        struct kmse_why *why)
{
    struct kmse_template_part *grown =
        reallocarray(made->parts, made->count + 1, sizeof(*grown));
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->parts = grown;
    struct kmse_template_part *part = &grown[made->count++];
    *part = (struct kmse_template_part){.key = KMSE_TEMPLATE_TEXT};
    if (word->is_key)
        return find_key(part, word, text, table, why);
    part->text = strndup(word->text, word->len);
    return part->text != NULL ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

kmse_st kmse_template_parse(struct kmse_template *template_, const char *text,
                            const struct kmse_table *table,
                            struct kmse_why *why)
{
    struct kmse_template made = {0};
    struct word word = {0};
    kmse_st st = KMSE_OK;
    const char *at = text != NULL ? text : "";
    while (*at != '\0' && kmse_is_ok(st)) {
        st = next_word(&word, &at, text, why);
        if (kmse_is_ok(st))
            st = add_part(&made, &word, text, table, why);
    }
    if (!kmse_is_ok(st)) {
        kmse_template_wipe(&made);
        return st;
    }
    *template_ = made;
    return KMSE_OK;
}

void kmse_template_wipe(struct kmse_template *template_)
{
    for (size_t i = 0; i < template_->count; i++)
        free(template_->parts[i].text);
    free(template_->parts);
    *template_ = (struct kmse_template){0};
}

/* --- bytes -------------------------------------------------------------- */

kmse_st kmse_scratch_reserve(struct kmse_scratch *scratch, size_t len)
{
    enum { LEAST = 256 };
    if (len <= scratch->size)
        return KMSE_OK;
    size_t size = len < SIZE_MAX / 2 ? len * 2 : len;
    kmse_scratch_wipe(scratch);
    scratch->bytes = malloc(size > LEAST ? size : LEAST);
    if (scratch->bytes == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    scratch->size = size > LEAST ? size : LEAST;
    return KMSE_OK;
}

void kmse_scratch_wipe(struct kmse_scratch *scratch)
{
    if (scratch->bytes != NULL)
        OPENSSL_cleanse(scratch->bytes, scratch->size);
    free(scratch->bytes);
    *scratch = (struct kmse_scratch){0};
}

/* --- writing ------------------------------------------------------------ */

static size_t part_len(const struct kmse_template_part *part,
                       const struct kmse_row *row)
{
    if (part->text != NULL)
        return strlen(part->text);
    return row->key[part->key].len * (part->hex ? 2 : 1);
}

static void add_hex(uint8_t *out, const uint8_t *in, size_t len)
{
    static const char DIGITS[] = "0123456789abcdef";
    enum { BITS = 4, LOW = 15 };
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = (uint8_t)DIGITS[in[i] >> BITS];
        out[2 * i + 1] = (uint8_t)DIGITS[in[i] & LOW];
    }
}

static void add_bytes(struct kmse_scratch *out,
                      const struct kmse_template_part *part,
                      const struct kmse_rows *rows, const struct kmse_row *row)
{
    uint8_t *to = out->bytes + out->len;
    size_t len = part_len(part, row);
    const void *from = part->text != NULL
                           ? (const void *)part->text
                           : kmse_rows_at(rows, &row->key[part->key]);
    if (part->hex)
        add_hex(to, from, row->key[part->key].len);
    else if (len > 0)
        memcpy(to, from, len);
    out->len += len;
}

kmse_st kmse_template_render(const struct kmse_template *template_,
                             struct kmse_scratch *out,
                             const struct kmse_rows *rows,
                             const struct kmse_row *row)
{
    size_t len = 0;
    for (size_t i = 0; i < template_->count; i++)
        len += part_len(&template_->parts[i], row);
    KMSE_TRY(kmse_scratch_reserve(out, len));
    out->len = 0;
    for (size_t i = 0; i < template_->count; i++)
        add_bytes(out, &template_->parts[i], rows, row);
    return KMSE_OK;
}
