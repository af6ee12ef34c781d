/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that stays: evp_loop [KEY]
 * A line in: "encrypt TEXT" or "decrypt HEX". A line out: "ok HEX", "ok TEXT",
 * or "error" and the whole error queue. "release": everything of OpenSSL is
 * freed, and the program stays. It knows EVP alone.
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
    LINE_MAX_LEN = 65536,
    ROW_MAX = LINE_MAX_LEN + EVP_MAX_BLOCK_LENGTH,
    OUT_MAX = ROW_MAX + EVP_MAX_BLOCK_LENGTH,
};

struct loop {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    unsigned char key[KEY_LEN]; /* the key's name; zeros: the default key */
    unsigned char out[OUT_MAX];
};

/* The earliest is what happened, those after it what came of it. */
static void print_errors(void)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long code = 0;
    fputs("error", stdout);
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);
        bool has_data = (flags & ERR_TXT_STRING) != 0 && data[0] != '\0';
        printf(" [%s%s%s]", reason != NULL ? reason : "?", has_data ? ": " : "",
               has_data ? data : "");
    }
    putchar('\n');
}

/* Whole messages; -1 on any failure. */
static int run(struct loop *loop, bool encrypt, const unsigned char *in,
               size_t in_len)
{
    int n = 0, tail = 0;
    if (!EVP_CipherInit_ex2(loop->ctx, loop->cipher, loop->key, NULL, encrypt,
                            NULL)
        || !EVP_CipherUpdate(loop->ctx, loop->out, &n, in, (int)in_len)
        || !EVP_CipherFinal_ex(loop->ctx, loop->out + n, &tail))
        return -1;
    return n + tail;
}

static void encrypt(struct loop *loop, const char *text)
{
    int len = run(loop, true, (const unsigned char *)text, strlen(text));
    if (len < 0) {
        print_errors();
        return;
    }
    fputs("ok ", stdout);
    for (int i = 0; i < len; i++)
        printf("%02x", loop->out[i]);
    putchar('\n');
}

static void decrypt(struct loop *loop, const char *hex)
{
    long message_len = 0;
    unsigned char *message = OPENSSL_hexstr2buf(hex, &message_len);
    int len = -1;
    if (message != NULL)
        len = run(loop, false, message, (size_t)message_len);
    OPENSSL_free(message);
    if (len < 0)
        print_errors();
    else
        printf("ok %.*s\n", len, (const char *)loop->out);
}

static void release(struct loop *loop)
{
    EVP_CIPHER_CTX_free(loop->ctx);
    EVP_CIPHER_free(loop->cipher);
    *loop = (struct loop){.ctx = NULL};
    OPENSSL_cleanup();
    puts("ok");
}

static void obey(struct loop *loop, const char *line)
{
    static const char ENCRYPT[] = "encrypt ", DECRYPT[] = "decrypt ";
    static const char RELEASE[] = "release";
    if (strncmp(line, ENCRYPT, strlen(ENCRYPT)) == 0)
        encrypt(loop, line + strlen(ENCRYPT));
    else if (strncmp(line, DECRYPT, strlen(DECRYPT)) == 0)
        decrypt(loop, line + strlen(DECRYPT));
    else if (strcmp(line, RELEASE) == 0)
        release(loop);
    else
        puts("error [no such command]");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct loop loop;
    static char line[LINE_MAX_LEN];
    if (argc > 1)
        memcpy(loop.key, argv[1], strnlen(argv[1], KEY_LEN));
    loop.cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    loop.ctx = EVP_CIPHER_CTX_new();
    if (loop.cipher == NULL || loop.ctx == NULL) {
        ERR_print_errors_fp(stderr);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&loop, line);
    }
    EVP_CIPHER_CTX_free(loop.ctx);
    EVP_CIPHER_free(loop.cipher);
    return EXIT_SUCCESS;
}
