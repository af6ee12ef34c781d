/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: one table of settings, for the job file and for the command line. */
#include "table/job.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/conf.h>
#include <openssl/err.h>

#include "base/file.h"
#include "base/setting.h"
#include "table/template.h"

static const char JOB[] = "job";
static const char COLUMN[] = "column ";

/* --- values ------------------------------------------------------------- */

static kmse_st parse_text(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    if (value[0] == '\0')
        return kmse_setting_bad(key, value, "something", why);
    return kmse_setting_text(field, value);
}

static kmse_st parse_batch(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    enum { MOST = 100000 };
    return kmse_setting_up_to(field, MOST, key, value,
                              "a number of 1 to 100000", why);
}

static kmse_st parse_jobs(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    enum { MOST = 64 };
    return kmse_setting_up_to(field, MOST, key, value, "a number of 1 to 64",
                              why);
}

static kmse_st parse_rate(void *field, const char *key, const char *value,
                          struct kmse_why *why)
{
    enum { MOST = 1000000000 };
    return kmse_setting_up_to(field, MOST, key, value,
                              "a number of 1 to 1000000000, rows a second",
                              why);
}

static kmse_st parse_delay(void *field, const char *key, const char *value,
                           struct kmse_why *why)
{
    return kmse_setting_delay(field, key, value, why);
}

static kmse_st parse_encoding(void *field, const char *key, const char *value,
                              struct kmse_why *why)
{
    if (!kmse_encoding_parse(field, value))
        return kmse_setting_bad(key, value, "binary, base64 or hex", why);
    return KMSE_OK;
}

/* The table that it names columns of is not known yet. */
static kmse_st parse_aad(void *field, const char *key, const char *value,
                         struct kmse_why *why)
{
    struct kmse_why cause = {""};
    if (!kmse_is_ok(kmse_template_check(value, &cause)))
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "%.600s", cause.text);
    return parse_text(field, key, value, why);
}

/* --- the table ---------------------------------------------------------- */

struct setting {
    const char *key;
    kmse_st (*parse)(void *field, const char *key, const char *value,
                     struct kmse_why *why);
    bool of_column;
    size_t offset;
};

#define OF_JOB(name)    false, offsetof(struct kmse_job, name)
#define OF_COLUMN(name) true, offsetof(struct kmse_job_column, name)

static const struct setting SETTINGS[] = {
    {"database", parse_text, OF_JOB(database)},
    {"keys", parse_text, OF_JOB(keys)},
    {"batch", parse_batch, OF_JOB(batch)},
    {"jobs", parse_jobs, OF_JOB(jobs)},
    {"rate", parse_rate, OF_JOB(rate)},
    {"retry-for", parse_delay, OF_JOB(retry_ms)},
    {"table", parse_text, OF_COLUMN(table)},
    {"column", parse_text, OF_COLUMN(column)},
    {"primary-key", parse_text, OF_COLUMN(keys)},
    {"key", parse_text, OF_COLUMN(key)},
    {"encoding", parse_encoding, OF_COLUMN(encoding)},
    {"aad", parse_aad, OF_COLUMN(aad)},
    {"where", parse_text, OF_COLUMN(where)},
};
enum { SETTING_COUNT = sizeof(SETTINGS) / sizeof(SETTINGS[0]) };

static const struct setting *find(const char *key)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(SETTINGS[i].key, key) == 0)
            return &SETTINGS[i];
    }
    return NULL;
}

void kmse_job_init(struct kmse_job *job)
{
    enum { BATCH = 1000, JOBS = 1, RETRY_MS = 300000 };
    *job =
        (struct kmse_job){.batch = BATCH, .jobs = JOBS, .retry_ms = RETRY_MS};
}

static void wipe_column(struct kmse_job_column *column)
{
    free(column->name);
    free(column->table);
    free(column->column);
    free(column->keys);
    free(column->key);
    free(column->aad);
    free(column->where);
    free(column->key_names);
}

void kmse_job_wipe(struct kmse_job *job)
{
    for (size_t i = 0; i < job->column_count; i++)
        wipe_column(&job->columns[i]);
    free(job->columns);
    free(job->database);
    free(job->keys);
    *job = (struct kmse_job){0};
}

