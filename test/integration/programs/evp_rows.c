/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of an application: evp_rows [KEY]
 * A line in: "encrypt AAD TEXT" or "decrypt AAD MESSAGE", all in hex, "-" for
 * nothing. A line out: "ok HEX", or "error" and the reasons. It knows EVP
 * alone.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

enum {
    KEY_LEN = 32,
    LINE_MAX_LEN = 1 << 20,
    OUT_MAX = LINE_MAX_LEN / 2 + 2 * EVP_MAX_BLOCK_LENGTH,
};

struct rows {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    unsigned char key[KEY_LEN]; /* the key's name; zeros: the default key */
    unsigned char out[OUT_MAX];
};

static void print_errors(void)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long code = 0;
    fputs("error", stdout);
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);
        printf(" [%s]", reason != NULL ? reason : "?");
    }
    putchar('\n');
}

/* The caller frees it; NULL: it is no hex. */
static unsigned char *unhex(const char *word, long *len)
{
    *len = 0;
    if (strcmp(word, "-") == 0)
        return OPENSSL_zalloc(1);
    return OPENSSL_hexstr2buf(word, len);
}

/* Whole messages; -1 on any failure. */
static int run(struct rows *rows, bool encrypt, const unsigned char *aad,
               long aad_len, const unsigned char *in, long in_len)
{
    int n = 0, tail = 0;
    if (aad == NULL || in == NULL
        || !EVP_CipherInit_ex2(rows->ctx, rows->cipher, rows->key, NULL,
                               encrypt, NULL)
        || (aad_len > 0
            && !EVP_CipherUpdate(rows->ctx, NULL, &n, aad, (int)aad_len))
        || !EVP_CipherUpdate(rows->ctx, rows->out, &n, in, (int)in_len)
        || !EVP_CipherFinal_ex(rows->ctx, rows->out + n, &tail))
        return -1;
    return n + tail;
}

static void obey(struct rows *rows, char *line)
{
    char *rest = line;
    const char *verb = strsep(&rest, " ");
    const char *aad_hex = rest != NULL ? strsep(&rest, " ") : "";
    const char *in_hex = rest != NULL ? rest : "";
    long aad_len = 0, in_len = 0;
    unsigned char *aad = unhex(aad_hex, &aad_len), *in = unhex(in_hex, &in_len);
    int len = run(rows, strcmp(verb, "encrypt") == 0, aad, aad_len, in, in_len);
    OPENSSL_free(aad);
    OPENSSL_free(in);
    if (len < 0) {
        print_errors();
        return;
    }
    fputs("ok ", stdout);
    for (int i = 0; i < len; i++)
        printf("%02x", rows->out[i]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    static struct rows rows;
    static char line[LINE_MAX_LEN];
    if (argc > 1)
        memcpy(rows.key, argv[1], strnlen(argv[1], KEY_LEN));
    rows.cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    rows.ctx = EVP_CIPHER_CTX_new();
    if (rows.cipher == NULL || rows.ctx == NULL) {
        ERR_print_errors_fp(stderr);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&rows, line);
        fflush(stdout);
    }
    EVP_CIPHER_CTX_free(rows.ctx);
    EVP_CIPHER_free(rows.cipher);
    return EXIT_SUCCESS;
}
