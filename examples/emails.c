/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of e-mail addresses, each encrypted on its own by EVP calls alone:
 * fill it, let a command run (one that rotates the key, say), write some more
 * rows, then read every row back and hold it against what was written.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <sqlite3.h>

enum {
    KEY_LEN = 32,
    EMAIL_MAX = 64,
    ROW_MAX = EMAIL_MAX + EVP_MAX_BLOCK_LENGTH, /* encrypted */
    AAD_MAX = 32,
    BATCH_ROWS = 10000,  /* in one transaction */
    NEW_ROWS_SHARE = 10, /* a tenth as many rows after the command */
    BAR_LEN = 30,
    PERCENT = 100,
    LINE_PERCENT = 20, /* off a terminal, a line for so many percent */
    SETTLE_S = 1,      /* for the process to see what the command did */
};

struct options {
    const char *database, *cipher_name, *key_name;
    const char *after_fill; /* a command, or NULL */
    const char *count;      /* PROVIDER:PARAM, or NULL */
    int64_t rows;
};

struct app {
    sqlite3 *db;
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;        /* one, used again for every row */
    unsigned char key[KEY_LEN]; /* the key's name, padded with NULs */
    unsigned char row[ROW_MAX + EVP_MAX_BLOCK_LENGTH];
};

/* Rows done of one phase, and what was shown of it. */
struct progress {
    const char *what;
    int64_t total;
    double start_s;
    int64_t shown; /* percent */
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rate(const struct progress *progress, int64_t done)
{
    double elapsed_s = now_s() - progress->start_s;

    return elapsed_s > 0 ? (double)done / elapsed_s : 0;
}

static void progress_begin(struct progress *progress, const char *what,
                           int64_t total)
{
    *progress = (struct progress){
        .what = what, .total = total, .start_s = now_s(), .shown = -1};
}

static void progress_show(struct progress *progress, int64_t done)
{
    static const char full[BAR_LEN + 1] = "##############################";
    int64_t percent = done * PERCENT / progress->total;
    bool bar = isatty(STDERR_FILENO);
    int64_t step = bar ? 1 : LINE_PERCENT;

    if (percent / step == progress->shown / step && progress->shown >= 0)
        return;
    progress->shown = percent;
    if (!bar) {
        fprintf(stderr, "%s: %3" PRId64 " %%, %.0f rows/s\n", progress->what,
                percent, rate(progress, done));
        return;
    }
    fprintf(stderr, "\r%-9s [%-*.*s] %3" PRId64 " %% %9.0f rows/s%s",
            progress->what, BAR_LEN, (int)(percent * BAR_LEN / PERCENT), full,
            percent, rate(progress, done), percent == PERCENT ? "\n" : "");
}

static bool fail(const char *what)
{
    fprintf(stderr, "emails: %s\n", what);
    ERR_print_errors_fp(stderr);
    return false;
}

static bool fail_db(const struct app *app)
{
    return fail(sqlite3_errmsg(app->db));
}

static bool run_sql(const struct app *app, const char *sql)
{
    return sqlite3_exec(app->db, sql, NULL, NULL, NULL) == SQLITE_OK
           || fail_db(app);
}

/* What belongs into the row of that id. Returns its length. */
static int make_email(char email[EMAIL_MAX], int64_t id)
{
    return snprintf(email, EMAIL_MAX, "customer.%" PRId64 "@example.org", id);
}

/*
 * Encrypt or decrypt one row, bound to its place in the table, so that a value
 * moved to another row does not open. out has room for in_len + block size.
 */
static bool crypt_row(const struct app *app, bool encrypt, int64_t id,
                      const unsigned char *in, int in_len, unsigned char *out,
                      int *out_len)
{
    char aad[AAD_MAX];
    int aad_len = snprintf(aad, sizeof(aad), "users.email:%" PRId64, id);
    int n = 0, tail_len = 0;

    if (!EVP_CipherInit_ex(app->ctx, app->cipher, NULL, app->key, NULL, encrypt)
        || !EVP_CipherUpdate(app->ctx, NULL, &n, (const unsigned char *)aad,
                             aad_len)
        || !EVP_CipherUpdate(app->ctx, out, &n, in, in_len)
        || !EVP_CipherFinal_ex(app->ctx, out + n, &tail_len))
        return false;
    *out_len = n + tail_len;
    return true;
}

static bool insert_row(struct app *app, sqlite3_stmt *insert, int64_t id)
{
    char email[EMAIL_MAX];
    int email_len = make_email(email, id), row_len = 0;

    if (!crypt_row(app, true, id, (const unsigned char *)email, email_len,
                   app->row, &row_len))
        return fail("cannot encrypt a row");
    if (sqlite3_bind_int64(insert, 1, id) != SQLITE_OK
        || sqlite3_bind_blob(insert, 2, app->row, row_len, SQLITE_STATIC)
               != SQLITE_OK
        || sqlite3_step(insert) != SQLITE_DONE
        || sqlite3_reset(insert) != SQLITE_OK)
        return fail_db(app);
    return true;
}

/* Write the rows first .. first + count - 1. Returns rows a second, 0: no. */
static double write_rows(struct app *app, const char *what, int64_t first,
                         int64_t count)
{
    struct progress progress;
    sqlite3_stmt *insert = NULL;
    double result = 0;

    progress_begin(&progress, what, count);
    if (sqlite3_prepare_v2(app->db, "INSERT INTO users VALUES (?, ?)", -1,
                           &insert, NULL)
        != SQLITE_OK) {
        fail_db(app);
        goto done;
    }
    for (int64_t done = 0; done < count;) {
        if (done % BATCH_ROWS == 0 && !run_sql(app, "BEGIN"))
            goto done;
        if (!insert_row(app, insert, first + done))
            goto done;
        done++;
        if (done % BATCH_ROWS != 0 && done != count)
            continue;
        if (!run_sql(app, "COMMIT"))
            goto done;
        progress_show(&progress, done);
    }
    result = rate(&progress, count);
done:
    sqlite3_finalize(insert);
    return result;
}

static bool check_row(struct app *app, sqlite3_stmt *select, int64_t want_id)
{
    char want[EMAIL_MAX];
    int want_len = make_email(want, want_id), got_len = 0;
    int64_t id = sqlite3_column_int64(select, 0);
    const unsigned char *row = sqlite3_column_blob(select, 1);
    int row_len = sqlite3_column_bytes(select, 1);

    if (id != want_id)
        return fail("a row is missing");
    if (row_len > ROW_MAX)
        return fail("a row is longer than any that was written");
    if (!crypt_row(app, false, id, row, row_len, app->row, &got_len))
        return fail("cannot decrypt a row");
    if (got_len != want_len || memcmp(app->row, want, (size_t)want_len) != 0)
        return fail("a row is not what was written");
    return true;
}

/* Every row, in order. Returns rows a second, 0: no. */
static double read_rows(struct app *app, const char *what, int64_t count)
{
    struct progress progress;
    sqlite3_stmt *select = NULL;
    int64_t done = 0;
    double result = 0;
    int rc;

    progress_begin(&progress, what, count);
    if (sqlite3_prepare_v2(app->db, "SELECT id, email FROM users ORDER BY id",
                           -1, &select, NULL)
        != SQLITE_OK) {
        fail_db(app);
        goto done;
    }
    while ((rc = sqlite3_step(select)) == SQLITE_ROW) {
        if (!check_row(app, select, ++done))
            goto done;
        if (done % BATCH_ROWS == 0 || done == count)
            progress_show(&progress, done);
    }
    if (rc != SQLITE_DONE)
        fail_db(app);
    else if (done != count)
        fail("rows are missing");
    else
        result = rate(&progress, count);
done:
    sqlite3_finalize(select);
    return result;
}

static bool run_command(const char *command)
{
    fflush(NULL);
    if (system(command) != 0)
        return fail("the command failed");
    sleep(SETTLE_S);
    return true;
}

/* Print a number that a provider counts: count is PROVIDER:PARAM. */
static bool print_count(const char *count)
{
    const char *param = strchr(count, ':');
    char *name = param != NULL ? strndup(count, (size_t)(param - count)) : NULL;
    uint64_t value = 0;
    bool result = false;

    if (name == NULL)
        return fail("--count wants PROVIDER:PARAM");
    param++;
    OSSL_PARAM params[] = {OSSL_PARAM_uint64(param, &value), OSSL_PARAM_END};
    if (!OSSL_PROVIDER_available(NULL, name)) {
        fail("--count: no such provider is active");
        goto done;
    }
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(NULL, name);
    if (provider == NULL || !OSSL_PROVIDER_get_params(provider, params)
        || !OSSL_PARAM_modified(params)) {
        fail("--count: the provider does not say");
    } else {
        printf("%s %" PRIu64 "\n", param, value);
        result = true;
    }
    OSSL_PROVIDER_unload(provider);
done:
    free(name);
    return result;
}

static bool print_phase(const char *phase, int64_t rows, double rows_per_s)
{
    if (rows_per_s <= 0)
        return false;
    printf("%s %" PRId64 " rows, %.0f rows/s\n", phase, rows, rows_per_s);
    return true;
}

static bool run(struct app *app, const struct options *options)
{
    int64_t old_rows = options->rows;
    int64_t new_rows = (old_rows + NEW_ROWS_SHARE - 1) / NEW_ROWS_SHARE;
    int64_t all = old_rows + new_rows;

    return print_phase("written", old_rows,
                       write_rows(app, "writing", 1, old_rows))
           && (options->after_fill == NULL || run_command(options->after_fill))
           && print_phase("written", new_rows,
                          write_rows(app, "writing", old_rows + 1, new_rows))
           && print_phase("read-back", all, read_rows(app, "reading", all))
           && (options->count == NULL || print_count(options->count));
}

/* The table must be new: nothing of an earlier run is overwritten. */
static bool app_open(struct app *app, const struct options *options)
{
    size_t name_len = strlen(options->key_name);

    if (name_len > KEY_LEN)
        return fail("the key's name is longer than a key");
    memcpy(app->key, options->key_name, name_len);
    app->cipher = EVP_CIPHER_fetch(NULL, options->cipher_name, NULL);
    if (app->cipher == NULL)
        return fail("no cipher of that name: is its provider active?");
    app->ctx = EVP_CIPHER_CTX_new();
    if (app->ctx == NULL)
        return fail("out of memory");
    if (sqlite3_open(options->database, &app->db) != SQLITE_OK)
        return fail_db(app);
    return run_sql(app, "PRAGMA synchronous = OFF")
           && run_sql(app, "CREATE TABLE users"
                           "(id INTEGER PRIMARY KEY, email BLOB NOT NULL)");
}

static void app_close(struct app *app)
{
    sqlite3_close(app->db);
    EVP_CIPHER_CTX_free(app->ctx);
    EVP_CIPHER_free(app->cipher);
}

static bool parse_rows(int64_t *rows, const char *text)
{
    char *end = NULL;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1)
        return fail("ROWS must be a number from 1 up");
    *rows = value;
    return true;
}

static bool parse_options(struct options *options, int argc, char **argv)
{
    static const struct option longopts[] = {
        {"after-fill", required_argument, NULL, 'a'},
        {"count", required_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (opt == 'a')
            options->after_fill = optarg;
        else if (opt == 'c')
            options->count = optarg;
        else
            return false;
    }
    if (argc - optind != 4)
        return false;
    options->database = argv[optind];
    options->cipher_name = argv[optind + 2];
    options->key_name = argv[optind + 3];
    return parse_rows(&options->rows, argv[optind + 1]);
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct app app = {0};

    if (!parse_options(&options, argc, argv)) {
        fputs("usage: emails [--after-fill COMMAND] [--count PROVIDER:PARAM]\n"
              "              DATABASE ROWS CIPHER KEY\n",
              stderr);
        return 2;
    }
    bool ok = app_open(&app, &options) && run(&app, &options);
    app_close(&app);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
