/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with keys and an openssl.cnf; whole messages through EVP. */
#include "support/evp_env.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "keyring/rotation.h"
#include "kms_envelope/params.h"

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "the test cannot start: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void need(kmse_st st, const char *what, const struct kmse_why *why)
{
    if (kmse_is_ok(st))
        return;
    fprintf(stderr, "%s\n", why->text);
    give_up(what, kmse_reason_text(st.reason));
}

/* --- keys --------------------------------------------------------------- */

struct rotation_env {
    struct kmse_rotation rotation;
    char keys[ENV_PATH_LEN], uri[ENV_PATH_LEN];
    struct kmse_why why;
};

static void open_rotation(struct rotation_env *rotation,
                          const struct evp_env *env)
{
    *rotation = (struct rotation_env){0};
    snprintf(rotation->keys, sizeof(rotation->keys), "%s/keys", env->folder);
    snprintf(rotation->uri, sizeof(rotation->uri), "local:%s/master-key",
             env->folder);
    struct kmse_rotation *made = &rotation->rotation;
    made->folder = rotation->keys;
    made->clock = &kmse_clock_system;
    need(kmse_crypto_new(&made->crypto, NULL, false), "crypto", &rotation->why);
    need(kmse_pool_new(&made->pool), "key memory", &rotation->why);
    need(kmse_kms_new(&made->kms, made->crypto, made->pool, made->clock, NULL),
         "KMS", &rotation->why);
}

static void close_rotation(struct rotation_env *rotation)
{
    kmse_kms_free(rotation->rotation.kms);
    kmse_pool_free(rotation->rotation.pool);
    kmse_crypto_free(rotation->rotation.crypto);
}

void evp_env_create_key(const struct evp_env *env, const char *name)
{
    struct rotation_env rotation;
    open_rotation(&rotation, env);
    struct kmse_kms_description description;
    kmse_st st = kmse_kms_describe(rotation.rotation.kms, rotation.uri,
                                   &description, &rotation.why);
    if (st.reason == KMSE_R_KMS_KEY_NOT_FOUND)
        st = kmse_kms_ensure(rotation.rotation.kms, rotation.uri, NULL,
                             &rotation.why);
    need(st, "master key", &rotation.why);
    const char *uris[] = {rotation.uri};
    const struct kmse_kms_context context = {0};
    const struct kmse_policy policy = {0};
    need(kmse_rotation_create(&rotation.rotation, name, uris, 1, &context,
                              &policy, &rotation.why),
         "create", &rotation.why);
    close_rotation(&rotation);
}

void evp_env_rotate_in(const struct evp_env *env, const char *name,
                       int64_t active_in_s)
{
    struct rotation_env rotation;
    uint32_t number = 0;
    open_rotation(&rotation, env);
    need(kmse_rotation_rotate(&rotation.rotation, name, active_in_s, &number,
                              &rotation.why),
         "rotate", &rotation.why);
    close_rotation(&rotation);
}

void evp_env_rotate(const struct evp_env *env, const char *name)
{
    evp_env_rotate_in(env, name, 0);
}

void evp_env_revoke(const struct evp_env *env, const char *name,
                    uint32_t version)
{
    struct rotation_env rotation;
    uint32_t number = 0;
    open_rotation(&rotation, env);
    need(kmse_rotation_revoke(&rotation.rotation, name, version, false, &number,
                              &rotation.why),
         "revoke", &rotation.why);
    close_rotation(&rotation);
}

void evp_env_handle(uint8_t handle[ENV_KEY_LEN], const struct evp_env *env,
                    const char *name, uint32_t version)
{
    struct rotation_env rotation;
    open_rotation(&rotation, env);
    need(kmse_rotation_handle(&rotation.rotation, name, &version, handle,
                              &rotation.why),
         "handle", &rotation.why);
    close_rotation(&rotation);
}

void evp_env_key(unsigned char key[ENV_KEY_LEN], const char *name)
{
    memset(key, 0, ENV_KEY_LEN);
    memcpy(key, name, strlen(name));
}

/* --- the folder --------------------------------------------------------- */

static void make_folder(struct evp_env *env)
{
    const char *parent = getenv("TMPDIR");
    char keys[ENV_PATH_LEN];
    snprintf(env->folder, sizeof(env->folder), "%s/kmse-test-XXXXXX",
             parent != NULL && strlen(parent) < 40 ? parent : "/tmp");
    if (mkdtemp(env->folder) == NULL)
        give_up(env->folder, "cannot be made");
    snprintf(keys, sizeof(keys), "%s/keys", env->folder);
    if (mkdir(keys, S_IRWXU) != 0)
        give_up(keys, "cannot be made");
}

static void remove_files(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char path[ENV_PATH_LEN + sizeof(entry->d_name)];
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
}

