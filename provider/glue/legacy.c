/* SPDX-License-Identifier: Apache-2.0 */
/* The cipher in libcrypto's legacy name table. */
#include "glue/legacy.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/provider.h>

#include "base/fork.h"
#include "glue/provctx.h"
#include "glue/table.h"
#include "kms_envelope/params.h"

static const char BUILTIN_NAME[] = "kms-envelope-legacy";

/* The table is the process's, and so is this. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kmse_legacy_instance *instances; /* oldest first */
static OSSL_LIB_CTX *libctx;
static OSSL_PROVIDER *builtin;

/* Under these names, once they are fetched. */
static struct {
    const char *name, *legacy_name;
    EVP_CIPHER *cipher;
} ciphers[] = {
    {KMSE_CIPHER_NAME, KMSE_CIPHER_LEGACY_NAME, NULL},
    {KMSE_STREAM_CIPHER_NAME, KMSE_STREAM_CIPHER_LEGACY_NAME, NULL},
    {KMSE_SIV_CIPHER_NAME, KMSE_SIV_CIPHER_LEGACY_NAME, NULL},
};
enum { CIPHER_COUNT = sizeof(ciphers) / sizeof(ciphers[0]) };
static bool registered;

static void prepare_fork(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
}

static void after_fork(void *arg)
{
    (void)arg;
    pthread_mutex_unlock(&mutex);
}

static struct kmse_fork_hooks fork_hooks = {
    .prepare = prepare_fork,
    .parent = after_fork,
    .child = after_fork,
};

/* Not under the mutex: a fork takes the two locks in the other order. */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static bool fork_watched;

static void watch_forks(void)
{
    fork_watched = kmse_is_ok(kmse_fork_watch(&fork_hooks));
}

/* --- the built-in instance ---------------------------------------------- */

static OSSL_FUNC_provider_teardown_fn builtin_teardown;

static void builtin_teardown(void *provctx)
{
    free(provctx);
}

static const OSSL_DISPATCH BUILTIN_FUNCTIONS[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))builtin_teardown},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))kmse_query_operation},
    {OSSL_FUNC_PROVIDER_GET_REASON_STRINGS,
     (void (*)(void))kmse_get_reason_strings},
    {0, NULL},
};

static int builtin_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                        const OSSL_DISPATCH **out, void **provctx)
{
    struct kmse_provctx *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return 0;
    kmse_core_read(&made->core, handle, in);
    *provctx = made;
    *out = BUILTIN_FUNCTIONS;
    return 1;
}

/* --- registering -------------------------------------------------------- */

static void locked_forget(void)
{
    for (size_t i = 0; i < CIPHER_COUNT; i++) {
        EVP_CIPHER_free(ciphers[i].cipher);
        ciphers[i].cipher = NULL;
    }
    OSSL_PROVIDER_unload(builtin);
    builtin = NULL;
    OSSL_LIB_CTX_free(libctx);
    libctx = NULL;
}

static bool locked_fetch(void)
{
    libctx = OSSL_LIB_CTX_new();
    if (libctx != NULL
        && OSSL_PROVIDER_add_builtin(libctx, BUILTIN_NAME, builtin_init) == 1)
        builtin = OSSL_PROVIDER_load(libctx, BUILTIN_NAME);
    bool fetched = builtin != NULL;
    for (size_t i = 0; i < CIPHER_COUNT && fetched; i++) {
        ciphers[i].cipher = EVP_CIPHER_fetch(libctx, ciphers[i].name, NULL);
        fetched = ciphers[i].cipher != NULL;
    }
    return fetched;
}

static bool locked_name(void)
{
    for (size_t i = 0; i < CIPHER_COUNT; i++) {
        if (OBJ_NAME_add(ciphers[i].legacy_name, OBJ_NAME_TYPE_CIPHER_METH,
                         (const char *)ciphers[i].cipher)
            != 1)
            return false;
    }
    return true;
}

static kmse_st locked_register(void)
{
    if (registered)
        return KMSE_OK;
    if (ciphers[CIPHER_COUNT - 1].cipher == NULL && !locked_fetch()) {
        locked_forget();
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    /* If it fails, the next try names them again: none is freed by then. */
    registered = locked_name();
    return registered ? KMSE_OK : KMSE_ERR(KMSE_R_MEMORY);
}

kmse_st kmse_legacy_add(struct kmse_legacy_instance *instance)
{
    pthread_once(&fork_once, watch_forks);
    if (!fork_watched)
        return KMSE_ERR(KMSE_R_MEMORY);
    pthread_mutex_lock(&mutex);
    ERR_set_mark();
    kmse_st st = locked_register();
    ERR_pop_to_mark();
    if (kmse_is_ok(st)) {
        struct kmse_legacy_instance **end = &instances;
        while (*end != NULL)
            end = &(*end)->next;
        instance->next = NULL;
        *end = instance;
    }
    pthread_mutex_unlock(&mutex);
    return st;
}

void kmse_legacy_remove(struct kmse_legacy_instance *instance)
{
    pthread_mutex_lock(&mutex);
    for (struct kmse_legacy_instance **at = &instances; *at != NULL;
         at = &(*at)->next) {
        if (*at == instance) {
            *at = instance->next;
            break;
        }
    }
    pthread_mutex_unlock(&mutex);
}

struct kmse_ring *kmse_legacy_acquire_ring(void)
{
    pthread_mutex_lock(&mutex);
    struct kmse_ring *ring =
        instances != NULL ? kmse_ring_acquire(instances->ring) : NULL;
    pthread_mutex_unlock(&mutex);
    return ring;
}
