/* SPDX-License-Identifier: Apache-2.0 */
/* Keys under a KMS on loopback, and library contexts that use them. */
#include "site.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/provider.h>

#include "keyring/rotation.h"
#include "kms/aws_settings.h"
#include "kms_double.h"
#include "kms_envelope/params.h"

enum { URL_LEN = 64, ENTRY_LEN = SITE_PATH_LEN + 258 };

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "the benchmark cannot start: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void need(kmse_st st, const char *what, const struct kmse_why *why)
{
    if (kmse_is_ok(st))
        return;
    fprintf(stderr, "%s\n", why->text);
    give_up(what, kmse_reason_text(st.reason));
}

static const char *path_of(char path[SITE_PATH_LEN], const struct site *site,
                           const char *name)
{
    snprintf(path, SITE_PATH_LEN, "%.64s/%s", site->folder, name);
    return path;
}

/* Nobody's own configuration counts, and the credentials are anybody's. */
static void set_environment(void)
{
    setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "of-nobody", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_PROFILE");
}

void site_open(struct site *site, uint16_t kms_port)
{
    char keys[SITE_PATH_LEN];
    set_environment();
    *site = (struct site){.port = kms_port};
    snprintf(site->folder, sizeof(site->folder), "/tmp/kmse-bench-XXXXXX");
    if (mkdtemp(site->folder) == NULL
        || mkdir(path_of(keys, site, "keys"), S_IRWXU) != 0)
        give_up(site->folder, "cannot be made");
}

static void remove_all(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char path[ENTRY_LEN];
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%.127s/%.255s", folder, entry->d_name);
        unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

void site_close(const struct site *site)
{
    char keys[SITE_PATH_LEN];
    remove_all(path_of(keys, site, "keys"));
    remove_all(site->folder);
}

void site_key_name(unsigned char name[SITE_NAME_LEN], int number)
{
    memset(name, 0, SITE_NAME_LEN);
    snprintf((char *)name, SITE_NAME_LEN, "key-%d", number);
}

void site_create_keys(const struct site *site, int count)
{
    char keys[SITE_PATH_LEN], url[URL_LEN];
    unsigned char name[SITE_NAME_LEN];
    const char *uris[] = {"aws-kms:" KMS_ARN};
    struct kmse_rotation r = {.clock = &kmse_clock_system,
                              .folder = path_of(keys, site, "keys")};
    struct kmse_why why = {""};
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", site->port);
    const struct kmse_aws_options aws = {.endpoint_url = url};
    const struct kmse_kms_options options = {.aws = &aws};
    need(kmse_crypto_new(&r.crypto, NULL, false), "crypto", &why);
    need(kmse_pool_new(&r.pool), "key memory", &why);
    need(kmse_kms_new(&r.kms, r.crypto, r.pool, r.clock, &options), "KMS",
         &why);
    for (int i = 0; i < count; i++) {
        site_key_name(name, i);
        need(kmse_rotation_create(&r, (const char *)name, uris, 1, NULL, NULL,
                                  &why),
             "a key", &why);
    }
    kmse_kms_free(r.kms);
    kmse_pool_free(r.pool);
    kmse_crypto_free(r.crypto);
}

static void write_conf(const char *path, const struct site *site,
                       const char *settings)
{
    FILE *conf = fopen(path, "w");
    if (conf == NULL)
        give_up(path, "cannot be written");
    fprintf(conf,
            "openssl_conf = init\n"
            "[init]\nproviders = providers\n"
            "[providers]\ndefault = default_section\n"
            "kms-envelope = kms_envelope_section\n"
            "[default_section]\nactivate = 1\n"
            "[kms_envelope_section]\n"
            "module = " MODULE_FOLDER "/kms-envelope.so\n"
            "activate = 1\nkeys = %s/keys\n"
            "aws-endpoint-url = http://127.0.0.1:%u\n"
            "legacy-names = no\n%s\n",
            site->folder, site->port, settings);
    if (fclose(conf) != 0)
        give_up(path, "cannot be written");
}

void site_start(struct site_program *program, const struct site *site,
                const char *settings, OSSL_provider_init_fn *init)
{
    char conf[SITE_PATH_LEN];
    write_conf(path_of(conf, site, "openssl.cnf"), site, settings);
    program->libctx = OSSL_LIB_CTX_new();
    if (program->libctx == NULL
        || (init != NULL
            && !OSSL_PROVIDER_add_builtin(program->libctx, KMSE_PROVIDER_NAME,
                                          init))
        || !OSSL_LIB_CTX_load_config(program->libctx, conf))
        give_up(conf, "OpenSSL does not load it");
    program->cipher = EVP_CIPHER_fetch(program->libctx, KMSE_CIPHER_NAME, NULL);
    if (program->cipher == NULL) {
        ERR_print_errors_fp(stderr);
        give_up(KMSE_CIPHER_NAME, "cannot be fetched");
    }
}

void site_end(struct site_program *program)
{
    EVP_CIPHER_free(program->cipher);
    OSSL_LIB_CTX_free(program->libctx);
}
