/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that encrypt and decrypt as fast as they can, whatever the KMS does:
 *     evp_storm THREADS FILE
 * FILE has one message in hex a line, with its text: old rows, of any version.
 * A line in: "count" answers "ok N failed N" since the last one. At the end of
 * the input it ends. Failures are expected; a wrong text is not: then it ends
 * at once with exit code 3. It knows EVP alone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

enum {
    THREADS_MAX = 64,
    ROWS_MAX = 64,
    TEXT_LEN = 64,
    ROW_LEN = TEXT_LEN + EVP_MAX_BLOCK_LENGTH,
    OUT_LEN = ROW_LEN + EVP_MAX_BLOCK_LENGTH,
    HEX_LEN = 2 * ROW_LEN + 1,
    EXIT_WRONG_TEXT = 3,
};

struct row {
    char text[TEXT_LEN + 1];
    unsigned char *message;
    long len;
};

static struct row rows[ROWS_MAX];
static size_t row_count;
static EVP_CIPHER *cipher;
static _Atomic bool stop;
static _Atomic unsigned long ok_count, failed_count;

static int run(EVP_CIPHER_CTX *ctx, bool encrypt, const unsigned char *in,
               size_t in_len, unsigned char out[OUT_LEN])
{
    static const unsigned char DEFAULT_KEY[EVP_MAX_KEY_LENGTH];
    int n = 0, tail = 0;
    if (!EVP_CipherInit_ex2(ctx, cipher, DEFAULT_KEY, NULL, encrypt, NULL)
        || !EVP_CipherUpdate(ctx, out, &n, in, (int)in_len)
        || !EVP_CipherFinal_ex(ctx, out + n, &tail))
        return -1;
    return n + tail;
}

/* True: it came out right. A failure is counted; a wrong text ends it all. */
static bool open_row(EVP_CIPHER_CTX *ctx, const unsigned char *message,
                     size_t message_len, const char *text)
{
    unsigned char out[OUT_LEN];
    int len = run(ctx, false, message, message_len, out);
    if (len < 0)
        return false;
    if ((size_t)len == strlen(text) && memcmp(out, text, (size_t)len) == 0)
        return true;
    fputs("evp_storm: a row opened to another text\n", stderr);
    exit(EXIT_WRONG_TEXT);
}

static bool write_and_read(EVP_CIPHER_CTX *ctx, unsigned long round)
{
    char text[TEXT_LEN];
    unsigned char message[OUT_LEN];
    snprintf(text, sizeof(text), "customer.%lu@example.org", round);
    int len =
        run(ctx, true, (const unsigned char *)text, strlen(text), message);
    return len >= 0 && open_row(ctx, message, (size_t)len, text);
}

static void *work(void *arg)
{
    (void)arg;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    for (unsigned long round = 0; ctx != NULL && !stop; round++) {
        const struct row *row = &rows[round % row_count];
        bool ok = write_and_read(ctx, round);
        ok = open_row(ctx, row->message, (size_t)row->len, row->text) && ok;
        atomic_fetch_add(ok ? &ok_count : &failed_count, 1);
        ERR_clear_error();
    }
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

static bool read_rows(const char *path)
{
    char hex[HEX_LEN];
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    for (; row_count < ROWS_MAX; row_count++) {
        struct row *row = &rows[row_count];
        if (fscanf(file, "%192s %64s", hex, row->text) != 2)
            break;
        row->message = OPENSSL_hexstr2buf(hex, &row->len);
        if (row->message == NULL)
            break;
    }
    fclose(file);
    return row_count > 0;
}
_Static_assert(HEX_LEN == 193 && TEXT_LEN == 64, "the format of read_rows");

static void answer_lines(void)
{
    char line[TEXT_LEN];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("ok %lu failed %lu\n", atomic_exchange(&ok_count, 0),
               atomic_exchange(&failed_count, 0));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    long count = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    if (count < 1 || count > THREADS_MAX || !read_rows(argv[2])) {
        fputs("usage: evp_storm THREADS FILE\n", stderr);
        return EXIT_FAILURE;
    }
    cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    if (cipher == NULL) {
        ERR_print_errors_fp(stderr);
        return EXIT_FAILURE;
    }
    for (long i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return EXIT_FAILURE;
    }
    answer_lines();
    stop = true;
    for (long i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < row_count; i++)
        OPENSSL_free(rows[i].message);
    EVP_CIPHER_free(cipher);
    return EXIT_SUCCESS;
}
