/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_PKEY_H
#define KMSE_GLUE_PKEY_H

#include <stdatomic.h>

#include <openssl/core.h>

#include "glue/provctx.h"
#include "glue/reference.h"
#include "keyring/keyfile.h"
#include "keyring/ring.h"

/*
 * What OpenSSL's key objects of ours are: a reference to a named key. No
 * plaintext of a data key is in it or comes out of it. Counted, and immutable
 * once it refers to a key, so a copy is one more reference to it. Whoever has
 * one holds the provider: the provider's context is borrowed.
 */
struct kmse_pkey {
    _Atomic unsigned references;
    const struct kmse_provctx *provctx;
    struct kmse_reference reference; /* name "": refers to nothing yet */
    uint8_t id[KMSE_KEY_ID_LEN];
    /* The key file that came with it, for a folder that has no such key. */
    char *carried; /* JSON, or NULL */
    size_t carried_len;
    struct kmse_key *_Atomic key; /* of the ring, once found */
};

/* Refers to nothing. NULL if there is no memory. */
struct kmse_pkey *kmse_pkey_new(const struct kmse_provctx *provctx);
struct kmse_pkey *kmse_pkey_acquire(struct kmse_pkey *pkey);
void kmse_pkey_release(struct kmse_pkey *pkey);

/*
 * To a key of the folder, whose file is read; no KMS is asked. Once for a pkey.
 * KMSE_R_KEY_NOT_FOUND, KMSE_R_KEY_VERSION_UNKNOWN, the reasons of a key file.
 */
kmse_st kmse_pkey_refer(struct kmse_pkey *pkey,
                        const struct kmse_reference *reference,
                        struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * The key of the ring. KMSE_R_KEY_NOT_FOUND too if the folder has another key
 * of that name. With carried copies the folder need not have it; if it does,
 * its file counts, for it may be newer.
 */
kmse_st kmse_pkey_find(struct kmse_pkey *pkey, struct kmse_key **key,
                       struct kmse_why *why) KMSE_MUST_CHECK;
/* Its file now, for kmse_snapshot_release; of the same key as ever. */
kmse_st kmse_pkey_snapshot(struct kmse_pkey *pkey,
                           struct kmse_snapshot **snapshot,
                           struct kmse_why *why) KMSE_MUST_CHECK;

bool kmse_pkey_equal(const struct kmse_pkey *a, const struct kmse_pkey *b);

/*
 * From a store or a decoder, by OpenSSL's callback, to keymgmt: it is given a
 * reference, the address of a pointer, which is NULL once the pkey was taken.
 * The caller's own reference goes. object_type: OSSL_OBJECT_PKEY, or another
 * whose management takes it.
 */
int kmse_pkey_give(struct kmse_pkey *pkey, int object_type,
                   OSSL_CALLBACK *callback, void *arg);
struct kmse_pkey *kmse_pkey_take(const void *reference, size_t reference_len);

/* Raise what went wrong with that key, and return 0. */
#define kmse_pkey_fail(pkey, st, why)                                          \
    kmse_pkey_fail_at((pkey), (st), (why), __FILE__, __LINE__, __func__)
int kmse_pkey_fail_at(const struct kmse_pkey *pkey, kmse_st st,
                      const struct kmse_why *why, const char *file, int line,
                      const char *function);

#endif
