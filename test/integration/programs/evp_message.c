/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with a message under way: evp_message
 * A line in: "encrypt" or "decrypt" begins one under the default key, "update
 * HEX" goes on, "final" ends it. A line out: "ok HEX", with what came of it, or
 * "error" and the earliest of the error queue. It knows EVP alone.
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
    OUT_MAX = LINE_MAX_LEN + EVP_MAX_BLOCK_LENGTH,
};

struct message {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    unsigned char out[OUT_MAX];
};

static void print_error(void)
{
    const char *data = "";
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = ERR_reason_error_string(code);
    printf("error [%s: %s]\n", reason != NULL ? reason : "?", data);
    ERR_clear_error();
}

static void print_result(const struct message *message, bool ok, int len)
{
    if (!ok) {
        print_error();
        return;
    }
    fputs("ok ", stdout);
    for (int i = 0; i < len; i++)
        printf("%02x", message->out[i]);
    putchar('\n');
}

static bool begin(struct message *message, bool encrypt)
{
    static const unsigned char DEFAULT_KEY[KEY_LEN];
    return EVP_CipherInit_ex2(message->ctx, message->cipher, DEFAULT_KEY, NULL,
                              encrypt, NULL)
           == 1;
}

static bool update(struct message *message, const char *hex, int *len)
{
    long in_len = 0;
    unsigned char *in = OPENSSL_hexstr2buf(hex, &in_len);
    bool ok =
        in != NULL
        && EVP_CipherUpdate(message->ctx, message->out, len, in, (int)in_len)
               == 1;
    OPENSSL_free(in);
    return ok;
}

static void obey(struct message *message, const char *line)
{
    static const char UPDATE[] = "update ";
    int len = 0;
    bool ok = false;
    if (strcmp(line, "encrypt") == 0)
        ok = begin(message, true);
    else if (strcmp(line, "decrypt") == 0)
        ok = begin(message, false);
    else if (strncmp(line, UPDATE, strlen(UPDATE)) == 0)
        ok = update(message, line + strlen(UPDATE), &len);
    else if (strcmp(line, "final") == 0)
        ok = EVP_CipherFinal_ex(message->ctx, message->out, &len) == 1;
    print_result(message, ok, len);
    fflush(stdout);
}

int main(void)
{
    static struct message message;
    static char line[LINE_MAX_LEN];
    message.cipher = EVP_CIPHER_fetch(NULL, "KMS-ENVELOPE", NULL);
    message.ctx = EVP_CIPHER_CTX_new();
    if (message.cipher == NULL || message.ctx == NULL) {
        ERR_print_errors_fp(stderr);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&message, line);
    }
    EVP_CIPHER_CTX_free(message.ctx);
    EVP_CIPHER_free(message.cipher);
    return EXIT_SUCCESS;
}
