/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of XML documents, read by expat. */
#include "kms/xml.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>
#include <openssl/crypto.h>

/* Between a name and its namespace, when expat tells both. */
static const XML_Char SEPARATOR[] = "\n";
enum { PATH_LEN = 512 };

/* --- expat's memory: a document may have a secret in it ----------------- */

union block {
    size_t len; /* of what is behind it */
    max_align_t align;
};

static void *take(size_t len)
{
    if (len > SIZE_MAX - sizeof(union block))
        return NULL;
    union block *block = malloc(sizeof(*block) + len);
    if (block == NULL)
        return NULL;
    block->len = len;
    return block + 1;
}

static void give_back(void *bytes)
{
    if (bytes == NULL)
        return;
    union block *block = (union block *)bytes - 1;
    OPENSSL_cleanse(bytes, block->len);
    free(block);
}

static void *resize(void *bytes, size_t len)
{
    void *made = take(len);
    if (made == NULL || bytes == NULL)
        return made;
    size_t old_len = ((union block *)bytes - 1)->len;
    memcpy(made, bytes, old_len < len ? old_len : len);
    give_back(bytes);
    return made;
}

/* --- what expat tells --------------------------------------------------- */

struct reader {
    XML_Parser parser;
    struct kmse_xml_text *texts;
    size_t count;
    char path[PATH_LEN]; /* of the element we are in, a slash before each */
    unsigned depth;
    struct kmse_xml_text *open; /* the one we are in */
    size_t open_len;
    bool refused; /* expat may tell more after it was stopped */
};

static void refuse(struct reader *reader)
{
    reader->refused = true;
    XML_StopParser(reader->parser, XML_FALSE);
}

static struct kmse_xml_text *find(const struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        if (strcmp(reader->texts[i].path, reader->path + 1) == 0)
            return &reader->texts[i];
    return NULL;
}

static bool enter(struct reader *reader, const char *name)
{
    size_t path_len = strlen(reader->path), name_len = strlen(name);
    if (reader->depth == KMSE_XML_DEPTH_MAX
        || name_len >= PATH_LEN - 1 - path_len)
        return false;
    reader->path[path_len] = '/';
    memcpy(reader->path + path_len + 1, name, name_len + 1);
    reader->depth++;
    return true;
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
                             const XML_Char **attributes)
{
    struct reader *reader = arg;
    const char *separator = strrchr(name, SEPARATOR[0]);
    (void)attributes;
    if (reader->refused)
        return;
    if (reader->open != NULL
        || !enter(reader, separator != NULL ? separator + 1 : name)) {
        refuse(reader);
        return;
    }
    struct kmse_xml_text *text = find(reader);
    if (text == NULL)
        return;
    if (text->found) {
        refuse(reader);
        return;
    }
    text->found = true;
    reader->open = text;
    reader->open_len = 0;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    struct reader *reader = arg;
    (void)name;
    if (reader->refused)
        return;
    *strrchr(reader->path, '/') = '\0';
    reader->depth--;
    reader->open = NULL;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int text_len)
{
    struct reader *reader = arg;
    struct kmse_xml_text *open = reader->open;
    size_t len = (size_t)text_len;
    if (reader->refused || open == NULL)
        return;
    if (len >= open->out_size - reader->open_len) {
        refuse(reader);
        return;
    }
    memcpy(open->out + reader->open_len, text, len);
    reader->open_len += len;
    open->out[reader->open_len] = '\0';
}

/* Where entities come from, which may grow without end or name files. */
static void XMLCALL on_doctype(void *arg, const XML_Char *name,
                               const XML_Char *system_id,
                               const XML_Char *public_id,
                               int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    refuse(arg);
}

/* --- reading ------------------------------------------------------------ */

static void clear(struct kmse_xml_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        OPENSSL_cleanse(texts[i].out, texts[i].out_size);
        texts[i].found = false;
    }
}

static kmse_st parse(struct reader *reader, const char *xml, size_t xml_len)
{
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    if (XML_Parse(reader->parser, xml, (int)xml_len, XML_TRUE) == XML_STATUS_OK)
        return KMSE_OK;
    return KMSE_ERR(XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY
                        ? KMSE_R_MEMORY
                        : KMSE_R_KMS_ANSWER);
}

kmse_st kmse_xml_texts(const char *xml, size_t xml_len,
                       struct kmse_xml_text *texts, size_t count)
{
    static const XML_Memory_Handling_Suite MEMORY = {take, resize, give_back};
    struct reader reader = {.texts = texts, .count = count};
    clear(texts, count);
    if (xml_len > KMSE_XML_MAX)
        return KMSE_ERR(KMSE_R_KMS_ANSWER);
    reader.parser = XML_ParserCreate_MM("UTF-8", &MEMORY, SEPARATOR);
    if (reader.parser == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = parse(&reader, xml, xml_len);
    XML_ParserFree(reader.parser);
    if (!kmse_is_ok(st))
        clear(texts, count);
    return st;
}
