/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of AWS's shared configuration files.
 *
 * It is read as botocore reads it, but where that is lax, or AWS's guide says
 * something else:
 *   - A comment behind a value is cut off, if white space is before it.
 *   - White space inside a section's brackets is no part of its name, and
 *     nothing but a comment may follow them.
 *   - Nested keys are case-insensitive as others are, and not given twice.
 *   - Two sections of one profile ("[default]" and "[profile default]" too)
 *     are refused: the SDKs do not agree on which one holds.
 *   - "[DEFAULT]", whose keys botocore puts into every section and other SDKs
 *     into none, is refused. So are control characters.
 *   - Empty lines are no part of a value of several lines.
 *   - "[profiles x]" is no profile: the word is "profile".
 */
#include "kms/aws_profile_sections.h"

#include <stdlib.h>
#include <string.h>

#include "kms/aws_words.h"

/* Searches are linear: a file that would make them slow is nobody's. */
enum { SECTIONS_MAX = 8192, KEYS_MAX = 1024 };

static const char DEFAULT[] = "default";

/* A part of the text. */
struct view {
    const char *at;
    size_t len;
};

struct parser {
    enum kmse_aws_file file;
    const char *origin;
    struct kmse_why *why;
    struct kmse_aws_section *sections;
    size_t count, line, indent;
    struct kmse_aws_entry *open; /* what lines with more indent belong to */
};