static kmse_st add_column(struct kmse_job *job, const char *name,
                          struct kmse_why *why)
{
    if (job->column_count == KMSE_JOB_COLUMNS_MAX)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "more than %d columns",
                         KMSE_JOB_COLUMNS_MAX);
    struct kmse_job_column *grown = reallocarray(
        job->columns, job->column_count + 1, sizeof(*job->columns));
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    job->columns = grown;
    struct kmse_job_column *column = &grown[job->column_count];
    *column = (struct kmse_job_column){.name = strdup(name)};
    if (column->name == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    job->column_count++;
    return KMSE_OK;
}

static kmse_st set(void *base, const struct setting *setting, const char *value,
                   struct kmse_why *why)
{
    return setting->parse((uint8_t *)base + setting->offset, setting->key,
                          value, why);
}

kmse_st kmse_job_set(struct kmse_job *job, const char *key, const char *value,
                     struct kmse_why *why)
{
    const struct setting *setting = find(key);
    if (setting == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_KEY, "%.100s", key);
    if (!setting->of_column)
        return set(job, setting, value, why);
    if (strcmp(key, "table") == 0)
        KMSE_TRY(add_column(job, "", why));
    if (job->column_count == 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "%s = %.200s: must come after its table", key, value);
    return set(&job->columns[job->column_count - 1], setting, value, why);
}

/* --- when all is set ---------------------------------------------------- */

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t", text[len - 1]) != NULL)
        text[--len] = '\0';
    return text;
}

/* "id, part" */
static kmse_st split_keys(struct kmse_job_column *column, struct kmse_why *why)
{
    char *rest = NULL;
    if (column->keys == NULL)
        return KMSE_OK;
    free(column->key_names);
    if ((column->key_names = strdup(column->keys)) == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    for (rest = column->key_names; rest != NULL;) {
        const char *name = trim(strsep(&rest, ","));
        if (name[0] == '\0' || column->spec.key_count == KMSE_KEY_COLUMNS_MAX)
            return kmse_setting_bad("primary-key", column->keys,
                                    "1 to 8 columns, with commas between them",
                                    why);
        column->spec.keys[column->spec.key_count++] = name;
    }
    return KMSE_OK;
}

static kmse_st finish_column(struct kmse_job_column *column,
                             struct kmse_why *why)
{
    const char *missing = column->table == NULL    ? "table"
                          : column->column == NULL ? "column"
                                                   : NULL;
    if (missing != NULL)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "%s%s%s%s is missing",
                         column->name[0] != '\0' ? "section [column " : "",
                         column->name, column->name[0] != '\0' ? "]: " : "",
                         missing);
    column->spec = (struct kmse_column){
        .table = column->table,
        .column = column->column,
        .where = column->where,
    };
    return split_keys(column, why);
}

kmse_st kmse_job_finish(struct kmse_job *job, struct kmse_why *why)
{
    if (job->database == NULL)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "database is missing");
    if (job->column_count == 0)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE,
                         "there is no column to work on");
    for (size_t i = 0; i < job->column_count; i++)
        KMSE_TRY(finish_column(&job->columns[i], why));
    return KMSE_OK;
}

/* --- the file ----------------------------------------------------------- */

static kmse_st take_job(struct kmse_job *job,
                        const STACK_OF(CONF_VALUE) * pairs,
                        struct kmse_why *why)
{
    for (int i = 0; i < sk_CONF_VALUE_num(pairs); i++) {
        const CONF_VALUE *pair = sk_CONF_VALUE_value(pairs, i);
        const struct setting *setting = find(pair->name);
        if (setting == NULL || setting->of_column)
            return kmse_fail(why, KMSE_R_CONFIG_KEY, "%.100s", pair->name);
        KMSE_TRY(set(job, setting, pair->value, why));
    }
    return KMSE_OK;
}

