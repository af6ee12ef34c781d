/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope check: is a handle replaced by a key, here, as this user? */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "base/bytes.h"
#include "keyring/handle.h"
#include "kms_envelope/params.h"
#include "tools/common.h"

/*
 * Where the module or its configuration is missing, a program encrypts under
 * the handle's own bytes and nobody is told. So each way in which programs name
 * AES is gone, and the result must not be the one of those bytes.
 */
enum { BLOCK_LEN = 16, HEX_LEN = 2 * KMSE_HANDLE_LEN };
static const uint8_t ZEROS[BLOCK_LEN];

struct way {
    const char *name;
    const EVP_CIPHER *(*hard_coded)(void); /* NULL: fetched by name */
};
static const struct way WAYS[] = {
    {"AES-256-CBC", NULL}, {"AES-256-CBC", EVP_aes_256_cbc},
    {"AES-256-GCM", NULL}, {"AES-256-GCM", EVP_aes_256_gcm},
    {"AES-256-CTR", NULL}, {"AES-256-CTR", EVP_aes_256_ctr},
    {"AES-256-ECB", NULL}, {"AES-256-ECB", EVP_aes_256_ecb},
};
enum { WAY_COUNT = sizeof(WAYS) / sizeof(WAYS[0]) };

static bool encrypt(uint8_t out[BLOCK_LEN], EVP_CIPHER_CTX *ctx,
                    const EVP_CIPHER *cipher, const uint8_t *key)
{
    uint8_t written[2 * BLOCK_LEN];
    int len = 0;
    if (EVP_EncryptInit_ex2(ctx, cipher, key, ZEROS, NULL) != 1
        || EVP_EncryptUpdate(ctx, written, &len, ZEROS, BLOCK_LEN) != 1
        || len != BLOCK_LEN)
        return false;
    memcpy(out, written, BLOCK_LEN);
    return true;
}

static const char *provider_of(const EVP_CIPHER *cipher)
{
    const OSSL_PROVIDER *provider =
        cipher != NULL ? EVP_CIPHER_get0_provider(cipher) : NULL;
    return provider != NULL ? OSSL_PROVIDER_get0_name(provider) : "none";
}

/* What AES makes of the handle's own bytes. */
static bool encrypt_raw(uint8_t out[BLOCK_LEN], OSSL_LIB_CTX *libctx,
                        const char *name, const uint8_t *handle)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, name, "");
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok =
        cipher != NULL && ctx != NULL && encrypt(out, ctx, cipher, handle);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok;
}

static void fail(const struct way *way, const char *problem)
{
    printf("FAILED   %s, %s: %s\n", way->name,
           way->hard_coded != NULL ? "hard-coded" : "by name", problem);
    unsigned long error = ERR_peek_last_error();
    const char *data = NULL;
    if (error != 0)
        (void)ERR_peek_last_error_all(NULL, NULL, NULL, &data, NULL);
    if (error != 0)
        printf("         %s%s%s\n", ERR_reason_error_string(error),
               data != NULL && data[0] != '\0' ? ": " : "",
               data != NULL ? data : "");
}

static bool check_ctx(const struct way *way, EVP_CIPHER_CTX *ctx,
                      const EVP_CIPHER *cipher, OSSL_LIB_CTX *libctx,
                      const uint8_t *handle)
{
    uint8_t done[BLOCK_LEN], raw[BLOCK_LEN];
    char problem[128];
    if (!encrypt(done, ctx, cipher, handle)) {
        fail(way, "the handle cannot be used");
        return false;
    }
    const char *provider = provider_of(EVP_CIPHER_CTX_get0_cipher(ctx));
    if (strcmp(provider, KMSE_PROVIDER_NAME) != 0) {
        snprintf(problem, sizeof(problem),
                 "not in force, it comes from the provider \"%s\"", provider);
        fail(way, problem);
        return false;
    }
    if (!encrypt_raw(raw, libctx, way->name, handle)
        || memcmp(done, raw, BLOCK_LEN) == 0) {
        fail(way, "not in force, the handle itself was used as the key");
        return false;
    }
    printf("ok       %s, %s\n", way->name,
           way->hard_coded != NULL ? "hard-coded" : "by name");
    return true;
}