/* --- words -------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool starts_comment(char c)
{
    return c == '#' || c == ';';
}

static struct view trim(struct view view)
{
    while (view.len > 0 && is_blank(*view.at)) {
        view.at++;
        view.len--;
    }
    while (view.len > 0 && is_blank(view.at[view.len - 1]))
        view.len--;
    return view;
}

static struct view cut_comment(struct view view)
{
    for (size_t i = 1; i < view.len; i++)
        if (starts_comment(view.at[i]) && is_blank(view.at[i - 1]))
            view.len = i;
    return trim(view);
}

static bool has_control(struct view view)
{
    enum { FIRST_PRINTED = 0x20 };
    for (size_t i = 0; i < view.len; i++)
        if ((unsigned char)view.at[i] < FIRST_PRINTED && view.at[i] != '\t')
            return true;
    return false;
}

/* In ASCII, whatever the host's locale is. */
static void lower(char *text)
{
    for (; *text != '\0'; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

/* a, then joint, then b. NULL: no memory. */
static char *join(struct view a, const char *joint, struct view b)
{
    size_t joint_len = strlen(joint);
    char *text = malloc(a.len + joint_len + b.len + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, a.at, a.len);
    memcpy(text + a.len, joint, joint_len);
    memcpy(text + a.len + joint_len, b.at, b.len);
    text[a.len + joint_len + b.len] = '\0';
    return text;
}

static struct view view_of(const char *text)
{
    return (struct view){.at = text, .len = strlen(text)};
}

/* --- parsing ------------------------------------------------------------ */

/* Never with words of the line: it may be a secret that lost its key. */
static kmse_st fail_line(const struct parser *parser, const char *what)
{
    return kmse_fail(parser->why, KMSE_R_CONFIG_VALUE, "%s line %zu: %s",
                     parser->origin, parser->line, what);
}

/* Takes key over. */
static kmse_st add_entry(struct parser *parser, char *key, struct view value,
                         struct kmse_aws_entry **added)
{
    struct kmse_aws_section *section = parser->sections;
    struct kmse_aws_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL || key == NULL) {
        kmse_aws_text_free(key);
        free(entry);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    lower(key);
    entry->key = key;
    kmse_st st = KMSE_OK;
    if (kmse_aws_entry_find(section, key) != NULL)
        st = fail_line(parser, "this key is given twice");
    else if (section->count == KEYS_MAX)
        st = fail_line(parser, "too many keys in a section");
    else if ((entry->value = join(value, "", view_of(""))) == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    if (!kmse_is_ok(st)) {
        kmse_aws_entry_free(entry);
        return st;
    }
    entry->next = section->entries;
    section->entries = entry;
    section->count++;
    *added = entry;
    return KMSE_OK;
}

/* Behind the first delimiter is the value; no key is empty. */
static bool split(struct view line, const char *delimiters, struct view *key,
                  struct view *value)
{
    size_t i = 0;
    while (i < line.len && strchr(delimiters, line.at[i]) == NULL)
        i++;
    if (i == line.len)
        return false;
    *key = trim((struct view){.at = line.at, .len = i});
    *value = cut_comment(
        (struct view){.at = line.at + i + 1, .len = line.len - i - 1});
    return key->len > 0;
}

static kmse_st take_key(struct parser *parser, struct view line)
{
    struct view key, value;
    if (parser->sections == NULL)
        return fail_line(parser, "a key before the first [section]");
    if (!split(line, "=:", &key, &value))
        return fail_line(parser, "neither a [section] nor key = value");
    return add_entry(parser, join(key, "", view_of("")), value, &parser->open);
}

static kmse_st take_nested(struct parser *parser, struct view line)
{
    struct view key, value;
    struct kmse_aws_entry *added = NULL;
    if (!split(line, "=", &key, &value))
        return fail_line(parser, "not a nested key = value");
    return add_entry(parser, join(view_of(parser->open->key), ".", key), value,
                     &added);
}

/* A key without a value has keys nested in it; others go on in more lines. */
static kmse_st take_continuation(struct parser *parser, struct view line)
{
    struct kmse_aws_entry *open = parser->open;
    if (*open->value == '\0')
        return take_nested(parser, line);
    char *longer = join(view_of(open->value), "\n", cut_comment(line));
    if (longer == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_aws_text_free(open->value);
    open->value = longer;
    return KMSE_OK;
}

/* Takes name over. */
static kmse_st add_section(struct parser *parser,
                           enum kmse_aws_section_kind kind, char *name)
{
    struct kmse_aws_section *section = calloc(1, sizeof(*section));
    kmse_st st = KMSE_OK;
    if (section == NULL || name == NULL)
        st = KMSE_ERR(KMSE_R_MEMORY);
    else if (strcmp(name, "DEFAULT") == 0)
        st = fail_line(parser, "write [default], in small letters");
    else if (kmse_aws_section_find(parser->sections, kind, name) != NULL)
        st = fail_line(parser, "this section is there twice");
    else if (parser->count == SECTIONS_MAX)
        st = fail_line(parser, "too many sections");
    if (!kmse_is_ok(st)) {
        free(section);
        free(name);
        return st;
    }
    *section = (struct kmse_aws_section){
        .next = parser->sections, .kind = kind, .name = name};
    parser->sections = section;
    parser->count++;
    parser->open = NULL;
    return KMSE_OK;
}

/* [profile "a name"], [services name]; what is else is not for us. */
static kmse_st add_config_section(struct parser *parser, const char *header)
{
    enum kmse_aws_section_kind kind = KMSE_AWS_OTHER;
    const char *name = header;
    struct kmse_aws_words words = {0};
    kmse_st st = kmse_aws_words_split(&words, header);
    if (!kmse_is_ok(st) && st.reason != KMSE_R_ENCODING)
        return st;
    if (strcmp(header, DEFAULT) == 0) {
        kind = KMSE_AWS_PROFILE;
    } else if (words.count == 2 && strcmp(words.words[0], "profile") == 0) {
        kind = KMSE_AWS_PROFILE;
        name = words.words[1];
    } else if (words.count == 2 && strcmp(words.words[0], "services") == 0) {
        kind = KMSE_AWS_SERVICES;
        name = words.words[1];
    }
    st = add_section(parser, kind, strdup(name));
    kmse_aws_words_wipe(&words);
    return st;
}

static kmse_st take_header(struct parser *parser, struct view line)
{
    const char *end = memchr(line.at, ']', line.len);
    if (end == NULL)
        return fail_line(parser, "a [section] without its ]");
    struct view name = {.at = line.at + 1, .len = (size_t)(end - line.at) - 1};
    struct view rest = {.at = end + 1, .len = line.len - name.len - 2};
    name = trim(name);
    rest = trim(rest);
    if (name.len == 0 || (rest.len > 0 && !starts_comment(*rest.at)))
        return fail_line(parser, "not a [section]");
    char *header = join(name, "", view_of(""));
    if (header == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    if (parser->file == KMSE_AWS_CREDENTIALS_FILE)
        return add_section(parser, KMSE_AWS_PROFILE, header);
    kmse_st st = add_config_section(parser, header);
    free(header);
    return st;
}

static kmse_st take_line(struct parser *parser, struct view line)
{
    struct view words = trim(line);
    size_t indent = (size_t)(words.at - line.at);
    if (words.len == 0 || starts_comment(*words.at))
        return KMSE_OK;
    if (has_control(words))
        return fail_line(parser, "a control character");
    if (parser->open != NULL && indent > parser->indent)
        return take_continuation(parser, words);
    parser->indent = indent;
    return *words.at == '[' ? take_header(parser, words)
                            : take_key(parser, words);
}

static kmse_st take_text(struct parser *parser, const char *text)
{
    while (*text != '\0') {
        struct view line = {.at = text, .len = strcspn(text, "\n")};
        parser->line++;
        KMSE_TRY(take_line(parser, line));
        text += line.len;
        if (*text == '\n')
            text++;
    }
    return KMSE_OK;
}

kmse_st kmse_aws_sections_parse(struct kmse_aws_section **sections,
                                enum kmse_aws_file kind, const char *text,
                                const char *origin, struct kmse_why *why)
{
    struct parser parser = {.file = kind, .origin = origin, .why = why};
    kmse_st st = take_text(&parser, text);
    if (!kmse_is_ok(st)) {
        kmse_aws_sections_free(parser.sections);
        return st;
    }
    *sections = parser.sections;
    return KMSE_OK;
}
