/* SPDX-License-Identifier: Apache-2.0 */
/* References to keys, as OpenSSL's key objects hold them. */
#include "glue/pkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "glue/error.h"

struct kmse_pkey *kmse_pkey_new(const struct kmse_provctx *provctx)
{
    struct kmse_pkey *pkey = calloc(1, sizeof(*pkey));
    if (pkey == NULL)
        return NULL;
    atomic_init(&pkey->references, 1);
    pkey->provctx = provctx;
    return pkey;
}

struct kmse_pkey *kmse_pkey_acquire(struct kmse_pkey *pkey)
{
    atomic_fetch_add_explicit(&pkey->references, 1, memory_order_relaxed);
    return pkey;
}

void kmse_pkey_release(struct kmse_pkey *pkey)
{
    if (pkey == NULL
        || atomic_fetch_sub_explicit(&pkey->references, 1, memory_order_acq_rel)
               != 1)
        return;
    free(pkey->carried);
    free(pkey);
}

/* --- finding the key ---------------------------------------------------- */

static kmse_st check_id(const struct kmse_pkey *pkey,
                        const struct kmse_keyfile *file, struct kmse_why *why)
{
    const char *name = pkey->reference.name;
    if (memcmp(pkey->id, file->id, KMSE_KEY_ID_LEN) == 0)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NOT_FOUND,
                     "%s/%s.json is another key than the one that was called "
                     "%s where this reference was made",
                     pkey->provctx->config.keys, name, name);
}

static kmse_st check_version(const struct kmse_pkey *pkey,
                             const struct kmse_keyfile *file,
                             struct kmse_why *why)
{
    uint32_t version = pkey->reference.version;
    if (version == 0 || kmse_keyfile_find(file, version) != NULL)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                     "key %s: version %u; the newest is %u", file->name,
                     version, kmse_keyfile_newest(file)->number);
}

static kmse_st check(const struct kmse_pkey *pkey, struct kmse_key *key,
                     struct kmse_why *why)
{
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(kmse_key_snapshot(key, &snapshot, why));
    const struct kmse_keyfile *file = kmse_snapshot_file(snapshot);
    kmse_st st = check_id(pkey, file, why);
    if (kmse_is_ok(st))
        st = check_version(pkey, file, why);
    kmse_snapshot_release(snapshot);
    return st;
}

/* A reference from a file, on a machine that does not have the key. */
static kmse_st not_here(const struct kmse_pkey *pkey, struct kmse_why *why)
{
    const char *name = pkey->reference.name,
               *folder = pkey->provctx->config.keys;
    return kmse_fail(why, KMSE_R_KEY_NOT_FOUND,
                     "%s/%s.json is not there, and this reference to key %s "
                     "has no wrapped copies with it: bring the key file, or a "
                     "reference written from %s:%s?copies=yes",
                     folder, name, name, KMSE_STORE_SCHEME, name);
}

static kmse_st find(const struct kmse_pkey *pkey, struct kmse_key **key,
                    struct kmse_why *why)
{
    struct kmse_ring *ring = pkey->provctx->ring;
    struct kmse_key *found = NULL;
    KMSE_TRY(kmse_ring_ready(ring));
    const char *name = pkey->reference.name;
    kmse_st st = kmse_ring_find(ring, name, &found, why);
    if (st.reason == KMSE_R_KEY_NOT_FOUND)
        st = pkey->carried != NULL ? kmse_ring_find_carried(
                 ring, name, pkey->carried, pkey->carried_len, &found, why)
                                   : not_here(pkey, why);
    if (kmse_is_ok(st))
        st = check(pkey, found, why);
    if (kmse_is_ok(st))
        *key = found;
    return st;
}

kmse_st kmse_pkey_find(struct kmse_pkey *pkey, struct kmse_key **key,
                       struct kmse_why *why)
{
    struct kmse_key *found = atomic_load(&pkey->key);
    if (pkey->reference.name[0] == '\0')
        return kmse_fail(why, KMSE_R_STATE, "this object refers to no key yet");
    if (found == NULL) {
        KMSE_TRY(find(pkey, &found, why));
        atomic_store(&pkey->key, found);
    }
    *key = found;
    return KMSE_OK;
}

