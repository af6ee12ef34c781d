/* SPDX-License-Identifier: Apache-2.0 */
/* All backends behind one door: the URI's scheme says which serves a call. */
#include "kms/kms.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/agent_client.h"
#include "kms/aws_client.h"
#include "kms/backend.h"

/*
 * An agent asks its KMS within that time itself, as a rule, and must be able
 * to tell when nothing came of it.
 */
enum { TIMEOUT_MS = 5000, AGENT_GRACE_MS = 500 };

struct kmse_kms {
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    const struct kmse_clock *clock;
    struct kmse_aws *aws;
    char *agent; /* or NULL */
    bool agent_fallback;
    uint64_t agent_timeout_ms;
    void (*observe)(void *arg, const struct kmse_kms_event *event);
    void *observe_arg;
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
    case KMSE_R_AGENT:
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

static kmse_st take_options(struct kmse_kms *kms,
                            const struct kmse_kms_options *options)
{
    const struct kmse_aws_options defaults = {0};
    const struct kmse_aws_options *aws =
        options->aws != NULL ? options->aws : &defaults;
    kms->observe = options->observe;
    kms->observe_arg = options->observe_arg;
    kms->agent_fallback = options->agent_fallback;
    kms->agent_timeout_ms =
        (aws->timeout_ms != 0 ? aws->timeout_ms : TIMEOUT_MS) + AGENT_GRACE_MS;
    if (options->agent != NULL) {
        kms->agent = strdup(options->agent);
        if (kms->agent == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
    }
    return kmse_aws_new(&kms->aws, kms->crypto, kms->pool, aws, kms->clock,
                        NULL, NULL);
}

kmse_st kmse_kms_new(struct kmse_kms **kms, struct kmse_crypto *crypto,
                     struct kmse_pool *pool, const struct kmse_clock *clock,
                     const struct kmse_kms_options *options)
{
    const struct kmse_kms_options defaults = {0};
    struct kmse_kms *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made->crypto = crypto;
    made->pool = pool;
    made->clock = clock;
    kmse_st st = take_options(made, options != NULL ? options : &defaults);
    if (!kmse_is_ok(st)) {
        free(made->agent);
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
    free(kms->agent);
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

/* --- operations, counted and told ---------------------------------------- */

static _Thread_local struct {
    const char *key;
    uint32_t version;
} subject;

void kmse_kms_set_subject(const char *key, uint32_t version)
{
    subject.key = key;
    subject.version = version;
}

/* A call that counts, from begin to end. */
struct operation {
    struct kmse_kms *kms;
    const struct kmse_kms_backend *backend;
    struct kmse_kms_call call;
    const char *name;
    uint64_t began_ms;
    char request_id[KMSE_KMS_REQUEST_ID_LEN];
};

static uint64_t now_ms(const struct kmse_kms *kms)
{
    return kms->clock->elapsed_ms(kms->clock->arg);
}

static kmse_st begin(struct operation *op, struct kmse_kms *kms,
                     const char *name, const char *uri, struct kmse_why *why)
{
    KMSE_TRY(prepare(&op->backend, &op->call, kms, uri, why));
    op->kms = kms;
    op->name = name;
    op->began_ms = kms->observe != NULL ? now_ms(kms) : 0;
    op->request_id[0] = '\0';
    op->call.request_id = op->request_id;
    atomic_fetch_add_explicit(&kms->calls, 1, memory_order_relaxed);
    return KMSE_OK;
}

static kmse_st end(const struct operation *op, kmse_st st,
                   const struct kmse_why *why)
{
    const struct kmse_kms *kms = op->kms;
    if (kms->observe == NULL)
        return st;
    const struct kmse_kms_event event = {
        .operation = op->name,
        .uri = op->call.uri,
        .key = subject.key,
        .version = subject.version,
        .request_id = op->request_id,
        .st = st,
        .why = !kmse_is_ok(st) && why != NULL ? why->text : "",
        .duration_ms = now_ms(kms) - op->began_ms,
    };
    kms->observe(kms->observe_arg, &event);
    return st;
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
    struct operation op;
    KMSE_TRY(begin(&op, kms, "rotate-master", uri, why));
    if (op.backend->rotate_master == NULL)
        return end(&op, not_possible(uri, "rotate the master key", why), why);
    return end(&op, op.backend->rotate_master(&op.call, why), why);
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
    struct operation op;
    KMSE_TRY(begin(&op, kms, "generate", uri, why));
    kmse_st st =
        op.backend->generate != NULL
            ? op.backend->generate(&op.call, context, data_key, blob, why)
            : generate_and_wrap(op.backend, &op.call, context, data_key, blob,
                                why);
    return end(&op, st, why);
}

kmse_st kmse_kms_wrap(struct kmse_kms *kms, const char *uri,
                      const struct kmse_kms_context *context,
                      const struct kmse_secret *data_key,
                      struct kmse_blob *blob, struct kmse_why *why)
{
    struct operation op;
    KMSE_TRY(begin(&op, kms, "wrap", uri, why));
    return end(&op, op.backend->wrap(&op.call, context, data_key, blob, why),
               why);
}

kmse_st kmse_kms_unwrap(struct kmse_kms *kms, const char *uri,
                        const struct kmse_kms_context *context,
                        const struct kmse_blob *blob,
                        struct kmse_secret *data_key, struct kmse_why *why)
{
    struct operation op;
    KMSE_TRY(begin(&op, kms, "unwrap", uri, why));
    return end(&op, op.backend->unwrap(&op.call, context, blob, data_key, why),
               why);
}

/* Between KMSs that do not know each other the data key is in our hands. */
static kmse_st unwrap_and_wrap(struct kmse_kms *kms, const char *from_uri,
                               const struct kmse_kms_context *from_context,
                               const struct kmse_blob *from_blob,
                               const char *to_uri,
                               const struct kmse_kms_context *to_context,
                               struct kmse_blob *to_blob, struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    KMSE_TRY(kmse_kms_unwrap(kms, from_uri, from_context, from_blob, &data_key,
                             why));
    kmse_st st =
        kmse_kms_wrap(kms, to_uri, to_context, &data_key, to_blob, why);
    kmse_secret_wipe(&data_key);
    return st;
}

kmse_st kmse_kms_rewrap(struct kmse_kms *kms, const char *from_uri,
                        const struct kmse_kms_context *from_context,
                        const struct kmse_blob *from_blob, const char *to_uri,
                        const struct kmse_kms_context *to_context,
                        struct kmse_blob *to_blob, struct kmse_why *why)
{
    const struct kmse_kms_backend *from_backend = NULL;
    const struct kmse_kms_backend *to_backend = NULL;
    struct kmse_kms_call to;
    struct operation op;
    KMSE_TRY(find_backend(&from_backend, from_uri, why));
    KMSE_TRY(prepare(&to_backend, &to, kms, to_uri, why));
    if (from_backend->rewrap == NULL || from_backend != to_backend)
        return unwrap_and_wrap(kms, from_uri, from_context, from_blob, to_uri,
                               to_context, to_blob, why);
    KMSE_TRY(begin(&op, kms, "rewrap", from_uri, why));
    to.request_id = op.request_id;
    return end(&op,
               op.backend->rewrap(&op.call, from_context, from_blob, &to,
                                  to_context, to_blob, why),
               why);
}

kmse_st kmse_kms_describe(struct kmse_kms *kms, const char *uri,
                          struct kmse_kms_description *description,
                          struct kmse_why *why)
{
    struct operation op;
    KMSE_TRY(begin(&op, kms, "describe", uri, why));
    return end(&op, op.backend->describe(&op.call, description, why), why);
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

/* --- the agent ---------------------------------------------------------- */

enum kmse_kms_agent kmse_kms_agent(const struct kmse_kms *kms)
{
    if (kms->agent == NULL)
        return KMSE_KMS_AGENT_NONE;
    return kms->agent_fallback ? KMSE_KMS_AGENT_FIRST : KMSE_KMS_AGENT_ONLY;
}

kmse_st kmse_kms_borrow(struct kmse_kms *kms, const struct kmse_wanted *wanted,
                        struct kmse_loan *loan, struct kmse_why *why)
{
    const struct kmse_agent_address address = {
        .path = kms->agent,
        .timeout_ms = kms->agent_timeout_ms,
        .clock = kms->clock,
    };
    return kmse_agent_fetch(&address, kms->pool, wanted, loan, why);
}
