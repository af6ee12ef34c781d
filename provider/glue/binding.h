/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_BINDING_H
#define KMSE_GLUE_BINDING_H

#include <openssl/core.h>

#include "glue/provctx.h"
#include "keyring/ring.h"

/*
 * What a context of any algorithm has of a key: its name, the key found for
 * it, the lease of a version, and which version served. Embedded in a context
 * of EVP's, so for one thread at a time.
 */
struct kmse_binding {
    const struct kmse_core *core;
    struct kmse_ring *ring;
    bool ring_is_owned; /* legacy names: legacy.h */

    char key_name[KMSE_KEY_NAME_MAX + 1]; /* "": the default key */
    uint32_t wanted_version;              /* 0: any */
    bool version_is_keys;     /* the key is confined to it; no parameter */
    struct kmse_key *key;     /* found for key_name, or NULL */
    struct kmse_lease *lease; /* or NULL */
    uint32_t used_version;    /* of this message, or 0 */
};

/* Raises what fails, and leaves a binding that can be wiped. */
kmse_st kmse_binding_init(struct kmse_binding *binding,
                          struct kmse_provctx *provctx) KMSE_MUST_CHECK;
void kmse_binding_wipe(struct kmse_binding *binding);
/* Name, version and ring; the copy takes a lease of its own. */
void kmse_binding_copy(struct kmse_binding *copy,
                       const struct kmse_binding *binding);

/* The key of that name from the next message on. name: valid, or "". */
void kmse_binding_set_name(struct kmse_binding *binding, const char *name);
/* That key of the binding's ring, and of it that version alone; 0: any. */
void kmse_binding_use(struct kmse_binding *binding, struct kmse_key *key,
                      uint32_t version);
/*
 * The same as a name, from the bytes of an EVP key: a name padded with NUL to
 * key_len, which is KMSE_DATA_KEY_LEN. NAME/VERSION says a version as well, for
 * programs that can set no parameter. Bytes that are no name may be a real
 * key, so they are never printed. KMSE_R_KEY_NAME.
 */
kmse_st kmse_binding_set_key(struct kmse_binding *binding,
                             const unsigned char *key, size_t key_len,
                             struct kmse_why *why) KMSE_MUST_CHECK;

/* Sets binding->key; the reasons of kmse_ring_find. */
kmse_st kmse_binding_find_key(struct kmse_binding *binding,
                              struct kmse_why *why) KMSE_MUST_CHECK;
/* KMSE_R_KEY_VERSION unless that version is the wanted one, if one is. */
kmse_st kmse_binding_check_version(const struct kmse_binding *binding,
                                   uint32_t version,
                                   struct kmse_why *why) KMSE_MUST_CHECK;
/* A message under way ends when its version is taken away. */
kmse_st kmse_binding_check_lease(const struct kmse_binding *binding,
                                 struct kmse_why *why) KMSE_MUST_CHECK;

/* Raise; what the layers below do not name, key and version, is added. */
void kmse_binding_raise(const struct kmse_binding *binding, kmse_st st,
                        const struct kmse_why *why, const char *file, int line,
                        const char *function);

/*
 * key-name and key-version, of those in params. Setting them within a message
 * is KMSE_R_STATE.
 */
#define KMSE_BINDING_PARAMS                                                    \
    OSSL_PARAM_utf8_string(KMSE_PARAM_KEY_NAME, NULL, 0),                      \
        OSSL_PARAM_uint(KMSE_PARAM_KEY_VERSION, NULL)
int kmse_binding_get_params(const struct kmse_binding *binding,
                            OSSL_PARAM params[]);
kmse_st kmse_binding_set_params(struct kmse_binding *binding,
                                const OSSL_PARAM params[], bool in_message,
                                struct kmse_why *why) KMSE_MUST_CHECK;

#endif
