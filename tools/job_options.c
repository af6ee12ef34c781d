/* SPDX-License-Identifier: Apache-2.0 */
/* A job from a file and a command line. */
#include "tools/job_options.h"

#include <string.h>

static kmse_st take_words(struct kmse_job *job,
                          const struct kmse_options *options,
                          struct kmse_why *why)
{
    for (size_t i = 0; i < options->job_word_count; i++) {
        const struct kmse_job_word *word = &options->job_words[i];
        struct kmse_why cause = {""};
        /* Columns of the file are its own: they are not changed from here. */
        if (options->job_file != NULL && strcmp(word->name, "table") == 0)
            return kmse_fail(why, KMSE_R_PARAMETER,
                             "--table and --job: columns are either in the "
                             "file or here");
        kmse_st st = kmse_job_set(job, word->name, word->value, &cause);
        if (!kmse_is_ok(st))
            return kmse_fail(why, KMSE_R_PARAMETER, "--%.900s", cause.text);
    }
    return KMSE_OK;
}

kmse_st kmse_job_options_read(struct kmse_job *job,
                              const struct kmse_options *options,
                              struct kmse_why *why)
{
    kmse_job_init(job);
    if (options->job_file != NULL)
        KMSE_TRY(kmse_job_read(job, options->job_file, why));
    KMSE_TRY(take_words(job, options, why));
    return kmse_job_finish(job, why);
}
