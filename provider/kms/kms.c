/* SPDX-License-Identifier: Apache-2.0 */
/* All backends behind one door: the URI's scheme says which serves a call. */
#include "kms/kms.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/aws_client.h"
#include "kms/backend.h"

struct kmse_kms {
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    const struct kmse_clock *clock;
    struct kmse_aws *aws;
    _Atomic uint64_t calls;
};

static const struct kmse_kms_backend *const BACKENDS[] = {
    &kmse_kms_local,
    &kmse_kms_aws,
};
enum { BACKEND_COUNT = sizeof(BACKENDS) / sizeof(BACKENDS[0]) };

enum kmse_kms_class kmse_kms_classify(kmse_st st)
{
    switch (st.reason) {
    case KMSE_R_KMS_UNREACHABLE:
    case KMSE_R_KMS_THROTTLED:
    case KMSE_R_KMS_TIMEOUT:
    case KMSE_R_INTERRUPTED:
        return KMSE_KMS_RETRYABLE;
    case KMSE_R_KMS_DENIED:
    case KMSE_R_KMS_DISABLED:
    case KMSE_R_KMS_PENDING_DELETION:
    case KMSE_R_KMS_STATE:
        return KMSE_KMS_DENIED;
    case KMSE_R_KMS_KEY_NOT_FOUND:
        return KMSE_KMS_NOT_FOUND;
    default:
        return KMSE_KMS_FATAL;
    }
}

kmse_st kmse_kms_new(struct kmse_kms **kms, struct kmse_crypto *crypto,
                     struct kmse_pool *pool, const struct kmse_clock *clock,
                     const struct kmse_kms_options *options)
{
    const struct kmse_aws_options defaults = {0};
    const struct kmse_aws_options *aws = &defaults;
    if (options != NULL && options->aws != NULL)
        aws = options->aws;
    struct kmse_kms *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->crypto = crypto;
    made->pool = pool;
    made->clock = clock;
    kmse_st st =
        kmse_aws_new(&made->aws, crypto, pool, aws, clock, NULL, NULL);
    if (!kmse_is_ok(st)) {
        free(made);
        return st;
    }
    *kms = made;
    return KMSE_OK;
}

void kmse_kms_free(struct kmse_kms *kms)
{
    if (kms == NULL)
        return;
    kmse_aws_free(kms->aws);
    free(kms);
}

void kmse_kms_prepare_fork(struct kmse_kms *kms)
{
    kmse_aws_prepare_fork(kms->aws);
}

void kmse_kms_parent(struct kmse_kms *kms)
{
    kmse_aws_parent(kms->aws);
}

void kmse_kms_child(struct kmse_kms *kms)
{
    kmse_aws_child(kms->aws);
}

uint64_t kmse_kms_calls(const struct kmse_kms *kms)
{
    return atomic_load_explicit(&kms->calls, memory_order_relaxed);
}

static kmse_st find_backend(const struct kmse_kms_backend **backend,
                            const char *uri, struct kmse_why *why)
{
    for (size_t i = 0; i < BACKEND_COUNT; i++) {
        size_t len = strlen(BACKENDS[i]->scheme);
        if (strncmp(uri, BACKENDS[i]->scheme, len) != 0)
            continue;
        if (uri[len] == '\0')
            break;
        *backend = BACKENDS[i];
        return KMSE_OK;
    }
    return kmse_fail(why, KMSE_R_KMS_URI,
                     "'%s': give a master key as local:<path> or "
                     "aws-kms:<key ARN, alias or id>",
                     uri);
}

/* The backend that serves the URI, and what a call to it needs. */
static kmse_st prepare(const struct kmse_kms_backend **backend,
                       struct kmse_kms_call *call, const struct kmse_kms *kms,
                       const char *uri, struct kmse_why *why)
{
    KMSE_TRY(find_backend(backend, uri, why));
    *call = (struct kmse_kms_call){
        .crypto = kms->crypto,
        .pool = kms->pool,
        .clock = kms->clock,
        .aws = kms->aws,
        .uri = uri,
        .location = uri + strlen((*backend)->scheme),
    };
    return KMSE_OK;
}

/* The same for a call that counts. */
static kmse_st begin(const struct kmse_kms_backend **backend,
                     struct kmse_kms_call *call, struct kmse_kms *kms,
                     const char *uri, struct kmse_why *why)
{
    KMSE_TRY(prepare(backend, call, kms, uri, why));
    atomic_fetch_add_explicit(&kms->calls, 1, memory_order_relaxed);
    return KMSE_OK;
}

static kmse_st not_possible(const char *uri, const char *what,
                            struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_KMS_URI,
                     "%s: its KMS does not let us %s: do it there", uri, what);
}

static kmse_st join(char **joined, const char *scheme, const char *location)
{
    size_t size = strlen(scheme) + strlen(location) + 1;
    char *made = malloc(size);
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    snprintf(made, size, "%s%s", scheme, location);
    *joined = made;
    return KMSE_OK;
}

