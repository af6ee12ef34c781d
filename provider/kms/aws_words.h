/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_WORDS_H
#define KMSE_KMS_AWS_WORDS_H

#include <stddef.h>

#include "base/status.h"

/*
 * A line cut into words as a POSIX shell does, and nothing else that a shell
 * does: quotes and backslashes count, '$', '*', '#' and '|' are characters as
 * others. So the SDK for Python reads credential_process and the names of
 * sections ("shlex.split").
 */
struct kmse_aws_words {
    char **words; /* words[count] is NULL: fit for exec */
    size_t count;
    char *text; /* what the words point into */
    size_t text_len;
};

/* KMSE_R_ENCODING: a quote is not closed, or nothing is after a backslash. */
kmse_st kmse_aws_words_split(struct kmse_aws_words *words,
                             const char *line) KMSE_MUST_CHECK;
/* Wipes: an argument may be a password. */
void kmse_aws_words_wipe(struct kmse_aws_words *words);

#endif
