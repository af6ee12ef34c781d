/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_KMS_H
#define KMSE_KMS_KMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/secret.h"
#include "base/status.h"

/*
 * A KMS holds master keys and wraps data keys under them. Which KMS, and which
 * master key, a URI says:
 *   local:<path>     a file with master keys (docs/kms-local.md)
 *   aws-kms:<key>    AWS KMS; <key> is a key's ARN, an alias ARN,
 *                    alias/<name> or a key id (docs/kms-aws.md)
 * Calls may do I/O and may block; the caller holds no lock.
 */

/* The encryption context: names and values that a blob is bound to. */
struct kmse_kms_pair {
    char *name;  /* UTF-8, not empty */
    char *value; /* UTF-8 */
};

/* Pairs sorted by name (strcmp), no name twice. Owns its strings. */
struct kmse_kms_context {
    struct kmse_kms_pair *pairs;
    size_t count;
};

bool kmse_text_is_utf8(const char *text, size_t len);

/* Add a pair in its place. KMSE_R_PARAMETER: a bad or repeated name. */
kmse_st kmse_kms_context_add(struct kmse_kms_context *context, const char *name,
                             const char *value) KMSE_MUST_CHECK;
kmse_st
kmse_kms_context_copy(struct kmse_kms_context *to,
                      const struct kmse_kms_context *from) KMSE_MUST_CHECK;
bool kmse_kms_context_equal(const struct kmse_kms_context *a,
                            const struct kmse_kms_context *b);
void kmse_kms_context_wipe(struct kmse_kms_context *context);

/* AWS caps a CiphertextBlob at 6144 bytes (KMS API, Decrypt). */
enum { KMSE_BLOB_MAX = 6144 };

/* A wrapped data key. Owns its bytes. */
struct kmse_blob {
    uint8_t *bytes;
    size_t len;
};

kmse_st kmse_blob_copy(struct kmse_blob *to,
                       const struct kmse_blob *from) KMSE_MUST_CHECK;
void kmse_blob_wipe(struct kmse_blob *blob);

/* What is known of a master key, for doctor. */
enum { KMSE_KMS_ID_LEN = 256, KMSE_KMS_STATE_LEN = 32 };
struct kmse_kms_description {
    char id[KMSE_KMS_ID_LEN];       /* the KMS's own name for it */
    char state[KMSE_KMS_STATE_LEN]; /* "Enabled", ...; "": it has no states */
    unsigned backing_keys;          /* 0: not known */
    int64_t newest_s; /* when its newest backing key was made; 0: ? */
};

/* How a failure of a KMS is to be met (design: cache, retries). */
enum kmse_kms_class {
    KMSE_KMS_RETRYABLE, /* unreachable, throttling, late: a cached key serves */
    KMSE_KMS_DENIED,    /* denied, disabled: stop using the key */
    KMSE_KMS_NOT_FOUND, /* the master key, or the key for this blob, is gone */
    KMSE_KMS_FATAL,     /* anything else: stop, and tell */
};
enum kmse_kms_class kmse_kms_classify(kmse_st st);

/* All backends, with what they need. Several threads may call it. */
struct kmse_kms;

/*
 * One operation of a KMS that has ended, for who keeps the books. No secret.
 * key and version are what the thread said last: kmse_kms_set_subject.
 */
enum { KMSE_KMS_REQUEST_ID_LEN = 128 };
struct kmse_kms_event {
    const char *operation; /* "unwrap", "wrap", ... */
    const char *uri;
    const char *key; /* or NULL */
    uint32_t version;
    const char *request_id; /* the KMS's own name for the call; "": none */
    kmse_st st;
    const char *why; /* of a failure, else "" */
    uint64_t duration_ms;
};

/* What the backends are told; each but observe_arg is copied. */
struct kmse_kms_options {
    const struct kmse_aws_options *aws; /* aws_settings.h; NULL: all defaults */
    const char *agent;                  /* path of its socket, or NULL */
    bool agent_fallback;
    /* Called in the thread of the call, which holds no lock; or NULL. */
    void (*observe)(void *arg, const struct kmse_kms_event *event);
    void *observe_arg;
};

/* No I/O. options may be NULL; crypto, pool and clock are borrowed. */
kmse_st kmse_kms_new(struct kmse_kms **kms, struct kmse_crypto *crypto,
                     struct kmse_pool *pool, const struct kmse_clock *clock,
                     const struct kmse_kms_options *options) KMSE_MUST_CHECK;
