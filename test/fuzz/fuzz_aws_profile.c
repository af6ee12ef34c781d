/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS's shared files, the kind in the first byte: what is accepted is found by
 * its names, and written anew it is read as the same.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "kms/aws_profile_sections.h"

enum { QUOTED = 4, LINE_EXTRA = 32 };

/* --- written anew ------------------------------------------------------- */

struct text {
    char *bytes;
    size_t len, size;
};

static void put(struct text *text, const char *part)
{
    size_t len = strlen(part);
    FUZZ_CHECK(text->len + len < text->size);
    memcpy(text->bytes + text->len, part, len + 1);
    text->len += len;
}

static void put_quoted(struct text *text, const char *name)
{
    put(text, "'");
    for (; *name != '\0'; name++) {
        const char letter[] = {*name, '\0'};
        put(text, *name == '\'' ? "'\\''" : letter);
    }
    put(text, "'");
}

static void put_header(struct text *text, enum kmse_aws_file file,
                       const struct kmse_aws_section *section)
{
    bool is_raw =
        file == KMSE_AWS_CREDENTIALS_FILE || section->kind == KMSE_AWS_OTHER;
    put(text, "[");
    if (section->kind == KMSE_AWS_SERVICES)
        put(text, "services ");
    else if (!is_raw)
        put(text, "profile ");
    if (is_raw)
        put(text, section->name);
    else
        put_quoted(text, section->name);
    put(text, "]\n");
}

/* The lines that go on are indented. */
static void put_value(struct text *text, const char *value)
{
    while (*value != '\0') {
        char letter[] = {*value++, '\0'};
        put(text, letter);
        if (letter[0] == '\n')
            put(text, "  ");
    }
}

static size_t size_of(const struct kmse_aws_section *sections)
{
    size_t size = 1;
    for (; sections != NULL; sections = sections->next) {
        size += QUOTED * strlen(sections->name) + LINE_EXTRA;
        for (const struct kmse_aws_entry *entry = sections->entries;
             entry != NULL; entry = entry->next)
            size += strlen(entry->key) + LINE_EXTRA + 3 * strlen(entry->value);
    }
    return size;
}

static char *print(const struct kmse_aws_section *sections,
                   enum kmse_aws_file file)
{
    struct text text = {.size = size_of(sections)};
    text.bytes = malloc(text.size);
    FUZZ_CHECK(text.bytes != NULL);
    text.bytes[0] = '\0';
    for (; sections != NULL; sections = sections->next) {
        put_header(&text, file, sections);
        for (const struct kmse_aws_entry *entry = sections->entries;
             entry != NULL; entry = entry->next) {
            put(&text, entry->key);
            put(&text, " =");
            put_value(&text, entry->value);
            put(&text, "\n");
        }
    }
    return text.bytes;
}

/* --- checks ------------------------------------------------------------- */

/* A nested key may have a ':', which on its own would end it. */
static bool can_stand_alone(const struct kmse_aws_section *sections)
{
    for (; sections != NULL; sections = sections->next)
        for (const struct kmse_aws_entry *entry = sections->entries;
             entry != NULL; entry = entry->next)
            if (strchr(entry->key, ':') != NULL)
                return false;
    return true;
}

static void check_letters(const char *text, bool lines)
{
    for (; *text != '\0'; text++)
        FUZZ_CHECK((unsigned char)*text >= ' ' || *text == '\t'
                   || (lines && *text == '\n'));
}

static void check_entry(const struct kmse_aws_section *section,
                        const struct kmse_aws_entry *entry)
{
    FUZZ_CHECK(kmse_aws_entry_find(section, entry->key) == entry);
    FUZZ_CHECK(entry->key[0] != '\0');
    for (const char *c = entry->key; *c != '\0'; c++)
        FUZZ_CHECK(*c < 'A' || *c > 'Z');
    check_letters(entry->key, false);
    check_letters(entry->value, true);
}

static size_t check_sections(struct kmse_aws_section *sections)
{
    size_t entries = 0;
    for (struct kmse_aws_section *section = sections; section != NULL;
         section = section->next) {
        FUZZ_CHECK(kmse_aws_section_find(sections, section->kind, section->name)
                   == section);
        check_letters(section->name, false);
        for (const struct kmse_aws_entry *entry = section->entries;
             entry != NULL; entry = entry->next, entries++)
            check_entry(section, entry);
    }
    return entries;
}

static void check_same(const struct kmse_aws_section *sections,
                       struct kmse_aws_section *others)
{
    for (; sections != NULL; sections = sections->next) {
        const struct kmse_aws_section *other =
            kmse_aws_section_find(others, sections->kind, sections->name);
        FUZZ_CHECK(other != NULL && other->count == sections->count);
        for (const struct kmse_aws_entry *entry = sections->entries;
             entry != NULL; entry = entry->next) {
            const struct kmse_aws_entry *found =
                kmse_aws_entry_find(other, entry->key);
            FUZZ_CHECK(found != NULL
                       && strcmp(found->value, entry->value) == 0);
        }
    }
}

static void check_again(struct kmse_aws_section *sections,
                        enum kmse_aws_file file)
{
    struct kmse_aws_section *again = NULL;
    char *text = print(sections, file);
    FUZZ_OK(kmse_aws_sections_parse(&again, file, text, "again", NULL));
    FUZZ_CHECK(check_sections(again) == check_sections(sections));
    check_same(sections, again);
    kmse_aws_sections_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmse_aws_section *sections = NULL;
    struct kmse_why why = {""};
    if (size == 0)
        return 0;
    enum kmse_aws_file file =
        data[0] % 2 == 0 ? KMSE_AWS_CREDENTIALS_FILE : KMSE_AWS_CONFIG_FILE;
    char *text = fuzz_text(data + 1, size - 1);
    kmse_st st = kmse_aws_sections_parse(&sections, file, text, "file", &why);
    if (kmse_is_ok(st)) {
        check_sections(sections);
        if (can_stand_alone(sections))
            check_again(sections, file);
        kmse_aws_sections_free(sections);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_CONFIG_VALUE);
        FUZZ_CHECK(strncmp(why.text, "file line ", strlen("file line ")) == 0);
        FUZZ_CHECK(sections == NULL);
    }
    free(text);
    return 0;
}
