/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: whether the provider loads from the file, and if not, why. */
#include "tools/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "kms_envelope/params.h"

/* The words for a reason are gone once the provider is: its data are not. */
static void print_error_queue(void)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long error = 0;
    while ((error = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(error);
        bool has_data = (flags & ERR_TXT_STRING) != 0 && data[0] != '\0';
        printf("    %s%s%s\n", reason != NULL ? reason : "",
               reason != NULL && has_data ? ": " : "", has_data ? data : "");
    }
}

/* config(5): a backslash takes any character for what it is. */
static void print_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        fprintf(out, strchr("\\#$\"'`;, \t", *text) != NULL ? "\\%c" : "%c",
                *text);
}

/* The provider's section alone, and without activate. The caller frees it. */
static char *passive_conf(const struct kmse_cnf_provider *provider)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    fprintf(out,
            "openssl_conf = init\n[init]\nproviders = list\n"
            "[list]\n%s = section\n[section]\n",
            provider->name);
    for (size_t i = 0; i < provider->pair_count; i++) {
        const char *name = provider->pairs[i].name;
        const char *dot = strchr(name, '.');
        if (strcmp(dot != NULL ? dot + 1 : name, "activate") == 0)
            continue;
        fprintf(out, "%s = ", name);
        print_escaped(out, provider->pairs[i].value);
        fputc('\n', out);
    }
    bool whole = ferror(out) == 0;
    if (fclose(out) == 0 && whole)
        return text;
    free(text);
    return NULL;
}

static bool load_conf(OSSL_LIB_CTX *libctx, const char *text)
{
    long line = 0;
    CONF *conf = NCONF_new_ex(libctx, NULL);
    BIO *bio = BIO_new_mem_buf(text, -1);
    bool loaded = conf != NULL && bio != NULL
                  && NCONF_load_bio(conf, bio, &line) == 1
                  && CONF_modules_load(conf, NULL, 0) == 1;
    BIO_free(bio);
    NCONF_free(conf);
    return loaded;
}

/*
 * OpenSSL throws away what a provider says that it activates while it reads
 * the file. A provider that is only described there, and then loaded by its
 * name, is heard.
 */
static void print_reason(const struct kmse_cnf_provider *provider)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    char *text = passive_conf(provider);
    if (libctx != NULL && text != NULL && load_conf(libctx, text)) {
        ERR_clear_error();
        OSSL_PROVIDER *loaded = OSSL_PROVIDER_load(libctx, provider->name);
        if (loaded != NULL)
            OSSL_PROVIDER_unload(loaded);
    }
    print_error_queue();
    free(text);
    OSSL_LIB_CTX_free(libctx);
}

/* Whatever properties the file makes the default ones, "fips=yes" say. */
static bool cipher_is_there(OSSL_LIB_CTX *libctx)
{
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(libctx, KMSE_CIPHER_NAME, "?fips=yes");
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

/* Load the file as a program would, but say what it would not. */
void kmse_doctor_check_load(struct kmse_doctor *doctor,
                            const struct kmse_cnf *cnf,
                            const struct kmse_cnf_provider *provider)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    if (libctx == NULL)
        return;
    ERR_clear_error();
    int loaded = CONF_modules_load_file_ex(libctx, kmse_cnf_path(cnf),
                                           provider->root, 0);
    if (OSSL_PROVIDER_available(libctx, provider->name) == 1
        && cipher_is_there(libctx)) {
        kmse_doctor_ok("%s: the provider '%s' loads, with %s", provider->root,
                       provider->name, KMSE_CIPHER_NAME);
        if (loaded <= 0)
            kmse_doctor_note("%s: not all of the file loads; OpenSSL says:",
                             provider->root);
        print_error_queue();
    } else {
        kmse_doctor_find(doctor,
                         "%s: the provider '%s' does not load; OpenSSL says:",
                         provider->root, provider->name);
        print_reason(provider);
        kmse_doctor_mend("correct [%s] in %s", provider->section,
                         kmse_cnf_path(cnf));
    }
    ERR_clear_error();
    OSSL_LIB_CTX_free(libctx);
}