void kmse_kms_free(struct kmse_kms *kms);
/* Calls made so far with a master key; to look for one and to make it is none.
 */
uint64_t kmse_kms_calls(const struct kmse_kms *kms);

/*
 * What the calling thread's next calls are for: a key's name (borrowed) and
 * version, or NULL and 0. A KMS is not told, only who observes.
 */
void kmse_kms_set_subject(const char *key, uint32_t version);

/* For fork handlers: hold its locks; in the child forget what was under way. */
void kmse_kms_prepare_fork(struct kmse_kms *kms);
void kmse_kms_parent(struct kmse_kms *kms);
void kmse_kms_child(struct kmse_kms *kms);

/*
 * The URI in the form that key files keep: a local path made absolute, an AWS
 * alias or id made the ARN of its key, for which KMS is asked. The caller frees
 * *resolved. KMSE_R_KMS_URI: no URI of a master key.
 */
kmse_st kmse_kms_resolve(char **resolved, struct kmse_kms *kms, const char *uri,
                         struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * Make the master key if its KMS lets us (local) and it is not there; *made
 * then, if made is not NULL, is true. Nothing to do for other KMSs.
 */
kmse_st kmse_kms_ensure(struct kmse_kms *kms, const char *uri, bool *made,
                        struct kmse_why *why) KMSE_MUST_CHECK;
/* Give the master key a new backing key, where we may (local). */
kmse_st kmse_kms_rotate_master(struct kmse_kms *kms, const char *uri,
                               struct kmse_why *why) KMSE_MUST_CHECK;

/* A new random data key and its blob. On failure neither is set. */
kmse_st kmse_kms_generate(struct kmse_kms *kms, const char *uri,
                          const struct kmse_kms_context *context,
                          struct kmse_secret *data_key, struct kmse_blob *blob,
                          struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_kms_wrap(struct kmse_kms *kms, const char *uri,
                      const struct kmse_kms_context *context,
                      const struct kmse_secret *data_key,
                      struct kmse_blob *blob,
                      struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_kms_unwrap(struct kmse_kms *kms, const char *uri,
                        const struct kmse_kms_context *context,
                        const struct kmse_blob *blob,
                        struct kmse_secret *data_key,
                        struct kmse_why *why) KMSE_MUST_CHECK;
/* New blob for the same data key; within one KMS the key need not leave it. */
kmse_st kmse_kms_rewrap(struct kmse_kms *kms, const char *from_uri,
                        const struct kmse_kms_context *from_context,
                        const struct kmse_blob *from_blob, const char *to_uri,
                        const struct kmse_kms_context *to_context,
                        struct kmse_blob *to_blob,
                        struct kmse_why *why) KMSE_MUST_CHECK;
kmse_st kmse_kms_describe(struct kmse_kms *kms, const char *uri,
                          struct kmse_kms_description *description,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The agent of this host (kms-envelope-agent(8)) has data keys unwrapped for
 * all processes; one is lent with the time that it may be used.
 */
enum kmse_kms_agent {
    KMSE_KMS_AGENT_NONE,  /* ask the KMS */
    KMSE_KMS_AGENT_ONLY,  /* ask the agent, and nobody else */
    KMSE_KMS_AGENT_FIRST, /* and the KMS if the agent cannot be asked */
};
enum kmse_kms_agent kmse_kms_agent(const struct kmse_kms *kms);

struct kmse_wanted {
    const char *key; /* its name */
    const uint8_t *id;
    uint32_t version;
    uint64_t messages, bytes; /* encrypted with it since the agent was told */
};

struct kmse_loan {
    struct kmse_secret data_key;
    uint64_t fresh_ms; /* then the KMS must be asked again */
    uint64_t stale_ms; /* after that, as long as the KMS is away */
};

/*
 * From the agent. KMSE_R_AGENT if it cannot be asked; else its own reasons.
 * What it lends is to be held against the version's commitment.
 */
kmse_st kmse_kms_borrow(struct kmse_kms *kms, const struct kmse_wanted *wanted,
                        struct kmse_loan *loan,
                        struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * How the KMS of that master key is reached, for doctor: endpoint, and where
 * the credentials come from, never what they are. "" if there is nothing to
 * say. Takes credentials, but makes no call to the KMS.
 */
enum { KMSE_KMS_ACCESS_LEN = 640 };
kmse_st kmse_kms_access(struct kmse_kms *kms, const char *uri,
                        char out[KMSE_KMS_ACCESS_LEN],
                        struct kmse_why *why) KMSE_MUST_CHECK;

#endif
