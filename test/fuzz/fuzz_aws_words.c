/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a line: quoted, they are cut into the same words again. */
#include "fuzz.h"

#include "kms/aws_words.h"

static void check_words(const struct kmse_aws_words *words, size_t line_len)
{
    size_t total = 0;
    for (size_t i = 0; i < words->count; i++)
        total += strlen(words->words[i]);
    FUZZ_CHECK(words->words[words->count] == NULL);
    FUZZ_CHECK(total <= line_len);
}

/* In single quotes, where only one of these is no letter as others. */
static char *quote(const struct kmse_aws_words *words, size_t line_len)
{
    enum { QUOTE_AS = 4 }; /* '\'' */
    char *line = malloc(QUOTE_AS * line_len + 3 * words->count + 1), *at = line;
    FUZZ_CHECK(line != NULL);
    for (size_t i = 0; i < words->count; i++) {
        *at++ = '\'';
        for (const char *c = words->words[i]; *c != '\0'; c++) {
            if (*c == '\'') {
                memcpy(at, "'\\''", QUOTE_AS);
                at += QUOTE_AS;
            } else {
                *at++ = *c;
            }
        }
        *at++ = '\'';
        *at++ = ' ';
    }
    *at = '\0';
    return line;
}

static void check_again(const struct kmse_aws_words *words, size_t line_len)
{
    struct kmse_aws_words again = {0};
    char *line = quote(words, line_len);
    FUZZ_OK(kmse_aws_words_split(&again, line));
    FUZZ_CHECK(again.count == words->count);
    for (size_t i = 0; i < words->count; i++)
        FUZZ_CHECK(strcmp(again.words[i], words->words[i]) == 0);
    kmse_aws_words_wipe(&again);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmse_aws_words words = {0};
    char *line = fuzz_text(data, size);
    kmse_st st = kmse_aws_words_split(&words, line);
    if (kmse_is_ok(st)) {
        check_words(&words, strlen(line));
        check_again(&words, strlen(line));
        kmse_aws_words_wipe(&words);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_ENCODING);
        FUZZ_CHECK(words.words == NULL);
    }
    free(line);
    return 0;
}
