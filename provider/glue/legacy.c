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
static EVP_CIPHER *cipher;

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
    EVP_CIPHER_free(cipher);
    cipher = NULL;
    OSSL_PROVIDER_unload(builtin);
    builtin = NULL;
    OSSL_LIB_CTX_free(libctx);
    libctx = NULL;
}

static kmse_st locked_register(void)
{
    if (cipher != NULL)
        return KMSE_OK;
    libctx = OSSL_LIB_CTX_new();
    if (libctx != NULL
        && OSSL_PROVIDER_add_builtin(libctx, BUILTIN_NAME, builtin_init) == 1)
        builtin = OSSL_PROVIDER_load(libctx, BUILTIN_NAME);
    if (builtin != NULL)
        cipher = EVP_CIPHER_fetch(libctx, KMSE_CIPHER_NAME, NULL);
    if (cipher == NULL
        || OBJ_NAME_add(KMSE_CIPHER_LEGACY_NAME, OBJ_NAME_TYPE_CIPHER_METH,
                        (const char *)cipher)
               != 1) {
        locked_forget();
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    return KMSE_OK;
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