static bool check_way(const struct way *way, OSSL_LIB_CTX *libctx,
                      const uint8_t *handle)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER *fetched = way->hard_coded == NULL
                              ? EVP_CIPHER_fetch(NULL, way->name, NULL)
                              : NULL;
    const EVP_CIPHER *cipher =
        way->hard_coded != NULL ? way->hard_coded() : fetched;
    bool ok = ctx != NULL && cipher != NULL
              && check_ctx(way, ctx, cipher, libctx, handle);
    if (cipher == NULL)
        fail(way, "there is none");
    EVP_CIPHER_free(fetched);
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

/* The tool, for once, has the configuration that programs have. */
static bool load_configuration(void)
{
    return CONF_modules_load_file_ex(NULL, NULL, NULL,
                                     CONF_MFLAGS_DEFAULT_SECTION
                                         | CONF_MFLAGS_IGNORE_MISSING_FILE)
           > 0;
}

static bool check_ways(const uint8_t *handle)
{
    bool ok = load_configuration();
    if (!ok)
        puts("FAILED   OpenSSL does not take its configuration file");
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *raw =
        libctx != NULL ? OSSL_PROVIDER_load(libctx, "default") : NULL;
    for (size_t i = 0; i < WAY_COUNT; i++)
        ok = check_way(&WAYS[i], libctx, handle) && ok;
    OSSL_PROVIDER_unload(raw);
    OSSL_LIB_CTX_free(libctx);
    return ok;
}

/* As it is, or in hex, as files of keys have it. */
static bool parse_handle(uint8_t handle[KMSE_HANDLE_LEN], const char *line)
{
    size_t len = strlen(line);
    if (len == KMSE_HANDLE_LEN)
        memcpy(handle, line, KMSE_HANDLE_LEN);
    else if (len != HEX_LEN
             || !kmse_is_ok(kmse_hex_decode(handle, KMSE_HANDLE_LEN, line)))
        return false;
    return kmse_handle_is_one(handle, KMSE_HANDLE_LEN);
}

static bool read_handle(uint8_t handle[KMSE_HANDLE_LEN])
{
    char line[HEX_LEN + 3] = "";
    if (isatty(STDIN_FILENO))
        kmse_tool_hint("the handle, on a line:");
    bool ok = fgets(line, sizeof(line), stdin) != NULL;
    line[strcspn(line, "\r\n")] = '\0';
    ok = ok && parse_handle(handle, line);
    OPENSSL_cleanse(line, sizeof(line));
    return ok;
}

static int run(const struct kmse_options *options)
{
    (void)options;
    uint8_t handle[KMSE_HANDLE_LEN];
    struct kmse_why why = {""};
    if (!read_handle(handle)) {
        kmse_st st = kmse_fail(&why, KMSE_R_HANDLE,
                               "standard input is none: kms-envelope handle");
        return kmse_tool_fail(st, &why);
    }
    bool ok = check_ways(handle);
    OPENSSL_cleanse(handle, sizeof(handle));
    if (ok)
        return KMSE_EXIT_DONE;
    char *path = CONF_get1_default_config_file();
    kmse_tool_hint("data would be encrypted under the handle itself, or not at"
                   " all. In %s, or the file that OPENSSL_CONF names for the"
                   " program: drop-in = yes in our section, and"
                   " default_properties = ?provider=" KMSE_PROVIDER_NAME,
                   path != NULL ? path : "openssl.cnf");
    OPENSSL_free(path);
    return KMSE_EXIT_FAILED;
}

const struct kmse_verb kmse_verb_check = {
    .name = "check",
    .operands = "",
    .summary = "prove that a handle is replaced by its key, here",
    .details =
        "Reads a handle from standard input, as it is or in lower-case hex. Run"
        " it as the\nprogram's user and with its environment, before the"
        " program starts (ExecStartPre=):\nwhere the drop-in is not in force, "
        "the"
        " program would encrypt under the handle\nitself and tell nobody.",
    .run = run,
};
