/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_SOURCE_H
#define KMSE_KMS_AWS_SOURCE_H

#include "kms/aws_client.h"
#include "kms/aws_credentials.h"
#include "kms/aws_form.h"
#include "kms/aws_post.h"
#include "kms/aws_profile.h"
#include "kms/aws_retry.h"

/* Inside kms: the sources of AWS credentials. One file a kind. */

/* What a search for credentials is made with; all borrowed. */
struct kmse_aws_search {
    struct kmse_crypto *crypto;
    const struct kmse_aws_options *options;
    const struct kmse_http *http;
    const struct kmse_clock *clock;
    const struct kmse_aws_profiles *profiles; /* the shared files, as read */
    const char *profile;                      /* the one asked for */
    bool profile_alone;     /* the environment names no role, no token */
    bool instance_expected; /* who does not answer there is missed */
    uint64_t deadline_ms;   /* of all of it, by the clock's elapsed_ms */
    struct kmse_aws_wait wait;
    struct kmse_retry_bucket *bucket;
};

/*
 * Look into one source. *found is false if it is not configured at all: the
 * search goes on. If it is configured and fails, the search ends with that.
 * On success *credentials is filled but for its reference count.
 */
typedef kmse_st kmse_aws_source_fn(const struct kmse_aws_search *search,
                                   struct kmse_aws_credentials *credentials,
                                   bool *found, struct kmse_why *why);

kmse_aws_source_fn kmse_aws_source_environment; /* aws_source_static.c */
kmse_aws_source_fn kmse_aws_source_shared_credentials_file;
kmse_aws_source_fn kmse_aws_source_config_file;
kmse_aws_source_fn kmse_aws_source_process;      /* aws_source_process.c */
kmse_aws_source_fn kmse_aws_source_assume_role;  /* aws_source_role.c */
kmse_aws_source_fn kmse_aws_source_web_identity; /* aws_source_role.c */
kmse_aws_source_fn kmse_aws_source_container;    /* aws_source_container.c */
kmse_aws_source_fn kmse_aws_source_instance;     /* aws_source_instance.c */

/* --- searching: aws_source_search.c ------------------------------------- */

/* The whole chain; reasons as kmse_aws_chain_get has them. On failure
 * credentials are wiped. */
kmse_st kmse_aws_search_all(const struct kmse_aws_search *search,
                            struct kmse_aws_credentials *credentials,
                            bool *from_instance,
                            struct kmse_why *why) KMSE_MUST_CHECK;
/* What search->profile has of its own, but for a role to assume. */
kmse_aws_source_fn kmse_aws_search_profile;

/* A key of search->profile, NULL if it is not there or empty. */
const char *kmse_aws_search_value(const struct kmse_aws_search *search,
                                  const char *key);
int64_t kmse_aws_search_wall_s(const struct kmse_aws_search *search);
/* Until the deadline; 0: it is over. */
uint64_t kmse_aws_search_left_ms(const struct kmse_aws_search *search);

/* --- what was found: aws_source_static.c -------------------------------- */

/* Names and values as they are called where they come from. */
struct kmse_aws_parts {
    const char *id_name, *secret_name, *token_name, *expiration_name;
    const char *id, *secret, *token, *expiration; /* NULL: not there */
    const char *where;
};

/*
 * They must fit and be printable ASCII without spaces; the expiration, ISO
 * 8601. KMSE_R_KMS_CREDENTIALS names the part, never its value. *found is
 * false if there is neither id nor secret; one without the other is an error.
 */
kmse_st kmse_aws_credentials_take(struct kmse_aws_credentials *credentials,
                                  const struct kmse_aws_parts *parts,
                                  bool *found,
                                  struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The answer of process, container and instance: a JSON object with
 * AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration.
 */
kmse_st kmse_aws_credentials_from_json(struct kmse_aws_credentials *credentials,
                                       const char *json, size_t json_len,
                                       const char *source,
                                       struct kmse_why *why) KMSE_MUST_CHECK;

/* Of what is secret. */
void kmse_aws_credentials_wipe(struct kmse_aws_credentials *credentials);

/* Temporary ones have a session token and a time when they expire. */
kmse_st
kmse_aws_credentials_temporary(const struct kmse_aws_credentials *credentials,
                               struct kmse_why *why) KMSE_MUST_CHECK;

/* Printable ASCII, no space, not empty. */
bool kmse_aws_is_word(const char *text);

/* --- asking: aws_source_http.c ------------------------------------------ */

/* What an answer means: KMSE_OK, if it is what was asked for. */
typedef kmse_st kmse_aws_judge_fn(void *arg,
                                  const struct kmse_http_answer *answer,
                                  struct kmse_why *why);

struct kmse_aws_ask {
    struct kmse_http_request request; /* its timeouts: no later than deadline */
    const char *source;               /* for messages */
    kmse_aws_judge_fn *judge;
    void *judge_arg;
    bool
        once; /* else what is transient is tried again, as aws_retry.h has it */
};

/*
 * Reasons are http.h's and the judge's. *answer is set in any case, of status 0
 * if none came; the caller wipes it.
 */
kmse_st kmse_aws_ask(const struct kmse_aws_search *search,
                     const struct kmse_aws_ask *ask,
                     struct kmse_http_answer *answer,
                     struct kmse_why *why) KMSE_MUST_CHECK;
/* Of an answer that is right only with status 200. */
kmse_st kmse_aws_judge_status(int status, struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * A server says when credentials expire by its clock, which may not be ours:
 * what its Date is ahead of us is taken off.
 */
void kmse_aws_credentials_by_our_clock(const struct kmse_aws_search *search,
                                       struct kmse_aws_credentials *credentials,
                                       const struct kmse_http_answer *answer);

/* --- STS: aws_source_sts.c ---------------------------------------------- */

struct kmse_aws_sts_call {
    const char *action;                  /* one that answers with Credentials */
    const struct kmse_aws_field *fields; /* Action and Version, and its own */
    size_t field_count;
    const struct kmse_aws_credentials *caller; /* NULL: nobody signs */
    const char *source; /* for messages, and the source */
};

kmse_st kmse_aws_sts_call(const struct kmse_aws_search *search,
                          const struct kmse_aws_sts_call *call,
                          struct kmse_aws_credentials *credentials,
                          struct kmse_why *why) KMSE_MUST_CHECK;

#endif
