/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a line, by the quoting rules of a shell. */
#include "kms/aws_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* Where the cutting is: behind in, and out is never ahead of it. */
struct cutter {
    const char *in;
    char *out;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* In double quotes a backslash is one, but before a quote or another. */
static bool cut_quoted(struct cutter *cutter, char quote)
{
    for (; *cutter->in != '\0' && *cutter->in != quote; cutter->in++) {
        if (quote == '"' && *cutter->in == '\\'
            && (cutter->in[1] == '"' || cutter->in[1] == '\\'))
            cutter->in++;
        *cutter->out++ = *cutter->in;
    }
    if (*cutter->in == '\0')
        return false;
    cutter->in++;
    return true;
}

static bool cut_word(struct cutter *cutter)
{
    while (*cutter->in != '\0' && !is_space(*cutter->in)) {
        char c = *cutter->in++;
        if (c == '\'' || c == '"') {
            if (!cut_quoted(cutter, c))
                return false;
            continue;
        }
        if (c == '\\' && (c = *cutter->in++) == '\0')
            return false;
        *cutter->out++ = c;
    }
    *cutter->out++ = '\0';
    return true;
}

static kmse_st cut(struct kmse_aws_words *words, const char *line)
{
    struct cutter cutter = {.in = line, .out = words->text};
    while (true) {
        while (is_space(*cutter.in))
            cutter.in++;
        if (*cutter.in == '\0')
            return KMSE_OK;
        words->words[words->count++] = cutter.out;
        if (!cut_word(&cutter))
            return KMSE_ERR(KMSE_R_ENCODING);
    }
}

kmse_st kmse_aws_words_split(struct kmse_aws_words *words, const char *line)
{
    /* The shortest word and its space are two characters, "" has three. */
    size_t len = strlen(line), most = len / 2 + 1;
    struct kmse_aws_words made = {
        .words = calloc(most + 1, sizeof(*made.words)),
        .text = malloc(len + 1),
        .text_len = len + 1,
    };
    kmse_st st = KMSE_ERR(KMSE_R_MEMORY);
    if (made.words != NULL && made.text != NULL)
        st = cut(&made, line);
    if (!kmse_is_ok(st)) {
        kmse_aws_words_wipe(&made);
        return st;
    }
    *words = made;
    return KMSE_OK;
}

void kmse_aws_words_wipe(struct kmse_aws_words *words)
{
    if (words->text != NULL)
        OPENSSL_cleanse(words->text, words->text_len);
    free(words->text);
    free(words->words);
    *words = (struct kmse_aws_words){0};
}
