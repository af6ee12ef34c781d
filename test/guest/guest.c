/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages through EVP. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>

enum {
    OWN_REASON = 7,
    KEY_LEN = 32,
    ROW_MAX = 64,
    NS_PER_US = 1000,
    US_PER_S = 1000000
};

static const unsigned char TEXT[] = "anna@example.org";

struct row {
    unsigned char bytes[ROW_MAX + EVP_MAX_BLOCK_LENGTH];
    int len;
};

static bool run(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                const unsigned char *key, bool encrypt, const struct row *in,
                struct row *out)
{
    int tail = 0;
    bool done =
        EVP_CipherInit_ex2(ctx, cipher, key, NULL, encrypt, NULL) == 1
        && EVP_CipherUpdate(ctx, out->bytes, &out->len, in->bytes, in->len) == 1
        && EVP_CipherFinal_ex(ctx, out->bytes + out->len, &tail) == 1;
    out->len += tail;
    return done;
}

static void set_key(unsigned char key[KEY_LEN], const char *name)
{
    memset(key, 0, KEY_LEN);
    memcpy(key, name, strnlen(name, KEY_LEN));
}

bool encrypt_with(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                  const char *key_name)
{
    unsigned char key[KEY_LEN];
    struct row text = {.len = sizeof(TEXT)}, message = {.len = 0};
    memcpy(text.bytes, TEXT, sizeof(TEXT));
    set_key(key, key_name);
    return run(ctx, cipher, key, true, &text, &message);
}

static bool try_both_ways(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                          const char *key_name)
{
    unsigned char key[KEY_LEN];
    struct row text = {.len = sizeof(TEXT)}, message = {.len = 0},
               opened = {.len = 0};
    memcpy(text.bytes, TEXT, sizeof(TEXT));
    set_key(key, key_name);
    return run(ctx, cipher, key, true, &text, &message)
           && run(ctx, cipher, key, false, &message, &opened)
           && opened.len == text.len
           && memcmp(opened.bytes, text.bytes, sizeof(TEXT)) == 0;
}

static bool is_queue_as_it_was(void)
{
    return ERR_GET_REASON(ERR_get_error()) == OWN_REASON
           && ERR_get_error() == 0;
}

bool round_trip(OSSL_LIB_CTX *libctx, const char *key_name)
{
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, OWN_REASON);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, "KMS-ENVELOPE", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool worked =
        cipher != NULL && ctx != NULL && try_both_ways(ctx, cipher, key_name);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    if (worked && is_queue_as_it_was())
        return true;
    fprintf(stderr, "key %s%s:\n", key_name,
            worked ? ": the program's error is lost" : "");
    ERR_print_errors_fp(stderr);
    return false;
}

void pause_at_random(unsigned max_us)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned us = (unsigned)(now.tv_nsec / NS_PER_US) % (max_us + 1);
    struct timespec pause = {us / US_PER_S, (long)(us % US_PER_S) * NS_PER_US};
    nanosleep(&pause, NULL);
}