kmse_st kmse_pkey_snapshot(struct kmse_pkey *pkey,
                           struct kmse_snapshot **snapshot,
                           struct kmse_why *why)
{
    struct kmse_key *key = NULL;
    struct kmse_snapshot *found = NULL;
    KMSE_TRY(kmse_pkey_find(pkey, &key, why));
    KMSE_TRY(kmse_key_snapshot(key, &found, why));
    kmse_st st = check_id(pkey, kmse_snapshot_file(found), why);
    if (!kmse_is_ok(st)) {
        kmse_snapshot_release(found);
        return st;
    }
    *snapshot = found;
    return KMSE_OK;
}

/* The id of a key that is met for the first time. */
static kmse_st learn_id(struct kmse_pkey *pkey, struct kmse_key *key,
                        struct kmse_why *why)
{
    struct kmse_snapshot *snapshot = NULL;
    KMSE_TRY(kmse_key_snapshot(key, &snapshot, why));
    const struct kmse_keyfile *file = kmse_snapshot_file(snapshot);
    kmse_st st = check_version(pkey, file, why);
    memcpy(pkey->id, file->id, KMSE_KEY_ID_LEN);
    kmse_snapshot_release(snapshot);
    return st;
}

kmse_st kmse_pkey_refer(struct kmse_pkey *pkey,
                        const struct kmse_reference *reference,
                        struct kmse_why *why)
{
    struct kmse_key *key = NULL;
    if (pkey->reference.name[0] != '\0')
        return kmse_fail(why, KMSE_R_STATE, "this object refers to key %s",
                         pkey->reference.name);
    if (!kmse_key_name_is_valid(reference->name))
        return kmse_fail(why, KMSE_R_KEY_NAME,
                         "a key's name is [a-z0-9._-], at most %d",
                         KMSE_KEY_NAME_MAX);
    KMSE_TRY(kmse_ring_ready(pkey->provctx->ring));
    KMSE_TRY(kmse_ring_find(pkey->provctx->ring, reference->name, &key, why));
    pkey->reference.version = reference->version;
    KMSE_TRY(learn_id(pkey, key, why));
    pkey->reference = *reference;
    atomic_store(&pkey->key, key);
    return KMSE_OK;
}

bool kmse_pkey_equal(const struct kmse_pkey *a, const struct kmse_pkey *b)
{
    return strcmp(a->reference.name, b->reference.name) == 0
           && a->reference.version == b->reference.version
           && memcmp(a->id, b->id, KMSE_KEY_ID_LEN) == 0;
}

/* --- handing over ------------------------------------------------------- */

int kmse_pkey_give(struct kmse_pkey *pkey, int object_type,
                   OSSL_CALLBACK *callback, void *arg)
{
    char data_type[] = KMSE_PKEY_NAME;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object_type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, data_type,
                                         0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &pkey,
                                          sizeof(pkey)),
        OSSL_PARAM_construct_end(),
    };
    int ok = callback(params, arg);
    kmse_pkey_release(pkey); /* NULL, once it was taken */
    return ok;
}

struct kmse_pkey *kmse_pkey_take(const void *reference, size_t reference_len)
{
    /* The core hands over our own pointer's address, and calls it const. */
    union {
        const void *read_only;
        struct kmse_pkey **pkey;
    } address = {.read_only = reference};
    if (reference == NULL || reference_len != sizeof(struct kmse_pkey *))
        return NULL;
    struct kmse_pkey *pkey = *address.pkey;
    *address.pkey = NULL;
    return pkey;
}

int kmse_pkey_fail_at(const struct kmse_pkey *pkey, kmse_st st,
                      const struct kmse_why *why, const char *file, int line,
                      const char *function)
{
    struct kmse_why about = {""};
    if (why == NULL || why->text[0] == '\0') {
        /* The layers below know no names. */
        snprintf(about.text, sizeof(about.text), "key %s",
                 pkey->reference.name);
        why = &about;
    }
    kmse_raise_at(&pkey->provctx->core, st, why, file, line, function);
    return 0;
}
