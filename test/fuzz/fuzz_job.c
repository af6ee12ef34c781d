/* SPDX-License-Identifier: Apache-2.0 */
/* Job files: what is accepted is whole, what is refused leaves nothing. */
#include "fuzz.h"

#include "table/job.h"
#include "table/template.h"

static void check_column(const struct kmse_job_column *column)
{
    FUZZ_CHECK(column->spec.table == column->table);
    FUZZ_CHECK(column->spec.column == column->column);
    FUZZ_CHECK(column->spec.key_count <= KMSE_KEY_COLUMNS_MAX);
    for (size_t i = 0; i < column->spec.key_count; i++)
        FUZZ_CHECK(column->spec.keys[i][0] != '\0');
    if (column->aad != NULL)
        FUZZ_OK(kmse_template_check(column->aad, NULL));
}

static void check_job(struct kmse_job *job)
{
    FUZZ_CHECK(job->batch >= 1 && job->batch <= 100000);
    FUZZ_CHECK(job->jobs >= 1 && job->jobs <= 64);
    FUZZ_CHECK(job->column_count <= KMSE_JOB_COLUMNS_MAX);
    if (!kmse_is_ok(kmse_job_finish(job, NULL)))
        return;
    FUZZ_CHECK(job->database != NULL && job->column_count > 0);
    for (size_t i = 0; i < job->column_count; i++)
        check_column(&job->columns[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kmse_job NOTHING;
    struct kmse_job job = NOTHING;
    struct kmse_why why = {""};
    char *text = fuzz_text(data, size);
    /* OpenSSL's own: another file is not to be read. */
    if (strstr(text, ".include") == NULL) {
        kmse_st st = kmse_job_parse(&job, text, size, "job.cnf", &why);
        if (kmse_is_ok(st))
            check_job(&job);
        else
            FUZZ_CHECK(memcmp(&job, &NOTHING, sizeof(job)) == 0
                       && strncmp(why.text, "job.cnf", strlen("job.cnf")) == 0);
    }
    kmse_job_wipe(&job);
    free(text);
    return 0;
}