const char *evp_env_conf(char out[ENV_PATH_LEN], const struct evp_env *env)
{
    snprintf(out, ENV_PATH_LEN, "%s/openssl.cnf", env->folder);
    return out;
}

static void write_conf(const struct evp_env *env, const char *module,
                       const char *settings)
{
    char path[ENV_PATH_LEN];
    FILE *conf = fopen(evp_env_conf(path, env), "w");
    if (conf == NULL)
        give_up(path, "cannot be written");
    fprintf(conf,
            "openssl_conf = init\n"
            "[init]\nproviders = providers\n"
            "[providers]\ndefault = default_section\n"
            "kms-envelope = kms_envelope_section\n"
            "[default_section]\nactivate = 1\n"
            "[kms_envelope_section]\n"
            "module = %s\n"
            "activate = 1\nkeys = %s/keys\ndefault-key = " ENV_KEY "\n%s\n",
            module, env->folder, settings);
    if (fclose(conf) != 0)
        give_up(path, "cannot be written");
}

OSSL_LIB_CTX *evp_env_load(const struct evp_env *env)
{
    char path[ENV_PATH_LEN];
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    if (libctx == NULL
        || OSSL_LIB_CTX_load_config(libctx, evp_env_conf(path, env)) != 1) {
        ERR_print_errors_fp(stderr);
        give_up(path, "OpenSSL does not load it");
    }
    return libctx;
}

void evp_env_open(struct evp_env *env, const char *settings)
{
    evp_env_open_module(env, MODULE_FOLDER "/kms-envelope.so", settings);
}

void evp_env_open_module(struct evp_env *env, const char *module,
                         const char *settings)
{
    *env = (struct evp_env){0};
    make_folder(env);
    write_conf(env, module, settings);
    evp_env_create_key(env, ENV_KEY);
    env->libctx = evp_env_load(env);
    env->cipher = EVP_CIPHER_fetch(env->libctx, KMSE_CIPHER_NAME, NULL);
    if (env->cipher == NULL) {
        ERR_print_errors_fp(stderr);
        give_up(KMSE_CIPHER_NAME, "cannot be fetched");
    }
}

void evp_env_close(struct evp_env *env)
{
    char keys[ENV_PATH_LEN];
    EVP_CIPHER_free(env->cipher);
    OSSL_LIB_CTX_free(env->libctx);
    snprintf(keys, sizeof(keys), "%s/keys", env->folder);
    remove_files(keys);
    rmdir(keys);
    remove_files(env->folder);
    rmdir(env->folder);
}

uint64_t evp_env_kms_calls(OSSL_LIB_CTX *libctx)
{
    uint64_t calls = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint64(KMSE_PARAM_KMS_CALLS, &calls),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, KMSE_PROVIDER_NAME);
    if (provider == NULL || !OSSL_PROVIDER_get_params(provider, params))
        give_up(KMSE_PARAM_KMS_CALLS, "cannot be read");
    OSSL_PROVIDER_unload(provider);
    return calls;
}

/* --- messages ----------------------------------------------------------- */

static int whole(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                 const char *name, int encrypt, struct evp_text aad,
                 struct evp_text in, uint8_t *out)
{
    unsigned char key[ENV_KEY_LEN];
    int len = 0, tail_len = 0, aad_len = 0;
    evp_env_key(key, name != NULL ? name : "");
    if (!EVP_CipherInit_ex2(ctx, cipher, key, NULL, encrypt, NULL))
        return -1;
    if (aad.bytes != NULL
        && !EVP_CipherUpdate(ctx, NULL, &aad_len, aad.bytes, (int)aad.len))
        return -1;
    if (!EVP_CipherUpdate(ctx, out, &len, in.bytes, (int)in.len)
        || !EVP_CipherFinal_ex(ctx, out + len, &tail_len))
        return -1;
    return len + tail_len;
}

int evp_seal(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const char *name,
             struct evp_text aad, struct evp_text in, uint8_t *out)
{
    return whole(ctx, cipher, name, 1, aad, in, out);
}

int evp_open(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, const char *name,
             struct evp_text aad, struct evp_text in, uint8_t *out)
{
    return whole(ctx, cipher, name, 0, aad, in, out);
}

const char *evp_errors(char out[ENV_ERRORS_LEN])
{
    const char *data = NULL;
    int flags = 0;
    size_t len = 0;
    unsigned long code;
    out[0] = '\0';
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);
        int wrote = snprintf(out + len, ENV_ERRORS_LEN - len, "%s: %s\n",
                             reason != NULL ? reason : "?",
                             (flags & ERR_TXT_STRING) != 0 ? data : "");
        if (wrote > 0 && (size_t)wrote < ENV_ERRORS_LEN - len)
            len += (size_t)wrote;
    }
    return out;
}