kmse_st kmse_kms_resolve(char **resolved, struct kmse_kms *kms, const char *uri,
                         struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    char *location = NULL;
    KMSE_TRY(prepare(&backend, &call, kms, uri, why));
    KMSE_TRY(backend->resolve(&call, &location, why));
    kmse_st st = join(resolved, backend->scheme, location);
    free(location);
    return st;
}

kmse_st kmse_kms_ensure(struct kmse_kms *kms, const char *uri, bool *made,
                        struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    bool made_now = false;
    KMSE_TRY(prepare(&backend, &call, kms, uri, why));
    if (backend->ensure != NULL)
        KMSE_TRY(backend->ensure(&call, &made_now, why));
    if (made != NULL)
        *made = made_now;
    return KMSE_OK;
}

kmse_st kmse_kms_rotate_master(struct kmse_kms *kms, const char *uri,
                               struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(begin(&backend, &call, kms, uri, why));
    if (backend->rotate_master == NULL)
        return not_possible(uri, "rotate the master key", why);
    return backend->rotate_master(&call, why);
}

/* For a KMS that makes no data keys: random bytes of our own, wrapped. */
static kmse_st generate_and_wrap(const struct kmse_kms_backend *backend,
                                 const struct kmse_kms_call *call,
                                 const struct kmse_kms_context *context,
                                 struct kmse_secret *data_key,
                                 struct kmse_blob *blob, struct kmse_why *why)
{
    struct kmse_secret made = {0};
    kmse_st st = kmse_secret_init(&made, call->pool);
    if (kmse_is_ok(st))
        st = kmse_crypto_random(call->crypto, made.bytes, KMSE_SECRET_LEN);
    if (!kmse_is_ok(st))
        st = kmse_fail(why, st.reason, "%s: no new data key", call->uri);
    else
        st = backend->wrap(call, context, &made, blob, why);
    if (kmse_is_ok(st))
        *data_key = kmse_secret_take(&made);
    kmse_secret_wipe(&made);
    return st;
}

kmse_st kmse_kms_generate(struct kmse_kms *kms, const char *uri,
                          const struct kmse_kms_context *context,
                          struct kmse_secret *data_key, struct kmse_blob *blob,
                          struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(begin(&backend, &call, kms, uri, why));
    if (backend->generate != NULL)
        return backend->generate(&call, context, data_key, blob, why);
    return generate_and_wrap(backend, &call, context, data_key, blob, why);
}

kmse_st kmse_kms_wrap(struct kmse_kms *kms, const char *uri,
                      const struct kmse_kms_context *context,
                      const struct kmse_secret *data_key,
                      struct kmse_blob *blob, struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(begin(&backend, &call, kms, uri, why));
    return backend->wrap(&call, context, data_key, blob, why);
}

kmse_st kmse_kms_unwrap(struct kmse_kms *kms, const char *uri,
                        const struct kmse_kms_context *context,
                        const struct kmse_blob *blob,
                        struct kmse_secret *data_key, struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(begin(&backend, &call, kms, uri, why));
    return backend->unwrap(&call, context, blob, data_key, why);
}

kmse_st kmse_kms_rewrap(struct kmse_kms *kms, const char *from_uri,
                        const struct kmse_kms_context *from_context,
                        const struct kmse_blob *from_blob, const char *to_uri,
                        const struct kmse_kms_context *to_context,
                        struct kmse_blob *to_blob, struct kmse_why *why)
{
    const struct kmse_kms_backend *from_backend = NULL;
    const struct kmse_kms_backend *to_backend = NULL;
    struct kmse_kms_call from, to;
    KMSE_TRY(begin(&from_backend, &from, kms, from_uri, why));
    if (from_backend->rewrap != NULL) {
        KMSE_TRY(prepare(&to_backend, &to, kms, to_uri, why));
        if (to_backend == from_backend)
            return from_backend->rewrap(&from, from_context, from_blob, &to,
                                        to_context, to_blob, why);
    }

    struct kmse_secret data_key = {0};
    KMSE_TRY(
        from_backend->unwrap(&from, from_context, from_blob, &data_key, why));
    kmse_st st =
        kmse_kms_wrap(kms, to_uri, to_context, &data_key, to_blob, why);
    kmse_secret_wipe(&data_key);
    return st;
}

kmse_st kmse_kms_describe(struct kmse_kms *kms, const char *uri,
                          struct kmse_kms_description *description,
                          struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(begin(&backend, &call, kms, uri, why));
    return backend->describe(&call, description, why);
}

kmse_st kmse_kms_access(struct kmse_kms *kms, const char *uri,
                        char out[KMSE_KMS_ACCESS_LEN], struct kmse_why *why)
{
    const struct kmse_kms_backend *backend = NULL;
    struct kmse_kms_call call;
    KMSE_TRY(prepare(&backend, &call, kms, uri, why));
    if (backend->access != NULL)
        return backend->access(&call, out, why);
    out[0] = '\0';
    return KMSE_OK;
}