static kmse_st take_column(struct kmse_job *job, const char *name,
                           const STACK_OF(CONF_VALUE) * pairs,
                           struct kmse_why *why)
{
    KMSE_TRY(add_column(job, name, why));
    struct kmse_job_column *column = &job->columns[job->column_count - 1];
    for (int i = 0; i < sk_CONF_VALUE_num(pairs); i++) {
        const CONF_VALUE *pair = sk_CONF_VALUE_value(pairs, i);
        const struct setting *setting = find(pair->name);
        if (setting == NULL || !setting->of_column)
            return kmse_fail(why, KMSE_R_CONFIG_KEY, "%.100s", pair->name);
        KMSE_TRY(set(column, setting, pair->value, why));
    }
    return KMSE_OK;
}

static kmse_st take_section(struct kmse_job *job, const CONF *conf,
                            const char *name, struct kmse_why *why)
{
    const STACK_OF(CONF_VALUE) *pairs = NCONF_get_section(conf, name);
    if (strcmp(name, JOB) == 0)
        return take_job(job, pairs, why);
    if (strncmp(name, COLUMN, strlen(COLUMN)) == 0)
        return take_column(job, name + strlen(COLUMN), pairs, why);
    /* There always is one; it has what stands before the first "[...]". */
    if (strcmp(name, "default") == 0 && sk_CONF_VALUE_num(pairs) <= 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_CONFIG_KEY,
                     "only [job] and [column NAME] are known here");
}

static int by_name(const char *const *a, const char *const *b)
{
    return strcmp(*a, *b);
}

static kmse_st take_sections(struct kmse_job *job, const CONF *conf,
                             const char *origin, struct kmse_why *why)
{
    STACK_OF(OPENSSL_CSTRING) *names = NCONF_get_section_names(conf);
    if (names == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    kmse_st st = KMSE_OK;
    sk_OPENSSL_CSTRING_set_cmp_func(names, by_name);
    sk_OPENSSL_CSTRING_sort(names);
    for (int i = 0; kmse_is_ok(st) && i < sk_OPENSSL_CSTRING_num(names); i++) {
        const char *name = sk_OPENSSL_CSTRING_value(names, i);
        struct kmse_why cause = {""};
        st = take_section(job, conf, name, &cause);
        if (!kmse_is_ok(st))
            st = kmse_fail(why, st.reason, "%.160s, section [%.40s]: %.600s",
                           origin, name, cause.text);
    }
    sk_OPENSSL_CSTRING_free(names);
    return st;
}

static kmse_st load(CONF *conf, const char *bytes, size_t len,
                    const char *origin, struct kmse_why *why)
{
    enum { MOST = 1 << 20 };
    long line = 0;
    if (len > MOST || memchr(bytes, '\0', len) != NULL)
        return kmse_fail(why, KMSE_R_FILE, "%.160s: not a text", origin);
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    if (bio == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    int loaded = NCONF_load_bio(conf, bio, &line);
    BIO_free(bio);
    if (loaded != 1)
        return kmse_fail(why, KMSE_R_FILE, "%.160s, line %ld: not valid",
                         origin, line);
    return KMSE_OK;
}

kmse_st kmse_job_parse(struct kmse_job *job, const char *bytes, size_t len,
                       const char *origin, struct kmse_why *why)
{
    struct kmse_job made;
    CONF *conf = NCONF_new(NULL);
    if (conf == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    ERR_set_mark();
    kmse_job_init(&made);
    kmse_st st = load(conf, bytes, len, origin, why);
    if (kmse_is_ok(st))
        st = take_sections(&made, conf, origin, why);
    ERR_pop_to_mark();
    NCONF_free(conf);
    if (!kmse_is_ok(st)) {
        kmse_job_wipe(&made);
        return st;
    }
    *job = made;
    return KMSE_OK;
}

/* Its SQL runs in the database: nobody else may have written it. */
kmse_st kmse_job_read(struct kmse_job *job, const char *path,
                      struct kmse_why *why)
{
    enum { MOST = 1 << 20, FORBIDDEN = 0022 };
    uint8_t *bytes = NULL;
    size_t len = 0;
    KMSE_TRY(kmse_file_read(path, MOST, FORBIDDEN, &bytes, &len, why));
    kmse_st st = kmse_job_parse(job, (const char *)bytes, len, path, why);
    kmse_file_free_bytes(bytes, len);
    return st;
}
